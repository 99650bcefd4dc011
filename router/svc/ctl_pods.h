/* ctl_pods.h - what the CNI plugin asks: docs/json.md, pod-network. */
#ifndef WEFT_CTL_PODS_H
#define WEFT_CTL_PODS_H

#include "daemon_int.h"

/* Prefixes, MTU, table and readiness of the first segment, whose addresses pods get. Writes one map. */
void pods_network(struct daemon *d, struct ctl_w *w);

#endif
