/* nl_route.c - route messages. Data in: routes, replies. Data out: struct nl_route. No state. Of a
 * multipath route the first NL_ROUTE_HOPS devices are kept: enough to name one in a message. */
#include "nl_msg.h"

#include <linux/rtnetlink.h>
#include <string.h>
#include "weft/err.h"

static bool via_parse(const struct nlattr *a, struct ip *out);

/* The gateway among the attributes of one next hop. */
static bool hop_gateway(const char *p, size_t len, int family, struct ip *out)
{
	while (len >= sizeof(struct nlattr)) {
		const struct nlattr *a = (const struct nlattr *)(const void *)p;
		size_t step = MNL_ALIGN((size_t)a->nla_len);
		uint16_t type = mnl_attr_get_type(a);

		if (a->nla_len < sizeof(*a) || a->nla_len > len)
			return false;
		if ((type == RTA_GATEWAY && !nl_ip_from(family, a, out)) ||
			(type == RTA_VIA && !via_parse(a, out)))
			return false;
		if (step >= len)
			break;
		p += step;
		len -= step;
	}
	return true;
}

static int hops_parse(const struct nlattr *a, int family, struct nl_route *out)
{
	const char *p = mnl_attr_get_payload(a);
	size_t left = mnl_attr_get_payload_len(a);

	while (left >= sizeof(struct rtnexthop)) {
		struct rtnexthop nh;
		size_t step;

		memcpy(&nh, p, sizeof(nh));
		step = RTNH_ALIGN((size_t)nh.rtnh_len);
		if (nh.rtnh_len < sizeof(nh) || nh.rtnh_len > left)
			return ERR_MALFORMED;
		if (out->nhops < NL_ROUTE_HOPS) {
			if (!hop_gateway(p + sizeof(nh), nh.rtnh_len - sizeof(nh), family,
				    &out->hop_gateways[out->nhops]))
				return ERR_MALFORMED;
			out->hops[out->nhops++] = nh.rtnh_ifindex;
		}
		if (step >= left)
			break;
		p += step;
		left -= step;
	}
	return 0;
}

static int dst_parse(const struct rtmsg *rtm, const struct nlattr *a, struct nl_route *out)
{
	struct ip ip = rtm->rtm_family == AF_INET ? ip_v4(0) : ip_v6_bytes((const uint8_t[16]){0});

	if (a && !nl_ip_from(rtm->rtm_family, a, &ip))
		return ERR_MALFORMED;
	return pfx_make(&ip, rtm->rtm_dst_len, &out->dst) == 0 ? 0 : ERR_MALFORMED;
}

static int metrics_parse(const struct nlattr *nest, struct nl_route *out)
{
	static const struct nlx_policy policy[] = {{RTAX_MTU, MNL_TYPE_U32}};
	const struct nlattr *tb[RTAX_MTU + 1];
	int err = nlx_attrs_nested(nest, policy, 1, tb, RTAX_MTU);

	if (err == 0 && tb[RTAX_MTU])
		out->mtu = mnl_attr_get_u32(tb[RTAX_MTU]);
	return err;
}

/* struct rtvia: a family and an address of it. One that we don't know is no gateway to us. */
static bool via_parse(const struct nlattr *a, struct ip *out)
{
	const uint8_t *p = mnl_attr_get_payload(a);
	size_t len = mnl_attr_get_payload_len(a);
	uint16_t family;

	if (len < sizeof(family))
		return false;
	memcpy(&family, p, sizeof(family));
	if (family == AF_INET6 && len == sizeof(family) + 16)
		*out = ip_v6_bytes(p + sizeof(family));
	else if (family == AF_INET && len == sizeof(family) + 4)
		*out = ip_v4_bytes(p + sizeof(family));
	return true;
}

static void via_put(struct nlmsghdr *nlh, const struct ip *gateway)
{
	uint8_t via[2 + 16];
	uint16_t family = (uint16_t)nl_af(gateway);
	size_t len = ip_bits(gateway) / 8;

	memcpy(via, &family, sizeof(family));
	memcpy(via + sizeof(family), gateway->b, len);
	mnl_attr_put(nlh, RTA_VIA, sizeof(family) + len, via);
}

