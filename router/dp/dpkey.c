/* dpkey.c - see dpkey.h. */
#include "dpkey.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"

#define CHUNK_MAX (UINT64_C(1) << 20) /* blocks a worker may hold unused: 16 MiB of traffic */

/* Grants count as used, so the soft limit is told early by what idle workers hold: keep that below a
 * quarter of the soft limit, and of the way from soft to hard. */
static uint64_t chunk_size(const struct dp_key *k, unsigned workers)
{
	uint64_t room = k->hard_blocks - k->soft_blocks;
	uint64_t c = (k->soft_blocks < room ? k->soft_blocks : room) / (4 * workers);

	return c < 1 ? 1 : c > CHUNK_MAX ? CHUNK_MAX : c;
}

int dpkey_new(const struct dp_key *in, struct dppeer *peer, unsigned workers,
	enum aead_provider provider, struct dpkey **out)
{
	unsigned slots = workers > in->tx_lanes ? workers : in->tx_lanes;
	struct dpkey *k = NULL;
	size_t size = sizeof(*k) + slots * sizeof(k->tx_slot[0]);
	int err = ERR_NOMEM;

	if (in->tx_lanes > LIM_LANES || in->rx_lanes > LIM_LANES ||
		in->soft_blocks > in->hard_blocks)
		return ERR_RANGE;
	if (!aead_available(in->suite, provider))
		return ERR_UNSUPPORTED;
	k = aligned_alloc(64, (size + 63) & ~(size_t)63);
	if (!k)
		return ERR_NOMEM;
	memset(k, 0, size);
	k->local_index = in->local_index;
	k->remote_index = in->remote_index;
	k->peer = peer;
	k->tx_lanes = in->tx_lanes;
	k->rx_lanes = in->rx_lanes;
	k->soft = in->soft_blocks;
	k->hard = in->hard_blocks;
	k->chunk = chunk_size(in, workers);
	k->max_failed = in->max_failed_opens;
	list_init(&k->by_peer);
	k->rx_lane = calloc(in->rx_lanes ? in->rx_lanes : 1, sizeof(k->rx_lane[0]));
	if (!k->rx_lane)
		goto fail;
	k->tx = aead_new(in->suite, provider, in->tx);
	if (!k->tx)
		goto fail;
	k->rx = aead_new(in->suite, provider, in->rx);
	if (!k->rx)
		goto fail;
	*out = k;
	return 0;
fail:
	dpkey_free(k);
	return err;
}

void dpkey_free(struct dpkey *k)
{
	if (!k)
		return;
	aead_free(k->rx);
	aead_free(k->tx);
	for (unsigned l = 0; k->rx_lane && l < k->rx_lanes; l++)
		free(k->rx_lane[l].win);
	free(k->rx_lane);
	free(k);
}

/* Move up to a chunk, at least @need, from the key's stock to the worker's. */
static bool grant(struct dpkey *k, struct dpkey_tx *t, uint64_t need)
{
	uint64_t had = __atomic_load_n(&k->granted, __ATOMIC_RELAXED), want;

	do {
		uint64_t left = k->hard - had;

		if (left < need)
			return false;
		want = need > k->chunk ? need : k->chunk;
		if (want > left)
			want = left;
	} while (!__atomic_compare_exchange_n(
		&k->granted, &had, had + want, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	t->budget += want;
	return true;
}

bool dpkey_pay(struct dpkey *k, unsigned w, uint64_t blocks)
{
	struct dpkey_tx *t = &k->tx_slot[w];

	if (t->budget < blocks && !grant(k, t, blocks - t->budget))
		return false;
	t->budget -= blocks;
	return true;
}

bool dpkey_failed(struct dpkey *k)
{
	return __atomic_add_fetch(&k->failed, 1, __ATOMIC_RELAXED) == k->max_failed;
}

unsigned winpool_fill(struct winpool *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < WINPOOL_SLOTS; i++) {
		struct replay *w = rcu_get(&p->slot[i]);

		if (!w) {
			w = malloc(sizeof(*w));
			if (!w)
				continue;
			replay_init(w);
			rcu_set(&p->slot[i], w);
		}
		n++;
	}
	__atomic_store_n(&p->left, n, __ATOMIC_RELAXED);
	return n;
}

void winpool_fini(struct winpool *p)
{
	for (unsigned i = 0; i < WINPOOL_SLOTS; i++)
		free(p->slot[i]);
	memset(p, 0, sizeof(*p));
}

static struct replay *winpool_take(struct winpool *p)
{
	for (unsigned i = 0; i < WINPOOL_SLOTS; i++) {
		struct replay *w;

		if (!__atomic_load_n(&p->slot[i], __ATOMIC_RELAXED))
			continue;
		w = __atomic_exchange_n(&p->slot[i], NULL, __ATOMIC_ACQ_REL);
		if (w) {
			__atomic_fetch_sub(&p->left, 1, __ATOMIC_RELAXED);
			return w;
		}
	}
	return NULL;
}

/* The owner word is held for tens of nanoseconds, by one thread at a time that never sleeps in
 * between unless it is preempted; usually nobody else wants it. */
static void own(struct dpkey_rx *l)
{
	while (__atomic_exchange_n(&l->owner, 1, __ATOMIC_ACQUIRE)) {
		while (__atomic_load_n(&l->owner, __ATOMIC_RELAXED)) {
#if defined(__x86_64__) || defined(__i386__)
			__builtin_ia32_pause();
#endif
		}
	}
}

static void disown(struct dpkey_rx *l)
{
	__atomic_store_n(&l->owner, 0, __ATOMIC_RELEASE);
}

bool dpkey_check(struct dpkey *k, uint8_t lane, uint64_t counter)
{
	struct dpkey_rx *l = &k->rx_lane[lane];
	bool fresh;

	assert(lane < k->rx_lanes);
	own(l);
	fresh = !l->win || replay_check(l->win, counter);
	disown(l);
	return fresh;
}

int dpkey_accept(struct dpkey *k, uint8_t lane, uint64_t counter, struct winpool *p, bool *newest)
{
	struct dpkey_rx *l = &k->rx_lane[lane];
	int err;

	assert(lane < k->rx_lanes);
	own(l);
	if (!l->win)
		l->win = winpool_take(p);
	if (l->win) {
		*newest = replay_is_newest(l->win, counter);
		err = replay_accept(l->win, counter);
	} else {
		err = ERR_FULL;
	}
	disown(l);
	return err;
}
