/* map.c - hash table from fixed-size keys to pointers.
 *
 * Parts: an array of slots (hash and value) and, in the same allocation behind it, an array of
 * keys. Open addressing with linear probing; a lookup compares 64-bit hashes first and then the key
 * once. A deleted slot becomes a grave unless the slot after it is free, so that nothing moves and
 * a walk that deletes is not disturbed. When live slots and graves fill three quarters, the table
 * is built anew at a size that fits the live ones, larger or smaller.
 *
 * Bounds: @max entries; memory is at most 4 * @max * (16 + key size) bytes. Failure: an allocation
 * that fails leaves the table as it was. SipHash's key is secret, so outsiders who choose keys
 * (node keys, endpoints) can't aim them at one bucket. */
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include "map.h"
#include "weft/err.h"

enum { FREE = 0, GRAVE = 1, FIRST_HASH = 2 };

#define CAP_MIN 8

struct slot {
	uint64_t hash; /* FREE, GRAVE, or the key's hash raised to FIRST_HASH */
	void *value;
};

struct map {
	struct slot *slots; /* cap of them, then cap keys; NULL until the first put */
	uint8_t *keys;
	size_t cap;   /* 0 or a power of two */
	size_t count; /* live */
	size_t used;  /* live and graves */
	size_t max, key_size;
	uint8_t seed[16];
};

static uint64_t load_le8(const uint8_t *b)
{
	uint64_t v;

	memcpy(&v, b, sizeof(v));
	return le64toh(v);
}

static uint64_t load_le(const uint8_t *b, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)b[i] << (8 * i);
	return v;
}

static inline uint64_t rotl(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

struct sip {
	uint64_t a, b, c, d;
};

static inline struct sip sip_round(struct sip v)
{
	v.a += v.b;
	v.c += v.d;
	v.b = rotl(v.b, 13) ^ v.a;
	v.d = rotl(v.d, 16) ^ v.c;
	v.a = rotl(v.a, 32);
	v.c += v.b;
	v.a += v.d;
	v.b = rotl(v.b, 17) ^ v.c;
	v.d = rotl(v.d, 21) ^ v.a;
	v.c = rotl(v.c, 32);
	return v;
}

static inline struct sip sip_word(struct sip v, uint64_t m)
{
	v.d ^= m;
	v = sip_round(sip_round(v));
	v.a ^= m;
	return v;
}

/* By value and without a loop over rounds: the state stays in registers. */
uint64_t map_siphash(const uint8_t seed[16], const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t k0 = load_le8(seed), k1 = load_le8(seed + 8), last = (uint64_t)len << 56;
	struct sip v = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
		k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};

	for (; len >= 8; p += 8, len -= 8)
		v = sip_word(v, load_le8(p));
	last |= load_le(p, len);
	v = sip_word(v, last);
	v.c ^= 0xff;
	v = sip_round(sip_round(sip_round(sip_round(v))));
	return v.a ^ v.b ^ v.c ^ v.d;
}

static uint64_t hash_of(const struct map *m, const void *key)
{
	uint64_t h = map_siphash(m->seed, key, m->key_size);

	return h < FIRST_HASH ? h + FIRST_HASH : h;
}

struct map *map_new(size_t key_size, size_t max, const uint8_t seed[16])
{
	struct map *m = calloc(1, sizeof(*m));

	assert(key_size >= 1 && key_size <= 64);
	if (!m)
		return NULL;
	m->key_size = key_size;
	m->max = max;
	memcpy(m->seed, seed, sizeof(m->seed));
	return m;
}

void map_free(struct map *m)
{
	if (!m)
		return;
	free(m->slots);
	free(m);
}

/* Most keys are a node's: a call would cost more than the comparison. */
static inline bool same_key(const uint8_t *a, const uint8_t *b, size_t size)
{
	uint64_t x[4], y[4];

	if (size != sizeof(x))
		return memcmp(a, b, size) == 0;
	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])) == 0;
}

/* The slot of @key, or NULL. */
static struct slot *find(const struct map *m, uint64_t hash, const void *key)
{
	size_t mask = m->cap - 1;

	if (m->cap == 0)
		return NULL;
	/* At least a quarter of the slots is FREE, so this ends. */
	for (size_t i = hash & mask; m->slots[i].hash != FREE; i = (i + 1) & mask)
		if (m->slots[i].hash == hash &&
			same_key(m->keys + i * m->key_size, key, m->key_size))
			return &m->slots[i];
	return NULL;
}

/* Put what is known to be absent into the first slot that is not live; counts it. */
static void insert(struct map *m, uint64_t hash, const void *key, void *value)
{
	size_t mask = m->cap - 1, i = hash & mask;

	while (m->slots[i].hash >= FIRST_HASH)
		i = (i + 1) & mask;
	if (m->slots[i].hash == FREE)
		m->used++;
	m->count++;
	m->slots[i] = (struct slot){.hash = hash, .value = value};
	memcpy(m->keys + i * m->key_size, key, m->key_size);
}

/* Build the table anew with room for one more at half load, without graves. */
static int rebuild(struct map *m)
{
	struct map old = *m;
	size_t cap = CAP_MIN;
	struct slot *slots;

	while (cap < 2 * (m->count + 1))
		cap *= 2;
	slots = calloc(cap, sizeof(struct slot) + m->key_size);
	if (!slots)
		return ERR_NOMEM;
	m->slots = slots;
	m->keys = (uint8_t *)(slots + cap);
	m->cap = cap;
	m->count = m->used = 0;
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].hash >= FIRST_HASH)
			insert(m, old.slots[i].hash, old.keys + i * m->key_size,
				old.slots[i].value);
	free(old.slots);
	return 0;
}

int map_put(struct map *m, const void *key, void *value)
{
	uint64_t hash = hash_of(m, key);

	assert(value);
	if (find(m, hash, key))
		return ERR_EXISTS;
	if (m->count >= m->max)
		return ERR_FULL;
	if (4 * (m->used + 1) > 3 * m->cap) {
		int err = rebuild(m);
		if (err)
			return err;
	}
	insert(m, hash, key, value);
	return 0;
}

void *map_get(const struct map *m, const void *key)
{
	struct slot *s = m->count ? find(m, hash_of(m, key), key) : NULL;

	return s ? s->value : NULL;
}

void *map_del(struct map *m, const void *key)
{
	struct slot *s = find(m, hash_of(m, key), key);
	size_t mask = m->cap - 1, i;
	void *value;

	if (!s)
		return NULL;
	value = s->value;
	i = (size_t)(s - m->slots);
	m->slots[i] = (struct slot){.hash = GRAVE};
	m->count--;
	/* No probe needs to pass a grave that a free slot follows; so it and the graves before it
	 * are free too. */
	if (m->slots[(i + 1) & mask].hash == FREE)
		for (; m->slots[i].hash == GRAVE; i = (i - 1) & mask) {
			m->slots[i].hash = FREE;
			m->used--;
		}
	return value;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

bool map_next(const struct map *m, size_t *it, const void **key, void **value)
{
	for (; *it < m->cap; ++*it) {
		const struct slot *s = &m->slots[*it];
		if (s->hash < FIRST_HASH)
			continue;
		if (key)
			*key = m->keys + *it * m->key_size;
		if (value)
			*value = s->value;
		++*it;
		return true;
	}
	return false;
}
