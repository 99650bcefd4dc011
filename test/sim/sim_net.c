/* sim_net.c - the underlay.
 *
 * In: datagrams of nodes, faults. Out: deliveries as events, sim_node_datagram(). State: an address
 * and a translator per host, the faults of all links, cuts and disturbances per ordered pair (only
 * pairs that had one), the last datagrams for the attacker. No bound of its own: what is in flight is bounded by
 * what nodes send. */
#include "sim_net.h"

#include <stdlib.h>
#include <string.h>
#include "weft/wire.h"
#include "list.h"
#include "map.h"
#include "sim.h"
#include "sim_ghost.h"
#include "sim_node.h"

#define ADDR_BASE   0x64400001u /* 100.64.0.1 */
#define INNER_BASE  0xc0a80001u /* 192.168.0.1: behind a translator */
#define MTU_BASE    1500
#define REPLAY_RING 512
#define NOBODY      UINT32_MAX
#define TABLE_HOSTS 256

static const struct sim_link base_link = {
	.delay_min = {1000000},
	.delay_max = {30000000},
	.jitter = {1000000},
};

struct datagram {
	struct sim_event ev;
	struct list flying;
	unsigned from; /* NOBODY: the attacker */
	struct ep src, dst;
	size_t len;
	uint8_t buf[];
};

struct host {
	uint32_t addr; /* offset from ADDR_BASE */
	struct sim_nat *nat;
	unsigned side, mtu;
	ts_t disturbed;
	unsigned cuts; /* pairs with this host that are cut now */
	ts_t cut;      /* the last time that one began or ended, or its side changed */
	uint64_t msgs, bytes;
};

struct pair {
	bool cut;
	ts_t disturbed;
	dur_t delay; /* of the table's: the base delay; zero: not asked for yet */
};

struct sim_net {
	struct sim *s;
	struct sim_link link;
	struct sim_rough rough; /* share 0: no pair is */
	ts_t rough_until;       /* links were worse than healthy */
	struct host *hosts;
	uint32_t *by_addr; /* host of each address ever used, or NOBODY */
	uint32_t naddrs, cap_addrs;
	struct pair *table; /* [from * hosts + to], of up to TABLE_HOSTS; NULL: there are more */
	struct map *pairs;  /* from, to: struct pair, owned; without the table */
	uint8_t delay_seed[16];
	struct datagram *ring[REPLAY_RING];
	uint64_t nring;
	struct list flying;
	void (*out)(void *ctx, const struct ep *from, const struct ep *to, const uint8_t *buf,
		size_t len);
	void (*stand_in)(
		void *ctx, unsigned host, const struct ep *from, const uint8_t *buf, size_t len);
	void *out_ctx, *stand_in_ctx;
	bool remember;
	struct sim_net_stats stats;
};

const struct sim_link *sim_net_base(void)
{
	return &base_link;
}

static uint32_t new_addr(struct sim_net *n, uint32_t host)
{
	if (n->naddrs == n->cap_addrs) {
		n->cap_addrs = n->cap_addrs ? 2 * n->cap_addrs : 64;
		n->by_addr = realloc(n->by_addr, n->cap_addrs * sizeof(*n->by_addr));
		if (!n->by_addr)
			abort();
	}
	n->by_addr[n->naddrs] = host;
	return n->naddrs++;
}

static unsigned hosts(const struct sim *s)
{
	return s->cfg.nodes + s->cfg.ghosts;
}

struct sim_net *sim_net_new(struct sim *s)
{
	static const uint8_t seed[16];
	struct sim_net *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->s = s;
	n->link = base_link;
	list_init(&n->flying);
	for (int i = 0; i < 16; i++)
		n->delay_seed[i] = (uint8_t)prng_next(&s->prng);
	n->hosts = calloc(hosts(s), sizeof(*n->hosts));
	n->pairs = map_new(8, SIZE_MAX / 2, seed);
	if (hosts(s) <= TABLE_HOSTS)
		n->table = calloc((size_t)hosts(s) * hosts(s), sizeof(*n->table));
	if (!n->hosts || !n->pairs || (hosts(s) <= TABLE_HOSTS && !n->table)) {
		sim_net_free(n);
		return NULL;
	}
	for (unsigned i = 0; i < hosts(s); i++)
		n->hosts[i] = (struct host){
			.addr = new_addr(n, i), .nat = sim_nat_new(NAT_NONE), .mtu = MTU_BASE};
	return n;
}

