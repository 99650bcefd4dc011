/* ctl_bgp_policy.c - `weft status bgp policy`, `weft bgp policy test` and `weft bgp reload`; shapes in
 * docs/json.md.
 *
 * A test evaluates a route that is there (the neighbour's as received, or the best one), or one made
 * up from the request, and counts nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "weft/wire.h"
#include "bgp_attr.h"
#include "bgp_svc.h"
#include "policy_comm.h"
#include "roa.h"

#define TEXT      400
#define PATH_LEN  64 /* AS numbers of a path that is made up */
#define COMMS_MAX 64 /* communities of each list */

char *ctl_bgp_communities(const struct bgp_attrs *at, char *out, size_t cap)
{
	static const enum bgp_list lists[] = {BGP_LIST_COMMUNITY, BGP_LIST_EXT, BGP_LIST_LARGE};
	size_t n = 0;

	out[0] = '\0';
	for (size_t k = 0; k < sizeof(lists) / sizeof(lists[0]); k++) {
		const struct bgp_span *s = policy_comm_span(at, lists[k]);
		unsigned width = policy_comm_width(lists[k]);

		for (unsigned i = 0; i + width <= s->len; i += width) {
			char one[POLICY_COMM_TEXT];

			policy_comm_fmt(lists[k], s->p + i, one);
			if (n + strlen(one) + 6 > cap) {
				(void)snprintf(out + n, cap - n, " ...");
				return out;
			}
			n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? " " : "", one);
		}
	}
	return out;
}

/* --- status bgp policy --- */

static void write_rules(struct ctl_w *w, const struct policy *p)
{
	struct policy_rule_info i;
	size_t it = 0;

	ctl_w_array(w, "rules");
	while (policy_rule_next(p, &it, &i)) {
		ctl_w_map(w, NULL);
		ctl_w_str(w, "rule", i.name);
		ctl_w_str(w, "match", i.match);
		ctl_w_str(w, "except", i.except);
		ctl_w_str(w, "set", i.change);
		ctl_w_str(w, "then", i.verdict);
		ctl_w_u64(w, "hits_in", i.hits[POLICY_IN]);
		ctl_w_u64(w, "hits_out", i.hits[POLICY_OUT]);
		ctl_w_end(w);
	}
	ctl_w_end(w);
}

static const struct conf_bgp *conf_in_use(const struct bgp_svc *s)
{
	return s->reloaded ? s->reloaded : s->conf;
}

/* Which neighbours have @p. */
static void write_users(const struct bgp_svc *s, struct ctl_w *w, const struct policy *p)
{
	const struct conf_bgp *c = conf_in_use(s);
	char text[CONF_BGP_PEER_NAME];

	ctl_w_array(w, "used");
	for (size_t i = 0; i < c->npeers; i++) {
		if (c->peers[i].import.policy == p)
			ctl_w_strf(w, NULL, "import of %s", conf_bgp_peer_name(&c->peers[i], text));
		if (c->peers[i].export.policy == p)
			ctl_w_strf(w, NULL, "export to %s", conf_bgp_peer_name(&c->peers[i], text));
	}
	ctl_w_end(w);
}

void ctl_bgp_policy(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	struct bgp_svc *s = ctl_bgp_svc(d, a);
	const struct policy *p;
	struct policy_info i;
	size_t it = 0;

	(void)rq;
	if (!s)
		return;
	ctl_w_map(a->w, NULL);
	ctl_w_array(a->w, "policies");
	while (policy_next(s->book, &it, &i, &p)) {
		ctl_w_map(a->w, NULL);
		ctl_w_str(a->w, "policy", i.name);
		write_users(s, a->w, p);
		write_rules(a->w, p);
		ctl_w_u64(a->w, "unmatched_in", i.unmatched[POLICY_IN]);
		ctl_w_u64(a->w, "unmatched_out", i.unmatched[POLICY_OUT]);
		ctl_w_end(a->w);
	}
	ctl_w_end(a->w);
	ctl_w_map(a->w, "origins");
	ctl_w_str(a->w, "file", conf_in_use(s)->roa_file);
	ctl_w_u64(a->w, "entries", s->origins ? roa_count(s->origins) : 0);
	ctl_w_str(a->w, "error", s->origins_why);
	ctl_w_end(a->w);
	ctl_w_end(a->w);
}

