/* gossip_wire.c - codec of gossip messages; layouts in gossip_wire.h. No state, no allocation. */
#include "gossip_wire.h"
#include <assert.h>
#include "weft/err.h"

int gossip_root_decode(struct rd *r, uint64_t *root)
{
	*root = rd_u64(r);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	return rd_done(r) ? 0 : ERR_MALFORMED;
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

int gossip_have_decode(struct rd *r, struct gossip_have *out)
{
	out->n = 0;
	while (rd_left(r) > 0) {
		if (out->n == GOSSIP_HAVE_MAX)
			return ERR_MALFORMED;
		out->v[out->n].key = rd_u64(r);
		out->v[out->n].hash = rd_u64(r);
		if (rd_bad(r))
			return ERR_TRUNCATED;
		out->n++;
	}
	return 0;
}

int gossip_section_decode(struct rd *r, struct gossip_section *out)
{
	uint64_t min;
	size_t n;

	out->n = 0;
	out->from = rd_u64(r);
	out->to = rd_u64(r);
	n = rd_u8(r);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	if (out->from > out->to || n > GOSSIP_SECTION_MAX)
		return ERR_MALFORMED;
	min = out->from;
	while (out->n < n) {
		struct gossip_key_entry *e = &out->v[out->n];

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

int gossip_group_decode(struct rd *r, struct gossip_group *out)
{
	out->level = rd_u8(r);
	out->index = rd_u16(r);
	for (size_t i = 0; i < STORE_CHILDREN; i++)
		out->sum[i] = rd_u64(r);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	if (out->level >= STORE_LEVELS || out->index >> 4 * out->level)
		return ERR_MALFORMED;
	return 0;
}

void gossip_root_encode(struct wr *w, uint64_t root)
{
	wr_u8(w, GOSSIP_MSG_ROOT);
	wr_u64(w, root);
	assert(!wr_bad(w));
}

void gossip_want_encode(struct wr *w, enum gossip_msg type, const struct gossip_want *k)
{
	wr_u8(w, (uint8_t)type);
	for (size_t i = 0; i < k->n; i++)
		wr_u64(w, k->v[i]);
	assert(!wr_bad(w));
}

void gossip_have_encode(struct wr *w, const struct gossip_have *k)
{
	wr_u8(w, GOSSIP_MSG_HAVE);
	for (size_t i = 0; i < k->n; i++) {
		wr_u64(w, k->v[i].key);
		wr_u64(w, k->v[i].hash);
	}
	assert(!wr_bad(w));
}

void gossip_section_encode(struct wr *w, const struct gossip_section *s)
{
	wr_u64(w, s->from);
	wr_u64(w, s->to);
	wr_u8(w, (uint8_t)s->n);
	for (size_t i = 0; i < s->n; i++) {
		wr_u64(w, s->v[i].key);
		wr_u64(w, s->v[i].epoch);
		wr_u64(w, s->v[i].seq);
		wr_u64(w, s->v[i].hash);
	}
	assert(!wr_bad(w));
}

void gossip_group_encode(struct wr *w, const struct gossip_group *g)
{
	assert(g->level < STORE_LEVELS);
	wr_u8(w, (uint8_t)g->level);
	wr_u16(w, (uint16_t)g->index);
	for (size_t i = 0; i < STORE_CHILDREN; i++)
		wr_u64(w, g->sum[i]);
	assert(!wr_bad(w));
}
