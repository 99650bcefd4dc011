/* tables.c - what the workers look things up in: peers with their ways, keys, routes.
 *
 * Changed by the control thread alone, in place; read by workers under QSBR. What is taken out waits in
 * dp->bin for a grace period. A peer's way (struct peer_path) is immutable and replaced as a whole, so
 * that a worker sees one way or the other, never a mixture. A way through a relay names the relay's peer
 * by handle and uid; its key and endpoint are looked up when something is sent, for both change.
 *
 * Bounds: LIM_PEERS, keys for each twice over. Failure: a change that fails leaves the tables as they
 * were. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "dp_int.h"

int dp_peer_add(struct dp *dp, uint32_t peer)
{
	struct dppeer *p;

	if (peer == 0 || peer >= LIM_PEERS)
		return ERR_RANGE;
	if (dp->peer[peer])
		return ERR_EXISTS;
	p = dppeer_new(peer, dp->next_uid++, dp->cfg.workers + 1, dp->nobody);
	if (!p)
		return ERR_NOMEM;
	rcu_set(&dp->peer[peer], p);
	if (dp->peer_top <= peer)
		dp->peer_top = peer + 1;
	return 0;
}

/* The peer may have become reachable: workers look at what waits for it. */
static void kick_workers(struct dp *dp)
{
	for (unsigned i = 0; i < dp->worker_count; i++)
		worker_kick(dp->worker[i]);
}

/* A change that leaves something to free: dp_poll() will be called and see to it. */
static void free_later(struct dp *dp, void (*release)(void *), void *mem)
{
	rcu_defer(&dp->bin, release, mem);
	dp_wake(dp);
}

/* The address belongs to one peer more (or less). Two peers may share one, behind NAT. The table's
 * values are counts. */
static int count_endpoint(struct dp *dp, const struct ip *ip, bool add)
{
	struct pfx host;
	uintptr_t n;
	int err;

	if (ip->family == IP_NONE) /* of a way through a relay */
		return 0;
	err = pfx_make(ip, ip_bits(ip), &host);
	if (err < 0)
		return err;
	n = (uintptr_t)lpm_get(dp->endpoints, &host);
	assert(add || n > 0);
	n = add ? n + 1 : n - 1;
	if (n > 0)
		return lpm_set(dp->endpoints, &host, (void *)n, NULL);
	lpm_del(dp->endpoints, &host);
	return 0;
}

static void key_release(void *mem)
{
	dpkey_free(mem);
}

/* With its first key a peer gets counters of its own, with the last one it loses them. */
static int count_apart(struct dppeer *p)
{
	struct peer_worker *w = p->counts ? p->w : dppeer_slots_new(p->workers);

	if (!w)
		return ERR_NOMEM;
	p->counts = true;
	rcu_set(&p->w, w);
	return 0;
}

static void count_no_more(struct dp *dp, struct dppeer *p)
{
	struct peer_worker *w = p->w;

	if (!p->counts || !list_empty(&p->keys))
		return;
	p->counts = false;
	rcu_set(&p->w, dp->nobody);
	free_later(dp, free, w);
}

static void key_out(struct dp *dp, struct dpkey *k)
{
	struct dpkey *found = idx_del(&dp->keys, k->local_index);

	assert(found == k);
	if (k->peer->key == k)
		rcu_set(&k->peer->key, NULL);
	list_del(&k->by_peer);
	count_no_more(dp, k->peer);
	free_later(dp, key_release, k);
}

void dp_peer_del(struct dp *dp, uint32_t peer)
{
	struct dppeer *p = dp_peer_get(dp, peer);
	struct list *n, *t;

	if (!p)
		return;
	for (unsigned i = 0; i < LIM_SEGMENTS; i++) {
		if (dp->segment[i])
			fib_drop_peer(dp->segment[i]->fib, peer);
	}
	rcu_set(&dp->peer[peer], NULL);
	list_each(&p->keys, n, t) key_out(dp, list_entry(n, struct dpkey, by_peer));
	if (p->path)
		(void)count_endpoint(dp, &p->path->ep.ip, false);
	list_del(&p->by_active);
	if (p->label)
		(void)idx_del(&dp->labels, p->label);
	/* Keys refer to their peer, so it is freed behind them, in order. */
	free_later(dp, dppeer_release, p);
	while (dp->peer_top > 0 && !dp->peer[dp->peer_top - 1])
		dp->peer_top--;
}