/* --- bgp policy test --- */

struct test {
	struct bgp_svc *s;
	struct ctl_w *w;
	const struct bgp_neighbour *n; /* NULL: none was named */
	struct policy *policy;
	enum policy_dir dir;
	struct bgp_nlri nlri;
	struct bgp_edit *e;
	bool ran;
	const char *what; /* where the route is from */
	struct bgp_route route;
};

static void write_attrs(struct ctl_w *w, const char *key, const struct bgp_attrs *at)
{
	static const char *const origins[] = {"igp", "egp", "incomplete"};
	char text[TEXT];

	ctl_w_map(w, key);
	ctl_w_str(w, "next_hop", at->next_hop.family == IP_NONE ? "" : ip_fmt(&at->next_hop, text));
	ctl_w_str(w, "as_path", bgp_attrs_path_fmt(at, text, sizeof(text)));
	ctl_w_str(w, "origin",
		(at->has & BGP_HAS_ORIGIN) && at->origin < 3 ? origins[at->origin] : "");
	if (at->has & BGP_HAS_LOCAL_PREF)
		ctl_w_u64(w, "local_pref", at->local_pref);
	if (at->has & BGP_HAS_MED)
		ctl_w_u64(w, "med", at->med);
	ctl_w_str(w, "communities", ctl_bgp_communities(at, text, sizeof(text)));
	ctl_w_end(w);
}

static void write_step(void *ctx, const struct policy_step *s)
{
	struct ctl_w *w = ctx;

	ctl_w_map(w, NULL);
	ctl_w_str(w, "rule", !s->rule ? "(end)" : s->rule[0] ? s->rule : "(range of the mesh)");
	ctl_w_bool(w, "holds", s->holds);
	if (s->holds) {
		ctl_w_str(w, "set", s->change);
		ctl_w_str(w, "then", s->verdict);
	} else {
		ctl_w_str(w, s->excepted ? "excepted" : "lacks", s->failed);
	}
	ctl_w_end(w);
}

/* Evaluate t->route with @attrs and write the answer. */
static void run_test(struct test *t, const struct bgp_attrs *attrs)
{
	uint32_t origin = attrs->as_path.len ? bgp_attrs_origin_as(attrs) : t->s->conf->asn;
	char text[PFX_STRLEN];
	enum bgp_verdict v;

	t->ran = true;
	bgp_edit_init(t->e, attrs);
	/* RFC 8326 5.1, as the core does before the policy. */
	if (t->dir == POLICY_IN && t->route.ebgp &&
		bgp_attrs_has_community(attrs, BGP_COMM_GRACEFUL_SHUTDOWN))
		bgp_edit_local_pref(t->e, 0);
	t->route.attrs = &t->e->a;
	ctl_w_map(t->w, NULL);
	ctl_w_str(t->w, "prefix", pfx_fmt(&t->nlri.pfx, text));
	ctl_w_str(t->w, "neighbour", t->n ? bgp_svc_name(t->n, text) : "");
	ctl_w_str(t->w, "direction", t->dir == POLICY_IN ? "in" : "out");
	ctl_w_str(t->w, "policy", policy_name(t->policy));
	ctl_w_str(t->w, "route", t->what);
	ctl_w_str(t->w, "validity",
		t->s->origins ? roa_state_str(roa_validate(t->s->origins, &t->nlri.pfx, origin))
			      : "unknown");
	write_attrs(t->w, "before", attrs);
	ctl_w_array(t->w, "steps");
	v = policy_explain(t->policy, t->dir, &t->route, t->e, write_step, t->w);
	ctl_w_end(t->w);
	if (t->e->overflow)
		v = BGP_REJECT;
	ctl_w_str(t->w, "verdict", v == BGP_ACCEPT ? "accept" : "reject");
	write_attrs(t->w, "after", &t->e->a);
	ctl_w_end(t->w);
}

