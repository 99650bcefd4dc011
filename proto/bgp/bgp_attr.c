/* bgp_attr.c - path attributes from the wire.
 *
 * One table row for each attribute type: the flags it must have and its reader. A reader gets the
 * value alone, in a reader cut to its length, and answers with what RFC 7606 wants: nothing, discard
 * the attribute, treat the UPDATE as a withdrawal, or reset the session. The worst answer of a
 * message stands; decoding goes on after all but a reset, since a later attribute may hold NLRI that
 * have to be withdrawn.
 *
 * Bounds: a message is at most 65535 bytes (RFC 8654); everything derived from it fits bgp_attr_in.room. */
#include "bgp_attr.h"
#include <assert.h>
#include <string.h>
#include "weft/err.h"

void bgp_attr_fault(
	struct bgp_attr_in *in, enum bgp_fix fix, unsigned subcode, const void *data, size_t n)
{
	if (fix == FIX_DISCARD)
		in->discarded++;
	if (fix <= in->fix)
		return;
	in->fix = fix;
	bgp_error_set(&in->err, NOTIFY_UPDATE, subcode, data, n);
	in->err.word = in->word;
}

/* A path longer than that (4,000 ASes) is nobody's; twice its size still has a 16-bit length. */
#define PATH_BYTES_MAX (4 * BGP_MSG_MAX)

static struct bgp_span span_of(struct rd *v)
{
	struct bgp_span s = {.p = v->p, .len = (uint16_t)rd_left(v)};

	rd_take(v, s.len);
	return s;
}

/* RFC 7606 7.1. */
static enum bgp_fix get_origin(struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	in->a.origin = rd_u8(v);
	if (!rd_done(v) || in->a.origin > BGP_ORIGIN_INCOMPLETE)
		return FIX_WITHDRAW;
	in->a.has |= BGP_HAS_ORIGIN;
	return FIX_NONE;
}

bool bgp_path_ok(const uint8_t *p, size_t len, unsigned width)
{
	struct rd r;

	rd_init(&r, p, len);
	while (rd_left(&r)) {
		uint8_t type = rd_u8(&r), n = rd_u8(&r);

		/* Confederation segments have no place here: RFC 5065 5.3. */
		if ((type != SEG_SET && type != SEG_SEQUENCE) || n == 0)
			return false;
		while (n-- > 0)
			if ((width == 4 ? rd_u32(&r) : rd_u16(&r)) == 0)
				return false; /* RFC 7607 2; also what a short read gives */
	}
	return rd_done(&r);
}

bool bgp_path_has_confed(const uint8_t *p, size_t len, unsigned width)
{
	struct rd r;

	rd_init(&r, p, len);
	while (rd_left(&r)) {
		uint8_t type = rd_u8(&r), n = rd_u8(&r);

		if (type == SEG_CONFED_SEQUENCE || type == SEG_CONFED_SET)
			return true;
		if ((type != SEG_SET && type != SEG_SEQUENCE) || !rd_take(&r, (size_t)width * n))
			return false;
	}
	return false;
}

bool bgp_path_has_set(const uint8_t *p, size_t len, unsigned width)
{
	for (size_t i = 0; i < len; i += 2 + (size_t)width * p[i + 1])
		if (p[i] == SEG_SET)
			return true;
	return false;
}

/* Widen a path of 2-octet numbers into in->room. */
static struct bgp_span widen(struct bgp_attr_in *in, const uint8_t *p, size_t len)
{
	struct wr w;
	struct rd r;

	wr_init(&w, in->room + in->room_used, sizeof(in->room) - in->room_used);
	rd_init(&r, p, len);
	while (rd_left(&r)) {
		uint8_t n;

		wr_u8(&w, rd_u8(&r));
		n = rd_u8(&r);
		wr_u8(&w, n);
		while (n-- > 0)
			wr_u32(&w, rd_u16(&r));
	}
	assert(!wr_bad(&w) && rd_done(&r));
	in->room_used += wr_len(&w);
	return (struct bgp_span){.p = w.start, .len = (uint16_t)wr_len(&w)};
}

/* What a path may not have, told with a remedy. */
static const char word_confed[] =
	"confederations (RFC 5065) are not spoken; let the neighbour take this AS out of its own";
static const char word_set[] = "an AS_SET (RFC 9774); let its origin aggregate without one";

