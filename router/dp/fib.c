/* fib.c - see fib.h. */
#include "fib.h"

#include <stdlib.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "lpm.h"

struct fib {
	struct lpm *lpm;
	struct rcu_bin *bin;
	uint64_t *generation;
};

/* From below: kind (never 0, so never NULL), links from and to, peer. */
#define KIND_BITS  3
#define LINK_BITS  8
#define FROM_SHIFT KIND_BITS
#define TO_SHIFT   (FROM_SHIFT + LINK_BITS)
#define PEER_SHIFT (TO_SHIFT + LINK_BITS)

_Static_assert(LIM_PEERS <= 1 << 13 && PEER_SHIFT + 13 <= 32, "a route fits into any pointer");
_Static_assert(LIM_LINKS < LINK_BITS, "a bit for each link, and one for our own gateways");

static void *pack(struct fib_route r)
{
	return (void *)((uintptr_t)r.peer << PEER_SHIFT | (uintptr_t)r.to << TO_SHIFT |
			(uintptr_t)r.from << FROM_SHIFT | (uintptr_t)r.kind);
}

static struct fib_route unpack(const void *value)
{
	uintptr_t v = (uintptr_t)value;

	return (struct fib_route){.peer = (uint32_t)(v >> PEER_SHIFT),
		.kind = v & ((1 << KIND_BITS) - 1),
		.from = (uint8_t)(v >> FROM_SHIFT),
		.to = (uint8_t)(v >> TO_SHIFT)};
}

static void retire(void *ctx, void *mem)
{
	struct fib *f = ctx;

	rcu_defer(f->bin, free, mem);
}

static void changed(struct fib *f)
{
	__atomic_fetch_add(f->generation, 1, __ATOMIC_RELEASE);
}

struct fib *fib_new(struct rcu_bin *bin, uint64_t *generation)
{
	struct fib *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->bin = bin;
	f->generation = generation;
	f->lpm = lpm_new(retire, f);
	if (!f->lpm) {
		free(f);
		return NULL;
	}
	return f;
}

void fib_free(struct fib *f)
{
	if (!f)
		return;
	lpm_free(f->lpm);
	free(f);
}

int fib_set(struct fib *f, const struct pfx *p, struct fib_route r)
{
	int err;

	if (r.kind < DP_ROUTE_PEER || r.kind > DP_ROUTE_LINK)
		return ERR_RANGE;
	if (!fib_has_peer(r.kind))
		r.peer = 0;
	else if (r.peer == 0 || r.peer >= LIM_PEERS)
		return ERR_RANGE;
	err = lpm_set(f->lpm, p, pack(r), NULL);
	if (err == 0)
		changed(f);
	return err;
}

int fib_del(struct fib *f, const struct pfx *p)
{
	if (!lpm_del(f->lpm, p))
		return ERR_NOT_FOUND;
	changed(f);
	return 0;
}

/* The table may not change under a walk, so routes are taken out by the handful. */
#define HANDFUL 128

struct handful {
	uint32_t peer;
	unsigned count;
	struct pfx p[HANDFUL];
};

static bool collect(void *ctx, const struct pfx *p, void *value)
{
	struct handful *h = ctx;
	struct fib_route r = unpack(value);

	if (fib_has_peer(r.kind) && r.peer == h->peer)
		h->p[h->count++] = *p;
	return h->count < HANDFUL;
}

void fib_drop_peer(struct fib *f, uint32_t peer)
{
	struct handful h = {.peer = peer};

	do {
		h.count = 0;
		lpm_walk(f->lpm, NULL, collect, &h);
		for (unsigned i = 0; i < h.count; i++)
			lpm_del(f->lpm, &h.p[i]);
		if (h.count)
			changed(f);
	} while (h.count == HANDFUL);
}

size_t fib_count(const struct fib *f)
{
	return lpm_count(f->lpm);
}

struct fib_route fib_lookup(const struct fib *f, uint8_t family, const uint8_t *addr)
{
	return unpack(family == IP_V4 ? lpm_lookup4(f->lpm, addr) : lpm_lookup6(f->lpm, addr));
}