static void from_peer(struct test *t, uint32_t peer)
{
	const struct bgp_neighbour *n = bgp_svc_peer(t->s, peer);

	t->route.peer = peer;
	t->route.peer_as = n ? n->conf->asn : t->s->conf->asn;
	t->route.ebgp = n && n->conf->asn != t->s->conf->asn;
}

/* The route that is there, if it is the one asked for. */
static bool try_route(void *ctx, const struct bgp_entry *e)
{
	struct test *t = ctx;

	if (!pfx_eq(&e->nlri->pfx, &t->nlri.pfx) || e->nlri->family != t->nlri.family ||
		(t->dir == POLICY_OUT && !e->best))
		return true;
	from_peer(t, e->peer);
	t->what = t->dir == POLICY_IN ? "received" : "best";
	run_test(t, e->attrs);
	return false;
}

/* --- a route that is made up --- */

struct made {
	struct bgp_attrs a;
	uint8_t path[2 + 4 * PATH_LEN];
	uint8_t comms[3][12 * COMMS_MAX];
};

static bool number(const char *text, uint32_t *out)
{
	char *end;
	unsigned long long v;

	if (text[0] < '0' || text[0] > '9')
		return false;
	v = strtoull(text, &end, 10);
	*out = (uint32_t)v;
	return *end == '\0' && v <= UINT32_MAX;
}

/* The next word of *@text, into @out; false: none is left, or it is too long. */
static bool word(const char **text, char *out, size_t cap)
{
	size_t len;

	*text += strspn(*text, " ");
	len = strcspn(*text, " ");
	if (len == 0 || len >= cap)
		return false;
	memcpy(out, *text, len);
	out[len] = '\0';
	*text += len;
	return true;
}

static bool make_path(struct made *m, const char *text)
{
	char one[12];
	uint32_t as;

	m->path[0] = 2; /* AS_SEQUENCE */
	m->path[1] = 0;
	while (word(&text, one, sizeof(one))) {
		if (m->path[1] == PATH_LEN || !number(one, &as) || as == 0)
			return false;
		for (unsigned i = 0; i < 4; i++)
			m->path[2 + 4 * m->path[1] + i] = (uint8_t)(as >> (24 - 8 * i));
		m->path[1]++;
	}
	m->a.as_path = (struct bgp_span){m->path, (uint16_t)(m->path[1] ? 2 + 4 * m->path[1] : 0)};
	return text[strspn(text, " ")] == '\0';
}

static bool make_communities(struct made *m, const char *text)
{
	struct bgp_span *spans[] = {
		&m->a.communities, &m->a.ext_communities, &m->a.large_communities};
	char one[POLICY_COMM_TEXT], why[POLICY_WHY];
	struct policy_comm c;

	while (word(&text, one, sizeof(one))) {
		struct bgp_span *s;

		if (policy_comm_parse(one, &c, why) != 0 || !policy_comm_is_value(&c))
			return false;
		s = spans[c.list];
		if (s->len == COMMS_MAX * policy_comm_width(c.list))
			return false;
		s->p = m->comms[c.list];
		policy_comm_value(&c, m->comms[c.list] + s->len);
		s->len = (uint16_t)(s->len + policy_comm_width(c.list));
	}
	return text[strspn(text, " ")] == '\0';
}

/* From the request; what it doesn't say is as that neighbour would likely send it. NULL: fine, else the
 * argument that is wrong. */
