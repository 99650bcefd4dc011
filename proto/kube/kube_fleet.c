/* kube_fleet.c - decisions.
 *
 * In: nodes (from kube_watch), weftd's own words, results. Out: one wanted action after the other.
 * Parts: the table of nodes; deletions; the jobs, one for each kind of action, with its own back-off;
 * anchors.
 *
 * Prefixes. The own Node's pod CIDRs go to weftd whenever they, or weftd's epoch, differ from what it last
 * took. A Node without pod CIDRs says nothing: weftd claims, or has what its configuration says.
 *
 * Deletion. A DELETED event is believed; so is absence from a list that came whole, unless that list lacks
 * the own Node (then it is of another cluster, or of a store that was emptied), or more than a quarter of
 * the nodes at once (a store put back from an old copy): then it is listed again after HOLD_SECS, and
 * believed if the second list says the same. The lease of a node that nobody deletes runs in weftd. A
 * name that comes back with another uid was deleted in between. Of a name that comes, or comes back, weftd hears
 * that too, behind its deletion: the machine may have been up all the time, and is no deleted one. Not of those in
 * the first list: nobody told weftd of their deletion. The own Node's deletion gives up nothing: pods run.
 *
 * Anchors. With no seeds configured, nodes must find each other, and no two groups may form that each think they are
 * the mesh. So all nodes rank all nodes by the same hash of the name, and each dials the first ANCHORS that
 * answer: a star through nodes that everybody agrees on, which gossip then fills up. A node whose addresses all
 * stay silent is shunned for SHUN_SECS. Only addresses from annotations and InternalIPs; weftd's handshake
 * decides who it is.
 *
 * Bounds: LIM_NODES nodes; anchors; one action at a time for each of weftd, the API, the file. */
#include "kube_fleet.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "map.h"
#include "prng.h"
#include "weft/bounds.h"
#include "weft/err.h"

#define ENTRY_EPS 4 /* addresses of an anchor that are tried */
#define MINE_MAX  (2 * KUBE_FLEET_ANCHORS)

struct entry {
	uint64_t rank;
	uint64_t uid_hash;
	uint32_t seen_in; /* the list that it was last in */
	uint8_t missing;  /* whole lists in a row that lacked it */
	bool alive, gone; /* gone: weftd is to hear of it. Both: deleted and made anew */
	bool added; /* weftd is to hear that it is there, once it has heard of what was before */
	bool hinted;
	uint8_t neps, cur; /* cur: the address that is tried */
	ts_t shunned_until;
	struct ep eps[ENTRY_EPS];
	char name[];
};

struct job {
	bool busy;
	unsigned failures;
	ts_t next; /* not before */
};

/* A target that we gave to weftd. */
struct mine {
	struct entry *e; /* NULL: its node is gone */
	struct ep ep;
	bool given, established, drop;
	bool foreign; /* stood in weftd before we asked for it: never forgotten by us */
	ts_t since;
};

struct kube_fleet {
	char node[KUBE_NAME_MAX + 1];
	uint16_t port;
	bool want_cni_conf;
	uint8_t hash_key[16], hash_key2[16];
	struct prng prng;
	ts_t now;
	struct map *by_name;
	uint32_t list;
	bool have_own, daemon_up, relist;
	bool listed; /* a whole list came */
	ts_t relist_at;
	struct kube_node own;
	struct kube_daemon daemon;
	struct job jobs[KUBE_FLEET_NACTS];
	char prefixes_set[KUBE_CIDRS_MAX * PFX_STRLEN]; /* what weftd took, in this epoch */
	char prefixes_sent[KUBE_CIDRS_MAX * PFX_STRLEN];
	size_t ngone;  /* entries whose deletion weftd has not heard of */
	size_t nadded; /* entries that it has not heard of as there */
	bool network_set, cni_conf_set;
	struct mine mine[MINE_MAX];
	size_t nmine;
	struct entry *deleting; /* NODE_DELETED is under way for it */
	struct entry *adding;   /* NODE_ADDED is; NULL: not, or what it says is out of date */
	size_t acting;          /* CONNECT or FORGET is under way for this one of mine */
	char *body;             /* of a patch that was given out */
	char text[KUBE_HINT_MAX + 1];
	struct kube_fleet_stats stats;
};

/* --- the table --- */

