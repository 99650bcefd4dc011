/* gossip_forget.c - nodes that were forgotten by a person's word (RECORD_FORGET): nobody waits for
 * them, and their leases end.
 *
 * Who is told to forget a node that is gone, or not linked, publishes that, with the newest version of it that it
 * knows; it says so until FORGETS_OWN others were forgotten after it, after a restart too, as soon as it
 * hears what it said before. Everybody
 * remembers what it heard (LIM_FORGOTTEN, the oldest goes), and forgets the node as soon as it is gone
 * here too, if what is known of it here is the version that the word speaks of: not something newer, and
 * not something older, since who says the word may lie, in a version that the node could not outdo. So the word can come before the records of the
 * node, before its death, or long after both; and it never touches a node that lives: that one hears
 * it, as everybody does, and publishes its node record anew, which is newer. To a joiner every node
 * counts as alive at first, and nobody tells it of the death of one that all others forgot: for
 * FORGET_YOUNG after it met a node it takes the word for it, unless they are linked.
 *
 * It also tells its driver, if others were told to forget it after its claims were made: somebody
 * may have taken its blocks since, so they count as claimed now. Once in FORGET_SELF_MIN: whoever
 * lies about it costs a node the age of its claims, which it could outdo by a lie of its own.
 *
 * In: records, gossip_forget(). Out: node->forgotten, GOSSIP_FORGOTTEN. Want of memory: not
 * remembered; the node stays until its lease ends by itself. */
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "gossip_int.h"

struct version {
	uint64_t epoch, seq;
};

/* What was said of a node that is to be forgotten: the highest version that was known here when it was
 * said, and the highest that was not. A lie in the one place doesn't hide the truth in the other. */
struct forgotten {
	struct list all; /* oldest first */
	struct node_key key;
	struct version known, ahead;
};

int forget_init(struct gossip *g, const uint8_t seed[16])
{
	list_init(&g->forgotten_by_age);
	list_init(&g->forgets);
	g->forgotten = map_new(sizeof(struct node_key), LIM_FORGOTTEN, seed);
	return g->forgotten ? 0 : ERR_NOMEM;
}

static void drop(struct gossip *g, struct forgotten *f)
{
	list_del(&f->all);
	map_del(g->forgotten, &f->key);
	free(f);
}

void forget_fini(struct gossip *g)
{
	while (g->forgotten && !list_empty(&g->forgotten_by_age))
		drop(g, list_entry(g->forgotten_by_age.next, struct forgotten, all));
	map_free(g->forgotten);
}

/* The place of @key, made if there is none. NULL: no memory. */
static struct forgotten *forgotten_of(struct gossip *g, const struct node_key *key)
{
	struct forgotten *f = map_get(g->forgotten, key);

	if (f)
		return f;
	if (map_count(g->forgotten) == LIM_FORGOTTEN)
		drop(g, list_entry(g->forgotten_by_age.next, struct forgotten, all));
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->key = *key;
	list_init(&f->all);
	if (map_put(g->forgotten, &f->key, f) < 0) {
		free(f);
		return NULL;
	}
	list_add_tail(&g->forgotten_by_age, &f->all);
	return f;
}

static void remember(struct gossip *g, const struct record_forget *e)
{
	const struct node *m = node_get(g, &e->node);
	struct forgotten *f = forgotten_of(g, &e->node);
	struct version *v;

	if (!f)
		return;
	v = m && record_version_cmp(e->epoch, e->seq, m->newest_epoch, m->newest_seq) <= 0
		    ? &f->known
		    : &f->ahead;
	if (record_version_cmp(e->epoch, e->seq, v->epoch, v->seq) <= 0)
		return;
	*v = (struct version){e->epoch, e->seq};
	list_del(&f->all);
	list_add_tail(&g->forgotten_by_age, &f->all);
}

static bool is_newest(const struct node *m, const struct version *v)
{
	return record_version_cmp(v->epoch, v->seq, m->newest_epoch, m->newest_seq) == 0;
}

void forget_refresh(struct gossip *g, struct node *m)
{
	bool young = !ts_due(ts_add(m->made, FORGET_YOUNG), g->now);
	const struct forgotten *f;

	if (m->self || m->forgotten || m->link || !m->newest_epoch || map_count(g->forgotten) == 0)
		return;
	if (m->alive && !young)
		return;
	f = map_get(g->forgotten, &m->key);
	if (!f || !(is_newest(m, &f->known) || is_newest(m, &f->ahead)))
		return;
	m->forgotten = true;
	m->dismissed = false;
	list_del(&m->forgets);
	list_add_tail(&g->forgets, &m->forgets);
}

/* Our node record is to be published anew, so that others know that we live. Each time costs everybody
 * something, and who lies about us nothing: so many at once, then one in a while. */
