/* store.c - the record store.
 *
 * Two structures over the same entries: an array sorted by key hash (look-up by where the hash should
 * stand; ranges in order), and a map from node to its entries, which bounds what one node can put in and finds what
 * to evict. An entry is one allocation with the record's bytes behind it; what it says never
 * changes, a newer record replaces it. The tree of sums has three levels of 16 children over the
 * first 12 bits of the key; sums are additions modulo 2^64 of digests, so that one record's coming
 * and going costs four of them. Fresh entries stand on a list in the order of their coming. Bounds: LIM_RECORDS in total (a new key is refused), LIM_RECORDS_PER_NODE
 * (the highest (type, sub-key) gives way: a rule that doesn't depend on the order of arrival, so a
 * node that publishes too much can't make others disagree for ever). Failure: unchanged. */
#include "store.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "map.h"

/* The entries of one node, sorted by (type, sub-key). */
struct owner {
	struct node_key node;
	size_t count, cap;
	struct store_entry **v;
};

struct store {
	size_t max, per_node;
	struct map *owners;
	struct store_entry **v; /* sorted by key */
	uint64_t *keys;         /* of v: looking one up touches no entry */
	size_t count, cap, keys_cap;
	struct list fresh;
	/* level by level: the root, 16, 256, 4096 */
	uint64_t sums[1 + 16 + 256 + 4096];
};

static const unsigned level_start[STORE_LEVELS + 1] = {0, 1, 17, 273};
#define LEVEL_BITS 4

struct store *store_new(size_t max, size_t per_node, const uint8_t seed[16])
{
	struct store *s = calloc(1, sizeof(*s));

	assert(per_node > 0);
	if (!s)
		return NULL;
	s->max = max;
	s->per_node = per_node;
	list_init(&s->fresh);
	s->owners = map_new(sizeof(struct node_key), max, seed);
	if (!s->owners) {
		free(s);
		return NULL;
	}
	return s;
}

static void owner_free(struct owner *o)
{
	if (o) {
		free(o->v);
		free(o);
	}
}

void store_free(struct store *s)
{
	const void *key;
	void *value;
	size_t it = 0;

	if (!s)
		return;
	while (map_next(s->owners, &it, &key, &value))
		owner_free(value);
	map_free(s->owners);
	for (size_t i = 0; i < s->count; i++)
		free(s->v[i]);
	free(s->v);
	free(s->keys);
	free(s);
}

/* Index of the first entry with a key of @key or higher. Keys are hashes, so the place of one follows
 * from its value but for a few steps; who makes keys that crowd somewhere makes us halve again. */
