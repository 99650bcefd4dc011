/* path_back.c - see path_back.h. In: routes that datagrams came by. Out: the same, while they are young. A
 * ring of entries, found by a table of labels; an entry that the table has no memory for stays free. */
#include "path_back.h"

#include <assert.h>
#include <stdlib.h>
#include "weft/bounds.h"
#include "weft/buf.h"
#include "weft/err.h"
#include "map.h"

#define FRESH DUR_SEC(30) /* longer than any handshake */

struct back {
	uint64_t label;
	bool used;
	struct path_route route;
	ts_t at;
};

struct path_backs {
	struct map *by_label; /* label: an entry of ring */
	struct back ring[LIM_PATH_WAYS];
	unsigned next; /* the oldest, or a free one */
};

struct path_backs *path_backs_new(const uint8_t seed[16])
{
	struct path_backs *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->by_label = map_new(sizeof(uint64_t), LIM_PATH_WAYS, seed);
	if (!b->by_label) {
		free(b);
		return NULL;
	}
	return b;
}

void path_backs_free(struct path_backs *b)
{
	if (!b)
		return;
	map_free(b->by_label);
	free(b);
}

int path_backs_put(struct path_backs *b, uint64_t label, const struct path_route *r, ts_t now)
{
	struct back *e = map_get(b->by_label, &label);

	if (!e) {
		e = &b->ring[b->next];
		if (e->used)
			(void)map_del(b->by_label, &e->label);
		e->used = false;
		if (map_put(b->by_label, &label, e) != 0)
			return ERR_NOMEM;
		e->used = true;
		e->label = label;
		b->next = (b->next + 1) % LIM_PATH_WAYS;
	}
	e->route = *r;
	e->at = now;
	return 0;
}

const struct path_route *path_backs_get(const struct path_backs *b, uint64_t label, ts_t now)
{
	const struct back *e = map_get(b->by_label, &label);

	return e && !ts_due(ts_add(e->at, FRESH), now) ? &e->route : NULL;
}

size_t path_backs_count(const struct path_backs *b)
{
	return map_count(b->by_label);
}

uint64_t path_label_num(const struct path_label *l)
{
	struct rd r;

	rd_init(&r, l->b, sizeof(l->b));
	return rd_u64(&r);
}

void path_route_labels(const struct path_route *r, uint64_t end, uint64_t out[PATH_RELAYS_MAX])
{
	assert(r->n > 0 && r->n <= PATH_RELAYS_MAX);
	for (unsigned i = 1; i < r->n; i++)
		out[i - 1] = path_label_num(&r->label[i]);
	out[r->n - 1] = end;
}

void path_route_from(struct path_route *out, const struct node_key *first, unsigned n,
	const uint64_t labels[PATH_RELAYS_MAX])
{
	assert(n > 0 && n <= PATH_RELAYS_MAX);
	memset(out, 0, sizeof(*out));
	out->n = (uint8_t)n;
	out->first = *first;
	out->label[0] = path_label_of(first);
	for (unsigned i = 1; i < n; i++) {
		struct wr to;

		wr_init(&to, out->label[i].b, sizeof(out->label[i].b));
		wr_u64(&to, labels[i - 1]);
	}
}
