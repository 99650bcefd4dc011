/* gossip_node.c - members, and what a record changes.
 *
 * A node is here if we have a record or a link of it. Its state is what the store, the driver and
 * membership say (known, left, linked, forgotten, alive, watched); what follows from that is brought
 * in line in one place, node_refresh: whether membership is to care for it, whether its claims
 * compete, whether the driver was told that it is up, whether it is to be dialled or released.
 *
 *	visible = known, not left, not forgotten
 *	up	= visible and alive (in a full mesh: linked)
 *	dialled = visible, not linked, has an address, and watched or wanted for data (in a full
 *		  mesh: always)
 *
 * Bounds: LIM_NODES members, LIM_PREFIXES_PER_NODE and LIM_PREFIXES claims (prefixes beyond are not
 * used; the record is kept, so that stores agree). Failure: node_commit makes all that it needs
 * before it changes anything. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "weft/log.h"
#include "gossip_int.h"

struct node *node_get(const struct gossip *g, const struct node_key *key)
{
	return map_get(g->nodes, key);
}

static struct node **near_of(struct gossip *g, const struct node_key *key)
{
	return &g->near[key->b[0] % NEAR_NODES];
}

struct node *node_get_near(struct gossip *g, const struct node_key *key)
{
	struct node **near = near_of(g, key);

	if (!*near || !node_key_eq(&(*near)->key, key))
		*near = node_get(g, key);
	return *near;
}

struct node *node_make(struct gossip *g, const struct node_key *key, int *err)
{
	struct node *m = node_get(g, key);

	*err = 0;
	if (m)
		return m;
	m = calloc(1, sizeof(*m));
	if (!m) {
		*err = ERR_NOMEM;
		return NULL;
	}
	m->key = *key;
	m->self = node_key_eq(key, &g->id->pub);
	list_init(&m->claims);
	list_init(&m->updown);
	list_init(&m->dials);
	list_init(&m->hangups);
	list_init(&m->releases);
	list_init(&m->forgets);
	list_init(&m->by_name);
	m->since = m->turned = m->made = g->now;
	m->dial_at = m->probation = m->demand = m->retry_at = m->back_by = TS_NEVER;
	m->gone_since = m->expire_at = TS_NEVER;
	m->backoff = DIAL_FIRST;
	m->news = NEWS_BURST;
	m->news_at = g->now;
	*err = map_put(g->nodes, key, m);
	if (*err < 0) {
		free(m);
		return NULL;
	}
	/* Queued from here on until it goes, so that moving it needs no memory. */
	*err = tq_set(&g->timers, &m->timer, ts_add(g->now, IDLE_CHECK));
	if (*err < 0) {
		map_del(g->nodes, key);
		free(m);
		return NULL;
	}
	return m;
}

void node_free(struct gossip *g, struct node *m)
{
	struct list *n, *t;

	list_each(&m->claims, n, t) claim_drop(&g->claims, list_entry(n, struct claim, in_node));
	link_free(m->link);
	if (g->membership)
		members_node_del(g->membership, &m->key, g->now);
	tq_cancel(&g->timers, &m->timer);
	list_del(&m->updown);
	list_del(&m->dials);
	list_del(&m->hangups);
	list_del(&m->releases);
	list_del(&m->forgets);
	list_del(&m->by_name);
	g->nshown -= m->counted;
	map_del(g->nodes, &m->key);
	if (*near_of(g, &m->key) == m)
		*near_of(g, &m->key) = NULL;
	free(m->eps);
	free(m->prefixes);
	free(m);
}

bool node_visible(const struct node *m)
{
	return m->known && !m->left && !m->forgotten;
}

bool node_shown(const struct node *m)
{
	return !m->forgotten && (m->self || m->known || m->link);
}

bool node_ep_ok(const struct ep *e)
{
	return e->port != 0 && !ip_is_unspecified(&e->ip) && !ip_is_multicast(&e->ip) &&
	       !ip_is_link_local(&e->ip);
}

