/* sessnet.h - a few session cores on a network that does as it is told, in virtual time.
 *
 * Every action is checked against the rules of session.h as it comes out: each key is added once,
 * used only while it is there and taken back once; four per peer at most; UP and DOWN alternate.
 *
 * Data lanes are modelled, not sealed: a data packet carries the sending key itself and is "opened"
 * by whoever has that key under the receiver index. What the model can't open goes to the core, as a
 * data plane would do it. */
#ifndef WEFT_TEST_SESSNET_H
#define WEFT_TEST_SESSNET_H

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "session_int.h"

#define NET_NODES  3
#define NET_MSGS   4096
#define NET_KEYS   64
#define NET_FAULTS 4
#define NET_TYPE   40 /* control messages of the tests */
#define NET_SEQS   65536
#define NET_START  DUR_SEC(1000000)
#define NET_WALL   UINT64_C(1750000000000000000)

struct net_msg {
	bool data;
	ts_t at;
	uint64_t order;
	struct ep src, dst;
	size_t len;
	uint8_t buf[WIRE_CONTROL_MAX];
};

struct net_key {
	uint32_t peer, index;
	struct sess_keys keys;
	bool confirmed;
};

struct net_node {
	struct sess *s;
	struct identity id;
	struct secret_keys secrets[LIM_SECRETS];
	struct sess_cfg cfg;
	struct ep ep; /* main port; side port n is its port + n */
	bool side_blocked;
	struct net_key keys[NET_KEYS];
	uint32_t use[LIM_PEERS]; /* local index, 0: none */
	bool up[LIM_PEERS];
	struct ep to[LIM_PEERS];
	unsigned nkeys, ups, downs, key_adds, dial_failed, moved, got, side_on, side_off;
	unsigned notes[8];
	int last_down, last_fail, last_del;
	uint8_t *seen; /* sequence numbers of NET_TYPE that came */
	uint8_t *seen_data;
};

enum net_fault { NET_DROP = 1, NET_DUP, NET_LATE, NET_VERY_LATE };

struct net {
	ts_t now;
	struct prng prng;
	struct net_node n[NET_NODES];
	unsigned count;
	struct net_msg *msgs; /* nmsgs of them, in no order */
	unsigned nmsgs;
	uint64_t order;
	dur_t delay, jitter; /* of each message: delay + [0, jitter) */
	unsigned loss_pct;   /* of all but data */
	struct {
		unsigned n; /* number of the message, from 1 */
		enum net_fault what;
	} faults[NET_FAULTS];
	unsigned sent; /* messages but data since net_arm */
	bool strict;   /* no session may go down */
	void (*tap)(
		struct net *net, struct net_msg *m); /* sees each message, may change it; NULL */
	void *ctx;
};

static inline struct net_node *net_by_ep(struct net *net, const struct ep *ep)
{
	for (unsigned i = 0; i < net->count; i++)
		if (net->n[i].s && ip_eq(&net->n[i].ep.ip, &ep->ip) &&
			net->n[i].ep.port == ep->port)
			return &net->n[i];
	return NULL;
}

static inline void net_queue(struct net *net, const struct net_msg *m, dur_t extra)
{
	dur_t wait = {net->delay.ns + extra.ns};

	if (net->jitter.ns)
		wait.ns += (int64_t)prng_below(&net->prng, (uint64_t)net->jitter.ns);
	if (net->nmsgs == NET_MSGS)
		return; /* a full network drops */
	net->msgs[net->nmsgs] = *m;
	net->msgs[net->nmsgs].at = ts_add(net->now, wait);
	net->msgs[net->nmsgs++].order = net->order++;
}

static inline void net_post(struct net *net, struct net_msg *m)
{
	if (net->tap)
		net->tap(net, m);
	if (m->len == 0 || (!m->data && prng_below(&net->prng, 100) < net->loss_pct))
		return;
	if (!m->data) {
		net->sent++;
		for (int i = 0; i < NET_FAULTS; i++) {
			if (net->faults[i].n != net->sent)
				continue;
			switch (net->faults[i].what) {
			case NET_DROP:
				return;
			case NET_DUP:
				net_queue(net, m, DUR_MS(3));
				break;
			case NET_LATE:
				net_queue(net, m, DUR_MS(45));
				return;
			case NET_VERY_LATE:
				net_queue(net, m, DUR_MS(1700));
				return;
			}
		}
	}
	net_queue(net, m, DUR_NS(0));
}

