/* A membership core driven by the input: nodes and links come and go, messages arrive, time passes.
 * Facts are signed here, to reach what is behind the signature. Each step: one byte of kind and
 * nodes, one of length, then so many bytes. */
#include <assert.h>
#include "weft/buf.h"
#include "member.h"
#include "member_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct identity ids[12]; /* 0: the core's own */
#define NODES (sizeof(ids) / sizeof(ids[0]))
static const struct cluster_id cluster = {{1}};

static void drain(struct members *m, ts_t now)
{
	struct member_act a;

	members_tick(m, now);
	while (members_next(m, &a))
		assert(a.type != MEMBER_SEND || (a.len > 0 && a.len <= MEMBER_MSG_MAX));
	assert(!ts_due(members_deadline(m), now));
}

/* Subject and origin, type, epoch, incarnation: a byte each. */
static size_t sign(struct rd *in, uint8_t *out)
{
	uint8_t who = rd_u8(in), signed_bytes[MEMBER_SIGNED_LEN];
	struct member_fact f = {.type = (uint8_t)(1 + rd_u8(in) % 4)};
	bool suspect = f.type == MEMBER_FACT_SUSPECT;
	const struct identity *by = &ids[(suspect ? who >> 4 : who & 15) % NODES];
	struct wr w;

	f.epoch = rd_u8(in);
	f.inc = rd_u8(in);
	f.subject = ids[(who & 15) % NODES].pub;
	if (suspect)
		f.origin = by->pub;
	member_fact_signed(&f, &cluster, signed_bytes);
	key_sign(by, MEMBER_SIGN_LABEL, signed_bytes, sizeof(signed_bytes), f.sig);
	wr_init(&w, out, MEMBER_MSG_MAX);
	wr_u8(&w, MEMBER_MSG_PUSH);
	member_fact_encode(&w, &f);
	return wr_len(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct members_cfg cfg = {.id = &ids[0], .cluster = cluster, .epoch = 2, .seed = 1};
	uint8_t msg[MEMBER_MSG_MAX];
	struct members *m;
	ts_t now = {1};
	struct rd in;

	for (uint8_t i = 0; key_init() == 0 && i < NODES; i++)
		identity_from_seed((const uint8_t[32]){(uint8_t)(i + 1)}, &ids[i]);
	m = members_new(&cfg, now);
	rd_init(&in, data, size);
	while (m && rd_left(&in) > 0) {
		uint8_t op = rd_u8(&in), len = rd_u8(&in);
		const struct node_key *k = &ids[(op & 15) % NODES].pub;
		struct rd arg = rd_sub(&in, len < rd_left(&in) ? len : rd_left(&in));

		op >>= 4;
		if (op < 3)
			members_node_add(m, k, len & 3, now);
		else if (op < 6)
			members_link(m, k, op < 5, now);
		else if (op == 6)
			members_node_del(m, k, now);
		else if (op < 10)
			members_recv(m, k, msg, sign(&arg, msg), now);
		else if (op < 13)
			members_recv(m, k, arg.p, rd_left(&arg), now);
		else if (op < 15)
			now = ts_add(now, DUR_MS(1u << (len & 15)));
		else if (len == 255)
			members_leave(m, now);
		else if (len == 254)
			members_overdue(m, k, now);
		else
			members_heard(m, k, now);
		drain(m, now);
	}
	members_free(m);
	return 0;
}
