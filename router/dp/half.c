/* half.c - see half.h. */
#include "half.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include "weft/err.h"

#define TABLE_BYTES (sizeof(struct half_slot) * HALF_SETS * HALF_WAYS)
#define ECN_MASK    3
#define ECN_CE      3

int half_init(struct half_table *t)
{
	*t = (struct half_table){0};
	t->slot = mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->slot == MAP_FAILED) {
		t->slot = NULL;
		return ERR_NOMEM;
	}
	return 0;
}

void half_fini(struct half_table *t)
{
	if (t->slot)
		munmap(t->slot, TABLE_BYTES);
	t->slot = NULL;
}

/* The place of the packet that @h belongs to; else one for it, the oldest of its set. */
static struct half_slot *slot_of(struct half_table *t, const struct half_in *h, uint64_t first)
{
	/* Indexes are random, so their low bits spread. */
	struct half_slot *set = &t->slot[h->index % HALF_SETS * HALF_WAYS], *oldest = set;

	for (unsigned i = 0; i < HALF_WAYS; i++) {
		struct half_slot *s = &set[i];

		if (s->at_ns && s->index == h->index && s->lane == h->lane && s->first == first)
			return s;
		if (s->at_ns < oldest->at_ns)
			oldest = s;
	}
	if (oldest->at_ns) {
		oldest->at_ns = 0;
		t->lost++;
	}
	return oldest;
}

static void keep(struct half_slot *s, const struct half_in *h, uint64_t first, uint64_t now_ns)
{
	s->at_ns = now_ns;
	s->first = first;
	s->index = h->index;
	s->vni = h->vni;
	s->lane = h->lane;
	s->number = h->number;
	s->inner_flags = h->inner_flags;
	s->tos = h->tos;
	s->len = (uint16_t)h->len;
	memcpy(h->number ? s->data + WIRE_HALF_MAX - h->len : s->data, h->bytes, h->len);
}

/* Whatever became of one half became of the packet: a mark of congestion on either stays (RFC 3168
 * 5.3). */
static uint8_t joined_tos(uint8_t a, uint8_t b)
{
	return (a & ECN_MASK) == ECN_CE ? a : b;
}

int half_add(struct half_table *t, const struct half_in *h, uint64_t now_ns, uint8_t **packet,
	uint8_t *tos)
{
	uint64_t first = h->counter - h->number;
	struct half_slot *s;

	if (h->number > 1 || h->counter < h->number || h->len == 0 || h->len >= WIRE_HALF_MAX)
		return ERR_MALFORMED;
	s = slot_of(t, h, first);
	/* An index may be given out again: what is too old is another key's. */
	if (s->at_ns && now_ns - s->at_ns > HALF_NS) {
		s->at_ns = 0;
		t->lost++;
	}
	if (!s->at_ns) {
		keep(s, h, first, now_ns);
		return 0;
	}
	s->at_ns = 0;
	if (s->number == h->number || s->vni != h->vni || s->inner_flags != h->inner_flags ||
		s->len + h->len > WIRE_HALF_MAX)
		return ERR_MALFORMED;
	if (h->number == 0) {
		memmove(s->data + h->len, s->data + WIRE_HALF_MAX - s->len, s->len);
		memcpy(s->data, h->bytes, h->len);
	} else {
		memcpy(s->data + s->len, h->bytes, h->len);
	}
	*packet = s->data;
	*tos = joined_tos(s->tos, h->tos);
	return (int)(s->len + h->len);
}
