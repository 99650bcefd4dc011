/* kubed_int.h - inside weft-kube: what kubed.c and kubed_http.c share. */
#ifndef WEFT_KUBED_INT_H
#define WEFT_KUBED_INT_H

#include "ctl.h"
#include "http.h"
#include "kube_api.h"
#include "kube_conf.h"
#include "kube_ctl.h"
#include "kube_fleet.h"
#include "kube_watch.h"
#include "loop.h"

struct kubed {
	const struct kube_conf *conf;
	struct loop *loop;
	struct loop_timer *timer;      /* the cores' next deadline */
	struct loop_timer *http_timer; /* until the metrics' address is free */
	struct loop_signal *on_term, *on_int;
	struct kube_watch *watch;
	struct kube_fleet *fleet;
	struct kube_api *api;
	struct kube_api_call *stream; /* list or watch at hand */
	struct kube_api_call *patch;
	enum kube_fleet_act_type patching, telling; /* what the patch, the request to weftd is */
	struct kube_ctl *ctl;
	struct kube_daemon daemon; /* filled by the parts of ASK */
	unsigned asked;            /* parts of ASK that were answered */
	struct http *http;
	char patch_answer[256]; /* how it begins: for the log */
	size_t patch_answer_len;
	bool said_watching; /* as last told in the log */
	unsigned said_failures;
	char said_why[128];
};

/* Serve /healthz, /readyz and /metrics; an address that is taken (by the pod that this one replaces) is
 * tried again. */
void kubed_http_start(struct kubed *k);
void kubed_http_stop(struct kubed *k);

#endif