static size_t lower_bound(const struct store *s, uint64_t key)
{
	size_t lo = 0, hi = s->count, step = 8;
	size_t at = (size_t)((key >> 32) * (uint64_t)s->count >> 32);

	while (at < hi && s->keys[at] < key) {
		lo = at + 1;
		at += step;
		step *= 2;
	}
	if (at < hi)
		hi = at;
	for (step = 8; lo < hi && hi - lo > step; step *= 2) {
		if (s->keys[hi - step] < key) {
			lo = hi - step + 1;
			break;
		}
		hi -= step;
	}
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->keys[mid] < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static uint32_t rank_of(const struct record *r)
{
	return (uint32_t)r->type << 16 | r->sub;
}

static size_t owner_pos(const struct owner *o, uint32_t rank)
{
	size_t i = 0;

	while (i < o->count && rank_of(&o->v[i]->r) < rank)
		i++;
	return i;
}

struct store_entry *store_get(const struct store *s, uint64_t key)
{
	size_t i = lower_bound(s, key);

	return i < s->count && s->keys[i] == key ? s->v[i] : NULL;
}

static bool same_key(const struct record *a, const struct record *b)
{
	return node_key_eq(&a->node, &b->node) && a->type == b->type && a->sub == b->sub;
}

struct store_entry *store_find(
	const struct store *s, const struct node_key *node, uint8_t type, uint16_t sub)
{
	struct store_entry *e = store_get(s, record_key_hash(node, type, sub));

	if (e && node_key_eq(&e->r.node, node) && e->r.type == type && e->r.sub == sub)
		return e;
	return NULL;
}

static uint64_t digest_of(const uint8_t hash[16])
{
	struct rd r;

	rd_init(&r, hash, 16);
	return rd_u64(&r);
}

static int check_known(const struct store_entry *e, const struct record *r)
{
	uint8_t hash[16];
	int cmp;

	if (!same_key(&e->r, r))
		return ERR_FOREIGN;
	cmp = record_version_cmp(r->epoch, r->seq, e->r.epoch, e->r.seq);
	if (cmp != 0)
		return cmp < 0 ? ERR_STALE : 0;
	if (r->len == e->r.len && memcmp(r->raw, e->bytes, r->len) == 0)
		return ERR_EXISTS;
	record_hash(r->raw, r->len, hash);
	return digest_of(hash) < e->digest ? 0 : ERR_STALE;
}

static int check_new(const struct store *s, const struct owner *o, const struct record *r)
{
	if (o && o->count >= s->per_node)
		return rank_of(r) < rank_of(&o->v[o->count - 1]->r) ? 0 : ERR_FULL;
	return s->count < s->max ? 0 : ERR_FULL;
}

int store_check(const struct store *s, const struct record *r)
{
	const struct store_entry *e = store_get(s, r->key);

	if (e)
		return check_known(e, r);
	return check_new(s, map_get(s->owners, &r->node), r);
}

/* Add @by to every sum that @key counts in. */
static void sums_add(struct store *s, uint64_t key, uint64_t by)
{
	for (unsigned level = 0; level <= STORE_LEVELS; level++) {
		size_t index = level ? (size_t)(key >> (64 - LEVEL_BITS * level)) : 0;

		s->sums[level_start[level] + index] += by;
	}
}

/* Let the sums speak of what @e holds now. */
static void settle(struct store *s, struct store_entry *e)
{
	list_del(&e->fresh);
	sums_add(s, e->r.key, e->digest - e->summed);
	e->summed = e->digest;
}

/* Out of the sums and the list, for good. */
static void unsettle(struct store *s, struct store_entry *e)
{
	list_del(&e->fresh);
	sums_add(s, e->r.key, 0 - e->summed);
	e->summed = 0;
}

void store_settle(struct store *s, ts_t until)
{
	while (!list_empty(&s->fresh)) {
		struct store_entry *e = list_entry(s->fresh.next, struct store_entry, fresh);

		if (ts_before(until, e->put))
			return;
		settle(s, e);
	}
}

const struct store_entry *store_fresh_next(const struct store *s, const struct store_entry *after)
{
	struct list *l = after ? after->fresh.prev : s->fresh.prev;

	return l == &s->fresh ? NULL : list_entry(l, const struct store_entry, fresh);
}

bool store_unsettled(const struct store *s)
{
	return !list_empty(&s->fresh);
}

/* Room for one more. */
static int reserve_entries(struct store_entry ***v, size_t *cap, size_t count)
{
	size_t want = *cap ? *cap * 2 : 4;
	void *grown;

	if (count < *cap)
		return 0;
	grown = realloc(*v, want * sizeof(**v));
	if (!grown)
		return ERR_NOMEM;
	*v = grown;
	*cap = want;
	return 0;
}

static int reserve(struct store *s)
{
	size_t want = s->keys_cap ? s->keys_cap * 2 : 4;
	uint64_t *grown;

	if (s->count == s->keys_cap) {
		grown = realloc(s->keys, want * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		s->keys = grown;
		s->keys_cap = want;
	}
	return reserve_entries(&s->v, &s->cap, s->count);
}

static void insert_at(struct store_entry **v, size_t *count, size_t i, struct store_entry *e)
{
	memmove(&v[i + 1], &v[i], (*count - i) * sizeof(*v));
	v[i] = e;
	(*count)++;
}

static void remove_at(struct store_entry **v, size_t *count, size_t i)
{
	memmove(&v[i], &v[i + 1], (*count - i - 1) * sizeof(*v));
	(*count)--;
}

static void sorted_insert(struct store *s, struct store_entry *e)
{
	size_t i = lower_bound(s, e->r.key);

	memmove(&s->keys[i + 1], &s->keys[i], (s->count - i) * sizeof(*s->keys));
	s->keys[i] = e->r.key;
	insert_at(s->v, &s->count, i, e);
}

static void sorted_remove(struct store *s, const struct store_entry *e)
{
	size_t i = lower_bound(s, e->r.key);

	memmove(&s->keys[i], &s->keys[i + 1], (s->count - i - 1) * sizeof(*s->keys));
	remove_at(s->v, &s->count, i);
}

static struct store_entry *entry_new(const struct record *r)
{
	struct store_entry *e = malloc(sizeof(*e) + r->len);
	uint8_t hash[16];

	if (!e)
		return NULL;
	memcpy(e->bytes, r->raw, r->len);
	e->r = *r;
	e->r.raw = e->bytes;
	e->r.body = e->bytes + (r->body - r->raw);
	record_hash(e->bytes, r->len, hash);
	e->digest = digest_of(hash);
	e->summed = 0;
	list_init(&e->fresh);
	return e;
}

/* The owner's entry, made if need be, with room for one more. */
static struct owner *owner_reserve(struct store *s, const struct node_key *node)
{
	struct owner *o = map_get(s->owners, node);
	bool made = !o;

	if (made) {
		o = calloc(1, sizeof(*o));
		if (!o)
			return NULL;
		o->node = *node;
	}
	if (reserve_entries(&o->v, &o->cap, o->count) < 0)
		goto fail;
	if (made && map_put(s->owners, node, o) < 0)
		goto fail;
	return o;
fail:
	if (made)
		owner_free(o);
	return NULL;
}

static void put_new(
	struct store *s, struct owner *o, struct store_entry *e, struct store_entry **evicted)
{
	if (o->count >= s->per_node) {
		*evicted = o->v[o->count - 1];
		remove_at(o->v, &o->count, o->count - 1);
		sorted_remove(s, *evicted);
		unsettle(s, *evicted);
	}
	sorted_insert(s, e);
	insert_at(o->v, &o->count, owner_pos(o, rank_of(&e->r)), e);
}

int store_put(struct store *s, const struct record *r, ts_t now, struct store_entry **out,
	struct store_entry **evicted)
{
	struct store_entry *old = store_get(s, r->key), *e;
	struct owner *o;
	int err;

	*out = *evicted = NULL;
	err = store_check(s, r);
	if (err < 0)
		return err;
	e = entry_new(r);
	if (!e)
		return ERR_NOMEM;
	if (old) {
		o = map_get(s->owners, &r->node);
		assert(o);
		o->v[owner_pos(o, rank_of(r))] = e;
		s->v[lower_bound(s, r->key)] = e;
		/* The sums go on saying the old until the new has spread. */
		e->summed = old->summed;
		list_del(&old->fresh);
		free(old);
	} else {
		/* The owner last: it must not stay behind without entries. */
		o = reserve(s) < 0 ? NULL : owner_reserve(s, &r->node);
		if (!o) {
			free(e);
			return ERR_NOMEM;
		}
		put_new(s, o, e, evicted);
	}
	e->put = now;
	list_add_tail(&s->fresh, &e->fresh);
	if (now.ns == 0)
		settle(s, e);
	*out = e;
	return 0;
}

void store_drop(struct store *s, const struct node_key *node)
{
	struct owner *o = map_del(s->owners, node);

	for (size_t i = 0; o && i < o->count; i++) {
		struct store_entry *e = o->v[i];

		unsettle(s, e);
		sorted_remove(s, e);
		free(e);
	}
	owner_free(o);
}

size_t store_from(const struct store *s, uint64_t from)
{
	return lower_bound(s, from);
}

struct store_entry *store_at(const struct store *s, size_t i)
{
	return i < s->count ? s->v[i] : NULL;
}

size_t store_count(const struct store *s)
{
	return s->count;
}

size_t store_count_in(const struct store *s, uint64_t from, uint64_t to)
{
	size_t end = to == UINT64_MAX ? s->count : lower_bound(s, to + 1);

	return end - lower_bound(s, from);
}

uint64_t store_sum(const struct store *s, unsigned level, unsigned index)
{
	assert(level <= STORE_LEVELS && index < 1u << LEVEL_BITS * level);
	return s->sums[level_start[level] + index];
}

uint64_t store_range_first(unsigned level, unsigned index)
{
	return level ? (uint64_t)index << (64 - LEVEL_BITS * level) : 0;
}

uint64_t store_range_last(unsigned level, unsigned index)
{
	return store_range_first(level, index) |
	       (level ? UINT64_MAX >> LEVEL_BITS * level : UINT64_MAX);
}
