/* ctl_own.c - `weft status ipam`, what an orchestrator asks (prefix-set, prefix-more, node-deleted,
 * node-added), and the metrics of ownership; shapes in docs/json.md.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "ctl_pods.h"
#include "ctl_status.h"
#include "own_svc.h"

static void message(struct ctl_answer *a, const char *text)
{
	ctl_w_map(a->w, NULL);
	ctl_w_str(a->w, "message", text);
	ctl_w_end(a->w);
}

/* --- status ipam --- */

static void pods_of(
	struct ctl_w *w, struct ipam *m, const struct owner_prefix *p, const char *device)
{
	struct ipam_prefix one = {p->vni, p->pfx};
	struct ipam_stats st;

	/* With this one prefix stated, its pool holds those of its addresses that are given out. */
	if (!m || device[0] || ipam_prefixes_set(m, &one, 1) != 0) {
		ctl_w_nil(w, "pods");
		return;
	}
	ipam_stats(m, p->vni, (enum ip_family)p->pfx.ip.family, pods_now(), &st);
	ctl_w_map(w, "pods");
	ctl_w_u64(w, "size", st.size);
	ctl_w_u64(w, "used", st.used);
	ctl_w_u64(w, "resting", st.held);
	ctl_w_u64(w, "free", st.free);
	ctl_w_end(w);
}

static const char *right_name(uint8_t right)
{
	return right == OWNER_BY_ORCHESTRATOR ? "orchestrator"
	       : right == OWNER_BY_CONFIG     ? "configuration"
	       : right == OWNER_BY_CLAIM      ? "claim"
					      : "other";
}

static uint64_t left_ms(ts_t when)
{
	int64_t ms = ts_is_never(when) ? 0 : dur_ms(ts_sub(when, loop_now()));

	return ms > 0 ? (uint64_t)ms : 0;
}

/* What every prefix has; the map stays open. */
static void prefix_head(struct ctl_w *w, const struct owner_prefix *p, const char *name,
	const struct node_key *key, bool self)
{
	char text[PFX_STRLEN], full[NODE_KEY_STRLEN], abbrev[NODE_KEY_SHORT + 1];

	ctl_w_map(w, NULL);
	ctl_w_u64(w, "vni", p->vni);
	ctl_w_str(w, "prefix", pfx_fmt(&p->pfx, text));
	ctl_w_str(w, "node", name);
	ctl_w_str(w, "key", node_key_fmt(key, full));
	ctl_w_str(w, "short", node_key_fmt_short(key, abbrev));
	ctl_w_bool(w, "self", self);
	ctl_w_str(w, "right", right_name(p->right));
	ctl_w_u64(w, "since_unix_secs", p->since_secs);
}

static void own_prefixes(struct daemon *d, struct ctl_w *w)
{
	static const char *const states[] = {[OWNER_WAITING] = "waiting",
		[OWNER_IN_USE] = "in_use",
		[OWNER_LOST] = "lost",
		[OWNER_REFUSED] = "refused"};
	struct ipam *m = pods_read(d);
	char name[NODE_NAME_MAX + 1];
	struct owner_own own;
	size_t it = 0;

	while (owner_own_next(d->own->owner, &it, &own)) {
		const char *device = "";
		const struct segment *s = segment_find(d, own.p.vni);

		for (size_t i = 0; s && i < s->nprefixes; i++)
			if (pfx_eq(&s->prefixes[i].pfx, &own.p.pfx))
				device = s->prefixes[i].device;
		prefix_head(w, &own.p, d->conf->name, &d->id.pub, true);
		ctl_w_str(w, "state", states[own.state]);
		ctl_w_str(
			w, "to", own.state == OWNER_LOST ? status_node_name(d, &own.by, name) : "");
		ctl_w_u64(w, "left_ms", left_ms(own.usable_at));
		ctl_w_str(w, "device", device);
		pods_of(w, m, &own.p, device);
		ctl_w_end(w);
	}
	ipam_free(m);
}

/* Did @p of @node lose to another's claim? */
static bool is_lost(const struct gossip_node_info *node, const struct owner_prefix *p)
{
	for (size_t i = 0; i < node->nprefixes; i++)
		if (node->prefixes[i].vni == p->vni && pfx_eq(&node->prefixes[i].pfx, &p->pfx))
			return node->prefixes[i].lost;
	return false;
}

static void other_prefixes(struct daemon *d, struct ctl_w *w)
{
	char name[NODE_NAME_MAX + 1];
	struct owner_node_info n;
	size_t it = 0;

	while (owner_node_next(d->own->owner, &it, loop_now(), &n)) {
		struct gossip_node_info g = {.nprefixes = 0};

		if (gossip_node_get(d->gossip, &n.key, &g) != 0)
			g.nprefixes = 0;
		for (size_t i = 0; i < n.nprefixes; i++) {
			const char *state = n.ended                       ? "expired"
					    : n.state != OWNER_ALIVE      ? "leased"
					    : is_lost(&g, &n.prefixes[i]) ? "lost"
									  : "in_use";

			prefix_head(w, &n.prefixes[i], status_node_name(d, &n.key, name), &n.key,
				false);
			ctl_w_str(w, "state", state);
			ctl_w_str(w, "to", "");
			ctl_w_u64(w, "left_ms",
				n.lease_left.ns > 0 ? (uint64_t)dur_ms(n.lease_left) : 0);
			ctl_w_end(w);
		}
	}
}

