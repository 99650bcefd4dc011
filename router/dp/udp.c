/* udp.c - see udp.h.
 *
 * Options of every outer socket: SO_MARK (DESIGN 4.3), PMTUDISC_PROBE for both families (DF set, the
 * kernel's own path-MTU cache and outer ICMP are not believed: DESIGN 5.14), TOS and packet info on
 * receipt, the kernel's drop counter. An IPv6 socket takes the IPv4 options too: its IPv4 traffic is
 * handled by the kernel's IPv4 code. */
#include "udp.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <poll.h>
#include <linux/filter.h>
#include "weft/err.h"
#include "compat.h"

static int sys_recvmmsg(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *t)
{
	return recvmmsg(fd, m, n, flags, t);
}

static int sys_sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	return sendmmsg(fd, m, n, flags);
}

struct udp_sys udp_sys = {.sendmsg = sendmsg, .sendmmsg = sys_sendmmsg, .recvmmsg = sys_recvmmsg};

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* What must hold, or the socket is not opened at all. */
static int set_required(int fd, bool v6, const struct udp_opts *o)
{
	const struct {
		int level, name, value;
		bool want;
	} opt[] = {
		{SOL_SOCKET, SO_MARK, (int)o->mark, o->mark != 0},
		{SOL_SOCKET, SO_REUSEPORT, 1, o->reuseport},
		{IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, true},
		{IPPROTO_IP, IP_PKTINFO, 1, true},
		{IPPROTO_IP, IP_RECVTOS, 1, true},
		{IPPROTO_IPV6, IPV6_V6ONLY, 0, v6},
		{IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE, v6},
		{IPPROTO_IPV6, IPV6_RECVPKTINFO, 1, v6},
		{IPPROTO_IPV6, IPV6_RECVTCLASS, 1, v6},
	};

	for (size_t i = 0; i < sizeof(opt) / sizeof(opt[0]); i++) {
		int err = opt[i].want ? set_int(fd, opt[i].level, opt[i].name, opt[i].value) : 0;

		if (err < 0)
			return err;
	}
	return 0;
}

static void set_buffers(int fd, const struct udp_opts *o)
{
	/* The forced form needs CAP_NET_ADMIN; the plain one is cut to the system's limit. */
	if (o->rcvbuf && set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, (int)o->rcvbuf) < 0)
		(void)set_int(fd, SOL_SOCKET, SO_RCVBUF, (int)o->rcvbuf);
	if (o->sndbuf && set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, (int)o->sndbuf) < 0)
		(void)set_int(fd, SOL_SOCKET, SO_SNDBUF, (int)o->sndbuf);
	(void)set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
}

static void sockaddr_make(bool v6, const struct ep *e, struct udp_dest *d)
{
	memset(&d->to, 0, sizeof(d->to));
	if (!v6) {
		d->to.v4.sin_family = AF_INET;
		d->to.v4.sin_port = htons(e->port);
		memcpy(&d->to.v4.sin_addr, e->ip.b, 4);
		d->to_len = sizeof(d->to.v4);
		return;
	}
	d->to.v6.sin6_family = AF_INET6;
	d->to.v6.sin6_port = htons(e->port);
	d->to_len = sizeof(d->to.v6);
	if (e->ip.family == IP_V4) {
		d->to.v6.sin6_addr.s6_addr[10] = d->to.v6.sin6_addr.s6_addr[11] = 0xff;
		memcpy(d->to.v6.sin6_addr.s6_addr + 12, e->ip.b, 4);
	} else {
		memcpy(d->to.v6.sin6_addr.s6_addr, e->ip.b, 16);
		d->to.v6.sin6_scope_id = e->scope;
	}
}

static int open_family(struct udp_sock *s, const struct udp_opts *o, bool v6, const struct ep *at)
{
	struct udp_dest d;
	int err, fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	err = set_required(fd, v6, o);
	if (err < 0)
		goto out;
	set_buffers(fd, o);
	sockaddr_make(v6, at, &d);
	if (bind(fd, &d.to.sa, d.to_len) < 0) {
		err = -errno;
		goto out;
	}
	/* After bind: a socket that fails it must not switch the kernel's UDP GRO on. */
	*s = (struct udp_sock){.fd = fd, .v6 = v6};
	s->gro = o->gro && set_int(fd, IPPROTO_UDP, UDP_GRO, 1) == 0;
	return 0;
out:
	close(fd);
	return err;
}

