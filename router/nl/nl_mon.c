/* nl_mon.c - the watcher: what others do to the kernel state that is ours.
 *
 * Two multicast sockets behind one epoll descriptor. Events only mark things dirty; the time of the
 * next sync is set so that repairs are at least REPAIR_MS apart, however often somebody interferes. Our
 * own changes come back as events too: a socket filter drops those that carry our port number, or that
 * of the table of learned routes (kern_ignore), so that a hundred thousand of these don't wake us as
 * often, and are not taken for changes of the host. When the kernel drops events
 * (ENOBUFS), everything is looked at.
 *
 * Bounds: EVENTS_PER_TURN datagrams per call; the rest waits in the socket. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "kern_int.h"
#include "weft/err.h"

#define REPAIR_MS       100
#define EVENTS_PER_TURN 2048

static int mon_open(struct nlx *x, int bus, const int *groups, size_t ngroups)
{
	int err = nlx_open(x, bus), fd;

	if (err != 0)
		return err;
	fd = mnl_socket_get_fd(x->sock);
	for (size_t i = 0; i < ngroups; i++) {
		int g = groups[i];

		if (mnl_socket_setsockopt(x->sock, NETLINK_ADD_MEMBERSHIP, &g, sizeof(g)) < 0)
			goto fail;
	}
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		goto fail;
	return 0;
fail:
	err = -errno;
	nlx_close(x);
	return err;
}

/* Drop messages whose sender is @a or @b; without the filter they cost time, and the host's routes are
 * looked at for nothing. */
