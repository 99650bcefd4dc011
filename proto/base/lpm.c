/* lpm.c - longest-prefix match: a path-compressed binary trie per family.
 *
 * Parts. A node stands for a prefix: its bits and mask as two 64-bit words in host order (an IPv4
 * address fills the upper half of the first), a value or NULL, and two children, which lie inside
 * its prefix and differ in the first bit behind it. A node without value is a fork: it has two
 * children, else it would not be there. So n entries need at most 2n - 1 nodes, a lookup passes at
 * most one node per entry that is nested or neighbouring, and each node is one cache line.
 *
 * Writer. One thread. Every change, also a removal with its fork, becomes visible by exactly one
 * atomic pointer store (publish()): nodes are filled before they are linked, and what is linked
 * changes in no other way. Nodes taken out keep pointing into the trie until the retire function
 * gets rid of them, so a reader standing on one finds its way.
 *
 * Readers. Any number, without locks, inside a read section of the caller's. A reader that passed
 * a node before one change and a lower node after the next could return what was never the answer
 * (say, none while a longer prefix is exchanged for a shorter one). So the trie has a version,
 * raised before each store; a lookup that sees it move starts again. Between two equal readings at
 * most one store can have happened, and a single store is either seen or not.
 *
 * Bounds: the callers'. Failure: only lpm_set allocates, everything it needs before it changes. */
#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lpm.h"
#include "weft/err.h"

#define DEPTH_MAX 129 /* nodes on a path: prefix lengths 0 to 128 */

/* The bits of an address or prefix. */
struct bits {
	uint64_t hi, lo;
};

struct node {
	struct bits key, mask;
	_Atomic(struct node *) child[2];
	_Atomic(void *) value;
	uint8_t len;
	uint8_t family;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct node) == 64, "a node is one cache line");

typedef _Atomic(struct node *) slot_t;

struct lpm {
	slot_t root4, root6;
	_Atomic uint64_t version;
	size_t count;
	lpm_retire_fn retire;
	void *ctx;
};

static uint64_t load_be32(const uint8_t *b)
{
	uint32_t v;

	memcpy(&v, b, sizeof(v));
	return (uint64_t)__builtin_bswap32(v) << 32;
}

static uint64_t load_be64(const uint8_t *b)
{
	uint64_t v;

	memcpy(&v, b, sizeof(v));
	return __builtin_bswap64(v);
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "x86-64 and arm64");

static struct bits bits_of(const struct ip *ip)
{
	if (ip->family == IP_V4)
		return (struct bits){load_be32(ip->b), 0};
	return (struct bits){load_be64(ip->b), load_be64(ip->b + 8)};
}

static struct bits mask_of(unsigned len)
{
	if (len <= 64)
		return (struct bits){len ? UINT64_MAX << (64 - len) : 0, 0};
	return (struct bits){UINT64_MAX, UINT64_MAX << (128 - len)};
}

/* Bit @i counted from the front. For @i = 128 some bit: a /128 has no children. */
static unsigned bit_at(struct bits b, unsigned i)
{
	return (unsigned)((i < 64 ? b.hi : b.lo) >> (~i & 63)) & 1;
}

static bool inside(const struct node *n, struct bits b)
{
	return (((b.hi ^ n->key.hi) & n->mask.hi) | ((b.lo ^ n->key.lo) & n->mask.lo)) == 0;
}

/* Leading bits that @a and @b have in common. */
static unsigned common(struct bits a, struct bits b)
{
	if (a.hi != b.hi)
		return (unsigned)__builtin_clzll(a.hi ^ b.hi);
	if (a.lo != b.lo)
		return 64 + (unsigned)__builtin_clzll(a.lo ^ b.lo);
	return 128;
}

static struct node *load(const slot_t *s)
{
	return atomic_load_explicit(s, memory_order_acquire);
}

static void *value_of(const struct node *n)
{
	return atomic_load_explicit(&n->value, memory_order_acquire);
}

/* Before each store that readers can see. Release: who reads the new version sees all stores before
 * it. The store that follows is a release too: who sees that one sees the new version. */
static void raise_version(struct lpm *t)
{
	uint64_t v = atomic_load_explicit(&t->version, memory_order_relaxed);

	atomic_store_explicit(&t->version, v + 1, memory_order_release);
}

static void publish(struct lpm *t, slot_t *s, struct node *n)
{
	raise_version(t);
	atomic_store_explicit(s, n, memory_order_release);
}

static void publish_value(struct lpm *t, struct node *n, void *value)
{
	raise_version(t);
	atomic_store_explicit(&n->value, value, memory_order_release);
}

static slot_t *root_of(struct lpm *t, unsigned family)
{
	return family == IP_V4 ? &t->root4 : &t->root6;
}

static const slot_t *root_of_const(const struct lpm *t, unsigned family)
{
	return family == IP_V4 ? &t->root4 : &t->root6;
}

