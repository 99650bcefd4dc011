/* bgp_cap.c - capabilities. One handler per code that we know, found by table; a capability is read
 * through a reader cut to its own length, so a lie about it stays inside. */
#include "bgp_cap.h"
#include <stddef.h>
#include "weft/err.h"
#include "bgp.h"
#include "bgp_wire.h"

static const struct {
	uint16_t afi;
	uint8_t safi;
	const char *name;
} families[BGP_FAMILIES] = {
	[BGP_IPV4] = {1, 1, "ipv4"},
	[BGP_IPV6] = {2, 1, "ipv6"},
	[BGP_VPNV4] = {1, 128, "vpnv4"},
	[BGP_VPNV6] = {2, 128, "vpnv6"},
};

uint16_t bgp_family_afi(unsigned family)
{
	return families[family].afi;
}

uint8_t bgp_family_safi(unsigned family)
{
	return families[family].safi;
}

int bgp_family_of(uint16_t afi, uint8_t safi)
{
	for (int f = 0; f < BGP_FAMILIES; f++)
		if (families[f].afi == afi && families[f].safi == safi)
			return f;
	return -1;
}

const char *bgp_family_str(unsigned family)
{
	return family < BGP_FAMILIES ? families[family].name : "?";
}

/* RFC 4760 8: AFI, a reserved byte, SAFI. */
static int cap_mp(struct rd *r, struct bgp_caps *c)
{
	uint16_t afi = rd_u16(r);
	uint8_t safi;
	int f;

	rd_u8(r);
	safi = rd_u8(r);
	f = bgp_family_of(afi, safi);
	if (!rd_done(r))
		return ERR_MALFORMED;
	c->mp = true;
	if (f >= 0)
		c->families |= BGP_FAM(f);
	c->evpn = c->evpn || (afi == AFI_L2VPN && safi == SAFI_EVPN);
	c->flowspec = c->flowspec || safi == SAFI_FLOW || safi == SAFI_FLOW_VPN;
	return 0;
}

const char *bgp_caps_word(const struct bgp_caps *c)
{
#define REMEDY "; let the neighbour offer ipv4 or ipv6 unicast"
	if (c->families)
		return "none of what it offers is in this neighbour's `families`";
	if (c->evpn && c->flowspec)
		return "EVPN (RFC 7432) and flowspec (RFC 8955) are not spoken" REMEDY;
	if (c->evpn)
		return "EVPN (RFC 7432) is not spoken" REMEDY;
	if (c->flowspec)
		return "flowspec (RFC 8955) is not spoken" REMEDY;
	return "no family that it offers is spoken" REMEDY;
#undef REMEDY
}

/* RFC 2918 2. */
static int cap_refresh(struct rd *r, struct bgp_caps *c)
{
	c->refresh = true;
	return rd_done(r) ? 0 : ERR_MALFORMED;
}

/* RFC 7313 3.1. */
static int cap_enhanced_refresh(struct rd *r, struct bgp_caps *c)
{
	c->enhanced_refresh = true;
	return rd_done(r) ? 0 : ERR_MALFORMED;
}

/* RFC 6793 3. */
static int cap_as4(struct rd *r, struct bgp_caps *c)
{
	c->as4 = true;
	c->as = rd_u32(r);
	return rd_done(r) ? 0 : ERR_MALFORMED;
}

/* RFC 4724 3. Flags of a family that we don't know mean nothing to us. */
static int cap_restart(struct rd *r, struct bgp_caps *c)
{
	uint16_t head = rd_u16(r);

	c->restart = true;
	c->restart_state = head & RESTART_STATE;
	c->restart_notify = head & RESTART_NOTIFY;
	c->restart_secs = head & RESTART_TIME_MAX;
	c->restart_families = c->forward_families = 0;
	while (rd_left(r)) {
		uint16_t afi = rd_u16(r);
		int f = bgp_family_of(afi, rd_u8(r));
		uint8_t flags = rd_u8(r);

		if (f < 0)
			continue;
		c->restart_families |= BGP_FAM(f);
		if (flags & RESTART_FORWARD)
			c->forward_families |= BGP_FAM(f);
	}
	return rd_done(r) ? 0 : ERR_MALFORMED;
}

/* RFC 8654 3. */
static int cap_ext_message(struct rd *r, struct bgp_caps *c)
{
	c->ext_message = true;
	return rd_done(r) ? 0 : ERR_MALFORMED;
}

/* RFC 8950 4: triples of AFI, a SAFI of two bytes, AFI of the next hop. */
static int cap_ext_next_hop(struct rd *r, struct bgp_caps *c)
{
	while (rd_left(r)) {
		uint16_t afi = rd_u16(r), safi = rd_u16(r), nh = rd_u16(r);

		if (afi == 1 && safi == 1 && nh == 2)
			c->v4_over_v6 = true;
	}
	return rd_done(r) ? 0 : ERR_MALFORMED;
}

