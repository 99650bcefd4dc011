/* radv.c - router advertisements as a way to find the neighbour of a link.
 *
 * Data in: ICMPv6 messages of all links (the kernel has checked their sums), time. Data out: addresses
 * of routers to whoever opened us, advertisements and solicitations. State: the links, by name, since
 * an interface may go and come back with another number. Bounds: RADV_LINKS_MAX links, READ_BUDGET
 * messages in a turn. Failure: what can't be sent is sent again at its next time. */
#include "radv.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sockaddr.h"
#include "weft/buf.h"
#include "weft/err.h"

#define PERIOD      DUR_SEC(10)
#define FIRST       DUR_SEC(1)
#define FIRST_TIMES 3
#define READ_BUDGET 32
#define HOP_LIMIT   255
#define ADVERT_LEN  16 /* RFC 4861 4.2, without options */
#define SOLICIT_LEN 8  /* 4.1 */

struct link {
	char name[RADV_NAME_MAX];
	unsigned sent; /* since it was there */
	unsigned ifindex;
	ts_t next;
};

struct radv {
	int fd;
	struct loop_io *io;
	struct loop_timer *timer;
	radv_fn fn;
	void *ctx;
	struct link links[RADV_LINKS_MAX];
	size_t nlinks;
};

enum radv_kind radv_judge(const uint8_t *buf, size_t len, const struct ip *from, int hop_limit)
{
	struct rd r;
	uint8_t type, code;

	rd_init(&r, buf, len);
	type = rd_u8(&r);
	code = rd_u8(&r);
	if (rd_bad(&r) || code != 0 || hop_limit != HOP_LIMIT)
		return RADV_OTHER;
	if (type == ND_ROUTER_SOLICIT && len >= SOLICIT_LEN)
		return RADV_SOLICIT;
	if (type == ND_ROUTER_ADVERT && len >= ADVERT_LEN && ip_is_link_local(from))
		return RADV_ADVERT;
	return RADV_OTHER;
}

