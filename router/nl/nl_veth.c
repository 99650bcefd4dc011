/* nl_veth.c - veth pairs. Data in: names, addresses, a namespace's descriptor; replies. Data out: struct
 * nl_veth. No state. The pair is made by one message, its far end straight into the pod's namespace
 * under its final name: nothing has to be moved or renamed, so nothing can stop half-way there. */
#include "nl_pod.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include "weft/err.h"

/* Text of @a, which need not end in NUL, if it fits. */
static bool text_copy(const struct nlattr *a, char *out, size_t cap)
{
	size_t n = strnlen(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));

	if (n >= cap)
		return false;
	memcpy(out, mnl_attr_get_payload(a), n);
	out[n] = '\0';
	return true;
}

int nl_veth_parse(const struct nlmsghdr *nlh, struct nl_veth *out)
{
	static const struct nlx_policy policy[] = {
		{IFLA_ADDRESS, MNL_TYPE_BINARY},
		{IFLA_IFNAME, MNL_TYPE_NUL_STRING},
		{IFLA_MTU, MNL_TYPE_U32},
		{IFLA_LINK, MNL_TYPE_U32},
		{IFLA_LINKINFO, MNL_TYPE_NESTED},
		{IFLA_IFALIAS, MNL_TYPE_BINARY},
	};
	static const struct nlx_policy info_policy[] = {{IFLA_INFO_KIND, MNL_TYPE_BINARY}};
	const struct nlattr *tb[IFLA_IFALIAS + 1], *info[IFLA_INFO_KIND + 1];
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	char kind[16] = "";
	int err;

	memset(out, 0, sizeof(*out));
	if (nlh->nlmsg_type != RTM_NEWLINK && nlh->nlmsg_type != RTM_DELLINK)
		return ERR_UNSUPPORTED;
	err = nlx_attrs(
		nlh, sizeof(*ifi), policy, sizeof(policy) / sizeof(policy[0]), tb, IFLA_IFALIAS);
	if (err != 0)
		return err;
	if (ifi->ifi_family != AF_UNSPEC)
		return ERR_UNSUPPORTED;
	if (!tb[IFLA_IFNAME] || !text_copy(tb[IFLA_IFNAME], out->name, sizeof(out->name)))
		return ERR_MALFORMED;
	out->ifindex = ifi->ifi_index;
	out->flags = ifi->ifi_flags;
	if (tb[IFLA_MTU])
		out->mtu = mnl_attr_get_u32(tb[IFLA_MTU]);
	if (tb[IFLA_LINK])
		out->peer_ifindex = (int)mnl_attr_get_u32(tb[IFLA_LINK]);
	if (tb[IFLA_ADDRESS] && mnl_attr_get_payload_len(tb[IFLA_ADDRESS]) == NL_MAC_BYTES)
		memcpy(out->mac, mnl_attr_get_payload(tb[IFLA_ADDRESS]), NL_MAC_BYTES);
	if (tb[IFLA_IFALIAS] && !text_copy(tb[IFLA_IFALIAS], out->alias, sizeof(out->alias)))
		return ERR_MALFORMED;
	if (tb[IFLA_LINKINFO]) {
		err = nlx_attrs_nested(tb[IFLA_LINKINFO], info_policy, 1, info, IFLA_INFO_KIND);
		if (err != 0)
			return err;
		out->is_veth = info[IFLA_INFO_KIND] &&
			       text_copy(info[IFLA_INFO_KIND], kind, sizeof(kind)) &&
			       strcmp(kind, "veth") == 0;
	}
	return 0;
}

static int keep_veth(void *ctx, const struct nlmsghdr *nlh)
{
	return nl_veth_parse(nlh, ctx);
}

int nl_veth_get(struct nlx *x, const char *name, struct nl_veth *out)
{
	char buf[256];
	struct nlmsghdr *nlh = nlx_msg(buf, RTM_GETLINK, 0, sizeof(struct ifinfomsg));

	memset(out, 0, sizeof(*out));
	if (strlen(name) >= IFNAMSIZ)
		return -ENODEV;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	return nlx_talk(x, nlh, keep_veth, out);
}

int nl_veth_add(struct nlx *x, const struct nl_veth_spec *v)
{
	char buf[512];
	struct nlmsghdr *nlh =
		nlx_msg(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	struct nlattr *info, *data, *peer;

	mnl_attr_put_strz(nlh, IFLA_IFNAME, v->name);
	mnl_attr_put(nlh, IFLA_ADDRESS, NL_MAC_BYTES, v->mac);
	mnl_attr_put_u32(nlh, IFLA_MTU, v->mtu);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	/* A link message of its own stands in it, header first. */
	memset(mnl_nlmsg_get_payload_tail(nlh), 0, sizeof(struct ifinfomsg));
	nlh->nlmsg_len += MNL_ALIGN(sizeof(struct ifinfomsg));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, v->peer);
	mnl_attr_put(nlh, IFLA_ADDRESS, NL_MAC_BYTES, v->peer_mac);
	mnl_attr_put_u32(nlh, IFLA_MTU, v->mtu);
	mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)v->peer_ns);
	mnl_attr_nest_end(nlh, peer);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return nlx_talk(x, nlh, NULL, NULL);
}

int nl_link_alias(struct nlx *x, int ifindex, const char *alias)
{
	char buf[512];
	struct nlmsghdr *nlh = nlx_msg(buf, RTM_NEWLINK, 0, sizeof(struct ifinfomsg));
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	if (strlen(alias) > NL_ALIAS_MAX)
		return ERR_RANGE;
	ifi->ifi_index = ifindex;
	mnl_attr_put_str(nlh, IFLA_IFALIAS, alias);
	return nlx_talk(x, nlh, NULL, NULL);
}
