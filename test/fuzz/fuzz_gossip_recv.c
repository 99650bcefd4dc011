/* A gossip core driven by the input: links come and go, messages arrive, time passes, the driver publishes,
 * forgets, wants links, hears peers, leaves. Records are signed here, so that the input reaches what is
 * behind the signature. First a byte: full mesh or
 * not. Each step: one byte of kind and nodes, one of length, then so many bytes. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
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
			(a.type == GOSSIP_ROUTE_ADD && node_key_eq(&a.node, &ids[0].pub)) ||
			(a.type == GOSSIP_EPOCH && a.epoch > LIM_EPOCH) ||
			(a.type == GOSSIP_LIAR &&
				(a.lie >= GOSSIP_LIES || node_key_eq(&a.node, &ids[0].pub))))
			abort();
	}
}

/* The highest bytes stand for versions about the highest there are. */
static uint64_t version(uint8_t b, uint64_t top)
{
	return b < 0xf0 ? b : top - 8 + (b & 15);
}

/* type, flags, sub, epoch, sequence: a byte each; the rest is the body. */
static size_t sign(struct rd *in, const struct identity *id, uint8_t *out)
{
	struct record r = {.type = rd_u8(in), .flags = rd_u8(in) >> 7};

	r.sub = rd_u8(in);
	r.epoch = 1 + version(rd_u8(in), LIM_EPOCH);
	r.seq = version(rd_u8(in), UINT64_MAX - 8);
	r.body_len = rd_left(in);
	r.body = rd_take(in, r.body_len);
	out[0] = GOSSIP_MSG_RECORDS;
	int len = record_sign(id, &r, out + 1);
	return len > 0 ? 1 + (size_t)len : 0;
}

#define ROWS 64

/* Rows of eight bytes: VNI, exit, right, length, address. What is no prefix is refused. */
static void publish(struct gossip *g, struct rd *in, ts_t now)
{
	struct gossip_prefix p[ROWS] = {{0}};
	size_t n = 0;

	for (; n < ROWS && rd_left(in) >= 8; n++) {
		uint8_t vni = rd_u8(in), exit = rd_u8(in), right = rd_u8(in), len = rd_u8(in);
		struct ip ip = ip_v4(rd_u32(in));

		p[n].vni = vni;
		p[n].exit = exit & 1;
		p[n].claimed_at_secs = version(exit, UINT64_MAX - 8);
		p[n].right = right;
		if (pfx_make(&ip, len % 33, &p[n].pfx) == 0 && exit & 2)
			p[n].pfx.ip = ip; /* with bits behind its length */
	}
	(void)gossip_set_prefixes(g, p, n, now);
}

static void say_where(struct gossip *g, struct rd *in, ts_t now)
{
	struct ep eps[LIM_ENDPOINTS_PER_NODE + 1] = {{{0}}};
	size_t n = 0;

	for (; n < LIM_ENDPOINTS_PER_NODE + 1 && rd_left(in) >= 5; n++) {
		eps[n].port = rd_u8(in);
		eps[n].ip = ip_v4(rd_u32(in));
	}
	(void)gossip_set_endpoints(g, eps, n, now);
}

/* By name, or by key if the input holds none. */
static void forget(struct gossip *g, const struct identity *id, struct rd *in, ts_t now)
{
	char text[NODE_NAME_MAX + 1]; /* a whole key fits too */
	size_t len = rd_left(in) < NODE_NAME_MAX ? rd_left(in) : NODE_NAME_MAX;

	if (len > 0) {
		memcpy(text, rd_take(in, len), len);
		text[len] = '\0';
	} else {
		node_key_fmt(&id->pub, text);
	}
	(void)gossip_forget(g, text, len, now);
}

/* What the driver says of itself, or has heard. */
static void drive(
	struct gossip *g, uint8_t what, const struct identity *id, struct rd *in, ts_t now)
{
	switch (what) {
	case 2:
		publish(g, in, now);
		break;
	case 3:
		say_where(g, in, now);
		break;
	case 4:
		forget(g, id, in, now);
		break;
	case 5:
		(void)gossip_demand(g, &id->pub, now);
		gossip_set_features(g, rd_left(in), now);
		break;
	case 6:
		gossip_heard(g, &id->pub, now);
		break;
	default:
		if (rd_left(in) & 1)
			gossip_leave(g, now);
		else
			gossip_pause(g, now);
	}
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
	const struct pfx range = {.ip = ip_v4(0x0a000000), .len = 16};
	if (g && gossip_range_add(g, 1, &range) != 0)
		abort();
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
		else if ((op >> 2 & 7) < 2)
			now = ts_add(now, DUR_MS(1u << (len & 31)));
		else
			drive(g, op >> 2 & 7, id, &arg, now);
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
