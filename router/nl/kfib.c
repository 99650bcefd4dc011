/* kfib.c - the table of learned routes.
 *
 * Two tables: next hops (hop: an address, and the gateway and device by which the host reaches it)
 * and routes, each with the number of its hop. What must be sent stands in the list `dirty`. A hop
 * that resolves to something else makes all its routes dirty; a hop that is lost keeps them as they
 * are, since whoever stated them hears of it (kfib_recheck) and states something better.
 *
 * The kernel takes routes away silently when a device goes, so after changes of the host the table is
 * dumped and compared (audit): at most a twentieth of the time goes into that.
 *
 * Whatever concerns the whole table is done in portions, one with each kfib_sync(), so that a full
 * table holds up nobody: to look through the routes for those whose hop moved or that are to be swept
 * (check), and the audit, by a socket of its own. Each settled route is in one of three lists: those
 * that the check has still to look at, those that the audit has not seen yet, the others. So what
 * the kernel lacks is what is left of the second list at the end, and a route that we send meanwhile
 * simply leaves it. One that we remove meanwhile stays in `graves` until the end: the dump may be
 * older than the removal. A check interrupts the audit, which begins anew later.
 *
 * States of a route: wanted or not; stale (found at the start, stated by nobody yet), present as far
 * as we know. Bounds: LIM_KERN_ROUTES routes, LIM_BGP_NEXTHOPS hops. Failure: a route that the kernel
 * refuses is set aside in `failed` until the next kfib_recheck(); an audit that fails is repeated. */
#include "kfib.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "kern.h"
#include "list.h"
#include "map.h"
#include "nl_msg.h"
#include "weft/bounds.h"
#include "weft/err.h"

#define HOP_KEY_BYTES   (1 + 16 + sizeof(int))
#define AUDIT_SHARE     20 /* an audit that took t is not repeated for 20 t */
#define AUDIT_MIN       DUR_MS(500)
#define RETRY           DUR_SEC(2)
/* Of one portion, each well below a millisecond. */
#define CHECK_ROUTES    4096
#define AUDIT_DATAGRAMS 4 /* of 32 KiB, some 300 routes each */
#define CLOSE_ROUTES    2048
#define NO_HOP          0 /* unreachable */

struct hop {
	struct ip addr, gateway; /* gateway IP_NONE: on the link */
	int oif;                 /* 0: not reachable now */
	uint32_t refs;           /* routes */
	uint32_t cost;
	int link; /* link-local ones: the device they are of; else 0 */
	/* Several at once: numbers of other hops, which are held; ascending, 0 at the end. */
	uint16_t *members;
	bool moved; /* since the check at hand began: its routes are stated again */
	bool used;  /* the slot is taken */
};

enum place {
	SETTLED, /* in settled, unseen or unchecked: as it should be as far as we know, or stale */
	QUEUED,  /* in dirty or failed, or in the batch at hand */
	GRAVE
};

struct route {
	struct list link; /* in a list of its place */
	struct pfx dst;
	uint16_t hop;
	uint8_t place; /* enum place */
	bool want, present, stale;
};

enum audit_stage { AUDIT_NONE, AUDIT_V4, AUDIT_V6, AUDIT_CLOSE };

struct kfib {
	struct nlx x;
	struct nlx_batch *batch;
	uint32_t table, mark;
	bool ipv6;
	struct map *routes, *hop_index; /* to struct route; to 1 + number */
	struct map *group_index;        /* of hops with members, by these */
	struct hop *hops;               /* LIM_BGP_NEXTHOPS + 1; [0] is NO_HOP */
	uint16_t free_hint;
	struct list settled, unseen, unchecked; /* SETTLED */
	struct list dirty, failed;              /* QUEUED */
	struct list graves;
	size_t npresent, nqueued;
	bool sweep; /* the check sweeps */
	enum audit_stage stage;
	struct nlx dump; /* open while the audit reads */
	unsigned torn;   /* how often it began anew */
	dur_t audit_took;
	bool audit_due, audit_wanted; /* wanted: as soon as the check is over */
	ts_t next_audit, retry;
	struct kfib_stats st;
	int first; /* of a sync */
	char *why;
	size_t why_len;
};

