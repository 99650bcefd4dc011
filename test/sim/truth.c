/* truth.c - what was published: per node and type of record, each version with the hash of what it
 * says. In: signed records, by the wrapped record_sign(). Out: judgements of views. */
#include "truth.h"

#include <stdlib.h>
#include <string.h>
#include "map.h"
#include "prng.h"
#include "record.h"
#include "sim.h"
#include "store.h"

#define PLANT_AFTER_NS UINT64_C(20000000000)

struct said {
	struct truth_version v;
	uint64_t content;
	uint8_t type;
};

struct author {
	struct said *said;
	size_t count, cap;
};

struct kept {
	size_t len;
	uint8_t *raw;
};

struct truth {
	struct sim *s;
	struct map *authors;  /* node key: struct author */
	struct map *verified; /* hash of key, message, signature */
	struct kept *kept;
	size_t nkept, cap_kept;
	struct node_key *stored;
	size_t nstored, cap_stored;
	uint64_t verifications;
};

/* The process runs one simulation at a time; what is wrapped has no other way to find it. */
static struct truth *present;
static const uint8_t hash_seed[16] = "what was said";

struct truth *truth_new(struct sim *s)
{
	struct truth *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->s = s;
	t->authors = map_new(sizeof(struct node_key), SIZE_MAX / 2, hash_seed);
	t->verified = map_new(sizeof(uint64_t), SIZE_MAX / 2, hash_seed);
	if (!t->authors || !t->verified) {
		truth_free(t);
		return NULL;
	}
	present = t;
	return t;
}

void truth_free(struct truth *t)
{
	const void *key;
	void *value;
	size_t it = 0;

	if (!t)
		return;
	while (t->authors && map_next(t->authors, &it, &key, &value)) {
		free(((struct author *)value)->said);
		free(value);
	}
	for (size_t i = 0; i < t->nkept; i++)
		free(t->kept[i].raw);
	free(t->kept);
	free(t->stored);
	map_free(t->authors);
	map_free(t->verified);
	free(t);
	present = NULL;
}

uint64_t truth_verified(const struct truth *t)
{
	return t->verifications;
}

/* --- contents --- */

uint64_t truth_of_node(const char *name, const char *version, bool left)
{
	return map_siphash(hash_seed, name, strlen(name)) * 3 +
	       map_siphash(hash_seed, version, strlen(version)) + left;
}

static uint64_t hash_pfx(const struct pfx *p)
{
	return map_siphash(hash_seed, p->ip.b, 16) * 31 + p->ip.family * 257u + p->len;
}

uint64_t truth_of_endpoints(const struct ep *eps, size_t n)
{
	uint64_t h = n;

	for (size_t i = 0; i < n; i++)
		h = h * 31 + map_siphash(hash_seed, eps[i].ip.b, 16) + eps[i].port;
	return h;
}

uint64_t truth_of_prefixes(const struct gossip_prefix *p, size_t n)
{
	uint64_t h = n;

	for (size_t i = 0; i < n; i++) {
		uint64_t row[3] = {hash_pfx(&p[i].pfx), p[i].claimed_at_secs,
			(uint64_t)p[i].vni << 16 | (uint64_t)p[i].right << 8 | p[i].exit};

		h += map_siphash(hash_seed, row, sizeof(row));
	}
	return h;
}

static bool content_of(const struct record *r, uint64_t *out)
{
	struct record_node node;
	struct ep eps[LIM_ENDPOINTS_PER_NODE];
	struct gossip_prefix rows[RECORD_PREFIXES_MAX];
	size_t n = 0;

	switch (r->type) {
	case RECORD_NODE:
		if (record_node_decode(r->body, r->body_len, &node) != 0)
			return false;
		*out = truth_of_node(node.name, node.version, node.left);
		return true;
	case RECORD_ENDPOINTS:
		if (record_endpoints_decode(r->body, r->body_len, eps, LIM_ENDPOINTS_PER_NODE, &n))
			return false;
		*out = truth_of_endpoints(eps, n);
		return true;
	case RECORD_PREFIXES:
		if (!(r->flags & RECORD_F_TOMBSTONE) &&
			record_prefixes_decode(r->body, r->body_len, rows, RECORD_PREFIXES_MAX, &n))
			return false;
		*out = truth_of_prefixes(rows, n);
		return true;
	default:
		return false;
	}
}

/* --- publishing --- */

static struct author *author_make(struct truth *t, const struct node_key *node)
{
	struct author *a = map_get(t->authors, node);

	if (a)
		return a;
	a = calloc(1, sizeof(*a));
	if (!a || map_put(t->authors, node, a) != 0)
		abort();
	return a;
}

static void keep_raw(struct truth *t, const struct record *r)
{
	struct kept *k;

	if (t->nkept == t->cap_kept) {
		t->cap_kept = t->cap_kept ? 2 * t->cap_kept : 64;
		t->kept = realloc(t->kept, t->cap_kept * sizeof(*t->kept));
		if (!t->kept)
			abort();
	}
	k = &t->kept[t->nkept++];
	k->len = r->len;
	k->raw = malloc(r->len);
	if (!k->raw)
		abort();
	memcpy(k->raw, r->raw, r->len);
}

