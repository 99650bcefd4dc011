/* kern_route.c - the routes of all segments.
 *
 * Each wanted route is an object in the map. Changes put it on a dirty list; the sync sends dirty ones
 * in batches: first the unreachable ranges, then the rest, then ranges that are to go, so that at no
 * moment a mesh destination has neither. The audit dumps what carries our protocol number and compares:
 * after a start (routes of the process before are adopted or removed), after events that the kernel
 * does not tell one by one (a device that went down takes its IPv4 routes silently), after lost events.
 *
 * Metrics tell classes apart: 512 own, 1024 remote, the two highest for what is unreachable. A route of
 * another metric in our tables is somebody else's (the CNI plugin's) and left alone here.
 *
 * Bounds: LIM_KERN_ROUTES objects. Failure: an object stays dirty until the kernel took it. */
#include <assert.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include "kern_int.h"
#include "weft/bounds.h"
#include "weft/err.h"
#include "weft/wire.h"

#define TRIES 3 /* of a batch whose replies were lost */

static const uint32_t class_metric[] = {
	[KR_RANGE] = KERN_UNREACH_METRIC,
	[KR_FLOOR] = KERN_UNREACH_METRIC - 1,
	[KR_OWN] = KERN_METRIC_OWN,
	[KR_REMOTE] = KERN_METRIC_REMOTE,
};
#define CLASSES (sizeof(class_metric) / sizeof(class_metric[0]))

uint32_t kern_table(uint32_t vni)
{
	assert(vni <= VNI_MAX);
	return vni < 1024 ? KERN_TABLE_BASE + vni : KERN_TABLE_HIGH + vni;
}

bool kern_table_vni(uint32_t table, uint32_t *vni)
{
	if (table >= KERN_TABLE_BASE && table < KERN_TABLE_BASE + 1024)
		*vni = table - KERN_TABLE_BASE;
	else if (table >= KERN_TABLE_HIGH + 1024 && table <= KERN_TABLE_HIGH + VNI_MAX)
		*vni = table - KERN_TABLE_HIGH;
	else
		return false;
	return true;
}

static bool class_of(uint32_t metric, enum kroute_class *out)
{
	for (size_t i = 0; i < CLASSES; i++)
		if (class_metric[i] == metric) {
			*out = (enum kroute_class)i;
			return true;
		}
	return false;
}

static struct kroute_key key_of(uint32_t vni, const struct pfx *p, enum kroute_class class)
{
	struct kroute_key key = {
		.vni = vni, .family = p->ip.family, .len = p->len, .class = (uint8_t) class};

	memcpy(key.addr, p->ip.b, sizeof(key.addr));
	return key;
}

static void mark(struct kern *k, struct kroute *r)
{
	if (!kern_usable(k, r->dst.ip.family))
		return;
	list_del(&r->dirty);
	list_add_tail(r->key.class <= KR_FLOOR ? &k->dirty_floor : &k->dirty, &r->dirty);
}

/* Can it stand now? A route through a device that is missing or down can't. */
static bool feasible(const struct kern *k, const struct kroute *r)
{
	const struct kdev *d = r->dev ? &k->devs[r->dev - 1] : NULL;

	return !d || (d->up && d->ifindex > 0);
}

struct kroute *kern_obj_get(
	const struct kern *k, uint32_t vni, const struct pfx *p, enum kroute_class class)
{
	struct kroute_key key = key_of(vni, p, class);

	return map_get(k->routes, &key);
}

void kern_obj_free(struct kern *k, struct kroute *r)
{
	list_del(&r->dirty);
	if (r->dev)
		kern_dev_unref(k, r->dev);
	free(r);
}

static int obj_new(struct kern *k, uint32_t vni, const struct pfx *p, enum kroute_class class,
	struct kroute **out)
{
	struct kroute *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return ERR_NOMEM;
	r->key = key_of(vni, p, class);
	r->dst = *p;
	list_init(&r->dirty);
	err = map_put(k->routes, &r->key, r);
	if (err != 0) {
		free(r);
		return err;
	}
	*out = r;
	return 0;
}

/* Does it carry less than its device (kern_out.c)? 1 or 0. Of the control segment nothing is forwarded. */
static int is_narrow(const struct kroute *r)
{
	return r->want && r->mtu != 0 && r->key.vni != VNI_CONTROL;
}

