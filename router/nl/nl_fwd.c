/* nl_fwd.c - the nf_tables half of nl_fwd.h. Data in: dumps of chains and rules, which may be anything
 * that an administrator thinks of. Of each chain only the rules without a condition are kept, up to the
 * first that ends it, and ours.
 *
 * What counts as a condition: every expression but those listed in `scenery`. That errs to one side: a
 * rule not understood is taken for a special case of the host's, which goes on to apply.
 *
 * Bounds: JUMPS of a chain, DEPTH of jumps, DUMPS of a look. Beyond them a chain counts as one that
 * returns. */
#include "nl_fwd.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "nl_nftput.h"
#include "weft/err.h"

#define NFT(type)      ((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | (type)))
#define JUMPS          48
#define DEPTH          12
#define DUMPS          64
#define UDATA_COMMENT  0
#define XT_COMMENT_LEN 256
#define COMMENT_BYTES  96

enum verdict { V_NONE, V_ACCEPT, V_DROP, V_RETURN, V_JUMP, V_GOTO };

/* A rule without a condition that says where the packet goes. */
struct plain {
	uint64_t handle;
	unsigned at; /* its number in the chain */
	enum verdict verdict;
	char target[NFT_CHAIN_MAXNAMELEN];
};

struct scan {
	const char *comment; /* of our rule as it should be */
	unsigned at;
	bool ended;
	size_t n;
	struct plain plain[JUMPS];
	struct {
		uint64_t handle;
		unsigned at;
		bool current;
	} ours[NL_FWD_OURS];
	size_t nours;
};

struct rule {
	uint64_t handle;
	bool conditional;
	enum verdict verdict;
	const char *target, *comment;
	size_t comment_len;
};

static void comment_of(char *out, size_t len, uint32_t mark, uint32_t mask)
{
	snprintf(out, len, NL_FWD_COMMENT ", mark 0x%08x/0x%08x", mark, mask);
}

/* ---- one rule ---- */

static uint64_t be64_at(const struct nlattr *a)
{
	const uint8_t *b = mnl_attr_get_payload(a);
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | b[i];
	return v;
}

static void see_immediate(struct rule *r, const struct nlattr *data)
{
	static const struct nlx_policy imm[] = {
		{NFTA_IMMEDIATE_DREG, MNL_TYPE_U32, 0}, {NFTA_IMMEDIATE_DATA, MNL_TYPE_NESTED, 0}};
	static const struct nlx_policy value[] = {{NFTA_DATA_VERDICT, MNL_TYPE_NESTED, 0}};
	static const struct nlx_policy verdict[] = {
		{NFTA_VERDICT_CODE, MNL_TYPE_U32, 0}, {NFTA_VERDICT_CHAIN, MNL_TYPE_NUL_STRING, 0}};
	const struct nlattr *i[NFTA_IMMEDIATE_DATA + 1], *d[NFTA_DATA_VERDICT + 1],
		*v[NFTA_VERDICT_CHAIN + 1];

	if (nlx_attrs_nested(data, imm, 2, i, NFTA_IMMEDIATE_DATA) != 0 ||
		!i[NFTA_IMMEDIATE_DREG] || !i[NFTA_IMMEDIATE_DATA] ||
		ntohl(mnl_attr_get_u32(i[NFTA_IMMEDIATE_DREG])) != NFT_REG_VERDICT ||
		nlx_attrs_nested(i[NFTA_IMMEDIATE_DATA], value, 1, d, NFTA_DATA_VERDICT) != 0 ||
		!d[NFTA_DATA_VERDICT] ||
		nlx_attrs_nested(d[NFTA_DATA_VERDICT], verdict, 2, v, NFTA_VERDICT_CHAIN) != 0 ||
		!v[NFTA_VERDICT_CODE])
		return;
	if (v[NFTA_VERDICT_CHAIN])
		r->target = mnl_attr_get_str(v[NFTA_VERDICT_CHAIN]);
	switch ((int)ntohl(mnl_attr_get_u32(v[NFTA_VERDICT_CODE]))) {
	case NF_ACCEPT:
		r->verdict = V_ACCEPT;
		break;
	case NF_DROP:
		r->verdict = V_DROP;
		break;
	case NFT_RETURN:
		r->verdict = V_RETURN;
		break;
	case NFT_JUMP:
		r->verdict = r->target ? V_JUMP : V_NONE;
		break;
	case NFT_GOTO:
		r->verdict = r->target ? V_GOTO : V_NONE;
		break;
	default: /* to a queue, or something new */
		r->conditional = true;
		break;
	}
}

