/* nl_pod.h - the messages that make a pod's interface: veth pairs, permanent neighbours, routes by a
 * gateway, and the nf_tables chain that pins a pod to its addresses. For the CNI plugin; as in nl_msg.h,
 * parsers check every attribute.
 *
 * A socket (nlx_open) stays in the network namespace in which it was opened, whatever the caller enters
 * later: one opened inside the pod works there from outside. */
#ifndef WEFT_NL_POD_H
#define WEFT_NL_POD_H

#include <stdbool.h>
#include <stdint.h>
#include "nl_msg.h"

#define NL_MAC_BYTES 6
#define NL_ALIAS_MAX 255 /* the kernel's bound (IFALIASZ) less the NUL */

/* ---- veth ---- */
struct nl_veth {
	int ifindex, peer_ifindex; /* peer 0: not told */
	unsigned flags, mtu;       /* IFF_* */
	char name[IFNAMSIZ];
	char alias[NL_ALIAS_MAX + 1]; /* "" if none */
	uint8_t mac[NL_MAC_BYTES];    /* zero if it is of another length */
	bool is_veth;
};
/* Any link; is_veth tells. 0, ERR_MALFORMED, ERR_UNSUPPORTED. */
int nl_veth_parse(const struct nlmsghdr *nlh, struct nl_veth *out);
/* -ENODEV. */
int nl_veth_get(struct nlx *x, const char *name, struct nl_veth *out);

struct nl_veth_spec {
	const char *name, *peer; /* this end, in the socket's namespace; that end, in @peer_ns */
	uint8_t mac[NL_MAC_BYTES], peer_mac[NL_MAC_BYTES];
	unsigned mtu; /* of both */
	int peer_ns;  /* descriptor of a network namespace, borrowed */
};
/* Make the pair, both ends down. -EEXIST: one of the names is taken. */
int nl_veth_add(struct nlx *x, const struct nl_veth_spec *v);
/* @alias, at most NL_ALIAS_MAX characters. */
int nl_link_alias(struct nlx *x, int ifindex, const char *alias);

/* ---- neighbours ---- */
struct nl_neigh {
	int ifindex;
	struct ip ip;
	uint16_t state; /* NUD_* */
	uint8_t mac[NL_MAC_BYTES];
	bool has_mac;
};
int nl_neigh_parse(const struct nlmsghdr *nlh, struct nl_neigh *out);
/* A permanent entry; an entry that stands there is replaced. */
int nl_neigh_put(struct nlx *x, int ifindex, const struct ip *ip, const uint8_t mac[NL_MAC_BYTES]);
/* Of one device; permanent ones are among them. */
int nl_neigh_dump(struct nlx *x, int ifindex, enum ip_family family, nlx_fn fn, void *ctx);

/* ---- routes ---- */
/* Add @r, by way of @r->gateway unless that has no family. @replace: take the place of what stands
 * there, else that is -EEXIST. */
int nl_route_via(struct nlx *x, const struct nl_route *r, bool replace);

/* ---- the pin ---- */
/* @x is a NETLINK_NETFILTER socket. Make table `inet @table` with one chain and one rule: a packet
 * that comes in by a device whose name begins with @prefix and whose source address is not routed back
 * by that device is counted and dropped. It costs one look into the routing tables per packet, however
 * many pods there are, and names none of them. The batch takes the place of whatever was in the table.
 * -EOPNOTSUPP, -ENOENT: the kernel has no nf_tables or no fib expression; -errno. */
int nl_pin_put(struct nlx *x, const char *table, const char *prefix);
/* Is it there with just that rule in force? 0; ERR_NOT_FOUND: no, or changed; -errno. */
int nl_pin_check(struct nlx *x, const char *table);

#endif
