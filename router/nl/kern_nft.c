/* kern_nft.c - the nft tables `inet weft` and `arp weft`: NOTRACK for the mesh's port, the mark that
 * lets outer packets pass the kernel's reverse path check, and the walls between segments.
 *
 * Why the mark: with rp_filter the kernel looks up the way back to each packet's source. When a learned
 * route covers the underlay, that way is the TUN, and the kernel would drop the very packets that the
 * tunnel consists of. Marked (and with src_valid_mark), they are looked up behind our rules. ARP requests
 * are checked the same way, hence the second table; not those of pods, whose way back may stand in our
 * tables alone. Only packets to this host are marked or left untracked: a nested weft in a pod uses the
 * same port, and its packets must stay in the mesh.
 *
 * Masquerade: a rule of the host's own that matches pods' sources would rewrite pod-to-pod traffic too.
 * The first mapping that a connection gets is the only one, so a chain before theirs maps each source in
 * the ranges to itself when the destination is in them as well. What was redirected (a service) is left
 * alone: a pod that reaches itself through a service needs the rewriting. Such a chain turns connection
 * tracking on, so it stands only while the host has address translation anyway.
 *
 * Data in: ports, mark, devices and control ranges. Data out: one text per table for `nft -f -`, which
 * replaces the table atomically; what the kernel made of it is reduced to a number (nl_nft_print), and
 * a change of that number by anybody else makes us load again. Failure: the reason stands in the stats,
 * everything else goes on, and it is tried again after a minute. */
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kern_int.h"
#include "priv.h"
#include "weft/err.h"
#include "weft/log.h"
#include "weft/wire.h"

#define RETRY_SECS 60

static const struct {
	uint8_t nfproto;
	const char *family;
} tables[2] = {{NFPROTO_INET, "inet"}, {NFPROTO_ARP, "arp"}};

static void put_mark(const struct kern *k, FILE *f)
{
	if (k->cfg.mark_mask != 0)
		fprintf(f, " meta mark set meta mark & 0x%08x | 0x%08x", ~k->cfg.mark_mask,
			k->cfg.mark & k->cfg.mark_mask);
}

/* { PORT } or { PORT, LO-HI } */
static void put_ports(const struct kern *k, FILE *f)
{
	fprintf(f, "{ %u", k->cfg.port);
	if (k->cfg.side_port_lo != 0 &&
		(k->cfg.port < k->cfg.side_port_lo || k->cfg.port > k->cfg.side_port_hi))
		fprintf(f, ", %u-%u", k->cfg.side_port_lo, k->cfg.side_port_hi);
	fputs(" }", f);
}

/* The devices of segment @vni, or (@others) those of all other segments; returns how many. */
static unsigned put_devices(const struct kern *k, FILE *f, uint32_t vni, bool others)
{
	unsigned n = 0;

	for (size_t i = 0; i < k->ndevs; i++)
		if (k->devs[i].refs > 0 && (k->devs[i].vni == vni) != others)
			fprintf(f, "%s\"%s\"", n++ ? ", " : "{ ", k->devs[i].name);
	if (n > 0)
		fputs(" }", f);
	return n;
}

/* Nothing but the control TUN and this host itself speaks to or for the control segment's addresses. */
static void put_control(const struct kern *k, FILE *f)
{
	size_t it = 0;
	void *v;

	while (map_next(k->routes, &it, NULL, &v)) {
		const struct kroute *r = v;
		char text[PFX_STRLEN];

		if (r->key.vni != VNI_CONTROL || r->key.class != KR_RANGE || !r->want)
			continue;
		for (int src = 0; src < 2; src++) {
			fprintf(f, "\t\tiifname != \"lo\" iifname != ");
			if (put_devices(k, f, VNI_CONTROL, false) == 0)
				fprintf(f, "\"lo\"");
			fprintf(f, " %s %s %s drop\n", r->dst.ip.family == IP_V4 ? "ip" : "ip6",
				src ? "saddr" : "daddr", pfx_fmt(&r->dst, text));
		}
	}
}

static void put_walls(const struct kern *k, FILE *f)
{
	for (size_t i = 0; i < k->nsegs; i++) {
		uint32_t vni = k->segs[i].vni;

		if (k->nsegs < 2)
			break;
		fputs("\t\toifname ", f);
		put_devices(k, f, vni, false);
		fputs(" iifname ", f);
		put_devices(k, f, vni, true);
		fputs(" drop\n", f);
	}
}

