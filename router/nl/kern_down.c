/* kern_down.c - remove all that weft ever installed, without any state: routes by protocol number, rules
 * by preference and protocol, devices by kind and alias, nft tables by name. What is gathered from one
 * dump is removed before the next begins. Sysctls stay: what stood before them is not known.
 *
 * Order: rules first, so that no half-emptied table is consulted; the nft walls last. Failure: the rest
 * goes on, the first error is returned; running it again is harmless. */
#include <linux/fib_rules.h>
#include <linux/netfilter.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "kern_int.h"
#include "weft/err.h"

struct down {
	struct nlx x, nf;
	struct nlx_batch *batch;
	void (*note)(void *ctx, const char *what);
	void *ctx;
	int removed, first;
	/* gathered by the present dump */
	char *items;
	size_t n, cap, size;
};

static void fail(struct down *d, int err)
{
	if (d->first == 0)
		d->first = err;
}

static void tell(struct down *d, const char *what)
{
	d->removed++;
	if (d->note)
		d->note(d->ctx, what);
}

static void gather_begin(void *ctx)
{
	struct down *d = ctx;

	d->n = 0;
}

static int gather(struct down *d, const void *item, size_t size)
{
	if ((d->n + 1) * size > d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 64 * size;
		char *items = realloc(d->items, cap);

		if (!items)
			return ERR_NOMEM;
		d->items = items;
		d->cap = cap;
	}
	memcpy(d->items + d->n++ * size, item, size);
	return 0;
}

static int see_rule(void *ctx, const struct nlmsghdr *nlh)
{
	struct nl_rule r;

	if (nl_rule_parse(nlh, &r) != 0 || r.proto != KERN_RTPROT || r.pref < KERN_RULE_PREF ||
		r.pref > KERN_RULE_PREF + 9)
		return 0;
	return gather(ctx, &r, sizeof(r));
}

static void down_rules(struct down *d, enum ip_family f)
{
	int err = nl_rule_dump(&d->x, f, gather_begin, see_rule, d);
	const struct nl_rule *r = (const void *)d->items;
	char what[96];

	if (err != 0) {
		if (f == IP_V4 || (err != -EAFNOSUPPORT && err != -EOPNOTSUPP))
			fail(d, err);
		return;
	}
	for (size_t i = 0; i < d->n; i++) {
		err = nl_rule_del(&d->x, &r[i]);
		if (err == -ENOENT)
			continue;
		if (err != 0) {
			fail(d, err);
			continue;
		}
		snprintf(what, sizeof(what), "IPv%d rule %u", f, r[i].pref);
		tell(d, what);
	}
}

static int see_route(void *ctx, const struct nlmsghdr *nlh)
{
	struct nl_route r;

	if (nl_route_parse(nlh, &r) != 0 || r.proto != KERN_RTPROT || (r.flags & RTM_F_CLONED))
		return 0;
	return gather(ctx, &r, sizeof(r));
}

static void route_gone(void *ctx, void *obj, int err)
{
	struct down *d = ctx;
	const struct nl_route *r = obj;
	char what[96], text[PFX_STRLEN];

	if (err == -ESRCH || err == -ENODEV)
		return;
	if (err != 0) {
		fail(d, err);
		return;
	}
	snprintf(what, sizeof(what), "route %s in table %u", pfx_fmt(&r->dst, text), r->table);
	tell(d, what);
}

static void down_routes(struct down *d, enum ip_family f)
{
	int err = nl_route_dump(&d->x, f, KERN_RTPROT, gather_begin, see_route, d);
	struct nl_route *r = (void *)d->items;

	if (err != 0) {
		if (f == IP_V4 || (err != -EAFNOSUPPORT && err != -EOPNOTSUPP))
			fail(d, err);
		return;
	}
	for (size_t i = 0; i < d->n; i++) {
		nl_route_put(nlx_batch_add(d->batch, RTM_DELROUTE, 0, sizeof(struct rtmsg), &r[i]),
			&r[i]);
		if (nlx_batch_full(d->batch))
			nlx_batch_run(d->batch, route_gone, d);
	}
	nlx_batch_run(d->batch, route_gone, d);
}

