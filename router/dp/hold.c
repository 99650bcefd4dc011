/* hold.c - see hold.h.
 *
 * Each queue has a fixed place in one mapping, whose pages exist only once they were written to; an
 * emptied queue gives its pages back. The bytes of a queue go round: the used part runs from the
 * oldest item to the tail, and an item that does not fit before the end begins at the start. */
#include "hold.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>
#include "weft/err.h"

#define PLACE ((sizeof(struct hold_queue) + 4095) & ~(size_t)4095)

int hold_init(struct hold *h, hold_drop drop, void *ctx)
{
	memset(h, 0, sizeof(*h));
	h->mem = mmap(NULL, LIM_HOLD_PEERS * PLACE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (h->mem == MAP_FAILED) {
		h->mem = NULL;
		return ERR_NOMEM;
	}
	for (unsigned i = 0; i < LIM_HOLD_PEERS; i++)
		h->queue[i] = (struct hold_queue *)(void *)(h->mem + i * PLACE);
	h->drop = drop;
	h->ctx = ctx;
	return 0;
}

void hold_fini(struct hold *h)
{
	if (h->mem)
		munmap(h->mem, LIM_HOLD_PEERS * PLACE);
	memset(h, 0, sizeof(*h));
}

struct hold_queue *hold_find(const struct hold *h, uint32_t peer, uint64_t peer_uid)
{
	for (unsigned i = 0; i < h->count; i++) {
		if (h->queue[i]->peer == peer && h->queue[i]->peer_uid == peer_uid)
			return h->queue[i];
	}
	return NULL;
}

/* The queue is empty: its place is free, its pages go back. */
static void close_queue(struct hold *h, struct hold_queue *q)
{
	unsigned i = 0;

	assert(q->count == 0);
	while (h->queue[i] != q)
		i++;
	assert(i < h->count);
	h->queue[i] = h->queue[--h->count];
	h->queue[h->count] = q;
	(void)madvise(q, PLACE, MADV_DONTNEED);
}

bool hold_pop(struct hold *h, struct hold_queue *q)
{
	assert(q->count > 0);
	q->first = (q->first + 1) % LIM_HOLD_PACKETS;
	if (--q->count > 0)
		return false;
	close_queue(h, q);
	return true;
}

/* Drop a queue whole. */
static void give_up(struct hold *h, struct hold_queue *q)
{
	h->drop(h->ctx, q->peer, q->peer_uid, q->count);
	q->count = 0;
	close_queue(h, q);
}

static struct hold_queue *longest_waiting(const struct hold *h)
{
	struct hold_queue *oldest = NULL;

	for (unsigned i = 0; i < h->count; i++) {
		struct hold_queue *q = h->queue[i];

		if (!q->busy && (!oldest || hold_oldest(q)->at_ns < hold_oldest(oldest)->at_ns))
			oldest = q;
	}
	return oldest;
}

static struct hold_queue *open_queue(struct hold *h, uint32_t peer, uint64_t peer_uid)
{
	struct hold_queue *q;

	/* At most one queue is being sent from, so there is another one to give up. */
	if (h->count == LIM_HOLD_PEERS)
		give_up(h, longest_waiting(h));
	q = h->queue[h->count++];
	q->peer = peer;
	q->peer_uid = peer_uid;
	q->busy = false;
	q->first = q->count = 0;
	q->tail = 0;
	return q;
}

/* Where @len bytes fit in one piece behind the others. */
static bool place(const struct hold_queue *q, uint32_t len, uint32_t *off)
{
	uint32_t head;

	*off = 0;
	if (q->count == 0)
		return true;
	if (q->count == LIM_HOLD_PACKETS)
		return false;
	head = hold_oldest(q)->off;
	if (q->tail > head && LIM_HOLD_BYTES - q->tail < len)
		return len <= head;
	*off = q->tail;
	return q->tail > head || len <= head - q->tail;
}

bool hold_put(struct hold *h, uint32_t peer, uint64_t peer_uid, uint32_t vni, const uint8_t *buf,
	size_t len, uint64_t now_ns)
{
	struct hold_queue *q = hold_find(h, peer, peer_uid);
	unsigned dropped = 0;
	uint32_t off;

	assert(len > 0);
	if (len > LIM_HOLD_BYTES || (q && q->busy))
		return false;
	if (!q)
		q = open_queue(h, peer, peer_uid);
	while (!place(q, (uint32_t)len, &off)) {
		q->first = (q->first + 1) % LIM_HOLD_PACKETS;
		q->count--;
		dropped++;
	}
	if (dropped)
		h->drop(h->ctx, peer, peer_uid, dropped);
	q->item[(q->first + q->count++) % LIM_HOLD_PACKETS] =
		(struct hold_item){.at_ns = now_ns, .vni = vni, .off = off, .len = (uint32_t)len};
	memcpy(q->data + off, buf, len);
	q->tail = off + (uint32_t)len;
	return true;
}

void hold_expire(struct hold *h, uint64_t before_ns)
{
	for (unsigned i = h->count; i-- > 0;) {
		struct hold_queue *q = h->queue[i];
		unsigned n = 0;
		uint32_t peer = q->peer;
		uint64_t uid = q->peer_uid;
		bool gone = false;

		while (!gone && !q->busy && hold_oldest(q)->at_ns < before_ns) {
			gone = hold_pop(h, q);
			n++;
		}
		if (n)
			h->drop(h->ctx, peer, uid, n);
	}
}

uint64_t hold_since(const struct hold *h)
{
	uint64_t since = UINT64_MAX;

	for (unsigned i = 0; i < h->count; i++) {
		uint64_t at = hold_oldest(h->queue[i])->at_ns;

		since = at < since ? at : since;
	}
	return since;
}
