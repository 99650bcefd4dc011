/* dpsend.c - what the control thread sends itself: control messages, handshakes, probes, and what strayed
 * to its socket to be relayed. One system call each, at once; nothing waits.
 *
 * What goes through a relay is wrapped under the relay's session on the first lane, whose counters any
 * thread may take; for blocks under that key the control thread has a slot of its own. */
#include <assert.h>
#include <string.h>
#include "weft/err.h"
#include "dp_int.h"

static const struct udp_sock *main_sock(const struct dp *dp)
{
	return dp->control.fd >= 0 ? &dp->control : &dp->worker[0]->sock[TXQ_MAIN];
}

/* Send; @probe: too large is an answer, not a drop. */
static int send_one(struct dp *dp, const struct udp_sock *s, const struct udp_out *o, bool probe)
{
	int err = udp_send(s, o, 1, false);

	stat_add(&dp->c.tx_calls, 1);
	if (err > 0) {
		stat_add(&dp->c.tx_datagrams, 1);
		return 0;
	}
	if (err != -EMSGSIZE)
		stat_add(&dp->c.drops[DP_DROP_SEND_ERROR], 1);
	else if (!probe)
		stat_add(&dp->c.drops[DP_DROP_TOO_BIG], 1);
	return err;
}

static int send_to(struct dp *dp, const struct ep *to, const struct ip *local, uint8_t via,
	const void *buf, size_t len, bool probe)
{
	const struct udp_sock *s = main_sock(dp);
	struct udp_dest d;
	struct udp_out o = {.dest = &d, .buf = buf, .len = len, .tos = UDP_TOS_CONTROL};
	int err;

	if (via > dp->cfg.workers)
		return ERR_RANGE;
	if (via)
		s = &dp->worker[via - 1]->sock[TXQ_SIDE];
	if (s->fd < 0)
		return ERR_NOT_FOUND;
	if (len > UDP_MAX_PAYLOAD)
		return ERR_RANGE;
	err = udp_dest_make(s, to, local, &d);
	if (err < 0) {
		stat_add(&dp->c.drops[DP_DROP_SEND_ERROR], 1);
		return err;
	}
	return send_one(dp, s, &o, probe);
}

int dp_send(struct dp *dp, const struct ep *to, const struct ip *local, uint8_t via,
	const void *buf, size_t len)
{
	return send_to(dp, to, local, via, buf, len, false);
}

int dp_send_probe(struct dp *dp, const struct ep *to, const struct ip *local, uint8_t via,
	const void *buf, size_t len)
{
	return send_to(dp, to, local, via, buf, len, true);
}

/* Wrap @inner behind @h for @hop and send it. */
static int send_wrapped(struct dp *dp, struct dppeer *hop, struct relay_hdr *h,
	const uint8_t *inner, size_t len, uint8_t tos, bool probe)
{
	const struct peer_path *path = hop->path;
	size_t aad = relay_tag_off(h->n), head = WIRE_RELAY_OVERHEAD(h->n);
	struct udp_out o = {.len = head + len, .tos = tos};
	struct dpkey *k = hop->key;
	uint8_t nonce[12];

	if (!k || !path || path->n || k->tx_lanes < 2)
		return ERR_NOT_FOUND;
	if (o.len > CTL_RX_BUF)
		return ERR_RANGE;
	if (!dpkey_pay(k, dp->cfg.workers, dpkey_blocks(aad)))
		return ERR_LIMIT;
	h->lane = 1;
	h->index = k->remote_index;
	h->counter = dpkey_counters(k, h->lane, 1);
	relay_write(h, dp->wrapped);
	aead_data_nonce(nonce, h->lane, h->counter);
	aead_seal(k->tx, nonce, dp->wrapped, aad, dp->wrapped + aad, 0, dp->wrapped + aad,
		dp->wrapped + aad);
	memcpy(dp->wrapped + head, inner, len);
	o.dest = &path->dest;
	o.buf = dp->wrapped;
	return send_one(dp, main_sock(dp), &o, probe);
}

int dp_send_way(struct dp *dp, const struct dp_way *way, const void *buf, size_t len, bool probe)
{
	struct dppeer *hop = dp_peer_get(dp, way->first);
	struct relay_hdr h = {.n = way->n, .left = way->n};

	if (!hop)
		return ERR_NOT_FOUND;
	if (way->n < 1 || way->n > WIRE_RELAY_LABELS_MAX)
		return ERR_RANGE;
	memcpy(h.label, way->label, sizeof(h.label));
	if (relay_loops(&h, dp->cfg.label, hop->label))
		return ERR_RANGE;
	return send_wrapped(dp, hop, &h, buf, len, UDP_TOS_CONTROL, probe);
}

bool dpsend_relay(struct dp *dp, struct dppeer *next, struct relay_hdr *h, const uint8_t *inner,
	size_t len, uint8_t tos)
{
	int err = send_wrapped(dp, next, h, inner, len, tos, false);

	if (err == ERR_LIMIT)
		stat_add(&dp->c.drops[DP_DROP_KEY_LIMIT], 1);
	else if (err == ERR_NOT_FOUND)
		stat_add(&dp->c.drops[DP_DROP_RELAY_NO_HOP], 1);
	else if (err == ERR_RANGE)
		stat_add(&dp->c.drops[DP_DROP_TOO_BIG], 1);
	return err == 0;
}
