/* sim_data.c - see sim_data.h. A node that has no memory for a cipher ends the simulation. */
#include "sim_data.h"

#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "aead.h"
#include "sim.h"
#include "sim_keys.h"
#include "sim_net.h"
#include "sim_path.h"
#include "sim_sess.h"

#define LANE 1

struct aead *sim_data_tx(struct sim_key *k)
{
	if (!k->tx)
		k->tx = aead_new(k->k.suite, AEAD_AUTO, k->k.tx);
	if (!k->tx)
		abort();
	return k->tx;
}

struct aead *sim_data_rx(struct sim_key *k)
{
	if (!k->rx)
		k->rx = aead_new(k->k.suite, AEAD_AUTO, k->k.rx);
	if (!k->rx)
		abort();
	return k->rx;
}

void sim_data_seal(
	struct sim_key *k, bool side, const uint8_t body[SIM_DATA_BODY], uint8_t out[SIM_DATA_LEN])
{
	uint8_t nonce[12];
	struct wr w;

	memset(out, 0, SIM_DATA_LEN);
	memcpy(out + SIM_DATA_OFF, body, SIM_DATA_BODY);
	wr_init(&w, out, SIM_DATA_LEN);
	wr_u8(&w, WIRE_TYPE_BYTE(WIRE_DATA));
	wr_u8(&w, side ? WIRE_F_SIDE_PORT : 0);
	wr_u8(&w, LANE);
	wr_u8(&w, 0);
	wr_u32(&w, k->k.remote_index);
	wr_u64(&w, k->counter);
	aead_data_nonce(nonce, LANE, k->counter++);
	aead_seal(sim_data_tx(k), nonce, out, WIRE_DATA_HDR, out + WIRE_DATA_HDR,
		WIRE_SHIM + SIM_DATA_BODY, out + WIRE_DATA_HDR, out + SIM_DATA_LEN - WIRE_TAG);
}

bool sim_data_parse(const uint8_t *buf, size_t len, struct sim_data *out)
{
	unsigned lane;
	struct rd r;

	rd_init(&r, buf, len);
	if (WIRE_TYPE_OF(rd_u8(&r)) != WIRE_DATA || len < WIRE_DATA_OVERHEAD)
		return false;
	out->side = rd_u8(&r) & WIRE_F_SIDE_PORT;
	lane = rd_u8(&r);
	rd_u8(&r);
	out->index = rd_u32(&r);
	out->counter = rd_u64(&r);
	return lane == LANE;
}

bool sim_data_open(struct sim_key *k, const struct sim_data *d, uint8_t *buf, size_t len)
{
	uint8_t nonce[12];

	aead_data_nonce(nonce, LANE, d->counter);
	return aead_open(sim_data_rx(k), nonce, buf, WIRE_DATA_HDR, buf + WIRE_DATA_HDR,
		       len - WIRE_DATA_HDR - WIRE_TAG, buf + len - WIRE_TAG,
		       buf + WIRE_DATA_HDR) == 0 &&
	       replay_accept(&k->window, d->counter) == 0;
}

/* --- a node's data --- */

void sim_data_send(struct sim_node *n, struct sim_slot *p, const uint8_t body[SIM_DATA_BODY])
{
	struct sim_key *k = p->use ? sim_keys_get(n, p->use) : NULL;
	bool side = p->side && !p->side_off && p->way.n == 0;
	uint8_t buf[SIM_DATA_LEN];

	if (!k || k->k.rx_lanes < 2)
		return;
	sim_data_seal(k, side, body, buf);
	n->data_sent++;
	p->tx_at[p->way.n ? SIM_VIA_RELAY : side ? SIM_VIA_SIDE : SIM_VIA_MAIN] = sim_node_now(n);
	sim_path_active(n->path);
	if (p->way.n)
		(void)sim_relay_send(n, &p->way, buf, sizeof(buf), sizeof(buf), false);
	else
		sim_net_send(n->s->net, n->index, sim_node_port(side), &p->ep, buf, sizeof(buf),
			sizeof(buf));
}

/* A data packet to a random peer. */
static void send_data(struct sim_node *n)
{
	static const uint8_t nothing[SIM_DATA_BODY];
	struct sim_node *to = n->s->nodes[prng_below(&n->s->prng, n->s->cfg.nodes)];
	struct sim_slot *p = to->running ? sim_node_slot(n, &to->id.pub) : NULL;

	if (p && p->up)
		sim_data_send(n, p, nothing);
}

/* What the data plane tells of a peer's traffic each second. */
static void tell_traffic(struct sim_node *n, uint32_t peer, ts_t now)
{
	struct sim_slot *p = &n->slots[peer];
	uint32_t core_peer = sim_sess_core_peer(n->sess, peer);
	ts_t used = p->last_data;

	if (!p->up)
		return;
	for (unsigned v = 0; v < SIM_VIAS; v++)
		used = ts_before(used, p->tx_at[v]) ? p->tx_at[v] : used;
	if (n->path && ts_before(p->told_rx, p->last_data))
		gossip_heard(n->gossip, &p->key, now);
	p->told_rx = p->last_data;
	if (p->last_data.ns && core_peer)
		sess_traffic(sim_sess_core(n->sess), core_peer, p->last_data, now);
	if (n->path && used.ns)
		sim_sess_used(n->sess, peer, used, now);
}

void sim_data_second(struct sim_node *n, ts_t now)
{
	for (uint32_t i = 1; i < n->nslots; i++)
		tell_traffic(n, i, now);
	if (sim_sess_core(n->sess) && n->s->cfg.data)
		send_data(n);
}

void sim_data_key_used(struct sim_node *n, struct sim_key *k)
{
	if (k->confirmed)
		return;
	k->confirmed = true;
	sess_key_confirmed(sim_sess_core(n->sess), k->k.local_index, sim_node_now(n));
	sim_node_drain(n);
}

bool sim_data_recv(
	struct sim_node *n, const struct ep *from, const struct ip *local, uint8_t *buf, size_t len)
{
	struct sim_data d;
	struct sim_key *k = sim_data_parse(buf, len, &d) ? sim_keys_get(n, d.index) : NULL;
	struct sim_slot *p;

	if (!k)
		return false;
	if (!sim_data_open(k, &d, buf, len))
		return true;
	n->data_got++;
	p = &n->slots[k->peer];
	p->last_data = p->any_rx = sim_node_now(n);
	sim_path_active(n->path);
	sim_data_key_used(n, k);
	k = sim_keys_get(n, d.index);
	p = k ? &n->slots[k->peer] : NULL;
	if (!p || !p->up)
		return true;
	if (!d.side && from && !ep_eq(&p->ep, from))
		sess_roam_hint(sim_sess_core(n->sess), sim_sess_core_peer(n->sess, k->peer), from,
			local, sim_node_now(n));
	sim_flow_data(n, p, buf + SIM_DATA_OFF);
	return true;
}
