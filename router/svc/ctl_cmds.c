/* ctl_cmds.c - the table of control commands, and those that change something. What they tell is in
 * ctl_status.c; the shape of all answers stands in docs/json.md. */
#include <stdio.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_svc.h"
#include "ctl_pods.h"
#include "ctl_status.h"
#include "link_svc.h"
#include "own_svc.h"

void ctl_refuse(struct ctl_answer *a, const char *hint, const char *fmt, ...)
{
	va_list ap;

	a->ok = false;
	va_start(ap, fmt);
	vsnprintf(a->error, sizeof(a->error), fmt, ap);
	va_end(ap);
	snprintf(a->hint, sizeof(a->hint), "%s", hint);
}

static void message(struct ctl_answer *a, const char *before, const char *arg, const char *after)
{
	ctl_w_map(a->w, NULL);
	ctl_w_strf(a->w, "message", "%s%s%s", before, arg, after);
	ctl_w_end(a->w);
}

static void cmd_status(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	(void)rq;
	status_overview(d, a->w, NULL);
}

/* A map with the one array that @fill writes. */
static void listing(struct daemon *d, struct ctl_answer *a,
	void (*fill)(struct daemon *, struct ctl_w *, const char *), const char *key)
{
	ctl_w_map(a->w, NULL);
	fill(d, a->w, key);
	ctl_w_end(a->w);
}

static void cmd_peers(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	(void)rq;
	listing(d, a, status_peers, "peers");
}

static void cmd_connections(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	(void)rq;
	listing(d, a, status_connections, "connections");
}

static void cmd_routes(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	(void)rq;
	listing(d, a, status_routes, "routes");
}

static void cmd_targets(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	(void)rq;
	listing(d, a, status_targets, "targets");
}

static void cmd_report(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	(void)rq;
	ctl_w_map(a->w, NULL);
	status_overview(d, a->w, "status");
	status_peers(d, a->w, "peers");
	status_connections(d, a->w, "connections");
	status_routes(d, a->w, "routes");
	status_targets(d, a->w, "targets");
	ctl_own_fill(d, a->w, "ipam");
	status_counters(d, a->w, "counters");
	status_config(d, a->w, "config");
	ctl_w_end(a->w);
}

static void cmd_connect(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	const char *target = ctl_request_arg(rq, "target");
	char err[400] = "";
	int e;

	if (!target || !*target) {
		ctl_refuse(a, "weft connect HOST:PORT", "connect needs a target");
		return;
	}
	e = dial_add_target(d, target, err, sizeof(err));
	if (e) {
		ctl_refuse(a, "", "%s", err[0] ? err : err_str(e));
		return;
	}
	dial_tick(d, loop_now());
	mesh_drain(d);
	message(a, "connecting to ", target, "");
}

static void cmd_forget(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	const char *what = ctl_request_arg(rq, "what");
	bool target;
	int e;

	if (!what || !*what) {
		ctl_refuse(a, "weft forget NODE, or weft forget HOST:PORT",
			"forget needs a node or a target");
		return;
	}
	target = dial_del_target(d, what) == 0;
	e = gossip_forget(d->gossip, what, loop_unix_ns() / 1000000000, loop_now());
	mesh_drain(d);
	if (target || e == 0)
		message(a, "", what, " is forgotten");
	else if (e == ERR_CONFLICT)
		ctl_refuse(a, "weft status peers shows the keys",
			"several nodes are called %s; say the key", what);
	else if (e == ERR_REFUSED)
		ctl_refuse(a, "weft down takes this node out of the mesh", "%s is this node itself",
			what);
	else
		ctl_refuse(a, "see weft status peers and weft status targets",
			"no node or target is called %s", what);
}

static void cmd_down(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	(void)rq;
	d->leaving = d->remove_all = true;
	a->stop_after = true;
	message(a, d->conf->name, " leaves the mesh;",
		" its devices, routes and rules are removed");
}

static void cmd_pod_network(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	(void)rq;
	pods_network(d, a->w);
}

static const struct {
	const char *name;
	void (*run)(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
} commands[] = {
	{"status", cmd_status},
	{"status peers", cmd_peers},
	{"status connections", cmd_connections},
	{"status routes", cmd_routes},
	{"status targets", cmd_targets},
	{"status ipam", ctl_own_status},
	{"prefix-set", ctl_own_set},
	{"prefix-more", ctl_own_more},
	{"node-deleted", ctl_own_deleted},
	{"node-added", ctl_own_added},
	{"status bgp", ctl_bgp_status},
	{"status bgp routes", ctl_bgp_routes},
	{"status bgp policy", ctl_bgp_policy},
	{"bgp policy test", ctl_bgp_policy_test},
	{"bgp reload", ctl_bgp_reload},
	{"bgp dump", ctl_bgp_dump},
	{"bgp record", ctl_bgp_record},
	{"bgp drain", ctl_bgp_act},
	{"bgp undrain", ctl_bgp_act},
	{"bgp refresh", ctl_bgp_act},
	{"bgp shutdown", ctl_bgp_act},
	{"bgp start", ctl_bgp_act},
	{"bgp clear", ctl_bgp_act},
	{"status clusters", ctl_link_status},
	{"cluster link", ctl_link_invite},
	{"cluster accept", ctl_link_accept},
	{"cluster unlink", ctl_link_remove},
	{"report", cmd_report},
	{"connect", cmd_connect},
	{"forget", cmd_forget},
	{"down", cmd_down},
	{"pod-network", cmd_pod_network},
};

void ctl_cmds_run(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(rq->cmd, commands[i].name) == 0) {
			commands[i].run(d, rq, a);
			return;
		}
	ctl_refuse(
		a, "see weft help", "this weftd (%s) has no command '%s'", WEFT_VERSION, rq->cmd);
}
