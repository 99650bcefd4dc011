/* kern_out.c - the nft table `inet weft-out`: what leaves the mesh, and what other programs' firewalls
 * shall let through. Built by netlink alone, so it stands without an `nft` program.
 *
 *	outside     postrouting, behind the host's own address translation: pods that speak to somebody
 *		    outside of the ranges do so with an address of this host, since nobody out there knows
 *		    theirs; ports fully at random. Never towards a range, a device of the mesh or a pod.
 *	into-mesh   what this host itself sends into the mesh with another of its addresses gets the mesh
 *		    address. Such packets are made by redirection behind the choice of a source (this host
 *		    to a service's address, which becomes a pod elsewhere); peers would refuse them.
 *	allow       forward, before the host's rules: marks what comes from pods and mesh, and what belongs
 *		    to their connections or was redirected to them, with the bits of --mark; nl_fwd.h tells
 *		    why. With learned routes (BGP) outside may begin connections, too: it was told the way.
 *	mss         forward: a connection that begins between pods and mesh is told the segment size that its
 *		    routes carry, so that nobody has to learn it from a too-big. Only while a route carries
 *		    less than its device, or a device less than the pods' interfaces.
 *	allow-end   forward, behind them: the mark has no other meaning on these packets, and must not
 *		    reach a program that saves marks.
 *
 * Each part stands only while there is something for it to do: address translation costs connection
 * tracking. Data in: ranges, own prefixes, devices, what kern_fwd.c found. Data out: one batch; what the
 * kernel made of it is reduced to a number, as for the other table (kern_nft.c). Failure: the reason
 * stands in the stats, everything else goes on, tried again after a minute. */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>
#include "kern_int.h"
#include "nl_nftput.h"
#include "weft/err.h"
#include "weft/log.h"
#include "weft/wire.h"

#define RETRY_SECS     60
#define PRIORITY_NAT   101    /* behind srcnat: the host's own rules come first */
#define PRIORITY_MSS   (-150) /* mangle */
#define PRIORITY_FIRST (-10000)
#define PRIORITY_LAST  10000

/* One rule: begin, expressions, end. */
static void begin(struct nl_nft *b, const char *chain)
{
	nl_nft_rule(b, NFPROTO_INET, KERN_OUT_TABLE, chain, 0, NULL);
}

static void end(struct nl_nft *b, int code, const char *chain)
{
	nl_nft_x_verdict(b, code, chain);
	nl_nft_rule_end(b);
}

static bool is_source(const struct kern *k, const struct kroute *r)
{
	if (r->key.vni != VNI_DEFAULT || !r->want)
		return false;
	return k->cfg.masquerade == KERN_MASQ_ALL    ? r->key.class == KR_RANGE && !r->linked
	       : k->cfg.masquerade == KERN_MASQ_PODS ? r->key.class == KR_OWN && r->dev == 0
						     : false;
}

static bool is_range(const struct kern *k, const struct kroute *r)
{
	(void)k;
	return r->key.vni == VNI_DEFAULT && r->key.class == KR_RANGE && r->want;
}

static bool is_home(const struct kern *k, const struct kroute *r)
{
	return is_range(k, r) || (r->key.vni == VNI_DEFAULT && r->key.class == KR_OWN && r->want);
}

/* One rule for each prefix of that kind; returns how many. @b NULL only counts. */
static unsigned each_prefix(struct kern *k, struct nl_nft *b, const char *chain, bool dst,
	bool (*kind)(const struct kern *k, const struct kroute *r), bool masquerade)
{
	size_t it = 0;
	unsigned n = 0;
	void *v;

	while (map_next(k->routes, &it, NULL, &v)) {
		const struct kroute *r = v;

		if (!kind(k, r))
			continue;
		n++;
		if (!b)
			continue;
		begin(b, chain);
		nl_nft_x_prefix(b, dst, &r->dst);
		if (masquerade) {
			nl_nft_x_masquerade(b);
			nl_nft_rule_end(b);
		} else {
			end(b, NFT_RETURN, NULL);
		}
	}
	return n;
}

static void put_masquerade(struct kern *k, struct nl_nft *b)
{
	nl_nft_chain(b, NFPROTO_INET, KERN_OUT_TABLE, "into-mesh");
	each_prefix(k, b, "into-mesh", false, is_home, false);
	begin(b, "into-mesh");
	nl_nft_x_source_local(b);
	nl_nft_x_masquerade(b);
	nl_nft_rule_end(b);

	nl_nft_base_chain(b, NFPROTO_INET, KERN_OUT_TABLE, "outside", "nat", NF_INET_POST_ROUTING,
		PRIORITY_NAT);
	for (size_t i = 0; i < k->ndevs; i++) {
		const struct kdev *d = &k->devs[i];

		if (d->refs == 0)
			continue;
		begin(b, "outside");
		nl_nft_x_device(b, true, d->name, false);
		if (d->tun && d->vni == VNI_DEFAULT)
			end(b, NFT_GOTO, "into-mesh");
		else
			end(b, NFT_RETURN, NULL);
	}
	each_prefix(k, b, "outside", true, is_range, false);
	each_prefix(k, b, "outside", false, is_source, true);
}