static const char *make_route(struct test *t, const struct ctl_request *rq, struct made *m)
{
	const char *path = ctl_request_arg(rq, "as_path"),
		   *comms = ctl_request_arg(rq, "communities"), *med = ctl_request_arg(rq, "med"),
		   *pref = ctl_request_arg(rq, "local_pref"), *nh = ctl_request_arg(rq, "next_hop");
	char asn[12] = "";

	memset(m, 0, sizeof(*m));
	m->a.has = BGP_HAS_ORIGIN | BGP_HAS_AS_PATH;
	from_peer(t, t->dir == POLICY_IN && t->n ? t->n->peer : BGP_LOCAL);
	if (t->route.ebgp)
		(void)snprintf(asn, sizeof(asn), "%u", t->route.peer_as);
	if (!make_path(m, path ? path : asn))
		return "as-path";
	if (comms && !make_communities(m, comms))
		return "community";
	if (med && !number(med, &m->a.med))
		return "med";
	if (pref && !number(pref, &m->a.local_pref))
		return "local-preference";
	if (nh && ip_parse(nh, &m->a.next_hop) != 0)
		return "next-hop";
	m->a.has |= (med ? BGP_HAS_MED : 0) | (pref ? BGP_HAS_LOCAL_PREF : 0);
	if (!nh && t->route.peer != BGP_LOCAL)
		m->a.next_hop = t->n->conf->remote.ip;
	t->what = "made up";
	return NULL;
}

static bool is_made_up(const struct ctl_request *rq)
{
	return ctl_request_arg(rq, "as_path") || ctl_request_arg(rq, "communities") ||
	       ctl_request_arg(rq, "med") || ctl_request_arg(rq, "local_pref") ||
	       ctl_request_arg(rq, "next_hop");
}

static const char *what_is_taken(const char *option)
{
	static const struct {
		const char *option, *takes;
	} all[] = {
		{"as-path",
			"AS numbers from 1 on, with spaces between: \"64999 65001\", at most 64"},
		{"community", "64999:77, 64999:1:2, rt:64999:9, no-export and so on, at most 64 of "
			      "a kind"},
		{"med", "a number from 0 to 4294967295"},
		{"local-preference", "a number from 0 to 4294967295"}, {"next-hop", "an address"}};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(all[i].option, option) == 0)
			return all[i].takes;
	return "weft help bgp policy test";
}

/* --- which policy --- */

/* That of the neighbour. NULL, refused: it has none. */
static struct policy *policy_of(struct test *t, struct ctl_answer *a)
{
	const struct conf_bgp *c = conf_in_use(t->s);
	struct policy *p = NULL;
	bool ibgp = t->n->conf->asn == t->s->conf->asn;

	for (size_t i = 0; i < c->npeers; i++)
		if (conf_bgp_same_peer(&c->peers[i], t->n->conf))
			p = t->dir == POLICY_IN ? c->peers[i].import.policy
						: c->peers[i].export.policy;
	if (!p && ibgp)
		p = policy_find(t->s->book, "accept");
	if (!p)
		ctl_refuse(a, "name one, or accept, in the configuration",
			"it has no %s policy, so nothing crosses (RFC 8212)",
			t->dir == POLICY_IN ? "import" : "export");
	return p;
}

static bool pick(struct test *t, const struct ctl_request *rq, struct ctl_answer *a)
{
	const char *prefix = ctl_request_arg(rq, "prefix"),
		   *neighbour = ctl_request_arg(rq, "neighbour"),
		   *direction = ctl_request_arg(rq, "direction"),
		   *policy = ctl_request_arg(rq, "policy");

	if (!prefix || pfx_parse(prefix, &t->nlri.pfx) != 0) {
		ctl_refuse(a,
			"weft bgp policy test 192.0.2.0/24 --neighbour 192.0.2.1: the bits behind "
			"the length of a prefix are 0",
			"%.60s is no prefix", prefix ? prefix : "nothing");
		return false;
	}
	t->nlri.family = t->nlri.pfx.ip.family == IP_V6 ? BGP_IPV6 : BGP_IPV4;
	t->dir = direction && strcmp(direction, "out") == 0 ? POLICY_OUT : POLICY_IN;
	t->n = neighbour ? bgp_svc_neighbour(t->s, neighbour) : NULL;
	if (neighbour && !t->n) {
		ctl_refuse(a, "weft status bgp names them", "no neighbour %.60s", neighbour);
		return false;
	}
	if (!policy && !t->n) {
		ctl_refuse(a, "add --neighbour ADDRESS or --policy NAME", "whose policy?");
		return false;
	}
	if (policy) {
		t->policy = policy_find(t->s->book, policy);
		if (!t->policy)
			ctl_refuse(
				a, "weft status bgp policy names them", "no policy %.60s", policy);
		return t->policy != NULL;
	}
	t->policy = policy_of(t, a);
	return t->policy != NULL;
}