static struct node *node_new(unsigned family, struct bits key, unsigned len, void *value)
{
	struct node *n = aligned_alloc(sizeof(struct node), sizeof(struct node));

	if (!n)
		return NULL;
	memset(n, 0, sizeof(*n));
	n->mask = mask_of(len);
	n->key = (struct bits){key.hi & n->mask.hi, key.lo & n->mask.lo};
	n->len = (uint8_t)len;
	n->family = (uint8_t)family;
	atomic_init(&n->value, value);
	return n;
}

static void retire(struct lpm *t, struct node *n)
{
	if (t->retire)
		t->retire(t->ctx, n);
	else
		free(n);
}

static struct pfx pfx_of(const struct node *n)
{
	struct pfx p = {.ip.family = n->family, .len = n->len};

	for (int i = 0; i < 8; i++) {
		p.ip.b[i] = (uint8_t)(n->key.hi >> (56 - 8 * i));
		p.ip.b[8 + i] = (uint8_t)(n->key.lo >> (56 - 8 * i));
	}
	return p;
}

struct lpm *lpm_new(lpm_retire_fn retire_fn, void *ctx)
{
	struct lpm *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->retire = retire_fn;
	t->ctx = ctx;
	return t;
}

static void free_below(struct node *n)
{
	if (!n)
		return;
	free_below(load(&n->child[0]));
	free_below(load(&n->child[1]));
	free(n);
}

void lpm_free(struct lpm *t)
{
	if (!t)
		return;
	free_below(load(&t->root4));
	free_below(load(&t->root6));
	free(t);
}

/* Go down as long as nodes contain @key/@len and are shorter. Returns the slot of the first node
 * that is not so: an equal one, one that lies inside or beside @key/@len, or an empty slot. */
static slot_t *descend(slot_t *s, struct bits key, unsigned len)
{
	struct node *n;

	while ((n = load(s)) && n->len < len && inside(n, key))
		s = &n->child[bit_at(key, n->len)];
	return s;
}

static bool is_exactly(const struct node *n, struct bits key, unsigned len)
{
	return n && n->len == len && inside(n, key);
}

int lpm_set(struct lpm *t, const struct pfx *p, void *value, void **old)
{
	struct bits key = bits_of(&p->ip);
	slot_t *s = descend(root_of(t, p->ip.family), key, p->len);
	struct node *at = load(s), *leaf, *fork;
	unsigned same;

	assert(value && p->ip.family != IP_NONE && p->len <= ip_bits(&p->ip));
	if (is_exactly(at, key, p->len)) {
		void *was = value_of(at);
		publish_value(t, at, value);
		t->count += was == NULL;
		if (old)
			*old = was;
		return 0;
	}
	leaf = node_new(p->ip.family, key, p->len, value);
	if (!leaf)
		return ERR_NOMEM;
	if (at) {
		same = common(leaf->key, at->key);
		if (same >= p->len) {
			atomic_init(&leaf->child[bit_at(at->key, p->len)], at);
		} else {
			fork = node_new(p->ip.family, key, same, NULL);
			if (!fork) {
				free(leaf);
				return ERR_NOMEM;
			}
			atomic_init(&fork->child[bit_at(key, same)], leaf);
			atomic_init(&fork->child[bit_at(at->key, same)], at);
			leaf = fork;
		}
	}
	publish(t, s, leaf);
	t->count++;
	if (old)
		*old = NULL;
	return 0;
}

void *lpm_del(struct lpm *t, const struct pfx *p)
{
	struct bits key = bits_of(&p->ip);
	slot_t *s = root_of(t, p->ip.family), *up = NULL; /* slot of the parent */
	struct node *n, *parent = NULL, *kid0, *kid1;
	void *was;

	if (p->ip.family == IP_NONE)
		return NULL;
	while ((n = load(s)) && n->len < p->len && inside(n, key)) {
		parent = n;
		up = s;
		s = &n->child[bit_at(key, n->len)];
	}
	if (!is_exactly(n, key, p->len) || !(was = value_of(n)))
		return NULL;
	t->count--;
	kid0 = load(&n->child[0]);
	kid1 = load(&n->child[1]);
	if (kid0 && kid1) {
		publish_value(t, n, NULL); /* becomes a fork */
		return was;
	}
	if (!kid0 && !kid1 && parent && !value_of(parent)) {
		/* The fork above would keep one child: it goes with the leaf. */
		publish(t, up, load(&parent->child[s == &parent->child[0]]));
		retire(t, parent);
	} else {
		publish(t, s, kid0 ? kid0 : kid1);
	}
	retire(t, n);
	return was;
}