static void ranges(struct daemon *d, struct ctl_w *w)
{
	struct owner_range_info r;
	char text[PFX_STRLEN];

	ctl_w_array(w, "ranges");
	for (size_t i = 0; owner_range_at(d->own->owner, i, &r) == 0; i++) {
		ctl_w_map(w, NULL);
		ctl_w_u64(w, "vni", r.vni);
		ctl_w_str(w, "range", pfx_fmt(&r.range, text));
		ctl_w_u64(w, "block_length", r.unit);
		ctl_w_u64(w, "size", r.size);
		ctl_w_u64(w, "owned", r.owned);
		ctl_w_u64(w, "leased", r.leased);
		ctl_w_u64(w, "expired", r.ended);
		ctl_w_u64(w, "free", r.free);
		ctl_w_end(w);
	}
	ctl_w_end(w);
}

static void wanted(struct daemon *d, struct ctl_w *w)
{
	struct owner_want_info want;
	size_t it = 0;

	ctl_w_array(w, "wanted");
	while (owner_want_next(d->own->owner, &it, &want)) {
		ctl_w_map(w, NULL);
		ctl_w_u64(w, "vni", want.vni);
		ctl_w_u64(w, "family", want.family);
		ctl_w_u64(w, "length", want.len);
		ctl_w_str(w, "state", want.exhausted ? "exhausted" : "waiting");
		ctl_w_u64(w, "next_ms", left_ms(want.next));
		ctl_w_end(w);
	}
	ctl_w_end(w);
}

/* All but the map's ends. */
static void fill(struct daemon *d, struct ctl_w *w)
{
	struct owner_stats st;

	owner_stats(d->own->owner, &st);
	ranges(d, w);
	ctl_w_array(w, "prefixes");
	own_prefixes(d, w);
	other_prefixes(d, w);
	ctl_w_end(w);
	wanted(d, w);
	pods_totals(d, w);
	ctl_w_map(w, "leases");
	ctl_w_u64(w, "running", st.leases);
	ctl_w_bool(w, "paused", st.paused);
	ctl_w_u64(w, "members", st.members);
	ctl_w_u64(w, "missing", st.missing);
	ctl_w_u64(w, "ended", st.leases_ended);
	ctl_w_end(w);
	ctl_w_u64(w, "claims", st.claims);
	ctl_w_u64(w, "objections", st.objections);
}

void ctl_own_fill(struct daemon *d, struct ctl_w *w, const char *key)
{
	ctl_w_map(w, key);
	fill(d, w);
	ctl_w_end(w);
}

void ctl_own_status(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	(void)rq;
	ctl_w_map(a->w, NULL);
	fill(d, a->w);
	pods_list(d, a->w); /* not in a report: who runs what is nobody's business there */
	ctl_w_end(a->w);
}

/* --- commands --- */

/* Take the CIDRs of one argument. False: the answer says what is wrong. */
static bool take_list(
	struct daemon *d, const char *text, struct owner_prefix *v, size_t *n, struct ctl_answer *a)
{
	const struct segment *s = segment_find(d, VNI_DEFAULT);

	while (*text) {
		size_t len = strcspn(text, ", ");
		char one[PFX_STRLEN], why[200];
		struct conf_prefix p = {.claim = false};
		bool inside = false;

		if (len == 0) {
			text++;
			continue;
		}
		snprintf(one, sizeof(one), "%.*s", (int)(len < sizeof(one) ? len : 0), text);
		text += len;
		if (pfx_parse(one, &p.pfx) != 0) {
			ctl_refuse(a, "prefixes are CIDRs without host bits, between commas",
				"'%s' is no prefix", one);
			return false;
		}
		for (size_t i = 0; i < s->nranges; i++)
			inside |= pfx_contains(&s->ranges[i], &p.pfx);
		if (!inside) {
			ctl_refuse(a, "weftd needs a --cluster-range that contains it",
				"%s is in no cluster-range", one);
			return false;
		}
		if (segment_prefix_overlaps(d, VNI_DEFAULT, &p, why, sizeof(why))) {
			ctl_refuse(a, "", "%s overlaps %s", one, why);
			return false;
		}
		if (*n == LIM_PREFIXES_PER_NODE) {
			ctl_refuse(a, "", "more than %d prefixes", LIM_PREFIXES_PER_NODE);
			return false;
		}
		v[(*n)++] = (struct owner_prefix){.vni = VNI_DEFAULT, .pfx = p.pfx};
	}
	return true;
}