static inline struct net_key *net_key(struct net_node *n, uint32_t index)
{
	for (int i = 0; i < NET_KEYS; i++)
		if (n->keys[i].index == index)
			return &n->keys[i];
	return NULL;
}

static inline unsigned net_keys_of(const struct net_node *n, uint32_t peer)
{
	unsigned c = 0;

	for (int i = 0; i < NET_KEYS; i++)
		c += n->keys[i].index && n->keys[i].peer == peer;
	return c;
}

static inline void net_on_send(struct net *net, struct net_node *n, const struct sess_act *a)
{
	struct net_msg m = {.src = n->ep, .dst = a->to, .len = a->len};

	assert(a->len > 0 && a->len <= WIRE_CONTROL_MAX && a->via <= n->cfg.side_ports);
	m.src.port = (uint16_t)(m.src.port + a->via);
	memcpy(m.buf, a->buf, a->len);
	if (!a->via || !n->side_blocked)
		net_post(net, &m);
}

static inline void net_on_key(struct net_node *n, const struct sess_act *a)
{
	struct net_key *k;

	if (a->type == SESS_KEY_ADD) {
		assert(!net_key(n, a->keys->local_index) && a->index == a->keys->local_index);
		k = net_key(n, 0);
		assert(k);
		*k = (struct net_key){.peer = a->peer, .index = a->index, .keys = *a->keys};
		n->nkeys++;
		n->key_adds++;
		assert(net_keys_of(n, a->peer) <= SESS_SLOTS);
		return;
	}
	k = net_key(n, a->index);
	assert(a->index && k && k->peer == a->peer);
	if (a->type == SESS_KEY_USE) {
		n->use[a->peer] = a->index;
		return;
	}
	if (n->use[a->peer] == a->index)
		n->use[a->peer] = 0;
	memset(k, 0, sizeof(*k));
	n->nkeys--;
}

static inline void net_on_link(struct net *net, struct net_node *n, const struct sess_act *a)
{
	switch (a->type) {
	case SESS_UP:
		assert(!n->up[a->peer] && net_keys_of(n, a->peer) > 0);
		n->up[a->peer] = true;
		n->ups++;
		break;
	case SESS_DOWN:
		assert(n->up[a->peer] && net_keys_of(n, a->peer) == 0);
		assert(!net->strict);
		n->up[a->peer] = false;
		n->downs++;
		n->last_down = a->reason;
		break;
	case SESS_ENDPOINT:
		assert(n->up[a->peer]);
		n->to[a->peer] = a->ep;
		break;
	default:
		assert(a->type == SESS_SIDE_PORT && n->up[a->peer] && a->via >= 1);
		if (a->on)
			n->side_on++;
		else
			n->side_off++;
	}
}

static inline void net_drain(struct net *net, struct net_node *n)
{
	struct sess_act a;

	while (sess_next(n->s, &a)) {
		switch (a.type) {
		case SESS_SEND:
			net_on_send(net, n, &a);
			break;
		case SESS_KEY_ADD:
		case SESS_KEY_USE:
		case SESS_KEY_DEL:
			if (a.type == SESS_KEY_DEL)
				n->last_del = a.reason;
			net_on_key(n, &a);
			break;
		case SESS_RECV:
			assert(n->up[a.peer] && a.len >= 1);
			n->got++;
			if (a.buf[0] == NET_TYPE && a.len == 3 && n->seen)
				n->seen[a.buf[1] << 8 | a.buf[2]]++;
			break;
		case SESS_DIAL_FAILED:
			n->dial_failed++;
			n->last_fail = a.reason;
			break;
		case SESS_NOTE:
			assert(a.reason > 0 && a.reason < 8);
			n->notes[a.reason]++;
			break;
		default:
			net_on_link(net, n, &a);
		}
	}
	assert(a.type == SESS_NONE);
}

/* What the model of the data plane does with a data packet. False: not for it. */
static inline bool net_dp_recv(struct net *net, struct net_node *n, const struct net_msg *m)
{
	uint8_t key[32];
	uint32_t index;
	uint16_t seq;
	struct net_key *k;
	struct rd r;

	if (!m->data)
		return false;
	rd_init(&r, m->buf, m->len);
	rd_take(&r, WIRE_OFF_INDEX);
	index = rd_u32(&r);
	rd_u64(&r);
	rd_copy(&r, key, sizeof(key));
	seq = rd_u16(&r);
	k = index && !rd_bad(&r) ? net_key(n, index) : NULL;
	if (!k || memcmp(key, k->keys.rx, sizeof(key)) != 0)
		return false;
	n->seen_data[seq]++;
	if (!k->confirmed) {
		k->confirmed = true;
		sess_key_confirmed(n->s, index, net->now);
		net_drain(net, n);
	}
	sess_traffic(n->s, k->peer, net->now, net->now);
	return true;
}

