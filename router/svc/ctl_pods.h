/* ctl_pods.h - what the CNI plugin asks: docs/json.md, pod-network. */
#ifndef WEFT_CTL_PODS_H
#define WEFT_CTL_PODS_H

#include "daemon_int.h"
#include "ipam.h"

/* Prefixes, MTU, table and readiness of the first segment, whose addresses pods get. Writes one map. */
void pods_network(struct daemon *d, struct ctl_w *w);

/* The pods' addresses as weft-cni keeps them in RUN-DIR/cni; the daemon has no copy. Returns owned;
 * NULL: there is no such file, or it can't be read. */
struct ipam *pods_read(struct daemon *d);
/* Now, by the clock of that file. */
ts_t pods_now(void);
/* The pool of each family, over all prefixes that pods get addresses from: the array "pods" of
 * status ipam, and the metrics. */
void pods_totals(struct daemon *d, struct ctl_w *w);
/* Who has which address, with what the runtime said of the pod: the array "attachments" of status
 * ipam. */
void pods_list(struct daemon *d, struct ctl_w *w);
#define PODS_MTU_LISTED 64
/* Pods that could have a larger MTU, since the mesh carries more now than when they were made: the map
 * "pod_mtu" of status. */
void pods_mtu(struct daemon *d, struct ctl_w *w);
void metrics_pods(struct daemon *d, struct http_reply *r);

#endif
