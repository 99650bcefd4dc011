/* kubed.c - drives kube_watch (what the API says) and kube_fleet (what follows) with the loop's time.
 *
 *	API server --HTTPS--> kube_api --bytes--> kube_watch --nodes--> kube_fleet --actions--+
 *	weftd <--control socket-- kube_ctl <--------------------------------------------------+
 *	API server <--PATCH-- kube_api <------------------------------------------------------+
 *
 * Everything that happens (bytes, replies, ends of calls) is put into a core, and then the timer is set to
 * now: turn() drains both cores and re-arms it. So no call is begun or ended inside libcurl's callbacks, and
 * a core is never entered twice.
 *
 * No state on disk: what is known is listed anew at each start, and weftd keeps what it was given. Failure:
 * an API that is away costs nothing but news; a weftd that is away is asked again each second. The log tells
 * changes, not tries. */
#include "kubed.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "file.h"
#include "kube_weftd.h"
#include "kubed_int.h"
#include "weft/bounds.h"
#include "weft/err.h"
#include "weft/log.h"

#define CNI_CONF_MODE 0644

static void kick(struct kubed *k)
{
	loop_timer_set(k->timer, loop_now());
}

/* --- the API: list and watch --- */

static void stream_head(void *ctx, int status, int retry_after_secs)
{
	struct kubed *k = ctx;

	kube_watch_head(k->watch, status, retry_after_secs, loop_now());
	kick(k);
}

static void stream_data(void *ctx, const char *p, size_t len)
{
	struct kubed *k = ctx;
	struct kube_watch_change c;
	ts_t now = loop_now();

	while (kube_watch_feed(k->watch, &p, &len, now, &c)) {
		static struct log_limit limit;

		if (c.gone)
			kube_fleet_gone(k->fleet, c.node, now);
		else if (kube_fleet_node(k->fleet, c.node, now) != 0)
			log_limited(&limit, now.ns, LOG_LVL_WARN, "kube",
				"node %s is passed over: more than %d nodes, or no memory",
				c.node->name, LIM_NODES);
	}
	kick(k);
}

static void stream_done(void *ctx, int status, const char *why)
{
	struct kubed *k = ctx;

	k->stream = NULL;
	kube_watch_closed(k->watch, why, loop_now());
	kick(k);
}

static void watch_act(struct kubed *k, const struct kube_watch_act *a)
{
	static const struct kube_api_fns fns = {stream_head, stream_data, stream_done};
	int err;

	switch (a->type) {
	case KUBE_WATCH_CANCEL:
		kube_api_end(k->api, k->stream);
		k->stream = NULL;
		break;
	case KUBE_WATCH_LIST_BEGIN:
		kube_fleet_list_begin(k->fleet);
		break;
	case KUBE_WATCH_LIST_END:
		kube_fleet_list_end(k->fleet, a->whole, loop_now());
		break;
	case KUBE_WATCH_REQUEST:
		err = kube_api_get(k->api, a->path, &fns, k, &k->stream);
		if (err) {
			char why[128];
			(void)snprintf(
				why, sizeof(why), "%.80s: %s", k->conf->token_file, err_str(err));
			kube_watch_closed(k->watch, why, loop_now());
		}
		break;
	case KUBE_WATCH_NONE:
		break;
	}
}

/* --- the API: patches --- */

static void patch_data(void *ctx, const char *p, size_t len)
{
	struct kubed *k = ctx;
	size_t room = sizeof(k->patch_answer) - 1 - k->patch_answer_len;

	if (len > room)
		len = room;
	memcpy(k->patch_answer + k->patch_answer_len, p, len);
	k->patch_answer_len += len;
	k->patch_answer[k->patch_answer_len] = '\0';
}

static void patch_done(void *ctx, int status, const char *why)
{
	static struct log_limit limit;
	struct kubed *k = ctx;
	enum kube_fleet_result r = KUBE_FLEET_FAILED;
	const char *what = k->patching == KUBE_FLEET_PATCH_NODE ? "annotations" : "status";

	k->patch = NULL;
	if (!why && status >= 200 && status < 300)
		r = KUBE_FLEET_OK;
	else if (!why && status >= 400 && status < 500 && status != 401 && status != 409 &&
		 status != 429)
		r = KUBE_FLEET_REFUSED;
	if (r == KUBE_FLEET_OK)
		log_info("kube", "the %s of node %s are written", what, k->conf->node);
	else
		log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "kube",
			"the %s of node %s can't be written: %s%d %s", what, k->conf->node,
			why ? why : "the API answers ", status, k->patch_answer);
	kube_fleet_result(k->fleet, k->patching, r, loop_now());
	kick(k);
}