struct name_key {
	uint64_t h[2];
};

static struct name_key key_of(const struct kube_fleet *f, const char *name)
{
	size_t len = strlen(name);

	return (struct name_key){
		{map_siphash(f->hash_key, name, len), map_siphash(f->hash_key2, name, len)}};
}

static struct entry *find(const struct kube_fleet *f, const char *name)
{
	struct name_key k = key_of(f, name);
	struct entry *e = map_get(f->by_name, &k);

	return e && strcmp(e->name, name) == 0 ? e : NULL;
}

/* The same on all nodes, so that they agree on anchors. */
static uint64_t rank_of(const char *name)
{
	static const uint8_t key[16] = "weft kube anchor";

	return map_siphash(key, name, strlen(name));
}

static bool is_own(const struct kube_fleet *f, const char *name)
{
	return strcmp(f->node, name) == 0;
}

struct kube_fleet *kube_fleet_new(const struct kube_fleet_conf *c)
{
	struct kube_fleet *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->by_name = map_new(sizeof(struct name_key), LIM_NODES, c->hash_key);
	if (!f->by_name) {
		free(f);
		return NULL;
	}
	(void)snprintf(f->node, sizeof(f->node), "%s", c->node);
	f->port = c->port;
	f->want_cni_conf = c->cni_conf;
	memcpy(f->hash_key, c->hash_key, sizeof(f->hash_key));
	for (size_t i = 0; i < sizeof(f->hash_key2); i++)
		f->hash_key2[i] = c->hash_key[i] ^ 0x5a;
	prng_seed(&f->prng, c->seed);
	f->relist_at = TS_NEVER;
	return f;
}

void kube_fleet_free(struct kube_fleet *f)
{
	const void *key;
	void *e;
	size_t it = 0;

	if (!f)
		return;
	while (map_next(f->by_name, &it, &key, &e))
		free(e);
	map_free(f->by_name);
	free(f->body);
	free(f);
}

static struct entry *add(struct kube_fleet *f, const char *name, int *err)
{
	struct name_key k = key_of(f, name);
	size_t len = strlen(name) + 1;
	struct entry *e = calloc(1, sizeof(*e) + len);

	*err = e ? 0 : ERR_NOMEM;
	if (!e)
		return NULL;
	memcpy(e->name, name, len);
	e->rank = rank_of(name);
	*err = map_put(f->by_name, &k, e);
	if (*err == ERR_EXISTS)
		*err = ERR_FULL; /* two names with one hash: as if there were no room */
	if (*err) {
		free(e);
		return NULL;
	}
	return e;
}

static void let_go_of(struct kube_fleet *f, const struct entry *e)
{
	for (size_t i = 0; i < f->nmine; i++)
		if (f->mine[i].e == e)
			f->mine[i].e = NULL;
}

/* Neither alive nor waiting for weftd: out. */
static void drop_if_done(struct kube_fleet *f, struct entry *e)
{
	struct name_key k;

	if (e->alive || e->gone || f->deleting == e)
		return;
	let_go_of(f, e);
	k = key_of(f, e->name);
	(void)map_del(f->by_name, &k);
	free(e);
}

/* weftd has heard that the node is there, or it isn't any more. */
static void unadd(struct kube_fleet *f, struct entry *e)
{
	if (f->adding == e)
		f->adding = NULL;
	f->nadded -= e->added;
	e->added = false;
}

/* weftd is to hear that the node is there; it was told of as deleted, perhaps. */
static void tell_added(struct kube_fleet *f, struct entry *e)
{
	if (e->added || is_own(f, e->name))
		return;
	e->added = true;
	f->nadded++;
}

/* weftd is to hear that the node was deleted; the own one is never told of. */
static void tell_gone(struct kube_fleet *f, struct entry *e)
{
	f->stats.deletions++;
	unadd(f, e);
	if (e->gone || is_own(f, e->name))
		return;
	e->gone = true;
	f->ngone++;
}

static void mark_gone(struct kube_fleet *f, struct entry *e)
{
	tell_gone(f, e);
	e->alive = false;
	if (is_own(f, e->name))
		f->have_own = false;
	drop_if_done(f, e);
}

/* Where the node may be dialled: as annotated, else its internal addresses. Kept if unchanged, so that
 * trying goes on where it was. */
