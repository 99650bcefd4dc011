/* bgp_intern.c - the table of attribute sets: a chained hash over their canonical bytes.
 *
 * Thousands of prefixes share a set, so it is encoded, hashed and parsed once. The hash is SipHash
 * with the core's key: peers choose the bytes. Reference counted; what nobody holds is freed soon. The
 * table grows by splitting one bucket after the other (linear hashing, as rib.c); if there is no memory
 * for that it goes on with longer chains. */
#include "bgp_intern.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "map.h"

#define CAP_MIN      64
#define SPLIT        16 /* buckets at a time */
#define WIRE_MAX     BGP_MSG_EXT_MAX
#define NH_MAX       32
#define ORIGIN_BYTES 4

int attr_table_init(struct attr_table *t, const uint8_t seed[16])
{
	*t = (struct attr_table){.cap = CAP_MIN, .room = CAP_MIN};
	memcpy(t->seed, seed, sizeof(t->seed));
	t->buckets = calloc(t->cap, sizeof(*t->buckets));
	return t->buckets ? 0 : ERR_NOMEM;
}

static struct attr_set **bucket_of(const struct attr_table *t, uint32_t hash)
{
	size_t i = hash & (t->cap - 1);

	return &t->buckets[i < t->split ? hash & (2 * t->cap - 1) : i];
}

static size_t size_of(const struct attr_set *s)
{
	return offsetof(struct attr_set, data) + s->nh_len + s->wire_len;
}

/* Free what nobody holds any more. */
static void reap(struct attr_table *t)
{
	for (unsigned i = 0; i < t->ndead; i++) {
		struct attr_set *s = t->dead[i], **at;

		s->flags &= (uint8_t)~SET_DEAD;
		if (s->refs > 0)
			continue;
		for (at = bucket_of(t, s->hash); *at != s; at = &(*at)->hnext)
			assert(*at);
		*at = s->hnext;
		free(s);
	}
	t->ndead = 0;
}

void attr_table_fini(struct attr_table *t)
{
	reap(t);
	assert(t->count == 0);
	free(t->buckets);
	*t = (struct attr_table){0};
}

/* Room for twice as many; what is not used of it yet is not touched. */
static bool make_room(struct attr_table *t)
{
	struct attr_set **b;

	if (t->room > t->cap)
		return true;
	b = calloc(2 * t->room, sizeof(*b));
	if (!b)
		return false;
	memcpy(b, t->buckets, t->cap * sizeof(*b));
	free(t->buckets);
	t->buckets = b;
	t->room *= 2;
	return true;
}

/* Split the next bucket. */
static void split_one(struct attr_table *t)
{
	struct attr_set *s = t->buckets[t->split], *next, **to;

	t->buckets[t->split++] = NULL;
	for (; s; s = next) {
		next = s->hnext;
		to = bucket_of(t, s->hash);
		s->hnext = *to;
		*to = s;
	}
}

/* Split the next few, so that nobody waits for the whole table to be moved, and their waits for memory
 * overlap. */
static void grow(struct attr_table *t)
{
	_Static_assert(CAP_MIN % SPLIT == 0, "a round of splits ends with the table");
	if (!make_room(t))
		return;
	for (size_t i = 0; i < SPLIT; i++)
		__builtin_prefetch(t->buckets[t->split + i]);
	for (size_t i = 0; i < SPLIT; i++)
		split_one(t);
	if (t->split == t->cap) {
		t->cap *= 2;
		t->split = 0;
	}
}

static unsigned put_next_hop(const struct bgp_attrs *a, uint8_t *out)
{
	unsigned n = ip_bits(&a->next_hop) / 8;

	memcpy(out, a->next_hop.b, n);
	if (n == 16 && a->next_hop_ll.family == IP_V6) {
		memcpy(out + 16, a->next_hop_ll.b, 16);
		n = 32;
	}
	return n;
}