/* The ranges of @vni and @family, linked ones too: a rule for each. As sources (@src) they keep what they
 * are; as destinations they lead to the rules of the sources. */
static void put_ranges(const struct kern *k, FILE *f, uint32_t vni, uint8_t family, bool src)
{
	const char *ip = family == IP_V4 ? "ip" : "ip6";
	size_t it = 0;
	void *v;

	while (map_next(k->routes, &it, NULL, &v)) {
		const struct kroute *r = v;
		char text[PFX_STRLEN];

		if (r->key.vni != vni || r->key.class != KR_RANGE || !r->want ||
			r->key.family != family)
			continue;
		pfx_fmt(&r->dst, text);
		if (src)
			fprintf(f, "\t\t%s saddr %s snat %s prefix to %s saddr map { %s : %s }\n",
				ip, text, ip, ip, text, text);
		else
			fprintf(f, "\t\tct status and dnat == 0 %s daddr %s jump keep-%u-%s\n", ip,
				text, vni, ip);
	}
}

/* Sources in a range stay what they are towards destinations in a range of the same segment. */
static void put_keep(const struct kern *k, FILE *f)
{
	static const uint8_t families[] = {IP_V4, IP_V6};

	for (unsigned pass = 0; pass < 2; pass++) {
		if (pass)
			fputs("\tchain keep {\n\t\ttype nat hook postrouting priority 99; policy "
			      "accept;\n",
				f);
		for (size_t i = 0; i < 2 * k->nsegs; i++) {
			uint32_t vni = k->segs[i / 2].vni;

			if (vni == VNI_CONTROL)
				continue;
			if (!pass)
				fprintf(f, "\tchain keep-%u-%s {\n", vni, i % 2 ? "ip6" : "ip");
			put_ranges(k, f, vni, families[i % 2], !pass);
			if (!pass)
				fputs("\t}\n", f);
		}
	}
	fputs("\t}\n", f);
}

static void put_inet(const struct kern *k, FILE *f)
{
	const char *notrack = k->cfg.notrack ? " notrack" : "";

	fputs("\tchain prerouting {\n\t\ttype filter hook prerouting priority -300; policy "
	      "accept;\n",
		f);
	put_control(k, f);
	if (k->cfg.notrack || k->cfg.mark_mask != 0) {
		fputs("\t\tudp dport ", f);
		put_ports(k, f);
		fputs(" fib daddr type local", f);
		put_mark(k, f);
		fprintf(f, "%s\n", notrack);
	}
	fputs("\t}\n\tchain output {\n\t\ttype filter hook output priority -300; policy accept;\n",
		f);
	if (k->cfg.notrack) {
		fputs("\t\tudp sport ", f);
		put_ports(k, f);
		fputs(" notrack\n", f);
	}
	fputs("\t}\n\tchain forward {\n\t\ttype filter hook forward priority -300; policy "
	      "accept;\n",
		f);
	put_walls(k, f);
	fputs("\t}\n", f);
	if (k->nat)
		put_keep(k, f);
}

static void put_arp(const struct kern *k, FILE *f)
{
	fputs("\tchain input {\n\t\ttype filter hook input priority -300; policy accept;\n\t\t", f);
	/* On devices of own prefixes our tables do know the way back, and main may not. */
	fputs("iifname != ", f);
	if (put_devices(k, f, UINT32_MAX, true) == 0)
		fputs("\"lo\"", f);
	fputs(" arp operation request", f);
	put_mark(k, f);
	fputs("\n\t}\n", f);
}

/* The text of table @i; returns owned, NULL: no memory. */
static char *text_of(const struct kern *k, int i)
{
	const char *family = tables[i].family;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	bool bad;

	if (!f)
		return NULL;
	/* Naming it before deleting it makes the same text right with and without an old one. */
	fprintf(f, "table %s %s\ndelete table %s %s\ntable %s %s {\n", family, KERN_NFT_TABLE,
		family, KERN_NFT_TABLE, family, KERN_NFT_TABLE);
	if (i == 0)
		put_inet(k, f);
	else
		put_arp(k, f);
	fputs("}\n", f);
	bad = ferror(f) != 0;
	if (fclose(f) != 0 || bad) {
		free(text);
		return NULL;
	}
	return text;
}