void ctl_own_set(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	struct owner_prefix *v = calloc(LIM_PREFIXES_PER_NODE, sizeof(*v));
	char text[PFX_STRLEN], told[64];
	size_t n = 0, bad = 0;
	bool given = false;
	int e;

	if (!v) {
		ctl_refuse(a, "", "%s", err_str(ERR_NOMEM));
		return;
	}
	/* A long list comes in several arguments: prefixes, prefixes-2, ... */
	for (size_t i = 0; i < rq->nargs; i++) {
		if (strncmp(rq->args[i].key, "prefixes", 8) != 0)
			continue;
		given = true;
		if (!take_list(d, rq->args[i].value, v, &n, a))
			goto out;
	}
	if (!given) {
		ctl_refuse(a, "", "prefix-set needs prefixes: a list, which may be empty");
		goto out;
	}
	e = owner_orchestrator_set(d->own->owner, v, n, &bad, loop_now());
	if (e == ERR_EXISTS)
		ctl_refuse(a, "", "%s overlaps another of this node's prefixes",
			pfx_fmt(&v[bad].pfx, text));
	else if (e)
		ctl_refuse(a, "", "%s", err_str(e));
	if (e)
		goto out;
	mesh_drain(d);
	snprintf(told, sizeof(told), "%zu prefix%s set", n, n == 1 ? "" : "es");
	message(a, told);
out:
	free(v);
}

void ctl_own_more(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	const char *family = ctl_request_arg(rq, "family");
	int e;

	if (!family || (strcmp(family, "4") != 0 && strcmp(family, "6") != 0)) {
		ctl_refuse(a, "", "prefix-more needs a family: 4 or 6");
		return;
	}
	e = owner_want_more(d->own->owner, VNI_DEFAULT, *family == '4' ? IP_V4 : IP_V6, loop_now());
	mesh_drain(d);
	if (e == 0)
		message(a, "another block is claimed");
	else if (e == ERR_BUSY)
		message(a, "a block is being claimed already");
	else if (e == ERR_NOT_FOUND)
		ctl_refuse(a, "start weftd with --prefix auto/LEN",
			"no blocks are claimed in IPv%s", family);
	else
		ctl_refuse(
			a, "", "this node has claimed as many more as it may (%d)", LIM_OWN_EXTRA);
}

static void node_is(
	struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a, bool deleted)
{
	const char *node = ctl_request_arg(rq, "node");

	if (!node || !*node) {
		ctl_refuse(a, "", "%s needs the name of a node", rq->cmd);
		return;
	}
	if (own_svc_deleted(d, node, deleted) == 0) {
		message(a, "no such node is known");
		return;
	}
	mesh_drain(d);
	message(a, deleted ? "its lease ends as soon as it is down"
			   : "its lease begins when it is down, as other nodes' do");
}

void ctl_own_deleted(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	node_is(d, rq, a, true);
}

void ctl_own_added(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	node_is(d, rq, a, false);
}

/* --- metrics --- */

static void head(struct http_reply *r, const char *name, const char *type, const char *help)
{
	http_printf(r, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void value(
	struct http_reply *r, const char *name, const char *type, const char *help, uint64_t v)
{
	head(r, name, type, help);
	http_printf(r, "%s %" PRIu64 "\n", name, v);
}

void metrics_own(struct daemon *d, struct http_reply *r)
{
	struct owner_range_info g;
	struct owner_stats st;
	char text[PFX_STRLEN];

	owner_stats(d->own->owner, &st);
	value(r, "weft_prefixes_own", "gauge", "Prefixes of this node.", st.own);
	value(r, "weft_prefixes_own_lost", "gauge",
		"Of those, lost to another node's stronger claim.", st.lost);
	value(r, "weft_prefixes_own_refused", "gauge",
		"Of those, from the orchestrator, and this host can't use them now.", st.unusable);
	value(r, "weft_claims_total", "counter", "Blocks chosen from the ranges.", st.claims);
	value(r, "weft_claim_objections_total", "counter",
		"Blocks given up for another node's stronger claim.", st.objections);
	value(r, "weft_range_exhausted", "gauge", "Blocks wanted that no range has room for.",
		st.exhausted);
	value(r, "weft_leases", "gauge", "Nodes that are gone and whose prefixes are kept.",
		st.leases);
	value(r, "weft_leases_paused", "gauge",
		"1 while leases stand still, since too many members are missing.", st.paused);
	head(r, "weft_range_blocks", "gauge", "Blocks of a range, by who holds them.");
	for (size_t i = 0; owner_range_at(d->own->owner, i, &g) == 0; i++) {
		const struct {
			const char *state;
			uint64_t n;
		} rows[] = {{"owned", g.owned}, {"leased", g.leased}, {"free", g.free}};

		pfx_fmt(&g.range, text);
		for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++)
			http_printf(r,
				"weft_range_blocks{vni=\"%u\",range=\"%s\",state=\"%s\"} %" PRIu64
				"\n",
				g.vni, text, rows[k].state, rows[k].n);
	}
}
