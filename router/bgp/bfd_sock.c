/* bfd_sock.c - see the header. Failure: the descriptor is closed, -errno. */
#include "bfd_sock.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <unistd.h>
#include "sockaddr.h"

#define DSCP_CS6      0xc0
#define IP4_TTL_AT    8 /* in the header */
#define IP6_HOPS_AT   7
#define LISTEN_BUFFER (1024 * 1024) /* some thousand packets, should the loop be held up */

static int open_socket(enum ip_family family)
{
	int fd = socket(
		family == IP_V6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = family == IP_V6 ? sockaddr_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) : 0;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int filter_ttl(int fd, enum ip_family family)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS,
			(uint32_t)(SKF_NET_OFF + (family == IP_V6 ? IP6_HOPS_AT : IP4_TTL_AT))),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, BFD_TTL, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) == 0 ? 0 : -errno;
}

static int tell_how(int fd, enum ip_family family)
{
	int err = family == IP_V6 ? sockaddr_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
				  : sockaddr_option(fd, IPPROTO_IP, IP_PKTINFO, 1);

	if (err)
		return err;
	return family == IP_V6 ? sockaddr_option(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1)
			       : sockaddr_option(fd, IPPROTO_IP, IP_RECVTTL, 1);
}

int bfd_sock_listen(enum ip_family family, bool multihop)
{
	const struct ip any = {.family = (uint8_t)family};
	int fd = open_socket(family), err;
	union sockaddr_any a;
	socklen_t len =
		sockaddr_make(&any, multihop ? BFD_PORT_MULTI_HOP : BFD_PORT_ONE_HOP, 0, &a);

	if (fd < 0)
		return fd;
	(void)sockaddr_option(fd, SOL_SOCKET, SO_RCVBUF, LISTEN_BUFFER);
	err = tell_how(fd, family);
	if (!err && !multihop)
		err = filter_ttl(fd, family);
	if (!err && bind(fd, &a.sa, len) != 0)
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int bfd_sock_sender(enum ip_family family, const struct ip *local, uint16_t port, uint32_t mark)
{
	const struct ip any = {.family = (uint8_t)family};
	int fd = open_socket(family), err;
	union sockaddr_any a;
	socklen_t len = sockaddr_make(local->family == IP_NONE ? &any : local, port, 0, &a);

	if (fd < 0)
		return fd;
	err = family == IP_V6 ? sockaddr_option(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, BFD_TTL)
			      : sockaddr_option(fd, IPPROTO_IP, IP_TTL, BFD_TTL);
	if (!err && mark)
		err = sockaddr_option(fd, SOL_SOCKET, SO_MARK, (int)mark);
	if (!err && bind(fd, &a.sa, len) != 0)
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	/* Not worth a session if they fail. Nobody reads here: what is sent to it shall cost nothing. */
	(void)sockaddr_option(fd, SOL_SOCKET, SO_RCVBUF, 0);
	(void)(family == IP_V6 ? sockaddr_option(fd, IPPROTO_IPV6, IPV6_TCLASS, DSCP_CS6)
			       : sockaddr_option(fd, IPPROTO_IP, IP_TOS, DSCP_CS6));
	return fd;
}

/* What the kernel says beside the packet: 1 for the TTL, 2 for the address. */
static unsigned read_control(struct msghdr *m, struct bfd_from *from)
{
	unsigned seen = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		bool v4 = c->cmsg_level == IPPROTO_IP, v6 = c->cmsg_level == IPPROTO_IPV6;
		int ttl;

		if ((v4 && c->cmsg_type == IP_TTL) || (v6 && c->cmsg_type == IPV6_HOPLIMIT)) {
			memcpy(&ttl, CMSG_DATA(c), sizeof(ttl));
			from->ttl = (uint8_t)ttl;
			seen |= 1;
		} else if (v4 && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo pi;

			memcpy(&pi, CMSG_DATA(c), sizeof(pi));
			from->local = ip_v4_bytes((const uint8_t *)&pi.ipi_addr);
			from->scope = (uint32_t)pi.ipi_ifindex;
			seen |= 2;
		} else if (v6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo pi;

			memcpy(&pi, CMSG_DATA(c), sizeof(pi));
			from->local = ip_v6_bytes((const uint8_t *)&pi.ipi6_addr);
			from->scope = pi.ipi6_ifindex;
			seen |= 2;
		}
	}
	return seen;
}

int bfd_sock_recv(int fd, uint8_t *buf, size_t cap, struct bfd_from *from)
{
	union sockaddr_any a;
	union {
		struct cmsghdr align;
		char room[256];
	} control;
	struct iovec v = {buf, cap};
	struct msghdr m = {.msg_name = &a,
		.msg_namelen = sizeof(a),
		.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
	struct ep ep;

	if (n < 0)
		return -errno;
	sockaddr_read(&a, &ep);
	from->remote = ep.ip;
	return read_control(&m, from) == 3 ? (int)n : -EPROTO;
}

int bfd_sock_send(int fd, const struct ep *to, const uint8_t *buf, size_t len)
{
	union sockaddr_any a;
	socklen_t alen = sockaddr_make(&to->ip, to->port, to->scope, &a);

	return sendto(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL, &a.sa, alen) < 0 ? -errno : 0;
}
