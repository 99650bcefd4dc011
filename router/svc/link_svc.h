/* link_svc.h - links to other clusters in the daemon (docs/clusters.md): drives proto/link, keeps the
 * links in the state directory, and speaks BGP over the control segment with the gateways of other
 * clusters, and with the nodes of this one. Harmless on a node of a cluster without links. */
#ifndef WEFT_LINK_SVC_H
#define WEFT_LINK_SVC_H

#include "bgpd.h"
#include "daemon_int.h"
#include "link.h"

/* A link of this node's, which is a gateway by that. */
struct link_entry {
	uint32_t number; /* realm of its sessions; 0: a free place */
	char name[NODE_NAME_MAX + 1];
	bool theirs;                /* the invitation came from the other cluster */
	struct link_invite invite;  /* with the secret: wiped when it goes */
	struct link_cluster remote; /* asn 0: nobody has answered our invitation yet */
};

/* Somebody that BGP is spoken with. */
struct link_speaker {
	uint32_t id; /* of the BGP core */
	struct node_key key;
	struct link_entry *link; /* NULL: a node of this cluster */
	uint64_t seen;           /* link_svc.round that it was last wanted in */
};

struct link_svc {
	struct daemon *d;
	struct links *core; /* NULL until mesh_start */
	struct link_entry entries[LIM_LINKS];
	size_t count;
	struct link_cluster self;
	bool quiet; /* the host sends no redirects */
	bool off;   /* more ranges than a greeting holds: no links, told */

	struct bgpd *bgpd; /* NULL: nobody to speak with */
	bool listening;
	struct map *speakers; /* node key to struct link_speaker, owned */
	uint64_t round;
	bool sync;      /* what is spoken with may have changed */
	ts_t bgp_again; /* not tried before, after a failure */
	char bgp_why[200];
};

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
/* Speak with who there is to speak with. */
void link_bgp_sync(struct daemon *d);
void link_bgp_close(struct link_svc *s); /* at the end: routes stay as they are */
/* The cluster that @e leads to is another than before: its session is judged, or begun, anew. */
void link_bgp_learned(struct daemon *d, struct link_entry *e, uint32_t asn_before);
/* State of the session with @key as text, and the prefixes that it gave; "" and 0: none. */
const char *link_bgp_state(
	const struct link_svc *s, const struct node_key *key, uint32_t *prefixes);

/* ctl_link.c */
void ctl_link_status(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_link_invite(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_link_accept(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_link_remove(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void metrics_link(struct daemon *d, struct http_reply *r);

#endif
