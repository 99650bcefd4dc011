/* gossip_life.c - who is alive, as membership says, and what becomes of those who are gone for long.
 *
 * Membership (member.h) is told of every visible node and every link; what it says is kept in the
 * node (alive, watched), and node_refresh() draws the conclusions.
 *
 * Records are kept while their node is alive, and its tombstones with them: a node that comes back
 * finds in every store what it has to withdraw, and nobody can bring back what was withdrawn. Only
 * whole nodes are dropped: one that is gone (dead, left or forgotten) for NODE_EXPIRE on our own
 * clock, which is longer than any lease of its prefixes. Not while more than a quarter of all nodes
 * are gone: then it is likely we who are cut off.
 *
 * Others drop it at their own time, and somebody who was away may never have noticed. So that its
 * records don't go round for ever, a grave remembers how far they had come. A record that is not
 * newer comes in again only from a peer that holds the node for alive. Who holds it for gone says
 * so with each record (GOSSIP_MSG_GONE), is answered that it is buried, and drops it too if it is
 * gone for NODE_RETELL there; else the two disagree for a day at most, which costs a few hundred
 * bytes each ROOT_IDLE. Who lies about it gets a node to be taken for alive until membership has
 * found out, or ends the rest of what is over anyway.
 *
 * Bounds: LIM_GRAVES, each kept for GRAVE_KEEP: the oldest goes. Want of memory: no grave. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "weft/log.h"
#include "gossip_int.h"

int life_init(struct gossip *g, const struct gossip_cfg *cfg, const uint8_t seed[16], ts_t now)
{
	const struct members_cfg mc = {
		.id = cfg->id,
		.cluster = cfg->cluster,
		.epoch = cfg->epoch,
		.seed = prng_next(&g->prng),
	};

	g->graves = map_new(sizeof(struct node_key), LIM_GRAVES, seed);
	if (!g->graves)
		return ERR_NOMEM;
	if (!cfg->full_mesh)
		g->membership = members_new(&mc, now);
	return cfg->full_mesh || g->membership ? 0 : ERR_NOMEM;
}

static void grave_free(struct gossip *g, struct grave *v)
{
	list_del(&v->all);
	map_del(g->graves, &v->key);
	free(v);
}

void life_fini(struct gossip *g)
{
	while (!list_empty(&g->graves_by_age))
		grave_free(g, list_entry(g->graves_by_age.next, struct grave, all));
	map_free(g->graves);
	members_free(g->membership);
}

void life_demand(struct gossip *g, struct node *m, ts_t now)
{
	if (m->link)
		return;
	m->demand = ts_add(now, DEMAND_FOR);
	node_refresh(g, m, now);
	/* There are packets waiting: not after the usual spread of dials. */
	if (!ts_is_never(m->dial_at) && m->backoff.ns == DIAL_FIRST.ns)
		m->dial_at = now;
	node_arm(g, m);
}

static void told_alive(struct gossip *g, struct node *m, bool alive)
{
	m->alive = alive;
	m->away = false;
	m->back_by = TS_NEVER;
	node_refresh(g, m, g->now);
}

void life_overdue(struct gossip *g, struct node *m, ts_t now)
{
	m->away = false;
	m->back_by = TS_NEVER;
	members_overdue(g->membership, &m->key, now);
	node_refresh(g, m, now);
}

/* A goodbye. If its node record says the same it is for good; else it may be a restart. */
static void told_left(struct gossip *g, struct node *m)
{
	bool was = m->alive && node_visible(m);

	m->alive = false;
	m->away = was;
	m->back_by = was ? ts_add(g->now, RESTART_PAUSE) : TS_NEVER;
	if (!was)
		members_overdue(g->membership, &m->key, g->now);
	node_refresh(g, m, g->now);
}

static void told_watch(struct gossip *g, struct node *m, bool watch)
{
	m->watched = watch;
	if (watch)
		m->backoff = DIAL_FIRST;
	node_refresh(g, m, g->now);
}

static void told_extra(struct gossip *g, struct node *m, const struct member_act *a)
{
	uint64_t root;
	struct rd r;

	rd_init(&r, a->buf, a->len);
	root = rd_u64(&r);
	if (m->link && rd_done(&r))
		sync_heard_root(g, m, root, g->now);
}

