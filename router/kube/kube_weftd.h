/* kube_weftd.h - what weft-kube asks weftd, and what it reads of the answers (docs/json.md). No I/O. */
#ifndef WEFT_KUBE_WEFTD_H
#define WEFT_KUBE_WEFTD_H

#include "ctl.h"
#include "kube_fleet.h"

/* Fields may be absent or of another type: weftd may be of another version. Each fills its part of
 * @out, which the caller zeroed. ERR_MALFORMED: no key, without which nothing is known. */
int kube_weftd_status(const msgpack_object *data, struct kube_daemon *out);
/* pods_ready as the CNI plugin's STATUS has it (docs/cni.md, "When ADD returns"). */
void kube_weftd_pod_network(const msgpack_object *data, struct kube_daemon *out);
void kube_weftd_targets(const msgpack_object *data, struct kube_daemon *out);

/* The request for an action of the fleet that is for weftd. False: none is (ASK takes several). */
bool kube_weftd_request(const struct kube_fleet_act *act, struct ctl_request *out);
/* What a reply means. "No such command" is told by weftd in words only. */
enum kube_fleet_result kube_weftd_result(const struct ctl_reply *r);

#endif