/* Takes the reference to @dev, also on failure. */
int kern_obj_set(struct kern *k, uint32_t vni, const struct pfx *p, enum kroute_class class,
	uint16_t dev, unsigned mtu, const struct ip *src, bool replace)
{
	struct kroute *r = kern_obj_get(k, vni, p, class);
	struct ip none = {.family = IP_NONE}, from = src ? *src : none;
	int err = 0, was_narrow;

	if (r && r->want && !replace)
		err = ERR_EXISTS;
	else if (!r)
		err = obj_new(k, vni, p, class, &r);
	if (err != 0) {
		if (dev)
			kern_dev_unref(k, dev);
		return err;
	}
	if (r->want && r->present && r->dev == dev && r->mtu == mtu && ip_eq(&r->src, &from)) {
		if (dev)
			kern_dev_unref(k, dev); /* the object holds one already */
		return 0;
	}
	if (r->dev)
		kern_dev_unref(k, r->dev);
	was_narrow = is_narrow(r);
	r->dev = dev;
	r->mtu = mtu;
	r->src = from;
	r->want = true;
	kern_out_narrow(k, is_narrow(r) - was_narrow);
	r->lost = r->present = false; /* what the kernel holds is of the past */
	mark(k, r);
	return 0;
}

static void unwant(struct kern *k, struct kroute *r)
{
	kern_out_narrow(k, -is_narrow(r));
	r->want = false;
	r->lost = false;
	mark(k, r);
	if (list_empty(&r->dirty)) { /* a family that is off: nothing was ever sent */
		map_del(k->routes, &r->key);
		kern_obj_free(k, r);
	}
}

int kern_obj_del(struct kern *k, uint32_t vni, const struct pfx *p, enum kroute_class class)
{
	struct kroute *r = kern_obj_get(k, vni, p, class);

	if (!r || !r->want)
		return ERR_NOT_FOUND;
	unwant(k, r);
	return 0;
}

void kern_routes_drop(struct kern *k, uint32_t vni)
{
	size_t it = 0;
	void *v;

	while (map_next(k->routes, &it, NULL, &v)) {
		struct kroute *r = v;

		if (r->key.vni == vni && r->want)
			unwant(k, r);
	}
}

static void to_message(const struct kern *k, const struct kroute *r, struct nl_route *out)
{
	memset(out, 0, sizeof(*out));
	out->dst = r->dst;
	out->table = kern_table(r->key.vni);
	out->metric = class_metric[r->key.class];
	out->proto = KERN_RTPROT;
	out->type = r->dev ? RTN_UNICAST : RTN_UNREACHABLE;
	out->scope = r->dev ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	out->oif = r->dev ? k->devs[r->dev - 1].ifindex : 0;
	out->mtu = r->mtu;
	out->src = r->src;
}

/* Is what the kernel shows what we want? */
static bool agrees(const struct kern *k, const struct kroute *r, const struct nl_route *shown)
{
	struct nl_route want;

	to_message(k, r, &want);
	return shown->proto == want.proto && shown->type == want.type && shown->mtu == want.mtu &&
	       ip_eq(&shown->src, &want.src) && (!r->dev || shown->oif == want.oif);
}

/* ---- audit ---- */

static void audit_begin(void *ctx)
{
	struct kern *k = ctx;

	k->audit_no++; /* what a torn dump showed counts for nothing */
}

/* The object that a shown route belongs to; what nobody wants becomes an object to be deleted. */
static int audit_route(void *ctx, const struct nlmsghdr *nlh)
{
	struct kern *k = ctx;
	struct nl_route shown;
	enum kroute_class class;
	struct kroute *r;
	uint32_t vni;
	int err;

	if (nl_route_parse(nlh, &shown) != 0 || shown.proto != KERN_RTPROT ||
		!kern_table_vni(shown.table, &vni) || !class_of(shown.metric, &class))
		return 0;
	r = kern_obj_get(k, vni, &shown.dst, class);
	if (!r) {
		err = obj_new(k, vni, &shown.dst, class, &r);
		if (err != 0)
			return err;
	}
	if (!r->want) {
		mark(k, r);
	} else if (agrees(k, r, &shown)) {
		r->seen = k->audit_no;
		r->present = true;
	}
	return 0;
}

static int audit_family(struct kern *k, enum ip_family f)
{
	size_t it = 0;
	void *v;
	int err = nl_route_dump(&k->x, f, KERN_RTPROT, audit_begin, audit_route, k);

	if (err != 0)
		return err;
	while (map_next(k->routes, &it, NULL, &v)) {
		struct kroute *r = v;

		if (!r->want || r->dst.ip.family != f)
			continue;
		if (r->seen == k->audit_no) {
			r->lost = false;
			list_del(&r->dirty);
			continue;
		}
		r->lost |= r->present && feasible(k, r);
		r->present = false;
		mark(k, r);
	}
	return 0;
}