/* An iptables match inside nf_tables: only its comment is none. */
static void see_match(struct rule *r, const struct nlattr *data)
{
	static const struct nlx_policy policy[] = {
		{NFTA_MATCH_NAME, MNL_TYPE_NUL_STRING, 0}, {NFTA_MATCH_INFO, MNL_TYPE_BINARY, 0}};
	const struct nlattr *tb[NFTA_MATCH_INFO + 1];

	if (nlx_attrs_nested(data, policy, 2, tb, NFTA_MATCH_INFO) != 0 || !tb[NFTA_MATCH_NAME] ||
		strcmp(mnl_attr_get_str(tb[NFTA_MATCH_NAME]), "comment") != 0) {
		r->conditional = true;
		return;
	}
	if (tb[NFTA_MATCH_INFO]) {
		r->comment = mnl_attr_get_payload(tb[NFTA_MATCH_INFO]);
		r->comment_len = strnlen(r->comment, mnl_attr_get_payload_len(tb[NFTA_MATCH_INFO]));
	}
}

static void see_target(struct rule *r, const struct nlattr *data)
{
	static const struct nlx_policy policy[] = {{NFTA_TARGET_NAME, MNL_TYPE_NUL_STRING, 0}};
	const struct nlattr *tb[NFTA_TARGET_NAME + 1];
	const char *name;

	if (nlx_attrs_nested(data, policy, 1, tb, NFTA_TARGET_NAME) != 0 || !tb[NFTA_TARGET_NAME])
		return;
	name = mnl_attr_get_str(tb[NFTA_TARGET_NAME]);
	if (strcmp(name, "REJECT") == 0 || strcmp(name, "DROP") == 0)
		r->verdict = V_DROP;
	else if (strcmp(name, "NFQUEUE") == 0)
		r->conditional = true;
}

static void see_reject(struct rule *r, const struct nlattr *data)
{
	(void)data;
	r->verdict = V_DROP;
}

static void see_nothing(struct rule *r, const struct nlattr *data)
{
	(void)r;
	(void)data;
}

static const struct {
	const char *name;
	void (*see)(struct rule *r, const struct nlattr *data);
} scenery[] = {
	{"immediate", see_immediate},
	{"match", see_match},
	{"target", see_target},
	{"reject", see_reject},
	{"counter", see_nothing},
	{"log", see_nothing},
};

static void see_expr(struct rule *r, const struct nlattr *elem)
{
	static const struct nlx_policy policy[] = {
		{NFTA_EXPR_NAME, MNL_TYPE_NUL_STRING, 0}, {NFTA_EXPR_DATA, MNL_TYPE_NESTED, 0}};
	const struct nlattr *tb[NFTA_EXPR_DATA + 1];
	const char *name;

	if (nlx_attrs_nested(elem, policy, 2, tb, NFTA_EXPR_DATA) != 0 || !tb[NFTA_EXPR_NAME]) {
		r->conditional = true;
		return;
	}
	name = mnl_attr_get_str(tb[NFTA_EXPR_NAME]);
	for (size_t i = 0; i < sizeof(scenery) / sizeof(scenery[0]); i++)
		if (strcmp(scenery[i].name, name) == 0) {
			if (tb[NFTA_EXPR_DATA])
				scenery[i].see(r, tb[NFTA_EXPR_DATA]);
			else if (scenery[i].see == see_reject)
				r->verdict = V_DROP;
			return;
		}
	r->conditional = true;
}

/* The comment in a rule's user data: type, length, text with its NUL, for each item. */
static void see_udata(struct rule *r, const uint8_t *u, size_t len)
{
	while (len >= 2 && len - 2 >= u[1]) {
		if (u[0] == UDATA_COMMENT) {
			r->comment = (const char *)u + 2;
			r->comment_len = strnlen(r->comment, u[1]);
			return;
		}
		len -= 2u + u[1];
		u += 2 + u[1];
	}
}

static const struct nlx_policy rule_policy[] = {
	{NFTA_RULE_TABLE, MNL_TYPE_NUL_STRING, 0},
	{NFTA_RULE_CHAIN, MNL_TYPE_NUL_STRING, 0},
	{NFTA_RULE_HANDLE, MNL_TYPE_U64, 0},
	{NFTA_RULE_EXPRESSIONS, MNL_TYPE_BINARY, 0},
	{NFTA_RULE_USERDATA, MNL_TYPE_BINARY, 0},
};
#define RULE_ATTRS (sizeof(rule_policy) / sizeof(rule_policy[0]))