bool life_next(struct gossip *g, struct gossip_act *out)
{
	struct member_act a;

	while (members_next(g->membership, &a)) {
		struct node *m = node_get_near(g, &a.node);

		if (!m || m->self)
			continue;
		if (a.type == MEMBER_SEND && m->link) {
			g->tx[0] = GOSSIP_MSG_MEMBER;
			memcpy(g->tx + 1, a.buf, a.len);
			out->type = GOSSIP_SEND;
			out->node = m->key;
			out->buf = g->tx;
			out->len = 1 + a.len;
			g->stats.tx++;
			return true;
		}
		if (a.type == MEMBER_WATCH || a.type == MEMBER_UNWATCH)
			told_watch(g, m, a.type == MEMBER_WATCH);
		else if (a.type == MEMBER_ALIVE || a.type == MEMBER_DEAD)
			told_alive(g, m, a.type == MEMBER_ALIVE);
		else if (a.type == MEMBER_LEFT)
			told_left(g, m);
		else if (a.type == MEMBER_EXTRA)
			told_extra(g, m, &a);
		else if (a.type == MEMBER_LIAR)
			node_lies(g, m, GOSSIP_LIE_SUSPECTS);
	}
	return false;
}

void life_refresh(struct node *m, ts_t now)
{
	if (m->self || m->alive || m->link) {
		m->gone_since = m->expire_at = TS_NEVER;
	} else if (ts_is_never(m->gone_since)) {
		m->gone_since = now;
		m->expire_at = ts_add(now, NODE_EXPIRE);
	}
}

bool life_gone(const struct node *m, ts_t now)
{
	return ts_due(ts_add(m->gone_since, GONE_AFTER), now);
}

/* Are so many missing that it is rather us who are away? Where hosts come and go for good without a word, those
 * that are gone would be kept for ever: at most until the table is three quarters full. */
static bool cut_off(const struct gossip *g)
{
	const void *key;
	void *value;
	size_t it = 0, gone = 0, known = 0;

	if (map_count(g->nodes) > LIM_NODES / 4 * 3)
		return false;
	while (map_next(g->nodes, &it, &key, &value)) {
		const struct node *m = value;

		known += node_visible(m);
		gone += node_visible(m) && !ts_is_never(m->gone_since);
	}
	return gone > 1 && gone * 4 > known;
}

static void bury(struct gossip *g, const struct node *m, ts_t now)
{
	struct grave *v = calloc(1, sizeof(*v)), *oldest;

	if (map_count(g->graves) == LIM_GRAVES)
		grave_free(g, list_entry(g->graves_by_age.next, struct grave, all));
	if (!v)
		return;
	v->key = m->key;
	v->epoch = m->newest_epoch;
	v->seq = m->newest_seq;
	v->at = now;
	list_init(&v->all);
	if (map_put(g->graves, &v->key, v) < 0) {
		free(v);
		return;
	}
	list_add_tail(&g->graves_by_age, &v->all);
	oldest = list_entry(g->graves_by_age.next, struct grave, all);
	if (ts_due(ts_add(oldest->at, GRAVE_KEEP), now))
		grave_free(g, oldest);
}

static void drop_node(struct gossip *g, struct node *m, ts_t now)
{
	char text[NODE_KEY_SHORT + 1];

	log_info("gossip", "%s (%s) is gone for long: its records are dropped",
		m->known ? m->name : "a node", node_key_fmt_short(&m->key, text));
	g->stats.expired++;
	bury(g, m, now);
	store_drop(g->store, &m->key);
	node_free(g, m);
}

bool life_expire(struct gossip *g, struct node *m, ts_t now)
{
	/* That it is down has to be told first. */
	if (m->up_told || (node_visible(m) && cut_off(g))) {
		m->expire_at = ts_add(now, EXPIRE_RETRY);
		return false;
	}
	drop_node(g, m, now);
	return true;
}

bool life_admit(struct gossip *g, const struct record *r, bool gone, ts_t now)
{
	struct grave *v = map_get(g->graves, &r->node);

	if (!v)
		return true;
	if (gone && !ts_due(ts_add(v->at, GRAVE_KEEP), now) &&
		record_version_cmp(r->epoch, r->seq, v->epoch, v->seq) <= 0)
		return false;
	grave_free(g, v);
	return true;
}

void life_buried(struct gossip *g, uint64_t key, ts_t now)
{
	const struct store_entry *e = store_get(g->store, key);
	struct node *m = e ? node_get(g, &e->r.node) : NULL;

	if (m && m->self) {
		forget_told(g, now);
		return;
	}
	if (m && !m->up_told && ts_due(ts_add(m->gone_since, NODE_RETELL), now))
		drop_node(g, m, now);
}