void node_arm(struct gossip *g, struct node *m)
{
	ts_t when = ts_min(ts_add(g->now, IDLE_CHECK), ts_min(m->dial_at, m->probation));
	int err;

	when = ts_min(when, ts_min(m->demand, ts_min(m->retry_at, m->expire_at)));
	when = ts_min(when, m->back_by);

	if (m->link)
		when = ts_min(when, link_deadline(m->link));
	err = tq_set(&g->timers, &m->timer, when);
	assert(err == 0); /* it was queued, or has just been popped */
	(void)err;
}

bool node_up(const struct node *m)
{
	return m->alive && node_visible(m) && !m->self;
}

bool node_away(const struct node *m)
{
	return m->away && node_visible(m) && !m->self;
}

/* May this one be the other side of a name conflict? */
static bool bears_name(const struct gossip *g, const struct node *m, const char *name)
{
	return (node_up(m) || m == g->self) && strcmp(m->name, name) == 0;
}

static void best_ep(const struct gossip *g, const struct node *m, struct ep *out)
{
	memset(out, 0, sizeof(*out));
	if (m->self && g->own.neps)
		*out = g->own.eps[0];
	else if (m->seen.ip.family != IP_NONE)
		*out = m->seen;
	else if (m->neps)
		*out = m->eps[0];
}

static void tell_name(struct gossip *g, const struct node *m, const struct node *other)
{
	struct notice n = {
		.type = GOSSIP_NAME_CONFLICT, .node = m->key, .other = other->key, .neps = 2};

	memcpy(n.name, m->name, sizeof(n.name));
	best_ep(g, m, &n.eps[0]);
	best_ep(g, other, &n.eps[1]);
	g->stats.name_conflicts++;
	gossip_notice(g, &n);
}

void node_lies(struct gossip *g, struct node *m, enum gossip_lie lie)
{
	struct notice n = {.type = GOSSIP_LIAR, .node = m->key, .lie = lie};

	if (m->self)
		return;
	if (m->lies_told == 0 || ts_due(ts_add(m->lies_at, LIE_REPEAT), g->now)) {
		m->lies_told = 0;
		m->lies_at = g->now;
	}
	if (m->lies_told & 1u << lie)
		return;
	m->lies_told |= (uint16_t)(1u << lie);
	memcpy(n.name, m->name, sizeof(n.name));
	n.eps[0] = m->seen;
	n.neps = m->link && m->seen.ip.family != IP_NONE;
	gossip_notice(g, &n);
}

static struct list *name_bucket(struct gossip *g, const char *name)
{
	return &g->names[map_siphash(g->names_seed, name, strlen(name)) % NAME_BUCKETS];
}

/* @m came up, or took another name: does somebody else bear it? */
static void names_check(struct gossip *g, struct node *m, ts_t now)
{
	struct list *n, *t;
	unsigned told = 0;

	list_each(name_bucket(g, m->name), n, t)
	{
		struct node *o = list_entry(n, struct node, by_name);

		if (o == m || told == NAME_TELLS_MAX || !bears_name(g, o, m->name))
			continue;
		o->same_name = m->same_name = true;
		tell_name(g, m, o);
		told++;
		g->names_at = ts_min(g->names_at, ts_add(now, NAME_REPEAT));
	}
}

/* The one to name in a lasting conflict of @m: ourselves before others. NULL: it is over. */
static struct node *names_other(struct gossip *g, const struct node *m)
{
	struct list *n, *t;

	if (bears_name(g, g->self, m->name))
		return g->self;
	list_each(name_bucket(g, m->name), n, t)
	{
		struct node *o = list_entry(n, struct node, by_name);

		if (o != m && bears_name(g, o, m->name))
			return o;
	}
	return NULL;
}

