/* ctl_pods.c - the node as the CNI plugin sees it: which prefixes pods get addresses from, by which
 * table they are routed, and whether a pod made now could be reached.
 *
 * Prefixes that are bound to a device (--prefix CIDR@DEVICE) belong to whoever runs that device, and
 * those that lost against another node's stronger claim are not routed: neither is told.
 *
 * known_to_peer is a peer's own word: one that lives has acknowledged this node's record and all of its
 * prefixes as they stand (gossip.h, has_ours). */
#include "ctl_pods.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "file.h"

#define FILE_FORMAT 1
#define SETTLE_AFTER                                                                               \
	DUR_SEC(10) /* since weftd's start: seeds that don't answer are not waited for any more */

static bool is_lost(const struct gossip_node_info *self, uint32_t vni, const struct pfx *p)
{
	for (size_t i = 0; i < self->nprefixes; i++)
		if (self->prefixes[i].vni == vni && pfx_eq(&self->prefixes[i].pfx, p))
			return self->prefixes[i].lost;
	return false;
}

/* The prefixes that pods get addresses from, at most LIM_POD_PREFIXES. Returns the count. */
static size_t pod_prefixes(
	struct daemon *d, const struct segment *s, struct ipam_prefix out[LIM_POD_PREFIXES])
{
	struct gossip_node_info self = {.nprefixes = 0};
	size_t n = 0;

	(void)gossip_node_get(d->gossip, &d->id.pub, &self);
	for (size_t i = 0; i < s->nprefixes && n < LIM_POD_PREFIXES; i++) {
		const struct conf_prefix *p = &s->prefixes[i];

		if (p->device[0] || is_lost(&self, s->vni, &p->pfx) ||
			(p->pfx.ip.family == IP_V6 && !d->has_ipv6))
			continue;
		out[n++] = (struct ipam_prefix){s->vni, p->pfx};
	}
	return n;
}

static size_t write_prefixes(struct daemon *d, const struct segment *s, struct ctl_w *w)
{
	struct ipam_prefix v[LIM_POD_PREFIXES];
	char text[PFX_STRLEN];
	size_t n = pod_prefixes(d, s, v);

	ctl_w_array(w, "prefixes");
	for (size_t i = 0; i < n; i++) {
		ctl_w_map(w, NULL);
		ctl_w_u64(w, "vni", v[i].vni);
		ctl_w_str(w, "prefix", pfx_fmt(&v[i].pfx, text));
		ctl_w_end(w);
	}
	ctl_w_end(w);
	return n;
}

static void write_peers(struct daemon *d, struct ctl_w *w)
{
	struct gossip_node_info n;
	uint64_t known = 0, linked = 0;
	bool spread = false;
	size_t it = 0;

	while (gossip_node_next(d->gossip, &it, &n)) {
		if (n.self || n.left)
			continue;
		known++;
		linked += n.linked;
		spread |= n.up && n.has_ours;
	}
	ctl_w_u64(w, "peers_known", known);
	ctl_w_u64(w, "peers_linked", linked);
	ctl_w_bool(w, "known_to_peer", spread);
	ctl_w_bool(w, "settling",
		linked == 0 && dial_pending(d) &&
			!ts_due(ts_add(d->started, SETTLE_AFTER), loop_now()));
}

void pods_network(struct daemon *d, struct ctl_w *w)
{
	struct segment *s = segment_find(d, VNI_DEFAULT);
	char text[IP_STRLEN];
	size_t n;

	ctl_w_map(w, NULL);
	n = write_prefixes(d, s, w);
	ctl_w_u64(w, "mtu", s->mtu);
	ctl_w_array(w, "mesh_addresses");
	for (int f = 0; f < 2; f++)
		if (s->mesh_addrs[f].family != IP_NONE && (f == 0 || d->has_ipv6))
			ctl_w_str(w, NULL, ip_fmt(&s->mesh_addrs[f], text));
	ctl_w_end(w);
	ctl_w_u64(w, "table", kern_table(s->vni));
	write_peers(d, w);
	ctl_w_bool(w, "ready", d->kernel_ok && n > 0);
	ctl_w_array(w, "not_ready");
	if (!d->kernel_ok)
		ctl_w_strf(w, NULL, "kernel state is not as it should be: %.250s",
			d->kernel_why[0] ? d->kernel_why : "see the log");
	if (n == 0)
		ctl_w_str(w, NULL, "this node has no prefix that pods could get addresses from");
	ctl_w_end(w);
	ctl_w_end(w);
}

/* --- lag --- */

#define DEVICES_MAX 256 /* of own prefixes, that are looked at */

/* The devices of all segments' own prefixes. Returns the count. */
static size_t prefix_devices(struct daemon *d, const char *out[DEVICES_MAX])
{
	size_t n = 0;

	for (size_t i = 1; i < d->nsegments; i++)
		for (size_t k = 0; k < d->segments[i].nprefixes && n < DEVICES_MAX; k++)
			if (d->segments[i].prefixes[k].device[0])
				out[n++] = d->segments[i].prefixes[k].device;
	return n;
}