void sim_net_free(struct sim_net *n)
{
	const void *key;
	void *value;
	size_t it = 0;
	struct list *at, *t;

	if (!n)
		return;
	list_each(&n->flying, at, t) free(list_entry(at, struct datagram, flying));
	for (size_t i = 0; i < REPLAY_RING; i++)
		free(n->ring[i]);
	while (n->pairs && map_next(n->pairs, &it, &key, &value))
		free(value);
	map_free(n->pairs);
	free(n->table);
	free(n->by_addr);
	for (unsigned i = 0; n->hosts && i < hosts(n->s); i++)
		sim_nat_free(n->hosts[i].nat);
	free(n->hosts);
	free(n);
}

/* --- faults --- */

static struct pair *pair_get(const struct sim_net *n, unsigned from, unsigned to)
{
	uint32_t key[2] = {from, to};

	return n->table ? &n->table[(size_t)from * hosts(n->s) + to] : map_get(n->pairs, key);
}

static struct pair *pair_make(struct sim_net *n, unsigned from, unsigned to)
{
	uint32_t key[2] = {from, to};
	struct pair *p = pair_get(n, from, to);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p || map_put(n->pairs, key, p) != 0)
		abort();
	return p;
}

void sim_net_link(struct sim_net *n, const struct sim_link *l)
{
	if (n->link.loss > SIM_HEALTHY_LOSS || l->loss > SIM_HEALTHY_LOSS)
		n->rough_until = n->s->now;
	for (size_t i = 0; n->table && i < (size_t)hosts(n->s) * hosts(n->s); i++)
		n->table[i].delay = DUR_NS(0);
	n->link = *l;
}

void sim_net_rough(struct sim_net *n, const struct sim_rough *r)
{
	n->rough = *r;
}

/* Is the way from @from to @to one of the bad ones? Then *@loss is its loss. */
static bool rough(const struct sim_net *n, uint32_t from, uint32_t to, uint32_t *loss)
{
	const uint32_t way[3] = {from, to, 1}; /* longer than what a base delay is drawn from */
	const struct sim_rough *r = &n->rough;
	uint64_t h;

	if (r->share == 0)
		return false;
	h = map_siphash(n->delay_seed, way, sizeof(way));
	*loss = r->loss_min + (uint32_t)((h >> 32) % (r->loss_max - r->loss_min + 1));
	return (uint32_t)h % 1000000 < r->share;
}

uint32_t sim_net_loss(const struct sim_net *n, unsigned from, unsigned to)
{
	uint32_t loss;

	return rough(n, from, to, &loss) ? loss : n->link.loss;
}

struct ep sim_net_ep(const struct sim_net *n, unsigned host)
{
	return (struct ep){.ip = ip_v4(ADDR_BASE + n->hosts[host].addr), .port = WIRE_DEFAULT_PORT};
}

struct ep sim_net_inner_ep(const struct sim_net *n, unsigned host)
{
	if (!sim_nat_translates(n->hosts[host].nat))
		return sim_net_ep(n, host);
	return (struct ep){.ip = ip_v4(INNER_BASE + host), .port = WIRE_DEFAULT_PORT};
}

void sim_net_nat(struct sim_net *n, unsigned host, enum sim_nat_kind kind)
{
	if (sim_nat_kind(n->hosts[host].nat) == kind)
		return;
	sim_nat_free(n->hosts[host].nat);
	n->hosts[host].nat = sim_nat_new(kind);
	sim_net_disturb(n, host, n->s->now);
	sim_trace(n->s, (int)host, -1, sim_nat_name(kind), 0);
}

