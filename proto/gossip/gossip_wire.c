/* gossip_wire.c - codec of gossip messages; layouts in gossip_wire.h. No state, no allocation. */
#include "gossip_wire.h"
#include <assert.h>
#include <string.h>
#include "weft/err.h"

int gossip_digest_decode(struct rd *r, struct gossip_digest *out)
{
	rd_copy(r, out->root, sizeof(out->root));
	out->count = rd_u32(r);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	return rd_done(r) ? 0 : ERR_MALFORMED;
}

int gossip_keys_decode(struct rd *r, struct gossip_keys *out)
{
	uint64_t min;

	out->n = 0;
	out->from = rd_u64(r);
	out->to = rd_u64(r);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	if (out->from > out->to)
		return ERR_MALFORMED;
	min = out->from;
	while (rd_left(r) > 0) {
		struct gossip_key_entry *e = &out->v[out->n];

		if (out->n == GOSSIP_KEYS_MAX)
			return ERR_MALFORMED;
		e->key = rd_u64(r);
		e->epoch = rd_u64(r);
		e->seq = rd_u64(r);
		e->hash = rd_u64(r);
		if (rd_bad(r))
			return ERR_TRUNCATED;
		if (e->key < min || e->key > out->to || (out->n > 0 && e->key == min))
			return ERR_MALFORMED;
		min = e->key;
		out->n++;
	}
	return 0;
}

int gossip_want_decode(struct rd *r, struct gossip_want *out)
{
	out->n = 0;
	while (rd_left(r) > 0) {
		if (out->n == GOSSIP_WANT_MAX)
			return ERR_MALFORMED;
		out->v[out->n] = rd_u64(r);
		if (rd_bad(r))
			return ERR_TRUNCATED;
		out->n++;
	}
	return 0;
}

void gossip_digest_encode(struct wr *w, const struct gossip_digest *d)
{
	wr_u8(w, GOSSIP_MSG_DIGEST);
	wr_copy(w, d->root, sizeof(d->root));
	wr_u32(w, d->count);
	assert(!wr_bad(w));
}

void gossip_keys_encode(struct wr *w, const struct gossip_keys *k)
{
	wr_u8(w, GOSSIP_MSG_KEYS);
	wr_u64(w, k->from);
	wr_u64(w, k->to);
	for (size_t i = 0; i < k->n; i++) {
		wr_u64(w, k->v[i].key);
		wr_u64(w, k->v[i].epoch);
		wr_u64(w, k->v[i].seq);
		wr_u64(w, k->v[i].hash);
	}
	assert(!wr_bad(w));
}

void gossip_want_encode(struct wr *w, const struct gossip_want *k)
{
	wr_u8(w, GOSSIP_MSG_WANT);
	for (size_t i = 0; i < k->n; i++)
		wr_u64(w, k->v[i]);
	assert(!wr_bad(w));
}
