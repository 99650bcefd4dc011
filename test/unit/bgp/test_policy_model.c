/* Random policies and routes against an evaluator that keeps all as plain numbers and tries
 * everything: the verdict, the attributes afterwards, and the step by step account agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "bgp_attr.h"
#include "policy.h"
#include "prng.h"
#include "roa.h"

#define OWN   7u
#define RULES 6
#define VALS  5
#define COMMS 8
#define PATH  4

/* A condition: of its kind, up to VALS values. */
enum kind { PREFIX, COMM, ALL_COMM, FIRST_AS, CLUSTER, NEIGHBOUR, VALIDITY, LEARNED, KINDS };
static const char *const keys[KINDS] = {"prefix", "community", "all-communities", "as-path",
	"cluster", "neighbour-asn", "validity", "learned"};
struct val {
	struct pfx pfx;
	unsigned a, b, ge, le; /* a, b: -1 is "*" */
	bool in_set;           /* it stands in a named set of one value */
};
struct cond {
	unsigned n; /* 0: not given */
	struct val v[VALS];
};
struct mrule {
	struct cond match[KINDS], except[KINDS];
	bool pref, med, no_med, replace;
	unsigned pref_value, med_value, prepend, nadd, ndel, verdict;
	unsigned add[3]; /* communities as a << 16 | b */
	struct val del[2];
};
struct model {
	struct prng rnd;
	struct mrule rules[RULES];
	unsigned nrules;
	struct roa_entry roas[4];
	unsigned nsets;
};
struct route {
	struct pfx pfx;
	unsigned path[PATH + 40], npath, comms[COMMS + 20], ncomms;
	unsigned peer, peer_as, pref, med, learned;
	bool ebgp, has_pref, has_med;
};

static unsigned below(struct model *m, unsigned n)
{
	return (unsigned)prng_below(&m->rnd, n);
}

static struct pfx some_pfx(struct model *m, unsigned max)
{
	struct ip ip = below(m, 4) ? ip_v4(below(m, 4) << 30 | below(m, 4) << 24)
				   : ip_v6_bytes((const uint8_t[16]){(uint8_t)(below(m, 4) << 6)});
	struct pfx p;

	assert_int_equal(pfx_make(&ip, below(m, max), &p), 0);
	return p;
}

static struct val some_val(struct model *m, enum kind k)
{
	struct val v = {.in_set = k <= NEIGHBOUR && below(m, 3) == 0};

	switch (k) {
	case PREFIX:
		v.pfx = some_pfx(m, 10);
		v.ge = v.pfx.len + below(m, 3);
		v.le = v.ge + below(m, 4);
		break;
	case COMM:
	case ALL_COMM:
		v.a = below(m, 4) ? below(m, 3) : UINT32_MAX;
		v.b = below(m, 4) ? below(m, 3) : UINT32_MAX;
		break;
	case VALIDITY:
	case LEARNED:
		v.a = below(m, 3);
		break;
	default:
		v.a = below(m, 9);
		v.b = v.a + below(m, 3);
		if (k != FIRST_AS && v.a == 0)
			v.b = 0; /* own */
	}
	return v;
}

static void some_conds(struct model *m, struct cond *c, unsigned one_in)
{
	for (unsigned k = 0; k < KINDS; k++) {
		c[k].n = 0;
		if (below(m, one_in) == 0)
			c[k].n = 1 + below(m, k == ALL_COMM ? 2 : VALS);
		for (unsigned i = 0; i < c[k].n; i++)
			c[k].v[i] = some_val(m, (enum kind)k);
	}
}

static void some_rules(struct model *m)
{
	m->nrules = 1 + below(m, RULES);
	for (unsigned i = 0; i < m->nrules; i++) {
		struct mrule *r = &m->rules[i];

		*r = (struct mrule){.verdict = below(m, 3)};
		some_conds(m, r->match, 6);
		some_conds(m, r->except, 12);
		r->pref = below(m, 2);
		r->pref_value = below(m, 1000);
		r->med = below(m, 3) == 0;
		r->no_med = !r->med && below(m, 3) == 0;
		r->med_value = below(m, 1000);
		r->prepend = below(m, 3);
		r->replace = below(m, 5) == 0;
		r->nadd = below(m, 3);
		for (unsigned k = 0; k < r->nadd; k++)
			r->add[k] = below(m, 3) << 16 | below(m, 3);
		r->ndel = below(m, 3);
		for (unsigned k = 0; k < r->ndel; k++)
			r->del[k] = some_val(m, COMM);
	}
	for (unsigned i = 0; i < 4; i++) {
		m->roas[i].pfx = some_pfx(m, 8);
		m->roas[i].max_len = (uint8_t)(m->roas[i].pfx.len + below(m, 4));
		m->roas[i].as = 1 + below(m, 6);
	}
}

