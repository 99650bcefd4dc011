/* kern_rule.c - the policy rules, 6790 to 6799 in each family, all with our protocol number:
 *
 *	6790  packets of our own outer sockets (mark): goto 6799
 *	6791  sent by this host: the control segment's table
 *	6792  to the control segment's ranges: unreachable (IPv6; no pod gets there)
 *	6793  coming from, or sent by a socket bound to, a device of another segment: its table
 *	6794  coming from such a device: goto 6799, so it never sees the first segment's table
 *	6795  everybody else: the first segment's table
 *	6796  and behind it the table of what was learned for it from outside the mesh, if anything is
 *	6799  nothing: the landing place; the host's own rules go on behind it
 *
 * The local table (0) stays before them and main behind. The sync dumps the rules, adds what is missing
 * and removes what is ours and not wanted or there twice. Failure: told, tried again. */
#include <linux/fib_rules.h>
#include <stdlib.h>
#include <string.h>
#include "kern_int.h"
#include "kfib.h"
#include "weft/err.h"
#include "weft/wire.h"

enum {
	PREF_MARK = KERN_RULE_PREF,
	PREF_CONTROL,
	PREF_CONTROL_BLOCK,
	PREF_SEGMENT,
	PREF_SEGMENT_OUT,
	PREF_FIRST,
	PREF_LEARNED,
	PREF_END = KERN_RULE_PREF + 9,
};

struct rules {
	struct nl_rule *v;
	size_t n, cap;
};

static int push(struct rules *l, const struct nl_rule *r)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 16;
		struct nl_rule *v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return ERR_NOMEM;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = *r;
	return 0;
}

static struct nl_rule rule(enum ip_family f, uint32_t pref, uint8_t action)
{
	return (struct nl_rule){
		.family = (uint8_t)f, .pref = pref, .action = action, .proto = KERN_RTPROT};
}

static struct nl_rule to_table(enum ip_family f, uint32_t pref, uint32_t vni)
{
	struct nl_rule r = rule(f, pref, FR_ACT_TO_TBL);

	r.table = kern_table(vni);
	return r;
}

static struct nl_rule jump(enum ip_family f, uint32_t pref)
{
	struct nl_rule r = rule(f, pref, FR_ACT_GOTO);

	r.target = PREF_END;
	return r;
}

static int want_control(struct kern *k, enum ip_family f, struct rules *l)
{
	struct nl_rule r = to_table(f, PREF_CONTROL, VNI_CONTROL);
	size_t it = 0;
	void *v;
	int err;

	if (!kern_seg(k, VNI_CONTROL) || f != IP_V6)
		return 0;
	strcpy(r.iif, "lo");
	err = push(l, &r);
	while (err == 0 && map_next(k->routes, &it, NULL, &v)) {
		const struct kroute *o = v;

		if (o->key.vni != VNI_CONTROL || o->key.class != KR_RANGE || !o->want ||
			o->dst.ip.family != f)
			continue;
		r = rule(f, PREF_CONTROL_BLOCK, FR_ACT_UNREACHABLE);
		r.has_dst = true;
		r.dst = o->dst;
		err = push(l, &r);
	}
	return err;
}

static int want_device(struct kern *k, enum ip_family f, const struct kdev *d, struct rules *l)
{
	struct nl_rule in = to_table(f, PREF_SEGMENT, d->vni), out = in,
		       end = jump(f, PREF_SEGMENT_OUT);
	int err;

	strcpy(in.iif, d->name);
	strcpy(out.oif, d->name);
	strcpy(end.iif, d->name);
	err = push(l, &in);
	if (err == 0)
		err = push(l, &out);
	if (err == 0)
		err = push(l, &end);
	return err;
}

/* In the order of adding: what jumps over our tables stands before they do. */
static int wanted(struct kern *k, enum ip_family f, struct rules *l)
{
	struct nl_rule r;
	int err = 0;

	if (k->nsegs == 0 || !kern_usable(k, f))
		return 0;
	r = rule(f, PREF_END, FR_ACT_NOP);
	err = push(l, &r);
	if (err == 0 && k->cfg.mark_mask != 0) {
		r = jump(f, PREF_MARK);
		r.mark = k->cfg.mark & k->cfg.mark_mask;
		r.mask = k->cfg.mark_mask;
		err = push(l, &r);
	}
	if (err == 0)
		err = want_control(k, f, l);
	for (size_t i = 0; i < k->ndevs && err == 0; i++)
		if (k->devs[i].refs > 0 && k->devs[i].vni > VNI_DEFAULT)
			err = want_device(k, f, &k->devs[i], l);
	if (err == 0 && kern_seg(k, VNI_DEFAULT)) {
		r = to_table(f, PREF_FIRST, VNI_DEFAULT);
		err = push(l, &r);
	}
	/* Behind the ranges, which are unreachable at worst: nobody outside can take them over. */
	if (err == 0 && k->cfg.learned && kern_seg(k, VNI_DEFAULT)) {
		r = rule(f, PREF_LEARNED, FR_ACT_TO_TBL);
		r.table = kfib_table(VNI_DEFAULT);
		err = push(l, &r);
	}
	return err;
}

static void begin(void *ctx)
{
	struct rules *l = ctx;

	l->n = 0;
}

static int seen(void *ctx, const struct nlmsghdr *nlh)
{
	struct nl_rule r;

	if (nl_rule_parse(nlh, &r) != 0 || r.proto != KERN_RTPROT || r.pref < PREF_MARK ||
		r.pref > PREF_END)
		return 0;
	return push(ctx, &r);
}

static bool take(struct rules *l, const struct nl_rule *r)
{
	for (size_t i = 0; i < l->n; i++)
		if (nl_rule_eq(&l->v[i], r)) {
			l->v[i] = l->v[--l->n];
			return true;
		}
	return false;
}

static unsigned family_sync(struct kern *k, enum ip_family f, struct kern_err *e)
{
	struct rules want = {.n = 0}, have = {.n = 0};
	unsigned stand = 0;
	int err = wanted(k, f, &want);

	if (err == 0)
		err = nl_rule_dump(&k->x, f, begin, seen, &have);
	if (err != 0) {
		/* A host whose IPv6 is not built in has no rules to read. */
		if (!(f == IP_V6 && !k->cfg.ipv6))
			kern_note(k, e, err, k->x.said, "reading the rules");
		goto out;
	}
	for (size_t i = 0; i < want.n; i++) {
		if (take(&have, &want.v[i])) {
			stand++;
			continue;
		}
		err = nl_rule_add(&k->x, &want.v[i]);
		if (err != 0 && err != -EEXIST) {
			kern_note(k, e, err, k->x.said, "adding IPv%d rule %u", f, want.v[i].pref);
			continue;
		}
		stand++;
		k->st.repaired += k->rules_agreed;
	}
	/* What is left in have is not wanted, or was there twice. */
	for (size_t i = 0; i < have.n; i++) {
		err = nl_rule_del(&k->x, &have.v[i]);
		if (err != 0 && err != -ENOENT)
			kern_note(
				k, e, err, k->x.said, "removing IPv%d rule %u", f, have.v[i].pref);
	}
out:
	free(want.v);
	free(have.v);
	return stand;
}

void kern_rules_sync(struct kern *k, struct kern_err *e)
{
	uint64_t errors = k->st.errors;

	if (!k->rules_dirty)
		return;
	k->st.rules = family_sync(k, IP_V4, e);
	k->st.rules += family_sync(k, IP_V6, e);
	k->rules_dirty = k->st.errors != errors;
	k->rules_agreed = !k->rules_dirty;
}
