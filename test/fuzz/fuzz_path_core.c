/* A path core driven by the input: nodes, links and traffic come and go, messages arrive, time passes.
 * Each step: one byte of kind and node, one of length, then so many bytes. */
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct node_key keys[8] = {{{0}}, {{1}}, {{2}}, {{3}}, {{4}}, {{5}}, {{6}}, {{7}}};
static uint8_t last[PATH_MSG_MAX]; /* the probe that it sent last; its reply once the type is set */
static size_t last_len;

static void drain(struct path *p)
{
	struct path_act a;

	while (path_next(p, &a))
		if (a.type == PATH_SEND && a.buf[0] == PATH_MSG_PROBE)
			memcpy(last, a.buf, last_len = a.len);
}

static void step(struct path *p, struct rd *in, uint8_t op, uint8_t len, ts_t now)
{
	const struct node_key *node = &keys[op & 7], *relay = &keys[len & 7];
	const struct ep ep = {ip_v4(0xc0000200u | op), 6793, 0};
	const struct path_node of = {len & 1, &ep, 1};
	const struct path_route back = {1, *relay, {path_label_of(relay)}};
	const struct path_from from = {.node = *node, .relayed = len & 1, .ep = ep};
	const unsigned kind = op >> 3;
	struct rd arg = kind < 20 ? *in : rd_sub(in, len < rd_left(in) ? len : rd_left(in));

	if (kind <= 1)
		(void)path_node_set(p, node, &of, now);
	else if (kind == 2 || kind == 6)
		(kind == 2 ? path_node_del : path_link_down)(p, node, now);
	else if (kind <= 5)
		(void)path_link_up(p, node, kind < 5 ? &ep : NULL, kind < 5 ? NULL : &back, now);
	else if (kind == 7)
		(void)path_want(p, node, now);
	else if (kind <= 9)
		(len & 1 ? path_unwant : path_connect_failed)(p, node, now);
	else if (kind <= 11)
		path_refused(p, node, (uint16_t)(len << 6), now);
	else if (kind == 12)
		path_observed(p, node, &ep, now);
	else if (kind == 13)
		path_set_mtu(p, len << 6, now);
	else if (kind <= 16)
		(void)path_traffic(p, node, len & 3, now, len & 4 ? now : TS_ZERO, now);
	else if (kind <= 19 && (last[0] = PATH_MSG_REPLY))
		(void)path_recv(p, &from, last, last_len, now);
	else
		(void)path_recv(p, &from, arg.p, rd_left(&arg), now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct path_cfg cfg = {.relay = size & 1, .has_v4 = true, .side_ports = 2, .mtu = 9000};
	ts_t now = {1000000000};
	struct rd in;

	path_tune_default(&cfg.tune);
	struct path *p = path_new(&cfg, now);
	rd_init(&in, data, size);
	while (p && rd_left(&in) > 0) {
		uint8_t op = rd_u8(&in), len = rd_u8(&in);

		if (op >> 3 < 26)
			step(p, &in, op, len, now);
		else
			now = ts_add(now, DUR_MS(1u << (len & 15)));
		path_tick(p, now);
		drain(p);
		if (ts_due(path_deadline(p), now))
			abort();
	}
	path_free(p);
	return 0;
}