/* --- to text --- */

static void star(unsigned v, char *out)
{
	if (v == UINT32_MAX)
		strcpy(out, "*");
	else
		sprintf(out, "%u", v);
}

static void val_text(enum kind k, const struct val *v, char *out)
{
	static const char *const learned[] = {"own", "ibgp", "ebgp"};
	char a[PFX_STRLEN], b[20];

	switch (k) {
	case PREFIX:
		sprintf(out, "%s ge %u le %u", pfx_fmt(&v->pfx, a), v->ge, v->le);
		break;
	case COMM:
	case ALL_COMM:
		star(v->a, a);
		star(v->b, b);
		sprintf(out, "%s:%s", a, b);
		break;
	case FIRST_AS:
		sprintf(out, "^[%u-%u]", v->a, v->b);
		break;
	case VALIDITY:
		strcpy(out, roa_state_str((enum roa_state)v->a));
		break;
	case LEARNED:
		strcpy(out, learned[v->a]);
		break;
	default:
		if (v->a == 0)
			strcpy(out, "own");
		else
			sprintf(out, "%u-%u", v->a, v->b);
	}
}

static void put(struct model *m, struct policy_book *b, struct policy_rule *r,
	enum policy_part part, const char *key, const char *text)
{
	char why[POLICY_WHY];

	(void)m;
	if (policy_rule_take(b, r, part, policy_key_find(part, key), text, why) != 0)
		fail_msg("%s %s %s", key, text, why);
}

static void put_conds(struct model *m, struct policy_book *b, struct policy_rule *r,
	enum policy_part part, const struct cond *c)
{
	static const enum policy_kind set_kinds[] = {POLICY_PREFIXES, POLICY_COMMUNITIES,
		POLICY_COMMUNITIES, POLICY_PATHS, POLICY_ASNS, POLICY_ASNS};

	for (unsigned k = 0; k < KINDS; k++)
		for (unsigned i = 0; i < c[k].n; i++) {
			char text[100], name[20], why[POLICY_WHY];
			struct policy_set *s;

			val_text((enum kind)k, &c[k].v[i], text);
			if (c[k].v[i].in_set) {
				sprintf(name, "s%u", m->nsets++);
				assert_int_equal(policy_set_new(b, set_kinds[k], name, &s, why), 0);
				assert_int_equal(policy_set_add(b, s, text, why), 0);
				strcpy(text, name);
			}
			put(m, b, r, part, keys[k], text);
		}
}

static struct policy *build(struct model *m, struct policy_book *b)
{
	static const char *const verdicts[] = {"accept", "reject", "next"};
	struct policy *p;
	char why[POLICY_WHY], text[100];

	m->nsets = 0;
	assert_int_equal(policy_new(b, "p", &p, why), 0);
	for (unsigned i = 0; i < m->nrules; i++) {
		const struct mrule *mr = &m->rules[i];
		struct policy_rule *r;

		assert_int_equal(policy_rule_new(p, NULL, &r, why), 0);
		put_conds(m, b, r, POLICY_MATCH, mr->match);
		put_conds(m, b, r, POLICY_EXCEPT, mr->except);
		sprintf(text, "%u", mr->pref_value);
		if (mr->pref)
			put(m, b, r, POLICY_CHANGE, "local-preference", text);
		sprintf(text, "%u", mr->med_value);
		if (mr->med || mr->no_med)
			put(m, b, r, POLICY_CHANGE, "med", mr->med ? text : "none");
		sprintf(text, "%u", mr->prepend);
		if (mr->prepend)
			put(m, b, r, POLICY_CHANGE, "prepend", text);
		for (unsigned k = 0; k < mr->nadd; k++) {
			sprintf(text, "%u:%u", mr->add[k] >> 16, mr->add[k] & 0xffff);
			put(m, b, r, POLICY_CHANGE, mr->replace ? "communities" : "add-communities",
				text);
		}
		if (mr->replace)
			assert_int_equal(
				policy_rule_take_end(r, POLICY_CHANGE,
					policy_key_find(POLICY_CHANGE, "communities"), why),
				0);
		for (unsigned k = 0; k < mr->ndel; k++) {
			val_text(COMM, &mr->del[k], text);
			put(m, b, r, POLICY_CHANGE, "delete-communities", text);
		}
		assert_int_equal(policy_rule_verdict(r, verdicts[mr->verdict], why), 0);
	}
	assert_int_equal(policy_book_close(b, OWN), 0);
	return p;
}