static int rule_from(const struct nlattr **tb, struct rule *r)
{
	const struct nlattr *elem;

	memset(r, 0, sizeof(*r));
	if (!tb[NFTA_RULE_HANDLE])
		return ERR_MALFORMED;
	r->handle = be64_at(tb[NFTA_RULE_HANDLE]);
	if (tb[NFTA_RULE_EXPRESSIONS])
		mnl_attr_for_each_nested(elem, tb[NFTA_RULE_EXPRESSIONS]) see_expr(r, elem);
	if (tb[NFTA_RULE_USERDATA])
		see_udata(r, mnl_attr_get_payload(tb[NFTA_RULE_USERDATA]),
			mnl_attr_get_payload_len(tb[NFTA_RULE_USERDATA]));
	return 0;
}

static bool is_ours(const struct rule *r)
{
	size_t n = strlen(NL_FWD_COMMENT);

	return r->verdict == V_ACCEPT && r->comment && r->comment_len >= n &&
	       memcmp(r->comment, NL_FWD_COMMENT, n) == 0;
}

/* ---- one chain ---- */

static void scan_begin(void *ctx)
{
	struct scan *s = ctx;

	s->n = s->nours = 0;
	s->at = 0;
	s->ended = false;
}

static int scan_rule(void *ctx, const struct nlmsghdr *nlh)
{
	const struct nlattr *tb[NFTA_RULE_USERDATA + 1];
	struct scan *s = ctx;
	struct rule r;
	int err = nlx_attrs(
		nlh, sizeof(struct nfgenmsg), rule_policy, RULE_ATTRS, tb, NFTA_RULE_USERDATA);

	if (err == 0)
		err = rule_from(tb, &r);
	if (err != 0)
		return err;
	s->at++;
	if (is_ours(&r)) {
		if (s->nours == NL_FWD_OURS)
			return 0;
		s->ours[s->nours].handle = r.handle;
		s->ours[s->nours].at = s->at;
		s->ours[s->nours++].current = r.comment_len == strlen(s->comment) &&
					      memcmp(r.comment, s->comment, r.comment_len) == 0;
		return 0;
	}
	if (s->ended || r.conditional || r.verdict == V_NONE || s->n == JUMPS)
		return 0;
	s->plain[s->n].handle = r.handle;
	s->plain[s->n].at = s->at;
	s->plain[s->n].verdict = r.verdict;
	snprintf(s->plain[s->n].target, sizeof(s->plain[s->n].target), "%s",
		r.target ? r.target : "");
	s->n++;
	s->ended = r.verdict != V_JUMP;
	return 0;
}

static int scan_chain(
	struct nlx *x, uint8_t nfproto, const char *table, const char *chain, struct scan *s)
{
	char buf[1024];
	struct nlmsghdr *nlh = nlx_msg(buf, NFT(NFT_MSG_GETRULE), 0, sizeof(struct nfgenmsg));
	struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);

	g->nfgen_family = nfproto;
	g->version = NFNETLINK_V0;
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, chain);
	return nlx_dump(x, nlh, scan_begin, scan_rule, s);
}

struct walk {
	struct nlx *x;
	uint8_t nfproto;
	const char *table, *comment;
	unsigned dumps, depth;
};

static int effect(struct walk *w, const char *chain, enum verdict *out);

/* Where a rule without a condition sends everything: V_ACCEPT, V_DROP, or V_RETURN for a jump that comes
 * back (then the chain goes on) and for a return. */
static int settle_rule(struct walk *w, const struct plain *p, enum verdict *out)
{
	*out = p->verdict;
	return p->verdict == V_JUMP || p->verdict == V_GOTO ? effect(w, p->target, out) : 0;
}

/* What becomes of a packet that no rule with a condition decides about; V_RETURN: it comes back. */
static int effect(struct walk *w, const char *chain, enum verdict *out)
{
	struct scan *s;
	int err;

	*out = V_RETURN;
	if (w->depth == DEPTH || w->dumps == DUMPS)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	s->comment = w->comment;
	w->depth++;
	w->dumps++;
	err = scan_chain(w->x, w->nfproto, w->table, chain, s);
	if (err == -ENOENT) /* it went meanwhile: an event will tell */
		err = 0;
	for (size_t i = 0; i < s->n && err == 0 && *out == V_RETURN; i++)
		err = settle_rule(w, &s->plain[i], out);
	w->depth--;
	free(s);
	return err;
}