int nl_route_parse(const struct nlmsghdr *nlh, struct nl_route *out)
{
	static const struct nlx_policy policy[] = {
		{RTA_DST, MNL_TYPE_BINARY},
		{RTA_OIF, MNL_TYPE_U32},
		{RTA_PRIORITY, MNL_TYPE_U32},
		{RTA_PREFSRC, MNL_TYPE_BINARY},
		{RTA_GATEWAY, MNL_TYPE_BINARY},
		{RTA_METRICS, MNL_TYPE_NESTED},
		{RTA_MULTIPATH, MNL_TYPE_BINARY},
		{RTA_TABLE, MNL_TYPE_U32},
		{RTA_VIA, MNL_TYPE_BINARY},
	};
	const struct nlattr *tb[RTA_VIA + 1];
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	int err;

	memset(out, 0, sizeof(*out));
	if (nlh->nlmsg_type != RTM_NEWROUTE && nlh->nlmsg_type != RTM_DELROUTE)
		return ERR_UNSUPPORTED;
	err = nlx_attrs(nlh, sizeof(*rtm), policy, sizeof(policy) / sizeof(policy[0]), tb, RTA_VIA);
	if (err != 0)
		return err;
	if (rtm->rtm_family != AF_INET && rtm->rtm_family != AF_INET6)
		return ERR_UNSUPPORTED;
	err = dst_parse(rtm, tb[RTA_DST], out);
	if (err != 0)
		return err;
	out->table = tb[RTA_TABLE] ? mnl_attr_get_u32(tb[RTA_TABLE]) : rtm->rtm_table;
	out->proto = rtm->rtm_protocol;
	out->type = rtm->rtm_type;
	out->scope = rtm->rtm_scope;
	out->flags = rtm->rtm_flags;
	if (tb[RTA_PRIORITY])
		out->metric = mnl_attr_get_u32(tb[RTA_PRIORITY]);
	if (tb[RTA_OIF])
		out->oif = (int)mnl_attr_get_u32(tb[RTA_OIF]);
	if (tb[RTA_PREFSRC] && !nl_ip_from(rtm->rtm_family, tb[RTA_PREFSRC], &out->src))
		return ERR_MALFORMED;
	if (tb[RTA_GATEWAY] && !nl_ip_from(rtm->rtm_family, tb[RTA_GATEWAY], &out->gateway))
		return ERR_MALFORMED;
	if (tb[RTA_VIA] && !via_parse(tb[RTA_VIA], &out->gateway))
		return ERR_MALFORMED;
	if (tb[RTA_METRICS])
		err = metrics_parse(tb[RTA_METRICS], out);
	if (err == 0 && tb[RTA_MULTIPATH])
		err = hops_parse(tb[RTA_MULTIPATH], rtm->rtm_family, out);
	return err;
}

static void gateway_put(struct nlmsghdr *nlh, const struct nl_route *r, const struct ip *gateway)
{
	if (gateway->family != IP_NONE && gateway->family != r->dst.ip.family)
		via_put(nlh, gateway);
	else if (gateway->family != IP_NONE)
		nl_put_ip(nlh, RTA_GATEWAY, gateway);
}

static void hops_put(struct nlmsghdr *nlh, const struct nl_route *r)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, RTA_MULTIPATH);

	for (unsigned i = 0; i < r->nhops; i++) {
		struct rtnexthop *nh = mnl_nlmsg_get_payload_tail(nlh);

		memset(nh, 0, sizeof(*nh));
		nh->rtnh_ifindex = r->hops[i];
		nlh->nlmsg_len += MNL_ALIGN(sizeof(*nh));
		gateway_put(nlh, r, &r->hop_gateways[i]);
		nh->rtnh_len =
			(unsigned short)((char *)mnl_nlmsg_get_payload_tail(nlh) - (char *)nh);
	}
	mnl_attr_nest_end(nlh, nest);
}