static void start_patch(struct kubed *k, const struct kube_fleet_act *a)
{
	static const struct kube_api_fns fns = {NULL, patch_data, patch_done};
	bool status = a->type == KUBE_FLEET_PATCH_STATUS;
	char path[KUBE_NAME_MAX + 64];
	char *body = status ? kube_patch_network((int64_t)(loop_unix_ns() / 1000000000)) : NULL;
	int err = ERR_NOMEM;

	(void)snprintf(
		path, sizeof(path), "/api/v1/nodes/%s%s", k->conf->node, status ? "/status" : "");
	k->patching = a->type;
	k->patch_answer[0] = '\0';
	k->patch_answer_len = 0;
	if (body || !status)
		err = kube_api_patch(k->api, path,
			status ? "application/strategic-merge-patch+json"
			       : "application/merge-patch+json",
			status ? body : a->text, &fns, k, &k->patch);
	free(body);
	if (err)
		kube_fleet_result(k->fleet, a->type, KUBE_FLEET_FAILED, loop_now());
}

/* --- weftd --- */

static void ask_next(struct kubed *k);

static void asked_all(struct kubed *k, bool ok)
{
	ts_t now = loop_now();

	kube_fleet_daemon(k->fleet, ok ? &k->daemon : NULL, now);
	kube_fleet_result(k->fleet, KUBE_FLEET_ASK, ok ? KUBE_FLEET_OK : KUBE_FLEET_FAILED, now);
	kick(k);
}

static void asked_part(void *ctx, const struct ctl_reply *reply, int err)
{
	struct kubed *k = ctx;
	bool ok = reply && reply->ok;

	if (ok && k->asked == 0)
		ok = kube_weftd_status(reply->data, &k->daemon) == 0;
	else if (ok && k->asked == 1)
		kube_weftd_pod_network(reply->data, &k->daemon);
	else if (ok)
		kube_weftd_targets(reply->data, &k->daemon);
	if (!ok) {
		log_debug("kube", "weftd: %s", reply ? reply->error : err_str(err));
		asked_all(k, false);
	} else if (++k->asked == 3) {
		asked_all(k, true);
	} else {
		ask_next(k);
	}
}

static void ask_next(struct kubed *k)
{
	static const char *const parts[] = {"status", "pod-network", "status targets"};
	struct ctl_request rq = {0};

	(void)snprintf(rq.cmd, sizeof(rq.cmd), "%s", parts[k->asked]);
	if (kube_ctl_ask(k->ctl, &rq, asked_part, k) != 0)
		asked_all(k, false);
}

static void told(void *ctx, const struct ctl_reply *reply, int err)
{
	static struct log_limit limit;
	struct kubed *k = ctx;
	enum kube_fleet_result r = kube_weftd_result(reply);

	if (r == KUBE_FLEET_UNKNOWN)
		log_warn("kube",
			"%s; node %s keeps what its configuration says until weftd is newer",
			reply->error, k->conf->node);
	else if (r == KUBE_FLEET_REFUSED && k->telling == KUBE_FLEET_PREFIX_SET)
		log_limited(&limit, loop_now().ns, LOG_LVL_ERROR, "kube",
			"weftd refuses the node's pod CIDRs: %s", reply->error);
	else if (r == KUBE_FLEET_FAILED)
		log_debug("kube", "weftd: %s", err_str(err));
	kube_fleet_result(k->fleet, k->telling, r, loop_now());
	kick(k);
}

static void tell(struct kubed *k, const struct kube_fleet_act *a)
{
	struct ctl_request rq;

	k->telling = a->type;
	if (a->type == KUBE_FLEET_PREFIX_SET)
		log_info("kube", "pod CIDRs of node %s: %s", k->conf->node, a->text);
	else if (a->type == KUBE_FLEET_NODE_DELETED)
		log_info("kube", "node %s was deleted: its leases end", a->text);
	if (!kube_weftd_request(a, &rq) || kube_ctl_ask(k->ctl, &rq, told, k) != 0)
		kube_fleet_result(k->fleet, a->type, KUBE_FLEET_FAILED, loop_now());
}

/* --- the CNI configuration --- */

/* Write it unless it stands there already. */
static int install_cni_conf(const struct kube_conf *c)
{
	char *from, *to = NULL;
	size_t from_len, to_len = 0;
	int err = file_read(c->cni_from, LIM_CONFIG_BYTES, &from, &from_len);
	bool same;

	if (err)
		return err;
	/* absent, unreadable, too large: written over */
	if (file_read(c->cni_to, LIM_CONFIG_BYTES, &to, &to_len) != 0)
		to = NULL;
	same = to && to_len == from_len && memcmp(from, to, from_len) == 0;
	if (!same)
		err = file_write_atomic(c->cni_to, from, from_len, CNI_CONF_MODE);
	if (!same && !err)
		log_info("kube", "pods can be connected: %s is installed", c->cni_to);
	free(to);
	free(from);
	return err;
}