static void publish(struct truth *t, const struct record *r)
{
	struct author *a = author_make(t, &r->node);
	uint64_t content;

	keep_raw(t, r);
	if (!content_of(r, &content))
		return;
	if (a->count == a->cap) {
		a->cap = a->cap ? 2 * a->cap : 8;
		a->said = realloc(a->said, a->cap * sizeof(*a->said));
		if (!a->said)
			abort();
	}
	a->said[a->count++] = (struct said){{r->epoch, r->seq}, content, r->type};
}

static int version_cmp(const struct truth_version *a, const struct truth_version *b)
{
	if (a->epoch != b->epoch)
		return a->epoch < b->epoch ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

enum truth_verdict truth_judge(const struct truth *t, const struct node_key *node, uint8_t type,
	uint64_t content, struct truth_version *least)
{
	const struct author *a = map_get(t->authors, node);
	const struct said *best = NULL;
	bool ever = false;

	for (size_t i = 0; a && i < a->count; i++) {
		const struct said *said = &a->said[i];

		if (said->type != type || said->content != content)
			continue;
		ever = true;
		if (version_cmp(&said->v, least) >= 0 &&
			(!best || version_cmp(&said->v, &best->v) < 0))
			best = said;
	}
	if (!best)
		return ever ? TRUTH_ROLLED_BACK : TRUTH_NEVER_SAID;
	*least = best->v;
	return TRUTH_FINE;
}

const uint8_t *truth_any(const struct truth *t, struct prng *p, size_t *len)
{
	const struct kept *k;

	if (t->nkept == 0)
		return NULL;
	k = &t->kept[prng_below(p, t->nkept)];
	*len = k->len;
	return k->raw;
}

static void note_stored(struct truth *t, const struct node_key *node)
{
	if (t->nstored > 0 && node_key_eq(&t->stored[t->nstored - 1], node))
		return;
	if (t->nstored == t->cap_stored) {
		t->cap_stored = t->cap_stored ? 2 * t->cap_stored : 64;
		t->stored = realloc(t->stored, t->cap_stored * sizeof(*t->stored));
		if (!t->stored)
			abort();
	}
	t->stored[t->nstored++] = *node;
}

const struct node_key *truth_stored(struct truth *t)
{
	return t->nstored ? &t->stored[--t->nstored] : NULL;
}

/* --- what the linker puts in the way (-Wl,--wrap) --- */

int __real_record_sign(const struct identity *id, const struct record *r, uint8_t *out);
int __wrap_record_sign(const struct identity *id, const struct record *r, uint8_t *out);
int __real_key_verify(const struct node_key *k, const char *label, const uint8_t *msg, size_t len,
	const uint8_t sig[64]);
int __wrap_key_verify(const struct node_key *k, const char *label, const uint8_t *msg, size_t len,
	const uint8_t sig[64]);
int __real_record_version_cmp(uint64_t a_epoch, uint64_t a_seq, uint64_t b_epoch, uint64_t b_seq);
int __wrap_record_version_cmp(uint64_t a_epoch, uint64_t a_seq, uint64_t b_epoch, uint64_t b_seq);

int __real_store_put(struct store *s, const struct record *r, ts_t now, struct store_entry **out,
	struct store_entry **evicted);
int __wrap_store_put(struct store *s, const struct record *r, ts_t now, struct store_entry **out,
	struct store_entry **evicted);

static bool planted(enum sim_plant what)
{
	return present && present->s->cfg.plant == what && present->s->now.ns > PLANT_AFTER_NS;
}

int __wrap_record_sign(const struct identity *id, const struct record *r, uint8_t *out)
{
	int len = __real_record_sign(id, r, out);
	struct record parsed;

	if (present && len > 0 && record_parse(out, (size_t)len, &parsed) == len)
		publish(present, &parsed);
	return len;
}

int __wrap_key_verify(const struct node_key *k, const char *label, const uint8_t *msg, size_t len,
	const uint8_t sig[64])
{
	uint64_t id;
	int err;

	if (planted(PLANT_NO_SIGNATURE))
		return 0;
	if (!present || present->s->cfg.own_signatures)
		return __real_key_verify(k, label, msg, len, sig);
	id = map_siphash(k->b, msg, len) * 31 + map_siphash(k->b + 16, sig, 64) +
	     map_siphash(hash_seed, label, strlen(label));
	if (map_get(present->verified, &id))
		return 0;
	present->verifications++;
	err = __real_key_verify(k, label, msg, len, sig);
	if (err == 0 && map_put(present->verified, &id, present) != 0)
		abort();
	return err;
}

int __wrap_record_version_cmp(uint64_t a_epoch, uint64_t a_seq, uint64_t b_epoch, uint64_t b_seq)
{
	int cmp = __real_record_version_cmp(a_epoch, a_seq, b_epoch, b_seq);

	return planted(PLANT_OLD_IS_NEW) ? -cmp : cmp;
}

int __wrap_store_put(struct store *s, const struct record *r, ts_t now, struct store_entry **out,
	struct store_entry **evicted)
{
	int err = __real_store_put(s, r, now, out, evicted);

	if (present && err >= 0)
		note_stored(present, &r->node);
	return err;
}