static void renew_soon(struct gossip *g, ts_t now)
{
	struct own *o = &g->own;
	ts_t burst_ago = ts_add(now, DUR_NS(-(RENEW_BURST - 1) * RENEW_MIN.ns));

	if (!ts_is_never(o->renew_at))
		return;
	if (ts_before(o->renew_next, burst_ago))
		o->renew_next = burst_ago;
	o->renew_at = ts_before(now, o->renew_next) ? o->renew_next : now;
	o->renew_next = ts_add(o->renew_next, RENEW_MIN);
}

/* Others were told to forget us, by @by. */
static void forgotten_ourselves(
	struct gossip *g, const struct record_forget *e, const struct node_key *by, ts_t now)
{
	struct own *o = &g->own;
	bool older = false;

	/* Nobody can have seen a later run of us than this one. */
	if (e->epoch > o->epoch)
		return;
	if (record_version_cmp(e->epoch, e->seq, o->epoch, o->seq) >= 0)
		renew_soon(g, now);
	for (size_t i = 0; i < o->nprefixes; i++)
		older |= o->prefixes[i].p.right == RIGHT_CLAIM &&
			 o->prefixes[i].p.claimed_at_secs < e->at_secs;
	if (!older || !ts_due(o->forgotten_next, now))
		return;
	o->forgotten_next = ts_add(now, FORGET_SELF_MIN);
	o->forgotten_at_secs = e->at_secs;
	o->forgotten_by = *by;
}

/* A peer was told to forget us, and knows nothing newer: it hangs up until it does. That may be without
 * any word to others, and our records be the same as before, after a start from an older disk. */
void forget_told(struct gossip *g, ts_t now)
{
	renew_soon(g, now);
}

void forget_heard(struct gossip *g, const struct node_key *by, const struct record_forget *v,
	size_t n, ts_t now)
{
	for (size_t i = 0; i < n; i++) {
		struct node *m = node_get(g, &v[i].node);

		if (v[i].epoch > LIM_EPOCH) {
			struct node *liar = node_get(g, by);

			g->stats.rx_future++;
			if (liar)
				node_lies(g, liar, GOSSIP_LIE_FUTURE);
			continue;
		}
		if (node_key_eq(&v[i].node, &g->id->pub)) {
			forgotten_ourselves(g, &v[i], by, now);
			continue;
		}
		remember(g, &v[i]);
		if (m)
			node_refresh(g, m, now);
	}
}

/* The place of @key among what we say: its own, else a free one, else the oldest. */
static struct record_forget *place_for(struct own *o, const struct node_key *key)
{
	size_t i = 0;

	while (i < o->nforgets && !node_key_eq(&o->forgets[i].node, key))
		i++;
	if (i < o->nforgets)
		return &o->forgets[i];
	if (o->nforgets < FORGETS_OWN) {
		o->forgets[o->nforgets] = (struct record_forget){.node = *key};
		return &o->forgets[o->nforgets++];
	}
	i = o->forget_oldest;
	o->forget_oldest = (i + 1) % FORGETS_OWN;
	return &o->forgets[i];
}

void forget_adopt(struct gossip *g, const struct record *r, ts_t now)
{
	size_t n = 0;

	if (record_forgets_decode(r->body, r->body_len, g->forget_rows, RECORD_FORGETS_MAX, &n) < 0)
		return;
	for (size_t i = 0; i < n && g->own.nforgets < FORGETS_OWN; i++) {
		struct record_forget *at = place_for(&g->own, &g->forget_rows[i].node);

		if (record_version_cmp(
			    at->epoch, at->seq, g->forget_rows[i].epoch, g->forget_rows[i].seq) < 0)
			*at = g->forget_rows[i];
	}
	own_publish(g, now);
}

void forget_say(struct gossip *g, const struct node *m, uint64_t unix_secs, ts_t now)
{
	*place_for(&g->own, &m->key) = (struct record_forget){
		.node = m->key,
		.epoch = m->newest_epoch,
		.seq = m->newest_seq,
		.at_secs = unix_secs,
	};
	own_publish(g, now);
}

bool forget_next(struct gossip *g, struct gossip_act *out)
{
	struct node *m;

	if (g->own.forgotten_at_secs) {
		out->type = GOSSIP_FORGOTTEN;
		out->node = g->id->pub;
		out->at_secs = g->own.forgotten_at_secs;
		out->other = g->own.forgotten_by;
		g->own.forgotten_at_secs = 0;
		return true;
	}
	if (list_empty(&g->forgets))
		return false;
	m = list_entry(g->forgets.next, struct node, forgets);
	list_del(&m->forgets);
	out->type = GOSSIP_FORGOTTEN;
	out->node = m->key;
	memcpy(out->name, m->name, sizeof(out->name));
	return true;
}
