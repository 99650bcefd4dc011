/* gossip.c - the gossip core's public face.
 *
 * Parts: record.c and record_wire.c (the signed record), store.c (all records), claim.c (who owns
 * what when claims overlap), gossip_node.c (members), gossip_own.c (what we publish), gossip_link.c
 * and gossip_sync.c (spreading and mending), gossip_wire.c (messages).
 *
 * In: links that the driver reports, messages from them, what this node is to publish, the clock.
 * Out: actions. All but a few notices are differences between what holds and what was told last
 * (routes, up, hang-ups, dials, links with something to send), kept on intrusive lists: nothing is
 * lost for want of memory, and what came and went between two drains is not told at all. Order of
 * one drain: routes that go, nodes that go, nodes that come, routes that come, the rest, datagrams
 * last.
 *
 * States: see gossip_node.c. Bounds: LIM_NODES, LIM_RECORDS and so on in bounds.h, the link's own
 * in gossip_int.h. Failure: a call that fails leaves everything as it was; what a peer sends is
 * counted in the stats by reason and otherwise without effect. */
#include "gossip.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "gossip_int.h"

struct gossip *gossip_new(const struct gossip_cfg *cfg, ts_t now)
{
	struct gossip *g = calloc(1, sizeof(*g));
	uint8_t seed[16];
	int err;

	assert(node_name_ok(cfg->name) && cfg->version[0]);
	if (!g)
		return NULL;
	g->id = cfg->id;
	g->cluster = cfg->cluster;
	memcpy(g->name, cfg->name, sizeof(g->name));
	memcpy(g->version, cfg->version, sizeof(g->version));
	g->now = g->dial_window = g->fill_window = now;
	g->names_at = TS_NEVER;
	list_init(&g->overlay);
	list_init(&g->graves_by_age);
	list_init(&g->senders);
	list_init(&g->updown);
	list_init(&g->dials);
	list_init(&g->hangups);
	list_init(&g->releases);
	for (size_t i = 0; i < NAME_BUCKETS; i++)
		list_init(&g->names[i]);
	claims_init(&g->claims);
	tq_init(&g->timers);
	prng_seed(&g->prng, cfg->seed);
	for (size_t i = 0; i < sizeof(seed); i++)
		seed[i] = (uint8_t)prng_next(&g->prng);
	memcpy(g->names_seed, seed, sizeof(seed));
	g->nodes = map_new(sizeof(struct node_key), LIM_NODES, seed);
	g->store = store_new(LIM_RECORDS, LIM_RECORDS_PER_NODE, seed);
	if (!g->nodes || !g->store || forget_init(g, seed) < 0 || life_init(g, cfg, seed, now) < 0)
		goto fail;
	g->self = node_make(g, &g->id->pub, &err);
	if (!g->self || own_init(g, cfg->epoch, now) < 0)
		goto fail;
	return g;
fail:
	gossip_free(g);
	return NULL;
}

void gossip_free(struct gossip *g)
{
	const void *key;
	void *value;
	size_t it = 0;
	struct claim *c;

	if (!g)
		return;
	while (g->nodes && map_next(g->nodes, &it, &key, &value))
		node_free(g, value);
	while ((c = claim_next_del(&g->claims)) != NULL)
		claim_told(&g->claims, c);
	assert(g->claims.reserved == 0);
	own_fini(g);
	claims_fini(&g->claims);
	tq_fini(&g->timers);
	life_fini(g);
	forget_fini(g);
	store_free(g->store);
	map_free(g->nodes);
	free(g);
}

void gossip_notice(struct gossip *g, const struct notice *n)
{
	if (g->notice_count == NOTICES_MAX) {
		g->stats.dropped++;
		return;
	}
	g->notices[(g->notice_head + g->notice_count++) % NOTICES_MAX] = *n;
}

int gossip_link_up(struct gossip *g, const struct node_key *node, const struct ep *ep, ts_t now)
{
	struct node *m;
	int err;

	gossip_enter(g, now);
	if (node_key_eq(node, &g->id->pub)) {
		own_clone(g, ep, now);
		return ERR_CONFLICT;
	}
	m = node_make(g, node, &err);
	if (!m)
		return err;
	err = node_link_up(g, m, ep, now);
	if (err < 0 && m->newest_epoch == 0)
		node_free(g, m);
	return err;
}