static void set_endpoints(const struct kube_fleet *f, struct entry *e, const struct kube_node *n)
{
	struct ep eps[ENTRY_EPS] = {0};
	size_t k = 0;

	for (size_t i = 0; i < n->neps && k < ENTRY_EPS; i++)
		eps[k++] = n->eps[i];
	for (size_t i = 0; n->neps == 0 && i < n->naddrs && k < ENTRY_EPS; i++) {
		eps[k] = (struct ep){.ip = n->addrs[i], .port = f->port};
		if (kube_ep_usable(&eps[k]))
			k++;
	}
	e->hinted = n->neps > 0;
	bool same = k == e->neps;
	for (size_t i = 0; same && i < k; i++)
		same = ep_eq(&eps[i], &e->eps[i]);
	if (same)
		return;
	memcpy(e->eps, eps, sizeof(e->eps));
	e->neps = (uint8_t)k;
	e->cur = 0;
	e->shunned_until = TS_ZERO;
}

int kube_fleet_node(struct kube_fleet *f, const struct kube_node *n, ts_t now)
{
	struct entry *e = find(f, n->name);
	uint64_t uid = map_siphash(f->hash_key, n->uid, strlen(n->uid));
	bool comes = e ? !e->alive : f->listed;
	int err = 0;

	f->now = now;
	if (is_own(f, n->name)) {
		f->own = *n;
		f->have_own = true;
	}
	if (!e)
		e = add(f, n->name, &err);
	if (!e) {
		f->stats.passed_over++;
		return err;
	}
	if (e->uid_hash != 0 && e->uid_hash != uid) {
		tell_gone(f, e);
		comes = true;
	}
	if (comes)
		tell_added(f, e);
	e->uid_hash = uid;
	e->alive = true;
	e->seen_in = f->list;
	e->missing = 0;
	set_endpoints(f, e, n);
	return 0;
}

void kube_fleet_gone(struct kube_fleet *f, const struct kube_node *n, ts_t now)
{
	struct entry *e = find(f, n->name);

	f->now = now;
	if (e && e->alive)
		mark_gone(f, e);
}

void kube_fleet_list_begin(struct kube_fleet *f)
{
	f->list++;
}

/* Of the nodes that the list at hand lacked: those that were missing from at least @times lists in a row.
 * Their number; with @mark, they are taken as deleted. */
static size_t missing(struct kube_fleet *f, unsigned times, bool mark)
{
	const void *key;
	void *value;
	size_t it = 0, n = 0;

	while (map_next(f->by_name, &it, &key, &value)) {
		struct entry *e = value;

		if (!e->alive || e->seen_in == f->list || e->missing < times)
			continue;
		n++;
		if (mark)
			mark_gone(f, e);
	}
	return n;
}

/* One whole list more that lacked them. */
static void count_missing(struct kube_fleet *f)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (map_next(f->by_name, &it, &key, &value)) {
		struct entry *e = value;

		if (e->alive && e->seen_in != f->list && e->missing < UINT8_MAX)
			e->missing++;
	}
}

static void review_anchors(struct kube_fleet *f);

static size_t count_alive(const struct kube_fleet *f)
{
	const void *key;
	void *e;
	size_t it = 0, n = 0;

	while (map_next(f->by_name, &it, &key, &e))
		n += ((const struct entry *)e)->alive;
	return n;
}

void kube_fleet_list_end(struct kube_fleet *f, bool whole, ts_t now)
{
	const struct entry *own = find(f, f->node);
	size_t n, alive = count_alive(f);

	f->now = now;
	f->relist_at = TS_NEVER;
	f->stats.held = 0;
	review_anchors(f);
	if (!whole)
		return;
	f->listed = true;
	count_missing(f);
	n = missing(f, 1, false);
	if (own && own->seen_in == f->list)
		n -= missing(f, n <= KUBE_FLEET_HOLD_MIN || n <= alive / 4 ? 1 : 2, true);
	f->stats.held = n;
	if (f->stats.held > 0)
		f->relist_at = ts_add(now, DUR_SEC(KUBE_FLEET_HOLD_SECS));
}

/* --- anchors --- */

static bool eligible(const struct kube_fleet *f, const struct entry *e)
{
	return e->alive && e->neps > 0 && !is_own(f, e->name) && ts_due(e->shunned_until, f->now);
}

