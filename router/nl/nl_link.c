/* nl_link.c - link messages, and what all message files share. Data in: names, numbers, replies. Data
 * out: struct nl_link. No state. A device is ours if its kind is tun and its alias is weft's. */
#include "nl_msg.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include "priv.h"
#include "weft/err.h"

int nl_af(const struct ip *ip)
{
	return ip->family == IP_V4 ? AF_INET : AF_INET6;
}

bool nl_ip_from(int af, const struct nlattr *a, struct ip *out)
{
	size_t n = mnl_attr_get_payload_len(a);

	if (af == AF_INET && n == 4)
		*out = ip_v4_bytes(mnl_attr_get_payload(a));
	else if (af == AF_INET6 && n == 16)
		*out = ip_v6_bytes(mnl_attr_get_payload(a));
	else
		return false;
	return true;
}

void nl_put_ip(struct nlmsghdr *nlh, uint16_t type, const struct ip *ip)
{
	mnl_attr_put(nlh, type, ip_bits(ip) / 8, ip->b);
}

static bool text_is(const struct nlattr *a, const char *s)
{
	size_t n = strnlen(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));

	return n == strlen(s) && memcmp(mnl_attr_get_payload(a), s, n) == 0;
}

int nl_link_parse(const struct nlmsghdr *nlh, struct nl_link *out)
{
	static const struct nlx_policy policy[] = {
		{IFLA_IFNAME, MNL_TYPE_NUL_STRING},
		{IFLA_MTU, MNL_TYPE_U32},
		{IFLA_TXQLEN, MNL_TYPE_U32},
		{IFLA_IFALIAS, MNL_TYPE_BINARY},
		{IFLA_LINKINFO, MNL_TYPE_NESTED},
	};
	static const char *const tunnels[] = {"vxlan", "geneve", "gre", "gretap", "erspan",
		"ip6gre", "ip6gretap", "ip6erspan", "ipip", "sit", "ip6tnl", "vti", "vti6", "xfrm",
		"tun", "wireguard"};
	static const struct nlx_policy info_policy[] = {{IFLA_INFO_KIND, MNL_TYPE_BINARY}};
	const struct nlattr
		*tb[IFLA_LINKINFO + 1 > IFLA_IFALIAS + 1 ? IFLA_LINKINFO + 1 : IFLA_IFALIAS + 1];
	const struct nlattr *info[IFLA_INFO_KIND + 1];
	const unsigned max = sizeof(tb) / sizeof(tb[0]) - 1;
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	int err;

	memset(out, 0, sizeof(*out));
	if (nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK)
		return ERR_UNSUPPORTED;
	err = nlx_attrs(nlh, sizeof(*ifi), policy, sizeof(policy) / sizeof(policy[0]), tb, max);
	if (err != 0)
		return err;
	if (ifi->ifi_family !=
		AF_UNSPEC) /* bridges and IPv6 tell the same links in their own way */
		return ERR_UNSUPPORTED;
	if (!tb[IFLA_IFNAME] || mnl_attr_get_payload_len(tb[IFLA_IFNAME]) > IFNAMSIZ)
		return ERR_MALFORMED;
	out->ifindex = ifi->ifi_index;
	out->flags = ifi->ifi_flags;
	strcpy(out->name, mnl_attr_get_str(tb[IFLA_IFNAME]));
	if (tb[IFLA_MTU])
		out->mtu = mnl_attr_get_u32(tb[IFLA_MTU]);
	if (tb[IFLA_TXQLEN])
		out->txqlen = mnl_attr_get_u32(tb[IFLA_TXQLEN]);
	out->is_ours = tb[IFLA_IFALIAS] && text_is(tb[IFLA_IFALIAS], PRIV_TUN_ALIAS);
	if (tb[IFLA_LINKINFO]) {
		err = nlx_attrs_nested(tb[IFLA_LINKINFO], info_policy, 1, info, IFLA_INFO_KIND);
		if (err != 0)
			return err;
		for (size_t i = 0; info[IFLA_INFO_KIND] && i < sizeof(tunnels) / sizeof(tunnels[0]);
			i++)
			out->is_tunnel |= text_is(info[IFLA_INFO_KIND], tunnels[i]);
		out->is_tun = info[IFLA_INFO_KIND] && text_is(info[IFLA_INFO_KIND], "tun");
	}
	return 0;
}

static int keep_link(void *ctx, const struct nlmsghdr *nlh)
{
	return nl_link_parse(nlh, ctx);
}

int nl_link_get(struct nlx *x, const char *name, int ifindex, struct nl_link *out)
{
	char buf[256];
	struct nlmsghdr *nlh = nlx_msg(buf, RTM_GETLINK, 0, sizeof(struct ifinfomsg));
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	memset(out, 0, sizeof(*out));
	if (name) {
		if (strlen(name) >= IFNAMSIZ)
			return -ENODEV;
		mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	} else {
		ifi->ifi_index = ifindex;
	}
	return nlx_talk(x, nlh, keep_link, out);
}

int nl_link_up(struct nlx *x, int ifindex, unsigned mtu, unsigned txqlen)
{
	char buf[256];
	struct nlmsghdr *nlh = nlx_msg(buf, RTM_NEWLINK, 0, sizeof(struct ifinfomsg));
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	ifi->ifi_index = ifindex;
	ifi->ifi_flags = ifi->ifi_change = IFF_UP;
	if (mtu > 0)
		mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	if (txqlen > 0)
		mnl_attr_put_u32(nlh, IFLA_TXQLEN, txqlen);
	return nlx_talk(x, nlh, NULL, NULL);
}

int nl_link_del(struct nlx *x, int ifindex)
{
	char buf[256];
	struct nlmsghdr *nlh = nlx_msg(buf, RTM_DELLINK, 0, sizeof(struct ifinfomsg));
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	ifi->ifi_index = ifindex;
	return nlx_talk(x, nlh, NULL, NULL);
}

int nl_link_dump(struct nlx *x, nlx_fn fn, void *ctx)
{
	char buf[256];
	struct nlmsghdr *nlh = nlx_msg(buf, RTM_GETLINK, 0, sizeof(struct ifinfomsg));

	return nlx_dump(x, nlh, NULL, fn, ctx);
}
