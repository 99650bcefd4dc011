/* announce.c - the set of prefixes that are announced, kept by rounds.
 *
 * Every prefix that is or might be announced is an entry: those of the configuration for ever, those
 * of pods while they are told. An entry counts in which round it was seen; at the end of a round it
 * is wanted when it is fixed, or was seen and its kind is announced, or is an aggregate in which a
 * prefix was seen. Bounds: LIM_PREFIXES entries of pods. */
#include "announce.h"

#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "map.h"

struct entry {
	struct pfx pfx;
	uint32_t seen;         /* round in which it was told */
	uint32_t filled;       /* round in which something inside it was told */
	bool own;              /* when it was told last */
	bool fixed, aggregate; /* by configuration */
	bool out;              /* announced */
	bool out_aggregate;    /* and so */
};

struct announce {
	struct map *map;           /* to struct entry, owned */
	struct entry **aggregates; /* borrowed from the map */
	size_t naggregates;
	enum announce_pods pods;
	uint32_t round;
	const struct announce_ops *ops;
	void *ctx;
};

static struct entry *entry_get(struct announce *a, const struct pfx *p, int *err)
{
	uint8_t key[PFX_KEY];
	struct entry *e;

	pfx_key(p, key);
	e = map_get(a->map, key);
	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	*err = e ? map_put(a->map, key, e) : ERR_NOMEM;
	if (*err) {
		free(e);
		return NULL;
	}
	e->pfx = *p;
	return e;
}

struct announce *announce_new(const struct announce_cfg *cfg)
{
	struct announce *a = calloc(1, sizeof(*a));
	struct entry *e;
	int err;

	if (!a)
		return NULL;
	a->pods = cfg->pods;
	a->ops = cfg->ops;
	a->ctx = cfg->ctx;
	a->map = map_new(PFX_KEY, LIM_PREFIXES, cfg->seed);
	a->aggregates = calloc(cfg->naggregates + 1, sizeof(struct entry *));
	if (!a->map || !a->aggregates)
		goto fail;
	for (size_t i = 0; i < cfg->nfixed; i++) {
		e = entry_get(a, &cfg->fixed[i], &err);
		if (!e)
			goto fail;
		e->fixed = true;
	}
	for (size_t i = 0; i < cfg->naggregates; i++) {
		e = entry_get(a, &cfg->aggregates[i], &err);
		if (!e)
			goto fail;
		if (!e->aggregate)
			a->aggregates[a->naggregates++] = e;
		e->aggregate = true;
	}
	return a;
fail:
	announce_free(a);
	return NULL;
}

void announce_free(struct announce *a)
{
	size_t it = 0;
	void *v;

	if (!a)
		return;
	while (a->map && map_next(a->map, &it, NULL, &v))
		free(v);
	map_free(a->map);
	free(a->aggregates);
	free(a);
}

void announce_begin(struct announce *a)
{
	a->round++;
}

int announce_seen(struct announce *a, const struct pfx *p, bool own)
{
	struct entry *e;
	int err = 0;

	for (size_t i = 0; i < a->naggregates; i++)
		if (pfx_contains(&a->aggregates[i]->pfx, p))
			a->aggregates[i]->filled = a->round;
	e = entry_get(a, p, &err);
	if (!e)
		return err;
	e->own = own || (e->own && e->seen == a->round);
	e->seen = a->round;
	return 0;
}

static bool wanted(const struct announce *a, const struct entry *e, bool *aggregate)
{
	bool pods = e->seen == a->round &&
		    (a->pods == ANNOUNCE_ALL || (a->pods == ANNOUNCE_OWN && e->own));

	/* Where pods have the whole of an aggregate, nothing is missing in it. */
	*aggregate = e->aggregate && e->filled == a->round && e->seen != a->round;
	return e->fixed || pods || (e->aggregate && e->filled == a->round);
}

unsigned announce_end(struct announce *a)
{
	unsigned failed = 0;
	size_t it = 0;
	void *v;

	while (map_next(a->map, &it, NULL, &v)) {
		struct entry *e = v;
		bool aggregate;

		if (!wanted(a, e, &aggregate) || (e->out && e->out_aggregate == aggregate))
			continue;
		if (e->out)
			a->ops->del(a->ctx, &e->pfx, e->out_aggregate);
		e->out = a->ops->add(a->ctx, &e->pfx, aggregate) == 0;
		e->out_aggregate = aggregate;
		failed += !e->out;
	}
	it = 0;
	while (map_next(a->map, &it, NULL, &v)) {
		struct entry *e = v;
		uint8_t key[PFX_KEY];
		bool aggregate;

		if (e->out && !wanted(a, e, &aggregate)) {
			a->ops->del(a->ctx, &e->pfx, e->out_aggregate);
			e->out = false;
		}
		if (e->out || e->fixed || e->aggregate || e->seen == a->round)
			continue;
		pfx_key(&e->pfx, key);
		(void)map_del(a->map, key);
		free(e);
	}
	return failed;
}

bool announce_next(const struct announce *a, size_t *it, struct announce_info *out)
{
	void *v;

	while (map_next(a->map, it, NULL, &v)) {
		const struct entry *e = v;

		if (!e->out)
			continue;
		out->pfx = e->pfx;
		out->kind = e->fixed ? "service" : e->aggregate ? "aggregate" : "pods";
		return true;
	}
	return false;
}