/* The ANCHORS lowest ranks, in order. */
static size_t choose(const struct kube_fleet *f, struct entry *best[KUBE_FLEET_ANCHORS])
{
	const void *key;
	void *value;
	size_t it = 0, n = 0;

	while (map_next(f->by_name, &it, &key, &value)) {
		struct entry *e = value;
		size_t i = n;

		if (!eligible(f, e))
			continue;
		while (i > 0 && e->rank < best[i - 1]->rank)
			i--;
		if (i == KUBE_FLEET_ANCHORS)
			continue;
		if (n < KUBE_FLEET_ANCHORS)
			n++;
		memmove(&best[i + 1], &best[i], (n - i - 1) * sizeof(best[0]));
		best[i] = e;
	}
	return n;
}

static bool weftd_has(const struct kube_fleet *f, const struct ep *ep, bool *established)
{
	char text[EP_STRLEN];

	(void)ep_fmt(ep, text);
	for (size_t i = 0; i < f->daemon.ntargets; i++)
		if (strcmp(f->daemon.targets[i].text, text) == 0) {
			*established = f->daemon.targets[i].established;
			return true;
		}
	*established = false;
	return false;
}

/* An anchor whose address stays silent gets its next one tried; after the last it is shunned. */
static void follow(struct kube_fleet *f, struct mine *m)
{
	if (!m->e || m->drop)
		return;
	(void)weftd_has(f, &m->ep, &m->established);
	if (m->established)
		m->since = f->now;
	if (m->established || !m->given ||
		!ts_due(ts_add(m->since, DUR_SEC(KUBE_FLEET_PATIENCE_SECS)), f->now))
		return;
	m->drop = true;
	if (ep_eq(&m->e->eps[m->e->cur], &m->ep) && ++m->e->cur >= m->e->neps) {
		m->e->cur = 0;
		m->e->shunned_until = ts_add(f->now, DUR_SEC(KUBE_FLEET_SHUN_SECS));
	}
}

static void mine_remove(struct kube_fleet *f, size_t i)
{
	f->nmine--;
	memmove(&f->mine[i], &f->mine[i + 1], (f->nmine - i) * sizeof(f->mine[0]));
}

/* State which targets there should be, by what weftd says of those that there are. */
static void review_anchors(struct kube_fleet *f)
{
	struct entry *best[KUBE_FLEET_ANCHORS + 1];
	size_t n;

	if (!f->daemon_up || f->jobs[KUBE_FLEET_CONNECT].busy || f->jobs[KUBE_FLEET_FORGET].busy)
		return; /* nobody to tell; or acting is an index */
	for (size_t i = 0; i < f->nmine; i++)
		follow(f, &f->mine[i]);
	n = choose(f, best);
	for (size_t i = 0; i < f->nmine; i++) {
		struct mine *m = &f->mine[i];
		bool chosen = false;

		for (size_t k = 0; k < n; k++)
			chosen |= best[k] == m->e;
		m->drop |= !chosen;
	}
	for (size_t i = f->nmine; i-- > 0;)
		if (f->mine[i].drop && (!f->mine[i].given || f->mine[i].foreign))
			mine_remove(f, i);
	for (size_t k = 0; k < n; k++) {
		struct mine m = {.e = best[k], .ep = best[k]->eps[best[k]->cur], .since = f->now};
		bool have = false, established;

		for (size_t i = 0; i < f->nmine; i++)
			have |= (f->mine[i].e == best[k] && !f->mine[i].drop) ||
				ep_eq(&f->mine[i].ep, &m.ep);
		if (have || f->nmine == MINE_MAX)
			continue;
		/* what stands there already, by configuration or from our last run, is only followed */
		m.given = m.foreign = weftd_has(f, &m.ep, &established);
		f->mine[f->nmine++] = m;
	}
}

/* --- jobs --- */

static dur_t job_backoff(struct kube_fleet *f, const struct job *j)
{
	unsigned n = j->failures < 9 ? j->failures : 9;
	int64_t ms = INT64_C(1000) << (n > 0 ? n - 1 : 0);

	return prng_jitter(&f->prng, DUR_MS(ms < 300000 ? ms : 300000), 25);
}

