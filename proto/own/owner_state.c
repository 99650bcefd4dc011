/* owner_state.c - what outlives a restart, network order:
 *
 *	node key 32 bytes, alive at 64 (Unix time)
 *	orchestrator's prefixes 16, each: VNI 24, family 8, length 8, address 4 or 16 bytes, since 64
 *	claims 16, each: the same, flags 8 (1: extra; 2: did not yet stand for the objection time)
 *
 * The key binds the file to its node: a disk that was copied, and given another identity, must not bring
 * the claims of the first one into the world with their age. */
#include "owner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "owner_int.h"
#include "weft/buf.h"
#include "weft/err.h"

#define ROW_BYTES  (3 + 1 + 1 + 16 + 8 + 1)
#define HEAD_BYTES (32 + 8 + 2 + 2)
#define F_EXTRA    1
#define F_WAITING  2

static size_t ip_bytes(uint8_t family)
{
	return family == IP_V4 ? 4 : 16;
}

static void put(struct wr *w, const struct owner_prefix *p)
{
	wr_u24(w, p->vni);
	wr_u8(w, p->pfx.ip.family);
	wr_u8(w, p->pfx.len);
	wr_copy(w, p->pfx.ip.b, ip_bytes(p->pfx.ip.family));
	wr_u64(w, p->since_secs);
}

static int get(struct rd *r, uint8_t right, struct owner_prefix *out)
{
	memset(out, 0, sizeof(*out));
	out->vni = rd_u24(r);
	out->pfx.ip.family = rd_u8(r);
	out->pfx.len = rd_u8(r);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	if (out->pfx.ip.family != IP_V4 && out->pfx.ip.family != IP_V6)
		return ERR_MALFORMED;
	rd_copy(r, out->pfx.ip.b, ip_bytes(out->pfx.ip.family));
	out->since_secs = rd_u64(r);
	out->right = right;
	if (rd_bad(r))
		return ERR_TRUNCATED;
	return owner_pfx_ok(out->vni, &out->pfx) ? 0 : ERR_MALFORMED;
}

static size_t how_many(const struct owner *o, uint8_t right)
{
	struct list *l, *t;
	size_t n = 0;

	list_each(&o->own, l, t)
	{
		const struct own *c = list_entry(l, struct own, in_own);

		n += !c->doomed && c->is.p.right == right;
	}
	return n;
}

bool owner_keeps(const struct owner *o)
{
	return how_many(o, OWNER_BY_ORCHESTRATOR) + how_many(o, OWNER_BY_CLAIM) > 0;
}

static void put_all(const struct owner *o, uint8_t right, struct wr *w)
{
	struct list *l, *t;

	wr_u16(w, (uint16_t)how_many(o, right));
	list_each(&o->own, l, t)
	{
		const struct own *c = list_entry(l, struct own, in_own);

		if (c->doomed || c->is.p.right != right)
			continue;
		put(w, &c->is.p);
		if (right == OWNER_BY_CLAIM)
			wr_u8(w, (uint8_t)((c->is.extra ? F_EXTRA : 0) |
					   (c->is.state == OWNER_WAITING ? F_WAITING : 0)));
	}
}

int owner_encode(struct owner *o, ts_t now, uint8_t **buf, size_t *len)
{
	size_t cap = HEAD_BYTES + o->nown * ROW_BYTES;
	struct wr w;

	*buf = malloc(cap);
	if (!*buf)
		return ERR_NOMEM;
	wr_init(&w, *buf, cap);
	wr_copy(&w, o->self.b, sizeof(o->self.b));
	wr_u64(&w, owner_unix(o, now));
	put_all(o, OWNER_BY_ORCHESTRATOR, &w);
	put_all(o, OWNER_BY_CLAIM, &w);
	assert(!wr_bad(&w));
	*len = wr_len(&w);
	return 0;
}

struct kept {
	struct owner_prefix p;
	bool extra, waiting;
};
struct blob {
	uint64_t alive_at;
	struct owner_prefix *orch; /* owned */
	struct kept *claims;       /* owned */
	size_t norch, nclaims;
};