/* FIX_NONE; FIX_DISCARD: it makes no sense; FIX_WITHDRAW: it has a set, which says nothing that could be
 * checked (RFC 9774 3). */
static enum bgp_fix judge_path(struct bgp_attr_in *in, struct bgp_span s, unsigned width)
{
	if (!bgp_path_ok(s.p, s.len, width)) {
		if (bgp_path_has_confed(s.p, s.len, width))
			in->word = word_confed;
		return FIX_DISCARD;
	}
	if (!bgp_path_has_set(s.p, s.len, width))
		return FIX_NONE;
	in->word = word_set;
	return FIX_WITHDRAW;
}

/* RFC 7606 7.2. */
static enum bgp_fix get_as_path(struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	struct bgp_span s = span_of(v);

	unsigned width = from->as4 ? 4 : 2;

	if (judge_path(in, s, width) != FIX_NONE)
		return FIX_WITHDRAW;
	if (s.len > PATH_BYTES_MAX)
		return FIX_WITHDRAW;
	in->a.as_path = from->as4 ? s : widen(in, s.p, s.len);
	in->a.has |= BGP_HAS_AS_PATH;
	return FIX_NONE;
}

/* RFC 4271 6.3: a host's address; RFC 7606 7.3. */
static bool next_hop_ok(const struct ip *nh)
{
	return !ip_is_unspecified(nh) && !ip_is_loopback(nh) && !ip_is_multicast(nh) &&
	       !(nh->family == IP_V4 && (nh->b[0] == 0 || nh->b[0] >= 240));
}

static enum bgp_fix get_next_hop(struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	uint8_t b[4];

	rd_copy(v, b, sizeof(b));
	if (!rd_done(v))
		return FIX_WITHDRAW;
	in->a.next_hop = ip_v4_bytes(b);
	return next_hop_ok(&in->a.next_hop) ? FIX_NONE : FIX_WITHDRAW;
}

/* RFC 7606 7.4. */
static enum bgp_fix get_med(struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	in->a.med = rd_u32(v);
	if (!rd_done(v))
		return FIX_WITHDRAW;
	in->a.has |= BGP_HAS_MED;
	return FIX_NONE;
}

/* RFC 7606 7.5: from outside it is discarded whatever it holds. */
static enum bgp_fix get_local_pref(
	struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	if (from->ebgp)
		return FIX_DISCARD;
	in->a.local_pref = rd_u32(v);
	if (!rd_done(v))
		return FIX_WITHDRAW;
	in->a.has |= BGP_HAS_LOCAL_PREF;
	return FIX_NONE;
}

/* RFC 7606 7.6. */
static enum bgp_fix get_atomic(struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	if (!rd_done(v))
		return FIX_DISCARD;
	in->a.has |= BGP_HAS_ATOMIC;
	return FIX_NONE;
}

/* RFC 7606 7.7. */
static enum bgp_fix get_aggregator(
	struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	uint32_t as = from->as4 ? rd_u32(v) : rd_u16(v), id = rd_u32(v);

	if (!rd_done(v) || as == 0) /* RFC 7607 2 */
		return FIX_DISCARD;
	in->a.aggregator_as = as;
	in->a.aggregator_id = id;
	in->a.has |= BGP_HAS_AGGREGATOR;
	return FIX_NONE;
}

static enum bgp_fix get_list(struct rd *v, unsigned each, struct bgp_span *out)
{
	size_t len = rd_left(v);

	if (len == 0 || len % each)
		return FIX_WITHDRAW;
	*out = span_of(v);
	return FIX_NONE;
}

/* RFC 7606 7.8. */
static enum bgp_fix get_communities(
	struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	return get_list(v, 4, &in->a.communities);
}

/* RFC 7606 7.9. */
static enum bgp_fix get_originator(
	struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	if (from->ebgp)
		return FIX_DISCARD;
	in->a.originator_id = rd_u32(v);
	if (!rd_done(v))
		return FIX_WITHDRAW;
	in->a.has |= BGP_HAS_ORIGINATOR;
	return FIX_NONE;
}

/* RFC 7606 7.10. */
static enum bgp_fix get_cluster_list(
	struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	return from->ebgp ? FIX_DISCARD : get_list(v, 4, &in->a.cluster_list);
}

/* A next hop of MP_REACH_NLRI: an RD of zero in front in VPN families, a link-local one behind a
 * global IPv6 one (RFC 2545 3); an IPv6 one of IPv4 routes where that was agreed (RFC 8950 4). On a
 * link without global addresses speakers put the link-local one, or none, in the first place. */
