/* link_svc.h - links to other clusters in the daemon (docs/clusters.md): drives proto/link, keeps the
 * links in the state directory, and speaks BGP over the control segment with the gateways of other
 * clusters, and with the nodes of this one. Harmless on a node of a cluster without links. */
#ifndef WEFT_LINK_SVC_H
#define WEFT_LINK_SVC_H

#include "bgpd.h"
#include "daemon_int.h"
#include "lbgp.h"
#include "link.h"

/* A link of this node's, which is a gateway by that. */
struct link_entry {
	uint32_t number; /* realm of its sessions; 0: a free place */
	char name[NODE_NAME_MAX + 1];
	bool theirs;                /* the invitation came from the other cluster */
	struct link_invite invite;  /* with the secret: wiped when it goes */
	struct link_cluster remote; /* asn 0: nobody has answered our invitation yet */
	struct lbgp_link bgp;       /* of that */
};

#define LINK_UNDERLAY_MAX                                                                          \
	64 /* addresses of this host and its gateways; a host with more keeps the first */

struct link_svc {
	struct daemon *d;
	struct links *core; /* NULL until mesh_start */
	struct link_entry entries[LIM_LINKS];
	size_t count;
	struct link_cluster self;
	bool quiet; /* the host sends no redirects */
	bool off;   /* more ranges than a greeting holds: no links, told */

	struct pfx closed[LIM_LINKED_RANGES]; /* of the last run, until the tables stand */
	size_t nclosed;
	bool ranges_changed; /* the file of closed ranges is old */

	struct lbgp *lbgp;
	struct bgpd *bgpd; /* NULL: nobody to speak with */
	struct cross *cross;
	struct exits *exits;
	struct ip
		underlay[LINK_UNDERLAY_MAX]; /* as the host was at its change number underlay_at */
	int nunderlay;
	bool underlay_moved; /* and routes are to be judged by it again */
	bool underlay_known; /* else nothing may be taken that could hold one */
	uint64_t underlay_at;
	bool offer_all; /* the speaker is new and knows nothing of what lies outside */
	bool sync;      /* what is spoken with may have changed */
	bool syncing;   /* link_bgp_sync() runs */
	char bgp_why[200];
};

/* Do all nodes of the cluster speak BGP with this one? It has links, or tells nodes of what lies outside. */
bool link_svc_is_gateway(const struct daemon *d);

/* Read the links of the state directory; before the cores. Logs what is wrong. ERR_NOMEM alone fails. */
int link_svc_open(struct daemon *d);
/* The session core is there: begin. ERR_NOMEM. */
int link_svc_start(struct daemon *d);
void link_svc_stop(struct daemon *d); /* before the session core goes */
void link_svc_close(struct daemon *d);

/* Actions of the session core about a realm other than 0. */
void link_svc_up(struct daemon *d, const struct sess_act *a);
void link_svc_down(struct daemon *d, const struct sess_act *a);
void link_svc_recv(struct daemon *d, const struct sess_act *a);

bool link_svc_drain(struct daemon *d); /* true: other cores may have something to say */
void link_svc_tick(struct daemon *d, ts_t now);
ts_t link_svc_deadline(const struct daemon *d);
void link_svc_second(
	struct daemon *d); /* each second: gateways come and go, our endpoints change */

/* The way to some node works, or no more, or is another: a gateway may be left for that. */
void link_svc_way_changed(struct daemon *d);

/* Make a link with an invitation of ours, or take one up. @why gets LINK_WHY_MAX bytes. The entry is
 * borrowed. ERR_CONFLICT, ERR_EXISTS, ERR_FULL, ERR_STALE (it ended), ERR_UNSUPPORTED, what the disk
 * said. */
int link_svc_invite(struct daemon *d, const char *name, uint64_t expires_unix,
	const struct link_entry **out, char *why);
int link_svc_accept(struct daemon *d, const char *name, const struct link_invite *v,
	const struct link_entry **out, char *why);
int link_svc_remove(struct daemon *d, const char *name); /* ERR_NOT_FOUND, -errno */