/* --- the naive evaluator --- */

static bool comm_fits(const struct val *v, unsigned c)
{
	return (v->a == UINT32_MAX || v->a == c >> 16) &&
	       (v->b == UINT32_MAX || v->b == (c & 0xffff));
}

static unsigned validity(const struct model *m, const struct route *r)
{
	unsigned origin = r->npath ? r->path[r->npath - 1] : OWN, state = ROA_UNKNOWN;

	for (unsigned i = 0; i < 4; i++) {
		const struct roa_entry *e = &m->roas[i];

		if (!pfx_contains(&e->pfx, &r->pfx))
			continue;
		if (e->as == origin && r->pfx.len <= e->max_len)
			return ROA_VALID;
		state = ROA_INVALID;
	}
	return state;
}

static bool asn_fits(const struct val *v, unsigned as)
{
	return v->a ? as >= v->a && as <= v->b : as == OWN;
}

static bool val_holds(
	const struct model *m, enum kind k, const struct val *v, const struct route *r)
{
	switch (k) {
	case PREFIX:
		return pfx_contains(&v->pfx, &r->pfx) && r->pfx.len >= v->ge && r->pfx.len <= v->le;
	case COMM:
	case ALL_COMM:
		for (unsigned i = 0; i < r->ncomms; i++)
			if (comm_fits(v, r->comms[i]))
				return true;
		return false;
	case FIRST_AS:
		return r->npath && r->path[0] >= v->a && r->path[0] <= v->b;
	case CLUSTER:
		return asn_fits(v, r->npath ? r->path[r->npath - 1] : OWN);
	case NEIGHBOUR:
		return asn_fits(v, r->peer_as);
	case VALIDITY:
		return v->a == validity(m, r);
	default:
		return v->a == r->learned;
	}
}

static bool cond_holds(
	const struct model *m, enum kind k, const struct cond *c, const struct route *r)
{
	unsigned yes = 0;

	for (unsigned i = 0; i < c->n; i++)
		yes += val_holds(m, k, &c->v[i], r);
	return k == ALL_COMM ? yes == c->n : yes > 0;
}

static bool has(const struct route *r, unsigned c)
{
	for (unsigned i = 0; i < r->ncomms; i++)
		if (r->comms[i] == c)
			return true;
	return false;
}

static void apply(const struct mrule *mr, struct route *r)
{
	unsigned n = 0;

	if (mr->pref) {
		r->has_pref = true;
		r->pref = mr->pref_value;
	}
	if (mr->med || mr->no_med) {
		r->has_med = mr->med;
		r->med = mr->med ? mr->med_value : 0;
	}
	for (unsigned k = 0; k < mr->prepend; k++) {
		memmove(r->path + 1, r->path, r->npath * sizeof(r->path[0]));
		r->path[0] = OWN;
		r->npath++;
	}
	for (unsigned i = 0; i < r->ncomms; i++) {
		bool del = mr->replace;

		for (unsigned k = 0; k < mr->ndel; k++)
			del |= comm_fits(&mr->del[k], r->comms[i]);
		if (!del)
			r->comms[n++] = r->comms[i];
	}
	r->ncomms = n;
	for (unsigned k = 0; k < mr->nadd; k++)
		if (!has(r, mr->add[k]))
			r->comms[r->ncomms++] = mr->add[k];
}

/* Rules looked at go to *@looked. */
static bool naive(const struct model *m, struct route *r, unsigned *looked)
{
	for (*looked = 0; *looked < m->nrules;) {
		const struct mrule *mr = &m->rules[(*looked)++];
		bool holds = true;

		for (unsigned k = 0; k < KINDS; k++)
			holds = holds &&
				(!mr->match[k].n ||
					cond_holds(m, (enum kind)k, &mr->match[k], r)) &&
				!(mr->except[k].n &&
					cond_holds(m, (enum kind)k, &mr->except[k], r));
		if (!holds)
			continue;
		if (mr->verdict == 1)
			return false;
		apply(mr, r);
		if (mr->verdict == 0)
			return true;
	}
	++*looked; /* the end */
	return false;
}

/* --- routes --- */

