/* sim_plain_wire.c - the plain variant's datagrams (sim_plain.c tells their layout): heads, the lengths that
 * they stand for, and the answers of nodes that are played without a state (sim_sess.h). */
#include <string.h>
#include "weft/buf.h"
#include "handshake.h"
#include "sim_plain.h"

#define PING_TOKEN 8
#define INDEX      4

void plain_head(struct wr *w, uint8_t type, const struct node_key *self, uint64_t life,
	uint64_t to_life, uint64_t counter)
{
	wr_u8(w, WIRE_TYPE_BYTE(type));
	wr_copy(w, self->b, 32);
	wr_u64(w, life);
	wr_u64(w, to_life);
	wr_u64(w, counter);
}

bool plain_is_packet(const uint8_t *buf, size_t len)
{
	return len >= WIRE_DATA_OVERHEAD && buf[0] == WIRE_TYPE_BYTE(WIRE_DATA) &&
	       buf[WIRE_OFF_LANE] != WIRE_LANE_CONTROL && buf[WIRE_OFF_RESERVED] == 0 &&
	       memcmp(buf + WIRE_OFF_INDEX, buf + len - INDEX, INDEX) == 0;
}

bool plain_read(struct rd *r, const uint8_t *buf, size_t len, struct plain_msg *m)
{
	rd_init(r, buf, len);
	m->type = WIRE_TYPE_OF(rd_u8(r));
	rd_copy(r, m->key.b, 32);
	m->life = rd_u64(r);
	m->my_life = rd_u64(r);
	m->counter = rd_u64(r);
	return !rd_bad(r);
}

size_t plain_wire_len(const uint8_t *buf, size_t len)
{
	if (plain_is_packet(buf, len))
		return len;
	switch (WIRE_TYPE_OF(buf[0])) {
	case WIRE_INIT:
		return HS_INIT_MIN;
	case WIRE_RESP:
		return HS_RESP_MIN;
	case WIRE_FINAL:
		return HS_FINAL_MIN;
	case WIRE_DATA:
		return len - PLAIN_HDR + WIRE_DATA_OVERHEAD;
	default:
		return len - PLAIN_HDR + 16;
	}
}

/* --- nodes without a state --- */

/* One life for ever, each its own: a life tells whose a packet is. */
static uint64_t stub_life(const struct sim_stub *x)
{
	struct rd r;

	rd_init(&r, x->self.b, 8);
	return rd_u64(&r) | 1;
}

size_t sim_stub_answer(struct sim_stub *x, const uint8_t *buf, size_t len,
	size_t (*ctl)(const uint8_t *msg, size_t len, uint8_t out[SIM_STUB_MAX]),
	uint8_t out[SIM_STUB_MAX])
{
	const uint64_t life = stub_life(x);
	uint8_t body[SIM_STUB_MAX], type = WIRE_DATA;
	struct plain_msg m;
	size_t n = 0;
	struct rd r;
	struct wr w;

	if (!plain_read(&r, buf, len, &m))
		return 0;
	if (m.type == WIRE_INIT) {
		type = WIRE_RESP;
	} else if (m.type == WIRE_FINAL && m.my_life == life && rd_left(&r) == 0) {
		body[n++] = WIRE_CTL_CONFIRM;
	} else if (m.type == WIRE_DATA && m.my_life != life) {
		type = WIRE_RESET;
		memcpy(body, &m.my_life, 8);
		n = 8;
	} else if (m.type == WIRE_DATA && rd_left(&r) > 0) {
		if (*r.p == WIRE_CTL_PING && rd_left(&r) <= 1 + PING_TOKEN) {
			n = rd_left(&r);
			memcpy(body, r.p, n);
			body[0] = WIRE_CTL_PONG;
		} else {
			n = ctl(r.p, rd_left(&r), body);
		}
		if (n == 0)
			return 0;
	} else {
		return 0;
	}
	wr_init(&w, out, SIM_STUB_MAX);
	plain_head(&w, type, &x->self, life, m.life, ++x->said);
	wr_copy(&w, body, n);
	return wr_bad(&w) ? 0 : wr_len(&w);
}