static bool mp_next_hop(
	struct rd *nh, unsigned family, const struct bgp_from *from, struct bgp_attr_in *in)
{
	unsigned rd_len = bgp_family_vpn(family) ? 8 : 0, addr_len = bgp_family_bits(family) / 8;
	size_t len = rd_left(nh);
	uint8_t b[16];

	if (family == BGP_IPV4 && from->v4_over_v6 && len >= 16)
		addr_len = 16;
	if (len != rd_len + addr_len && !(addr_len == 16 && len == 2 * (rd_len + addr_len)))
		return false;
	rd_take(nh, rd_len);
	rd_copy(nh, b, addr_len);
	in->reach_next_hop = addr_len == 4 ? ip_v4_bytes(b) : ip_v6_bytes(b);
	if (rd_left(nh)) {
		rd_take(nh, rd_len);
		rd_copy(nh, b, 16);
		in->reach_next_hop_ll = ip_v6_bytes(b);
		if (!ip_is_link_local(&in->reach_next_hop_ll)) {
			in->reach_next_hop_ll = (struct ip){0};
		} else if (ip_is_unspecified(&in->reach_next_hop) ||
			   ip_is_link_local(&in->reach_next_hop)) {
			in->reach_next_hop = in->reach_next_hop_ll;
			in->reach_next_hop_ll = (struct ip){0};
		}
	}
	return rd_done(nh);
}

/* RFC 4760 3, 7606 7.11: what can't be read resets the session, since it may hide NLRI. */
static enum bgp_fix get_mp_reach(struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	uint16_t afi = rd_u16(v);
	int family = bgp_family_of(afi, rd_u8(v));
	struct rd nh = rd_sub(v, rd_u8(v));

	rd_u8(v); /* reserved */
	if (rd_bad(v))
		return FIX_RESET;
	in->reach = (struct bgp_mp){.present = true, .family = -1, .nlri = v->p, .len = rd_left(v)};
	rd_take(v, rd_left(v));
	if (family < 0 || !(from->families & BGP_FAM(family)))
		return FIX_DISCARD;
	in->reach.family = family;
	in->reach.add_path = from->add_path & BGP_FAM(family);
	if (!mp_next_hop(&nh, (unsigned)family, from, in))
		return FIX_RESET;
	return next_hop_ok(&in->reach_next_hop) ? FIX_NONE : FIX_WITHDRAW;
}

/* RFC 4760 4, 7606 7.12. */
static enum bgp_fix get_mp_unreach(
	struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	uint16_t afi = rd_u16(v);
	int family = bgp_family_of(afi, rd_u8(v));

	if (rd_bad(v))
		return FIX_RESET;
	in->unreach =
		(struct bgp_mp){.present = true, .family = -1, .nlri = v->p, .len = rd_left(v)};
	rd_take(v, rd_left(v));
	if (family < 0 || !(from->families & BGP_FAM(family)))
		return FIX_DISCARD;
	in->unreach.family = family;
	in->unreach.add_path = from->add_path & BGP_FAM(family);
	return FIX_NONE;
}

/* RFC 7606 7.14. */
static enum bgp_fix get_ext(struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	return get_list(v, 8, &in->a.ext_communities);
}

/* RFC 6793 6: from a speaker of 4-octet numbers it is discarded, and so is a malformed one. */
static enum bgp_fix get_as4_path(struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	struct bgp_span s = span_of(v);
	enum bgp_fix fix;

	if (from->as4 || s.len == 0 || s.len > PATH_BYTES_MAX)
		return FIX_DISCARD;
	fix = judge_path(in, s, 4);
	if (fix != FIX_NONE)
		return fix;
	in->as4_path = s;
	return FIX_NONE;
}

static enum bgp_fix get_as4_aggregator(
	struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	uint32_t as = rd_u32(v), id = rd_u32(v);

	if (from->as4 || !rd_done(v) || as == 0)
		return FIX_DISCARD;
	in->has_as4_aggregator = true;
	in->as4_aggregator_as = as;
	in->as4_aggregator_id = id;
	return FIX_NONE;
}

/* RFC 8092 6. */
static enum bgp_fix get_large(struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	return get_list(v, 12, &in->a.large_communities);
}

