/* bgp_sock.c - sockets: options are set before connect() and listen(), so that the first segment
 * already carries the mark, the TTL and the signature. Failure: the descriptor is closed, -errno. */
#include "bgp_sock.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>
#include "sockaddr.h"

#define BACKLOG    64
#define LISTEN_TTL 255 /* a peer with GTSM wants it of our SYN-ACK already */
#define DSCP_CS6   0xc0

static int family_of(int fd)
{
	int family = 0;
	socklen_t len = sizeof(family);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 ? family : -errno;
}

static int open_socket(int family, uint32_t mark)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (mark)
		err = sockaddr_option(fd, SOL_SOCKET, SO_MARK, (int)mark);
	if (!err && family == AF_INET6)
		err = sockaddr_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

/* RFC 5082 3: what is sent has the highest TTL, what comes with less than min_ttl is dropped. */
static int set_ttl(int fd, bool v6, uint8_t ttl, uint8_t min_ttl)
{
	int err = v6 ? sockaddr_option(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, ttl)
		     : sockaddr_option(fd, IPPROTO_IP, IP_TTL, ttl);

	if (!err && min_ttl)
		err = v6 ? sockaddr_option(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, min_ttl)
			 : sockaddr_option(fd, IPPROTO_IP, IP_MINTTL, min_ttl);
	return err;
}

int bgp_sock_setup(int fd, const struct bgp_sock_cfg *cfg)
{
	int family = family_of(fd), err;
	bool v6 = family == AF_INET6;

	if (family < 0)
		return family;
	err = set_ttl(fd, v6, cfg->ttl, cfg->min_ttl);
	if (!err && cfg->mark)
		err = sockaddr_option(fd, SOL_SOCKET, SO_MARK, (int)cfg->mark);
	if (err)
		return err;
	/* Not worth a session if they fail. */
	(void)sockaddr_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	(void)(v6 ? sockaddr_option(fd, IPPROTO_IPV6, IPV6_TCLASS, DSCP_CS6)
		  : sockaddr_option(fd, IPPROTO_IP, IP_TOS, DSCP_CS6));
	return 0;
}

int bgp_sock_password(int fd, const struct pfx *whose, const char *password)
{
	struct tcp_md5sig md5 = {.tcpm_keylen = (uint16_t)strlen(password)};
	bool one = whose->len == ip_bits(&whose->ip);
	int family = family_of(fd), err = 0;
	union sockaddr_any a;

	if (family < 0)
		return family;
	if (family != (whose->ip.family == IP_V4 ? AF_INET : AF_INET6))
		return -EAFNOSUPPORT;
	if (md5.tcpm_keylen > TCP_MD5SIG_MAXKEYLEN)
		return -EINVAL;
	sockaddr_make(&whose->ip, 0, 0, &a);
	memcpy(&md5.tcpm_addr, &a.storage, sizeof(md5.tcpm_addr));
	memcpy(md5.tcpm_key, password, md5.tcpm_keylen);
	if (!one) {
		md5.tcpm_flags = TCP_MD5SIG_FLAG_PREFIX;
		md5.tcpm_prefixlen = whose->len;
	}
	/* The older option is the same for one address, and there before Linux 4.13. */
	if (setsockopt(fd, IPPROTO_TCP, one ? TCP_MD5SIG : TCP_MD5SIG_EXT, &md5, sizeof(md5)) != 0)
		err = -errno;
	explicit_bzero(&md5, sizeof(md5));
	return err == -ENOENT && !password[0] ? 0 : err;
}

int bgp_sock_filter(int fd, struct sock_filter *prog, size_t n)
{
	struct sock_fprog f = {.len = (unsigned short)n, .filter = prog};

	if (n == 0)
		return sockaddr_option(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof(f)) == 0 ? 0 : -errno;
}

int bgp_sock_filter_get(int fd, struct sock_filter *prog, size_t cap)
{
	socklen_t n = (socklen_t)cap; /* instructions, not bytes */

	return getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, prog, &n) == 0 ? (int)n : -errno;
}

bool bgp_sock_has_bytes(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

int bgp_sock_listen(const struct ep *at, uint32_t mark)
{
	bool v6 = at->ip.family == IP_V6;
	int fd = open_socket(v6 ? AF_INET6 : AF_INET, mark), err;
	union sockaddr_any a;
	socklen_t len = sockaddr_make(&at->ip, at->port, at->scope, &a);

	if (fd < 0)
		return fd;
	/* A restart must not wait for the connections of the process before it. */
	err = sockaddr_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!err)
		err = set_ttl(fd, v6, LISTEN_TTL, 0);
	if (!err && (bind(fd, &a.sa, len) != 0 || listen(fd, BACKLOG) != 0))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int bgp_sock_dial(const struct ep *to, const struct ip *local, const struct bgp_sock_cfg *cfg)
{
	int fd = open_socket(to->ip.family == IP_V6 ? AF_INET6 : AF_INET, 0), err;
	const struct pfx whose = sockaddr_host(&to->ip);
	union sockaddr_any a;
	socklen_t len;

	if (fd < 0)
		return fd;
	err = bgp_sock_setup(fd, cfg);
	if (!err && cfg->password[0])
		err = bgp_sock_password(fd, &whose, cfg->password);
	if (!err && local->family != IP_NONE) {
		len = sockaddr_make(local, 0, 0, &a);
		err = bind(fd, &a.sa, len) == 0 ? 0 : -errno;
	}
	if (!err) {
		len = sockaddr_make(&to->ip, to->port, to->scope, &a);
		if (connect(fd, &a.sa, len) != 0 && errno != EINPROGRESS)
			err = -errno;
	}
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int bgp_sock_local(int fd, struct ip *out)
{
	union sockaddr_any a;
	socklen_t len = sizeof(a);
	struct ep ep;

	if (getsockname(fd, &a.sa, &len) != 0)
		return -errno;
	sockaddr_read(&a, &ep);
	*out = ep.ip;
	return 0;
}

int bgp_sock_accept(int listener, struct ep *remote, struct ip *local)
{
	union sockaddr_any a;
	socklen_t len = sizeof(a);
	int fd = accept4(listener, &a.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	sockaddr_read(&a, remote);
	err = bgp_sock_local(fd, local);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int bgp_sock_result(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 ? -err : -errno;
}