static void audit(struct kern *k, struct kern_err *e)
{
	int err = 0, err6 = 0;

	err = audit_family(k, IP_V4);
	if (kern_usable(k, IP_V6))
		err6 = audit_family(k, IP_V6);
	k->audit = err != 0 || err6 != 0;
	if (k->audit)
		kern_note(k, e, err != 0 ? err : err6, k->x.said, "reading the routes");
}

/* ---- sending ---- */

struct send {
	struct kern *k;
	struct kern_err *e;
	bool unsure; /* replies were lost */
};

static void sent(void *ctx, void *obj, int err)
{
	struct send *s = ctx;
	struct kern *k = s->k;
	struct kroute *r = obj;
	char text[PFX_STRLEN];

	if (err == -ENOBUFS) {
		s->unsure = true;
		mark(k, r);
		return;
	}
	if (!r->want && (err == -ESRCH || err == -ENODEV || err == -ENOENT))
		err = 0;
	if (err != 0) {
		kern_note(k, s->e, err, k->batch->said, "%s route %s%s%s in table %u",
			r->want ? "adding" : "removing", pfx_fmt(&r->dst, text),
			r->dev ? " dev " : "", r->dev ? k->devs[r->dev - 1].name : "",
			kern_table(r->key.vni));
		mark(k, r);
		return;
	}
	if (!r->want) {
		map_del(k->routes, &r->key);
		kern_obj_free(k, r);
		return;
	}
	k->st.repaired += r->lost;
	r->lost = false;
	r->present = true;
}

/* Send those of @list that are (@want) to be added or to go; what fails is back on its list. */
static void send_list(struct send *s, struct list *list, bool only_wanted)
{
	struct kern *k = s->k;
	struct list todo, later, *n, *t;

	list_init(&todo);
	list_init(&later);
	list_each(list, n, t)
	{
		list_del(n);
		list_add_tail(&todo, n);
	}
	while (!list_empty(&todo)) {
		struct kroute *r = list_entry(todo.next, struct kroute, dirty);
		struct nlmsghdr *nlh;
		struct nl_route m;

		list_del(&r->dirty);
		if (only_wanted && !r->want) {
			list_add_tail(&later, &r->dirty);
			continue;
		}
		/* Through a device that is not there: the floor below stands, and the device's
		 * return starts an audit, which brings the route back here. */
		if (r->want && !feasible(k, r))
			continue;
		to_message(k, r, &m);
		nlh = nlx_batch_add(k->batch, r->want ? RTM_NEWROUTE : RTM_DELROUTE,
			r->want ? NLM_F_CREATE | NLM_F_REPLACE : 0, sizeof(struct rtmsg), r);
		nl_route_put(nlh, &m);
		if (nlx_batch_full(k->batch) || list_empty(&todo))
			nlx_batch_run(k->batch, sent, s);
	}
	nlx_batch_run(k->batch, sent, s);
	list_each(&later, n, t)
	{
		list_del(n);
		list_add_tail(list, n);
	}
}

void kern_routes_sync(struct kern *k, struct kern_err *e)
{
	struct send s = {.k = k, .e = e, .unsure = true};

	for (unsigned i = 0; i < TRIES && s.unsure; i++) {
		s.unsure = false;
		if (k->audit)
			audit(k, e);
		send_list(&s, &k->dirty_floor, true);
		send_list(&s, &k->dirty, false);
		send_list(&s, &k->dirty_floor, false);
		k->audit |= s.unsure;
	}
	if (s.unsure)
		kern_note(k, e, -ENOBUFS, "", "the kernel's answers were lost");
}

void kern_route_seen(struct kern *k, const struct nl_route *shown, bool gone)
{
	enum kroute_class class;
	struct kroute *r;
	uint32_t vni;

	if (!kern_table_vni(shown->table, &vni) || !class_of(shown->metric, &class))
		return;
	r = kern_obj_get(k, vni, &shown->dst, class);
	if (!r) {
		/* Somebody writes with our protocol number: the audit removes it. */
		k->audit |= !gone && shown->proto == KERN_RTPROT;
		return;
	}
	if (!r->want || !r->present || (!gone && agrees(k, r, shown)))
		return;
	if (gone && !agrees(k, r, shown))
		return; /* the form that we replaced */
	r->present = false;
	r->lost = feasible(k, r);
	mark(k, r);
}
