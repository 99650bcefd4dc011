/* bgpd_gtsm.c - keeps the filters of the listeners (gtsm.h, RFC 5082) as the neighbours are.
 *
 * They are made anew when a neighbour that they concern comes or goes: one with ttl_security, or one in a
 * range with it. Who connects from a range has the range's rule, so that nobody outside makes work here.
 *
 * Bounds: GTSM_INSNS_MAX instructions of a filter, some 1000 neighbours with IPv4 addresses or 400 with
 * IPv6 ones, and what net.core.optmem_max leaves beside the listener's passwords, which a failure tells
 * (bgpd_listener.room). Failure: what has no room, or no filter at all, is counted and told; such
 * neighbours have IP_MINTTL alone, from when they are accepted. */
#include <errno.h>
#include <stdlib.h>
#include "weft/err.h"
#include "weft/log.h"
#include "bgpd_int.h"
#include "sockaddr.h"

#define ROOM_MIN 64

struct work {
	struct sock_filter prog[GTSM_INSNS_MAX];
	struct gtsm_rule rules[];
};

uint8_t bgpd_min_ttl(bool ttl_security, uint8_t hops)
{
	return ttl_security ? (uint8_t)(UINT8_MAX + 1 - (hops ? hops : 1)) : 0;
}

bool bgpd_gtsm_concerns(const struct bgpd *d, const struct bgpd_peer *p)
{
	if (p->ttl_security)
		return true;
	for (size_t i = 0; i < d->nranges; i++)
		if (d->ranges[i].peer.ttl_security && pfx_has_ip(&d->ranges[i].range, &p->remote))
			return true;
	return false;
}

static bool ranges_ask(const struct bgpd *d)
{
	for (size_t i = 0; i < d->nranges; i++)
		if (d->ranges[i].peer.ttl_security)
			return true;
	return false;
}

/* In the order in which a caller's neighbour is looked for: by address, then by the longest range. */
static size_t collect(const struct bgpd *d, const struct bgpd_peer *more, struct gtsm_rule *out)
{
	size_t n = 0, hosts;

	for (size_t i = 0; i < d->npeers + (more != NULL); i++) {
		const struct bgpd_peer *p = i < d->npeers ? &d->peers[i] : more;

		if (p->range != 0 || !bgpd_gtsm_concerns(d, p))
			continue;
		out[n++] = (struct gtsm_rule){.from = sockaddr_host(&p->remote),
			.scope = ip_is_link_local(&p->remote) ? p->scope : 0,
			.min_ttl = bgpd_min_ttl(p->ttl_security, p->hops)};
	}
	hosts = n;
	for (size_t i = 0; i < d->nranges && ranges_ask(d); i++) {
		const struct bgpd_peer_cfg *cfg = &d->ranges[i].peer;
		size_t at = n++;

		for (; at > hosts && out[at - 1].from.len < d->ranges[i].range.len; at--)
			out[at] = out[at - 1];
		out[at] = (struct gtsm_rule){.from = d->ranges[i].range,
			.min_ttl = bgpd_min_ttl(cfg->ttl_security, cfg->hops)};
	}
	return n;
}

void bgpd_gtsm_drop(struct bgpd_listener *l)
{
	(void)bgp_sock_filter(l->fd, NULL, 0);
	l->tag = 0;
	l->whole = false;
}

/* Give @l its filter; *@told as of gtsm_build. The room is found by trying. */
static int attach(struct bgpd_listener *l, struct work *w, size_t n, size_t *told)
{
	uint32_t tag = l->d->gtsm_tag;

	for (;;) {
		size_t len = gtsm_build(w->rules, n, l->v6, tag, w->prog, l->room, told);
		int err;

		if (len == 0) {
			bgpd_gtsm_drop(l);
			return 0;
		}
		err = bgp_sock_filter(l->fd, w->prog, len);
		/* The kernel counts both while it puts the one in place of the other. */
		if (err == -ENOMEM && l->tag) {
			bgpd_gtsm_drop(l);
			continue;
		}
		if (err == -ENOMEM && len > ROOM_MIN) {
			l->room = len - len / 8;
			continue;
		}
		if (err) {
			bgpd_gtsm_drop(l);
			*told = 0;
			return err;
		}
		l->tag = tag;
		l->whole = *told == n;
		return 0;
	}
}

static size_t left_out(const struct gtsm_rule *r, size_t n, size_t told, bool v6)
{
	size_t left = 0;

	for (size_t i = told; i < n; i++)
		left += r[i].min_ttl && r[i].from.ip.family == (v6 ? IP_V6 : IP_V4);
	return left;
}

static void tell(struct bgpd *d, size_t left, int err)
{
	static struct log_limit limit;

	if (left && left != d->st.ttl_unfiltered)
		log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "bgp",
			"ttl-security: %zu neighbours or ranges have no place in the filter of a "
			"listener%s%s: what they send before their connection is accepted is read "
			"whatever its TTL; a range in place of addresses, or a larger "
			"net.core.optmem_max, makes room",
			left, err ? ": " : "", err ? err_str(err) : "");
	d->st.ttl_unfiltered = left;
}

void bgpd_gtsm_update(struct bgpd *d, const struct bgpd_peer *more)
{
	size_t most = d->npeers + 1 + d->nranges, n = 0, left = 0;
	struct work *w = malloc(sizeof(*w) + most * sizeof(w->rules[0]));
	int first = w ? 0 : ERR_NOMEM;

	if (w)
		n = collect(d, more, w->rules);
	if (++d->gtsm_tag == 0) /* means none */
		d->gtsm_tag = 1;
	for (size_t i = 0; i < d->nlisten; i++) {
		struct bgpd_listener *l = &d->listeners[i];
		size_t told = 0, out;
		int err = ERR_NOMEM;

		if (w)
			err = attach(l, w, n, &told);
		else
			bgpd_gtsm_drop(l);
		out = w ? left_out(w->rules, n, told, l->v6) : most;
		left = out > left ? out : left;
		first = first ? first : err;
	}
	tell(d, left, first);
	free(w);
}

bool bgpd_gtsm_trusts(const struct bgpd_listener *l, int fd)
{
	struct sock_filter *prog;
	bool same = false;
	int n;

	if (!l->whole || !bgp_sock_has_bytes(fd))
		return true;
	prog = calloc(GTSM_INSNS_MAX, sizeof(*prog));
	n = prog ? bgp_sock_filter_get(fd, prog, GTSM_INSNS_MAX) : -ENOMEM;
	if (n > 0)
		same = gtsm_tag(prog, (size_t)n) == l->tag;
	free(prog);
	return same;
}