void gossip_link_down(struct gossip *g, const struct node_key *node, ts_t now)
{
	struct node *m = node_get(g, node);

	gossip_enter(g, now);
	if (m)
		node_link_down(g, m, now);
}

int gossip_demand(struct gossip *g, const struct node_key *node, ts_t now)
{
	struct node *m = node_get(g, node);

	gossip_enter(g, now);
	if (!m || (m->neps == 0 && m->seen.ip.family == IP_NONE))
		return ERR_NOT_FOUND;
	if (m->self || !node_visible(m))
		return ERR_REFUSED;
	life_demand(g, m, now);
	return 0;
}

void gossip_heard(struct gossip *g, const struct node_key *node, ts_t now)
{
	gossip_enter(g, now);
	if (g->membership && node_get_near(g, node))
		members_heard(g->membership, node, now);
}

static bool names_key(const struct node *m, const char *text)
{
	char full[NODE_KEY_STRLEN], brief[NODE_KEY_SHORT + 1];

	node_key_fmt(&m->key, full);
	node_key_fmt_short(&m->key, brief);
	return strcmp(text, full) == 0 || strcmp(text, brief) == 0;
}

/* The member that the user means. A name goes before a key that looks like it; among several with
 * one name, the one that is gone. */
static int resolve(struct gossip *g, const char *text, struct node **out)
{
	struct node *by_key = NULL, *gone = NULL, *named = NULL;
	size_t ngone = 0, nnamed = 0, it = 0;
	const void *key;
	void *value;

	while (map_next(g->nodes, &it, &key, &value)) {
		struct node *m = value;

		if (m->forgotten)
			continue;
		if (names_key(m, text))
			by_key = m;
		if (!m->known || strcmp(m->name, text) != 0)
			continue;
		named = m;
		nnamed++;
		if (!node_up(m) && !m->self) {
			gone = m;
			ngone++;
		}
	}
	*out = nnamed == 1 ? named : ngone == 1 ? gone : nnamed == 0 ? by_key : NULL;
	if (*out)
		return (*out)->self ? ERR_REFUSED : 0;
	return nnamed > 1 ? ERR_CONFLICT : ERR_NOT_FOUND;
}

int gossip_forget(struct gossip *g, const char *name_or_key, uint64_t unix_secs, ts_t now)
{
	struct node *m;
	bool linked;
	int err;

	gossip_enter(g, now);
	err = resolve(g, name_or_key, &m);
	if (err < 0)
		return err;
	linked = node_up(m) && m->link;
	node_forget(g, m, now);
	/* Without a link it may have died a moment ago; if it lives it hears of this, and says so. Did we
	 * alone forget it, we would find out neither. */
	if (!linked)
		forget_say(g, m, unix_secs, now);
	return 0;
}

int gossip_recv(
	struct gossip *g, const struct node_key *from, const uint8_t *buf, size_t len, ts_t now)
{
	struct node *m = node_get_near(g, from);

	gossip_enter(g, now);
	g->stats.rx++;
	if (!m || !m->link)
		return ERR_STATE;
	return link_recv(g, m, buf, len, now);
}

void gossip_tick(struct gossip *g, ts_t now)
{
	struct tq_node *n;

	gossip_enter(g, now);
	/* node_arm() sets times behind now, so this ends. */
	while ((n = tq_pop(&g->timers, now)) != NULL)
		node_tick(g, tq_entry(n, struct node, timer), now);
	if (g->membership)
		members_tick(g->membership, now);
	own_tick(g, now);
	node_names_tick(g, now);
}

ts_t gossip_deadline(const struct gossip *g)
{
	ts_t t = ts_min(tq_deadline(&g->timers), ts_min(own_deadline(g), g->names_at));

	if (g->membership)
		t = ts_min(t, members_deadline(g->membership));
	if (!list_empty(&g->dials))
		t = ts_min(t, ts_add(g->dial_window, DUR_SEC(1)));
	return t;
}