static bool prefixes_text(const struct kube_fleet *f, char *out, size_t cap)
{
	char p[PFX_STRLEN];
	size_t n = 0;

	for (size_t i = 0; i < f->own.ncidrs; i++)
		n += (size_t)snprintf(
			out + n, cap - n, "%s%s", n ? "," : "", pfx_fmt(&f->own.cidrs[i], p));
	assert(n < cap);
	return n > 0;
}

/* What stands in the annotation when all is well. False: nothing to publish yet. */
static bool endpoints_text(const struct kube_fleet *f, char *out, size_t cap)
{
	char one[EP_STRLEN];
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < f->daemon.neps; i++) {
		if (!kube_ep_usable(&f->daemon.eps[i]))
			continue;
		(void)ep_fmt(&f->daemon.eps[i], one);
		if (n + strlen(one) + 2 > cap)
			break;
		n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? "," : "", one);
	}
	for (size_t i = 0; f->daemon.neps == 0 && i < f->own.naddrs; i++) {
		struct ep e = {.ip = f->own.addrs[i], .port = f->port};

		if (!kube_ep_usable(&e))
			continue;
		(void)ep_fmt(&e, one);
		n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? "," : "", one);
	}
	return n > 0;
}

static bool want_prefix_set(const struct kube_fleet *f)
{
	char text[sizeof(f->prefixes_set)];

	return f->have_own && prefixes_text(f, text, sizeof(text)) &&
	       strcmp(text, f->prefixes_set) != 0;
}

static struct entry *next_deleted(const struct kube_fleet *f)
{
	const void *key;
	void *e;
	size_t it = 0;

	while (map_next(f->by_name, &it, &key, &e))
		if (((const struct entry *)e)->gone)
			return e;
	return NULL;
}

/* Not before its deletion was told. */
static struct entry *next_added(const struct kube_fleet *f)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (f->nadded > 0 && map_next(f->by_name, &it, &key, &value)) {
		struct entry *e = value;

		if (e->added && !e->gone)
			return e;
	}
	return NULL;
}

static bool want_deleted(const struct kube_fleet *f)
{
	return f->ngone > 0;
}

static bool want_added(const struct kube_fleet *f)
{
	return next_added(f) != NULL;
}

static bool want_connect(const struct kube_fleet *f)
{
	for (size_t i = 0; i < f->nmine; i++)
		if (!f->mine[i].given && !f->mine[i].drop)
			return true;
	return false;
}

static bool want_forget(const struct kube_fleet *f)
{
	for (size_t i = 0; i < f->nmine; i++)
		if (f->mine[i].given && f->mine[i].drop)
			return true;
	return false;
}

static bool want_patch_node(const struct kube_fleet *f)
{
	char text[sizeof(f->own.endpoints)];

	return f->have_own && f->daemon_up && f->daemon.key[0] &&
	       endpoints_text(f, text, sizeof(text)) &&
	       (strcmp(f->own.key, f->daemon.key) != 0 || strcmp(f->own.endpoints, text) != 0);
}

static bool want_patch_status(const struct kube_fleet *f)
{
	return f->have_own && f->daemon_up && f->daemon.pods_ready &&
	       f->own.network_unavailable != KUBE_FALSE;
}

static bool want_cni_conf(const struct kube_fleet *f)
{
	return f->want_cni_conf && f->daemon_up && f->daemon.pods_ready;
}

static bool want_always(const struct kube_fleet *f)
{
	return true;
}

enum channel { TO_WEFTD, TO_API, TO_FILE };

static const struct {
	bool (*want)(const struct kube_fleet *f);
	enum channel channel;
	bool needs_daemon;
} kinds[KUBE_FLEET_NACTS] = {
	[KUBE_FLEET_ASK] = {want_always, TO_WEFTD, false},
	[KUBE_FLEET_PREFIX_SET] = {want_prefix_set, TO_WEFTD, true},
	[KUBE_FLEET_NODE_DELETED] = {want_deleted, TO_WEFTD, true},
	[KUBE_FLEET_NODE_ADDED] = {want_added, TO_WEFTD, true},
	[KUBE_FLEET_CONNECT] = {want_connect, TO_WEFTD, true},
	[KUBE_FLEET_FORGET] = {want_forget, TO_WEFTD, true},
	[KUBE_FLEET_PATCH_NODE] = {want_patch_node, TO_API, false},
	[KUBE_FLEET_PATCH_STATUS] = {want_patch_status, TO_API, false},
	[KUBE_FLEET_CNI_CONF] = {want_cni_conf, TO_FILE, false},
};