int udp_open(struct udp_sock *s, const struct udp_opts *o)
{
	struct ep any4 = {.ip = {.family = IP_V4}, .port = o->bind.port};
	bool v6 = o->bind.ip.family == IP_V6;
	int err = open_family(s, o, v6, &o->bind);

	if (v6 && ip_is_unspecified(&o->bind.ip) && (err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL))
		err = open_family(s, o, false, &any4);
	if (err < 0)
		s->fd = -1;
	return err;
}

void udp_close(struct udp_sock *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

uint16_t udp_port(const struct udp_sock *s)
{
	struct udp_dest d;

	d.to_len = sizeof(d.to);
	if (getsockname(s->fd, &d.to.sa, &d.to_len) < 0)
		return 0;
	return ntohs(s->v6 ? d.to.v6.sin6_port : d.to.v4.sin_port);
}

int udp_steer(const struct udp_sock *s, const void *insns, size_t count)
{
	struct sock_fprog prog = {.len = (unsigned short)count, .filter = (void *)(uintptr_t)insns};

	return setsockopt(s->fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog)) < 0
		       ? -errno
		       : 0;
}

int udp_dest_make(
	const struct udp_sock *s, const struct ep *to, const struct ip *local, struct udp_dest *out)
{
	if (to->port == 0 || (to->ip.family != IP_V4 && to->ip.family != IP_V6))
		return ERR_RANGE;
	if (to->ip.family == IP_V6 && !s->v6)
		return ERR_UNSUPPORTED;
	sockaddr_make(s->v6, to, out);
	memset(&out->local, 0, sizeof(out->local));
	if (local && local->family == to->ip.family)
		out->local = *local;
	return 0;
}

/* ---- sending ---- */

/* Room for packet info of the larger family, TOS and segment size. */
union out_ctl {
	struct cmsghdr align;
	uint8_t b[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) +
		  CMSG_SPACE(sizeof(uint16_t))];
};

static size_t put(union out_ctl *c, size_t at, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *h = (struct cmsghdr *)(void *)(c->b + at);

	h->cmsg_level = level;
	h->cmsg_type = type;
	h->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(h), data, len);
	return at + CMSG_SPACE(len);
}

static bool dest_is_v4(const struct udp_dest *d)
{
	return d->to.sa.sa_family == AF_INET || IN6_IS_ADDR_V4MAPPED(&d->to.v6.sin6_addr);
}

static size_t put_local(union out_ctl *c, const struct udp_dest *d)
{
	if (d->local.family == IP_V4) {
		struct in_pktinfo pi = {0};

		memcpy(&pi.ipi_spec_dst, d->local.b, 4);
		return put(c, 0, IPPROTO_IP, IP_PKTINFO, &pi, sizeof(pi));
	}
	if (d->local.family == IP_V6) {
		struct in6_pktinfo pi = {.ipi6_ifindex = d->to.v6.sin6_scope_id};

		memcpy(&pi.ipi6_addr, d->local.b, 16);
		return put(c, 0, IPPROTO_IPV6, IPV6_PKTINFO, &pi, sizeof(pi));
	}
	return 0;
}

