/* sim_path.h - a node's ways to others: the path core with the glue that router/svc/paths.c is in the
 * daemon. Above SIM_PATHS_NODES nodes, or with sim_cfg.no_paths, there is none (every function does
 * nothing then): nodes are dialled at their addresses alone (sim_dial.h). */
#ifndef WEFT_SIM_PATH_H
#define WEFT_SIM_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/ts.h"
#include "path.h"
#include "session.h"
#include "sim_relay.h"

struct sim_node;
struct sim_path;
struct sim_slot;

struct sim_path *sim_path_new(struct sim_node *n, ts_t now); /* NULL: no memory */
void sim_path_free(struct sim_path *x);                      /* NULL is fine */

/* Actions of the sessions. */
void sim_path_send(struct sim_path *x, const struct sess_act *a, size_t wire_len);
/* False: there is no way to it; the session has to be ended. */
bool sim_path_up(struct sim_path *x, struct sim_slot *p, const struct sess_act *a);
void sim_path_down(struct sim_path *x, const struct node_key *key);
void sim_path_endpoint(struct sim_path *x, struct sim_slot *p, const struct sess_act *a);
/* Of a node without the core too: it may lie. */
void sim_path_recv(struct sim_node *n, const struct sess_act *a);
void sim_path_side_port(struct sim_path *x, const struct sim_slot *p, uint8_t via, bool on);
void sim_path_dial_failed(struct sim_path *x, const struct node_key *key, const struct ep *ep);

/* A session with @key is wanted for a while; @eps are where it may be, beside what its record says. */
void sim_path_want(
	struct sim_path *x, const struct node_key *key, const struct ep *eps, size_t neps);
void sim_path_node(struct sim_path *x, const struct node_key *key); /* it came up */
void sim_path_ask(struct sim_path *x, const struct node_key *key);  /* its session hears nothing */
void sim_path_hasten(struct sim_path *x, const struct node_key *key); /* data waits for it */

/* A datagram came out of a relay's wrapping. */
void sim_path_relayed(struct sim_path *x, const struct sim_way *back, uint8_t *buf, size_t len);
/* Data went or came: the links are looked at for a while. */
void sim_path_active(struct sim_path *x);

void sim_path_refresh(struct sim_path *x, ts_t now); /* each housekeeping */
void sim_path_second(struct sim_path *x, ts_t now);  /* each second */
/* True: something was done that other cores may have to say something to. */
bool sim_path_drain(struct sim_path *x);
void sim_path_tick(struct sim_path *x, ts_t now);
ts_t sim_path_deadline(const struct sim_path *x);

/* The core, for checks; NULL: none. */
struct path *sim_path_core(struct sim_path *x);
/* What a node tells others instead of the truth (sim_hostile.h): sim_node.way_lie. */
enum sim_path_lie { PATH_LIE_NONE, PATH_LIE_CHEAP, PATH_LIE_ROUTE };

#endif