static int decode(const struct owner *o, const uint8_t *buf, size_t len, struct blob *b)
{
	struct node_key key;
	struct rd r;
	int err = 0;

	rd_init(&r, buf, len);
	rd_copy(&r, key.b, sizeof(key.b));
	b->alive_at = rd_u64(&r);
	if (rd_bad(&r))
		return ERR_TRUNCATED;
	if (!node_key_eq(&key, &o->self))
		return ERR_FOREIGN;
	b->norch = rd_u16(&r);
	if (b->norch > LIM_PREFIXES_PER_NODE)
		return ERR_MALFORMED;
	b->orch = calloc(b->norch + 1, sizeof(*b->orch));
	if (!b->orch)
		return ERR_NOMEM;
	for (size_t i = 0; !err && i < b->norch; i++)
		err = get(&r, OWNER_BY_ORCHESTRATOR, &b->orch[i]);
	if (err)
		return err;
	b->nclaims = rd_u16(&r);
	if (rd_bad(&r))
		return ERR_TRUNCATED;
	if (b->nclaims > LIM_OWN_WANTS)
		return ERR_MALFORMED;
	b->claims = calloc(b->nclaims + 1, sizeof(*b->claims));
	if (!b->claims)
		return ERR_NOMEM;
	for (size_t i = 0; !err && i < b->nclaims; i++) {
		err = get(&r, OWNER_BY_CLAIM, &b->claims[i].p);
		uint8_t flags = rd_u8(&r);

		b->claims[i].extra = flags & F_EXTRA;
		b->claims[i].waiting = flags & F_WAITING;
	}
	if (!err && rd_bad(&r))
		err = ERR_TRUNCATED;
	if (!err && !rd_done(&r))
		err = ERR_MALFORMED;
	return err;
}

static bool in_range(const struct owner *o, const struct owner_prefix *p)
{
	for (size_t i = 0; i < o->nranges; i++)
		if (o->ranges[i].vni == p->vni && pfx_contains(&o->ranges[i].pfx, &p->pfx))
			return true;
	return false;
}

/* The want that @k fills: one of the configuration, or an extra one, which exists only by it. */
static struct want *want_for(struct owner *o, const struct kept *k, ts_t now)
{
	struct want *like = NULL;

	for (size_t i = 0; i < o->nwants; i++) {
		struct want *w = &o->wants[i];

		if (w->vni != k->p.vni || w->family != k->p.pfx.ip.family || w->len != k->p.pfx.len)
			continue;
		if (!k->extra && !w->have && w->prefer.ip.family == IP_NONE)
			return w;
		like = w;
	}
	if (!like || !k->extra)
		return NULL;
	if (owner_want_make(o, &(struct want){.vni = like->vni,
				       .family = like->family,
				       .len = like->len,
				       .tag = like->tag,
				       .extra = true,
				       .try_at = now}) != 0)
		return NULL;
	return &o->wants[o->nwants - 1];
}

static int take_claim(struct owner *o, const struct kept *k, bool stale, ts_t now)
{
	struct own *c;
	struct want *w;

	if (!in_range(o, &k->p) || owner_overlapping(o, k->p.vni, &k->p.pfx) ||
		o->nown == LIM_PREFIXES_PER_NODE)
		return 0;
	w = want_for(o, k, now);
	if (!w)
		return 0;
	if (stale || k->waiting) {
		w->prefer = k->p.pfx;
		return 0;
	}
	c = owner_own_new(o, &k->p);
	if (!c)
		return ERR_NOMEM;
	c->is.state = OWNER_IN_USE; /* it stood before, with no objection */
	c->is.tag = w->tag;
	c->is.extra = w->extra;
	w->have = c;
	return 0;
}

/* Has this node been away for so long that its lease may have ended? The file is up to save_every
 * behind; a clock that went back proves nothing. */
static bool away_too_long(const struct owner *o, const struct blob *b, ts_t now)
{
	uint64_t unix_now = owner_unix(o, now);
	uint64_t lease = (uint64_t)(o->tune.lease.ns / 1000000000);
	uint64_t behind = (uint64_t)(o->tune.save_every.ns / 1000000000);

	return unix_now > b->alive_at && unix_now - b->alive_at + behind >= lease;
}

int owner_restore(struct owner *o, const uint8_t *buf, size_t len, ts_t now)
{
	struct blob b = {.orch = NULL, .claims = NULL};
	int err = decode(o, buf, len, &b);

	if (err)
		goto out;
	if (b.norch) {
		struct list *l, *t;

		err = owner_orchestrator_set(o, b.orch, b.norch, NULL, now);
		if (err == ERR_NOMEM)
			goto out;
		/* The configuration took some of them: the orchestrator will say anew what it wants. */
		err = 0;
		list_each(&o->own, l, t)
		{
			struct own *c = list_entry(l, struct own, in_own);

			for (size_t i = 0; c->is.p.right == OWNER_BY_ORCHESTRATOR && i < b.norch;
				i++)
				if (b.orch[i].vni == c->is.p.vni &&
					pfx_eq(&b.orch[i].pfx, &c->is.p.pfx))
					c->is.p.since_secs = b.orch[i].since_secs;
		}
	}
	for (size_t i = 0; !err && i < b.nclaims; i++)
		err = take_claim(o, &b.claims[i], away_too_long(o, &b, now), now);
	owner_arm(o);
out:
	free(b.orch);
	free(b.claims);
	return err;
}
