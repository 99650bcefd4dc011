/* bgp_attr_out.c - attributes to the wire, readers of attributes, and edits.
 *
 * The form that bgp_attrs_encode() writes is canonical: attributes in type order, each at most once,
 * so that equal attributes are equal bytes. Interned sets (bgp_intern.c) hold these bytes, and an
 * UPDATE is a copy of them with the next hop put in its place. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_attr.h"

void bgp_attr_header(struct wr *w, unsigned flags, unsigned type, size_t len)
{
	bool extended = len > 255;

	wr_u8(w, (uint8_t)(flags | (extended ? AF_EXTENDED : 0)));
	wr_u8(w, (uint8_t)type);
	if (extended)
		wr_u16(w, (uint16_t)len);
	else
		wr_u8(w, (uint8_t)len);
}

uint32_t bgp_attr_partial(unsigned type)
{
	switch (type) {
	case AT_AGGREGATOR:
		return BGP_PARTIAL_AGGREGATOR;
	case AT_COMMUNITIES:
		return BGP_PARTIAL_COMM;
	case AT_EXT_COMMUNITIES:
		return BGP_PARTIAL_EXT;
	case AT_LARGE_COMMUNITIES:
		return BGP_PARTIAL_LARGE;
	case AT_OTC:
		return BGP_PARTIAL_OTC;
	default:
		return 0;
	}
}

/* Flags of an optional transitive attribute. */
static unsigned travels(const struct bgp_attrs *a, unsigned type)
{
	return AF_OPTIONAL | AF_TRANSITIVE | (a->has & bgp_attr_partial(type) ? AF_PARTIAL : 0);
}

static void put_span(struct wr *w, unsigned flags, unsigned type, struct bgp_span s)
{
	if (!s.len)
		return;
	bgp_attr_header(w, flags, type, s.len);
	wr_copy(w, s.p, s.len);
}

static void put_u32(struct wr *w, unsigned flags, unsigned type, uint32_t v)
{
	bgp_attr_header(w, flags, type, 4);
	wr_u32(w, v);
}

