/* kern.c - the kernel state that weft wants, kept true.
 *
 * Parts: wanted state (this file and kern_route.c, kern_dev.c, kern_rule.c, kern_nft.c, kern_out.c,
 * kern_fwd.c), messages
 * (nl_*.c), sockets (nlx.c), events (nl_mon.c), questions about the host (kern_look.c), removal of
 * everything (kern_down.c).
 *
 * Data in: what the daemon wants; events of the kernel. Data out: requests. The one rule: events and
 * calls only mark things dirty, kern_sync() is the only place that changes the kernel (but for
 * kern_segment_add, which runs the same steps for its part). What is dirty:
 *
 *	segments   link up, MTU, addresses, sysctls; looked at one by one
 *	rules	   a dump compared with the list of wanted ones
 *	routes	   single ones on dirty lists; `audit` dumps and compares all
 *	nft	   a number over the table compared with the one after loading
 *	forward	   the host's own firewalls looked at
 *
 * Order of a sync: links, unreachable ranges, routes, rules, forwarding, nft. Whatever fails stays dirty, and
 * kern_deadline() asks for another try, 1 s later and then more slowly.
 *
 * Bounds: LIM_SEGMENTS, LIM_KERN_DEVICES, LIM_KERN_ROUTES. One thread. */
#include <assert.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "kern_int.h"
#include "weft/bounds.h"
#include "weft/err.h"
#include "weft/wire.h"

#define RETRY_MAX_SECS 32

void kern_note(struct kern *k, struct kern_err *e, int err, const char *said, const char *fmt, ...)
{
	char what[KERN_WHY_BYTES];
	va_list ap;

	k->st.errors++;
	if (e->first != 0)
		return;
	e->first = err;
	if (!e->why)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(e->why, e->why_len, "%s: %s%s%s%s", what, err_str(err), said[0] ? " (" : "", said,
		said[0] ? ")" : "");
}

bool kern_usable(const struct kern *k, enum ip_family f)
{
	return f == IP_V4 || (f == IP_V6 && k->cfg.ipv6);
}

ts_t kern_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (ts_t){(uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec};
}

void kern_nft_stale(struct kern *k)
{
	k->nft_dirty = k->nft_changed = true;
	k->out_dirty = k->out_changed = true;
}

bool kern_has_ipv6(void)
{
	char c = '1';
	int fd = open("/proc/sys/net/ipv6/conf/all/disable_ipv6", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, &c, 1) != 1)
		c = '1';
	close(fd);
	return c == '0';
}

int kern_open(const struct kern_cfg *cfg, struct kern **out)
{
	struct kern *k = calloc(1, sizeof(*k));
	uint8_t seed[16];
	int err;

	if (!k)
		return ERR_NOMEM;
	k->cfg = *cfg;
	k->epfd = -1;
	k->due = k->nft_retry = k->out_retry = TS_NEVER;
	list_init(&k->dirty);
	list_init(&k->dirty_floor);
	err = nlx_open(&k->x, NETLINK_ROUTE);
	if (err != 0)
		goto fail;
	err = -ENOMEM;
	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		goto fail;
	k->routes = map_new(sizeof(struct kroute_key), LIM_KERN_ROUTES, seed);
	k->batch = nlx_batch_new(&k->x);
	if (!k->routes || !k->batch)
		goto fail;
	err = nlx_open(&k->nf, NETLINK_NETFILTER);
	if (err == ERR_NOMEM)
		goto fail;
	err = kern_mon_open(k);
	if (err != 0)
		goto fail;
	k->audit = k->rules_dirty = k->nft_dirty = k->nat_look = true;
	k->out_dirty = k->out_changed = k->fwd.look = true;
	*out = k;
	return 0;
fail:
	kern_close(k);
	return err;
}