void sim_net_mtu(struct sim_net *n, unsigned host, unsigned mtu)
{
	n->hosts[host].mtu = mtu;
	sim_trace(n->s, (int)host, -1, "MTU", mtu);
}

unsigned sim_net_mtu_of(const struct sim_net *n, unsigned host)
{
	return n->hosts[host].mtu;
}

void sim_net_disturb(struct sim_net *n, unsigned host, ts_t at)
{
	if (ts_before(n->hosts[host].disturbed, at))
		n->hosts[host].disturbed = at;
}

void sim_net_move(struct sim_net *n, unsigned host)
{
	n->by_addr[n->hosts[host].addr] = NOBODY;
	n->hosts[host].addr = new_addr(n, host);
	if (sim_nat_kind(n->hosts[host].nat) != NAT_NONE) {
		enum sim_nat_kind kind = sim_nat_kind(n->hosts[host].nat);

		sim_nat_free(n->hosts[host].nat);
		n->hosts[host].nat = sim_nat_new(kind);
	}
	sim_net_disturb(n, host, n->s->now);
	sim_trace(n->s, (int)host, -1, "address changes", n->hosts[host].addr);
}

void sim_net_side(struct sim_net *n, unsigned host, unsigned side)
{
	n->hosts[host].side = side;
	n->hosts[host].cut = n->s->now;
	sim_net_disturb(n, host, n->s->now);
}

static void mark_cut(struct sim_net *n, struct pair *p, unsigned from, unsigned to, bool cut)
{
	p->cut = cut;
	p->disturbed = n->s->now;
	n->hosts[from].cuts += cut ? 1 : -1u;
	n->hosts[to].cuts += cut ? 1 : -1u;
	n->hosts[from].cut = n->hosts[to].cut = n->s->now;
}

void sim_net_cut(struct sim_net *n, unsigned from, unsigned to, bool cut)
{
	struct pair *p = pair_make(n, from, to);

	if (p->cut == cut)
		return;
	mark_cut(n, p, from, to, cut);
	sim_trace(n->s, (int)from, (int)to, cut ? "cut" : "joined", 0);
}

void sim_net_heal(struct sim_net *n)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(n->pairs, &it, &key, &value)) {
		const uint32_t *ends = key;

		if (((struct pair *)value)->cut)
			mark_cut(n, value, ends[0], ends[1], false);
	}
	for (unsigned a = 0; n->table && a < hosts(n->s); a++)
		for (unsigned b = 0; b < hosts(n->s); b++)
			if (pair_get(n, a, b)->cut)
				mark_cut(n, pair_get(n, a, b), a, b, false);
	for (unsigned i = 0; i < n->s->cfg.nodes; i++)
		if (n->hosts[i].side)
			sim_net_side(n, i, 0);
}

static ts_t later(ts_t a, ts_t b)
{
	return ts_before(a, b) ? b : a;
}

static bool behind(const struct sim_net *n, unsigned host)
{
	return sim_nat_kind(n->hosts[host].nat) != NAT_NONE;
}

/* One of two with one identity is not itself. */
static bool doubled(const struct sim_net *n, unsigned host)
{
	const struct sim_node *x = n->s->nodes[host];

	return x->clone || (x->running && sim_node_cloned(x));
}

/* A host behind a translator can't be called. */
static bool troubled(const struct sim_net *n, unsigned host)
{
	return behind(n, host) || doubled(n, host);
}

ts_t sim_net_open_since(const struct sim_net *n, unsigned a, unsigned b)
{
	ts_t t = later(n->hosts[a].disturbed, n->hosts[b].disturbed);
	const struct pair *ab = pair_get(n, a, b), *ba = pair_get(n, b, a);
	bool cut = (ab && ab->cut) || (ba && ba->cut) || n->hosts[a].side != n->hosts[b].side ||
		   doubled(n, a) || doubled(n, b) || (behind(n, a) && behind(n, b));

	if (cut || sim_net_loss(n, a, b) > SIM_HEALTHY_LOSS ||
		sim_net_loss(n, b, a) > SIM_HEALTHY_LOSS)
		return n->s->now;
	if (ab)
		t = later(t, ab->disturbed);
	if (ba)
		t = later(t, ba->disturbed);
	return later(t, n->rough_until);
}

