/* kubed_http.c - how weft-kube fares, for probes and for a collector. */
#include <inttypes.h>
#include <string.h>
#include "kubed_int.h"
#include "weft/err.h"
#include "weft/log.h"

#define RETRY DUR_SEC(5)

static const char *const act_names[KUBE_FLEET_NACTS] = {"ask", "prefix_set", "node_deleted",
	"node_added", "connect", "forget", "patch_node", "patch_status", "cni_conf"};

static void counter(struct http_reply *r, const char *name, const char *help, uint64_t value)
{
	http_printf(r,
		"# HELP weft_kube_%s %s\n# TYPE weft_kube_%s counter\nweft_kube_%s %" PRIu64 "\n",
		name, help, name, name, value);
}

static void gauge(struct http_reply *r, const char *name, const char *help, uint64_t value)
{
	http_printf(r,
		"# HELP weft_kube_%s %s\n# TYPE weft_kube_%s gauge\nweft_kube_%s %" PRIu64 "\n",
		name, help, name, name, value);
}

static void actions(struct http_reply *r, const struct kube_fleet_stats *s)
{
	http_printf(r, "# HELP weft_kube_actions_total What was done, by result.\n"
		       "# TYPE weft_kube_actions_total counter\n");
	for (size_t i = 0; i < KUBE_FLEET_NACTS; i++)
		http_printf(r,
			"weft_kube_actions_total{action=\"%s\",result=\"ok\"} %" PRIu64 "\n"
			"weft_kube_actions_total{action=\"%s\",result=\"failed\"} %" PRIu64 "\n"
			"weft_kube_actions_total{action=\"%s\",result=\"refused\"} %" PRIu64 "\n",
			act_names[i], s->done[i], act_names[i], s->failed[i], act_names[i],
			s->refused[i]);
}

static void metrics(struct kubed *k, struct http_reply *r)
{
	struct kube_watch_stats w;
	struct kube_fleet_stats f;

	kube_watch_stats(k->watch, &w);
	kube_fleet_stats(k->fleet, &f);
	http_type(r, "text/plain; version=0.0.4");
	gauge(r, "watching", "1: listed, and the watch stands.", w.watching);
	gauge(r, "daemon_up", "1: weftd answers.", f.daemon_up);
	gauge(r, "nodes", "Nodes of the cluster.", f.nodes);
	gauge(r, "nodes_hinted", "Nodes whose annotations say where they are dialled.", f.hinted);
	gauge(r, "deletions_pending", "Deleted nodes that weftd has not heard of.", f.pending);
	gauge(r, "nodes_held", "Nodes missing from a list, too many at once to believe it.",
		f.held);
	counter(r, "lists_total", "Lists that came whole.", w.lists);
	counter(r, "watches_total", "Watches begun.", w.watches);
	counter(r, "events_total", "Events of nodes.", w.events);
	counter(r, "bookmarks_total", "Bookmarks.", w.bookmarks);
	counter(r, "expired_total", "Answers 410: listed anew.", w.expired);
	counter(r, "refused_total", "Answers 401 and 403.", w.refused);
	counter(r, "failed_total", "Other answers, cuts, silence.", w.failed);
	counter(r, "malformed_total", "Lists and events that could not be read.", w.malformed);
	counter(r, "skipped_total", "Objects that were too large, or no nodes.", w.skipped);
	counter(r, "odd_fields_total", "Fields of nodes that were passed over.", w.odd);
	counter(r, "nodes_passed_over_total", "Nodes above the bound.", f.passed_over);
	counter(r, "deletions_total", "Nodes that were deleted.", f.deletions);
	actions(r, &f);
}

/* Ready: weftd and the API were both heard. Later absence of the API is no reason not to be. */
static void ready(struct kubed *k, struct http_reply *r)
{
	struct kube_watch_stats w;
	struct kube_fleet_stats f;

	kube_watch_stats(k->watch, &w);
	kube_fleet_stats(k->fleet, &f);
	if (w.lists > 0 && f.daemon_up) {
		http_printf(r, "ready\n");
		return;
	}
	http_status(r, 503);
	if (w.lists == 0)
		http_printf(r, "no list of nodes yet: %s\n",
			w.why[0] ? w.why : "the API has not answered");
	if (!f.daemon_up)
		http_printf(r, "weftd does not answer on %s\n", k->conf->socket);
}

static bool serve(void *ctx, const char *path, struct http_reply *r)
{
	struct kubed *k = ctx;

	if (strcmp(path, "/metrics") == 0)
		metrics(k, r);
	else if (strcmp(path, "/readyz") == 0)
		ready(k, r);
	else if (strcmp(path, "/healthz") == 0)
		http_printf(r, "ok\n");
	else
		return false;
	return true;
}

static void try_again(void *ctx)
{
	kubed_http_start(ctx);
}

void kubed_http_start(struct kubed *k)
{
	char at[EP_STRLEN];
	int err;

	if (!k->conf->metrics_on)
		return;
	err = http_new(k->loop, &k->conf->metrics, serve, k, &k->http);
	if (!err) {
		struct ep got;
		http_addr(k->http, &got);
		log_info("kube", "metrics on %s", ep_fmt(&got, at));
		return;
	}
	if (!k->http_timer) {
		log_warn("kube", "metrics on %s: %s; trying again", ep_fmt(&k->conf->metrics, at),
			err_str(err));
		k->http_timer = loop_timer_new(k->loop, try_again, k);
	}
	if (k->http_timer)
		loop_timer_set(k->http_timer, ts_add(loop_now(), RETRY));
}

void kubed_http_stop(struct kubed *k)
{
	loop_timer_free(k->http_timer);
	http_free(k->http);
}
