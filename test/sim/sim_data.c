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

/* --- packets --- */

struct packet {
	uint32_t index; /* the receiver's */
	uint64_t counter;
	bool side; /* from a worker's own source port */
};

/* All but what is sealed. */
static void head(uint8_t out[SIM_DATA_LEN], const struct packet *d, const uint8_t *body)
{
	struct wr w;

	memset(out, 0, SIM_DATA_LEN);
	memcpy(out + SIM_DATA_OFF, body, SIM_DATA_BODY);
	wr_init(&w, out, SIM_DATA_LEN);
	wr_u8(&w, WIRE_TYPE_BYTE(WIRE_DATA));
	wr_u8(&w, d->side ? WIRE_F_SIDE_PORT : 0);
	wr_u8(&w, LANE);
	wr_u8(&w, 0);
	wr_u32(&w, d->index);
	wr_u64(&w, d->counter);
}

/* False: no data packet of lane 1. */
static bool parse(const uint8_t *buf, size_t len, struct packet *out)
{
	unsigned lane;
	struct rd r;

	rd_init(&r, buf, len);
	if (rd_u8(&r) != WIRE_TYPE_BYTE(WIRE_DATA) || len < WIRE_DATA_OVERHEAD)
		return false;
	out->side = rd_u8(&r) & WIRE_F_SIDE_PORT;
	lane = rd_u8(&r);
	rd_u8(&r);
	out->index = rd_u32(&r);
	out->counter = rd_u64(&r);
	return lane == LANE;
}

/* A packet of lane 1 under @k, whose counter goes up. */
static void seal(
	struct sim_key *k, bool side, const uint8_t body[SIM_DATA_BODY], uint8_t out[SIM_DATA_LEN])
{
	const struct packet d = {k->k.remote_index, k->counter++, side};
	uint8_t nonce[12];

	head(out, &d, body);
	aead_data_nonce(nonce, LANE, d.counter);
	aead_seal(sim_data_tx(k), nonce, out, WIRE_DATA_HDR, out + WIRE_DATA_HDR,
		WIRE_SHIM + SIM_DATA_BODY, out + WIRE_DATA_HDR, out + SIM_DATA_LEN - WIRE_TAG);
}

/* Opens what was parsed in place. False: forged, or seen before. */
static bool open_sealed(struct sim_key *k, const struct packet *d, uint8_t *buf, size_t len)
{
	uint8_t nonce[12];

	aead_data_nonce(nonce, LANE, d->counter);
	return aead_open(sim_data_rx(k), nonce, buf, WIRE_DATA_HDR, buf + WIRE_DATA_HDR,
		       len - WIRE_DATA_HDR - WIRE_TAG, buf + len - WIRE_TAG,
		       buf + WIRE_DATA_HDR) == 0 &&
	       replay_accept(&k->window, d->counter) == 0;
}

/* The same packet in the plain variant. */
static bool mark(struct sim_node *n, const struct sim_slot *p, const uint8_t *body, uint8_t *out)
{
	struct sim_sess_mark m;

	if (!sim_sess_mark(n->sess, (uint32_t)(p - n->slots), &m))
		return false;
	head(out, &(struct packet){.index = m.index, .counter = m.counter}, body);
	memcpy(out + SIM_DATA_LEN - WIRE_TAG, m.tag, WIRE_TAG);
	return true;
}

/* --- a node's data --- */

static bool plain(const struct sim_node *n)
{
	return !sim_sess_core(n->sess);
}

static struct sim_key *key_of(const struct sim_node *n, const struct sim_slot *p)
{
	struct sim_key *k = p->use ? sim_keys_get(n, p->use) : NULL;

	return k && k->k.rx_lanes > LANE ? k : NULL;
}

bool sim_data_ready(const struct sim_node *n, const struct sim_slot *p)
{
	return p->up && (plain(n) || key_of(n, p));
}

void sim_data_send(struct sim_node *n, struct sim_slot *p, const uint8_t body[SIM_DATA_BODY])
{
	struct sim_key *k = key_of(n, p);
	bool side = p->side && !p->side_off && p->way.n == 0;
	uint8_t buf[SIM_DATA_LEN];

	if (plain(n) ? !mark(n, p, body, buf) : !k)
		return;
	if (!plain(n))
		seal(k, side, body, buf);
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
	ts_t used = p->last_data;

	if (!p->up)
		return;
	for (unsigned v = 0; v < SIM_VIAS; v++)
		used = ts_before(used, p->tx_at[v]) ? p->tx_at[v] : used;
	if (n->path && ts_before(p->told_rx, p->last_data))
		gossip_heard(n->gossip, &p->key, now);
	p->told_rx = p->last_data;
	if (p->last_data.ns)
		sim_sess_traffic(n->sess, peer, p->last_data, now);
	if (n->path && used.ns)
		sim_sess_used(n->sess, peer, used, now);
}

void sim_data_second(struct sim_node *n, ts_t now)
{
	for (uint32_t i = 1; i < n->nslots; i++)
		tell_traffic(n, i, now);
	if (n->s->cfg.data)
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

struct sim_slot *sim_data_marked(
	struct sim_node *n, const struct sim_sess_mark *m, const struct ep *from, bool *known)
{
	int64_t peer = sim_sess_marked(n->sess, m, from, sim_node_now(n));
	struct sim_slot *p;

	*known = peer != 0;
	if (peer <= 0)
		return NULL;
	/* A packet may be the first sign of a session. */
	if (peer >= n->nslots || !n->slots[peer].up)
		sim_node_drain(n);
	p = peer < n->nslots ? &n->slots[peer] : NULL;
	if (!p || !p->up)
		return NULL;
	p->last_data = p->any_rx = sim_node_now(n);
	sim_path_active(n->path);
	return p;
}

/* The node whose packet it is, with @buf opened; NULL: nothing is to be done with it. */
static struct sim_slot *opened(struct sim_node *n, const struct packet *d, const struct ep *from,
	uint8_t *buf, size_t len, bool *known)
{
	struct sim_sess_mark m = {.index = d->index, .counter = d->counter};
	struct sim_slot *p;
	struct sim_key *k;

	if (plain(n)) {
		memcpy(m.tag, buf + len - WIRE_TAG, WIRE_TAG);
		return sim_data_marked(n, &m, from, known);
	}
	k = sim_keys_get(n, d->index);
	*known = k != NULL;
	if (!k || !open_sealed(k, d, buf, len))
		return NULL;
	p = &n->slots[k->peer];
	p->last_data = p->any_rx = sim_node_now(n);
	sim_path_active(n->path);
	sim_data_key_used(n, k);
	k = sim_keys_get(n, d->index);
	p = k ? &n->slots[k->peer] : NULL;
	return p && p->up ? p : NULL;
}

bool sim_data_recv(
	struct sim_node *n, const struct ep *from, const struct ip *local, uint8_t *buf, size_t len)
{
	struct sim_slot *p;
	struct packet d;
	bool known;

	if (!sim_sess_is_packet(n->sess, buf, len) || !parse(buf, len, &d))
		return false;
	p = opened(n, &d, from, buf, len, &known);
	if (!p)
		return known;
	n->data_got++;
	if (!d.side && from && !ep_eq(&p->ep, from))
		sim_sess_roam_hint(n->sess, (uint32_t)(p - n->slots), from, local, sim_node_now(n));
	sim_flow_data(n, p, buf + SIM_DATA_OFF);
	return true;
}