static bool channel_busy(const struct kube_fleet *f, enum channel c)
{
	for (size_t i = 0; i < KUBE_FLEET_NACTS; i++)
		if (f->jobs[i].busy && kinds[i].channel == c)
			return true;
	return false;
}

static bool wanted(const struct kube_fleet *f, size_t i)
{
	return (!kinds[i].needs_daemon || f->daemon_up) && !channel_busy(f, kinds[i].channel) &&
	       kinds[i].want(f);
}

/* Fill in what the action says; false: there is no memory for it now. */
static bool prepare(struct kube_fleet *f, size_t i, struct kube_fleet_act *out)
{
	out->type = (enum kube_fleet_act_type)i;
	out->text = f->text;
	f->text[0] = '\0';
	switch (out->type) {
	case KUBE_FLEET_PREFIX_SET:
		(void)prefixes_text(f, f->prefixes_sent, sizeof(f->prefixes_sent));
		out->text = f->prefixes_sent;
		break;
	case KUBE_FLEET_NODE_DELETED:
		f->deleting = next_deleted(f);
		(void)snprintf(f->text, sizeof(f->text), "%s", f->deleting->name);
		break;
	case KUBE_FLEET_NODE_ADDED:
		f->adding = next_added(f);
		(void)snprintf(f->text, sizeof(f->text), "%s", f->adding->name);
		break;
	case KUBE_FLEET_CONNECT:
	case KUBE_FLEET_FORGET:
		for (f->acting = 0; f->mine[f->acting].given != (i == KUBE_FLEET_FORGET) ||
				    f->mine[f->acting].drop != (i == KUBE_FLEET_FORGET);)
			f->acting++;
		(void)ep_fmt(&f->mine[f->acting].ep, f->text);
		break;
	case KUBE_FLEET_PATCH_NODE:
		(void)endpoints_text(f, f->text, sizeof(f->text));
		free(f->body);
		f->body = kube_patch_annotations(f->daemon.key, f->text);
		out->text = f->body;
		return f->body != NULL;
	default:
		break;
	}
	return true;
}

bool kube_fleet_next(struct kube_fleet *f, struct kube_fleet_act *out)
{
	*out = (struct kube_fleet_act){0};
	if (f->relist) {
		f->relist = false;
		out->type = KUBE_FLEET_RELIST;
		return true;
	}
	for (size_t i = 0; i < KUBE_FLEET_NACTS; i++) {
		struct job *j = &f->jobs[i];

		if (!ts_due(j->next, f->now) || !wanted(f, i))
			continue;
		if (!prepare(f, i, out)) {
			j->failures++;
			j->next = ts_add(f->now, job_backoff(f, j));
			continue;
		}
		j->busy = true;
		return true;
	}
	return false;
}

/* weftd began anew, or is another: what it was told is lost. */
static void forget_told(struct kube_fleet *f)
{
	f->prefixes_set[0] = '\0';
	f->nmine = 0;
	f->stats.unknown_command = false;
	for (size_t i = KUBE_FLEET_PREFIX_SET; i <= KUBE_FLEET_FORGET; i++) {
		f->jobs[i].failures = 0;
		f->jobs[i].next = TS_ZERO;
	}
}

void kube_fleet_daemon(struct kube_fleet *f, const struct kube_daemon *d, ts_t now)
{
	f->now = now;
	f->daemon_up = d != NULL;
	if (!d)
		return;
	if (d->epoch != f->daemon.epoch || strcmp(d->key, f->daemon.key) != 0)
		forget_told(f);
	f->daemon = *d;
	review_anchors(f);
}

/* CONNECT, FORGET: whatever weftd said, it was heard. */
static void target_done(struct kube_fleet *f, bool connect)
{
	if (f->acting >= f->nmine)
		return; /* weftd began anew meanwhile */
	if (connect) {
		f->mine[f->acting].given = true;
		f->mine[f->acting].since = f->now;
	} else {
		mine_remove(f, f->acting);
	}
}