static void fill_out(struct msghdr *m, struct iovec *iov, union out_ctl *c, const struct udp_out *o)
{
	size_t n = 0;
	int tos = o->tos;

	assert(o->len <= UDP_MAX_PAYLOAD);
	*iov = (struct iovec){.iov_base = (void *)(uintptr_t)o->buf, .iov_len = o->len};
	n = put_local(c, o->dest);
	if (dest_is_v4(o->dest))
		n = put(c, n, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	else
		n = put(c, n, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	if (o->seg && o->seg < o->len)
		n = put(c, n, IPPROTO_UDP, UDP_SEGMENT, &o->seg, sizeof(o->seg));
	*m = (struct msghdr){
		.msg_name = (void *)(uintptr_t)&o->dest->to,
		.msg_namelen = o->dest->to_len,
		.msg_iov = iov,
		.msg_iovlen = 1,
		.msg_control = c->b,
		.msg_controllen = n,
	};
}

int udp_send(const struct udp_sock *s, const struct udp_out *out, unsigned n, bool mmsg)
{
	struct mmsghdr m[UDP_SEND_BURST];
	struct iovec iov[UDP_SEND_BURST];
	union out_ctl ctl[UDP_SEND_BURST];
	int sent;

	assert(n > 0 && n <= UDP_SEND_BURST);
	if (n == 1 || !mmsg) {
		struct msghdr one;

		for (unsigned i = 0; i < n; i++) {
			fill_out(&one, iov, ctl, &out[i]);
			if (udp_sys.sendmsg(s->fd, &one, MSG_DONTWAIT) < 0)
				return i ? (int)i : -errno;
		}
		return (int)n;
	}
	for (unsigned i = 0; i < n; i++) {
		fill_out(&m[i].msg_hdr, &iov[i], &ctl[i], &out[i]);
		m[i].msg_len = 0;
	}
	sent = udp_sys.sendmmsg(s->fd, m, n, MSG_DONTWAIT);
	return sent < 0 ? -errno : sent;
}

/* ---- receiving ---- */

union in_ctl {
	struct cmsghdr align;
	uint8_t b[256]; /* both families' packet info, TOS, segment size, drop count */
};

static void read_from(const struct udp_dest *d, struct ep *e)
{
	if (d->to.sa.sa_family == AF_INET) {
		e->ip = ip_v4_bytes((const uint8_t *)&d->to.v4.sin_addr);
		e->port = ntohs(d->to.v4.sin_port);
		e->scope = 0;
		return;
	}
	e->ip = ip_v6_bytes(d->to.v6.sin6_addr.s6_addr);
	ip_unmap(&e->ip);
	e->port = ntohs(d->to.v6.sin6_port);
	e->scope = ip_is_link_local(&e->ip) ? d->to.v6.sin6_scope_id : 0;
}

static void read_ip_ctl(const struct cmsghdr *c, struct udp_in *in)
{
	if (c->cmsg_type == IP_TOS) {
		in->tos = *CMSG_DATA(c); /* one byte, unlike on the way out */
	} else if (c->cmsg_type == IP_PKTINFO) {
		struct in_pktinfo pi;

		memcpy(&pi, CMSG_DATA(c), sizeof(pi));
		in->local = ip_v4_bytes((const uint8_t *)&pi.ipi_addr);
	}
}

static void read_ipv6_ctl(const struct cmsghdr *c, struct udp_in *in)
{
	if (c->cmsg_type == IPV6_TCLASS) {
		int v;

		memcpy(&v, CMSG_DATA(c), sizeof(v));
		in->tos = (uint8_t)v;
	} else if (c->cmsg_type == IPV6_PKTINFO) {
		struct in6_pktinfo pi;

		memcpy(&pi, CMSG_DATA(c), sizeof(pi));
		in->local = ip_v6_bytes(pi.ipi6_addr.s6_addr);
		ip_unmap(&in->local);
	}
}

static void read_ctl(struct udp_sock *s, struct msghdr *m, struct udp_in *in, uint64_t *lost)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP) {
			read_ip_ctl(c, in);
		} else if (c->cmsg_level == IPPROTO_IPV6) {
			read_ipv6_ctl(c, in);
		} else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			int seg;

			memcpy(&seg, CMSG_DATA(c), sizeof(seg));
			in->seg = (uint16_t)seg;
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			uint32_t total;

			memcpy(&total, CMSG_DATA(c), sizeof(total));
			*lost += total - s->kernel_drops;
			s->kernel_drops = total;
		}
	}
}