void pods_mtu(struct daemon *d, struct ctl_w *w)
{
	struct kern_device_mtu lag[PODS_MTU_LISTED];
	const char *devices[DEVICES_MAX];
	unsigned mtu = segment_find(d, VNI_DEFAULT)->mtu; /* all segments' */
	int n = kern_smaller_devices(
		d->kern, mtu, devices, prefix_devices(d, devices), lag, PODS_MTU_LISTED);

	ctl_w_map(w, "pod_mtu");
	ctl_w_u64(w, "mesh", mtu);
	ctl_w_u64(w, "smaller", n > 0 ? (uint64_t)n : 0);
	ctl_w_array(w, "devices");
	for (int i = 0; i < n && i < PODS_MTU_LISTED; i++) {
		ctl_w_map(w, NULL);
		ctl_w_str(w, "device", lag[i].name);
		ctl_w_u64(w, "mtu", lag[i].mtu);
		ctl_w_end(w);
	}
	ctl_w_end(w);
	ctl_w_end(w);
}

/* --- the pool --- */

ts_t pods_now(void)
{
	struct timespec ts;

	/* The plugin's: it goes on while the machine sleeps, which the loop's does not. */
	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return (ts_t){(uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec};
}

struct ipam *pods_read(struct daemon *d)
{
	char path[PATH_MAX], *buf = NULL;
	uint8_t boot[FILE_BOOT_ID];
	struct ipam *m = NULL;
	uint16_t format;
	size_t len = 0;

	snprintf(path, sizeof(path), "%s/cni/pods", d->conf->run_dir);
	if (file_boot_id(boot) != 0 ||
		file_state_read(path, "pods", FILE_FORMAT, &format, &buf, &len) != 0)
		return NULL;
	if (ipam_decode((const uint8_t *)buf, len, boot, &m) != 0)
		m = NULL;
	free(buf);
	return m;
}

struct totals {
	struct ipam_stats family[2]; /* IPv4, IPv6; size 0: no prefix of that family */
};
#define FAMILY_OF(i) ((i) == 0 ? IP_V4 : IP_V6)

/* False: nothing is known of pods, or there is no memory to look. */
static bool totals(struct daemon *d, struct totals *out)
{
	const struct segment *s = segment_find(d, VNI_DEFAULT);
	struct ipam_prefix v[LIM_POD_PREFIXES];
	struct ipam *m = pods_read(d);
	size_t n = pod_prefixes(d, s, v);
	bool ok = m && ipam_prefixes_set(m, v, n) == 0;

	for (int i = 0; ok && i < 2; i++)
		ipam_stats(m, s->vni, FAMILY_OF(i), pods_now(), &out->family[i]);
	ipam_free(m);
	return ok;
}

void pods_totals(struct daemon *d, struct ctl_w *w)
{
	struct totals t;
	bool known = totals(d, &t);

	ctl_w_array(w, "pods");
	for (int i = 0; known && i < 2; i++) {
		if (t.family[i].size == 0)
			continue;
		ctl_w_map(w, NULL);
		ctl_w_u64(w, "family", i == 0 ? 4 : 6);
		ctl_w_u64(w, "size", t.family[i].size);
		ctl_w_u64(w, "used", t.family[i].used);
		ctl_w_u64(w, "resting", t.family[i].held);
		ctl_w_u64(w, "free", t.family[i].free);
		ctl_w_bool(w, "exhausted", t.family[i].exhausted);
		ctl_w_end(w);
	}
	ctl_w_end(w);
}

void pods_list(struct daemon *d, struct ctl_w *w)
{
	struct ipam *m = pods_read(d);
	const struct ipam_att *a;
	char text[IP_STRLEN];
	size_t it = 0;

	ctl_w_array(w, "attachments");
	while (m && ipam_next(m, &it, &a)) {
		ctl_w_map(w, NULL);
		ctl_w_str(w, "namespace", a->pod_ns);
		ctl_w_str(w, "pod", a->pod);
		ctl_w_str(w, "container", a->id);
		ctl_w_str(w, "interface", a->ifname);
		ctl_w_str(w, "network", a->network);
		ctl_w_u64(w, "vni", a->vni);
		ctl_w_array(w, "addresses");
		for (size_t i = 0; i < a->naddrs; i++)
			ctl_w_str(w, NULL, ip_fmt(&a->addrs[i], text));
		ctl_w_end(w);
		ctl_w_end(w);
	}
	ctl_w_end(w);
	ipam_free(m);
}

void metrics_pods(struct daemon *d, struct http_reply *r)
{
	struct totals t;

	if (!totals(d, &t))
		return;
	http_printf(r,
		"# HELP weft_pods Interfaces of pods.\n# TYPE weft_pods gauge\n"
		"weft_pods %zu\n",
		t.family[0].attachments);
	http_printf(r, "# HELP weft_pod_addresses Addresses for pods, by what they are.\n"
		       "# TYPE weft_pod_addresses gauge\n");
	for (int i = 0; i < 2; i++) {
		const struct {
			const char *state;
			uint64_t n;
		} rows[] = {{"used", t.family[i].used}, {"resting", t.family[i].held},
			{"free", t.family[i].free}};

		for (size_t k = 0; t.family[i].size && k < sizeof(rows) / sizeof(rows[0]); k++)
			http_printf(r,
				"weft_pod_addresses{family=\"%d\",state=\"%s\"} %" PRIu64 "\n",
				i == 0 ? 4 : 6, rows[k].state, rows[k].n);
	}
	http_printf(r, "# HELP weft_pod_addresses_exhausted 1 while no pod can get an address.\n"
		       "# TYPE weft_pod_addresses_exhausted gauge\n");
	for (int i = 0; i < 2; i++)
		if (t.family[i].size)
			http_printf(r, "weft_pod_addresses_exhausted{family=\"%d\"} %d\n",
				i == 0 ? 4 : 6, t.family[i].exhausted);
}