void kern_close(struct kern *k)
{
	size_t it = 0;
	void *v;

	if (!k)
		return;
	while (k->routes && map_next(k->routes, &it, NULL, &v))
		free(v);
	map_free(k->routes);
	nlx_batch_free(k->batch);
	kern_mon_close(k);
	nlx_close(&k->nf);
	nlx_close(&k->x);
	free(k->fwd.places);
	free(k->segs);
	free(k->devs);
	free(k);
}

/* ---- segments ---- */

struct kseg *kern_seg(struct kern *k, uint32_t vni)
{
	for (size_t i = 0; i < k->nsegs; i++)
		if (k->segs[i].vni == vni)
			return &k->segs[i];
	return NULL;
}

static void segs_changed(struct kern *k)
{
	kern_nft_stale(k);
	k->rules_dirty = k->fwd.look = true;
	k->rules_agreed = k->host_done = false;
}

int kern_segment_add(struct kern *k, uint32_t vni, const char *ifname, unsigned mtu,
	const struct ip *addrs, size_t naddrs)
{
	struct kern_err e = {.first = 0};
	struct kseg *more, *s;
	uint16_t dev;
	int err;

	if (vni > VNI_MAX || naddrs > KERN_SEG_ADDRS)
		return ERR_RANGE;
	if (kern_seg(k, vni))
		return ERR_EXISTS;
	if (k->nsegs == LIM_SEGMENTS)
		return ERR_FULL;
	more = realloc(k->segs, (k->nsegs + 1) * sizeof(*more));
	if (!more)
		return ERR_NOMEM;
	k->segs = more;
	err = kern_dev_ref(k, ifname, vni, &dev);
	if (err != 0)
		return err;
	s = &k->segs[k->nsegs++];
	memset(s, 0, sizeof(*s));
	s->vni = vni;
	s->dev = dev;
	s->mtu = mtu;
	s->naddrs = naddrs;
	if (naddrs > 0)
		memcpy(s->addrs, addrs, naddrs * sizeof(*addrs));
	s->dirty = true;
	k->devs[dev - 1].tun = true;
	segs_changed(k);
	kern_links_sync(k, &e);
	/* No device, or not ours: the segment does not begin. Anything less is tried again. */
	if (k->devs[dev - 1].ifindex == 0) {
		kern_segment_del(k, vni);
		k->fault[0] = '\0';
		return e.first;
	}
	/* Rules wait for kern_sync: with the other segments not stated yet, those that a weftd
	 * before this one left would be taken for unwanted, and pods would fall through to main. */
	return 0;
}

int kern_segment_mtu(struct kern *k, uint32_t vni, unsigned mtu)
{
	struct kseg *s = kern_seg(k, vni);

	if (!s)
		return ERR_NOT_FOUND;
	if (mtu < s->mtu && !k->shrunk) {
		k->shrunk = true;
		k->out_dirty = k->out_changed = true;
	}
	if (s->mtu != mtu) {
		s->mtu = mtu;
		s->dirty = true;
		s->agreed = false;
	}
	return 0;
}

int kern_segment_addrs(struct kern *k, uint32_t vni, const struct ip *addrs, size_t naddrs)
{
	struct kseg *s = kern_seg(k, vni);

	if (!s)
		return ERR_NOT_FOUND;
	if (naddrs > KERN_SEG_ADDRS)
		return ERR_RANGE;
	s->naddrs = naddrs;
	if (naddrs > 0)
		memcpy(s->addrs, addrs, naddrs * sizeof(*addrs));
	s->dirty = true;
	s->agreed = false;
	return 0;
}

int kern_segment_del(struct kern *k, uint32_t vni)
{
	struct kseg *s = kern_seg(k, vni);

	if (!s)
		return ERR_NOT_FOUND;
	kern_routes_drop(k, vni);
	kern_dev_unref(k, s->dev);
	*s = k->segs[--k->nsegs];
	segs_changed(k);
	return 0;
}

/* ---- routes ---- */

/* A segment's TUN, with a reference for a route. */
static uint16_t tun_ref(struct kern *k, const struct kseg *s)
{
	k->devs[s->dev - 1].refs++;
	return s->dev;
}