/* link_bgp.c */
int link_bgp_new(struct daemon *d); /* ERR_NOMEM */
/* Speak with who there is to speak with. */
void link_bgp_sync(struct daemon *d);
void link_bgp_close(struct link_svc *s); /* at the end: routes stay as they are */
/* The cluster that @e leads to is another than before: its session is judged, or begun, anew. */
void link_bgp_learned(struct daemon *d, struct link_entry *e, uint32_t asn_before);
/* State of the session with @key as text, and the prefixes that it gave; "" and 0: none. */
const char *link_bgp_state(
	const struct link_svc *s, const struct node_key *key, uint32_t *prefixes);

/* @e begins or ends, as far as BGP goes. */
void link_bgp_add(struct daemon *d, struct link_entry *e);
void link_bgp_del(struct daemon *d, struct link_entry *e);
/* Policies or the underlay changed. */
void link_bgp_judge(struct daemon *d);
/* Would @p swallow an address that carries the mesh (promise 4.3)? @hit: that one. */
bool link_bgp_underlay(struct daemon *d, const struct pfx *p, char hit[IP_STRLEN]);
/* Each second: if that is another than before, routes are judged again; and ways that failed are asked. */
void link_bgp_look(struct daemon *d);

/* link_cross.c: routes from link to link by policy, and between links and the neighbours of `bgp:`. */
int link_cross_open(struct daemon *d); /* ERR_NOMEM */
void link_cross_close(struct daemon *d);
/* The configuration's policies, or the links that they speak of, are others. */
void link_cross_policies(struct daemon *d);
/* The entry of the configuration that is @e's; NULL: none. */
const struct conf_bgp_cluster *link_cross_conf(struct daemon *d, const struct link_entry *e);
void link_cross_route(struct daemon *d, const struct lbgp_route *r);
/* The best route of the neighbours of `bgp:` to @p is another. */
void link_cross_outside(struct daemon *d, const struct pfx *p);
bool link_cross_pending(const struct daemon *d);
bool link_cross_drain(struct daemon *d); /* true: something was carried over */

/* link_exit.c: exits that BGP makes of this node, and aggregates of neighbours' routes for nodes. */
int link_exit_open(struct daemon *d); /* ERR_NOMEM */
void link_exit_close(struct daemon *d);
/* The best route of the control segment's speaker to r->pfx is that. */
void link_exit_route(struct daemon *d, const struct lbgp_route *r);
/* A neighbour's best route leads to @p, outside of all ranges; or (@on false) none does. */
void link_exit_part(struct daemon *d, const struct pfx *p, bool on);
bool link_exit_is_aggregate(const struct daemon *d, const struct pfx *p);
/* The configuration's aggregates may be others: if so, all parts are to be told again. */
void link_exit_aggregates(struct daemon *d);
void link_exit_offer(struct daemon *d);  /* the speaker is new: tell it of the aggregates */
void link_exit_closed(struct daemon *d); /* it is gone */
void link_exit_again(struct daemon *d);  /* the FIB is new: put every exit into it */
/* Nobody else has that prefix in the FIB any more: it is ours again, if we are an exit for it. */
void link_exit_freed(struct daemon *d, const struct pfx *p);

/* link_ranges.c: linked ranges outlive weftd. */
void link_ranges_load(struct daemon *d);
/* State them to the kernel, before its first sync. */
void link_ranges_floor(struct daemon *d);
/* And to the table of routes, when there is one. */
void link_ranges_close(struct daemon *d);
void link_ranges_save(struct daemon *d);
void link_svc_ranges_changed(struct daemon *d);
/* Open a closed range. ERR_NOT_FOUND; ERR_BUSY: a gateway leads there, or a link of this node, told in
 * @why (LINK_WHY_MAX). */
int link_ranges_forget(struct daemon *d, const struct pfx *p, char *why);

/* ctl_link.c */
void ctl_link_status(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_link_invite(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_link_accept(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_link_remove(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void metrics_link(struct daemon *d, struct http_reply *r);

#endif