/* @from sends data packet @seq to the only peer with key @to; false if it can't. */
static inline bool net_dp_send(
	struct net *net, struct net_node *from, const struct net_node *to, uint16_t seq)
{
	uint32_t peer = sess_peer_find(from->s, &to->id.pub);
	struct net_key *k = peer && from->use[peer] ? net_key(from, from->use[peer]) : NULL;
	struct net_msg m = {.data = true, .src = from->ep};
	struct wr w;

	if (!k || !from->up[peer])
		return false;
	m.dst = from->to[peer];
	wr_init(&w, m.buf, sizeof(m.buf));
	wr_u8(&w, WIRE_TYPE_BYTE(WIRE_DATA));
	wr_u8(&w, 0);
	wr_u8(&w, 1);
	wr_u8(&w, 0);
	wr_u32(&w, k->keys.remote_index);
	wr_u64(&w, seq);
	wr_copy(&w, k->keys.tx, 32);
	wr_u16(&w, seq);
	m.len = wr_len(&w);
	net_post(net, &m);
	return true;
}

static inline void net_deliver(struct net *net, struct net_msg *slot)
{
	struct net_msg m = *slot;
	struct net_node *n = net_by_ep(net, &m.dst);

	*slot = net->msgs[--net->nmsgs];
	if (!n || net_dp_recv(net, n, &m))
		return;
	(void)sess_recv(n->s, &m.src, &m.dst.ip, m.buf, m.len, net->now);
	net_drain(net, n);
}

/* One event that is due by @until; false: none. */
static inline bool net_step(struct net *net, ts_t until)
{
	struct net_msg *first = NULL;
	struct net_node *who = NULL;
	ts_t when = until;

	for (unsigned i = 0; i < net->nmsgs; i++) {
		struct net_msg *m = &net->msgs[i];

		if (ts_before(when, m->at))
			continue;
		if (!first || ts_before(m->at, first->at) ||
			(m->at.ns == first->at.ns && m->order < first->order)) {
			first = m;
			when = m->at;
		}
	}
	for (unsigned i = 0; i < net->count; i++) {
		ts_t d = net->n[i].s ? sess_deadline(net->n[i].s) : TS_NEVER;

		if (ts_before(d, when) || (!first && !who && ts_due(d, when))) {
			who = &net->n[i];
			when = d;
		}
	}
	if (!first && !who)
		return false;
	if (ts_before(net->now, when))
		net->now = when;
	if (who) {
		sess_tick(who->s, net->now);
		net_drain(net, who);
	} else {
		net_deliver(net, first);
	}
	return true;
}

static inline void net_run_to(struct net *net, ts_t until)
{
	while (net_step(net, until))
		;
	net->now = until;
}

static inline void net_run(struct net *net, dur_t d)
{
	net_run_to(net, ts_add(net->now, d));
}

static inline void net_start_node(struct net *net, unsigned i)
{
	struct net_node *n = &net->n[i];

	n->cfg.id = &n->id;
	n->cfg.secrets = n->secrets;
	n->s = sess_new(&n->cfg, net->now);
	assert(n->s);
}

/* The process dies and comes back: same key, nothing else. */
static inline void net_restart_node(struct net *net, unsigned i)
{
	struct net_node *n = &net->n[i];

	sess_free(n->s);
	memset(n->keys, 0, sizeof(n->keys));
	memset(n->use, 0, sizeof(n->use));
	memset(n->up, 0, sizeof(n->up));
	n->nkeys = 0;
	n->cfg.wall_unix_ns += net->now.ns - NET_START.ns;
	net_start_node(net, i);
}

