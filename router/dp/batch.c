/* batch.c - see batch.h. */
#include "batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "weft/err.h"

#define BATCH_STRIDE 65536 /* whole pages, so that unused ones cost nothing */

_Static_assert(BATCH_STRIDE >= BATCH_BYTES, "a batch fits its place");

int batch_pool_init(struct batch_pool *p, unsigned count)
{
	memset(p, 0, sizeof(*p));
	p->all = calloc(count, sizeof(p->all[0]));
	if (!p->all)
		return ERR_NOMEM;
	p->mem_bytes = (size_t)count * BATCH_STRIDE;
	p->mem = mmap(NULL, p->mem_bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->mem == MAP_FAILED) {
		free(p->all);
		memset(p, 0, sizeof(*p));
		return ERR_NOMEM;
	}
	p->count = count;
	for (unsigned i = count; i-- > 0;) {
		p->all[i].buf = p->mem + (size_t)i * BATCH_STRIDE;
		p->all[i].next = p->free;
		p->free = &p->all[i];
	}
	return 0;
}

void batch_pool_fini(struct batch_pool *p)
{
	if (p->mem)
		munmap(p->mem, p->mem_bytes);
	free(p->all);
	memset(p, 0, sizeof(*p));
}

struct batch *batch_get(struct batch_pool *p)
{
	struct batch *b = p->free;
	uint8_t *buf;

	if (!b)
		return NULL;
	p->free = b->next;
	p->used++;
	buf = b->buf;
	*b = (struct batch){.buf = buf};
	return b;
}

void batch_put(struct batch_pool *p, struct batch *b)
{
	assert(p->used > 0);
	b->next = p->free;
	p->free = b;
	p->used--;
}

void batch_pool_trim(struct batch_pool *p)
{
	for (struct batch *b = p->free; b; b = b->next)
		(void)madvise(b->buf, BATCH_STRIDE, MADV_DONTNEED);
}

void backlog_init(struct backlog *l, size_t peer_bytes)
{
	memset(l, 0, sizeof(*l));
	l->peer_bytes = peer_bytes;
}

/* A linear search: this runs only while a socket is full, over the peers that wait for it. */
static struct backlog_queue *queue_of(struct backlog *l, const struct batch *b)
{
	for (unsigned i = 0; i < l->count; i++) {
		if (l->q[i].peer == b->peer)
			return &l->q[i];
	}
	return NULL;
}

bool backlog_add(struct backlog *l, struct batch *b)
{
	struct backlog_queue *q = queue_of(l, b);

	if (!q) {
		if (l->count == BACKLOG_QUEUES)
			return false;
		q = &l->q[l->count++];
		*q = (struct backlog_queue){.peer = b->peer};
	}
	b->next = NULL;
	if (q->tail)
		q->tail->next = b;
	else
		q->head = b;
	q->tail = b;
	q->bytes += batch_left(b);
	return true;
}

/* Take the oldest out of queue @i; an emptied queue is replaced by the last one. */
static struct batch *take(struct backlog *l, unsigned i)
{
	struct backlog_queue *q = &l->q[i];
	struct batch *b = q->head;

	q->head = b->next;
	q->bytes -= batch_left(b);
	b->next = NULL;
	if (!q->head) {
		assert(q->bytes == 0);
		*q = l->q[--l->count];
		if (l->turn >= l->count)
			l->turn = 0;
	}
	return b;
}

struct batch *backlog_over(struct backlog *l, const struct batch *added)
{
	struct backlog_queue *q = queue_of(l, added);

	if (!q || q->bytes <= l->peer_bytes || q->head == added)
		return NULL;
	return take(l, (unsigned)(q - l->q));
}

struct batch *backlog_steal(struct backlog *l)
{
	unsigned longest = 0;

	if (l->count == 0)
		return NULL;
	for (unsigned i = 1; i < l->count; i++) {
		if (l->q[i].bytes > l->q[longest].bytes)
			longest = i;
	}
	return take(l, longest);
}

struct batch *backlog_peek(const struct backlog *l)
{
	return l->count ? l->q[l->turn].head : NULL;
}

void backlog_sent(struct backlog *l, size_t bytes)
{
	assert(l->count && l->q[l->turn].bytes >= bytes);
	l->q[l->turn].bytes -= bytes;
}

struct batch *backlog_pop(struct backlog *l)
{
	unsigned before = l->count, turn = l->turn;
	struct batch *b = take(l, turn);

	/* A queue that ended was replaced by the last one, whose turn it is then. */
	if (l->count == before)
		l->turn = (turn + 1) % l->count;
	return b;
}
