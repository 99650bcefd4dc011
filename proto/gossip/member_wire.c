/* member_wire.c - codec of membership messages; layouts in member_wire.h. No state, no
 * allocation. */
#include <assert.h>
#include <string.h>
#include "weft/err.h"
#include "member_wire.h"

#define FACT_HEAD 2  /* type, length */
#define FACT_CORE 48 /* subject, epoch, incarnation */

static const struct {
	bool origin, sig;
} fact_parts[] = {
	[MEMBER_FACT_SUSPECT] = {true, true},
	[MEMBER_FACT_ALIVE] = {false, true},
	[MEMBER_FACT_LEAVE] = {false, true},
	[MEMBER_FACT_NOTICE] = {false, false},
};

static bool fact_known(uint8_t type)
{
	return type >= MEMBER_FACT_SUSPECT && type <= MEMBER_FACT_NOTICE;
}

size_t member_fact_len(uint8_t type)
{
	if (!fact_known(type))
		return 0;
	return FACT_HEAD + FACT_CORE + (fact_parts[type].origin ? 32 : 0) +
	       (fact_parts[type].sig ? 64 : 0);
}

int member_probe_decode(struct rd *r, struct member_probe *out)
{
	memset(out, 0, sizeof(*out));
	out->seq = rd_u16(r);
	out->dead = rd_u16(r);
	out->digest = rd_u32(r);
	out->extra_len = rd_u8(r);
	out->extra = rd_take(r, out->extra_len);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	return out->extra_len > MEMBER_EXTRA_MAX ? ERR_MALFORMED : 0;
}

int member_fact_decode(struct rd *r, struct member_fact *out)
{
	struct rd body;
	uint8_t len;

	memset(out, 0, sizeof(*out));
	out->type = rd_u8(r);
	len = rd_u8(r);
	body = rd_sub(r, len);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	if (!fact_known(out->type))
		return ERR_NOT_FOUND;
	if (len != member_fact_len(out->type) - FACT_HEAD)
		return ERR_MALFORMED;
	rd_copy(&body, out->subject.b, sizeof(out->subject.b));
	out->epoch = rd_u64(&body);
	out->inc = rd_u64(&body);
	if (fact_parts[out->type].origin)
		rd_copy(&body, out->origin.b, sizeof(out->origin.b));
	if (fact_parts[out->type].sig)
		rd_copy(&body, out->sig, sizeof(out->sig));
	assert(rd_done(&body));
	return 0;
}

int member_hold_decode(struct rd *r, struct member_hold *out)
{
	rd_copy(r, out->key.b, sizeof(out->key.b));
	out->epoch = rd_u64(r);
	out->inc = rd_u64(r);
	return rd_bad(r) ? ERR_TRUNCATED : 0;
}

void member_probe_encode(struct wr *w, enum member_msg kind, const struct member_probe *p)
{
	assert(p->extra_len <= MEMBER_EXTRA_MAX);
	wr_u8(w, (uint8_t)kind);
	wr_u16(w, p->seq);
	wr_u16(w, p->dead);
	wr_u32(w, p->digest);
	wr_u8(w, p->extra_len);
	wr_copy(w, p->extra, p->extra_len);
}

void member_req_encode(struct wr *w, uint16_t seq, uint8_t ttl, const struct node_key *target)
{
	wr_u8(w, MEMBER_MSG_REQ);
	wr_u16(w, seq);
	wr_u8(w, ttl);
	wr_copy(w, target->b, sizeof(target->b));
}

void member_short_encode(struct wr *w, enum member_msg kind, uint16_t seq)
{
	wr_u8(w, (uint8_t)kind);
	wr_u16(w, seq);
}

void member_fact_encode(struct wr *w, const struct member_fact *f)
{
	assert(fact_known(f->type));
	wr_u8(w, f->type);
	wr_u8(w, (uint8_t)(member_fact_len(f->type) - FACT_HEAD));
	wr_copy(w, f->subject.b, sizeof(f->subject.b));
	wr_u64(w, f->epoch);
	wr_u64(w, f->inc);
	if (fact_parts[f->type].origin)
		wr_copy(w, f->origin.b, sizeof(f->origin.b));
	if (fact_parts[f->type].sig)
		wr_copy(w, f->sig, sizeof(f->sig));
}

void member_hold_encode(struct wr *w, const struct member_hold *h)
{
	wr_copy(w, h->key.b, sizeof(h->key.b));
	wr_u64(w, h->epoch);
	wr_u64(w, h->inc);
}

void member_fact_signed(const struct member_fact *f, const struct cluster_id *cluster,
	uint8_t out[MEMBER_SIGNED_LEN])
{
	struct wr w;

	wr_init(&w, out, MEMBER_SIGNED_LEN);
	wr_u8(&w, f->type);
	wr_copy(&w, cluster->b, sizeof(cluster->b));
	wr_copy(&w, f->subject.b, sizeof(f->subject.b));
	wr_u64(&w, f->epoch);
	wr_u64(&w, f->inc);
	wr_copy(&w, f->origin.b, sizeof(f->origin.b));
	assert(!wr_bad(&w) && wr_left(&w) == 0);
}