void bgp_attrs_encode(struct wr *w, const struct bgp_attrs *a)
{
	if (a->has & BGP_HAS_ORIGIN) {
		bgp_attr_header(w, AF_TRANSITIVE, AT_ORIGIN, 1);
		wr_u8(w, a->origin);
	}
	if (a->has & BGP_HAS_AS_PATH) {
		bgp_attr_header(w, AF_TRANSITIVE, AT_AS_PATH, a->as_path.len);
		wr_copy(w, a->as_path.p, a->as_path.len);
	}
	if (a->has & BGP_HAS_MED)
		put_u32(w, AF_OPTIONAL, AT_MED, a->med);
	if (a->has & BGP_HAS_LOCAL_PREF)
		put_u32(w, AF_TRANSITIVE, AT_LOCAL_PREF, a->local_pref);
	if (a->has & BGP_HAS_ATOMIC)
		bgp_attr_header(w, AF_TRANSITIVE, AT_ATOMIC, 0);
	if (a->has & BGP_HAS_AGGREGATOR) {
		bgp_attr_header(w, travels(a, AT_AGGREGATOR), AT_AGGREGATOR, 8);
		wr_u32(w, a->aggregator_as);
		wr_u32(w, a->aggregator_id);
	}
	put_span(w, travels(a, AT_COMMUNITIES), AT_COMMUNITIES, a->communities);
	if (a->has & BGP_HAS_ORIGINATOR)
		put_u32(w, AF_OPTIONAL, AT_ORIGINATOR, a->originator_id);
	put_span(w, AF_OPTIONAL, AT_CLUSTER_LIST, a->cluster_list);
	put_span(w, travels(a, AT_EXT_COMMUNITIES), AT_EXT_COMMUNITIES, a->ext_communities);
	put_span(w, travels(a, AT_LARGE_COMMUNITIES), AT_LARGE_COMMUNITIES, a->large_communities);
	if (a->has & BGP_HAS_OTC)
		put_u32(w, travels(a, AT_OTC), AT_OTC, a->otc);
	wr_copy(w, a->unknown.p, a->unknown.len);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Our own bytes: lengths were checked when they were read first. */
void bgp_attrs_view(const uint8_t *wire, size_t len, struct bgp_attrs *a)
{
	const uint8_t *p = wire, *end = wire + len;

	memset(a, 0, sizeof(*a));
	while (p < end) {
		const uint8_t *start = p, *v;
		bool extended = p[0] & AF_EXTENDED;
		uint16_t n = extended ? (uint16_t)(p[2] << 8 | p[3]) : p[2];
		struct bgp_span s = {.p = p + (extended ? 4 : 3), .len = n};

		v = s.p;
		p = v + n;
		assert(p <= end);
		if (start[0] & AF_PARTIAL)
			a->has |= bgp_attr_partial(start[1]);
		switch (start[1]) {
		case AT_ORIGIN:
			a->has |= BGP_HAS_ORIGIN;
			a->origin = v[0];
			break;
		case AT_AS_PATH:
			a->has |= BGP_HAS_AS_PATH;
			a->as_path = s;
			break;
		case AT_MED:
			a->has |= BGP_HAS_MED;
			a->med = be32(v);
			break;
		case AT_LOCAL_PREF:
			a->has |= BGP_HAS_LOCAL_PREF;
			a->local_pref = be32(v);
			break;
		case AT_ATOMIC:
			a->has |= BGP_HAS_ATOMIC;
			break;
		case AT_AGGREGATOR:
			a->has |= BGP_HAS_AGGREGATOR;
			a->aggregator_as = be32(v);
			a->aggregator_id = be32(v + 4);
			break;
		case AT_COMMUNITIES:
			a->communities = s;
			break;
		case AT_ORIGINATOR:
			a->has |= BGP_HAS_ORIGINATOR;
			a->originator_id = be32(v);
			break;
		case AT_CLUSTER_LIST:
			a->cluster_list = s;
			break;
		case AT_EXT_COMMUNITIES:
			a->ext_communities = s;
			break;
		case AT_LARGE_COMMUNITIES:
			a->large_communities = s;
			break;
		case AT_OTC:
			a->has |= BGP_HAS_OTC;
			a->otc = be32(v);
			break;
		default: /* unknown ones stand last */
			a->unknown = (struct bgp_span){.p = start, .len = (uint16_t)(end - start)};
			return;
		}
	}
}

size_t bgp_path_narrow(const uint8_t *p, size_t len, uint8_t *out, bool *exact)
{
	uint8_t *o = out;

	*exact = true;
	for (size_t i = 0; i < len;) {
		unsigned n = p[i + 1];

		*o++ = p[i];
		*o++ = (uint8_t)n;
		for (i += 2; n-- > 0; i += 4) {
			uint32_t as = be32(p + i);

			if (as > UINT16_MAX) {
				as = BGP_AS_TRANS;
				*exact = false;
			}
			*o++ = (uint8_t)(as >> 8);
			*o++ = (uint8_t)as;
		}
	}
	return (size_t)(o - out);
}

static const uint8_t list_width[] = {
	[BGP_LIST_COMMUNITY] = 4, [BGP_LIST_EXT] = 8, [BGP_LIST_LARGE] = 12};

static struct bgp_span *list_of(struct bgp_attrs *a, enum bgp_list list)
{
	return list == BGP_LIST_COMMUNITY ? &a->communities
	       : list == BGP_LIST_EXT     ? &a->ext_communities
					  : &a->large_communities;
}

/* Where @value is in the list, or -1. */
static int find_value(const struct bgp_span *s, unsigned width, const uint8_t *value)
{
	for (unsigned i = 0; i + width <= s->len; i += width)
		if (memcmp(s->p + i, value, width) == 0)
			return (int)i;
	return -1;
}

bool bgp_attrs_has(const struct bgp_attrs *a, enum bgp_list list, const uint8_t *value)
{
	struct bgp_attrs copy = *a;

	return find_value(list_of(&copy, list), list_width[list], value) >= 0;
}

bool bgp_attrs_has_community(const struct bgp_attrs *a, uint32_t community)
{
	for (unsigned i = 0; i + 4 <= a->communities.len; i += 4)
		if (be32(a->communities.p + i) == community)
			return true;
	return false;
}

bool bgp_attrs_has_rt(const struct bgp_attrs *a, const uint8_t rt[8])
{
	return find_value(&a->ext_communities, 8, rt) >= 0;
}

unsigned bgp_attrs_path_count(const struct bgp_attrs *a, uint32_t as)
{
	const uint8_t *p = a->as_path.p;
	unsigned n = 0;

	for (unsigned i = 0; i < a->as_path.len; i += 2 + 4u * p[i + 1])
		for (unsigned k = 0; k < p[i + 1]; k++)
			n += be32(p + i + 2 + 4 * k) == as;
	return n;
}

bool bgp_attrs_path_has(const struct bgp_attrs *a, uint32_t as)
{
	return bgp_attrs_path_count(a, as) > 0;
}

unsigned bgp_attrs_path_len(const struct bgp_attrs *a)
{
	const uint8_t *p = a->as_path.p;
	unsigned n = 0;

	for (unsigned i = 0; i < a->as_path.len; i += 2 + 4u * p[i + 1])
		n += p[i] == SEG_SET ? 1 : p[i + 1];
	return n;
}

uint32_t bgp_attrs_first_as(const struct bgp_attrs *a)
{
	const uint8_t *p = a->as_path.p;

	return a->as_path.len && p[0] == SEG_SEQUENCE ? be32(p + 2) : 0;
}

uint32_t bgp_attrs_origin_as(const struct bgp_attrs *a)
{
	const uint8_t *p = a->as_path.p;
	uint32_t last = 0;

	for (unsigned i = 0; i < a->as_path.len; i += 2 + 4u * p[i + 1])
		last = p[i] == SEG_SEQUENCE ? be32(p + i + 2 + 4u * (p[i + 1] - 1u)) : 0;
	return last;
}

char *bgp_attrs_path_fmt(const struct bgp_attrs *a, char *out, size_t cap)
{
	const uint8_t *p = a->as_path.p;
	size_t n = 0;

	assert(cap >= 8);
	out[0] = '\0';
	for (unsigned i = 0; i < a->as_path.len; i += 2 + 4u * p[i + 1]) {
		bool set = p[i] == SEG_SET;

		for (unsigned k = 0; k < p[i + 1]; k++) {
			char one[24];
			size_t len = (size_t)snprintf(one, sizeof(one), "%s%s%u%s", n ? " " : "",
				set && k == 0 ? "{" : "", be32(p + i + 2 + 4 * k),
				set && k + 1 == p[i + 1] ? "}" : "");

			if (n + len + 4 > cap) {
				memcpy(out + n, "...", 4);
				return out;
			}
			memcpy(out + n, one, len + 1);
			n += len;
		}
	}
	return out;
}

void bgp_edit_init(struct bgp_edit *e, const struct bgp_attrs *a)
{
	e->a = *a;
	e->changed = e->next_hop_set = e->med_set = e->overflow = false;
	e->room_used = 0;
}

/* Room for a list that changed; NULL and overflow when it would not fit an UPDATE any more. */
static uint8_t *edit_room(struct bgp_edit *e, size_t len)
{
	uint8_t *at = e->room + e->room_used;

	if (len > BGP_MSG_MAX || e->room_used + len > sizeof(e->room)) {
		e->overflow = true;
		return NULL;
	}
	e->room_used += len;
	e->changed = true;
	return at;
}

int bgp_edit_origin(struct bgp_edit *e, enum bgp_origin origin)
{
	e->a.has |= BGP_HAS_ORIGIN;
	e->a.origin = (uint8_t)origin;
	e->changed = true;
	return 0;
}

int bgp_edit_local_pref(struct bgp_edit *e, uint32_t pref)
{
	e->a.has |= BGP_HAS_LOCAL_PREF;
	e->a.local_pref = pref;
	e->changed = true;
	return 0;
}

int bgp_edit_med(struct bgp_edit *e, uint32_t med)
{
	e->a.has |= BGP_HAS_MED;
	e->a.med = med;
	e->changed = e->med_set = true;
	return 0;
}

int bgp_edit_no_med(struct bgp_edit *e)
{
	e->a.has &= ~BGP_HAS_MED;
	e->a.med = 0;
	e->changed = true;
	return 0;
}

int bgp_edit_next_hop(struct bgp_edit *e, const struct ip *nh)
{
	e->a.next_hop = *nh;
	e->a.next_hop_ll = (struct ip){0};
	e->changed = e->next_hop_set = true;
	return 0;
}

/* RFC 4271 5.1.2 b: into the first sequence while it has room, else in a segment of its own. */
int bgp_edit_prepend(struct bgp_edit *e, uint32_t as, unsigned n)
{
	const uint8_t *old = e->a.as_path.p;
	size_t old_len = e->a.as_path.len, skip = 0;
	unsigned in_seg = n;
	uint8_t *at;
	struct wr w;

	if (n > 32)
		return ERR_RANGE;
	if (n == 0)
		return 0;
	if (old_len && old[0] == SEG_SEQUENCE && old[1] + n <= 255) {
		in_seg += old[1];
		skip = 2;
	}
	at = edit_room(e, 2 + 4u * n + old_len - skip);
	if (!at)
		return ERR_FULL;
	wr_init(&w, at, 2 + 4u * n + old_len - skip);
	wr_u8(&w, SEG_SEQUENCE);
	wr_u8(&w, (uint8_t)in_seg);
	while (n-- > 0)
		wr_u32(&w, as);
	if (old_len)
		wr_copy(&w, old + skip, old_len - skip);
	e->a.as_path = (struct bgp_span){.p = at, .len = (uint16_t)wr_len(&w)};
	e->a.has |= BGP_HAS_AS_PATH;
	return 0;
}

void bgp_edit_otc(struct bgp_edit *e, uint32_t as)
{
	e->a.has |= BGP_HAS_OTC;
	e->a.otc = as;
	e->changed = true;
}

/* RFC 6996 5. */
static bool is_private(uint32_t as)
{
	return (as >= 64512 && as <= 65534) || (as >= 4200000000u && as <= 4294967294u);
}

int bgp_edit_path(struct bgp_edit *e, bool no_private, uint32_t peer, uint32_t instead)
{
	const uint8_t *old = e->a.as_path.p;
	size_t len = e->a.as_path.len;
	uint8_t *at = len ? edit_room(e, len) : NULL;
	struct wr w;

	if (!len)
		return 0;
	if (!at)
		return ERR_FULL;
	wr_init(&w, at, len);
	for (size_t i = 0; i < len; i += 2 + 4u * old[i + 1]) {
		uint8_t *head = wr_skip(&w, 2), kept = 0;

		for (unsigned k = 0; k < old[i + 1]; k++) {
			uint32_t as = be32(old + i + 2 + 4 * k);

			if (no_private && as != peer && is_private(as))
				continue;
			wr_u32(&w, as == peer && instead ? instead : as);
			kept++;
		}
		head[0] = old[i];
		head[1] = kept;
		if (!kept)
			w.p = head; /* an empty segment is none */
	}
	e->a.as_path = (struct bgp_span){.p = at, .len = (uint16_t)wr_len(&w)};
	return 0;
}

int bgp_edit_add(struct bgp_edit *e, enum bgp_list list, const uint8_t *value)
{
	struct bgp_span *s = list_of(&e->a, list);
	unsigned width = list_width[list];
	uint8_t *at;

	if (find_value(s, width, value) >= 0)
		return 0;
	at = edit_room(e, s->len + width);
	if (!at)
		return ERR_FULL;
	if (s->len)
		memcpy(at, s->p, s->len);
	memcpy(at + s->len, value, width);
	*s = (struct bgp_span){.p = at, .len = (uint16_t)(s->len + width)};
	return 0;
}

int bgp_edit_del(struct bgp_edit *e, enum bgp_list list, const uint8_t *value)
{
	struct bgp_span *s = list_of(&e->a, list);
	unsigned width = list_width[list];
	uint16_t len = 0;
	uint8_t *at;

	if (find_value(s, width, value) < 0)
		return 0;
	at = edit_room(e, s->len);
	if (!at)
		return ERR_FULL;
	for (unsigned i = 0; i < s->len; i += width) {
		if (memcmp(s->p + i, value, width) == 0)
			continue;
		memcpy(at + len, s->p + i, width);
		len = (uint16_t)(len + width);
	}
	*s = (struct bgp_span){.p = at, .len = len};
	return 0;
}

int bgp_edit_list(struct bgp_edit *e, enum bgp_list list, bgp_drop_fn drop, void *ctx,
	const uint8_t *add, size_t n)
{
	struct bgp_span *s = list_of(&e->a, list), out = {0};
	unsigned width = list_width[list];
	bool same = true;
	uint8_t *at;

	for (unsigned i = 0; drop && same && i < s->len; i += width)
		same = !drop(ctx, s->p + i);
	for (size_t i = 0; same && i < n; i++)
		same = find_value(s, width, add + i * width) >= 0;
	if (same)
		return 0;
	at = edit_room(e, s->len + n * width);
	if (!at)
		return ERR_FULL;
	out.p = at;
	for (unsigned i = 0; i < s->len; i += width) {
		if (drop && drop(ctx, s->p + i))
			continue;
		memcpy(at + out.len, s->p + i, width);
		out.len = (uint16_t)(out.len + width);
	}
	for (size_t i = 0; i < n; i++) {
		if (find_value(&out, width, add + i * width) >= 0)
			continue;
		memcpy(at + out.len, add + i * width, width);
		out.len = (uint16_t)(out.len + width);
	}
	*s = out;
	return 0;
}

int bgp_edit_clear(struct bgp_edit *e, enum bgp_list list)
{
	*list_of(&e->a, list) = (struct bgp_span){0};
	e->changed = true;
	return 0;
}

int bgp_edit_reflect(struct bgp_edit *e, uint32_t originator, uint32_t cluster)
{
	struct bgp_span old = e->a.cluster_list;
	uint8_t *at = edit_room(e, old.len + 4u);
	struct wr w;

	if (!at)
		return ERR_FULL;
	wr_init(&w, at, old.len + 4u);
	wr_u32(&w, cluster);
	wr_copy(&w, old.p, old.len);
	e->a.cluster_list = (struct bgp_span){.p = at, .len = (uint16_t)wr_len(&w)};
	if (!(e->a.has & BGP_HAS_ORIGINATOR)) {
		e->a.has |= BGP_HAS_ORIGINATOR;
		e->a.originator_id = originator;
	}
	return 0;
}