static bool next_route(struct gossip *g, struct gossip_act *out, bool add)
{
	struct claim *c = add ? claim_next_add(&g->claims) : claim_next_del(&g->claims);

	if (!c)
		return false;
	out->type = add ? GOSSIP_ROUTE_ADD : GOSSIP_ROUTE_DEL;
	out->node = c->node;
	out->prefix = c->p;
	claim_told(&g->claims, c);
	return true;
}

static bool next_route_del(struct gossip *g, struct gossip_act *out)
{
	return next_route(g, out, false);
}

static bool next_route_add(struct gossip *g, struct gossip_act *out)
{
	return next_route(g, out, true);
}

/* Nodes that go stand before nodes that come only by chance; neither depends on the other. */
static bool next_updown(struct gossip *g, struct gossip_act *out)
{
	struct node *m;

	if (list_empty(&g->updown))
		return false;
	m = list_entry(g->updown.next, struct node, updown);
	list_del(&m->updown);
	m->up_told = !m->up_told;
	out->type = m->up_told ? GOSSIP_NODE_UP : GOSSIP_NODE_DOWN;
	out->node = m->key;
	memcpy(out->name, m->name, sizeof(out->name));
	return true;
}

/* Membership goes first: most other actions follow from what it says. */
static bool next_membership(struct gossip *g, struct gossip_act *out)
{
	uint64_t root;
	uint8_t buf[8];
	struct wr w;

	if (!g->membership)
		return false;
	root = sync_root(g);
	if (root != g->attached) {
		g->attached = root;
		wr_init(&w, buf, sizeof(buf));
		wr_u64(&w, root);
		members_attach(g->membership, buf, sizeof(buf));
	}
	return life_next(g, out);
}

static bool next_release(struct gossip *g, struct gossip_act *out)
{
	struct node *m;

	if (list_empty(&g->releases))
		return false;
	m = list_entry(g->releases.next, struct node, releases);
	list_del(&m->releases);
	out->type = GOSSIP_RELEASE;
	out->node = m->key;
	return true;
}

static bool next_hangup(struct gossip *g, struct gossip_act *out)
{
	struct node *m;

	if (list_empty(&g->hangups))
		return false;
	m = list_entry(g->hangups.next, struct node, hangups);
	list_del(&m->hangups);
	out->type = GOSSIP_HANGUP;
	out->node = m->key;
	return true;
}

static bool next_epoch(struct gossip *g, struct gossip_act *out)
{
	if (!own_next(g, &out->epoch))
		return false;
	out->type = GOSSIP_EPOCH;
	out->node = g->id->pub;
	return true;
}

static bool next_notice(struct gossip *g, struct gossip_act *out)
{
	struct claim *c = claim_next_notice(&g->claims);
	struct node *loser;

	if (c) {
		out->type = GOSSIP_PREFIX_CONFLICT;
		out->node = c->node;
		out->other = c->winner;
		out->prefix = c->p;
		out->prefix.lost = true;
		loser = node_get(g, &c->node);
		if (c->wide && loser)
			node_lies(g, loser, GOSSIP_LIE_WIDE);
		return true;
	}
	if (g->notice_count == 0)
		return false;
	g->told = g->notices[g->notice_head];
	g->notice_head = (g->notice_head + 1) % NOTICES_MAX;
	g->notice_count--;
	out->type = g->told.type;
	out->node = g->told.node;
	out->other = g->told.other;
	memcpy(out->name, g->told.name, sizeof(out->name));
	out->eps = g->told.eps;
	out->neps = g->told.neps;
	out->epoch = g->told.epoch;
	out->lie = g->told.lie;
	return true;
}

/* Its own addresses in its own order, then where we saw it last. */
static size_t dial_list(struct gossip *g, const struct node *m)
{
	size_t n = m->neps;

	if (n > 0)
		memcpy(g->dial_eps, m->eps, n * sizeof(m->eps[0]));
	if (m->seen.ip.family == IP_NONE)
		return n;
	for (size_t i = 0; i < n; i++)
		if (ep_eq(&g->dial_eps[i], &m->seen))
			return n;
	g->dial_eps[n] = m->seen;
	return n + 1;
}

