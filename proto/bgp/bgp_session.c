/* bgp_session.c - an Established peer: what its UPDATE and ROUTE-REFRESH messages do, and what
 * begins and ends with the session. */
#include <assert.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_int.h"

/* How long routes may stay stale after BoRR without an EoRR (RFC 7313 4 wants a bound). */
#define STALE_SECS 600

static void group_key_of(const struct bgp_peer *p, unsigned family, struct group_key *key)
{
	unsigned v6 = family & 1;

	*key = (struct group_key){.vni = p->cfg.vni,
		.family = (uint8_t)family,
		.ebgp = p->ebgp,
		.rr_client = !p->ebgp && p->cfg.rr_client,
		.next_hop_self = p->ebgp || p->cfg.next_hop_self,
		.gshut = p->gshut,
		.local_as = p->local_as,
		.next_hop = p->cfg.next_hop[v6],
		.export = p->cfg.export};
	if (p->ebgp) {
		key->replace_as = p->cfg.replace_as;
		key->remove_private = p->cfg.remove_private;
		key->as_override = p->cfg.as_override;
		key->role = (uint8_t)p->cfg.role;
		if (key->remove_private || key->as_override)
			key->remote_as = p->cfg.remote_as;
	}
	if (key->next_hop.family == IP_NONE && p->up &&
		ip_bits(&p->up->local) == bgp_family_bits(family))
		key->next_hop = p->up->local;
	if (family <= BGP_IPV6 && p->paths_out & BGP_FAM(family))
		key->add_path = p->cfg.add_path_tx;
	key->v4_over_v6 = family == BGP_IPV4 && p->v4_over_v6;
	if (key->v4_over_v6 && key->next_hop.family == IP_NONE) /* RFC 8950 3 */
		key->next_hop = p->cfg.next_hop[1].family == IP_V6 ? p->cfg.next_hop[1]
				: p->up                            ? p->up->local
								   : key->next_hop;
}

int bgp_session_regroup(struct bgp_peer *p)
{
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		struct group_key key;
		int err;

		if (!(p->families & BGP_FAM(f)))
			continue;
		group_key_of(p, f, &key);
		err = ribout_join(p->b, &p->out[f], &key);
		if (err < 0)
			return err;
	}
	bgp_peer_wake(p);
	return 0;
}

int bgp_session_up(struct bgp_peer *p, struct bgp_conn *c)
{
	p->up = c;
	/* The originator of reflected routes may be another by now. */
	for (unsigned i = 0; i < p->b->ngroups; i++) {
		struct bgp_group *g = p->b->groups[i];

		if (!g || g->cache_from != p->idx)
			continue;
		attr_put(&p->b->attrs, g->cache_in);
		attr_put(&p->b->attrs, g->cache_out);
		g->cache_in = g->cache_out = NULL;
	}
	for (unsigned f = 0; f < BGP_FAMILIES; f++)
		p->out[f].eor = p->caps.restart && p->cfg.restart && p->families & BGP_FAM(f);
	bgp_restart_up(p);
	return bgp_session_regroup(p);
}

void bgp_session_forget(struct bgp_peer *p)
{
	p->kept = false;
	p->stale_families = 0;
	bgp_timer_set(p->b, &p->stale, TS_NEVER);
	if (!p->received)
		return;
	bgp_table_stop(p);
	for (unsigned f = 0; f < BGP_FAMILIES; f++)
		bgp_table_age(p, f, 0);
	bgp_table_expire(p);
}

/* RFC 4724 4.2: what was stale before has had its time. */
static void make_stale(struct bgp_peer *p, uint32_t keep)
{
	for (unsigned f = 0; f < BGP_FAMILIES; f++)
		bgp_table_age(p, f, (keep & BGP_FAM(f)) != 0);
	bgp_table_expire(p);
}

void bgp_session_down(struct bgp_peer *p, uint32_t keep)
{
	for (unsigned f = 0; f < BGP_FAMILIES; f++) {
		ribout_leave(p->b, &p->out[f]);
		p->out[f].begin = p->out[f].end = p->out[f].eor = false;
		if (!p->fresh[f])
			keep &= ~BGP_FAM(f);
	}
	bgp_timer_set(p->b, &p->mrai, TS_NEVER);
	p->up = NULL;
	p->n.flaps++;
	p->families = p->eor_families = 0;
	p->warned = false;
	if (keep)
		make_stale(p, keep);
	else
		bgp_session_forget(p);
	bgp_restart_away(p, keep);
}

void bgp_session_stale_end(struct bgp_peer *p, uint32_t families)
{
	families &= p->stale_families;
	for (unsigned f = 0; f < BGP_FAMILIES; f++)
		if (families & BGP_FAM(f))
			p->keep_age[f] = 0;
	if (families)
		bgp_table_expire(p);
	p->stale_families &= ~families;
	if (!p->stale_families)
		bgp_timer_set(p->b, &p->stale, TS_NEVER);
}

