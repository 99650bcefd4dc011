/* nl_msg.h - the rtnetlink and nf_tables messages that weft reads and writes, as plain structs.
 * Inside router/nl only. Parsers take foreign bytes: they check every attribute, and return 0,
 * ERR_MALFORMED, or ERR_UNSUPPORTED for a message of a kind or family that is none of ours. */
#ifndef WEFT_NL_MSG_H
#define WEFT_NL_MSG_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include "weft/addr.h"
#include "nlx.h"

/* AF_INET, AF_INET6 */
int nl_af(const struct ip *ip);
/* An address attribute of that family; false if its length is wrong. */
bool nl_ip_from(int af, const struct nlattr *a, struct ip *out);
void nl_put_ip(struct nlmsghdr *nlh, uint16_t type, const struct ip *ip);

/* ---- links ---- */
struct nl_link {
	int ifindex;
	unsigned flags;       /* IFF_* */
	unsigned mtu, txqlen; /* bytes; packets in each queue */
	char name[IFNAMSIZ];
	bool is_tun, is_ours; /* kind "tun"; our alias */
	bool is_tunnel;       /* of a kind that wraps packets once more */
};
int nl_link_parse(const struct nlmsghdr *nlh, struct nl_link *out);
/* By name, or by @ifindex if @name is NULL. -ENODEV. */
int nl_link_get(struct nlx *x, const char *name, int ifindex, struct nl_link *out);
/* Up, with @mtu and @txqlen unless 0. */
int nl_link_up(struct nlx *x, int ifindex, unsigned mtu, unsigned txqlen);
int nl_link_del(struct nlx *x, int ifindex);
int nl_link_dump(struct nlx *x, nlx_fn fn, void *ctx);

/* ---- addresses ---- */
struct nl_addr {
	int ifindex;
	struct ip ip;
	uint8_t len, scope;
	uint32_t flags; /* IFA_F_* */
};
int nl_addr_parse(const struct nlmsghdr *nlh, struct nl_addr *out);
/* A host address without prefix route and duplicate detection. */
int nl_addr_add(struct nlx *x, int ifindex, const struct ip *ip);
int nl_addr_del(struct nlx *x, const struct nl_addr *a);
/* @family: IP_NONE for both. */
int nl_addr_dump(struct nlx *x, enum ip_family family, nlx_fn fn, void *ctx);

/* ---- routes ---- */
#define NL_ROUTE_HOPS 16 /* next hops of a multipath route that are looked at */

struct nl_route {
	struct pfx dst;
	uint32_t table, metric, mtu; /* mtu 0: the device's */
	uint8_t proto, type, scope;  /* RTPROT_*, RTN_*, RT_SCOPE_* */
	uint32_t flags;              /* RTM_F_* */
	int oif;                     /* 0: none */
	struct ip src;               /* preferred source; IP_NONE: none */
	struct ip gateway;           /* perhaps of the other family (RTA_VIA) */
	int hops[NL_ROUTE_HOPS];
	struct ip hop_gateways[NL_ROUTE_HOPS]; /* IP_NONE: on the link */
	unsigned nhops; /* to be put: with 2 or more, oif and gateway don't count */
};
int nl_route_parse(const struct nlmsghdr *nlh, struct nl_route *out);
/* Fill a begun RTM_NEWROUTE or RTM_DELROUTE (header struct rtmsg). */
void nl_route_put(struct nlmsghdr *nlh, const struct nl_route *r);
/* @proto 0: of all protocols. */
int nl_route_dump(struct nlx *x, enum ip_family family, uint8_t proto, void (*begin)(void *),
	nlx_fn fn, void *ctx);
/* Of table @table alone, where the kernel can tell; none if there is no such table. */
int nl_route_dump_table(struct nlx *x, enum ip_family family, uint32_t table, nlx_fn fn, void *ctx);
/* For nlx_dump_some(): of table @table alone, where the kernel can tell; -ENOENT: there is none. */
int nl_route_dump_begin(struct nlx *x, enum ip_family family, uint8_t proto, uint32_t table);
/* What the host would do with a packet to @to that carries @mark. */
int nl_route_get(struct nlx *x, const struct ip *to, uint32_t mark, struct nl_route *out);

/* ---- rules ---- */
struct nl_rule {
	uint8_t family; /* enum ip_family */
	uint8_t action; /* FR_ACT_* */
	uint8_t proto;
	uint32_t pref, table, target;
	uint32_t mark, mask; /* mask 0: no mark asked for */
	char iif[IFNAMSIZ], oif[IFNAMSIZ];
	bool has_dst, other; /* other: selectors that we never use */
	struct pfx dst;
};
int nl_rule_parse(const struct nlmsghdr *nlh, struct nl_rule *out);
bool nl_rule_eq(const struct nl_rule *a, const struct nl_rule *b);
int nl_rule_add(struct nlx *x, const struct nl_rule *r);
int nl_rule_del(struct nlx *x, const struct nl_rule *r);
int nl_rule_dump(struct nlx *x, enum ip_family family, void (*begin)(void *), nlx_fn fn, void *ctx);

/* ---- nf_tables ---- */
/* Does this nf_tables message speak of table @name of any family? */
bool nl_nft_names(const struct nlmsghdr *nlh, const char *name);
/* Or of any table of weft's, the CNI plugin's included: "weft", "weft-...". */
bool nl_nft_ours(const struct nlmsghdr *nlh);
/* Did a chain come or go? */
bool nl_nft_chain_event(const struct nlmsghdr *nlh);
/* A number over all chains and rules of a table, without their handles, which changes when anybody
 * changes any. ERR_NOT_FOUND: no such table; -errno. @nfproto: NFPROTO_INET, NFPROTO_ARP. */
int nl_nft_print(struct nlx *x, uint8_t nfproto, const char *table, uint64_t *out);
/* Is there a chain of type nat in a table that is none of weft's? 0 and *@out, or -errno. */
int nl_nft_other_nat(struct nlx *x, bool *out);
/* Delete a table and all in it. ERR_NOT_FOUND, -errno. */
int nl_nft_del(struct nlx *x, uint8_t nfproto, const char *table);

#endif