/* Load table @i and remember what it became. */
static int load(struct kern *k, int i, char *why, size_t why_len)
{
	char *text = text_of(k, i);
	int err;

	if (!text) {
		snprintf(why, why_len, "out of memory");
		return ERR_NOMEM;
	}
	err = priv_nft_load(text, why, why_len);
	free(text);
	if (err == 0)
		err = nl_nft_print(&k->nf, tables[i].nfproto, KERN_NFT_TABLE, &k->nft_print[i]);
	if (err != 0 && why[0] == '\0')
		snprintf(why, why_len, "the table is not there after loading: %s", err_str(err));
	return err;
}

/* Does the older iptables have that table here? */
static bool legacy_table(const char *path, const char *table)
{
	FILE *f = fopen(path, "re");
	char line[64];
	bool yes = false;

	if (!f)
		return false;
	while (!yes && fgets(line, sizeof(line), f))
		yes = strcmp(line, table) == 0;
	fclose(f);
	return yes;
}

bool kern_nat_look(struct kern *k)
{
	bool nat = false;

	/* The older iptables' filter tables are as silent as its nat tables. */
	k->fwd.look |= legacy_table("/proc/net/ip_tables_names", "filter\n") ||
		       legacy_table("/proc/net/ip6_tables_names", "filter\n");
	if (k->nf.sock && nl_nft_other_nat(&k->nf, &nat) != 0)
		return false; /* looked at again soon */
	nat = nat || legacy_table("/proc/net/ip_tables_names", "nat\n") ||
	      legacy_table("/proc/net/ip6_tables_names", "nat\n");
	k->nat_look = false;
	if (nat != k->nat) {
		k->nat = nat;
		kern_nft_stale(k);
		return true;
	}
	return k->fwd.look;
}

/* Does the kernel hold what we loaded? */
static bool stands(struct kern *k, int i)
{
	uint64_t now;

	return k->nft_loaded[i] &&
	       nl_nft_print(&k->nf, tables[i].nfproto, KERN_NFT_TABLE, &now) == 0 &&
	       now == k->nft_print[i];
}

/* A kernel that can't map prefixes (before 5.8) shall have the rest. */
static bool load_without_nat(struct kern *k, const char *why)
{
	char again[sizeof(k->st.notrack_why)];
	bool ok;

	if (!k->nat)
		return false;
	k->nat = false;
	ok = load(k, 0, again, sizeof(again)) == 0;
	k->nat = true;
	if (ok)
		log_warn(KERN_MOD, "masquerade rules of this host may rewrite pods' addresses: %s",
			why);
	return ok;
}

static void fail(struct kern *k, int i, const char *why)
{
	k->nft_retry = ts_add(kern_clock(), DUR_SEC(RETRY_SECS));
	if (i == 0) {
		if (k->st.notrack_why[0] == '\0')
			log_warn(KERN_MOD, "no NOTRACK and no walls between segments: %s", why);
		snprintf(k->st.notrack_why, sizeof(k->st.notrack_why), "%s", why);
	} else {
		log_warn(KERN_MOD, "ARP under rp_filter is not helped: %s", why);
	}
}

void kern_nft_sync(struct kern *k)
{
	char why[sizeof(k->st.notrack_why)];
	bool failed = false;

	if (k->nat_look)
		(void)kern_nat_look(k);
	if (!k->nft_dirty || k->nsegs == 0)
		return;
	if (!ts_is_never(k->nft_retry) && !ts_due(k->nft_retry, kern_clock()) && !k->nft_changed)
		return;
	k->nft_retry = TS_NEVER;
	if (!k->nf.sock) {
		snprintf(k->st.notrack_why, sizeof(k->st.notrack_why),
			"this kernel has no nf_tables");
		k->nft_dirty = false;
		return;
	}
	for (int i = 0; i < 2; i++) {
		bool lost = k->nft_loaded[i] && !stands(k, i);

		if (i == 1 && k->cfg.mark_mask == 0)
			break;
		if (k->nft_loaded[i] && !lost && !k->nft_changed)
			continue;
		if (load(k, i, why, sizeof(why)) != 0 && !(i == 0 && load_without_nat(k, why))) {
			k->nft_loaded[i] = false;
			failed = true;
			fail(k, i, why);
			continue;
		}
		k->nft_loaded[i] = true;
		k->st.repaired += lost;
		if (i == 0)
			k->st.notrack_why[0] = '\0';
	}
	k->st.notrack = k->cfg.notrack && k->nft_loaded[0];
	k->st.nat = k->nat;
	if (!k->cfg.notrack)
		snprintf(k->st.notrack_why, sizeof(k->st.notrack_why), "off by configuration");
	k->nft_changed = false;
	k->nft_dirty = failed;
}
