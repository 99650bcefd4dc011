/* paths.h - which way packets to a node take: drives proto/path (docs/paths.md).
 *
 * In: sessions that come, move and end, control messages WIRE_CTL_PATH, what gossip knows of nodes, when
 * data went and came (dp_links), the underlay's MTU. Out: dials, probes, the data plane's and the session
 * core's way to each node, its path MTU, and so the MTU of its routes.
 *
 * A session whose way leads through relays has a pseudo endpoint (sess_relayed_ep); what the session
 * core sends there comes to paths_send(), which knows the way: that of the session, that of the dial
 * which is under way, or the one that the node's last datagram came by. */
#ifndef WEFT_PATHS_H
#define WEFT_PATHS_H

#include <stdbool.h>
#include "weft/addr.h"
#include "weft/id.h"
#include "weft/ts.h"
#include "ctl.h"
#include "dp.h"
#include "http.h"
#include "path.h"
#include "session.h"

struct daemon;
struct paths;
struct peer;

/* After the data plane was opened and the underlay was looked at. Returns owned. ERR_NOMEM. */
int paths_new(struct daemon *d, struct paths **out);
void paths_free(struct paths *x); /* NULL is fine */

/* Actions of the session core. */
void paths_send(struct daemon *d, const struct sess_act *a); /* SESS_SEND */
/* A session stands. False: there is no way to send on; it has to be ended. */
bool paths_up(struct daemon *d, struct peer *p, const struct sess_act *a);
void paths_down(struct daemon *d, const struct node_key *key);
void paths_endpoint(struct daemon *d, struct peer *p, const struct sess_act *a);
void paths_recv(struct daemon *d, const struct sess_act *a); /* of type WIRE_CTL_PATH */
void paths_side_port(struct daemon *d, struct peer *p, uint8_t via, bool on);
void paths_dial_failed(struct daemon *d, const struct node_key *key, const struct ep *ep);

/* A session with @key is wanted for a while; @eps are where it may be, beside what its record says. */
void paths_want(struct daemon *d, const struct node_key *key, const struct ep *eps, size_t n);
/* A node came up. */
void paths_node(struct daemon *d, const struct node_key *key);
/* Data waits for a node that we have no session with. */
void paths_hasten(struct daemon *d, const struct node_key *key);

/* From the data plane. */
void paths_relayed(struct daemon *d, const struct dp_way *back, uint8_t *buf, size_t len);
/* No true datagram comes from there: it would pass for a relayed one. */
bool paths_forged(const struct ep *from);
void paths_link_active(struct daemon *d);

/* Our own addresses may have changed; what gossip knows is looked through. Each 10 s and when the host's links
 * change. */
void paths_refresh(struct daemon *d);
/* The underlay's MTU changed (underlay.h): searches end there. Harmless before paths_new(). */
void paths_mtu(struct daemon *d);
void paths_second(struct daemon *d); /* each second */
/* Carry out what the core says. True: something was done that other cores may have to say something to. */
bool paths_drain(struct daemon *d);
void paths_tick(struct daemon *d, ts_t now);
ts_t paths_deadline(const struct daemon *d);

#define PATHS_TEXT (WIRE_RELAY_LABELS_MAX * (NODE_NAME_MAX + 2) + 8)
/* For status: "direct", "relay NAME", "relay NAME, NAME", "lost", or "" without a session. */
const char *paths_text(struct daemon *d, const struct node_key *key, char *out, size_t cap);
/* Of the way to @key; false: nothing is known of it. */
bool paths_get(const struct daemon *d, const struct node_key *key, struct path_info *out);
/* Ask whether the way to @key works, as if data had just been sent there: one that failed and is not used any
 * more would else not be found to work again. */
void paths_ask(struct daemon *d, const struct node_key *key);
/* Where the node of pseudo endpoint @ep is dialled: "relay NAME"; false: it is a true endpoint. */
bool paths_ep_text(struct daemon *d, const struct ep *ep, char *out, size_t cap);
/* Further members of one connection: path, loss, MTU search. */
void paths_connection(struct daemon *d, struct ctl_w *w, const struct node_key *key);
void paths_counters(struct daemon *d, struct ctl_w *w, const char *key);
void metrics_paths(struct daemon *d, struct http_reply *r);

#endif