/* RFC 9234 5. */
static enum bgp_fix get_otc(struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in)
{
	in->a.otc = rd_u32(v);
	if (!rd_done(v))
		return FIX_WITHDRAW;
	in->a.has |= BGP_HAS_OTC;
	return FIX_NONE;
}

struct attr_row {
	uint8_t flags; /* of Optional and Transitive, as they must be */
	enum bgp_fix (*get)(struct rd *v, const struct bgp_from *from, struct bgp_attr_in *in);
	uint8_t subcode; /* of the NOTIFICATION, or of the line in the log */
};
#define WELL_KNOWN AF_TRANSITIVE
#define OPT_TRANS  (AF_OPTIONAL | AF_TRANSITIVE)
static const struct attr_row rows[AT_OTC + 1] = {
	[AT_ORIGIN] = {WELL_KNOWN, get_origin, UPD_ORIGIN},
	[AT_AS_PATH] = {WELL_KNOWN, get_as_path, UPD_AS_PATH},
	[AT_NEXT_HOP] = {WELL_KNOWN, get_next_hop, UPD_NEXT_HOP},
	[AT_MED] = {AF_OPTIONAL, get_med, UPD_LENGTH},
	[AT_LOCAL_PREF] = {WELL_KNOWN, get_local_pref, UPD_LENGTH},
	[AT_ATOMIC] = {WELL_KNOWN, get_atomic, UPD_LENGTH},
	[AT_AGGREGATOR] = {OPT_TRANS, get_aggregator, UPD_OPTIONAL},
	[AT_COMMUNITIES] = {OPT_TRANS, get_communities, UPD_OPTIONAL},
	[AT_ORIGINATOR] = {AF_OPTIONAL, get_originator, UPD_OPTIONAL},
	[AT_CLUSTER_LIST] = {AF_OPTIONAL, get_cluster_list, UPD_OPTIONAL},
	[AT_MP_REACH] = {AF_OPTIONAL, get_mp_reach, UPD_OPTIONAL},
	[AT_MP_UNREACH] = {AF_OPTIONAL, get_mp_unreach, UPD_OPTIONAL},
	[AT_EXT_COMMUNITIES] = {OPT_TRANS, get_ext, UPD_OPTIONAL},
	[AT_AS4_PATH] = {OPT_TRANS, get_as4_path, UPD_OPTIONAL},
	[AT_AS4_AGGREGATOR] = {OPT_TRANS, get_as4_aggregator, UPD_OPTIONAL},
	[AT_LARGE_COMMUNITIES] = {OPT_TRANS, get_large, UPD_OPTIONAL},
	[AT_OTC] = {OPT_TRANS, get_otc, UPD_OPTIONAL},
};

/* Keep an attribute that we don't know and that wants to travel, marked as partial (RFC 4271 5). */
static void keep_unknown(struct bgp_attr_in *in, uint8_t flags, uint8_t type, struct bgp_span v)
{
	uint8_t *at = in->room + in->room_used;
	struct wr w;

	/* Others in between (a widened path) would tear the run: so it is moved behind them. */
	if (in->a.unknown.len && in->a.unknown.p + in->a.unknown.len != at) {
		assert(in->room_used + in->a.unknown.len <= sizeof(in->room));
		memmove(at, in->a.unknown.p, in->a.unknown.len);
		in->a.unknown.p = at;
		in->room_used += in->a.unknown.len;
		at += in->a.unknown.len;
	}
	wr_init(&w, at, sizeof(in->room) - in->room_used);
	bgp_attr_header(&w, (flags & OPT_TRANS) | AF_PARTIAL, type, v.len);
	wr_copy(&w, v.p, v.len);
	assert(!wr_bad(&w));
	if (!in->a.unknown.len)
		in->a.unknown.p = at;
	in->a.unknown.len = (uint16_t)(in->a.unknown.len + wr_len(&w));
	in->room_used += wr_len(&w);
}

