/* peers.c - see peers.h. A handle is given out again only after all others: events of the data plane
 * that are under way name it (and are harmless if they come too late). */
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "daemon_int.h"

struct peers {
	struct map *by_key;         /* node key to struct peer */
	uint32_t next;              /* where to look for a free handle */
	uint32_t top;               /* handles from here on were never used */
	struct peer *at[LIM_PEERS]; /* owned */
	struct peer *by_sess[LIM_PEERS];
};

int peers_new(struct daemon *d, struct peers **out)
{
	struct peers *t = calloc(1, sizeof(*t));
	uint8_t seed[16];

	if (!t)
		return ERR_NOMEM;
	for (int i = 0; i < 16; i++)
		seed[i] = (uint8_t)prng_next(&d->prng);
	t->by_key = map_new(sizeof(struct node_key), LIM_PEERS, seed);
	if (!t->by_key) {
		free(t);
		return ERR_NOMEM;
	}
	t->next = t->top = 1;
	*out = t;
	return 0;
}

void peers_free(struct peers *t)
{
	if (!t)
		return;
	for (uint32_t h = 1; h < t->top; h++)
		free(t->at[h]);
	map_free(t->by_key);
	free(t);
}

struct peer *peers_find(const struct daemon *d, const struct node_key *key)
{
	return map_get(d->peers->by_key, key);
}

struct peer *peers_at(const struct daemon *d, uint32_t handle)
{
	return handle < LIM_PEERS ? d->peers->at[handle] : NULL;
}

struct peer *peers_session(const struct daemon *d, uint32_t sess)
{
	return sess < LIM_PEERS ? d->peers->by_sess[sess] : NULL;
}

/* 0: all are taken. */
static uint32_t free_handle(struct peers *t)
{
	for (uint32_t n = 1; n < LIM_PEERS; n++) {
		uint32_t h = t->next;

		t->next = h + 1 < LIM_PEERS ? h + 1 : 1;
		if (!t->at[h])
			return h;
	}
	return 0;
}

static int make(struct daemon *d, const struct node_key *key, struct peer **out)
{
	struct peers *t = d->peers;
	struct peer *p;
	int e;

	p = calloc(1, sizeof(*p));
	if (!p)
		return ERR_NOMEM;
	p->key = *key;
	p->handle = free_handle(t);
	e = p->handle ? map_put(t->by_key, key, p) : ERR_FULL;
	if (e)
		goto fail;
	e = dp_peer_add(d->dp, p->handle);
	if (e)
		goto fail_map;
	t->at[p->handle] = p;
	if (t->top <= p->handle)
		t->top = p->handle + 1;
	*out = p;
	return 0;
fail_map:
	(void)map_del(t->by_key, key);
fail:
	free(p);
	return e;
}

struct peer *peers_need(struct daemon *d, const struct node_key *key)
{
	struct peer *p = peers_find(d, key);
	char text[NODE_KEY_SHORT + 1];
	int e;

	if (p)
		return p;
	e = make(d, key, &p);
	if (e) {
		daemon_warn(
			d, "no room for node %s: %s", node_key_fmt_short(key, text), err_str(e));
		return NULL;
	}
	return p;
}

void peers_bind(struct daemon *d, struct peer *p, uint32_t sess)
{
	if (p->sess)
		d->peers->by_sess[p->sess] = NULL;
	p->sess = sess;
	if (sess)
		d->peers->by_sess[sess] = p;
}

void peers_settle(struct daemon *d, struct peer *p)
{
	if (p->sess || p->routes || p->control)
		return;
	dp_peer_del(d->dp, p->handle);
	(void)map_del(d->peers->by_key, &p->key);
	d->peers->at[p->handle] = NULL;
	free(p);
}

bool peers_next(const struct daemon *d, uint32_t *it, struct peer **out)
{
	const struct peers *t = d->peers;

	while (++*it < t->top)
		if (t->at[*it]) {
			*out = t->at[*it];
			return true;
		}
	return false;
}