void nl_route_put(struct nlmsghdr *nlh, const struct nl_route *r)
{
	struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	bool del = nlh->nlmsg_type == RTM_DELROUTE;

	rtm->rtm_family = (uint8_t)nl_af(&r->dst.ip);
	rtm->rtm_dst_len = r->dst.len;
	rtm->rtm_table = RT_TABLE_UNSPEC;
	rtm->rtm_protocol = r->proto;
	/* Deletion goes by table, destination, metric and protocol alone. */
	rtm->rtm_type = del ? RTN_UNSPEC : r->type;
	rtm->rtm_scope = del ? RT_SCOPE_NOWHERE : r->scope;
	mnl_attr_put_u32(nlh, RTA_TABLE, r->table);
	mnl_attr_put_u32(nlh, RTA_PRIORITY, r->metric);
	nl_put_ip(nlh, RTA_DST, &r->dst.ip);
	if (del)
		return;
	if (r->nhops > 1)
		hops_put(nlh, r);
	else if (r->oif > 0)
		mnl_attr_put_u32(nlh, RTA_OIF, (uint32_t)r->oif);
	if (r->nhops <= 1)
		gateway_put(nlh, r, &r->gateway);
	if (r->src.family != IP_NONE)
		nl_put_ip(nlh, RTA_PREFSRC, &r->src);
	if (r->mtu > 0) {
		struct nlattr *nest = mnl_attr_nest_start(nlh, RTA_METRICS);

		mnl_attr_put_u32(nlh, RTAX_MTU, r->mtu);
		mnl_attr_nest_end(nlh, nest);
	}
}

/* What is asked for is a filter where the kernel checks strictly, else ignored. */
static struct nlmsghdr *dump_request(char *buf, enum ip_family family, uint8_t proto)
{
	struct nlmsghdr *nlh = nlx_msg(buf, RTM_GETROUTE, 0, sizeof(struct rtmsg));
	struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);

	rtm->rtm_family = family == IP_V4 ? AF_INET : AF_INET6;
	rtm->rtm_protocol = proto;
	return nlh;
}

int nl_route_dump(struct nlx *x, enum ip_family family, uint8_t proto, void (*begin)(void *),
	nlx_fn fn, void *ctx)
{
	char buf[256];

	return nlx_dump(x, dump_request(buf, family, proto), begin, fn, ctx);
}

int nl_route_dump_table(struct nlx *x, enum ip_family family, uint32_t table, nlx_fn fn, void *ctx)
{
	char buf[256];
	struct nlmsghdr *nlh = dump_request(buf, family, 0);
	int err;

	mnl_attr_put_u32(nlh, RTA_TABLE, table);
	err = nlx_dump(x, nlh, NULL, fn, ctx);
	return err == -ENOENT ? 0 : err;
}

int nl_route_dump_begin(struct nlx *x, enum ip_family family, uint8_t proto, uint32_t table)
{
	char buf[256];
	struct nlmsghdr *nlh = dump_request(buf, family, proto);

	mnl_attr_put_u32(nlh, RTA_TABLE, table);
	return nlx_dump_begin(x, nlh);
}

static int keep_route(void *ctx, const struct nlmsghdr *nlh)
{
	return nl_route_parse(nlh, ctx);
}

int nl_route_get(struct nlx *x, const struct ip *to, uint32_t mark, struct nl_route *out)
{
	char buf[256];
	struct nlmsghdr *nlh = nlx_msg(buf, RTM_GETROUTE, 0, sizeof(struct rtmsg));
	struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);

	memset(out, 0, sizeof(*out));
	rtm->rtm_family = (uint8_t)nl_af(to);
	rtm->rtm_dst_len = (uint8_t)ip_bits(to);
	nl_put_ip(nlh, RTA_DST, to);
	if (mark != 0)
		mnl_attr_put_u32(nlh, RTA_MARK, mark);
	return nlx_talk(x, nlh, keep_route, out);
}