/* What the decision process and the export rules look at. */
static void derive(struct attr_set *s)
{
	struct bgp_attrs a;

	attr_view(s, &a);
	s->med = a.has & BGP_HAS_MED ? a.med : 0; /* RFC 4271 9.1.2.2 c: absent is lowest */
	s->local_pref = a.has & BGP_HAS_LOCAL_PREF ? a.local_pref : 100;
	s->flags |= a.has & BGP_HAS_ORIGINATOR ? SET_ORIGINATOR : 0;
	s->path_len = (uint16_t)bgp_attrs_path_len(&a);
	s->origin = a.origin;
	s->clusters = (uint8_t)(a.cluster_list.len / 4 > 255 ? 255 : a.cluster_list.len / 4);
	if (bgp_attrs_has_community(&a, BGP_COMM_NO_EXPORT) ||
		bgp_attrs_has_community(&a, BGP_COMM_NO_EXPORT_SUBCONFED))
		s->flags |= SET_NO_EXPORT;
	if (bgp_attrs_has_community(&a, BGP_COMM_NO_ADVERTISE))
		s->flags |= SET_NO_ADVERTISE;
	if (bgp_attrs_has_community(&a, BGP_COMM_GRACEFUL_SHUTDOWN))
		s->flags |= SET_GSHUT;
}

int attr_intern(struct attr_table *t, const struct bgp_attrs *a, struct attr_set **out)
{
	uint8_t buf[NH_MAX + WIRE_MAX];
	unsigned nh_len = put_next_hop(a, buf);
	struct attr_set *s, **at;
	uint32_t hash;
	size_t len;
	struct wr w;

	wr_init(&w, buf + nh_len, WIRE_MAX);
	bgp_attrs_encode(&w, a);
	if (wr_bad(&w))
		return ERR_FULL;
	len = nh_len + wr_len(&w);
	hash = (uint32_t)map_siphash(t->seed, buf, len);
	for (s = *bucket_of(t, hash); s; s = s->hnext)
		if (s->hash == hash && s->nh_len == nh_len && s->wire_len == wr_len(&w) &&
			memcmp(s->data, buf, len) == 0) {
			if (s->refs == 0) {
				t->count++;
				t->bytes += size_of(s);
			}
			*out = attr_hold(s);
			return 0;
		}
	s = malloc(offsetof(struct attr_set, data) + len);
	if (!s)
		return ERR_NOMEM;
	memset(s, 0, offsetof(struct attr_set, data));
	s->hash = hash;
	s->refs = 1;
	s->nh_len = (uint8_t)nh_len;
	s->wire_len = (uint16_t)wr_len(&w);
	memcpy(s->data, buf, len);
	derive(s);
	if (t->count >= t->cap + t->split)
		grow(t);
	at = bucket_of(t, hash);
	s->hnext = *at;
	*at = s;
	t->count++;
	t->bytes += size_of(s);
	*out = s;
	return 0;
}

void attr_put(struct attr_table *t, struct attr_set *s)
{
	if (!s)
		return;
	assert(s->refs > 0);
	if (--s->refs > 0)
		return;
	assert(!s->last_out);
	t->count--;
	t->bytes -= size_of(s);
	if (s->flags & SET_DEAD)
		return;
	s->flags |= SET_DEAD;
	__builtin_prefetch(bucket_of(t, s->hash));
	t->dead[t->ndead++] = s;
	if (t->ndead == ATTR_DEAD)
		reap(t);
}

/* AS_PATH stands behind ORIGIN, always (bgp_attrs_encode); asked for each candidate of a decision. */
uint32_t attr_first_as(const struct attr_set *s)
{
	const uint8_t *p = attr_wire(s) + ORIGIN_BYTES, *seg;
	bool extended = p[0] & AF_EXTENDED;
	size_t n = extended ? (size_t)(p[2] << 8 | p[3]) : p[2];

	seg = p + (extended ? 4 : 3);
	assert(p[1] == AT_AS_PATH && seg + n <= attr_wire(s) + s->wire_len);
	if (n < 6 || seg[0] != SEG_SEQUENCE)
		return 0;
	return (uint32_t)seg[2] << 24 | (uint32_t)seg[3] << 16 | (uint32_t)seg[4] << 8 | seg[5];
}

uint32_t attr_originator(const struct attr_set *s)
{
	struct bgp_attrs a;

	attr_view(s, &a);
	return a.originator_id;
}

void attr_next_hop(const struct attr_set *s, struct ip *nh)
{
	*nh = s->nh_len == 4 ? ip_v4_bytes(s->data)
	      : s->nh_len    ? ip_v6_bytes(s->data)
			     : (struct ip){0};
}

void attr_view(const struct attr_set *s, struct bgp_attrs *a)
{
	bgp_attrs_view(attr_wire(s), s->wire_len, a);
	attr_next_hop(s, &a->next_hop);
	if (s->nh_len == 32)
		a->next_hop_ll = ip_v6_bytes(s->data + 16);
}
