/* idx.c - see idx.h. */
#include "idx.h"

#include <assert.h>
#include <stdlib.h>
#include "weft/err.h"

#define IDX_MIN 64 /* slots of the first table; a power of two */

struct idx_slot {
	void *value;     /* NULL: never used; &dead: deleted; published after number */
	uint64_t number; /* written once, before value */
};

struct idx_table {
	size_t mask;
	struct idx_slot slot[];
};

static char dead; /* its address marks a deleted slot */

/* Fibonacci hashing: numbers are random (indexes, labels) or few (VNIs), the high bits spread both. */
static size_t start(const struct idx_table *t, uint64_t number)
{
	return (size_t)((number * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & t->mask;
}

static struct idx_table *table_new(size_t slots)
{
	struct idx_table *t = calloc(1, sizeof(*t) + slots * sizeof(t->slot[0]));

	if (t)
		t->mask = slots - 1;
	return t;
}

/* Put into a table that has room and lacks the number. */
static void insert(struct idx_table *t, uint64_t number, void *value)
{
	size_t i = start(t, number);

	while (t->slot[i].value)
		i = (i + 1) & t->mask;
	t->slot[i].number = number;
	rcu_set(&t->slot[i].value, value);
}

static struct idx_slot *find(const struct idx *x, uint64_t number)
{
	struct idx_table *t = rcu_get(&x->table);

	for (size_t i = start(t, number);; i = (i + 1) & t->mask) {
		void *v = rcu_get(&t->slot[i].value);

		if (!v)
			return NULL;
		if (v != &dead && t->slot[i].number == number)
			return &t->slot[i];
	}
}

int idx_init(struct idx *x, struct rcu_bin *bin, size_t max)
{
	*x = (struct idx){.bin = bin, .max = max, .table = table_new(IDX_MIN)};
	return x->table ? 0 : ERR_NOMEM;
}

void idx_fini(struct idx *x)
{
	free(x->table);
	x->table = NULL;
}

/* Copy the live values into a table that is at most half full. */
static int rebuild(struct idx *x)
{
	struct idx_table *old = x->table, *t;
	size_t slots = IDX_MIN;

	while (slots < 2 * (x->live + 1))
		slots *= 2;
	t = table_new(slots);
	if (!t)
		return ERR_NOMEM;
	for (size_t i = 0; i <= old->mask; i++) {
		if (old->slot[i].value && old->slot[i].value != &dead)
			insert(t, old->slot[i].number, old->slot[i].value);
	}
	x->used = x->live;
	rcu_set(&x->table, t);
	rcu_defer(x->bin, free, old);
	return 0;
}

int idx_put(struct idx *x, uint64_t number, void *value)
{
	int err;

	assert(value);
	if (idx_get(x, number))
		return ERR_EXISTS;
	if (x->live >= x->max)
		return ERR_FULL;
	/* Never more than three quarters used, so that every search ends at an empty slot soon. */
	if (4 * (x->used + 1) > 3 * (x->table->mask + 1)) {
		err = rebuild(x);
		if (err < 0)
			return err;
	}
	insert(x->table, number, value);
	x->live++;
	x->used++;
	return 0;
}

void *idx_del(struct idx *x, uint64_t number)
{
	struct idx_slot *s = find(x, number);
	void *value;

	if (!s)
		return NULL;
	value = s->value;
	rcu_set(&s->value, (void *)&dead);
	x->live--;
	return value;
}

void *idx_get(const struct idx *x, uint64_t number)
{
	const struct idx_slot *s = find(x, number);
	void *v;

	/* Deleted since find() looked: as good as absent. */
	if (!s)
		return NULL;
	v = rcu_get(&s->value);
	return v == &dead ? NULL : v;
}