static void some_route(struct model *m, struct route *r)
{
	*r = (struct route){.pfx = some_pfx(m, 13),
		.peer = below(m, 2),
		.peer_as = 1 + below(m, 9),
		.ebgp = below(m, 2),
		.has_med = true,
		.med = 3};
	r->npath = below(m, PATH + 1);
	for (unsigned i = 0; i < r->npath; i++)
		r->path[i] = 1 + below(m, 9);
	/* Our own with a path was handed over by another speaker, and none of these. */
	r->learned = r->peer != BGP_LOCAL ? (r->ebgp ? 2 : 1) : r->npath ? 3 : 0;
	r->ncomms = 0;
	for (unsigned i = below(m, COMMS); i > 0; i--) {
		unsigned c = below(m, 3) << 16 | below(m, 3);

		if (!has(r, c))
			r->comms[r->ncomms++] = c;
	}
}

static void put32(uint8_t *at, unsigned v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (24 - 8 * i));
}

struct wire {
	uint8_t path[2 + 4 * (PATH + 40)], comms[4 * (COMMS + 20)];
};

static struct bgp_attrs to_attrs(const struct route *r, struct wire *w)
{
	struct bgp_attrs a = {.has = BGP_HAS_AS_PATH | BGP_HAS_MED, .med = r->med};

	w->path[0] = 2;
	w->path[1] = (uint8_t)r->npath;
	for (unsigned i = 0; i < r->npath; i++)
		put32(w->path + 2 + 4 * i, r->path[i]);
	for (unsigned i = 0; i < r->ncomms; i++)
		put32(w->comms + 4 * i, r->comms[i]);
	if (r->npath)
		a.as_path = (struct bgp_span){w->path, (uint16_t)(2 + 4 * r->npath)};
	a.communities = (struct bgp_span){w->comms, (uint16_t)(4 * r->ncomms)};
	return a;
}

static void same(const struct route *want, const struct bgp_attrs *got, uint64_t seed)
{
	struct wire w;
	struct bgp_attrs a = to_attrs(want, &w);
	bool ok = got->communities.len == a.communities.len && got->as_path.len == a.as_path.len &&
		  (!a.communities.len ||
			  memcmp(got->communities.p, a.communities.p, a.communities.len) == 0) &&
		  (!a.as_path.len || memcmp(got->as_path.p, a.as_path.p, a.as_path.len) == 0) &&
		  !(got->has & BGP_HAS_LOCAL_PREF) == !want->has_pref &&
		  (!want->has_pref || got->local_pref == want->pref) &&
		  !(got->has & BGP_HAS_MED) == !want->has_med &&
		  (!want->has_med || got->med == want->med);

	if (!ok)
		fail_msg("seed %llu: attributes differ", (unsigned long long)seed);
}

static void count(void *ctx, const struct policy_step *s)
{
	(void)s;
	++*(unsigned *)ctx;
}

static void one(struct model *m, uint64_t seed, unsigned accepted[2])
{
	struct policy_book *b = policy_book_new();
	struct policy *p;
	struct roa *roas;

	prng_seed(&m->rnd, seed);
	some_rules(m);
	p = build(m, b);
	assert_int_equal(roa_new(m->roas, 4, &roas), 0);
	policy_book_origins(b, roas);
	for (int k = 0; k < 40; k++) {
		struct bgp_policy hook = policy_hook(p, (enum policy_dir)(k & 1));
		unsigned looked, told = 0;
		static struct bgp_edit e;
		struct route r;
		struct wire w;

		some_route(m, &r);
		struct bgp_attrs a = to_attrs(&r, &w);
		struct bgp_nlri n = {
			.family = r.pfx.ip.family == IP_V6 ? BGP_IPV6 : BGP_IPV4, .pfx = r.pfx};
		struct bgp_route br = {.peer = r.peer,
			.peer_as = r.peer_as,
			.ebgp = r.ebgp,
			.nlri = &n,
			.attrs = &e.a};
		bool want = naive(m, &r, &looked);

		bgp_edit_init(&e, &a);
		if ((hook.ops->apply(hook.ctx, &br, &e) == BGP_ACCEPT) != want)
			fail_msg("seed %llu: verdict", (unsigned long long)seed);
		same(&r, &e.a, seed);
		bgp_edit_init(&e, &a);
		assert_int_equal(
			policy_explain(p, POLICY_OUT, &br, &e, count, &told) == BGP_ACCEPT, want);
		assert_int_equal(told, looked);
		accepted[want]++;
	}
	policy_book_free(b);
	roa_free(roas);
}

static void against_model(void **state)
{
	struct model *m = malloc(sizeof(*m));
	unsigned accepted[2] = {0};

	(void)state;
	for (uint64_t seed = 1; seed <= 3000; seed++)
		one(m, seed, accepted);
	free(m);
	assert_true(accepted[0] > 10000 && accepted[1] > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(against_model)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