void node_names_tick(struct gossip *g, ts_t now)
{
	const void *key;
	void *value;
	size_t it = 0;
	unsigned told = 0;

	if (!ts_due(g->names_at, now))
		return;
	g->names_at = TS_NEVER;
	while (told < NAME_TELLS_MAX && map_next(g->nodes, &it, &key, &value)) {
		struct node *m = value, *other = NULL;

		if (!m->same_name || m->self)
			continue;
		if (node_up(m))
			other = names_other(g, m);
		if (!other) {
			m->same_name = false;
			continue;
		}
		g->names_at = ts_add(now, NAME_REPEAT);
		/* Of a pair of others only one is told. */
		if (!other->self && node_key_cmp(&m->key, &other->key) > 0)
			continue;
		tell_name(g, m, other);
		told++;
	}
}

/* Membership is to care for what is visible. */
static void refresh_membership(struct gossip *g, struct node *m, ts_t now)
{
	int err;

	if (!g->membership) {
		m->alive = m->link != NULL;
		return;
	}
	if (m->self || (m->listed && node_visible(m) && m->listed_epoch == m->epoch))
		return;
	if (!node_visible(m)) {
		/* One that is linked and has no record yet is membership's too. */
		if ((m->left || m->forgotten) && (m->listed || m->alive)) {
			members_node_del(g->membership, &m->key, now);
			m->listed = m->alive = false;
		}
		return;
	}
	err = members_node_add(g->membership, &m->key, m->epoch, now);
	/* It may have been taken out while it was forgotten; its link stood. */
	if (err == 0 && m->link)
		err = members_link(g->membership, &m->key, true, now);
	m->listed = err == 0;
	m->listed_epoch = m->epoch;
	m->retry_at = err == ERR_NOMEM ? ts_add(now, REPUBLISH) : TS_NEVER;
}

static void refresh_release(struct gossip *g, struct node *m)
{
	bool needed = !m->link || link_needed(g, m->link);

	if (needed) {
		m->released = false;
		list_del(&m->releases);
	} else if (!m->released) {
		m->released = true;
		list_del(&m->releases);
		list_add_tail(&g->releases, &m->releases);
	}
}

static void refresh_dial(struct gossip *g, struct node *m, ts_t now)
{
	bool want = !m->self && node_visible(m) && !m->link && !g->own.left &&
		    (m->neps > 0 || m->seen.ip.family != IP_NONE) &&
		    (!g->membership || m->watched || !ts_is_never(m->demand));

	if (!want) {
		m->dial_at = TS_NEVER;
		list_del(&m->dials);
		return;
	}
	if (!ts_is_never(m->dial_at))
		return;
	m->dial_at = ts_add(now, DUR_NS(prng_below(&g->prng, (uint64_t)DIAL_SPREAD.ns)));
	if (node_key_cmp(&g->id->pub, &m->key) > 0)
		m->dial_at = ts_add(m->dial_at, DIAL_SPREAD);
}

void node_refresh(struct gossip *g, struct node *m, ts_t now)
{
	struct list *n, *t;
	bool compete;

	forget_refresh(g, m);
	g->nshown += (size_t)node_shown(m) - m->counted;
	m->counted = node_shown(m);
	refresh_membership(g, m, now);
	compete = m->self ? !m->left : node_up(m) || node_away(m);
	list_each(&m->claims, n, t)
	{
		struct claim *c = list_entry(n, struct claim, in_node);

		if (compete)
			claim_place(&g->claims, c);
		else
			claim_lift(&g->claims, c);
	}
	list_del(&m->updown);
	if (node_up(m) != m->up_told)
		list_add_tail(&g->updown, &m->updown);
	if (node_up(m) && !m->was_up)
		names_check(g, m, now);
	if (node_up(m) != m->was_up)
		m->turned = now;
	m->was_up = node_up(m);
	life_refresh(m, now);
	if (m->link)
		link_overlay(g, m->link);
	refresh_release(g, m);
	refresh_dial(g, m, now);
	node_arm(g, m);
}

