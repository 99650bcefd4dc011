/* paths_show.c - what status and metrics tell of paths. */
#include <stdio.h>
#include <string.h>
#include "weft/err.h"
#include "ctl_status.h"
#include "daemon_int.h"
#include "paths.h"
#include "paths_int.h"

/* A relay by its name, or the start of its key. */
static const char *relay_name(
	struct daemon *d, const struct path_label *l, char out[NODE_NAME_MAX + 1])
{
	struct node_key k = {.b = {0}};
	const struct node *n;
	uint64_t label;

	memcpy(k.b, l->b, sizeof(l->b));
	label = dp_label(&k);
	n = map_get(d->paths->nodes, &label);
	return status_node_name(d, n ? &n->key : &k, out);
}

static const char *route_text(struct daemon *d, const struct path_route *r, char *out, size_t cap)
{
	char name[NODE_NAME_MAX + 1];
	size_t len = (size_t)snprintf(out, cap, "relay");

	for (unsigned i = 0; i < r->n && len < cap; i++)
		len += (size_t)snprintf(out + len, cap - len, "%s %s", i ? "," : "",
			relay_name(d, &r->label[i], name));
	return out;
}

bool paths_get(const struct daemon *d, const struct node_key *key, struct path_info *out)
{
	return path_get(d->paths->core, key, out) == 0;
}

const char *paths_text(struct daemon *d, const struct node_key *key, char *out, size_t cap)
{
	struct path_info info;

	snprintf(out, cap, "%s", "");
	if (path_get(d->paths->core, key, &info) != 0)
		return out;
	if (info.state == PATH_ST_DIRECT)
		snprintf(out, cap, "direct");
	else if (info.state == PATH_ST_RELAYED)
		route_text(d, &info.route, out, cap);
	else if (info.state == PATH_ST_LOST)
		snprintf(out, cap, "lost");
	return out;
}

bool paths_ep_text(struct daemon *d, const struct ep *ep, char *out, size_t cap)
{
	struct path_info info;
	const struct node *n;
	uint64_t label;

	if (!sess_relayed_label(ep, &label))
		return false;
	n = map_get(d->paths->nodes, &label);
	if (n && n->dialling && n->dial_route.n > 0)
		route_text(d, &n->dial_route, out, cap);
	else if (n && path_get(d->paths->core, &n->key, &info) == 0 && info.route.n > 0)
		route_text(d, &info.route, out, cap);
	else
		snprintf(out, cap, "relay");
	return true;
}

void paths_connection(struct daemon *d, struct ctl_w *w, const struct node_key *key)
{
	struct path_info info;
	char text[PATHS_TEXT];

	if (path_get(d->paths->core, key, &info) != 0)
		memset(&info, 0, sizeof(info));
	ctl_w_str(w, "path", paths_text(d, key, text, sizeof(text)));
	ctl_w_bool(w, "path_mtu_searching", info.mtu_searching);
	ctl_w_bool(w, "halves", info.halves);
	ctl_w_u64(w, "loss_permille", info.loss_permille);
	ctl_w_u64(w, "black_holes", info.black_holes);
	ctl_w_u64(w, "path_changes", info.switches);
}

struct counter {
	const char *name;
	uint64_t value;
};

#define COUNTERS_MAX 32

static size_t counters(struct daemon *d, struct counter out[COUNTERS_MAX])
{
	struct path_stats s;

	path_stats(d->paths->core, &s);
	const struct counter all[] = {
		{"links", s.links},
		{"relayed", s.relayed},
		{"lost", s.lost},
		{"probes_tx", s.probes_tx},
		{"replies_rx", s.replies_rx},
		{"mtu_probes_tx", s.mtu_probes_tx},
		{"asks_tx", s.asks_tx},
		{"asks_rx", s.asks_rx},
		{"answers_tx", s.answers_tx},
		{"answers_rx", s.answers_rx},
		{"deaths", s.deaths},
		{"returns", s.returns},
		{"reroutes", s.reroutes},
		{"relays_bad", s.relays_bad},
		{"side_ports_off", s.side_off},
		{"side_ports_on", s.side_on},
		{"punches_asked", s.punches_asked},
		{"punches_arranged", s.punches_arranged},
		{"punches_opened", s.punches_opened},
		{"unreachable", d->paths->unreachable},
		{"no_way", d->paths->no_way},
		{"rx_bad", s.rx_bad},
		{"rx_stale", s.rx_stale},
		{"rx_limited", s.rx_limited},
		{"rx_refused", s.rx_refused},
		{"dropped", s.dropped},
	};

	_Static_assert(sizeof(all) / sizeof(all[0]) <= COUNTERS_MAX, "room for all");
	memcpy(out, all, sizeof(all));
	return sizeof(all) / sizeof(all[0]);
}

static const char *nat_text(const struct daemon *d)
{
	switch (path_nat(d->paths->core)) {
	case PATH_NAT_NONE:
		return "none";
	case PATH_NAT_STEADY:
		return "steady";
	case PATH_NAT_VARYING:
		return "varying";
	default:
		return "unknown";
	}
}

void paths_counters(struct daemon *d, struct ctl_w *w, const char *key)
{
	struct counter c[COUNTERS_MAX];
	size_t n = counters(d, c);

	ctl_w_map(w, key);
	ctl_w_str(w, "nat", nat_text(d));
	for (size_t i = 0; i < n; i++)
		ctl_w_u64(w, c[i].name, c[i].value);
	ctl_w_end(w);
}

void metrics_paths(struct daemon *d, struct http_reply *r)
{
	struct counter c[COUNTERS_MAX];
	size_t n = counters(d, c);

	http_printf(r, "# HELP weft_paths Counters and sizes of the path core.\n"
		       "# TYPE weft_paths gauge\n");
	for (size_t i = 0; i < n; i++)
		http_printf(r, "weft_paths{what=\"%s\"} %llu\n", c[i].name,
			(unsigned long long)c[i].value);
}