static void one_attr(struct bgp_attr_in *in, const struct bgp_from *from, uint8_t flags,
	uint8_t type, struct rd *v, struct bgp_span whole)
{
	const struct attr_row *row = type < sizeof(rows) / sizeof(rows[0]) ? &rows[type] : NULL;
	bool mp = type == AT_MP_REACH || type == AT_MP_UNREACH;

	if (in->seen[type / 8] & 1u << type % 8) {
		/* RFC 7606 3 g: two MP attributes are a reset, of others the first is used. */
		bgp_attr_fault(in, mp ? FIX_RESET : FIX_DISCARD, UPD_ATTR_LIST, NULL, 0);
		return;
	}
	in->seen[type / 8] |= (uint8_t)(1u << type % 8);
	in->word = NULL;
	if (type != AT_MP_UNREACH)
		in->attrs++;
	if (row && row->get) {
		enum bgp_fix fix = row->get(v, from, in);

		if (fix != FIX_NONE)
			bgp_attr_fault(in, fix, row->subcode, whole.p, whole.len);
		else if (flags & AF_PARTIAL)
			in->a.has |= bgp_attr_partial(type);
		in->word = NULL;
		/* RFC 7606 3 c; the value is read first: its NLRI must be withdrawn. */
		if ((flags & OPT_TRANS) != row->flags && fix != FIX_DISCARD)
			bgp_attr_fault(in, FIX_WITHDRAW, UPD_FLAGS, whole.p, whole.len);
	} else if (!(flags & AF_OPTIONAL)) {
		bgp_attr_fault(in, FIX_RESET, UPD_UNKNOWN_WELL_KNOWN, whole.p, whole.len);
	} else if (flags & AF_TRANSITIVE) {
		keep_unknown(in, flags, type, span_of(v));
	}
}

/* How many ASes a path counts (RFC 4271 9.1.2.2 a: a set is one). */
static unsigned count_path(const uint8_t *p, size_t len)
{
	unsigned n = 0;

	for (size_t i = 0; i + 2 <= len; i += 2 + 4u * p[i + 1])
		n += p[i] == SEG_SET ? 1 : p[i + 1];
	return n;
}

/* RFC 6793 4.2.3: the leading part of AS_PATH that AS4_PATH doesn't cover, then AS4_PATH. */
static void merge_as4(struct bgp_attr_in *in)
{
	const uint8_t *p = in->a.as_path.p;
	size_t len = in->a.as_path.len;
	unsigned have = count_path(p, len), four, lead;
	struct wr w;

	if (in->a.has & BGP_HAS_AGGREGATOR && in->a.aggregator_as != BGP_AS_TRANS)
		return; /* both AS4 attributes are to be ignored then */
	if (in->a.has & BGP_HAS_AGGREGATOR && in->has_as4_aggregator) {
		in->a.aggregator_as = in->as4_aggregator_as;
		in->a.aggregator_id = in->as4_aggregator_id;
	}
	four = count_path(in->as4_path.p, in->as4_path.len);
	if (!in->as4_path.len || have < four)
		return;
	lead = have - four;
	wr_init(&w, in->room + in->room_used, sizeof(in->room) - in->room_used);
	for (size_t i = 0; lead > 0; i += 2 + 4u * p[i + 1]) {
		unsigned n = p[i + 1];

		if (p[i] == SEG_SEQUENCE && n > lead)
			n = lead;
		wr_u8(&w, p[i]);
		wr_u8(&w, (uint8_t)n);
		wr_copy(&w, p + i + 2, 4u * n);
		lead -= p[i] == SEG_SET ? 1 : n;
	}
	wr_copy(&w, in->as4_path.p, in->as4_path.len);
	assert(!wr_bad(&w));
	in->a.as_path = (struct bgp_span){.p = w.start, .len = (uint16_t)wr_len(&w)};
	in->room_used += wr_len(&w);
}

void bgp_attrs_decode(
	const uint8_t *buf, size_t len, const struct bgp_from *from, struct bgp_attr_in *in)
{
	struct rd r;

	memset(in, 0, offsetof(struct bgp_attr_in, room));
	rd_init(&r, buf, len);
	while (rd_left(&r) && in->fix != FIX_RESET) {
		const uint8_t *start = r.p;
		uint8_t flags = rd_u8(&r), type = rd_u8(&r);
		struct rd v = rd_sub(&r, flags & AF_EXTENDED ? rd_u16(&r) : rd_u8(&r));

		/* RFC 7606 4: an attribute that runs over the end, or a rest that is too short for
		 * one. The NLRI behind are found by the total length. */
		if (rd_bad(&r)) {
			bgp_attr_fault(in, FIX_WITHDRAW, UPD_ATTR_LIST, NULL, 0);
			break;
		}
		one_attr(in, from, flags, type, &v,
			(struct bgp_span){.p = start, .len = (uint16_t)(r.p - start)});
	}
	if (!from->as4)
		merge_as4(in);
}