/* What a record's body says, taken apart before anything is changed. */
struct change {
	struct record_node node;
	struct ep eps[LIM_ENDPOINTS_PER_NODE];
	size_t neps, nrows, nforgets;   /* rows stand in gossip.rows, gossip.forget_rows */
	struct ep *kept;                /* the endpoints, owned; NULL: none */
	struct list fresh;              /* claims that the rows need and that don't exist */
	struct gossip_prefix *prefixes; /* room for the member's prefixes afterwards */
};

/* Leave out what must not be dialled on anybody's word: groups of hosts, whoever is on a link. */
static void keep_dialable(struct change *ch)
{
	size_t kept = 0;

	for (size_t i = 0; i < ch->neps; i++) {
		ip_unmap(&ch->eps[i].ip);
		if (node_ep_ok(&ch->eps[i]))
			ch->eps[kept++] = ch->eps[i];
	}
	ch->neps = kept;
}

static int change_decode(struct gossip *g, const struct record *r, struct change *ch)
{
	size_t n = 0;
	int err = 0;

	if ((r->flags & RECORD_F_TOMBSTONE) || !record_understood(r))
		return 0;
	switch (r->type) {
	case RECORD_NODE:
		return record_node_decode(r->body, r->body_len, &ch->node);
	case RECORD_ENDPOINTS:
		err = record_endpoints_decode(
			r->body, r->body_len, ch->eps, LIM_ENDPOINTS_PER_NODE, &n);
		ch->neps = n;
		keep_dialable(ch);
		break;
	case RECORD_PREFIXES:
		err = record_prefixes_decode(
			r->body, r->body_len, g->rows, RECORD_PREFIXES_MAX, &n);
		ch->nrows = n;
		break;
	case RECORD_FORGET:
		err = record_forgets_decode(
			r->body, r->body_len, g->forget_rows, RECORD_FORGETS_MAX, &n);
		ch->nforgets = n;
		break;
	}
	/* More than a record may say: as malformed as the rest. */
	return err == ERR_FULL ? ERR_MALFORMED : err;
}

static bool same_place(const struct claim *c, uint16_t sub, const struct gossip_prefix *p)
{
	return c->sub == sub && c->p.vni == p->vni && c->p.exit == p->exit &&
	       pfx_eq(&c->p.pfx, &p->pfx);
}

static struct claim *claim_of(const struct node *m, uint16_t sub, const struct gossip_prefix *p)
{
	struct list *n, *t;

	list_each(&m->claims, n, t)
	{
		struct claim *c = list_entry(n, struct claim, in_node);

		if (same_place(c, sub, p))
			return c;
	}
	return NULL;
}

/* How many of the member's claims stand in record @sub? */
static size_t claims_in(const struct node *m, uint16_t sub)
{
	struct list *n, *t;
	size_t count = 0;

	list_each(&m->claims, n, t) count += list_entry(n, struct claim, in_node)->sub == sub;
	return count;
}

static void change_undo(struct gossip *g, struct change *ch)
{
	struct list *n, *t;

	list_each(&ch->fresh, n, t) claim_drop(&g->claims, list_entry(n, struct claim, in_node));
	free(ch->prefixes);
	free(ch->kept);
}

/* Does a row stand there already, earlier in the same record? */
static bool row_repeated(const struct gossip *g, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (g->rows[j].vni == g->rows[i].vni && g->rows[j].exit == g->rows[i].exit &&
			pfx_eq(&g->rows[j].pfx, &g->rows[i].pfx))
			return true;
	return false;
}

/* Make the claims and the room that a PREFIXES record needs. */
static int change_prepare(
	struct gossip *g, struct node *m, const struct record *r, struct change *ch)
{
	static struct log_limit limit;
	size_t before = claims_in(m, r->sub), others = m->nprefixes - before;