ts_t sim_net_calm_since(const struct sim_net *n, unsigned a, unsigned b)
{
	return troubled(n, a) || troubled(n, b) ? n->s->now : sim_net_open_since(n, a, b);
}

ts_t sim_net_alone_since(const struct sim_net *n, unsigned host)
{
	const struct host *h = &n->hosts[host];

	if (h->cuts || troubled(n, host) || n->link.loss > SIM_HEALTHY_LOSS)
		return n->s->now;
	return later(later(h->cut, h->disturbed), n->rough_until);
}

static bool passes(const struct sim_net *n, unsigned from, unsigned to)
{
	const struct pair *p = pair_get(n, from, to);

	return n->hosts[from].side == n->hosts[to].side && !(p && p->cut);
}

bool sim_net_reach(const struct sim_net *n, unsigned a, unsigned b)
{
	return passes(n, a, b) && passes(n, b, a);
}

/* --- datagrams --- */

static uint32_t host_at(const struct sim_net *n, const struct ep *ep)
{
	uint32_t addr = (uint32_t)ep->ip.b[0] << 24 | (uint32_t)ep->ip.b[1] << 16 |
			(uint32_t)ep->ip.b[2] << 8 | ep->ip.b[3];

	if (ep->ip.family != IP_V4 || addr < ADDR_BASE || addr - ADDR_BASE >= n->naddrs)
		return NOBODY;
	return n->by_addr[addr - ADDR_BASE];
}

static bool hits(struct sim_net *n, uint32_t ppm)
{
	return ppm && prng_below(&n->s->prng, 1000000) < ppm;
}

static dur_t up_to(struct sim_net *n, dur_t most)
{
	return DUR_NS(most.ns > 0 ? (int64_t)prng_below(&n->s->prng, (uint64_t)most.ns + 1) : 0);
}

static dur_t drawn_delay(const struct sim_net *n, uint32_t a, uint32_t b)
{
	uint32_t pair[2] = {a < b ? a : b, a < b ? b : a};
	int64_t span = n->link.delay_max.ns - n->link.delay_min.ns;

	if (span <= 0)
		return n->link.delay_min;
	return DUR_NS(n->link.delay_min.ns +
		      (int64_t)(map_siphash(n->delay_seed, pair, sizeof(pair)) % (uint64_t)span));
}

static dur_t base_delay(const struct sim_net *n, uint32_t a, uint32_t b)
{
	struct pair *p = n->table ? pair_get(n, a, b) : NULL;

	if (!p)
		return drawn_delay(n, a, b);
	if (p->delay.ns == 0)
		p->delay = drawn_delay(n, a, b);
	return p->delay;
}

/* At the host's door, with its translator or firewall passed: true. */
static bool comes_in(struct sim_net *n, uint32_t host, struct datagram *d)
{
	uint16_t port = sim_nat_in(n->hosts[host].nat, d->dst.port, &d->src, n->s->now);

	if (!port) {
		n->stats.filtered++;
		return false;
	}
	d->dst.port = port;
	if (port != WIRE_DEFAULT_PORT &&
		(port < SIM_SIDE_PORT || port > SIM_SIDE_PORT + UINT8_MAX)) {
		n->stats.nowhere++;
		return false;
	}
	return true;
}

