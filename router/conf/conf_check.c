/* What no single value shows: prefixes against ranges, names that clash. Nothing here asks the
 * host; what depends on its routes and addresses the daemon checks at start (DESIGN 10.2). */
#include "conf_schema.h"

#include <string.h>
#include "conf_bgp.h"
#include "weft/wire.h"

static bool in_any(const struct pfx *p, const struct pfx *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pfx_contains(&list[i], p))
			return true;
	return false;
}

/* The rules of one segment's ranges and prefixes. @name_r, @name_p: the keys; @line_r, @line_p:
 * where each item stands. */
struct space {
	const struct pfx *ranges;
	size_t nranges;
	const unsigned *line_r;
	const char *name_r;
	const struct conf_prefix *prefixes;
	size_t nprefixes;
	const unsigned *line_p;
	const char *name_p;
	const char *tun;
	const struct pfx *exits;
	size_t nexits;
};

static void check_device(struct conf_load *l, const struct space *s, size_t i)
{
	const struct conf_prefix *p = &s->prefixes[i];

	if (strcmp(p->device, s->tun) == 0)
		conf_error(l, s->line_p[i], s->name_p, "a device that the addresses are on",
			"%s is weft's own device", p->device);
}

static void check_claim(struct conf_load *l, const struct space *s, size_t i)
{
	const struct conf_prefix *p = &s->prefixes[i];
	bool fits = false;

	for (size_t k = 0; k < s->nranges; k++)
		fits |= s->ranges[k].ip.family == p->pfx.ip.family &&
			s->ranges[k].len <= p->pfx.len;
	if (!fits)
		conf_error(l, s->line_p[i], s->name_p, NULL,
			"auto/%u needs an %s %s with room for it", p->pfx.len,
			p->pfx.ip.family == IP_V4 ? "IPv4" : "IPv6", s->name_r);
	check_device(l, s, i);
}

static void check_prefix(struct conf_load *l, const struct space *s, size_t i)
{
	const struct conf_prefix *p = &s->prefixes[i];
	char a[PFX_STRLEN], b[PFX_STRLEN];

	if (p->claim) {
		check_claim(l, s, i);
		return;
	}
	pfx_fmt(&p->pfx, a);
	if (!in_any(&p->pfx, s->ranges, s->nranges)) {
		bool is_exit = false;

		for (size_t k = 0; k < s->nexits; k++)
			is_exit = is_exit || pfx_eq(&s->exits[k], &p->pfx);
		if (!is_exit)
			conf_error(
				l, s->line_p[i], s->name_p, NULL, "%s is in no %s", a, s->name_r);
	}
	for (size_t k = 0; k < i; k++)
		if (!s->prefixes[k].claim && pfx_overlaps(&p->pfx, &s->prefixes[k].pfx))
			conf_error(l, s->line_p[i], s->name_p, NULL, "%s overlaps %s", a,
				pfx_fmt(&s->prefixes[k].pfx, b));
	check_device(l, s, i);
}

static void check_space(struct conf_load *l, const struct space *s)
{
	char a[PFX_STRLEN], b[PFX_STRLEN];

	for (size_t i = 0; i < s->nranges; i++)
		for (size_t k = 0; k < i; k++)
			if (pfx_overlaps(&s->ranges[i], &s->ranges[k]))
				conf_error(l, s->line_r[i], s->name_r, NULL, "%s overlaps %s",
					pfx_fmt(&s->ranges[i], a), pfx_fmt(&s->ranges[k], b));
	if (s->nprefixes > 0 && s->nranges == 0) {
		conf_error(
			l, s->line_p[0], s->name_p, NULL, "needs a %s that it lies in", s->name_r);
		return;
	}
	for (size_t i = 0; i < s->nprefixes; i++)
		check_prefix(l, s, i);
}

static void check_default_segment(struct conf_load *l)
{
	const struct conf *c = l->c;
	const struct space s = {
		.ranges = c->ranges,
		.nranges = c->nranges,
		.line_r = l->line[CK_CLUSTER_RANGE],
		.name_r = conf_keys[CK_CLUSTER_RANGE].name,
		.prefixes = c->prefixes,
		.nprefixes = c->nprefixes,
		.line_p = l->line[CK_PREFIX],
		.name_p = conf_keys[CK_PREFIX].name,
		.tun = c->tun,
		.exits = c->exits,
		.nexits = c->nexits,
	};
	char a[PFX_STRLEN];

	check_space(l, &s);
	/* An exit is outside the ranges (DESIGN 1). 0.0.0.0/0 is: it contains them. */
	for (size_t i = 0; i < c->nexits; i++)
		if (in_any(&c->exits[i], c->ranges, c->nranges))
			conf_error(l, conf_list_line(l, CK_EXIT, i), conf_keys[CK_EXIT].name,
				conf_keys[CK_EXIT].allowed, "%s is inside a cluster-range",
				pfx_fmt(&c->exits[i], a));
}