	/* Those that this record held so far make room. */
	if (others + ch->nrows > LIM_PREFIXES_PER_NODE) {
		g->stats.rx_full++;
		node_lies(g, m, GOSSIP_LIE_PREFIXES);
		ch->nrows = 0;
	} else if (!m->self && g->claims.reserved - before + ch->nrows > LIM_PREFIXES) {
		char text[NODE_KEY_SHORT + 1];

		g->stats.rx_full++;
		log_limited(&limit, g->now.ns, LOG_LVL_WARN, "gossip",
			"the cluster publishes more than %d prefixes: some of %s are not used",
			LIM_PREFIXES, node_key_fmt_short(&r->node, text));
		ch->nrows = 0;
	}
	ch->prefixes = calloc(others + ch->nrows + 1, sizeof(*ch->prefixes));
	if (!ch->prefixes)
		return ERR_NOMEM;
	for (size_t i = 0; i < ch->nrows; i++) {
		struct claim *c;

		if (claim_of(m, r->sub, &g->rows[i]) || row_repeated(g, i))
			continue;
		c = claim_new(&g->claims, &r->node, m->self, &g->rows[i]);
		if (!c)
			return ERR_NOMEM;
		c->sub = r->sub;
		list_add_tail(&ch->fresh, &c->in_node);
	}
	return 0;
}

/* List the member's claims for status; the array has room. */
static void list_prefixes(struct node *m)
{
	struct list *n, *t;

	m->nprefixes = 0;
	list_each(&m->claims, n, t)
	{
		struct claim *c = list_entry(n, struct claim, in_node);

		c->slot = m->nprefixes;
		m->prefixes[m->nprefixes++] = c->p;
	}
}

/* Replace the claims of record @sub by g->rows. Those that stay keep their routes. */
static void apply_prefixes(struct gossip *g, struct node *m, uint16_t sub, struct change *ch)
{
	struct list *n, *t;

	list_each(&m->claims, n, t)
	{
		struct claim *c = list_entry(n, struct claim, in_node);
		size_t i = 0;

		if (c->sub != sub)
			continue;
		while (i < ch->nrows && !same_place(c, sub, &g->rows[i]))
			i++;
		if (i == ch->nrows) {
			claim_drop(&g->claims, c);
		} else if (c->p.right != g->rows[i].right ||
			   c->p.claimed_at_secs != g->rows[i].claimed_at_secs) {
			claim_lift(&g->claims, c); /* node_refresh places it again */
			c->p = g->rows[i];
		}
	}
	list_each(&ch->fresh, n, t)
	{
		list_del(n);
		list_add_tail(&m->claims, n);
	}
	free(m->prefixes);
	m->prefixes = ch->prefixes;
	ch->prefixes = NULL;
	list_prefixes(m);
}

/* Its epoch rises with each start, and when it meets records of its own from elsewhere. */
static void epoch_rises(struct gossip *g, struct node *m)
{
	if (m->rises == 0 || ts_due(ts_add(m->rises_at, RESTLESS_IN), g->now)) {
		m->rises = 0;
		m->rises_at = g->now;
	}
	m->rises += m->rises < UINT8_MAX;
	if (m->rises < RESTLESS)
		return;
	g->stats.restless += m->rises == RESTLESS;
	node_lies(g, m, GOSSIP_LIE_TWICE);
}

static void apply_node(
	struct gossip *g, struct node *m, const struct record *r, const struct change *ch)
{
	bool gone = r->flags & RECORD_F_TOMBSTONE;
	bool renamed = strcmp(m->name, ch->node.name) != 0;

	if (m->epoch < r->epoch)
		m->forged = 0;
	if (m->epoch > 0 && m->epoch < r->epoch)
		epoch_rises(g, m);
	m->epoch = r->epoch;
	m->left = gone || ch->node.left;
	if (gone)
		return; /* name and version stay as they were */
	m->known = true;
	memcpy(m->name, ch->node.name, sizeof(m->name));
	list_del(&m->by_name);
	list_add_tail(name_bucket(g, m->name), &m->by_name);
	memcpy(m->version, ch->node.version, sizeof(m->version));
	m->features = ch->node.features;
	if (renamed)
		m->was_up = false; /* look at the name again */
}