/* Whoever begins without end is believed what it told in between. */
static void stale_begin(struct bgp_peer *p, unsigned family)
{
	if (p->keep_age[family] < UINT8_MAX - 1)
		bgp_table_age(p, family, p->keep_age[family] + 1u);
	p->stale_families |= BGP_FAM(family);
	bgp_timer_set(p->b, &p->stale, ts_add(p->b->now, DUR_SEC(STALE_SECS)));
}

int bgp_session_refresh(struct bgp_peer *p, const uint8_t *msg, size_t len, struct bgp_error *e)
{
	struct bgp_refresh r;
	struct peer_out *po;

	if (bgp_refresh_decode(msg, len, &r, e) < 0) {
		/* RFC 7313 5 has the error for BoRR and EoRR, others with a wrong length too. */
		return ERR_MALFORMED;
	}
	if (r.family < 0 || !(p->families & BGP_FAM(r.family))) {
		bgp_say(p->b, p->idx, "refresh of a family that was not negotiated");
		return 0; /* RFC 2918 4: ignored */
	}
	po = &p->out[r.family];
	switch (r.subtype) {
	case REFRESH_NORMAL:
		ribout_rewind(p->b, po);
		po->begin = p->enhanced;
		po->at_end = false;
		bgp_peer_wake(p);
		break;
	case REFRESH_BEGIN:
		if (p->enhanced)
			stale_begin(p, (unsigned)r.family);
		break;
	case REFRESH_END:
		if (p->enhanced)
			bgp_session_stale_end(p, BGP_FAM(r.family));
		break;
	default: /* RFC 7313 5: ignored */
		bgp_say(p->b, p->idx, "ROUTE-REFRESH of unknown subtype %u", r.subtype);
	}
	return 0;
}

/* Is the route looped (RFC 4271 9.1.2, 4456 8)? Such a one is as good as withdrawn. */
static bool is_looped(const struct bgp_peer *p, const struct bgp_attrs *a)
{
	const struct bgp_cfg *cfg = &p->b->cfg;
	struct rd r;

	if (bgp_attrs_path_count(a, cfg->local_as) > p->cfg.allow_own_as ||
		bgp_attrs_path_count(a, p->local_as) > p->cfg.allow_own_as)
		return true;
	if (a->has & BGP_HAS_ORIGINATOR && a->originator_id == cfg->router_id)
		return true;
	rd_init(&r, a->cluster_list.p, a->cluster_list.len);
	while (rd_left(&r))
		if (rd_u32(&r) == cfg->cluster_id)
			return true;
	return false;
}

/* Some at a time, so that the waits for what each of them touches overlap. No net goes before it is
 * decided, so those found stay. */
static void withdraw_some(struct bgp_peer *p, const struct bgp_nlri *n, size_t count)
{
	struct net *nets[RIB_MANY];
	struct path *path;

	rib_find_many(p->rib, n, count, nets);
	for (size_t i = 0; i < count; i++)
		if (nets[i])
			ribout_warm(p->b, nets[i]);
	for (size_t i = 0; i < count; i++) {
		path = nets[i] ? net_path(p->rib, nets[i], p->idx, n[i].path_id) : NULL;
		if (path)
			bgp_path_remove(p->b, p->rib, nets[i], path, p);
		if (nets[i])
			ribout_warm_more(p->b, nets[i]);
	}
}

static void withdraw_all(struct bgp_peer *p, const struct bgp_mp *mp)
{
	struct bgp_nlri n[RIB_MANY];
	size_t count = 0;
	struct rd r;

	if (!mp->present || mp->family < 0)
		return;
	rd_init(&r, mp->nlri, mp->len);
	while (rd_left(&r) && bgp_mp_read(&r, mp, &n[count]) == 0) {
		if (++count < RIB_MANY)
			continue;
		withdraw_some(p, n, count);
		count = 0;
	}
	withdraw_some(p, n, count);
}

/* RFC 4271 6.7; the warning comes before that. */
static int check_max(struct bgp_peer *p, struct bgp_error *e)
{
	if (p->cfg.warn_prefixes && !p->sweep.on && p->received > p->cfg.warn_prefixes &&
		!p->warned) {
		bgp_say(p->b, p->idx, "more than %u prefixes; the session ends beyond %u",
			p->cfg.warn_prefixes, p->cfg.max_prefixes);
		p->warned = true;
	}
	if (p->received > p->cfg.max_prefixes) /* what is over does not count */
		bgp_table_sweep(p, SIZE_MAX);
	if (p->received <= p->cfg.max_prefixes)
		return 0;
	p->max_hit = true;
	p->n.max_prefix_ends++;
	return bgp_error_set(e, NOTIFY_CEASE, CEASE_MAX_PREFIX, NULL, 0);
}