/* To all nodes, or all routers, of a link. */
static void send_to(struct radv *r, unsigned ifindex, uint8_t last, const uint8_t *buf, size_t len)
{
	struct ip to = {.b = {0xff, 2}, .family = IP_V6};
	union sockaddr_any a;
	struct in6_pktinfo info = {.ipi6_ifindex = ifindex};
	union {
		char b[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct msghdr m = {.msg_name = &a,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.b,
		.msg_controllen = sizeof(control.b)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	to.b[15] = last;
	m.msg_namelen = sockaddr_make(&to, 0, ifindex, &a);
	c->cmsg_level = IPPROTO_IPV6;
	c->cmsg_type = IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	(void)!sendmsg(r->fd, &m, MSG_DONTWAIT);
}

static void advertise(struct radv *r, const struct link *l)
{
	static const uint8_t advert[ADVERT_LEN] = {ND_ROUTER_ADVERT};

	send_to(r, l->ifindex, 1, advert, sizeof(advert));
}

static void solicit(struct radv *r, const struct link *l)
{
	static const uint8_t ask[SOLICIT_LEN] = {ND_ROUTER_SOLICIT};

	send_to(r, l->ifindex, 2, ask, sizeof(ask));
}

static void look_after(struct radv *r, struct link *l, ts_t now)
{
	unsigned ifindex = if_nametoindex(l->name);

	if (ifindex != l->ifindex)
		l->sent = 0;
	l->ifindex = ifindex;
	if (ifindex) {
		advertise(r, l);
		if (l->sent < FIRST_TIMES)
			solicit(r, l);
		l->sent++;
	}
	l->next = ts_add(now, l->sent < FIRST_TIMES ? FIRST : PERIOD);
}

static void on_timer(void *ctx)
{
	struct radv *r = ctx;
	ts_t now = loop_now(), next = TS_NEVER;

	for (size_t i = 0; i < r->nlinks; i++) {
		if (ts_due(r->links[i].next, now))
			look_after(r, &r->links[i], now);
		next = ts_min(next, r->links[i].next);
	}
	loop_timer_set(r->timer, next);
}

static int hop_limit_of(struct msghdr *m, unsigned *ifindex)
{
	int limit = -1;

	*ifindex = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct in6_pktinfo info;

		if (c->cmsg_level != IPPROTO_IPV6)
			continue;
		if (c->cmsg_type == IPV6_HOPLIMIT) {
			memcpy(&limit, CMSG_DATA(c), sizeof(limit));
		} else if (c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			*ifindex = info.ipi6_ifindex;
		}
	}
	return limit;
}

/* False: nothing is waiting. */
static bool take(struct radv *r)
{
	uint8_t buf[1500];
	union sockaddr_any a;
	struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
	union {
		char b[128];
		struct cmsghdr align;
	} control;
	struct msghdr m = {.msg_name = &a,
		.msg_namelen = sizeof(a),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.b,
		.msg_controllen = sizeof(control.b)};
	ssize_t n = recvmsg(r->fd, &m, MSG_DONTWAIT);
	enum radv_kind kind;
	unsigned ifindex;
	struct ep from;
	int limit;

	if (n < 0)
		return false;
	sockaddr_read(&a, &from);
	limit = hop_limit_of(&m, &ifindex);
	kind = radv_judge(buf, (size_t)n, &from.ip, limit);
	for (size_t i = 0; i < r->nlinks && ifindex && kind != RADV_OTHER; i++) {
		struct link *l = &r->links[i];

		if (if_nametoindex(l->name) != ifindex)
			continue;
		l->ifindex = ifindex;
		if (kind == RADV_SOLICIT) {
			advertise(r, l);
			continue;
		}
		from.scope = ifindex;
		from.port = 0;
		r->fn(r->ctx, l->name, &from);
	}
	return true;
}

static void on_readable(void *ctx, int events)
{
	(void)events;
	for (unsigned i = 0; i < READ_BUDGET && take(ctx); i++)
		;
}

static int set_options(int fd)
{
	struct icmp6_filter f;
	int err;

	ICMP6_FILTER_SETBLOCKALL(&f);
	ICMP6_FILTER_SETPASS(ND_ROUTER_ADVERT, &f);
	ICMP6_FILTER_SETPASS(ND_ROUTER_SOLICIT, &f);
	if (setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &f, sizeof(f)) != 0)
		return -errno;
	err = sockaddr_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, HOP_LIMIT);
	if (!err)
		err = sockaddr_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
	if (!err)
		err = sockaddr_option(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
	return err ? err : sockaddr_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
}

int radv_open(struct loop *loop, radv_fn fn, void *ctx, struct radv **out)
{
	struct radv *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return ERR_NOMEM;
	r->fn = fn;
	r->ctx = ctx;
	r->fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);
	err = r->fd < 0 ? -errno : set_options(r->fd);
	if (err) {
		radv_close(r);
		return err;
	}
	r->io = loop_io_new(loop, r->fd, LOOP_READ, on_readable, r);
	r->timer = loop_timer_new(loop, on_timer, r);
	if (!r->io || !r->timer) {
		radv_close(r);
		return ERR_NOMEM;
	}
	*out = r;
	return 0;
}

int radv_watch(struct radv *r, const char *name)
{
	struct link *l = &r->links[r->nlinks];
	size_t len = strlen(name);

	if (len == 0 || len >= RADV_NAME_MAX)
		return ERR_RANGE;
	if (r->nlinks == RADV_LINKS_MAX)
		return ERR_FULL;
	*l = (struct link){.next = loop_now()};
	memcpy(l->name, name, len + 1);
	r->nlinks++;
	loop_timer_set(r->timer, l->next);
	return 0;
}

void radv_close(struct radv *r)
{
	if (!r)
		return;
	loop_io_free(r->io);
	loop_timer_free(r->timer);
	if (r->fd >= 0)
		close(r->fd);
	free(r);
}