static void apply_endpoints(struct node *m, struct change *ch)
{
	bool same = m->neps == ch->neps;

	for (size_t i = 0; same && i < m->neps; i++)
		same = ep_eq(&m->eps[i], &ch->eps[i]);
	if (same)
		return;
	free(m->eps);
	m->eps = ch->kept;
	ch->kept = NULL;
	m->neps = ch->neps;
	/* Somewhere else to try: at once. */
	m->dial_at = TS_NEVER;
	m->backoff = DIAL_FIRST;
}

/* A record of @m gave way to one with a lower (type, sub-key). */
static void apply_evicted(struct gossip *g, struct node *m, const struct record *r)
{
	struct list *n, *t;

	if (r->type != RECORD_PREFIXES || !record_understood(r))
		return;
	list_each(&m->claims, n, t)
	{
		struct claim *c = list_entry(n, struct claim, in_node);

		if (c->sub == r->sub)
			claim_drop(&g->claims, c);
	}
	list_prefixes(m);
}

static void apply(struct gossip *g, struct node *m, const struct record *r, struct change *ch)
{
	if (record_version_cmp(r->epoch, r->seq, m->newest_epoch, m->newest_seq) > 0) {
		m->newest_epoch = r->epoch;
		m->newest_seq = r->seq;
		m->forgotten = false; /* it lives */
		m->probation = TS_NEVER;
		list_del(&m->hangups);
	}
	if (!record_understood(r))
		return;
	switch (r->type) {
	case RECORD_NODE:
		apply_node(g, m, r, ch);
		break;
	case RECORD_ENDPOINTS:
		apply_endpoints(m, ch);
		break;
	case RECORD_PREFIXES:
		apply_prefixes(g, m, r->sub, ch);
		break;
	}
}

bool node_may_say(struct node *m, ts_t now)
{
	uint64_t fresh = (now.ns - m->news_at.ns) / (uint64_t)NEWS_REFILL.ns;

	if (fresh > NEWS_BURST - m->news)
		fresh = NEWS_BURST - m->news;
	if (fresh > 0 || m->news == NEWS_BURST) {
		m->news += (unsigned)fresh;
		m->news_at = now;
	}
	return m->news > 0;
}

void node_said(struct node *m)
{
	m->news -= m->news > 0;
}

int node_commit(
	struct gossip *g, const struct record *r, const struct node *from, bool news, ts_t now)
{
	struct store_entry *e, *evicted;
	struct change ch = {0};
	struct node *m;
	int err;

	list_init(&ch.fresh);
	err = change_decode(g, r, &ch);
	if (err < 0) {
		g->stats.rx_bad += err != ERR_NOMEM;
		return err == ERR_TRUNCATED ? ERR_MALFORMED : err;
	}
	m = node_make(g, &r->node, &err);
	if (m && r->type == RECORD_PREFIXES && record_understood(r))
		err = change_prepare(g, m, r, &ch);
	if (m && ch.neps > 0) {
		ch.kept = malloc(ch.neps * sizeof(*ch.kept));
		if (ch.kept)
			memcpy(ch.kept, ch.eps, ch.neps * sizeof(*ch.kept));
		err = ch.kept ? err : ERR_NOMEM;
	}
	if (err == 0)
		err = store_put(g->store, r, news ? now : TS_ZERO, &e, &evicted);
	if (err < 0) {
		g->stats.rx_full += err == ERR_FULL;
		change_undo(g, &ch);
		if (m && m->newest_epoch == 0 && !m->link && !m->self)
			node_free(g, m);
		return err;
	}
	if (evicted)
		apply_evicted(g, m, &evicted->r);
	free(evicted);
	apply(g, m, r, &ch);
	free(ch.kept); /* they were the same */
	g->stats.rx_new += from != NULL;
	node_refresh(g, m, now);
	link_spread(g, e, from, news);
	if (!from)
		link_changed(g, now);
	forget_heard(g, &r->node, g->forget_rows, ch.nforgets, now);
	return 0;
}