/* RFC 7911 4: 1 receive, 2 send, 3 both; other values are ignored. */
static int cap_add_path(struct rd *r, struct bgp_caps *c)
{
	c->paths_in = c->paths_out = 0;
	while (rd_left(r)) {
		uint16_t afi = rd_u16(r);
		int f = bgp_family_of(afi, rd_u8(r));
		uint8_t how = rd_u8(r);

		if (f < 0 || how > 3)
			continue;
		c->paths_in |= how & 1 ? BGP_FAM(f) : 0;
		c->paths_out |= how & 2 ? BGP_FAM(f) : 0;
	}
	return rd_done(r) ? 0 : ERR_MALFORMED;
}

/* RFC 9234 4.1. */
static int cap_role(struct rd *r, struct bgp_caps *c)
{
	uint8_t role = (uint8_t)(rd_u8(r) + 1);

	if (!rd_done(r))
		return ERR_MALFORMED;
	c->role_unequal = c->role_unequal || (c->role && c->role != role);
	c->role = role;
	return 0;
}

static const struct {
	uint8_t code;
	int (*decode)(struct rd *r, struct bgp_caps *c);
} known[] = {
	{CAP_MP, cap_mp},
	{CAP_REFRESH, cap_refresh},
	{CAP_EXT_NEXT_HOP, cap_ext_next_hop},
	{CAP_EXT_MESSAGE, cap_ext_message},
	{CAP_ADD_PATH, cap_add_path},
	{CAP_ROLE, cap_role},
	{CAP_RESTART, cap_restart},
	{CAP_AS4, cap_as4},
	{CAP_ENHANCED_REFRESH, cap_enhanced_refresh},
};

int bgp_caps_decode(struct rd *r, struct bgp_caps *c)
{
	c->any = true;
	while (rd_left(r)) {
		uint8_t code = rd_u8(r);
		struct rd value = rd_sub(r, rd_u8(r));

		if (rd_bad(r))
			return ERR_MALFORMED;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (known[i].code == code && known[i].decode(&value, c) < 0)
				return ERR_MALFORMED;
	}
	return rd_done(r) ? 0 : ERR_MALFORMED;
}

static void put_add_path(struct wr *w, const struct bgp_caps *c)
{
	uint8_t *len;

	wr_u8(w, CAP_ADD_PATH);
	len = wr_skip(w, 1);
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		if (!((c->paths_in | c->paths_out) & BGP_FAM(f)))
			continue;
		wr_u16(w, families[f].afi);
		wr_u8(w, families[f].safi);
		wr_u8(w, (uint8_t)((c->paths_in & BGP_FAM(f) ? 1 : 0) |
				   (c->paths_out & BGP_FAM(f) ? 2 : 0)));
	}
	if (len)
		*len = (uint8_t)(w->p - len - 1);
}

static void put_restart(struct wr *w, const struct bgp_caps *c)
{
	unsigned n = 0;

	for (unsigned f = 0; f < BGP_FAMILIES; f++)
		n += (c->restart_families & BGP_FAM(f)) != 0;
	wr_u8(w, CAP_RESTART);
	wr_u8(w, (uint8_t)(2 + 4 * n));
	wr_u16(w, (uint16_t)((c->restart_state ? RESTART_STATE : 0) |
			     (c->restart_notify ? RESTART_NOTIFY : 0) | c->restart_secs));
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		if (!(c->restart_families & BGP_FAM(f)))
			continue;
		wr_u16(w, families[f].afi);
		wr_u8(w, families[f].safi);
		wr_u8(w, c->forward_families & BGP_FAM(f) ? RESTART_FORWARD : 0);
	}
}

void bgp_caps_encode(struct wr *w, const struct bgp_caps *c)
{
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		if (!(c->families & BGP_FAM(f)))
			continue;
		wr_u8(w, CAP_MP);
		wr_u8(w, 4);
		wr_u16(w, families[f].afi);
		wr_u8(w, 0);
		wr_u8(w, families[f].safi);
	}
	if (c->refresh) {
		wr_u8(w, CAP_REFRESH);
		wr_u8(w, 0);
	}
	if (c->enhanced_refresh) {
		wr_u8(w, CAP_ENHANCED_REFRESH);
		wr_u8(w, 0);
	}
	if (c->as4) {
		wr_u8(w, CAP_AS4);
		wr_u8(w, 4);
		wr_u32(w, c->as);
	}
	if (c->ext_message) {
		wr_u8(w, CAP_EXT_MESSAGE);
		wr_u8(w, 0);
	}
	if (c->v4_over_v6) {
		wr_u8(w, CAP_EXT_NEXT_HOP);
		wr_u8(w, 6);
		wr_u16(w, 1);
		wr_u16(w, 1);
		wr_u16(w, 2);
	}
	if (c->paths_in | c->paths_out)
		put_add_path(w, c);
	if (c->restart)
		put_restart(w, c);
	if (c->role) {
		wr_u8(w, CAP_ROLE);
		wr_u8(w, 1);
		wr_u8(w, (uint8_t)(c->role - 1));
	}
}