uint32_t kfib_table(uint32_t vni)
{
	return KFIB_TABLE_BASE + vni;
}

static ts_t clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (ts_t){(uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec};
}

/* --- lists --- */

static void put(struct kfib *f, struct route *r, enum place place, struct list *to)
{
	f->nqueued += place == QUEUED;
	f->nqueued -= r->place == QUEUED;
	r->place = (uint8_t)place;
	list_del(&r->link);
	list_add_tail(to, &r->link);
}

static void mark(struct kfib *f, struct route *r)
{
	put(f, r, QUEUED, &f->dirty);
}

static void settle(struct kfib *f, struct route *r)
{
	put(f, r, SETTLED, &f->settled);
}

static void set_present(struct kfib *f, struct route *r, bool present)
{
	f->npresent += present;
	f->npresent -= r->present;
	r->present = present;
}

/* --- next hops --- */

/* Ask the host. Only what leaves by a link of this host counts: a local or unreachable address is no
 * next hop. */
static void ask(struct kfib *f, struct hop *h)
{
	struct nl_route r;

	h->oif = 0;
	h->cost = 0;
	memset(&h->gateway, 0, sizeof(h->gateway));
	if (h->addr.family == IP_V6 && !f->ipv6)
		return;
	for (unsigned i = 0; h->members && i < KFIB_PATHS && h->members[i]; i++)
		if (!h->oif)
			h->oif = f->hops[h->members[i]].oif;
	if (h->members)
		return;
	if (h->link) { /* there while its device is; who stated it knows the rest */
		char name[IF_NAMESIZE];

		h->oif = if_indextoname((unsigned)h->link, name) ? h->link : 0;
		return;
	}
	if (nl_route_get(&f->x, &h->addr, f->mark, &r) != 0 || r.type != RTN_UNICAST || r.oif <= 0)
		return;
	h->oif = r.oif;
	h->cost = r.gateway.family != IP_NONE;
	h->gateway = r.gateway;
}

/* Key of hop_index. */
struct hop_key {
	uint8_t b[HOP_KEY_BYTES];
};

static struct hop_key hop_key(const struct ip *nh, int link)
{
	struct hop_key k = {.b = {nh->family}};

	memcpy(k.b + 1, nh->b, 16);
	memcpy(k.b + 17, &link, sizeof(link));
	return k;
}

static uint16_t hop_find(const struct kfib *f, const struct ip *nh, int link)
{
	struct hop_key k = hop_key(nh, link);

	return (uint16_t)(uintptr_t)map_get(f->hop_index, &k);
}

static void hop_evict(struct kfib *f, struct hop *h)
{
	struct hop_key key = hop_key(&h->addr, h->link);

	if (h->members) {
		(void)map_del(f->group_index, h->members);
		for (unsigned i = 0; i < KFIB_PATHS && h->members[i]; i++)
			f->hops[h->members[i]].refs--;
		free(h->members);
	} else {
		(void)map_del(f->hop_index, &key);
	}
	*h = (struct hop){0};
}

/* An empty slot: one that was only asked about gives way. NO_HOP: there is none. */
static uint16_t hop_slot(struct kfib *f)
{
	for (unsigned i = 0; i < LIM_BGP_NEXTHOPS; i++) {
		uint16_t n = (uint16_t)(1 + (f->free_hint + i) % LIM_BGP_NEXTHOPS);

		if (f->hops[n].used && f->hops[n].refs > 0)
			continue;
		if (f->hops[n].used)
			hop_evict(f, &f->hops[n]);
		f->free_hint = n % LIM_BGP_NEXTHOPS;
		return n;
	}
	return NO_HOP;
}

/* The number of @nh, NO_HOP if there is no room. */
static uint16_t hop_get(struct kfib *f, const struct ip *nh, int link)
{
	struct hop_key key = hop_key(nh, link);
	uint16_t n = hop_find(f, nh, link);

	if (n != NO_HOP)
		return n;
	n = hop_slot(f);
	if (n == NO_HOP || map_put(f->hop_index, &key, (void *)(uintptr_t)n) != 0)
		return NO_HOP;
	f->hops[n] = (struct hop){.addr = *nh, .link = link, .used = true};
	ask(f, &f->hops[n]);
	return n;
}

