/* conf_bgp.h - the section `bgp:` of the configuration, as values. What the keys mean to an operator
 * stands in docs/bgp.md. */
#ifndef WEFT_CONF_BGP_H
#define WEFT_CONF_BGP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/id.h"
#include "policy.h"

#define CONF_BGP_LISTEN_MAX 8
#define CONF_BGP_IFNAME     16 /* IFNAMSIZ */
#define CONF_BGP_PASSWORD   80 /* bytes, what the kernel takes (TCP_MD5SIG_MAXKEYLEN) */

struct conf_node;

/* What `import` or `export` says. */
struct conf_bgp_filter {
	/* Of the book of policies. NULL, nothing was said: eBGP refuses all (RFC 8212), iBGP takes
	 * all. */
	struct policy *policy;
	const struct conf_node *node; /* while the file is read, else NULL */
};

/* Which pods' prefixes are announced one by one. */
enum conf_bgp_pods { CONF_BGP_PODS_NONE, CONF_BGP_PODS_OWN, CONF_BGP_PODS_ALL };

struct conf_bgp_prefixes {
	struct pfx *v;
	size_t n;
};

struct conf_bgp_announce {
	enum conf_bgp_pods pods;
	bool ranges;                         /* each cluster range, as an aggregate */
	bool clusters;                       /* what lies behind links to other clusters */
	struct conf_bgp_prefixes services;   /* always */
	struct conf_bgp_prefixes aggregates; /* while there is a pods' prefix inside */
};

/* Values of bgp_restart and bgp_role of the core, in its order. */
enum conf_bgp_restart { CONF_BGP_RESTART_NO, CONF_BGP_RESTART_HELPER, CONF_BGP_RESTART_YES };
enum conf_bgp_role {
	CONF_BGP_ROLE_NONE,
	CONF_BGP_ROLE_PROVIDER,
	CONF_BGP_ROLE_RS,
	CONF_BGP_ROLE_RS_CLIENT,
	CONF_BGP_ROLE_CUSTOMER,
	CONF_BGP_ROLE_PEER,
};

/* Liveness of a neighbour (docs/bfd.md). Intervals of 0: not given. */
struct conf_bgp_bfd {
	bool on;
	uint32_t min_tx_ms, min_rx_ms;
	uint8_t mult;
	bool hops_given, multihop; /* RFC 5883; not given: as the BGP session */
};

struct conf_bgp_peer {
	struct ep remote;                /* port 179 unless given */
	char interface[CONF_BGP_IFNAME]; /* instead of an address; "": none */
	struct pfx range;                /* or whoever connects from there; IP_NONE: none */
	uint16_t range_limit;            /* at a time; 0: 64 */
	uint32_t asn;
	struct ip source; /* IP_NONE: the kernel's choice */
	char password[CONF_BGP_PASSWORD + 1];
	uint8_t multihop;  /* hops; 0: not given */
	bool ttl_security; /* RFC 5082: the peer is one hop away, or multihop of them */
	bool passive, next_hop_self;
	bool ipv4, ipv6; /* families; neither given: the address's own */
	struct ip next_hop[2];
	uint16_t hold_secs; /* 0: default, or none with no_hold */
	bool no_hold;
	uint32_t max_prefixes;  /* 0: LIM_BGP_PEER_PREFIXES */
	uint32_t warn_prefixes; /* 0: no warning */
	uint16_t max_restart_secs, restart_secs, stale_secs, mrai_secs; /* 0: default */
	enum conf_bgp_restart restart;                                  /* helper unless given */
	uint32_t local_as;                                              /* 0: not given */
	bool no_prepend, replace_as, as_override, remove_private, role_strict;
	uint8_t allow_own_as, add_path_send; /* 0: not at all */
	bool add_path_receive, v4_over_v6, no_ext_message;
	enum conf_bgp_role role;
	struct conf_bgp_bfd bfd;
	struct conf_bgp_filter import, export;
	unsigned line; /* where it stands in the file */
};

/* What may cross to and from a linked cluster. */
struct conf_bgp_cluster {
	char name[NODE_NAME_MAX + 1]; /* of the link here, or of the other cluster; or its id */
	bool outside;                 /* what `peers` told is offered to `export`, too */
	/* Without a policy: the two clusters' own ranges. */
	struct conf_bgp_filter import, export;
	unsigned line;
};

/* What this cluster's nodes hear of what `peers` told. */
struct conf_bgp_nodes {
	struct conf_bgp_filter export;       /* without a policy: nothing */
	struct conf_bgp_prefixes aggregates; /* while a route of `peers` lies inside */
	unsigned line;                       /* 0: not given */
};

struct conf_bgp {
	uint32_t asn;       /* 0: the cluster's own; there are no peers then */
	uint32_t router_id; /* host order; 0: the daemon's choice */
	uint8_t multipath;  /* next hops of a prefix at once; 0: one */
	struct ep listen[CONF_BGP_LISTEN_MAX];
	size_t nlisten; /* 0: nobody can connect to us */
	struct conf_bgp_announce announce;
	struct conf_bgp_nodes nodes;
	bool kernel; /* learned routes go there; no: this node hands them on, or reflects them */
	struct conf_bgp_peer *peers;
	size_t npeers;
	struct conf_bgp_cluster *clusters;
	size_t nclusters;
	struct policy_book *policies; /* not closed: the daemon adds guards first */
	char roa_file[256];           /* "": none */
};

/* Do both speak of the same neighbour: by address, or by interface? */
bool conf_bgp_same_peer(const struct conf_bgp_peer *a, const struct conf_bgp_peer *b);
#define CONF_BGP_PEER_NAME PFX_STRLEN
/* How the file names a peer: its address, interface or range, no two the same; returns @out. */
const char *conf_bgp_peer_name(const struct conf_bgp_peer *p, char out[CONF_BGP_PEER_NAME]);

/* Wipes passwords. NULL is fine. */
void conf_bgp_free(struct conf_bgp *b);

#endif