/* Publish @path, which is complete. */
static void replace_path(struct dp *dp, struct dppeer *p, struct peer_path *path)
{
	struct peer_path *old = p->path;

	rcu_set(&p->path, path);
	/* Another path, another device perhaps. */
	__atomic_store_n(&p->no_gso, 0, __ATOMIC_RELAXED);
	if (old) {
		(void)count_endpoint(dp, &old->ep.ip, false);
		free_later(dp, free, old);
	}
	/* What waits may wait for the way: the first one, or one past a relay without a session. */
	if (p->key && (!old || old->n))
		kick_workers(dp);
}

int dp_peer_endpoint(struct dp *dp, uint32_t peer, const struct ep *ep, const struct ip *local)
{
	struct dppeer *p = dp_peer_get(dp, peer);
	struct peer_path *path;
	int err;

	if (!p)
		return ERR_NOT_FOUND;
	path = calloc(1, sizeof(*path));
	if (!path)
		return ERR_NOMEM;
	path->ep = *ep;
	path->overhead = ep->ip.family == IP_V4 ? WIRE_OVERHEAD_V4 : WIRE_OVERHEAD_V6;
	err = udp_dest_make(&dp->worker[0]->sock[TXQ_MAIN], ep, local, &path->dest);
	if (err == 0)
		err = count_endpoint(dp, &ep->ip, true);
	if (err < 0) {
		free(path);
		return err;
	}
	__atomic_fetch_or(
		&dp->ports[ep->port / 32], UINT32_C(1) << (ep->port % 32), __ATOMIC_RELAXED);
	replace_path(dp, p, path);
	return 0;
}

int dp_peer_label(struct dp *dp, uint32_t peer, uint64_t label)
{
	struct dppeer *p = dp_peer_get(dp, peer);
	int err;

	if (!p)
		return ERR_NOT_FOUND;
	if (label == 0)
		return ERR_RANGE;
	if (p->label)
		return p->label == label ? 0 : ERR_EXISTS;
	err = idx_put(&dp->labels, label, p);
	if (err == 0)
		__atomic_store_n(&p->label, label, __ATOMIC_RELAXED);
	return err;
}

int dp_peer_links(struct dp *dp, uint32_t peer, uint32_t links)
{
	struct dppeer *p = dp_peer_get(dp, peer);

	if (!p)
		return ERR_NOT_FOUND;
	__atomic_store_n(&p->links, (uint8_t)(links & DP_LINKS_OWN), __ATOMIC_RELAXED);
	return 0;
}

void dp_gateway(struct dp *dp, bool on)
{
	__atomic_store_n(&dp->gateway, on, __ATOMIC_RELAXED);
}

int dp_peer_route(struct dp *dp, uint32_t peer, const struct dp_way *way)
{
	struct dppeer *p = dp_peer_get(dp, peer), *relay = dp_peer_get(dp, way->first);
	struct relay_hdr h = {.n = way->n};
	struct peer_path *path;

	if (!p || !relay)
		return ERR_NOT_FOUND;
	if (way->n < 1 || way->n > WIRE_RELAY_LABELS_MAX || p == relay)
		return ERR_RANGE;
	memcpy(h.label, way->label, sizeof(h.label));
	if (relay_loops(&h, dp->cfg.label, relay->label))
		return ERR_RANGE;
	path = calloc(1, sizeof(*path));
	if (!path)
		return ERR_NOMEM;
	path->n = way->n;
	path->relay = relay->handle;
	path->relay_uid = relay->uid;
	memcpy(path->label, way->label, sizeof(path->label));
	replace_path(dp, p, path);
	return 0;
}

