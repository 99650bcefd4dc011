/* nl_rule.c - policy rule messages. Data in: rules, replies. Data out: struct nl_rule. No state. A rule
 * with selectors that weft never sets is marked `other`, so that it equals none of ours. */
#include "nl_msg.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include "weft/err.h"

static bool name_from(const struct nlattr *a, char *out)
{
	if (mnl_attr_get_payload_len(a) > IFNAMSIZ)
		return false;
	strcpy(out, mnl_attr_get_str(a));
	return true;
}

static int dst_parse(const struct fib_rule_hdr *h, const struct nlattr *a, struct nl_rule *out)
{
	struct ip ip;

	if (!nl_ip_from(h->family, a, &ip) || pfx_make(&ip, h->dst_len, &out->dst) != 0)
		return ERR_MALFORMED;
	out->has_dst = true;
	return 0;
}

int nl_rule_parse(const struct nlmsghdr *nlh, struct nl_rule *out)
{
	static const struct nlx_policy policy[] = {
		{FRA_DST, MNL_TYPE_BINARY},
		{FRA_SRC, MNL_TYPE_BINARY},
		{FRA_IIFNAME, MNL_TYPE_NUL_STRING},
		{FRA_OIFNAME, MNL_TYPE_NUL_STRING},
		{FRA_GOTO, MNL_TYPE_U32},
		{FRA_PRIORITY, MNL_TYPE_U32},
		{FRA_FWMARK, MNL_TYPE_U32},
		{FRA_FWMASK, MNL_TYPE_U32},
		{FRA_TABLE, MNL_TYPE_U32},
		{FRA_PROTOCOL, MNL_TYPE_U8},
		{FRA_UID_RANGE, MNL_TYPE_BINARY},
		{FRA_IP_PROTO, MNL_TYPE_U8},
		{FRA_SPORT_RANGE, MNL_TYPE_BINARY},
		{FRA_DPORT_RANGE, MNL_TYPE_BINARY},
	};
	const struct nlattr *tb[FRA_MAX + 1];
	const struct fib_rule_hdr *h = mnl_nlmsg_get_payload(nlh);
	int err;

	memset(out, 0, sizeof(*out));
	if (nlh->nlmsg_type != RTM_NEWRULE && nlh->nlmsg_type != RTM_DELRULE)
		return ERR_UNSUPPORTED;
	err = nlx_attrs(nlh, sizeof(*h), policy, sizeof(policy) / sizeof(policy[0]), tb, FRA_MAX);
	if (err != 0)
		return err;
	if (h->family != AF_INET && h->family != AF_INET6)
		return ERR_UNSUPPORTED;
	out->family = h->family == AF_INET ? IP_V4 : IP_V6;
	out->action = h->action;
	out->table = tb[FRA_TABLE] ? mnl_attr_get_u32(tb[FRA_TABLE]) : h->table;
	if (tb[FRA_PRIORITY])
		out->pref = mnl_attr_get_u32(tb[FRA_PRIORITY]);
	if (tb[FRA_GOTO])
		out->target = mnl_attr_get_u32(tb[FRA_GOTO]);
	if (tb[FRA_PROTOCOL])
		out->proto = mnl_attr_get_u8(tb[FRA_PROTOCOL]);
	if (tb[FRA_FWMARK])
		out->mark = mnl_attr_get_u32(tb[FRA_FWMARK]);
	if (tb[FRA_FWMASK])
		out->mask = mnl_attr_get_u32(tb[FRA_FWMASK]);
	if ((tb[FRA_IIFNAME] && !name_from(tb[FRA_IIFNAME], out->iif)) ||
		(tb[FRA_OIFNAME] && !name_from(tb[FRA_OIFNAME], out->oif)))
		return ERR_MALFORMED;
	out->other = tb[FRA_SRC] || tb[FRA_UID_RANGE] || tb[FRA_IP_PROTO] || tb[FRA_SPORT_RANGE] ||
		     tb[FRA_DPORT_RANGE] || h->tos != 0 || (h->flags & FIB_RULE_INVERT) != 0;
	if (tb[FRA_DST])
		return dst_parse(h, tb[FRA_DST], out);
	return 0;
}

bool nl_rule_eq(const struct nl_rule *a, const struct nl_rule *b)
{
	return a->family == b->family && a->action == b->action && a->proto == b->proto &&
	       a->pref == b->pref && a->target == b->target && a->mask == b->mask &&
	       (a->mask == 0 || a->mark == b->mark) && strcmp(a->iif, b->iif) == 0 &&
	       strcmp(a->oif, b->oif) == 0 && a->other == b->other && a->has_dst == b->has_dst &&
	       (!a->has_dst || pfx_eq(&a->dst, &b->dst)) &&
	       (a->action != FR_ACT_TO_TBL || a->table == b->table);
}

static int rule_send(struct nlx *x, uint16_t type, uint16_t flags, const struct nl_rule *r)
{
	char buf[512];
	struct nlmsghdr *nlh = nlx_msg(buf, type, flags, sizeof(struct fib_rule_hdr));
	struct fib_rule_hdr *h = mnl_nlmsg_get_payload(nlh);

	h->family = r->family == IP_V4 ? AF_INET : AF_INET6;
	h->action = r->action;
	mnl_attr_put_u32(nlh, FRA_PRIORITY, r->pref);
	mnl_attr_put_u8(nlh, FRA_PROTOCOL, r->proto);
	if (r->action == FR_ACT_TO_TBL)
		mnl_attr_put_u32(nlh, FRA_TABLE, r->table);
	if (r->action == FR_ACT_GOTO)
		mnl_attr_put_u32(nlh, FRA_GOTO, r->target);
	if (r->mask != 0) {
		mnl_attr_put_u32(nlh, FRA_FWMARK, r->mark);
		mnl_attr_put_u32(nlh, FRA_FWMASK, r->mask);
	}
	if (r->iif[0])
		mnl_attr_put_strz(nlh, FRA_IIFNAME, r->iif);
	if (r->oif[0])
		mnl_attr_put_strz(nlh, FRA_OIFNAME, r->oif);
	if (r->has_dst) {
		h->dst_len = r->dst.len;
		nl_put_ip(nlh, FRA_DST, &r->dst.ip);
	}
	return nlx_talk(x, nlh, NULL, NULL);
}

int nl_rule_add(struct nlx *x, const struct nl_rule *r)
{
	return rule_send(x, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, r);
}

int nl_rule_del(struct nlx *x, const struct nl_rule *r)
{
	return rule_send(x, RTM_DELRULE, 0, r);
}

int nl_rule_dump(struct nlx *x, enum ip_family family, void (*begin)(void *), nlx_fn fn, void *ctx)
{
	char buf[256];
	struct nlmsghdr *nlh = nlx_msg(buf, RTM_GETRULE, 0, sizeof(struct fib_rule_hdr));
	struct fib_rule_hdr *h = mnl_nlmsg_get_payload(nlh);

	h->family = family == IP_V4 ? AF_INET : AF_INET6;
	return nlx_dump(x, nlh, begin, fn, ctx);
}
