/* ctl_status.h - what the daemon tells about itself; shapes in docs/json.md. Each writes one value
 * under @key (NULL: at the top). */
#ifndef WEFT_CTL_STATUS_H
#define WEFT_CTL_STATUS_H

#include "daemon_int.h"

void status_overview(struct daemon *d, struct ctl_w *w, const char *key);
void status_peers(struct daemon *d, struct ctl_w *w, const char *key);
void status_connections(struct daemon *d, struct ctl_w *w, const char *key);
void status_routes(struct daemon *d, struct ctl_w *w, const char *key);
void status_targets(struct daemon *d, struct ctl_w *w, const char *key);
void status_counters(struct daemon *d, struct ctl_w *w, const char *key);
void status_config(struct daemon *d, struct ctl_w *w, const char *key);

/* The node's name, or its short key while only that is known. Returns @out. */
const char *status_node_name(
	struct daemon *d, const struct node_key *k, char out[NODE_NAME_MAX + 1]);

/* What was carried to and from @p; nothing if it is NULL. */
void status_peer_counters(struct daemon *d, const struct peer *p, struct dp_counters *out);

/* One table of the gossip core's counters, for report and metrics. */
struct gossip_counter {
	const char *name;
	uint64_t value;
};
#define GOSSIP_COUNTERS_MAX 64
size_t status_gossip_counters(struct daemon *d, struct gossip_counter out[GOSSIP_COUNTERS_MAX]);
/* The same of membership, its states at present among them. */
size_t status_member_counters(struct daemon *d, struct gossip_counter out[GOSSIP_COUNTERS_MAX]);

#endif