void dp_peer_pmtu(struct dp *dp, uint32_t peer, unsigned outer_mtu)
{
	struct dppeer *p = dp_peer_get(dp, peer);

	if (p)
		__atomic_store_n(&p->pmtu, outer_mtu, __ATOMIC_RELAXED);
	/* What was refused segmented, as too large, may be small enough now. */
	if (p)
		__atomic_store_n(&p->no_gso, 0, __ATOMIC_RELAXED);
}

void dp_peer_side_port(struct dp *dp, uint32_t peer, uint8_t via, bool on)
{
	struct dppeer *p = dp_peer_get(dp, peer);
	uint64_t bit;

	if (!p || via == 0 || via > dp->cfg.workers)
		return;
	bit = UINT64_C(1) << (via - 1);
	if (on)
		__atomic_fetch_or(&p->side, bit, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&p->side, ~bit, __ATOMIC_RELAXED);
}

/* ---- keys ---- */

int dp_key_add(struct dp *dp, uint32_t peer, const struct dp_key *in)
{
	struct dppeer *p = dp_peer_get(dp, peer);
	struct dpkey *k;
	int err;

	if (!p)
		return ERR_NOT_FOUND;
	if (idx_get(&dp->keys, in->local_index))
		return ERR_EXISTS;
	/* Control is a sender too: of what it relays. */
	err = dpkey_new(in, p, dp->cfg.workers + 1, dp->cfg.provider, &k);
	if (err < 0)
		return err;
	err = count_apart(p);
	if (err == 0)
		err = idx_put(&dp->keys, in->local_index, k);
	if (err < 0) {
		dpkey_free(k);
		count_no_more(dp, p);
		return err;
	}
	list_add_tail(&p->keys, &k->by_peer);
	return 0;
}

void dp_key_use(struct dp *dp, uint32_t peer, uint32_t local_index)
{
	struct dppeer *p = dp_peer_get(dp, peer);
	struct dpkey *k = idx_get(&dp->keys, local_index);
	bool first;

	if (!p || !k || k->peer != p)
		return;
	first = !p->key;
	rcu_set(&p->key, k);
	/* A worker that saw no key a moment ago and is about to hold a packet finds the wake-up
	 * when it sleeps next: none is needed at a mere change of keys. */
	if (first && p->path)
		kick_workers(dp);
}

void dp_key_idle(struct dp *dp, uint32_t peer)
{
	struct dppeer *p = dp_peer_get(dp, peer);

	if (p)
		rcu_set(&p->key, NULL);
}

void dp_key_del(struct dp *dp, uint32_t local_index)
{
	struct dpkey *k = idx_get(&dp->keys, local_index);

	if (k)
		key_out(dp, k);
}

/* ---- routes ---- */

int dp_route_cross(struct dp *dp, uint32_t vni, const struct pfx *p, enum dp_route_kind kind,
	uint32_t peer, uint8_t from, uint8_t to)
{
	struct segment *s = idx_get(&dp->segments, vni);
	int err;

	if (!s)
		return ERR_NOT_FOUND;
	err = fib_set(s->fib, p,
		(struct fib_route){.kind = (uint8_t)kind, .peer = peer, .from = from, .to = to});
	if (dp->bin.count)
		dp_wake(dp);
	return err;
}

int dp_route_set(
	struct dp *dp, uint32_t vni, const struct pfx *p, enum dp_route_kind kind, uint32_t peer)
{
	if (kind == DP_ROUTE_LINK)
		return ERR_RANGE;
	return dp_route_cross(dp, vni, p, kind, peer, 0, kind == DP_ROUTE_EXIT ? 0 : DP_LINKS_OWN);
}

int dp_route_del(struct dp *dp, uint32_t vni, const struct pfx *p)
{
	struct segment *s = idx_get(&dp->segments, vni);
	int err;

	if (!s)
		return ERR_NOT_FOUND;
	err = fib_del(s->fib, p);
	if (dp->bin.count)
		dp_wake(dp);
	return err;
}
