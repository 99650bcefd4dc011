/* A gossip core driven by the input: links come and go, messages arrive, time passes. Records are
 * signed here, so that the input reaches what is behind the signature. First a byte: full mesh or
 * not. Each step: one byte of kind and nodes, one of length, then so many bytes. */
#include <sodium.h>
#include <stdlib.h>
#include "weft/buf.h"
#include "weft/log.h"
#include "gossip.h"
#include "gossip_wire.h"
#include "record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct identity ids[4]; /* 0: the core's own */

static void drain(struct gossip *g, ts_t now)
{
	struct gossip_act a;
	while (gossip_next(g, &a)) {
		if (a.type == GOSSIP_EPOCH)
			gossip_epoch_stored(g, a.epoch, now);
		if ((a.type == GOSSIP_SEND && (a.len == 0 || a.len > WIRE_CTL_BODY_MAX)) ||
			(a.type == GOSSIP_ROUTE_ADD && node_key_eq(&a.node, &ids[0].pub)))
			abort();
	}
}

/* type, flags, sub, epoch, sequence: a byte each; the rest is the body. */
static size_t sign(struct rd *in, const struct identity *id, uint8_t *out)
{
	struct record r = {.type = rd_u8(in), .flags = rd_u8(in) >> 7};

	r.sub = rd_u8(in);
	r.epoch = 1 + (uint64_t)rd_u8(in);
	r.seq = rd_u8(in);
	r.body_len = rd_left(in);
	r.body = rd_take(in, r.body_len);
	out[0] = GOSSIP_MSG_RECORDS;
	int len = record_sign(id, &r, out + 1);
	return len > 0 ? 1 + (size_t)len : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gossip_cfg cfg = {.id = &ids[0], .name = "us", .version = "1", .epoch = 1};
	uint8_t msg[WIRE_CTL_BODY_MAX], seed[32] = {0};
	ts_t now = {1};
	struct rd in;

	if (sodium_init() < 0)
		abort();
	log_set_level(LOG_LVL_ERROR);
	for (; seed[0] < 4; seed[0]++)
		identity_from_seed(seed, &ids[seed[0]]);
	rd_init(&in, data, size);
	cfg.full_mesh = rd_u8(&in) & 1;
	struct gossip *g = gossip_new(&cfg, now);
	while (g && rd_left(&in) > 0) {
		uint8_t op = rd_u8(&in), len = rd_u8(&in);
		const struct identity *id = &ids[op & 3], *from = &ids[1 + (op >> 2) % 3];
		struct rd arg = rd_sub(&in, len < rd_left(&in) ? len : rd_left(&in));
		const struct ep ep = {ip_v4(0xc0000200u | op), 6793, 0};

		if (op >> 5 == 0)
			gossip_link_up(g, &id->pub, len & 1 ? &ep : NULL, now);
		else if (op >> 5 == 1)
			gossip_link_down(g, &id->pub, now);
		else if (op >> 5 <= 4)
			gossip_recv(g, &from->pub, msg, sign(&arg, id, msg), now);
		else if (op >> 5 <= 6)
			gossip_recv(g, &from->pub, arg.p, rd_left(&arg), now);
		else
			now = ts_add(now, DUR_MS(1u << (len & 31)));
		/* What a tick brings about may be due at once, but not for ever. */
		for (int i = 0; i == 0 || ts_due(gossip_deadline(g), now); i++) {
			if (i == 4)
				abort();
			gossip_tick(g, now);
			drain(g, now);
		}
	}
	gossip_free(g);
	return 0;
}