static int announce_all(
	struct bgp_peer *p, const struct bgp_mp *mp, const struct bgp_attrs *a, struct bgp_error *e)
{
	struct bgp *b = p->b;
	struct attr_set *set;
	struct bgp_nlri n;
	struct rd r;
	int err = attr_intern(&b->attrs, a, &set);

	if (err < 0)
		return bgp_error_set(e, NOTIFY_CEASE, CEASE_RESOURCES, NULL, 0);
	rd_init(&r, mp->nlri, mp->len);
	while (err == 0 && rd_left(&r) && bgp_mp_read(&r, mp, &n) == 0) {
		if (bgp_nlri_martian(&n)) {
			p->n.martians++;
			bgp_say(b, p->idx, "a prefix that can't be routed was ignored");
			bgp_path_del(b, p->rib, p, &n);
			continue;
		}
		err = bgp_path_set(b, p->rib, p, &n, set);
		if (err < 0)
			bgp_error_set(e, NOTIFY_CEASE, CEASE_RESOURCES, NULL, 0);
		else
			err = check_max(p, e);
	}
	attr_put(&b->attrs, set);
	return err;
}

/* RFC 4271 6.3: the path of an external peer starts with its AS. */
static void check_first_as(struct bgp_peer *p, struct bgp_update *u)
{
	const struct bgp_attrs *a = &u->attrs.a;

	if (p->ebgp && !p->cfg.no_first_as && a->has & BGP_HAS_AS_PATH &&
		bgp_attrs_first_as(a) != p->cfg.remote_as)
		bgp_attr_fault(&u->attrs, FIX_WITHDRAW, UPD_AS_PATH, NULL, 0);
}

static bool announces(const struct bgp_mp *mp)
{
	return mp->present && mp->family >= 0 && mp->len > 0;
}

/* RFC 4271 6.3: our own address as next hop means nobody. */
static bool own_next_hop(const struct bgp_peer *p, const struct ip *nh)
{
	return ip_eq(nh, &p->up->local);
}

static void refuse_own(struct bgp_peer *p, const struct bgp_mp *mp)
{
	p->n.own_next_hops++;
	withdraw_all(p, mp);
}

static int announce(struct bgp_peer *p, struct bgp_update *u, struct bgp_error *e)
{
	struct bgp_attr_in *in = &u->attrs;
	struct bgp_attrs a = in->a;
	int err = 0;

	if (announces(&u->announced)) {
		if (own_next_hop(p, &a.next_hop))
			refuse_own(p, &u->announced);
		else
			err = announce_all(p, &u->announced, &a, e);
	}
	if (err == 0 && announces(&in->reach)) {
		a.next_hop = in->reach_next_hop;
		a.next_hop_ll = in->reach_next_hop_ll;
		if (own_next_hop(p, &a.next_hop))
			refuse_own(p, &in->reach);
		else
			err = announce_all(p, &in->reach, &a, e);
	}
	return err;
}

int bgp_session_update(struct bgp_peer *p, const uint8_t *body, size_t len, struct bgp_error *e)
{
	struct bgp_from from = {.ebgp = p->ebgp,
		.as4 = p->as4,
		.families = p->families,
		.add_path = p->paths_in,
		.v4_over_v6 = p->v4_over_v6};
	struct bgp_update *u = &p->b->update;
	bool routes;
	char text[160];

	p->n.rx_updates++;
	bgp_update_decode(body, len, &from, u);
	p->n.attrs_discarded += u->attrs.discarded;
	if (u->attrs.fix == FIX_RESET) {
		p->n.malformed_resets++;
		*e = u->attrs.err;
		return ERR_MALFORMED;
	}
	routes = announces(&u->announced) || announces(&u->attrs.reach);
	if (routes)
		check_first_as(p, u);
	if (u->attrs.fix != FIX_NONE)
		bgp_say(p->b, p->idx, "%s: %s", bgp_error_fmt(&u->attrs.err, text, sizeof(text)),
			u->attrs.fix == FIX_DISCARD ? "attribute discarded"
						    : "treated as withdrawal");
	/* RFC 4271 9: what is withdrawn and announced in one message is announced. */
	withdraw_all(p, &u->withdrawn);
	withdraw_all(p, &u->attrs.unreach);
	if (u->end_of_rib && u->eor_family >= 0)
		bgp_restart_eor(p, (unsigned)u->eor_family);
	if (!routes)
		return 0;
	if (u->attrs.fix == FIX_WITHDRAW || is_looped(p, &u->attrs.a)) {
		if (u->attrs.fix == FIX_WITHDRAW)
			p->n.treated_as_withdraw++;
		else
			p->n.loops++;
		withdraw_all(p, &u->announced);
		withdraw_all(p, &u->attrs.reach);
		return 0;
	}
	return announce(p, u, e);
}
