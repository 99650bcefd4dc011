/* bgp_svc.h - BGP in the daemon: configuration to driver, the mesh's prefixes to announcements, best
 * routes to the kernel. Everything here is harmless on a node without the section `bgp:`. */
#ifndef WEFT_BGP_SVC_H
#define WEFT_BGP_SVC_H

#include "announce.h"
#include "bfdd.h"
#include "bgpd.h"
#include "conf_bgp.h"
#include "daemon_int.h"
#include "kfib.h"
#include "radv.h"

/* A neighbour of the configuration. */
struct bgp_neighbour {
	const struct conf_bgp_peer *conf;
	uint32_t peer;      /* of the core; 0: by interface, and nobody was found there yet */
	uint32_t bfd;       /* its session; 0: none */
	struct ip of_range; /* it connected from a range; IP_NONE: it is configured */
};

struct bgp_svc {
	struct daemon *d;
	const struct conf_bgp *conf;
	uint32_t router_id;
	struct bgpd *bgpd;
	struct bfdd *bfdd; /* NULL: no neighbour has BFD */
	struct kfib *kfib;
	struct radv *radv; /* NULL: no neighbour by interface */
	struct announce *announce;
	struct loop_signal *sighup;
	struct policy_book *book;  /* in use: conf's, or that of the last reload */
	struct conf_bgp *reloaded; /* what was read then, owned; NULL: nothing yet */
	struct roa *origins;       /* owned; NULL: none */
	char origins_why[300];     /* why there are none; "": all is well */
	struct bgp_neighbour *neighbours;
	size_t nneighbours, neighbours_cap;
	struct loop_timer *prefix_timer, *host_timer, *sync_timer;
	bool prefixes_due;
	uint64_t underlay_seen;
	ts_t started;
	bool swept; /* leftovers of the weftd before this one are gone */
	uint64_t announced_failed;
	struct bgp_mrt *mrt;  /* NULL: nobody asked for any */
	char kernel_why[256]; /* of the last route that the kernel refused; "": none */
};

/* Open sockets and tables, add the peers. Logs what is wrong; 0, or the error. d->bgp stays NULL
 * without the section. */
int bgp_svc_start(struct daemon *d);
/* Ends the sessions: with a Cease, or without a word where the peer is to wait for the next weftd
 * (graceful-restart: yes). The kernel's routes stay, but for `weft down`. */
void bgp_svc_stop(struct daemon *d);
/* Prefixes of the mesh may have changed: look at them soon. */
void bgp_svc_prefixes(struct daemon *d);

/* The best route of links to @p, for neighbours (announce: {clusters: yes}); @attrs NULL: none leads there. */
void bgp_svc_linked(struct daemon *d, const struct pfx *p, const struct bgp_attrs *attrs);
/* The section `bgp:` as it is by now: of the start, or of the last reload. */
const struct conf_bgp *bgp_svc_conf(const struct bgp_svc *s);
/* The entry of the neighbour @c of the start's section in the section as it is by now. */
const struct conf_bgp_peer *bgp_svc_conf_peer(
	const struct bgp_svc *s, const struct conf_bgp_peer *c);
/* What rules speak of is another: the neighbours' routes are judged again. */
void bgp_svc_judge(struct daemon *d);

/* The neighbour with that address, interface or peer number, or NULL. */
const struct bgp_neighbour *bgp_svc_neighbour(const struct bgp_svc *s, const char *address);
const struct bgp_neighbour *bgp_svc_peer(const struct bgp_svc *s, uint32_t peer);
/* The address or the interface, as configured; returns @out or something that lives with @n. */
const char *bgp_svc_name(const struct bgp_neighbour *n, char out[IP_STRLEN]);

/* bgp_bfd.c. Begin the BFD session of @n, if it is to have one; logs what is wrong. 0, or the error. */
int bgp_bfd_add(struct bgp_svc *s, struct bgp_neighbour *n);
/* The peers hear that BFD ends and that this is no failure. Before the BGP sessions end. */
void bgp_bfd_stop(struct bgp_svc *s);
/* The map `bfd` of a neighbour, if it has one. */
void bgp_bfd_write(const struct bgp_svc *s, const struct bgp_neighbour *n, struct ctl_w *w);
void bgp_bfd_metrics(const struct bgp_svc *s, struct http_reply *r);

/* bgp_policy.c. Make the configured policies ready; before the first peer. ERR_NOMEM, ERR_FULL. */
int bgp_policy_open(struct bgp_svc *s);
void bgp_policy_close(struct bgp_svc *s); /* after the sessions */
/* The policies of the neighbour @c. */
void bgp_policy_hooks(struct bgp_svc *s, const struct conf_bgp_peer *c, struct bgp_policy *import,
	struct bgp_policy *export);
/* Read the configuration file again and take its policies and passwords over: all of them, or none, and
 * then @why says what is wrong. ERR_STATE, ERR_CONFIG, errors of files, ERR_MALFORMED (the origins),
 * ERR_NOMEM, -errno (a password that the kernel does not take). */
int bgp_policy_reload(struct daemon *d, char *why, size_t why_len);

/* ctl_bgp_mrt.c */
struct bgp_mrt;
void bgp_mrt_close(struct bgp_svc *s); /* before the sessions end */
void bgp_mrt_state(struct bgp_svc *s, const struct bgp_act *act);
void ctl_bgp_dump(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_bgp_record(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);

/* The section's service; NULL without one, and the answer says so. */
struct bgp_svc *ctl_bgp_svc(struct daemon *d, struct ctl_answer *a);
/* ctl_bgp.c: commands, and the overview for `weft report`. */
void ctl_bgp_status(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_bgp_routes(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_bgp_act(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
/* ctl_bgp_policy.c */
void ctl_bgp_policy(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_bgp_policy_test(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_bgp_reload(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
/* Communities as policy_comm.h writes them, standard, extended, large; cut with "..."; returns @out. */
char *ctl_bgp_communities(const struct bgp_attrs *at, char *out, size_t cap);
void bgp_policy_metrics(const struct bgp_svc *s, struct http_reply *r);
void metrics_bgp(struct daemon *d, struct http_reply *r);

#endif
