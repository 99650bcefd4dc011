/* ctl_pods.c - the node as the CNI plugin sees it: which prefixes pods get addresses from, by which
 * table they are routed, and whether a pod made now could be reached.
 *
 * Prefixes that are bound to a device (--prefix CIDR@DEVICE) belong to whoever runs that device, and
 * those that lost against another node's stronger claim are not routed: neither is told.
 *
 * known_to_peer is inferred: gossip has no acknowledgement yet. A record that is news is sent to a
 * linked peer at once, and what got lost on the way is mended by the digests that follow within 2.5 s,
 * so a link that stands longer than SPREAD_AFTER carried this node's records. It errs on the side of
 * waiting. */
#include "ctl_pods.h"

#include <string.h>

#define SPREAD_AFTER DUR_SEC(3)
#define SETTLE_AFTER                                                                               \
	DUR_SEC(10) /* since weftd's start: seeds that don't answer are not waited for any more */

static bool is_lost(const struct gossip_node_info *self, uint32_t vni, const struct pfx *p)
{
	for (size_t i = 0; i < self->nprefixes; i++)
		if (self->prefixes[i].vni == vni && pfx_eq(&self->prefixes[i].pfx, p))
			return self->prefixes[i].lost;
	return false;
}

static size_t write_prefixes(struct daemon *d, const struct segment *s, struct ctl_w *w)
{
	struct gossip_node_info self = {.nprefixes = 0};
	char text[PFX_STRLEN];
	size_t n = 0;

	(void)gossip_node_get(d->gossip, &d->id.pub, &self);
	ctl_w_array(w, "prefixes");
	for (size_t i = 0; i < s->nprefixes; i++) {
		const struct conf_prefix *p = &s->prefixes[i];

		if (p->device[0] || is_lost(&self, s->vni, &p->pfx) ||
			(p->pfx.ip.family == IP_V6 && !d->has_ipv6))
			continue;
		ctl_w_map(w, NULL);
		ctl_w_u64(w, "vni", s->vni);
		ctl_w_str(w, "prefix", pfx_fmt(&p->pfx, text));
		ctl_w_end(w);
		n++;
	}
	ctl_w_end(w);
	return n;
}

static void write_peers(struct daemon *d, struct ctl_w *w)
{
	struct gossip_node_info n;
	uint64_t known = 0, linked = 0;
	ts_t now = loop_now();
	bool spread = false;
	size_t it = 0;

	while (gossip_node_next(d->gossip, &it, &n)) {
		if (n.self || n.left)
			continue;
		known++;
		linked += n.linked;
		/* Its own record came: records flow on this link. */
		spread |= n.linked && n.epoch > 0 && ts_due(ts_add(n.since, SPREAD_AFTER), now);
	}
	ctl_w_u64(w, "peers_known", known);
	ctl_w_u64(w, "peers_linked", linked);
	ctl_w_bool(w, "known_to_peer", spread);
	ctl_w_bool(w, "settling",
		linked == 0 && dial_pending(d) && !ts_due(ts_add(d->started, SETTLE_AFTER), now));
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