int nl_fwd_look(struct nlx *x, const struct nl_fwd_place *p, uint32_t mark, uint32_t mask,
	struct nl_fwd_view *out)
{
	char comment[COMMENT_BYTES];
	struct walk w = {.x = x, .nfproto = p->nfproto, .table = p->table, .comment = comment};
	struct scan *s = calloc(1, sizeof(*s));
	enum verdict v = V_RETURN;
	unsigned at = UINT32_MAX;
	int err;

	memset(out, 0, sizeof(*out));
	if (!s)
		return ERR_NOMEM;
	comment_of(comment, sizeof(comment), mark, mask);
	s->comment = comment;
	err = scan_chain(x, p->nfproto, p->table, p->chain, s);
	for (size_t i = 0; i < s->n && err == 0 && v == V_RETURN; i++) {
		err = settle_rule(&w, &s->plain[i], &v);
		if (v == V_DROP) {
			out->before = s->plain[i].handle;
			at = s->plain[i].at;
		}
	}
	out->needed = v == V_DROP || (v == V_RETURN && p->drops);
	out->nours = s->nours;
	for (size_t i = 0; i < s->nours; i++)
		out->ours[i] = s->ours[i].handle;
	out->stands = s->nours == 1 && s->ours[0].current && s->ours[0].at < at;
	free(s);
	return err;
}

int nl_fwd_set(struct nlx *x, const struct nl_fwd_place *p, const struct nl_fwd_view *v,
	uint32_t mark, uint32_t mask)
{
	char comment[COMMENT_BYTES];
	struct nl_nft b;

	nl_nft_begin(&b, x);
	for (size_t i = 0; i < v->nours; i++)
		nl_nft_rule_del(&b, p->nfproto, p->table, p->chain, v->ours[i]);
	if (mark != 0) {
		comment_of(comment, sizeof(comment), mark, mask);
		nl_nft_rule(&b, p->nfproto, p->table, p->chain, v->before, comment);
		nl_nft_x_mark(&b, mark, mask);
		nl_nft_x_counter(&b);
		nl_nft_x_verdict(&b, NF_ACCEPT, NULL);
		nl_nft_rule_end(&b);
	}
	return nl_nft_commit(&b);
}

/* ---- all chains ---- */

struct places {
	struct nl_fwd_place *v;
	size_t n, max;
};

static void places_begin(void *ctx)
{
	((struct places *)ctx)->n = 0;
}

static int places_chain(void *ctx, const struct nlmsghdr *nlh)
{
	static const struct nlx_policy policy[] = {
		{NFTA_CHAIN_TABLE, MNL_TYPE_NUL_STRING, 0},
		{NFTA_CHAIN_NAME, MNL_TYPE_NUL_STRING, 0},
		{NFTA_CHAIN_HOOK, MNL_TYPE_NESTED, 0},
		{NFTA_CHAIN_POLICY, MNL_TYPE_U32, 0},
		{NFTA_CHAIN_TYPE, MNL_TYPE_NUL_STRING, 0},
	};
	static const struct nlx_policy hook[] = {{NFTA_HOOK_HOOKNUM, MNL_TYPE_U32, 0}};
	const struct nlattr *tb[NFTA_CHAIN_TYPE + 1], *h[NFTA_HOOK_HOOKNUM + 1];
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);
	struct places *p = ctx;
	struct nl_fwd_place *o;
	int err = nlx_attrs(nlh, sizeof(*g), policy, 5, tb, NFTA_CHAIN_TYPE);

	if (err != 0 || nl_nft_ours(nlh))
		return err;
	if (g->nfgen_family != NFPROTO_IPV4 && g->nfgen_family != NFPROTO_IPV6 &&
		g->nfgen_family != NFPROTO_INET)
		return 0;
	if (!tb[NFTA_CHAIN_TABLE] || !tb[NFTA_CHAIN_NAME] || !tb[NFTA_CHAIN_HOOK] ||
		!tb[NFTA_CHAIN_TYPE] ||
		strcmp(mnl_attr_get_str(tb[NFTA_CHAIN_TYPE]), "filter") != 0 ||
		nlx_attrs_nested(tb[NFTA_CHAIN_HOOK], hook, 1, h, NFTA_HOOK_HOOKNUM) != 0 ||
		!h[NFTA_HOOK_HOOKNUM] ||
		ntohl(mnl_attr_get_u32(h[NFTA_HOOK_HOOKNUM])) != NF_INET_FORWARD)
		return 0;
	if (p->n++ >= p->max)
		return 0;
	o = &p->v[p->n - 1];
	o->nfproto = g->nfgen_family;
	o->drops =
		tb[NFTA_CHAIN_POLICY] && ntohl(mnl_attr_get_u32(tb[NFTA_CHAIN_POLICY])) == NF_DROP;
	snprintf(o->table, sizeof(o->table), "%s", mnl_attr_get_str(tb[NFTA_CHAIN_TABLE]));
	snprintf(o->chain, sizeof(o->chain), "%s", mnl_attr_get_str(tb[NFTA_CHAIN_NAME]));
	return 0;
}