static void deliver(struct sim_net *n, uint32_t to, struct datagram *d)
{
	bool data = WIRE_TYPE_OF(d->buf[0]) == WIRE_DATA;
	struct ep inner = sim_net_inner_ep(n, to);

	(data ? sim_trace_often : sim_trace)(
		n->s, (int)d->from, (int)to, sim_net_type(d->buf, d->len), (int64_t)d->len);
	if (to < n->s->cfg.nodes)
		sim_node_datagram(n->s->nodes[to], &d->src, &inner.ip, d->buf, d->len);
	else
		sim_ghost_datagram(n->s->ghosts, to, &d->src, &inner.ip, d->buf, d->len);
}

static bool runs(const struct sim *s, uint32_t host)
{
	return host >= s->cfg.nodes || sim_node_running(s->nodes[host]);
}

static void arrive(struct sim *s, struct sim_event *e)
{
	struct datagram *d = list_entry(e, struct datagram, ev);
	struct sim_net *n = s->net;
	uint32_t to = host_at(n, &d->dst);

	list_del(&d->flying);
	if (to != NOBODY && !runs(s, to) && n->stand_in)
		n->stand_in(n->stand_in_ctx, to, &d->src, d->buf, d->len);
	else if (to == NOBODY || !runs(s, to))
		n->stats.nowhere++;
	else if (d->from != NOBODY && !passes(n, d->from, to))
		n->stats.cut++;
	else if (comes_in(n, to, d))
		deliver(n, to, d);
	free(d);
}

static struct datagram *copy_of(const struct datagram *d)
{
	struct datagram *c = malloc(sizeof(*c) + d->len);

	if (!c)
		abort();
	memcpy(c, d, sizeof(*c) + d->len);
	c->ev = (struct sim_event){.fire = arrive};
	list_init(&c->flying);
	return c;
}

static void fly(struct sim_net *n, struct datagram *d)
{
	dur_t wait =
		d->from == NOBODY ? n->link.delay_min : base_delay(n, d->from, host_at(n, &d->dst));

	uint32_t loss;

	wait.ns += up_to(n, n->link.jitter).ns;
	if (d->from != NOBODY && rough(n, d->from, host_at(n, &d->dst), &loss))
		wait.ns += up_to(n, n->rough.jitter).ns;
	if (hits(n, n->link.reorder))
		wait.ns += up_to(n, n->link.reorder_by).ns;
	if (hits(n, n->link.corrupt)) {
		n->stats.corrupted++;
		/* Would not authenticate. */
		if (n->s->cfg.no_crypto) {
			free(d);
			return;
		}
		d->buf[prng_below(&n->s->prng, d->len)] ^=
			(uint8_t)(1u << prng_below(&n->s->prng, 8));
	}
	list_add_tail(&n->flying, &d->flying);
	sim_at(n->s, &d->ev, ts_add(n->s->now, wait));
}

static void remember(struct sim_net *n, const struct datagram *d)
{
	struct datagram **slot = &n->ring[n->nring++ % REPLAY_RING];

	free(*slot);
	*slot = copy_of(d);
}

static void account(struct sim_net *n, unsigned from, uint8_t type, size_t wire_len)
{
	uint64_t bytes = wire_len + SIM_OUTER_BYTES;

	n->hosts[from].msgs++;
	n->hosts[from].bytes += bytes;
	n->stats.sent++;
	n->stats.bytes += bytes;
	if (type == WIRE_INIT || type == WIRE_RESP || type == WIRE_FINAL || type == WIRE_COOKIE)
		n->stats.handshakes++;
}

/* Does nothing stand in the way of so many bytes? */
static bool way_free(struct sim_net *n, unsigned from, uint32_t dest, size_t wire_len)
{
	size_t bytes = wire_len + SIM_OUTER_BYTES;

	if (dest == NOBODY)
		n->stats.nowhere++;
	else if (!passes(n, from, dest))
		n->stats.cut++;
	else if (bytes > n->hosts[from].mtu || bytes > n->hosts[dest].mtu)
		n->stats.too_big++;
	else
		return true;
	return false;
}