void *lpm_get(const struct lpm *t, const struct pfx *p)
{
	struct bits key = bits_of(&p->ip);
	const slot_t *s;
	struct node *n;
	void *value;
	uint64_t v;

	if (p->ip.family == IP_NONE)
		return NULL;
	do {
		v = atomic_load_explicit(&t->version, memory_order_acquire);
		s = root_of_const(t, p->ip.family);
		while ((n = load(s)) && n->len < p->len && inside(n, key))
			s = &n->child[bit_at(key, n->len)];
		value = is_exactly(n, key, p->len) ? value_of(n) : NULL;
	} while (atomic_load_explicit(&t->version, memory_order_relaxed) != v);
	return value;
}

/* The longest entry of at most @len bits that contains @key, and its node in *@node. */
static void *longest(const struct lpm *t, unsigned family, struct bits key, unsigned len,
	const struct node **node)
{
	void *best;
	uint64_t v;

	do {
		const struct node *n;
		v = atomic_load_explicit(&t->version, memory_order_acquire);
		best = NULL;
		*node = NULL;
		n = load(root_of_const(t, family));
		while (n && n->len <= len && inside(n, key)) {
			void *value = value_of(n);
			if (value) {
				best = value;
				*node = n;
			}
			n = load(&n->child[bit_at(key, n->len)]);
		}
	} while (atomic_load_explicit(&t->version, memory_order_relaxed) != v);
	return best;
}

void *lpm_covering(const struct lpm *t, const struct pfx *p, struct pfx *matched)
{
	const struct node *node;
	void *value;

	if (p->ip.family == IP_NONE)
		return NULL;
	value = longest(t, p->ip.family, bits_of(&p->ip), p->len, &node);
	if (value && matched)
		*matched = pfx_of(node);
	return value;
}

void *lpm_lookup(const struct lpm *t, const struct ip *ip, struct pfx *matched)
{
	struct pfx host = {.ip = *ip, .len = (uint8_t)ip_bits(ip)};

	return lpm_covering(t, &host, matched);
}

void *lpm_lookup4(const struct lpm *t, const uint8_t addr[4])
{
	uint64_t key = load_be32(addr);
	void *best;
	uint64_t v;

	do {
		const struct node *n;
		v = atomic_load_explicit(&t->version, memory_order_acquire);
		best = NULL;
		n = load(&t->root4);
		while (n && ((key ^ n->key.hi) & n->mask.hi) == 0) {
			void *value = value_of(n);
			best = value ? value : best;
			n = load(&n->child[key >> (63 - n->len) & 1]);
		}
	} while (__builtin_expect(atomic_load_explicit(&t->version, memory_order_relaxed) != v, 0));
	return best;
}

void *lpm_lookup6(const struct lpm *t, const uint8_t addr[16])
{
	struct bits key = {load_be64(addr), load_be64(addr + 8)};
	void *best;
	uint64_t v;

	do {
		const struct node *n;
		v = atomic_load_explicit(&t->version, memory_order_acquire);
		best = NULL;
		n = load(&t->root6);
		while (n && inside(n, key)) {
			void *value = value_of(n);
			best = value ? value : best;
			n = load(&n->child[bit_at(key, n->len)]);
		}
	} while (__builtin_expect(atomic_load_explicit(&t->version, memory_order_relaxed) != v, 0));
	return best;
}

size_t lpm_count(const struct lpm *t)
{
	return t->count;
}

/* Entries at and below @top: the node, then what has a 0 behind it, then what has a 1: that is the
 * order of pfx_cmp. False: @fn said stop. */
static bool walk_below(
	struct node *top, bool (*fn)(void *ctx, const struct pfx *p, void *value), void *ctx)
{
	struct node *todo[DEPTH_MAX + 1];
	size_t n = 0;

	if (top)
		todo[n++] = top;
	while (n > 0) {
		struct node *at = todo[--n], *kid;
		void *value = value_of(at);
		if (value) {
			struct pfx p = pfx_of(at);
			if (!fn(ctx, &p, value))
				return false;
		}
		/* One sibling waits per level, so DEPTH_MAX + 1 places are enough. */
		if ((kid = load(&at->child[1])))
			todo[n++] = kid;
		if ((kid = load(&at->child[0])))
			todo[n++] = kid;
		assert(n <= DEPTH_MAX);
	}
	return true;
}

void lpm_walk(const struct lpm *t, const struct pfx *within,
	bool (*fn)(void *ctx, const struct pfx *p, void *value), void *ctx)
{
	const slot_t *s;
	struct node *n;
	struct bits key;

	if (!within) {
		if (walk_below(load(&t->root4), fn, ctx))
			walk_below(load(&t->root6), fn, ctx);
		return;
	}
	if (within->ip.family == IP_NONE)
		return;
	key = bits_of(&within->ip);
	s = root_of_const(t, within->ip.family);
	while ((n = load(s)) && n->len < within->len && inside(n, key))
		s = &n->child[bit_at(key, n->len)];
	if (n && n->len >= within->len && common(n->key, key) >= within->len)
		walk_below(n, fn, ctx);
}