int nl_fwd_places(struct nlx *x, struct nl_fwd_place *out, size_t max, size_t *n)
{
	struct places p = {.v = out, .max = max};
	char buf[256];
	struct nlmsghdr *nlh = nlx_msg(buf, NFT(NFT_MSG_GETCHAIN), 0, sizeof(struct nfgenmsg));
	int err = nlx_dump(x, nlh, places_begin, places_chain, &p);

	*n = p.n;
	return err;
}

bool nl_fwd_rule_event(
	const struct nlmsghdr *nlh, uint8_t *nfproto, const char **table, const char **chain)
{
	const struct nlattr *tb[NFTA_RULE_USERDATA + 1];

	if (nlh->nlmsg_type != NFT(NFT_MSG_NEWRULE) && nlh->nlmsg_type != NFT(NFT_MSG_DELRULE))
		return false;
	if (nlx_attrs(nlh, sizeof(struct nfgenmsg), rule_policy, RULE_ATTRS, tb,
		    NFTA_RULE_USERDATA) != 0 ||
		!tb[NFTA_RULE_TABLE] || !tb[NFTA_RULE_CHAIN])
		return false;
	*nfproto = ((const struct nfgenmsg *)mnl_nlmsg_get_payload(nlh))->nfgen_family;
	*table = mnl_attr_get_str(tb[NFTA_RULE_TABLE]);
	*chain = mnl_attr_get_str(tb[NFTA_RULE_CHAIN]);
	return true;
}

/* ---- removal ---- */

#define DOWN_MAX 256 /* rules removed at once; there is one per chain */

struct down {
	struct nl_fwd_place at[DOWN_MAX];
	uint64_t handle[DOWN_MAX];
	size_t n;
};

static void down_begin(void *ctx)
{
	((struct down *)ctx)->n = 0;
}

static int down_rule(void *ctx, const struct nlmsghdr *nlh)
{
	const struct nlattr *tb[NFTA_RULE_USERDATA + 1];
	struct nl_fwd_place *p;
	struct down *d = ctx;
	struct rule r;
	int err = nlx_attrs(
		nlh, sizeof(struct nfgenmsg), rule_policy, RULE_ATTRS, tb, NFTA_RULE_USERDATA);

	if (err == 0)
		err = rule_from(tb, &r);
	if (err != 0 || !is_ours(&r) || !tb[NFTA_RULE_TABLE] || !tb[NFTA_RULE_CHAIN] ||
		d->n == DOWN_MAX)
		return err;
	p = &d->at[d->n];
	p->nfproto = ((const struct nfgenmsg *)mnl_nlmsg_get_payload(nlh))->nfgen_family;
	snprintf(p->table, sizeof(p->table), "%s", mnl_attr_get_str(tb[NFTA_RULE_TABLE]));
	snprintf(p->chain, sizeof(p->chain), "%s", mnl_attr_get_str(tb[NFTA_RULE_CHAIN]));
	d->handle[d->n++] = r.handle;
	return 0;
}

int nl_fwd_down(struct nlx *x, void (*note)(void *ctx, const char *what), void *ctx)
{
	struct down *d = calloc(1, sizeof(*d));
	char buf[256], what[96 + NFT_TABLE_MAXNAMELEN + NFT_CHAIN_MAXNAMELEN];
	struct nlmsghdr *nlh = nlx_msg(buf, NFT(NFT_MSG_GETRULE), 0, sizeof(struct nfgenmsg));
	int err, removed = 0, first = 0;

	if (!d)
		return ERR_NOMEM;
	err = nlx_dump(x, nlh, down_begin, down_rule, d);
	for (size_t i = 0; i < d->n && err == 0; i++) {
		struct nl_fwd_view v = {.ours = {d->handle[i]}, .nours = 1};
		int e = nl_fwd_set(x, &d->at[i], &v, 0, 0);

		if (e != 0 && e != -ENOENT)
			first = first ? first : e;
		if (e != 0)
			continue;
		removed++;
		snprintf(what, sizeof(what), "accept in nft chain %s of table %s", d->at[i].chain,
			d->at[i].table);
		note(ctx, what);
	}
	free(d);
	if (err != 0)
		return err;
	return first != 0 ? first : removed;
}