void sim_net_send(struct sim_net *n, unsigned from, uint16_t port, const struct ep *to,
	const uint8_t *buf, size_t len, size_t wire_len)
{
	struct datagram *d;
	struct ep src = sim_net_ep(n, from);
	uint32_t dest = host_at(n, to);

	account(n, from, len ? WIRE_TYPE_OF(buf[0]) : 0, wire_len);
	/* A translator opens the way back whether or not the datagram arrives. */
	src.port = sim_nat_out(n->hosts[from].nat, port, to, n->s->now);
	if (sim_net_is_outside(n, to)) {
		n->out(n->out_ctx, &src, to, buf, len);
		return;
	}
	if (!way_free(n, from, dest, wire_len) || len == 0)
		return;
	d = malloc(sizeof(*d) + len);
	if (!d)
		abort();
	*d = (struct datagram){
		.ev = {.fire = arrive}, .from = from, .src = src, .dst = *to, .len = len};
	list_init(&d->flying);
	memcpy(d->buf, buf, len);
	if (n->remember)
		remember(n, d);
	if (hits(n, n->link.dup)) {
		n->stats.duplicated++;
		fly(n, copy_of(d));
	}
	if (hits(n, sim_net_loss(n, from, dest))) {
		n->stats.lost++;
		sim_trace_often(n->s, (int)from, (int)dest, "lost", (int64_t)len);
		free(d);
		return;
	}
	fly(n, d);
}

void sim_net_outside(struct sim_net *n,
	void (*out)(void *ctx, const struct ep *from, const struct ep *to, const uint8_t *buf,
		size_t len),
	void *ctx)
{
	n->out = out;
	n->out_ctx = ctx;
}

bool sim_net_is_outside(const struct sim_net *n, const struct ep *ep)
{
	return n->out && host_at(n, ep) == NOBODY;
}

void sim_net_inject(struct sim_net *n, const struct ep *from, const struct ep *to,
	const uint8_t *buf, size_t len)
{
	struct datagram *d = malloc(sizeof(*d) + len);

	if (!d)
		abort();
	*d = (struct datagram){.from = NOBODY, .src = *from, .dst = *to, .len = len};
	list_init(&d->flying);
	memcpy(d->buf, buf, len);
	arrive(n->s, &d->ev);
}

void sim_net_stand_in(struct sim_net *n,
	void (*in)(void *ctx, unsigned host, const struct ep *from, const uint8_t *buf, size_t len),
	void *ctx)
{
	n->stand_in = in;
	n->stand_in_ctx = ctx;
}

void sim_net_remember(struct sim_net *n, bool on)
{
	n->remember = on;
}

void sim_net_replay(struct sim_net *n)
{
	uint64_t have = n->nring < REPLAY_RING ? n->nring : REPLAY_RING;
	struct datagram *d;

	if (have == 0)
		return;
	d = copy_of(n->ring[prng_below(&n->s->prng, have)]);
	d->from = NOBODY; /* no cut stops the attacker */
	if (hits(n, 500000))
		d->src = sim_net_ep(n, (unsigned)prng_below(&n->s->prng, n->s->cfg.nodes));
	n->stats.replayed++;
	fly(n, d);
}

/* --- figures --- */

void sim_net_sent(const struct sim_net *n, unsigned host, uint64_t *msgs, uint64_t *bytes)
{
	*msgs = n->hosts[host].msgs;
	*bytes = n->hosts[host].bytes;
}

void sim_net_stats(const struct sim_net *n, struct sim_net_stats *out)
{
	*out = n->stats;
}

const char *sim_net_type(const uint8_t *buf, size_t len)
{
	static const char *const names[] = {[WIRE_DATA] = "DATA",
		[WIRE_INIT] = "INIT",
		[WIRE_RESP] = "RESP",
		[WIRE_FINAL] = "FINAL",
		[WIRE_COOKIE] = "COOKIE",
		[WIRE_RESET] = "RESET",
		[WIRE_RELAY] = "RELAY"};
	unsigned type = len ? WIRE_TYPE_OF(buf[0]) : 0;

	return type >= WIRE_DATA && type <= WIRE_RELAY ? names[type] : "noise";
}
