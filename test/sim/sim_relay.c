/* sim_relay.c - what router/dp/rxrelay.c and dpsend.c do with relayed datagrams, one node's worth of it.
 *
 * In: datagrams of type RELAY; what the path driver wraps. Out: datagrams to the next hop, or what is
 * inside to the path driver, with the way back. The order of the checks is the daemon's. The tag is the
 * hop's, on lane 1, whose counters data has too; in the plain variant its mark (sim_sess.h). */
#include "sim_relay.h"

#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "aead.h"
#include "invariants.h"
#include "relay.h"
#include "sim.h"
#include "sim_data.h"
#include "sim_keys.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_path.h"
#include "sim_plant.h"
#include "sim_sess.h"

#define LANE     1
#define WRAP_MAX 65536

uint64_t sim_label(const struct node_key *key)
{
	struct rd r;

	rd_init(&r, key->b, WIRE_RELAY_LABEL);
	return rd_u64(&r);
}

/* The session with the node of @label; NULL: none. */
static struct sim_slot *slot_of(struct sim_node *n, uint64_t label)
{
	for (uint32_t i = 1; i < n->nslots; i++)
		if (n->slots[i].up && sim_label(&n->slots[i].key) == label)
			return &n->slots[i];
	return NULL;
}

/* Index, counter and tag for @hop; false: it has no key yet. @buf holds the whole datagram but these. */
static bool seal(struct sim_node *n, const struct sim_slot *hop, struct relay_hdr *h, uint8_t *buf)
{
	const size_t aad = relay_tag_off(h->n);
	struct sim_sess_mark m;
	struct sim_key *k;
	uint8_t nonce[12];

	h->lane = LANE;
	if (n->s->cfg.no_crypto) {
		if (!sim_sess_mark(n->sess, (uint32_t)(hop - n->slots), &m))
			return false;
		h->index = m.index;
		h->counter = m.counter;
		relay_write(h, buf);
		memcpy(buf + aad, m.tag, WIRE_TAG);
		return true;
	}
	k = hop->use ? sim_keys_get(n, hop->use) : NULL;
	if (!k || k->k.rx_lanes <= LANE)
		return false;
	h->index = k->k.remote_index;
	h->counter = k->counter++;
	relay_write(h, buf);
	aead_data_nonce(nonce, LANE, h->counter);
	aead_seal(sim_data_tx(k), nonce, buf, aad, buf + aad, 0, buf + aad, buf + aad);
	return true;
}

/* Send @h and @inner to @hop. */
static bool send_wrapped(struct sim_node *n, struct sim_slot *hop, struct relay_hdr *h,
	const uint8_t *inner, size_t len, size_t wire_len, bool probe)
{
	static uint8_t buf[WRAP_MAX];
	const size_t head = WIRE_RELAY_OVERHEAD(h->n);

	if (!hop || hop->way.n > 0 || head + len > sizeof(buf))
		return false;
	memcpy(buf + head, inner, len);
	if (!seal(n, hop, h, buf))
		return false;
	hop->tx_at[SIM_VIA_MAIN] = sim_node_now(n);
	sim_path_active(n->path);
	if (!probe)
		check_size(n, head + wire_len);
	sim_net_send(
		n->s->net, n->index, WIRE_DEFAULT_PORT, &hop->ep, buf, head + len, head + wire_len);
	return true;
}

bool sim_relay_send(struct sim_node *n, const struct sim_way *way, const uint8_t *buf, size_t len,
	size_t wire_len, bool probe)
{
	struct relay_hdr h = {.n = way->n, .left = way->n};
	uint64_t first = sim_label(&way->first);

	memcpy(h.label, way->label, sizeof(h.label));
	check_relay(n, &h, first);
	if (relay_loops(&h, sim_label(&n->id.pub), first))
		return false;
	return send_wrapped(n, slot_of(n, first), &h, buf, len, wire_len, probe);
}

/* Who sent it, if it is authentic and new; NULL: it is dropped. */
static struct sim_slot *sender_of(struct sim_node *n, const struct relay_hdr *h, uint8_t *buf)
{
	const size_t aad = relay_tag_off(h->n);
	struct sim_sess_mark m;
	struct sim_slot *from;
	struct sim_key *k;
	uint8_t nonce[12];
	bool known;

	if (n->s->cfg.no_crypto) {
		m.index = h->index;
		m.counter = h->counter;
		memcpy(m.tag, buf + aad, WIRE_TAG);
		return sim_data_marked(n, &m, NULL, &known);
	}
	k = sim_keys_get(n, h->index);
	if (!k || h->lane != LANE)
		return NULL;
	aead_data_nonce(nonce, LANE, h->counter);
	if (aead_open(sim_data_rx(k), nonce, buf, aad, buf + aad, 0, buf + aad, buf + aad) != 0 ||
		replay_accept(&k->window, h->counter) != 0)
		return NULL;
	from = &n->slots[k->peer];
	from->any_rx = from->last_data = sim_node_now(n);
	sim_path_active(n->path);
	sim_data_key_used(n, k);
	/* That may have ended or made sessions. */
	from = k->peer < n->nslots ? &n->slots[k->peer] : NULL;
	return from && from->up ? from : NULL;
}

static void forward(struct sim_node *n, struct relay_hdr *h, uint64_t sender, const uint8_t *inner,
	size_t len, size_t wire_len)
{
	uint64_t next;

	if (n->no_relay) {
		n->relay_refused++;
		return;
	}
	if (n->swallows) {
		n->swallowed++;
		return;
	}
	next = relay_turn(h, sender);
	if (sim_planted(n, PLANT_RELAY_BACK))
		next = sender;
	check_relay(n, h, next);
	n->relayed += send_wrapped(n, slot_of(n, next), h, inner, len, wire_len, true);
}

/* We are the end. */
static void take_out(struct sim_node *n, const struct relay_hdr *h, const struct node_key *sender,
	uint8_t *inner, size_t len)
{
	struct sim_way back = {.first = *sender, .n = h->n};

	for (unsigned i = 0; i < h->n; i++)
		back.label[i] = h->label[h->n - 1 - i];
	sim_path_relayed(n->path, &back, inner, len);
}

void sim_relay_recv(struct sim_node *n, uint8_t *buf, size_t len)
{
	const struct sim_slot *from;
	struct relay_hdr h;
	struct node_key sender;
	size_t head;

	if (relay_parse(&h, buf, len) < 0)
		return;
	from = sender_of(n, &h, buf);
	if (!from)
		return;
	sender = from->key;
	if (relay_loops(&h, sim_label(&n->id.pub), sim_label(&sender))) {
		n->relay_bad++;
		return;
	}
	head = WIRE_RELAY_OVERHEAD(h.n);
	if (h.left > 0)
		forward(n, &h, sim_label(&sender), buf + head, len - head,
			sim_sess_wire_len(n->sess, buf + head, len - head));
	else
		take_out(n, &h, &sender, buf + head, len - head);
}
