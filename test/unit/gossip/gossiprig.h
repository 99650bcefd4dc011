/* gossiprig.h - one gossip core of node "us", and records that its peers sign. Each test program includes it once. */
#ifndef WEFT_TEST_GOSSIPRIG_H
#define WEFT_TEST_GOSSIPRIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "weft/log.h"
#include "fault.h"
#include "gossip.h"
#include "gossip_wire.h"
#include "record.h"

static struct identity us, peer, other;
static const struct cluster_id cluster = {"our cluster's id"};
static ts_t now = {1000000000};

static inline struct gossip *core(void)
{
	struct gossip_cfg cfg = {.full_mesh = true,
		.id = &us,
		.cluster = cluster,
		.name = "us",
		.version = "1",
		.epoch = 7,
		.seed = 1};

	return gossip_new(&cfg, now);
}

/* Drain; counts of each kind, and the last action of @keep with a copy of its bytes. */
struct drained {
	unsigned n[GOSSIP_LIAR + 1];
	struct gossip_act last;
	uint8_t buf[WIRE_CTL_BODY_MAX];
	struct ep eps[LIM_ENDPOINTS_PER_NODE + 1];
};

static inline struct drained drain(struct gossip *g, enum gossip_act_type keep)
{
	struct drained d = {0};
	struct gossip_act a;

	while (gossip_next(g, &a)) {
		d.n[a.type]++;
		if (a.type != keep)
			continue;
		d.last = a;
		if (a.len)
			memcpy(d.buf, a.buf, a.len);
		if (a.neps)
			memcpy(d.eps, a.eps, a.neps * sizeof(a.eps[0]));
	}
	return d;
}

static inline struct ep endpoint(const char *text)
{
	struct ep e;

	assert_int_equal(ep_parse(text, 0, &e), 0);
	return e;
}

struct msg {
	uint8_t b[2 * WIRE_CTL_BODY_MAX];
	size_t len;
};

static void add(struct msg *m, const struct identity *id, const struct record *r)
{
	int len;

	if (m->len == 0)
		m->b[m->len++] = GOSSIP_MSG_RECORDS;
	len = record_sign(id, r, m->b + m->len);
	assert_true(len > 0);
	m->len += (size_t)len;
}

static inline struct record node_record(
	const char *name, uint64_t epoch, uint64_t seq, uint8_t *body)
{
	struct record_node n = {.version = "1"};
	struct record r = {.type = RECORD_NODE, .epoch = epoch, .seq = seq, .cluster = cluster};

	snprintf(n.name, sizeof(n.name), "%s", name);
	r.body = body;
	r.body_len = (size_t)record_node_encode(&n, body);
	return r;
}

static inline int recv_node(
	struct gossip *g, const struct identity *id, const char *name, uint64_t epoch, uint64_t seq)
{
	uint8_t body[RECORD_BODY_MAX];
	struct record r = node_record(name, epoch, seq, body);
	struct msg m = {.len = 0};

	add(&m, id, &r);
	return gossip_recv(g, &peer.pub, m.b, m.len, now);
}

static inline struct gossip_stats stats(const struct gossip *g)
{
	struct gossip_stats st;

	gossip_stats(g, &st);
	return st;
}

static inline struct gossip *linked(void)
{
	struct gossip *g = core();
	struct ep e = endpoint("192.0.2.9:6793");

	assert_non_null(g);
	assert_int_equal(gossip_link_up(g, &peer.pub, &e, now), 0);
	drain(g, GOSSIP_NONE);
	return g;
}

static inline int setup(void **state)
{
	uint8_t seed[32] = {1};

	identity_from_seed(seed, &us);
	seed[0] = 2;
	identity_from_seed(seed, &peer);
	seed[0] = 3;
	identity_from_seed(seed, &other);
	return 0;
}

#endif