static void fleet_act(struct kubed *k, const struct kube_fleet_act *a)
{
	static struct log_limit limit;
	int err;

	switch (a->type) {
	case KUBE_FLEET_ASK:
		k->daemon = (struct kube_daemon){0};
		k->asked = 0;
		ask_next(k);
		break;
	case KUBE_FLEET_PATCH_NODE:
	case KUBE_FLEET_PATCH_STATUS:
		start_patch(k, a);
		break;
	case KUBE_FLEET_CNI_CONF:
		err = install_cni_conf(k->conf);
		if (err)
			log_limited(&limit, loop_now().ns, LOG_LVL_ERROR, "kube", "%s to %s: %s",
				k->conf->cni_from, k->conf->cni_to, err_str(err));
		kube_fleet_result(
			k->fleet, a->type, err ? KUBE_FLEET_FAILED : KUBE_FLEET_OK, loop_now());
		break;
	case KUBE_FLEET_RELIST:
		kube_watch_relist(k->watch, loop_now());
		break;
	default:
		tell(k, a);
		break;
	}
}

/* --- the turn --- */

/* A failure is told when it is another than the one before, and each 20th time. */
static void tell_changes(struct kubed *k)
{
	static struct log_limit limit;
	struct kube_watch_stats w;
	struct kube_fleet_stats f;

	kube_watch_stats(k->watch, &w);
	if (strcmp(w.why, k->said_why) != 0) {
		memcpy(k->said_why, w.why, sizeof(k->said_why));
		if (w.why[0])
			log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "kube", "%s", w.why);
	}
	if (w.failures != k->said_failures && w.failures > 0 && w.failures % 20 == 0)
		log_warn("kube", "%u failures in a row; weftd goes on with what it has: %s",
			w.failures, w.why);
	k->said_failures = w.failures;
	if (w.failures > 0)
		k->said_watching = false;
	if (w.watching && !k->said_watching) {
		k->said_watching = true;
		kube_fleet_stats(k->fleet, &f);
		log_info("kube", "watching %llu nodes", (unsigned long long)f.nodes);
	}
}

static void turn(void *ctx)
{
	struct kubed *k = ctx;
	struct kube_watch_act wa;
	struct kube_fleet_act fa;
	ts_t now = loop_now();
	bool more = true;

	kube_watch_tick(k->watch, now);
	kube_fleet_tick(k->fleet, now);
	while (more) {
		more = false;
		while (kube_watch_next(k->watch, &wa)) {
			watch_act(k, &wa);
			more = true;
		}
		while (kube_fleet_next(k->fleet, &fa)) {
			fleet_act(k, &fa);
			more = true;
		}
	}
	tell_changes(k);
	loop_timer_set(
		k->timer, ts_min(kube_watch_deadline(k->watch), kube_fleet_deadline(k->fleet)));
}

static void on_signal(void *ctx, int signo)
{
	struct kubed *k = ctx;

	log_info("kube", "signal %d, ending", signo);
	loop_stop(k->loop);
}

static int make_cores(struct kubed *k)
{
	struct kube_fleet_conf c = {.node = k->conf->node,
		.port = k->conf->port,
		.cni_conf = k->conf->cni_to[0] != '\0'};
	uint64_t seed;

	if (getrandom(c.hash_key, sizeof(c.hash_key), 0) != sizeof(c.hash_key) ||
		getrandom(&c.seed, sizeof(c.seed), 0) != sizeof(c.seed) ||
		getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return -errno;
	k->watch = kube_watch_new(seed);
	k->fleet = kube_fleet_new(&c);
	return k->watch && k->fleet ? 0 : ERR_NOMEM;
}

static int start(struct kubed *k)
{
	int err;

	k->loop = loop_new();
	if (!k->loop)
		return ERR_NOMEM;
	k->timer = loop_timer_new(k->loop, turn, k);
	k->on_term = loop_signal_new(k->loop, SIGTERM, on_signal, k);
	k->on_int = loop_signal_new(k->loop, SIGINT, on_signal, k);
	if (!k->timer || !k->on_term || !k->on_int)
		return ERR_NOMEM;
	err = make_cores(k);
	if (!err)
		err = kube_ctl_new(k->loop, k->conf->socket, &k->ctl);
	if (!err)
		err = kube_api_new(
			k->loop, k->conf->api, k->conf->token_file, k->conf->ca_file, &k->api);
	if (err)
		return err;
	kubed_http_start(k);
	kube_watch_start(k->watch, loop_now());
	kick(k);
	return 0;
}

static void stop(struct kubed *k)
{
	kubed_http_stop(k);
	kube_api_free(k->api);
	kube_ctl_free(k->ctl);
	kube_fleet_free(k->fleet);
	kube_watch_free(k->watch);
	loop_signal_free(k->on_int);
	loop_signal_free(k->on_term);
	loop_timer_free(k->timer);
	loop_free(k->loop);
}

int kubed_run(const struct kube_conf *conf)
{
	struct kubed *k = calloc(1, sizeof(*k));
	int err = ERR_NOMEM;

	if (k) {
		k->conf = conf;
		log_info("kube", "weft-kube %s: node %s, API %s", WEFT_VERSION, conf->node,
			conf->api);
		err = start(k);
		if (!err)
			err = loop_run(k->loop);
		stop(k);
		free(k);
	}
	if (err)
		log_error("kube", "%s", err_str(err));
	return err ? 1 : 0;
}