int kern_range_add(struct kern *k, uint32_t vni, const struct pfx *range)
{
	int err;

	if (!kern_seg(k, vni))
		return ERR_NOT_FOUND;
	err = kern_obj_set(k, vni, range, KR_RANGE, 0, 0, NULL, false);
	if (err == 0) /* walls and masquerade speak of it */
		kern_nft_stale(k);
	if (err == 0 && vni == VNI_CONTROL) {
		k->rules_dirty = true;
		k->rules_agreed = false;
	}
	return err;
}

int kern_local_add(struct kern *k, uint32_t vni, const struct pfx *p, const char *device)
{
	uint16_t dev = 0;
	int err;

	if (!kern_seg(k, vni))
		return ERR_NOT_FOUND;
	if (device) {
		err = kern_dev_ref(k, device, vni, &dev);
		if (err != 0)
			return err;
	}
	err = kern_obj_set(k, vni, p, KR_OWN, dev, 0, NULL, false);
	if (err == 0)
		k->out_dirty = k->out_changed = true;
	if (err != 0 || !device)
		return err;
	err = kern_obj_set(k, vni, p, KR_FLOOR, 0, 0, NULL, true);
	if (err != 0)
		(void)kern_obj_del(k, vni, p, KR_OWN);
	return err;
}

int kern_local_del(struct kern *k, uint32_t vni, const struct pfx *p)
{
	int err = kern_obj_del(k, vni, p, KR_OWN);

	if (err == 0) {
		(void)kern_obj_del(k, vni, p, KR_FLOOR); /* only with a device */
		k->out_dirty = k->out_changed = true;
	}
	return err;
}

int kern_route_add(
	struct kern *k, uint32_t vni, const struct pfx *p, unsigned mtu, const struct ip *src)
{
	const struct kseg *s = kern_seg(k, vni);

	if (!s)
		return ERR_NOT_FOUND;
	return kern_obj_set(k, vni, p, KR_REMOTE, tun_ref(k, s), mtu, src, true);
}

int kern_route_del(struct kern *k, uint32_t vni, const struct pfx *p)
{
	return kern_obj_del(k, vni, p, KR_REMOTE);
}

/* ---- sync ---- */

int kern_sync(struct kern *k, char *why, size_t why_len)
{
	struct kern_err e = {.first = 0, .why = why_len > 0 ? why : NULL, .why_len = why_len};
	unsigned secs;

	if (e.why)
		why[0] = '\0';
	k->due = TS_NEVER;
	kern_links_sync(k, &e);
	kern_routes_sync(k, &e);
	kern_rules_sync(k, &e);
	kern_host_sync(k, &e); /* the host forwards only when the ranges stand */
	kern_nft_sync(k);
	kern_fwd_sync(k);
	kern_out_sync(k);
	if (k->nft_dirty)
		k->due = k->nft_retry;
	if (k->out_dirty)
		k->due = ts_min(k->due, k->out_retry);
	if (k->fwd.look)
		k->due = ts_min(k->due, k->fwd.next);
	if (e.first == 0) {
		k->failures = 0;
		return 0;
	}
	secs = k->failures < 5 ? 1u << k->failures : RETRY_MAX_SECS;
	k->failures++;
	k->due = ts_min(k->due, ts_add(kern_clock(), DUR_SEC(secs)));
	return e.first;
}

int kern_fd(const struct kern *k)
{
	return k->epfd;
}

ts_t kern_deadline(const struct kern *k)
{
	return k->due;
}

void kern_stats(const struct kern *k, struct kern_stats *out)
{
	size_t it = 0;
	void *v;

	*out = k->st;
	out->routes = 0;
	while (map_next(k->routes, &it, NULL, &v))
		out->routes +=
			((const struct kroute *)v)->want && ((const struct kroute *)v)->present;
	snprintf(out->fault, sizeof(out->fault), "%s", k->fault);
}