static int by_number(const void *a, const void *b)
{
	return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* The number of the group of @members (KFIB_PATHS, @n of them set), each of which is held by the caller
 * once; NO_HOP if there is no room. */
static uint16_t group_get(struct kfib *f, uint16_t *members, unsigned n)
{
	uint16_t *own, g;

	qsort(members, n, sizeof(*members), by_number);
	g = (uint16_t)(uintptr_t)map_get(f->group_index, members);
	if (g != NO_HOP)
		return g;
	own = malloc(KFIB_PATHS * sizeof(*own));
	g = own ? hop_slot(f) : NO_HOP;
	if (g == NO_HOP || map_put(f->group_index, members, (void *)(uintptr_t)g) != 0) {
		free(own);
		return NO_HOP;
	}
	memcpy(own, members, KFIB_PATHS * sizeof(*own));
	f->hops[g] = (struct hop){.members = own, .used = true};
	for (unsigned i = 0; i < n; i++)
		f->hops[own[i]].refs++;
	ask(f, &f->hops[g]);
	return g;
}

bool kfib_resolve(struct kfib *f, const struct ip *nh, uint32_t *cost)
{
	struct hop once = {.addr = *nh}, *h = &once;
	uint16_t n = hop_get(f, nh, 0);

	if (n != NO_HOP)
		h = &f->hops[n];
	else
		ask(f, h); /* no room to remember it */
	*cost = h->cost;
	return h->oif > 0;
}

/* --- what is wanted --- */

static struct route *route_get(struct kfib *f, const struct pfx *p, int *err)
{
	uint8_t key[PFX_KEY];
	struct route *r;

	pfx_key(p, key);
	r = map_get(f->routes, key);
	if (r)
		return r;
	r = calloc(1, sizeof(*r));
	*err = r ? map_put(f->routes, key, r) : ERR_NOMEM;
	if (*err) {
		free(r);
		return NULL;
	}
	r->dst = *p;
	list_init(&r->link);
	return r;
}

static void route_free(struct kfib *f, struct route *r)
{
	uint8_t key[PFX_KEY];

	pfx_key(&r->dst, key);
	(void)map_del(f->routes, key);
	list_del(&r->link);
	if (r->hop != NO_HOP)
		f->hops[r->hop].refs--;
	set_present(f, r, false);
	f->st.leftover -= r->stale;
	f->nqueued -= r->place == QUEUED;
	free(r);
}

static int state(struct kfib *f, const struct pfx *p, uint16_t hop)
{
	struct route *r;
	int err = 0;

	if (p->ip.family == IP_V6 && !f->ipv6)
		return 0; /* a host without IPv6 has no table for it */
	r = route_get(f, p, &err);
	if (!r) {
		f->st.full++;
		return err;
	}
	if (r->want && r->hop == hop && r->present)
		return 0;
	if (hop != NO_HOP)
		f->hops[hop].refs++;
	if (r->hop != NO_HOP)
		f->hops[r->hop].refs--;
	f->st.leftover -= r->stale;
	r->stale = false;
	r->hop = hop;
	r->want = true;
	mark(f, r);
	return 0;
}

int kfib_set(struct kfib *f, const struct pfx *p, const struct ip *nh)
{
	return kfib_set_on(f, p, nh, 0);
}

int kfib_set_on(struct kfib *f, const struct pfx *p, const struct ip *nh, int oif)
{
	uint16_t hop = hop_get(f, nh, oif);

	if (hop == NO_HOP) {
		f->st.full++;
		return ERR_FULL;
	}
	return state(f, p, hop);
}

int kfib_set_paths(struct kfib *f, const struct pfx *p, const struct kfib_path *paths, unsigned n)
{
	uint16_t members[KFIB_PATHS] = {0}, hop = NO_HOP;
	unsigned have = 0;
	int err = ERR_FULL;

	if (n == 0 || n > KFIB_PATHS)
		return ERR_RANGE;
	/* Held meanwhile, so that none takes another's slot. */
	for (unsigned i = 0; i < n; i++) {
		uint16_t m = hop_get(f, &paths[i].nh, paths[i].oif);
		bool twice = false;

		for (unsigned k = 0; k < have; k++)
			twice |= members[k] == m;
		if (m == NO_HOP || twice)
			continue;
		members[have++] = m;
		f->hops[m].refs++;
	}
	if (have > 1)
		hop = group_get(f, members, have);
	if (hop == NO_HOP && have > 0)
		hop = members[0]; /* one is better than none */
	if (hop != NO_HOP)
		err = state(f, p, hop);
	else
		f->st.full++;
	for (unsigned i = 0; i < have; i++)
		f->hops[members[i]].refs--;
	return err;
}

int kfib_set_unreachable(struct kfib *f, const struct pfx *p)
{
	return state(f, p, NO_HOP);
}

int kfib_del(struct kfib *f, const struct pfx *p)
{
	uint8_t key[PFX_KEY];
	struct route *r;

	pfx_key(p, key);
	r = map_get(f->routes, key);
	if (!r || !r->want)
		return ERR_NOT_FOUND;
	r->want = false;
	mark(f, r);
	return 0;
}

/* --- sending --- */

static void to_message(const struct kfib *f, const struct route *r, struct nl_route *out)
{
	const struct hop *h = &f->hops[r->hop];

	memset(out, 0, sizeof(*out));
	out->dst = r->dst;
	out->table = f->table;
	out->metric = KFIB_METRIC;
	out->proto = KERN_RTPROT;
	out->type = r->hop == NO_HOP ? RTN_UNREACHABLE : RTN_UNICAST;
	out->scope = RT_SCOPE_UNIVERSE;
	if (r->hop == NO_HOP)
		return;
	for (unsigned i = 0; h->members && i < KFIB_PATHS && h->members[i]; i++) {
		const struct hop *m = &f->hops[h->members[i]];

		if (m->oif <= 0)
			continue;
		out->hops[out->nhops] = out->oif = m->oif;
		out->gateway = m->gateway.family != IP_NONE ? m->gateway : m->addr;
		out->hop_gateways[out->nhops++] = out->gateway;
	}
	if (h->members)
		return;
	out->oif = h->oif;
	out->gateway = h->gateway.family != IP_NONE ? h->gateway : h->addr;
}

/* Are the next hops of a multipath route the same, in any order? */
static bool same_hops(const struct nl_route *a, const struct nl_route *b)
{
	unsigned found = 0;

	for (unsigned i = 0; i < a->nhops; i++)
		for (unsigned k = 0; k < b->nhops; k++)
			if (a->hops[i] == b->hops[k] &&
				ip_eq(&a->hop_gateways[i], &b->hop_gateways[k])) {
				found++;
				break;
			}
	return a->nhops == b->nhops && found == a->nhops;
}

static bool agrees(const struct kfib *f, const struct route *r, const struct nl_route *shown)
{
	struct nl_route want;

	to_message(f, r, &want);
	if (want.nhops > 1 || shown->nhops > 1)
		return shown->type == want.type && same_hops(&want, shown);
	return shown->type == want.type &&
	       (r->hop == NO_HOP ||
		       (shown->oif == want.oif && ip_eq(&shown->gateway, &want.gateway)));
}

static void note(struct kfib *f, const struct route *r, int err)
{
	char text[PFX_STRLEN], gw[IP_STRLEN] = "nowhere";

	f->st.errors++;
	if (f->first)
		return;
	f->first = err;
	if (r->hop != NO_HOP)
		ip_fmt(&f->hops[r->hop].addr, gw);
	if (f->why_len > 0)
		(void)snprintf(f->why, f->why_len, "%s route %s via %s in table %u: %s%s%s%s",
			r->want ? "adding" : "removing", pfx_fmt(&r->dst, text), gw, f->table,
			err_str(err), f->batch->said[0] ? " (" : "", f->batch->said,
			f->batch->said[0] ? ")" : "");
}

static void sent(void *ctx, void *obj, int err)
{
	struct kfib *f = ctx;
	struct route *r = obj;

	if (!r->want && (err == -ESRCH || err == -ENODEV || err == -ENOENT))
		err = 0;
	if (err) {
		note(f, r, err);
		put(f, r, QUEUED, &f->failed);
		f->retry = ts_min(f->retry, ts_add(clock_now(), RETRY));
	} else if (r->want) {
		set_present(f, r, true);
		settle(f, r);
	} else if (f->stage == AUDIT_V4 || f->stage == AUDIT_V6) {
		set_present(f, r, false);
		put(f, r, GRAVE, &f->graves);
	} else {
		route_free(f, r);
	}
}

/* --- the whole table --- */

/* The first of @from, taken out of it. */
static struct route *take(struct list *from)
{
	struct route *r = list_entry(from->next, struct route, link);

	list_del(&r->link);
	return r;
}

static void check_portion(struct kfib *f)
{
	for (unsigned i = 0; i < CHECK_ROUTES && !list_empty(&f->unchecked); i++) {
		struct route *r = take(&f->unchecked);
		const struct hop *h = &f->hops[r->hop];

		if (r->stale && f->sweep) {
			r->stale = false;
			f->st.leftover--;
			mark(f, r);
		} else if (r->want && h->moved && h->oif > 0) {
			mark(f, r);
		} else {
			settle(f, r);
		}
	}
	if (!list_empty(&f->unchecked))
		return;
	f->sweep = false;
	for (uint16_t n = 1; n <= LIM_BGP_NEXTHOPS; n++)
		f->hops[n].moved = false;
}

/* --- what the kernel has --- */

static int audit_route(void *ctx, const struct nlmsghdr *nlh)
{
	struct kfib *f = ctx;
	struct nl_route shown;
	struct route *r;
	int err = 0;

	if (nl_route_parse(nlh, &shown) != 0 || shown.proto != KERN_RTPROT ||
		shown.table != f->table || shown.metric != KFIB_METRIC)
		return 0;
	r = route_get(f, &shown.dst, &err);
	if (!r)
		return err;
	if (r->place != SETTLED || (r->want && !agrees(f, r, &shown)))
		return 0;
	if (!r->want && !r->stale) {
		/* Of the process before us, or somebody else's with our number. */
		r->stale = true;
		f->st.leftover++;
	}
	settle(f, r);
	return 0;
}

/* From the beginning, also when a dump was torn: what that showed counts for nothing. */
static int audit_read(struct kfib *f)
{
	list_splice_tail(&f->unseen, &f->settled);
	f->stage = AUDIT_V4;
	return nl_route_dump_begin(&f->dump, IP_V4, KERN_RTPROT, f->table);
}

/* All is read, or reading failed. */
static void audit_read_end(struct kfib *f, int err)
{
	nlx_close(&f->dump);
	if (err != 0) { /* nobody knows what is missing */
		list_splice_tail(&f->settled, &f->unseen);
		f->audit_due = true;
	}
	f->stage = AUDIT_CLOSE;
}

static int audit_begin(struct kfib *f)
{
	int err = nlx_open(&f->dump, NETLINK_ROUTE);

	f->audit_due = f->audit_wanted = false;
	f->torn = 0;
	f->audit_took = DUR_MS(0);
	if (err == 0)
		err = audit_read(f);
	if (err != 0)
		audit_read_end(f, err);
	return err;
}

/* A portion of the dumps. 0; an error ends the audit. */
static int audit_some(struct kfib *f)
{
	int err = nlx_dump_some(&f->dump, AUDIT_DATAGRAMS, audit_route, f);

	if (err == 1)
		return 0;
	if (err == -EAGAIN && ++f->torn < NLX_DUMP_TRIES)
		return audit_read(f);
	if (err == -ENOENT) /* no route, no table */
		err = 0;
	if (err == 0 && f->stage == AUDIT_V4 && f->ipv6) {
		f->stage = AUDIT_V6;
		return nl_route_dump_begin(&f->dump, IP_V6, KERN_RTPROT, f->table);
	}
	if (err == 0)
		audit_read_end(f, 0);
	return err;
}

/* What no dump showed is missing. */
static void audit_close(struct kfib *f)
{
	unsigned n = 0;

	for (; n < CLOSE_ROUTES && !list_empty(&f->unseen); n++) {
		struct route *r = take(&f->unseen);

		if (r->want) {
			f->st.repaired += r->present;
			set_present(f, r, false);
			mark(f, r);
		} else {
			route_free(f, r); /* a leftover that somebody removed */
		}
	}
	for (; n < CLOSE_ROUTES && !list_empty(&f->graves); n++)
		route_free(f, list_entry(f->graves.next, struct route, link));
	if (list_empty(&f->unseen) && list_empty(&f->graves))
		f->stage = AUDIT_NONE;
}

static int audit_portion(struct kfib *f)
{
	ts_t began = clock_now();
	dur_t pause;
	int err = 0;

	if (f->stage == AUDIT_CLOSE)
		audit_close(f);
	else
		err = audit_some(f);
	if (err != 0)
		audit_read_end(f, err);
	f->audit_took.ns += ts_sub(clock_now(), began).ns;
	if (f->stage == AUDIT_NONE) {
		pause.ns = f->audit_took.ns * AUDIT_SHARE;
		f->next_audit = ts_add(clock_now(), pause.ns > AUDIT_MIN.ns ? pause : AUDIT_MIN);
	}
	return err;
}

/* All settled routes are looked through, in portions. */
static void check_begin(struct kfib *f)
{
	if (f->stage == AUDIT_V4 || f->stage == AUDIT_V6)
		audit_read_end(f, -EINTR);
	list_splice_tail(&f->unchecked, &f->unseen);
	list_splice_tail(&f->unchecked, &f->settled);
}

void kfib_sweep(struct kfib *f)
{
	f->sweep = true;
	check_begin(f);
}

/* --- sending, in portions --- */

/* Send at most @budget changes. */
static void send_dirty(struct kfib *f, unsigned budget)
{
	for (; budget > 0 && !list_empty(&f->dirty); budget--) {
		struct route *r = take(&f->dirty);
		struct nl_route m;

		/* Its hop is lost: what stands stays until something better is stated. */
		if (r->want && r->hop != NO_HOP && f->hops[r->hop].oif <= 0) {
			put(f, r, QUEUED, &f->failed);
			continue;
		}
		to_message(f, r, &m);
		nl_route_put(nlx_batch_add(f->batch, r->want ? RTM_NEWROUTE : RTM_DELROUTE,
				     r->want ? NLM_F_CREATE | NLM_F_REPLACE : 0,
				     sizeof(struct rtmsg), r),
			&m);
		if (nlx_batch_full(f->batch))
			(void)nlx_batch_run(f->batch, sent, f);
	}
	(void)nlx_batch_run(f->batch, sent, f);
}

int kfib_sync(struct kfib *f, unsigned budget, char *why, size_t why_len)
{
	f->first = 0;
	f->why = why;
	f->why_len = why_len;
	if (why_len > 0)
		why[0] = '\0';
	if (!list_empty(&f->unchecked))
		check_portion(f);
	send_dirty(f, budget);
	if (f->stage != AUDIT_NONE)
		(void)audit_portion(f);
	else if (f->audit_wanted && list_empty(&f->unchecked))
		(void)audit_begin(f);
	f->why = NULL;
	f->why_len = 0;
	if (f->first)
		return f->first;
	return !list_empty(&f->dirty) || !list_empty(&f->unchecked) || f->stage != AUDIT_NONE ||
	       f->audit_wanted;
}

/* --- changes of the host --- */

/* What a packet by @h would do now is not what it did by @old. */
static bool differs(const struct hop *h, const struct hop *old)
{
	return h->oif != old->oif || !ip_eq(&h->gateway, &old->gateway);
}

/* Resolve all anew; true: reachability or cost of one changed. *@moved: routes must be told of it. */
static bool hops_recheck(struct kfib *f, bool *moved)
{
	bool changed = false;

	for (uint16_t n = 1; n <= LIM_BGP_NEXTHOPS; n++) {
		struct hop *h = &f->hops[n], old = *h;

		if (!h->used || h->members)
			continue;
		ask(f, h);
		changed |= (h->oif > 0) != (old.oif > 0) || h->cost != old.cost;
		h->moved |= differs(h, &old);
		*moved |= h->moved && h->refs > 0;
	}
	for (uint16_t n = 1; n <= LIM_BGP_NEXTHOPS; n++) {
		struct hop *h = &f->hops[n];

		for (unsigned i = 0; h->members && i < KFIB_PATHS && h->members[i]; i++)
			h->moved |= f->hops[h->members[i]].moved;
		if (h->members && h->moved)
			ask(f, h);
	}
	return changed;
}

bool kfib_recheck(struct kfib *f, ts_t now)
{
	bool moved = false, changed = hops_recheck(f, &moved);

	f->retry = TS_NEVER;
	list_splice_tail(&f->dirty, &f->failed);
	if (moved)
		check_begin(f);
	f->audit_due = true;
	f->audit_wanted |= f->stage == AUDIT_NONE && ts_due(f->next_audit, now);
	return changed;
}

ts_t kfib_deadline(const struct kfib *f)
{
	return f->audit_due ? ts_min(f->next_audit, f->retry) : f->retry;
}

/* --- life --- */

int kfib_open(uint32_t vni, uint32_t mark, bool ipv6, const uint8_t seed[16], struct kfib **out)
{
	struct kfib *f;
	int err;

	if (vni >= 1024)
		return ERR_RANGE;
	f = calloc(1, sizeof(*f));
	if (!f)
		return ERR_NOMEM;
	f->table = kfib_table(vni);
	f->mark = mark;
	f->ipv6 = ipv6;
	f->next_audit = TS_ZERO;
	f->retry = TS_NEVER;
	list_init(&f->settled);
	list_init(&f->unseen);
	list_init(&f->unchecked);
	list_init(&f->dirty);
	list_init(&f->failed);
	list_init(&f->graves);
	err = nlx_open(&f->x, NETLINK_ROUTE);
	if (err)
		goto fail;
	err = ERR_NOMEM;
	f->routes = map_new(PFX_KEY, LIM_KERN_ROUTES, seed);
	f->hop_index = map_new(HOP_KEY_BYTES, LIM_BGP_NEXTHOPS, seed);
	f->group_index = map_new(KFIB_PATHS * sizeof(uint16_t), LIM_BGP_NEXTHOPS, seed);
	f->hops = calloc(LIM_BGP_NEXTHOPS + 1, sizeof(*f->hops));
	f->batch = nlx_batch_new(&f->x);
	if (!f->routes || !f->hop_index || !f->group_index || !f->hops || !f->batch)
		goto fail;
	err = audit_begin(f);
	while (err == 0 && f->stage != AUDIT_NONE)
		err = audit_portion(f);
	if (err)
		goto fail;
	*out = f;
	return 0;
fail:
	kfib_close(f);
	return err;
}

void kfib_close(struct kfib *f)
{
	size_t it = 0;
	void *v;

	if (!f)
		return;
	while (f->routes && map_next(f->routes, &it, NULL, &v))
		free(v);
	map_free(f->routes);
	map_free(f->hop_index);
	map_free(f->group_index);
	for (uint16_t n = 1; f->hops && n <= LIM_BGP_NEXTHOPS; n++)
		free(f->hops[n].members);
	free(f->hops);
	nlx_batch_free(f->batch);
	nlx_close(&f->dump);
	nlx_close(&f->x);
	free(f);
}

uint32_t kfib_portid(const struct kfib *f)
{
	return f->x.portid;
}

void kfib_stats(const struct kfib *f, struct kfib_stats *out)
{
	*out = f->st;
	out->routes = f->npresent;
	out->waiting = f->nqueued;
	out->nexthops = 0;
	for (uint16_t n = 1; n <= LIM_BGP_NEXTHOPS; n++)
		out->nexthops += f->hops[n].used && f->hops[n].refs > 0;
}
