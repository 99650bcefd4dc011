/* nl_neigh.c - neighbour entries, and routes by a gateway that such an entry makes reachable. Data in:
 * addresses, replies. Data out: struct nl_neigh. No state. */
#include "nl_pod.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include "weft/err.h"

int nl_neigh_parse(const struct nlmsghdr *nlh, struct nl_neigh *out)
{
	static const struct nlx_policy policy[] = {
		{NDA_DST, MNL_TYPE_BINARY},
		{NDA_LLADDR, MNL_TYPE_BINARY},
	};
	const struct nlattr *tb[NDA_LLADDR + 1];
	const struct ndmsg *nd = mnl_nlmsg_get_payload(nlh);
	int err;

	memset(out, 0, sizeof(*out));
	if (nlh->nlmsg_type != RTM_NEWNEIGH && nlh->nlmsg_type != RTM_DELNEIGH)
		return ERR_UNSUPPORTED;
	err = nlx_attrs(
		nlh, sizeof(*nd), policy, sizeof(policy) / sizeof(policy[0]), tb, NDA_LLADDR);
	if (err != 0)
		return err;
	if (nd->ndm_family != AF_INET && nd->ndm_family != AF_INET6)
		return ERR_UNSUPPORTED;
	if (!tb[NDA_DST] || !nl_ip_from(nd->ndm_family, tb[NDA_DST], &out->ip))
		return ERR_MALFORMED;
	out->ifindex = nd->ndm_ifindex;
	out->state = nd->ndm_state;
	if (tb[NDA_LLADDR] && mnl_attr_get_payload_len(tb[NDA_LLADDR]) == NL_MAC_BYTES) {
		memcpy(out->mac, mnl_attr_get_payload(tb[NDA_LLADDR]), NL_MAC_BYTES);
		out->has_mac = true;
	}
	return 0;
}

int nl_neigh_put(struct nlx *x, int ifindex, const struct ip *ip, const uint8_t mac[NL_MAC_BYTES])
{
	char buf[256];
	struct nlmsghdr *nlh =
		nlx_msg(buf, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(struct ndmsg));
	struct ndmsg *nd = mnl_nlmsg_get_payload(nlh);

	nd->ndm_family = (uint8_t)nl_af(ip);
	nd->ndm_ifindex = ifindex;
	nd->ndm_state = NUD_PERMANENT;
	nl_put_ip(nlh, NDA_DST, ip);
	mnl_attr_put(nlh, NDA_LLADDR, NL_MAC_BYTES, mac);
	return nlx_talk(x, nlh, NULL, NULL);
}

int nl_neigh_dump(struct nlx *x, int ifindex, enum ip_family family, nlx_fn fn, void *ctx)
{
	char buf[256];
	struct nlmsghdr *nlh = nlx_msg(buf, RTM_GETNEIGH, 0, sizeof(struct ndmsg));
	struct ndmsg *nd = mnl_nlmsg_get_payload(nlh);

	nd->ndm_family = family == IP_V4 ? AF_INET : AF_INET6;
	mnl_attr_put_u32(nlh, NDA_IFINDEX, (uint32_t)ifindex);
	return nlx_dump(x, nlh, NULL, fn, ctx);
}

int nl_route_via(struct nlx *x, const struct nl_route *r, bool replace)
{
	char buf[NLX_MSG_BYTES];
	struct nlmsghdr *nlh = nlx_msg(buf, RTM_NEWROUTE,
		(uint16_t)(NLM_F_CREATE | (replace ? NLM_F_REPLACE : NLM_F_EXCL)),
		sizeof(struct rtmsg));

	nl_route_put(nlh, r);
	if (r->gateway.family != IP_NONE)
		nl_put_ip(nlh, RTA_GATEWAY, &r->gateway);
	return nlx_talk(x, nlh, NULL, NULL);
}
