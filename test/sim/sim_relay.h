/* sim_relay.h - relayed datagrams between simulated nodes: the headers of router/dp/relay.h, sealed per
 * hop under the session with it (weft/wire.h, RELAY), or by the authenticated result of that. Up to
 * SIM_PATHS_NODES nodes have it, with the path core (sim_path.h). */
#ifndef WEFT_SIM_RELAY_H
#define WEFT_SIM_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/id.h"
#include "weft/wire.h"

struct sim_node;

/* A way through relays, as struct dp_way of router/dp/dp.h: the first one, with whom there is a session
 * that is reached directly, the labels of those behind it and, last, of the end. */
struct sim_way {
	struct node_key first;
	uint8_t n; /* relays; 0: no way */
	uint64_t label[WIRE_RELAY_LABELS_MAX];
};

/* The first bytes of a key, by which relays know a node. */
uint64_t sim_label(const struct node_key *key);
/* Wrap @len bytes that stand for @wire_len on the wire, and send them. False: no session with the first
 * relay, or a node twice on the way. @probe: of any length, and sent once. */
bool sim_relay_send(struct sim_node *n, const struct sim_way *way, const uint8_t *buf, size_t len,
	size_t wire_len, bool probe);
/* A datagram of type RELAY came: it goes on, or is taken out here. May change @buf. */
void sim_relay_recv(struct sim_node *n, uint8_t *buf, size_t len);

#endif