static void check_segment(struct conf_load *l, size_t i)
{
	const struct conf *c = l->c;
	const struct conf_segment *seg = &c->segments[i];
	const struct conf_segment_lines *at = &l->segments[i];
	const struct space s = {
		.ranges = seg->ranges,
		.nranges = seg->nranges,
		.line_r = at->ranges,
		.name_r = "segments.ranges",
		.prefixes = seg->prefixes,
		.nprefixes = seg->nprefixes,
		.line_p = at->prefixes,
		.name_p = "segments.prefixes",
		.tun = seg->tun,
	};

	check_space(l, &s);
	for (size_t k = 0; k < i; k++) {
		if (c->segments[k].vni == seg->vni)
			conf_error(l, at->at, "segments.vni", "each number once",
				"%u is used twice, first on line %u", seg->vni, l->segments[k].at);
		if (strcmp(c->segments[k].tun, seg->tun) == 0)
			conf_error(l, at->at, "segments.tun", "each name once",
				"%s is used twice, first on line %u", seg->tun, l->segments[k].at);
	}
	char control[16];
	(void)snprintf(control, sizeof(control), "%.13s-c", c->tun);
	if (strcmp(seg->tun, control) == 0)
		conf_error(l, at->at, "segments.tun", "each name once",
			"%s is the control segment's device", seg->tun);
	if (strcmp(seg->tun, c->tun) == 0)
		conf_error(l, at->at, "segments.tun", "each name once",
			"%s is the default segment's device", seg->tun);
}

/* The addresses that a neighbour of the section `bgp:` may have. */
static struct pfx where_is(const struct conf_bgp_peer *p)
{
	static const struct pfx link_local = {{{0xfe, 0x80}, IP_V6}, 10};

	if (p->interface[0])
		return link_local;
	if (p->range.ip.family != IP_NONE)
		return p->range;
	return (struct pfx){.ip = p->remote.ip, .len = (uint8_t)ip_bits(&p->remote.ip)};
}

/* The kernel asks the password of a range of each address in it that has none of its own: a neighbour without
 * could never connect. */
static void check_passwords(struct conf_load *l, const struct conf_bgp *b)
{
	char name[CONF_BGP_PEER_NAME], range[PFX_STRLEN];

	for (size_t i = 0; i < b->npeers; i++) {
		const struct conf_bgp_peer *p = &b->peers[i];
		struct pfx at = where_is(p);

		for (size_t k = 0; k < b->npeers && !p->password[0] && at.ip.family; k++) {
			const struct conf_bgp_peer *r = &b->peers[k];

			if (r->range.ip.family == IP_NONE || !r->password[0] ||
				!(p->interface[0] ? pfx_overlaps(&r->range, &at)
						  : pfx_contains(&r->range, &at)))
				continue;
			conf_error(l, p->line, "bgp.peers.password",
				"one of its own, or the neighbour outside of that range",
				"%s has none, and the kernel asks for that of the range %s, line "
				"%u",
				conf_bgp_peer_name(p, name), pfx_fmt(&r->range, range), r->line);
			break;
		}
	}
}

void conf_cross_check(struct conf_load *l, bool whole)
{
	const struct conf *c = l->c;

	check_default_segment(l);
	for (size_t i = 0; i < c->nsegments; i++)
		check_segment(l, i);
	if (c->bgp)
		check_passwords(l, c->bgp);
	if (c->side_port_lo && c->listen.port >= c->side_port_lo &&
		c->listen.port <= c->side_port_hi)
		conf_error(l, l->line[CK_SOURCE_PORTS][0], conf_keys[CK_SOURCE_PORTS].name,
			conf_keys[CK_SOURCE_PORTS].allowed, "%u, the port of listen, is among them",
			c->listen.port);
	if (c->name[0] == '\0')
		conf_error(l, 0, conf_keys[CK_NAME].name, conf_keys[CK_NAME].allowed,
			"the host's name is no node name; give one");
	if (whole && c->secret_file[0] == '\0' && !c->check && !c->down)
		conf_error(l, 0, conf_keys[CK_SECRET_FILE].name, conf_keys[CK_SECRET_FILE].allowed,
			"missing; make a secret with: weft key new --out FILE");
}