int node_link_up(struct gossip *g, struct node *m, const struct ep *ep, ts_t now)
{
	const struct store_entry *e;
	int err;

	if (ep)
		m->seen = *ep;
	if (m->link)
		return 0;
	m->link = link_new(g, m, now);
	if (!m->link)
		return ERR_NOMEM;
	err = g->membership ? members_link(g->membership, &m->key, true, now) : 0;
	if (err < 0) {
		link_free(m->link);
		m->link = NULL;
		return err;
	}
	m->since = now;
	m->demand = TS_NEVER;
	if (m->forgotten) {
		m->probation = ts_add(now, PROBATION);
		if (!m->dismissed)
			link_forgotten(g, m);
	}
	/* What we say of ourselves is what a stranger needs first; the digest does the rest. */
	for (uint8_t type = RECORD_NODE; type <= RECORD_PREFIXES; type++)
		for (uint16_t sub = 0; sub < (type == RECORD_PREFIXES ? g->own.nsubs : 1); sub++) {
			e = store_find(g->store, &g->id->pub, type, sub);
			if (e)
				link_queue(g, m, e->r.key);
		}
	node_refresh(g, m, now);
	return 0;
}

void node_link_down(struct gossip *g, struct node *m, ts_t now)
{
	bool steady;

	if (!m->link)
		return;
	/* One that only data needed ends when that is over, whenever that is. */
	steady = m->released || ts_sub(now, m->since).ns >= LINK_STEADY.ns;
	if (g->membership)
		(void)members_link(g->membership, &m->key, false, now); /* it is known there */
	link_free(m->link);
	m->link = NULL;
	m->since = now;
	m->probation = TS_NEVER;
	list_del(&m->hangups);
	if (m->newest_epoch == 0 && !m->self) {
		node_free(g, m);
		return;
	}
	if (steady)
		m->backoff = DIAL_FIRST;
	else
		m->dial_at = ts_add(now, prng_jitter(&g->prng, m->backoff, 25));
	node_refresh(g, m, now);
}

void node_forget(struct gossip *g, struct node *m, ts_t now)
{
	m->forgotten = true;
	m->dismissed = m->link != NULL;
	list_del(&m->forgets);
	list_add_tail(&g->forgets, &m->forgets);
	if (m->link) {
		list_del(&m->hangups);
		list_add_tail(&g->hangups, &m->hangups);
		m->probation = ts_add(now, PROBATION);
	}
	node_refresh(g, m, now);
}

static void dial_due(struct gossip *g, struct node *m, ts_t now)
{
	list_del(&m->dials);
	list_add_tail(&g->dials, &m->dials);
	m->dial_at = ts_add(now, prng_jitter(&g->prng, m->backoff, 25));
	m->backoff = DUR_NS(m->backoff.ns * 2 < DIAL_MAX.ns ? m->backoff.ns * 2 : DIAL_MAX.ns);
}

void node_tick(struct gossip *g, struct node *m, ts_t now)
{
	if (ts_due(m->demand, now) || ts_due(m->retry_at, now)) {
		m->demand = TS_NEVER;
		node_refresh(g, m, now);
	}
	if (ts_due(m->back_by, now))
		life_overdue(g, m, now);
	if (ts_due(m->dial_at, now))
		dial_due(g, m, now);
	if (ts_due(m->expire_at, now) && life_expire(g, m, now))
		return; /* it is no more */
	if (ts_due(m->probation, now)) {
		m->probation = ts_add(now, PROBATION);
		list_del(&m->hangups);
		list_add_tail(&g->hangups, &m->hangups);
	}
	if (m->link)
		link_tick(g, m, now);
	node_arm(g, m);
}