static void deleted_done(struct kube_fleet *f)
{
	struct entry *e = f->deleting;

	f->deleting = NULL;
	if (!e)
		return;
	e->gone = false;
	f->ngone--;
	drop_if_done(f, e);
}

static void done(struct kube_fleet *f, enum kube_fleet_act_type type, bool ok)
{
	struct job *j = &f->jobs[type];

	switch (type) {
	case KUBE_FLEET_ASK:
		j->next = ts_add(f->now, prng_jitter(&f->prng, DUR_SEC(KUBE_FLEET_ASK_SECS), 20));
		break;
	case KUBE_FLEET_PREFIX_SET:
		if (ok)
			memcpy(f->prefixes_set, f->prefixes_sent, sizeof(f->prefixes_set));
		break;
	case KUBE_FLEET_NODE_DELETED:
		deleted_done(f);
		break;
	case KUBE_FLEET_NODE_ADDED:
		if (f->adding)
			unadd(f, f->adding);
		break;
	case KUBE_FLEET_CONNECT:
	case KUBE_FLEET_FORGET:
		target_done(f, type == KUBE_FLEET_CONNECT);
		break;
	case KUBE_FLEET_CNI_CONF:
		f->cni_conf_set |= ok;
		j->next = ts_add(f->now, DUR_SEC(KUBE_FLEET_ECHO_SECS));
		break;
	default: /* patches: the watch will show them */
		j->next = ts_add(f->now, DUR_SEC(KUBE_FLEET_ECHO_SECS));
		break;
	}
}

void kube_fleet_result(
	struct kube_fleet *f, enum kube_fleet_act_type type, enum kube_fleet_result r, ts_t now)
{
	struct job *j;

	assert(type < KUBE_FLEET_NACTS && f->jobs[type].busy);
	j = &f->jobs[type];
	f->now = now;
	j->busy = false;
	j->next = now;
	/* a deletion, a target that weftd says no to is settled by that; a prefix or a patch is not */
	bool settled =
		r == KUBE_FLEET_OK || (r == KUBE_FLEET_REFUSED && type >= KUBE_FLEET_NODE_DELETED &&
					      type <= KUBE_FLEET_FORGET);
	if (r == KUBE_FLEET_OK)
		f->stats.done[type]++;
	else if (r == KUBE_FLEET_FAILED)
		f->stats.failed[type]++;
	else
		f->stats.refused[type]++;
	if (settled) {
		j->failures = 0;
		done(f, type, r == KUBE_FLEET_OK);
		return;
	}
	if (type == KUBE_FLEET_NODE_DELETED)
		f->deleting = NULL;
	j->failures++;
	if (r == KUBE_FLEET_UNKNOWN) {
		f->stats.unknown_command = true;
		j->next = ts_add(now, DUR_SEC(KUBE_FLEET_UNKNOWN_SECS));
	} else if (type == KUBE_FLEET_ASK) {
		j->next = ts_add(now, prng_jitter(&f->prng, DUR_SEC(1), 25));
	} else {
		j->next = ts_add(now, job_backoff(f, j));
	}
}

void kube_fleet_tick(struct kube_fleet *f, ts_t now)
{
	f->now = now;
	if (ts_due(f->relist_at, now)) {
		f->relist_at = TS_NEVER;
		f->relist = true;
	}
}

ts_t kube_fleet_deadline(const struct kube_fleet *f)
{
	ts_t t = f->relist ? f->now : f->relist_at;

	for (size_t i = 0; i < KUBE_FLEET_NACTS; i++)
		if (wanted(f, i))
			t = ts_min(t, f->jobs[i].next);
	return t;
}

void kube_fleet_stats(const struct kube_fleet *f, struct kube_fleet_stats *out)
{
	const void *key;
	void *value;
	size_t it = 0;

	*out = f->stats;
	while (map_next(f->by_name, &it, &key, &value)) {
		const struct entry *e = value;

		out->nodes += e->alive;
		out->hinted += e->alive && e->hinted;
		out->pending += e->gone;
	}
	out->own_known = f->have_own;
	out->daemon_up = f->daemon_up;
	out->prefixes_set = f->prefixes_set[0] != '\0';
	out->published = f->have_own && f->daemon_up && !want_patch_node(f);
	out->network_set = f->have_own && f->own.network_unavailable == KUBE_FALSE;
	out->cni_conf_set = f->cni_conf_set;
}