static bool next_dial(struct gossip *g, struct gossip_act *out)
{
	struct node *m;

	if (list_empty(&g->dials))
		return false;
	if (ts_due(ts_add(g->dial_window, DUR_SEC(1)), g->now)) {
		g->dial_window = g->now;
		g->dialled = 0;
	}
	if (g->dialled == LIM_DIALS_PER_SEC)
		return false;
	g->dialled++;
	m = list_entry(g->dials.next, struct node, dials);
	list_del(&m->dials);
	out->type = GOSSIP_DIAL;
	out->node = m->key;
	memcpy(out->name, m->name, sizeof(out->name));
	out->neps = dial_list(g, m);
	out->eps = g->dial_eps;
	return true;
}

static bool next_send(struct gossip *g, struct gossip_act *out)
{
	while (!list_empty(&g->senders)) {
		struct node *m = list_entry(g->senders.next, struct link, sending)->m;

		out->len = link_produce(g, m);
		if (out->len == 0)
			continue; /* it left the list, or has less to send */
		out->type = GOSSIP_SEND;
		out->node = m->key;
		out->buf = g->tx;
		return true;
	}
	return false;
}

bool gossip_next(struct gossip *g, struct gossip_act *out)
{
	static bool (*const sources[])(struct gossip *, struct gossip_act *) = {
		next_membership,
		next_route_del,
		next_updown,
		next_route_add,
		next_hangup,
		forget_next,
		next_epoch,
		next_notice,
		next_dial,
		next_release,
		next_send,
	};

	memset(out, 0, sizeof(*out));
	if (g->drained)
		return false;
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		if (sources[i](g, out))
			return true;
	g->drained = true;
	return false;
}

static void fill_info(const struct gossip *g, struct node *m, struct gossip_node_info *out)
{
	struct list *n, *t;

	list_each(&m->claims, n, t)
	{
		const struct claim *c = list_entry(n, struct claim, in_node);

		m->prefixes[c->slot].lost = c->conflict;
		m->prefixes[c->slot].moot = claim_is_moot(&g->claims, c);
	}
	*out = (struct gossip_node_info){
		.key = m->key,
		.name = m->name,
		.version = m->version,
		.epoch = m->self ? g->own.epoch : m->epoch,
		.features = m->self ? g->own.features : m->features,
		.self = m->self,
		.linked = m->link != NULL,
		.left = m->left,
		.away = node_away(m),
		.up = node_up(m),
		.neighbour = m->watched,
		.has_ours = m->link && own_is_known(g, m->link),
		.eps = m->eps,
		.neps = m->neps,
		.prefixes = m->prefixes,
		.nprefixes = m->nprefixes,
		.since = m->since,
		.turned = m->turned,
	};
}

int gossip_range_add(struct gossip *g, uint32_t vni, const struct pfx *range)
{
	return claims_range_add(&g->claims, vni, range);
}

bool gossip_node_next(const struct gossip *g, size_t *it, struct gossip_node_info *out)
{
	const void *key;
	void *value;

	while (map_next(g->nodes, it, &key, &value))
		if (node_shown(value)) {
			fill_info(g, value, out);
			return true;
		}
	return false;
}

int gossip_node_get(
	const struct gossip *g, const struct node_key *key, struct gossip_node_info *out)
{
	struct node *m = node_get(g, key);

	if (!m || !node_shown(m))
		return ERR_NOT_FOUND;
	fill_info(g, m, out);
	return 0;
}

void gossip_stats(const struct gossip *g, struct gossip_stats *out)
{
	*out = g->stats;
	out->records = store_count(g->store);
	out->prefix_conflicts = g->claims.nconflicts;
	out->nodes = g->nshown;
}

void gossip_member_stats(const struct gossip *g, struct members_stats *out)
{
	memset(out, 0, sizeof(*out));
	if (g->membership)
		members_stats(g->membership, out);
}