/* @count nodes with one secret, not started. Their keys rise with their number if @rising. */
static inline struct net *net_make(unsigned count, bool rising, uint64_t seed)
{
	struct net *net = calloc(1, sizeof(*net));
	struct secret secret = {{1, 2, 3}};

	assert(net && count <= NET_NODES && aead_init() == 0);
	net->msgs = calloc(NET_MSGS, sizeof(*net->msgs));
	assert(net->msgs);
	net->now = ts_add(TS_ZERO, NET_START);
	net->count = count;
	net->delay = DUR_MS(10);
	prng_seed(&net->prng, seed);
	for (unsigned i = 0; i < count; i++) {
		struct net_node *n = &net->n[i];
		uint8_t seed32[32] = {0};

		do {
			for (int k = 0; k < 4; k++)
				seed32[k] = (uint8_t)prng_next(&net->prng);
			identity_from_seed(seed32, &n->id);
		} while (i > 0 && (node_key_cmp(&n->id.pub, &net->n[i - 1].id.pub) < 0) == rising);
		secret_derive(&secret, &n->secrets[0]);
		n->ep = (struct ep){.ip = ip_v4(0x0a000001u + i), .port = WIRE_DEFAULT_PORT};
		n->cfg = (struct sess_cfg){
			.nsecrets = 1,
			.suites = WIRE_SUITE_BIT(WIRE_SUITE_CHACHA20_POLY1305),
			.lanes = 5,
			.seed = prng_next(&net->prng),
			.wall_unix_ns = NET_WALL,
		};
		sess_tune_default(&n->cfg.tune);
		n->seen = calloc(1, NET_SEQS);
		n->seen_data = calloc(1, NET_SEQS);
		assert(n->seen && n->seen_data);
	}
	return net;
}

static inline struct net *net_new(unsigned count, bool rising, uint64_t seed)
{
	struct net *net = net_make(count, rising, seed);

	for (unsigned i = 0; i < count; i++)
		net_start_node(net, i);
	return net;
}

static inline void net_free(struct net *net)
{
	for (unsigned i = 0; i < net->count; i++) {
		sess_free(net->n[i].s);
		free(net->n[i].seen);
		free(net->n[i].seen_data);
	}
	free(net->msgs);
	free(net);
}

static inline void net_connect(struct net *net, unsigned from, unsigned to, bool expect)
{
	struct net_node *n = &net->n[from];
	int err = sess_connect(n->s, &net->n[to].ep, expect ? &net->n[to].id.pub : NULL,
		ts_add(net->now, DUR_SEC(60)), net->now);

	assert(!err);
	net_drain(net, n);
}

static inline uint32_t net_handle(struct net *net, unsigned at, unsigned of)
{
	return sess_peer_find(net->n[at].s, &net->n[of].id.pub);
}

static inline bool net_is_up(struct net *net, unsigned at, unsigned of)
{
	uint32_t h = net_handle(net, at, of);

	return h && net->n[at].up[h];
}

/* A control message with a sequence number; false: no session. */
static inline bool net_send(struct net *net, unsigned from, unsigned to, uint16_t seq)
{
	uint8_t body[2] = {(uint8_t)(seq >> 8), (uint8_t)seq};
	uint32_t h = net_handle(net, from, to);
	int err = sess_send(net->n[from].s, h, NET_TYPE, body, sizeof(body), net->now);

	net_drain(net, &net->n[from]);
	return err == 0;
}

/* Ask for a new key, as the data plane does at a soft limit. */
static inline void net_soft(struct net *net, unsigned at, unsigned of)
{
	struct net_node *n = &net->n[at];

	sess_key_limit(n->s, n->use[net_handle(net, at, of)], false, net->now);
	net_drain(net, n);
}

/* Do both seal on one and the same session? */
static inline bool net_agree(struct net *net, unsigned a, unsigned b)
{
	struct net_node *x = &net->n[a], *y = &net->n[b];
	struct net_key *kx = net_key(x, x->use[net_handle(net, a, b)]);
	struct net_key *ky = net_key(y, y->use[net_handle(net, b, a)]);

	return kx && ky && kx->index && ky->index && kx->keys.remote_index == ky->index &&
	       ky->keys.remote_index == kx->index && memcmp(kx->keys.tx, ky->keys.rx, 32) == 0 &&
	       memcmp(kx->keys.rx, ky->keys.tx, 32) == 0;
}

/* The sum of @n counters of arrivals. */
static inline unsigned net_sum(const uint8_t *seen, unsigned n)
{
	unsigned c = 0;

	for (unsigned i = 0; i < n; i++)
		c += seen[i];
	return c;
}

static inline uint64_t net_stat(struct net *net, unsigned at, enum sess_stat st)
{
	uint64_t out[SESS_ST_COUNT];

	sess_stats(net->n[at].s, out);
	return out[st];
}

#endif
