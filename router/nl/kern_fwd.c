/* kern_fwd.c - keeps one accept in each of the host's own forward chains that would drop all that it has
 * no rule for (nl_fwd.h), and takes it away where that is no longer so.
 *
 * Data in: dumps of the host's chains, nf_tables' events; the older iptables tells nobody, so it is looked
 * at each time that kern_nat_look() is asked. Data out: single rules in their chains, and a count: while
 * there is one, kern_out.c marks the packets.
 *
 * Looks are at least LOOK_MS apart, however often a firewall is rewritten. Bounds: PLACES chains.
 * Failure: told in the stats with the chain's name; the other chains go on; tried again after a minute. */
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kern_int.h"
#include "weft/err.h"
#include "weft/log.h"
#include "weft/wire.h"

#define LOOK_MS    500
#define RETRY_SECS 60

struct sums {
	unsigned needed, stand, put;
	int err;
	char why[sizeof(((struct kern_stats *)0)->accepts_why)];
};

static void note(struct sums *s, int err, const char *said, const char *what, const char *name)
{
	const char *owned = err == -EPERM ? ": its owner lets nobody in; let it accept weft's "
					    "devices and wpod* itself"
					  : "";

	if (s->err != 0)
		return;
	s->err = err;
	snprintf(s->why, sizeof(s->why), "%s %.60s: %s%s%s%s", what, name, err_str(err),
		said[0] ? " " : "", said, owned);
}

/* A node with the control segment alone forwards nothing. */
static bool carries(const struct kern *k)
{
	for (size_t i = 0; i < k->nsegs; i++)
		if (k->segs[i].vni != VNI_CONTROL)
			return true;
	return false;
}

/* One chain of nf_tables. */
static void nft_place(struct kern *k, const struct nl_fwd_place *p, struct sums *s)
{
	uint32_t mask = k->cfg.mark_mask, mark = k->cfg.mark & mask;
	struct nl_fwd_view v;
	int err = nl_fwd_look(&k->nf, p, mark, mask, &v);

	if (err == -ENOENT) /* gone already */
		return;
	v.needed &= carries(k);
	if (err == 0 && !v.needed && v.nours > 0)
		err = nl_fwd_set(&k->nf, p, &v, 0, 0);
	s->needed += v.needed;
	if (err == 0 && v.needed && !v.stands) {
		err = nl_fwd_set(&k->nf, p, &v, mark, mask);
		if (err == 0) {
			s->put++;
			log_info(KERN_MOD,
				"chain %s of table %s drops what it has no rule for: pods "
				"and the mesh are let through",
				p->chain, p->table);
		}
	}
	if (err != 0)
		note(s, err, k->nf.said, "chain", p->chain);
	else
		s->stand += v.needed;
}

static void xt_place(struct kern *k, bool v6, struct sums *s)
{
	const char *what = v6 ? "ip6tables" : "iptables";
	uint32_t mask = k->cfg.mark_mask, mark = k->cfg.mark & mask;
	struct nl_xt_view v;
	int err = nl_xt_look(v6, mark, mask, &v);

	v.needed &= carries(k);
	if (err == 0 && !v.needed && v.ours > 0)
		err = nl_xt_set(v6, 0, 0);
	s->needed += v.needed;
	if (err == 0 && v.needed && !v.stands) {
		err = nl_xt_set(v6, mark, mask);
		if (err == 0) {
			s->put++;
			log_info(KERN_MOD,
				"%s drops what it has no rule for: pods and the mesh are "
				"let through",
				what);
		}
	}
	if (err != 0)
		note(s, err, "", what, "FORWARD");
	else
		s->stand += v.needed;
}

static int nft_places(struct kern *k, struct sums *s)
{
	struct kern_fwd *f = &k->fwd;
	int err;

	f->nplaces = 0;
	if (!k->nf.sock)
		return 0;
	if (!f->places) {
		f->places = calloc(KERN_FWD_PLACES, sizeof(*f->places));
		if (!f->places)
			return ERR_NOMEM;
	}
	err = nl_fwd_places(&k->nf, f->places, KERN_FWD_PLACES, &f->nplaces);
	if (err != 0) {
		f->nplaces = 0;
		return err;
	}
	if (f->nplaces > KERN_FWD_PLACES) {
		f->nplaces = KERN_FWD_PLACES;
		note(s, ERR_FULL, "", "forward chains", "more than are looked at");
	}
	for (size_t i = 0; i < f->nplaces; i++)
		nft_place(k, &f->places[i], s);
	return 0;
}

void kern_fwd_sync(struct kern *k)
{
	struct kern_fwd *f = &k->fwd;
	ts_t now = kern_clock();
	struct sums s = {.needed = 0};
	int err;

	if (!f->look || k->nsegs == 0 || k->cfg.mark_mask == 0)
		return;
	if (!ts_due(f->next, now))
		return;
	f->look = false;
	f->looks++;
	f->next = ts_add(now, DUR_MS(LOOK_MS));
	err = nft_places(k, &s);
	if (err != 0)
		note(&s, err, k->nf.said, "forward", "chains");
	xt_place(k, false, &s);
	if (k->cfg.ipv6)
		xt_place(k, true, &s);
	if (s.err != 0) {
		f->look = true;
		/* Somebody holds iptables' lock for a moment; the rest takes longer to change. */
		f->next = ts_add(now, s.err == -EAGAIN ? DUR_MS(LOOK_MS) : DUR_SEC(RETRY_SECS));
		if (strcmp(k->st.accepts_why, s.why) != 0)
			log_warn(
				KERN_MOD, "a firewall of this host drops pods' packets: %s", s.why);
	}
	snprintf(k->st.accepts_why, sizeof(k->st.accepts_why), "%s", s.why);
	k->st.accepts = s.stand;
	k->st.repaired += f->looked && s.needed <= f->accepts ? s.put : 0;
	f->looked = true;
	if ((s.needed > 0) != (f->accepts > 0))
		k->out_dirty = k->out_changed = true;
	f->accepts = s.needed;
}

/* Does an event speak of what was found? Chains that are jumped to stand in the same table. */
void kern_fwd_event(struct kern *k, const struct nlmsghdr *nlh)
{
	const char *table, *chain;
	uint8_t nfproto;

	if (nl_nft_chain_event(nlh)) {
		k->fwd.look = true;
		return;
	}
	if (!nl_fwd_rule_event(nlh, &nfproto, &table, &chain))
		return;
	for (size_t i = 0; i < k->fwd.nplaces; i++)
		if (k->fwd.places[i].nfproto == nfproto &&
			strcmp(k->fwd.places[i].table, table) == 0)
			k->fwd.look = true;
}
