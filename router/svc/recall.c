/* recall.c - the nodes that an earlier run knew (state file `peers`), called until this run has heard of
 * them.
 *
 * With every seed down, or without any, nothing else leads back to the mesh. A node alone calls a few of
 * them at a time, round and round for as long as it is alone: who comes back later finds it, too. One
 * that has a session hears of the others by gossip, which calls whom it needs; whom nobody told of is on
 * another island, or gone for good: such are called slowly, and given up after KEEP. So two halves of
 * a mesh that started apart, and remember nothing but this list, meet again without a seed.
 *
 * Out: paths_want(), which calls an endpoint with a back-off until its own patience ends. Bounds:
 * SAVED_PEERS_MAX nodes, BATCH_ALONE calls begun at a time. */
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "daemon_int.h"
#include "paths.h"

#define ROUND_ALONE DUR_SEC(3) /* from one batch to the next */
#define BATCH_ALONE 16
#define ROUND_OTHERS                                                                               \
	DUR_SEC(10) /* the same once there is a session; the first gossip has come then */
#define BATCH_OTHERS 2
#define KEEP         DUR_SEC(3600) /* those that nobody told of, since the start */

struct known {
	struct node_key key;
	struct ep ep;
};

struct recall {
	struct known known[SAVED_PEERS_MAX];
	size_t n, next; /* next: whom the next batch begins with */
	ts_t due, keep_until;
};

static void add(struct daemon *d, const struct node_key *key, const struct ep *ep)
{
	struct recall *r = d->recall;

	if (r->n < SAVED_PEERS_MAX)
		r->known[r->n++] = (struct known){.key = *key, .ep = *ep};
}

static void drop_heard_of(struct daemon *d, struct recall *r)
{
	struct gossip_node_info n;
	size_t kept = 0;

	for (size_t i = 0; i < r->n; i++) {
		if (gossip_node_get(d->gossip, &r->known[i].key, &n) == 0) {
			r->next -= i < r->next ? 1 : 0;
			continue;
		}
		r->known[kept++] = r->known[i];
	}
	r->n = kept;
}

static void call(struct daemon *d, struct recall *r, size_t count)
{
	for (size_t k = 0; k < count && k < r->n; k++) {
		const struct known *x;

		r->next = r->next < r->n ? r->next : 0;
		x = &r->known[r->next++];
		paths_want(d, &x->key, &x->ep, 1);
	}
}

int recall_new(struct daemon *d, struct recall **out)
{
	struct recall *r = calloc(1, sizeof(*r));

	if (!r)
		return ERR_NOMEM;
	*out = r;
	state_load_peers(d, add);
	r->keep_until = ts_add(loop_now(), KEEP);
	r->due = loop_now();
	return 0;
}

void recall_free(struct recall *r)
{
	free(r);
}

void recall_tick(struct daemon *d, ts_t now)
{
	struct recall *r = d->recall;
	const bool alone = dial_alone(d);

	if (!r || r->n == 0 || !ts_due(r->due, now))
		return;
	drop_heard_of(d, r);
	if (!alone && ts_due(r->keep_until, now))
		r->n = 0;
	call(d, r, alone ? BATCH_ALONE : BATCH_OTHERS);
	r->due = ts_add(now, alone ? ROUND_ALONE : ROUND_OTHERS);
}

ts_t recall_deadline(const struct daemon *d)
{
	return d->recall && d->recall->n ? d->recall->due : TS_NEVER;
}

bool recall_next(const struct daemon *d, size_t *it, struct node_key *key, struct ep *ep)
{
	const struct recall *r = d->recall;

	if (!r || *it >= r->n)
		return false;
	*key = r->known[*it].key;
	*ep = r->known[(*it)++].ep;
	return true;
}