void ctl_bgp_policy_test(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	struct test t = {.s = ctl_bgp_svc(d, a), .w = a->w};
	struct made *m = NULL;
	const char *wrong = NULL;
	struct bgp *core;

	if (!t.s || !pick(&t, rq, a))
		return;
	core = bgpd_core(t.s->bgpd);
	t.route = (struct bgp_route){.vni = VNI_DEFAULT,
		.nlri = &t.nlri,
		.to_ebgp = t.dir == POLICY_OUT && t.n && t.n->conf->asn != t.s->conf->asn};
	t.e = malloc(sizeof(*t.e));
	m = malloc(sizeof(*m));
	if (!t.e || !m) {
		ctl_refuse(a, "", "%s", err_str(ERR_NOMEM));
		goto out;
	}
	if (!is_made_up(rq) && t.dir == POLICY_OUT)
		(void)bgp_lookup(core, VNI_DEFAULT, &t.nlri, try_route, &t);
	else if (!is_made_up(rq) && t.n)
		(void)bgp_find(core, BGP_ADJ_IN, VNI_DEFAULT, t.n->peer, &t.nlri, try_route, &t);
	if (!t.ran)
		wrong = make_route(&t, rq, m);
	if (wrong)
		ctl_refuse(a, what_is_taken(wrong), "--%s is not understood", wrong);
	else if (!t.ran)
		run_test(&t, &m->a);
out:
	free(t.e);
	free(m);
}

/* --- metrics --- */

void bgp_policy_metrics(const struct bgp_svc *s, struct http_reply *r)
{
	static const char *const dirs[] = {[POLICY_IN] = "in", [POLICY_OUT] = "out"};
	const struct policy *p;
	struct policy_info i;
	struct policy_rule_info rule;
	size_t it = 0, at;

	http_printf(r,
		"# HELP weft_bgp_policy_hits_total Routes for which a rule of a policy held, "
		"since the last reload.\n# TYPE weft_bgp_policy_hits_total counter\n");
	while (policy_next(s->book, &it, &i, &p)) {
		for (at = 0; policy_rule_next(p, &at, &rule);)
			for (unsigned d = 0; d < 2; d++)
				http_printf(r,
					"weft_bgp_policy_hits_total{policy=\"%s\",rule=\"%s\","
					"direction=\"%s\"} %llu\n",
					i.name, rule.name, dirs[d],
					(unsigned long long)rule.hits[d]);
		for (unsigned d = 0; d < 2; d++)
			http_printf(r,
				"weft_bgp_policy_hits_total{policy=\"%s\",rule=\"\",direction="
				"\"%s\"} %llu\n",
				i.name, dirs[d], (unsigned long long)i.unmatched[d]);
	}
	http_printf(r,
		"# HELP weft_bgp_origins Entries of the file of origins in use.\n"
		"# TYPE weft_bgp_origins gauge\nweft_bgp_origins %zu\n",
		s->origins ? roa_count(s->origins) : 0);
}

/* --- bgp reload --- */

void ctl_bgp_reload(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	char why[CTL_ERROR_TEXT] = "";

	(void)rq;
	if (!ctl_bgp_svc(d, a))
		return;
	if (bgp_policy_reload(d, why, sizeof(why)) != 0) {
		ctl_refuse(a, "nothing was changed", "%s", why);
		return;
	}
	ctl_w_map(a->w, NULL);
	ctl_w_str(a->w, "message", "the policies of the configuration file are in use");
	ctl_w_end(a->w);
}
