/* bgp_update.c - UPDATE messages in.
 *
 * The order matters (RFC 7606 3): the frame first, since a wrong length there leaves nothing to
 * trust; then the attributes; then every NLRI is read once, since a malformed one resets the
 * session and nothing may have been applied by then; last what is missing. */
#include "bgp_update.h"
#include <string.h>
#include "weft/err.h"

int bgp_nlri_read(struct rd *r, unsigned family, struct bgp_nlri *out)
{
	unsigned bits = rd_u8(r), max = bgp_family_bits(family), bytes;
	const uint8_t *b;

	memset(out, 0, sizeof(*out));
	out->family = (uint8_t)family;
	if (bgp_family_vpn(family)) {
		/* RFC 4364 4.3.4, 8277 2: label and RD count in the length. */
		if (bits < 88)
			return ERR_MALFORMED;
		out->label = rd_u24(r) >> 4;
		rd_copy(r, out->rd, sizeof(out->rd));
		bits -= 88;
	}
	bytes = (bits + 7) / 8;
	if (bits > max || !(b = rd_take(r, bytes)))
		return ERR_MALFORMED;
	if (bytes)
		memcpy(out->pfx.ip.b, b, bytes);
	if (bits % 8)
		out->pfx.ip.b[bytes - 1] &= (uint8_t)(0xff00u >> bits % 8);
	out->pfx.ip.family = max == 32 ? IP_V4 : IP_V6;
	out->pfx.len = (uint8_t)bits;
	return rd_bad(r) ? ERR_MALFORMED : 0;
}

int bgp_mp_read(struct rd *r, const struct bgp_mp *mp, struct bgp_nlri *out)
{
	uint32_t id = mp->add_path ? rd_u32(r) : 0;
	int err = bgp_nlri_read(r, (unsigned)mp->family, out);

	out->path_id = id;
	return err;
}

void bgp_nlri_write(struct wr *w, const struct bgp_nlri *n, bool withdrawn)
{
	if (bgp_family_vpn(n->family)) {
		wr_u8(w, (uint8_t)(88 + n->pfx.len));
		wr_u24(w, withdrawn ? BGP_VPN_LABEL_WITHDRAWN : n->label << 4 | 1);
		wr_copy(w, n->rd, sizeof(n->rd));
	} else {
		wr_u8(w, n->pfx.len);
	}
	wr_copy(w, n->pfx.ip.b, (n->pfx.len + 7u) / 8);
}

bool bgp_nlri_martian(const struct bgp_nlri *n)
{
	const struct ip *ip = &n->pfx.ip;

	/* Prefixes as long as these or longer lie inside; 0.0.0.0/0 and ::/0 are fine. */
	if (ip->family == IP_V4)
		return (n->pfx.len >= 4 && ip->b[0] >= 224 && ip->b[0] < 240) ||
		       (n->pfx.len >= 8 && ip->b[0] == 127);
	return (n->pfx.len >= 8 && ip->b[0] == 0xff) ||
	       (n->pfx.len >= 10 && ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80) ||
	       (n->pfx.len == 128 && ip_is_loopback(ip));
}

static bool all_nlri_ok(const struct bgp_mp *mp)
{
	struct bgp_nlri n;
	struct rd r;

	if (!mp->present || mp->family < 0)
		return true;
	rd_init(&r, mp->nlri, mp->len);
	while (rd_left(&r))
		if (bgp_mp_read(&r, mp, &n) < 0)
			return false;
	return true;
}

/* RFC 7606 3 d: mandatory attributes of routes that are announced. */
static void check_missing(struct bgp_update *u)
{
	struct bgp_attr_in *in = &u->attrs;
	bool v4 = u->announced.len > 0;
	uint8_t missing = 0;

	if (!v4 && !in->reach.present)
		return;
	if (!(in->seen[AT_ORIGIN / 8] & 1u << AT_ORIGIN % 8))
		missing = AT_ORIGIN;
	else if (!(in->seen[AT_AS_PATH / 8] & 1u << AT_AS_PATH % 8))
		missing = AT_AS_PATH;
	else if (v4 && !(in->seen[AT_NEXT_HOP / 8] & 1u << AT_NEXT_HOP % 8))
		missing = AT_NEXT_HOP;
	if (missing)
		bgp_attr_fault(in, FIX_WITHDRAW, UPD_MISSING, &missing, 1);
}

void bgp_update_decode(
	const uint8_t *body, size_t len, const struct bgp_from *from, struct bgp_update *u)
{
	struct rd r, withdrawn, attrs;
	struct bgp_attr_in *in = &u->attrs;

	u->end_of_rib = false;
	rd_init(&r, body, len);
	withdrawn = rd_sub(&r, rd_u16(&r));
	attrs = rd_sub(&r, rd_u16(&r));
	bgp_attrs_decode(attrs.p, rd_left(&attrs), from, in);
	/* RFC 4271 6.3: lengths that exceed the message. */
	if (rd_bad(&r)) {
		bgp_attr_fault(in, FIX_RESET, UPD_ATTR_LIST, NULL, 0);
		return;
	}
	u->withdrawn = (struct bgp_mp){.present = true,
		.add_path = from->add_path & BGP_FAM(BGP_IPV4),
		.family = BGP_IPV4,
		.nlri = withdrawn.p,
		.len = rd_left(&withdrawn)};
	u->announced = (struct bgp_mp){.present = true,
		.add_path = from->add_path & BGP_FAM(BGP_IPV4),
		.family = BGP_IPV4,
		.nlri = r.p,
		.len = rd_left(&r)};
	/* RFC 7606 5.3: NLRI that can't be read reset the session. */
	if (!all_nlri_ok(&u->withdrawn) || !all_nlri_ok(&u->announced))
		bgp_attr_fault(in, FIX_RESET, UPD_NETWORK, NULL, 0);
	if (!all_nlri_ok(&in->reach) || !all_nlri_ok(&in->unreach))
		bgp_attr_fault(in, FIX_RESET, UPD_OPTIONAL, NULL, 0);
	check_missing(u);
	/* RFC 7606 5.2: attributes without NLRI that call for a withdrawal: what they were to be
	 * withdrawn from can't be told. */
	if (in->fix == FIX_WITHDRAW && u->announced.len == 0 && !in->reach.present)
		in->fix = FIX_RESET; /* with the error that it has */
	if (!(from->families & BGP_FAM(BGP_IPV4))) {
		u->withdrawn.present = u->announced.present = false;
		if (u->withdrawn.len || u->announced.len)
			in->discarded++;
	}
	if (u->withdrawn.len == 0 && u->announced.len == 0 && in->attrs == 0) {
		u->end_of_rib = !in->unreach.present || in->unreach.len == 0;
		u->eor_family = in->unreach.present ? in->unreach.family : BGP_IPV4;
	}
}

void bgp_eor_encode(struct wr *w, unsigned family)
{
	uint8_t *at = bgp_msg_begin(w, MSG_UPDATE);

	wr_u16(w, 0);
	if (family == BGP_IPV4) {
		wr_u16(w, 0);
	} else {
		wr_u16(w, 6);
		bgp_attr_header(w, AF_OPTIONAL, AT_MP_UNREACH, 3);
		wr_u16(w, bgp_family_afi(family));
		wr_u8(w, bgp_family_safi(family));
	}
	bgp_msg_end(w, at);
}