static int see_link(void *ctx, const struct nlmsghdr *nlh)
{
	struct nl_link l;

	if (nl_link_parse(nlh, &l) != 0 || !l.is_tun || !l.is_ours)
		return 0;
	return gather(ctx, &l, sizeof(l));
}

static void down_links(struct down *d)
{
	int err;
	const struct nl_link *l;
	char what[96];

	d->n = 0;
	err = nl_link_dump(&d->x, see_link, d);
	if (err != 0) {
		fail(d, err);
		return;
	}
	l = (const void *)d->items;
	for (size_t i = 0; i < d->n; i++) {
		err = nl_link_del(&d->x, l[i].ifindex);
		if (err == -ENODEV)
			continue;
		if (err != 0) {
			fail(d, err);
			continue;
		}
		snprintf(what, sizeof(what), "device %s", l[i].name);
		tell(d, what);
	}
}

static void down_nft(struct down *d, uint8_t nfproto, const char *table, const char *what)
{
	int err = nl_nft_del(&d->nf, nfproto, table);

	if (err == 0)
		tell(d, what);
	else if (err != ERR_NOT_FOUND && err != -EOPNOTSUPP && err != -EAFNOSUPPORT)
		fail(d, err);
}

/* In other programs' chains; an accept that nothing marks for any more is harmless, but ours. */
static void heard(void *ctx, const char *what)
{
	tell(ctx, what);
}

static void down_accepts(struct down *d)
{
	int err = d->nf.sock ? nl_fwd_down(&d->nf, heard, d) : 0;
	struct nl_xt_view v;

	if (err < 0 && err != -EOPNOTSUPP)
		fail(d, err);
	for (int v6 = 0; v6 < 2; v6++) {
		if (nl_xt_look(v6, 0, 0, &v) != 0 || v.ours == 0)
			continue;
		/* Somebody may hold iptables' lock for a moment. */
		for (int i = 0; i < 50 && (err = nl_xt_set(v6, 0, 0)) == -EAGAIN; i++)
			usleep(100000);
		if (err != 0)
			fail(d, err);
		else
			tell(d, v6 ? "accept in ip6tables' FORWARD"
				   : "accept in iptables' FORWARD");
	}
}

int kern_down(void (*note)(void *ctx, const char *what), void *ctx)
{
	struct down d = {.note = note, .ctx = ctx};
	int err = nlx_open(&d.x, NETLINK_ROUTE);

	if (err != 0)
		return err;
	d.batch = nlx_batch_new(&d.x);
	if (!d.batch) {
		err = ERR_NOMEM;
		goto out;
	}
	down_rules(&d, IP_V4);
	down_rules(&d, IP_V6);
	down_routes(&d, IP_V4);
	down_routes(&d, IP_V6);
	down_links(&d);
	/* A kernel without nf_tables holds no table of ours. */
	err = nlx_open(&d.nf, NETLINK_NETFILTER);
	if (err == 0) {
		down_nft(&d, NFPROTO_ARP, KERN_NFT_TABLE, "nft table arp " KERN_NFT_TABLE);
		down_nft(&d, NFPROTO_INET, KERN_NFT_TABLE, "nft table inet " KERN_NFT_TABLE);
		down_nft(&d, NFPROTO_INET, KERN_OUT_TABLE, "nft table inet " KERN_OUT_TABLE);
	} else if (err != -EPROTONOSUPPORT) {
		fail(&d, err);
	}
	down_accepts(&d);
	err = d.first != 0 ? d.first : d.removed;
out:
	free(d.items);
	nlx_batch_free(d.batch);
	nlx_close(&d.nf);
	nlx_close(&d.x);
	return err;
}