static void ignore_senders(const struct nlx *x, uint32_t a, uint32_t b)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(a), 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(b), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	setsockopt(mnl_socket_get_fd(x->sock), SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

void kern_ignore(struct kern *k, uint32_t portid)
{
	ignore_senders(&k->mon, k->x.portid, portid);
}

static int watch(int epfd, const struct nlx *x)
{
	struct epoll_event ev = {.events = EPOLLIN};

	return epoll_ctl(epfd, EPOLL_CTL_ADD, mnl_socket_get_fd(x->sock), &ev) < 0 ? -errno : 0;
}

int kern_mon_open(struct kern *k)
{
	static const int rt[] = {
		RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV4_RULE};
	static const int rt6[] = {RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV6_RULE};
	static const int nf[] = {NFNLGRP_NFTABLES};
	int groups[7], err;
	size_t n = sizeof(rt) / sizeof(rt[0]);

	memcpy(groups, rt, sizeof(rt));
	if (k->cfg.ipv6) {
		memcpy(groups + n, rt6, sizeof(rt6));
		n += sizeof(rt6) / sizeof(rt6[0]);
	}
	err = mon_open(&k->mon, NETLINK_ROUTE, groups, n);
	if (err != 0)
		return err;
	ignore_senders(&k->mon, k->x.portid, k->x.portid);
	k->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (k->epfd < 0)
		return -errno;
	err = watch(k->epfd, &k->mon);
	if (err == 0 && k->nf.sock) {
		err = mon_open(&k->nfmon, NETLINK_NETFILTER, nf, 1);
		if (err == 0)
			err = watch(k->epfd, &k->nfmon);
	}
	return err;
}

void kern_mon_close(struct kern *k)
{
	if (k->epfd >= 0)
		close(k->epfd);
	nlx_close(&k->mon);
	nlx_close(&k->nfmon);
}

/* ---- events ---- */

static void on_link(struct kern *k, const struct nlmsghdr *nlh)
{
	bool gone = nlh->nlmsg_type == RTM_DELLINK;
	struct kdev *d, *renamed;
	struct nl_link l;

	if (nl_link_parse(nlh, &l) != 0)
		return;
	d = kern_dev_find(k, l.name, 0);
	renamed = kern_dev_find(k, NULL, l.ifindex);
	if (renamed && renamed != d) { /* ours has another name now */
		kern_dev_look(k, renamed);
		k->audit = true;
	}
	for (size_t i = 0; i < k->nsegs; i++)
		if (&k->devs[k->segs[i].dev - 1] == d || &k->devs[k->segs[i].dev - 1] == renamed)
			k->segs[i].dirty = true;
	if (!d) {
		k->st.underlay_changes++;
		return;
	}
	if (gone) {
		d->ifindex = 0;
		d->up = false;
		k->audit = true;
	} else if (d->ifindex != l.ifindex || d->up != ((l.flags & IFF_UP) != 0)) {
		d->ifindex = l.ifindex;
		d->up = (l.flags & IFF_UP) != 0;
		k->audit = true;
	}
}

static void on_addr(struct kern *k, const struct nlmsghdr *nlh)
{
	struct nl_addr a;

	if (nl_addr_parse(nlh, &a) != 0)
		return;
	for (size_t i = 0; i < k->nsegs; i++)
		if (k->devs[k->segs[i].dev - 1].ifindex == a.ifindex) {
			k->segs[i].dirty = true;
			return;
		}
	k->st.underlay_changes++;
}

static void on_route(struct kern *k, const struct nlmsghdr *nlh)
{
	struct nl_route r;
	uint32_t vni;

	if (nl_route_parse(nlh, &r) != 0)
		return;
	if (kern_table_vni(r.table, &vni))
		kern_route_seen(k, &r, nlh->nlmsg_type == RTM_DELROUTE);
	else
		k->st.underlay_changes++;
}

static void on_rule(struct kern *k, const struct nlmsghdr *nlh)
{
	struct nl_rule r;

	if (nl_rule_parse(nlh, &r) == 0 && r.pref >= KERN_RULE_PREF && r.pref < KERN_RULE_PREF + 10)
		k->rules_dirty = true;
}

static const struct {
	uint16_t type;
	void (*fn)(struct kern *k, const struct nlmsghdr *nlh);
} handlers[] = {
	{RTM_NEWLINK, on_link},
	{RTM_DELLINK, on_link},
	{RTM_NEWADDR, on_addr},
	{RTM_DELADDR, on_addr},
	{RTM_NEWROUTE, on_route},
	{RTM_DELROUTE, on_route},
	{RTM_NEWRULE, on_rule},
	{RTM_DELRULE, on_rule},
};

int kern_rt_event(void *ctx, const struct nlmsghdr *nlh)
{
	struct kern *k = ctx;

	if (nlh->nlmsg_pid == k->x.portid)
		return 0;
	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (handlers[i].type == nlh->nlmsg_type)
			handlers[i].fn(k, nlh);
	return 0;
}

int kern_nf_event(void *ctx, const struct nlmsghdr *nlh)
{
	struct kern *k = ctx;

	if (nl_nft_names(nlh, KERN_NFT_TABLE))
		k->nft_dirty = true;
	else if (nl_nft_names(nlh, KERN_OUT_TABLE))
		k->out_dirty = true;
	else if (!nl_nft_ours(nlh)) {
		k->nat_look |= nl_nft_chain_event(nlh);
		kern_fwd_event(k, nlh);
	}
	return 0;
}

static bool work_waits(const struct kern *k)
{
	bool waits = k->audit || k->rules_dirty || k->nft_dirty || k->nat_look || k->out_dirty ||
		     !list_empty(&k->dirty) || !list_empty(&k->dirty_floor);

	for (size_t i = 0; i < k->nsegs && !waits; i++)
		waits = k->segs[i].dirty;
	return waits;
}

void kern_event(struct kern *k, ts_t now)
{
	bool lost = nlx_drain(&k->mon, EVENTS_PER_TURN, kern_rt_event, k) < 0;
	ts_t at;

	if (k->nfmon.sock && nlx_drain(&k->nfmon, EVENTS_PER_TURN, kern_nf_event, k) < 0)
		k->nft_dirty = k->nat_look = k->out_dirty = k->fwd.look = true;
	if (lost) {
		k->audit = k->rules_dirty = true;
		k->st.underlay_changes++;
		for (size_t i = 0; i < k->ndevs; i++)
			if (k->devs[i].refs > 0)
				kern_dev_look(k, &k->devs[i]);
		for (size_t i = 0; i < k->nsegs; i++)
			k->segs[i].dirty = true;
	}
	if (k->fwd.look)
		k->due = ts_min(k->due, ts_before(now, k->fwd.next) ? k->fwd.next : now);
	if (!work_waits(k))
		return;
	at = ts_before(now, k->next_repair) ? k->next_repair : now;
	if (ts_before(at, k->due)) {
		k->due = at;
		k->next_repair = ts_add(at, DUR_MS(REPAIR_MS));
	}
}