int udp_recv(struct udp_sock *s, uint8_t *mem, size_t size, unsigned n, bool mmsg,
	struct udp_in *in, uint64_t *lost)
{
	struct mmsghdr m[UDP_RECV_BURST];
	struct iovec iov[UDP_RECV_BURST];
	union in_ctl ctl[UDP_RECV_BURST];
	struct udp_dest from[UDP_RECV_BURST];
	int got;

	assert(n > 0 && n <= UDP_RECV_BURST);
	if (!mmsg)
		n = 1;
	for (unsigned i = 0; i < n; i++) {
		iov[i] = (struct iovec){.iov_base = mem + i * size, .iov_len = size};
		m[i] = (struct mmsghdr){.msg_hdr = {
						.msg_name = &from[i].to,
						.msg_namelen = sizeof(from[i].to),
						.msg_iov = &iov[i],
						.msg_iovlen = 1,
						.msg_control = ctl[i].b,
						.msg_controllen = sizeof(ctl[i].b),
					}};
	}
	got = udp_sys.recvmmsg(s->fd, m, n, MSG_DONTWAIT, NULL);
	if (got < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
	for (int i = 0; i < got; i++) {
		in[i] = (struct udp_in){.buf = mem + (size_t)i * size, .len = m[i].msg_len};
		in[i].truncated = m[i].msg_hdr.msg_flags & MSG_TRUNC;
		read_from(&from[i], &in[i].from);
		read_ctl(s, &m[i].msg_hdr, &in[i], lost);
	}
	return got;
}

/* ---- self-tests ---- */

#define PROBE_SEG 100
#define PROBE_LEN 250 /* two whole segments and a short one */

/* One segmented send to @to, a socket of this process; returns the bytes of the first message that
 * arrives and its segment size, or -errno. */
static int probe(struct udp_sock *to, uint16_t *seg)
{
	const struct udp_opts o = {.bind = {.ip = ip_v4(INADDR_LOOPBACK)}};
	struct ep at = {.ip = ip_v4(INADDR_LOOPBACK), .port = udp_port(to)};
	static const uint8_t data[PROBE_LEN];
	uint8_t mem[2 * PROBE_LEN];
	struct pollfd p = {.fd = to->fd, .events = POLLIN};
	struct udp_sock from;
	struct udp_dest d;
	struct udp_in in;
	uint64_t lost = 0;
	int err = udp_open(&from, &o);

	if (err < 0)
		return err;
	err = udp_dest_make(&from, &at, NULL, &d);
	if (err == 0)
		err = udp_send(&from,
			&(struct udp_out){
				.dest = &d, .buf = data, .len = sizeof(data), .seg = PROBE_SEG},
			1, false);
	if (err > 0)
		err = poll(&p, 1, 100) == 1 ? udp_recv(to, mem, sizeof(mem), 1, true, &in, &lost)
					    : -ETIMEDOUT;
	if (err > 0) {
		*seg = in.seg;
		err = (int)in.len;
	}
	udp_close(&from);
	return err;
}

/* No loopback to test over: take the socket's word. */
static bool untestable(int err)
{
	return err == -ENETUNREACH || err == -EADDRNOTAVAIL || err == -ENETDOWN ||
	       err == -ETIMEDOUT;
}

static bool run_probe(bool gro, char *why, size_t size)
{
	struct udp_opts o = {.bind = {.ip = ip_v4(INADDR_LOOPBACK)}, .gro = gro};
	uint16_t seg = 0;
	struct udp_sock s;
	int err = udp_open(&s, &o);
	bool ok;

	if (err < 0) {
		ok = untestable(err);
		goto out;
	}
	if (gro && !s.gro) {
		err = -EOPNOTSUPP;
		ok = false;
	} else {
		err = probe(&s, &seg);
		ok = untestable(err) ||
		     (gro ? err == PROBE_LEN && seg == PROBE_SEG : err == PROBE_SEG);
	}
	udp_close(&s);
out:
	if (!ok)
		snprintf(why, size, "%s", err < 0 ? err_str(err) : "segments arrive otherwise");
	return ok;
}

bool udp_probe_gso(char *why, size_t size)
{
	return run_probe(false, why, size);
}

bool udp_probe_gro(char *why, size_t size)
{
	return run_probe(true, why, size);
}