/* Mark what comes in by a device, or leaves by it and was asked for from there. */
static void mark_device(struct kern *k, struct nl_nft *b, const char *name, bool begins)
{
	static const struct {
		uint32_t key, bits;
	} asked[] = {
		{NFT_CT_STATE, NF_CT_STATE_BIT(IP_CT_ESTABLISHED) | NF_CT_STATE_BIT(IP_CT_RELATED)},
		{NFT_CT_STATUS, IPS_DST_NAT},
	};

	for (int in = 0; in < 2; in++) {
		size_t n = in || k->cfg.learned ? 1 : 2;

		for (size_t i = 0; i < n; i++) {
			begin(b, "allow");
			nl_nft_x_device(b, !in, name, begins);
			if (n == 2)
				nl_nft_x_ct(b, asked[i].key, asked[i].bits);
			nl_nft_x_mark_set(b, k->cfg.mark & k->cfg.mark_mask, k->cfg.mark_mask);
			nl_nft_rule_end(b);
		}
	}
}

static void put_marks(struct kern *k, struct nl_nft *b)
{
	nl_nft_base_chain(b, NFPROTO_INET, KERN_OUT_TABLE, "allow", "filter", NF_INET_FORWARD,
		PRIORITY_FIRST);
	mark_device(k, b, NL_NFT_WEFT_PODS, true);
	for (size_t i = 0; i < k->ndevs; i++)
		if (k->devs[i].refs > 0 && k->devs[i].vni != VNI_CONTROL)
			mark_device(k, b, k->devs[i].name, false);
	nl_nft_base_chain(b, NFPROTO_INET, KERN_OUT_TABLE, "allow-end", "filter", NF_INET_FORWARD,
		PRIORITY_LAST);
	begin(b, "allow-end");
	nl_nft_x_mark_set(b, 0, k->cfg.mark_mask);
	nl_nft_rule_end(b);
}

static void put_mss(struct kern *k, struct nl_nft *b)
{
	nl_nft_base_chain(
		b, NFPROTO_INET, KERN_OUT_TABLE, "mss", "filter", NF_INET_FORWARD, PRIORITY_MSS);
	for (size_t i = 0; i < k->ndevs; i++) {
		const struct kdev *d = &k->devs[i];

		if (d->refs == 0 || !d->tun || d->vni == VNI_CONTROL)
			continue;
		for (int out = 0; out < 2; out++) {
			begin(b, "mss");
			nl_nft_x_device(b, out, d->name, false);
			nl_nft_x_syn(b);
			nl_nft_x_mss_clamp(b);
			nl_nft_rule_end(b);
		}
	}
}

void kern_out_narrow(struct kern *k, int by)
{
	bool before = k->narrow > 0;

	k->narrow += (unsigned)by;
	if (before != (k->narrow > 0))
		k->out_dirty = k->out_changed = true;
}

static int load(struct kern *k, bool nat, bool marks, bool mss)
{
	struct nl_nft b;
	int err;

	nl_nft_begin(&b, &k->nf);
	nl_nft_new_table(&b, NFPROTO_INET, KERN_OUT_TABLE);
	if (nat)
		put_masquerade(k, &b);
	if (marks)
		put_marks(k, &b);
	if (mss)
		put_mss(k, &b);
	err = nl_nft_commit(&b);
	if (err == 0)
		err = nl_nft_print(&k->nf, NFPROTO_INET, KERN_OUT_TABLE, &k->out_print);
	return err;
}

/* What is wanted, or nothing at all. */
static int replace(struct kern *k, bool nat, bool marks, bool mss)
{
	return nat || marks || mss ? load(k, nat, marks, mss)
				   : nl_nft_del(&k->nf, NFPROTO_INET, KERN_OUT_TABLE);
}

static bool stands(struct kern *k)
{
	uint64_t now;

	return nl_nft_print(&k->nf, NFPROTO_INET, KERN_OUT_TABLE, &now) == 0 && now == k->out_print;
}

static void fail(struct kern *k, int err)
{
	k->out_retry = ts_add(kern_clock(), DUR_SEC(RETRY_SECS));
	k->out_loaded = false;
	k->st.masquerade = false;
	if (k->st.out_why[0] == '\0')
		log_warn(KERN_MOD, "no masquerade, no way through the host's firewalls: %s (%s)",
			err_str(err), k->nf.said);
	snprintf(k->st.out_why, sizeof(k->st.out_why), "%s%s%s", err_str(err),
		k->nf.said[0] ? ": " : "", k->nf.said);
}

void kern_out_sync(struct kern *k)
{
	bool source, nat, marks, mss, any, lost;
	int err = 0;

	if (!k->out_dirty || k->nsegs == 0)
		return;
	if (!ts_is_never(k->out_retry) && !ts_due(k->out_retry, kern_clock()) && !k->out_changed)
		return;
	k->out_retry = TS_NEVER;
	k->out_dirty = false;
	source = each_prefix(k, NULL, NULL, false, is_source, false) > 0;
	nat = kern_seg(k, VNI_DEFAULT) && (source || k->nat);
	marks = k->fwd.accepts > 0;
	mss = !k->no_mss && (k->narrow > 0 || k->shrunk);
	if (!k->nf.sock) {
		if (source)
			snprintf(k->st.out_why, sizeof(k->st.out_why),
				"this kernel has no nf_tables");
		return;
	}
	lost = k->out_loaded && !stands(k);
	if (k->out_loaded && !lost && !k->out_changed)
		return;
	err = replace(k, nat, marks, mss);
	if (err == -ENOENT && mss) {
		/* Too-bigs remain. */
		log_warn(KERN_MOD, "this kernel's nf_tables can't change the MSS of TCP: %s",
			k->nf.said);
		k->no_mss = true;
		mss = false;
		err = replace(k, nat, marks, mss);
	}
	any = nat || marks || mss;
	k->out_changed = false;
	if (err != 0 && !(err == ERR_NOT_FOUND && !any)) {
		k->out_dirty = true;
		fail(k, err);
		return;
	}
	k->out_loaded = any;
	k->st.repaired += lost;
	k->st.masquerade = source;
	k->st.out_why[0] = '\0';
}
