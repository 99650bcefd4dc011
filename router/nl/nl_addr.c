/* nl_addr.c - address messages. Data in: addresses, replies. Data out: struct nl_addr. No state. */
#include "nl_msg.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include "weft/err.h"

int nl_addr_parse(const struct nlmsghdr *nlh, struct nl_addr *out)
{
	static const struct nlx_policy policy[] = {
		{IFA_ADDRESS, MNL_TYPE_BINARY},
		{IFA_LOCAL, MNL_TYPE_BINARY},
		{IFA_FLAGS, MNL_TYPE_U32},
	};
	const struct nlattr *tb[IFA_FLAGS + 1], *a;
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	int err;

	memset(out, 0, sizeof(*out));
	if (nlh->nlmsg_type != RTM_NEWADDR && nlh->nlmsg_type != RTM_DELADDR)
		return ERR_UNSUPPORTED;
	err = nlx_attrs(
		nlh, sizeof(*ifa), policy, sizeof(policy) / sizeof(policy[0]), tb, IFA_FLAGS);
	if (err != 0)
		return err;
	if (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6)
		return ERR_UNSUPPORTED;
	/* On point-to-point links IFA_ADDRESS is the other end. */
	a = tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS];
	if (!a || !nl_ip_from(ifa->ifa_family, a, &out->ip) ||
		ifa->ifa_prefixlen > ip_bits(&out->ip))
		return ERR_MALFORMED;
	out->ifindex = (int)ifa->ifa_index;
	out->len = ifa->ifa_prefixlen;
	out->scope = ifa->ifa_scope;
	out->flags = tb[IFA_FLAGS] ? mnl_attr_get_u32(tb[IFA_FLAGS]) : ifa->ifa_flags;
	return 0;
}

static struct nlmsghdr *addr_msg(
	char *buf, uint16_t type, uint16_t flags, int ifindex, const struct ip *ip, uint8_t len)
{
	struct nlmsghdr *nlh = nlx_msg(buf, type, flags, sizeof(struct ifaddrmsg));
	struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);

	ifa->ifa_family = (uint8_t)nl_af(ip);
	ifa->ifa_prefixlen = len;
	ifa->ifa_index = (uint32_t)ifindex;
	ifa->ifa_scope = RT_SCOPE_UNIVERSE;
	nl_put_ip(nlh, IFA_LOCAL, ip);
	return nlh;
}

int nl_addr_add(struct nlx *x, int ifindex, const struct ip *ip)
{
	char buf[256];
	struct nlmsghdr *nlh = addr_msg(
		buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifindex, ip, (uint8_t)ip_bits(ip));
	uint32_t flags = IFA_F_PERMANENT | IFA_F_NOPREFIXROUTE;

	if (ip->family == IP_V6)
		flags |= IFA_F_NODAD;
	nl_put_ip(nlh, IFA_ADDRESS, ip);
	mnl_attr_put_u32(nlh, IFA_FLAGS, flags);
	return nlx_talk(x, nlh, NULL, NULL);
}

int nl_addr_del(struct nlx *x, const struct nl_addr *a)
{
	char buf[256];
	struct nlmsghdr *nlh = addr_msg(buf, RTM_DELADDR, 0, a->ifindex, &a->ip, a->len);

	return nlx_talk(x, nlh, NULL, NULL);
}

int nl_addr_dump(struct nlx *x, enum ip_family family, nlx_fn fn, void *ctx)
{
	char buf[256];
	struct nlmsghdr *nlh = nlx_msg(buf, RTM_GETADDR, 0, sizeof(struct ifaddrmsg));
	struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);

	ifa->ifa_family = family == IP_V4 ? AF_INET : family == IP_V6 ? AF_INET6 : AF_UNSPEC;
	return nlx_dump(x, nlh, NULL, fn, ctx);
}
