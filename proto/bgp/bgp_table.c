/* bgp_table.c - what concerns a whole table, in portions between actions.
 *
 * In: a session that ends or begins, a refresh, another policy, next hops that lead elsewhere; each is
 * noted and costs nothing. Out: while actions are drained, bgp_table_work() passes the table a portion
 * at a time: paths that are over go, paths are judged by the policy anew, prefixes are marked to be
 * decided, and the groups of ribout.c get their share. In between the core takes messages, decides and
 * sends, so a table of any size holds up neither timers nor other peers.
 *
 * Which paths are over is known without touching them. Each has the age of its peer's family at the
 * time when it was last told. The age goes up when the session ends (RFC 4724 4.2) and when a refresh
 * begins (RFC 7313 4), and the peer remembers how many steps behind a path may be: none, then what is
 * behind is over; or some, then such a path is stale and stays in use. So a path that is told again is
 * fresh at once, wherever a pass stands. Ages are of 8 bits: a pass that ends tells that none is
 * further behind than that, and one is done at once where a number would come again before.
 *
 * A pass that is asked for again while it is on its way is done once more from the beginning, not begun
 * anew, so that whoever asks often holds up nothing.
 *
 * Failure: no memory for a judgement ends the peer's session with Cease/Out of Resources. */
#include <assert.h>
#include "weft/err.h"
#include "bgp_int.h"

#define PORTION 1024 /* prefixes and buckets passed at a time */

/* Begin a pass, or let it come round once more. */
static void pass_ask(struct table_pass *s, unsigned *running)
{
	s->again = s->on;
	*running += !s->on;
	s->on = true;
	if (!s->again)
		s->at = 0;
}

static void pass_stop(struct table_pass *s, unsigned *running)
{
	*running -= s->on;
	*s = (struct table_pass){0};
}

/* The next bucket, in *@n its first prefix; false: the pass is over. The table may grow meanwhile
 * (rib_buckets): what was passed need not be passed again. */
static bool pass_next(struct table_pass *s, const struct rib *r, struct net **n, unsigned *running)
{
	if (s->on && s->at >= rib_buckets(r) && s->again) {
		s->again = false;
		s->at = 0;
	}
	if (s->on && s->at >= rib_buckets(r))
		pass_stop(s, running);
	if (!s->on)
		return false;
	*n = net_at(r, r->buckets[s->at++]);
	return true;
}

/* --- paths that are over --- */

/* How many steps behind @path, one of @p's, is. */
static unsigned behind(const struct bgp_peer *p, const struct net *n, const struct path *path)
{
	return (uint8_t)(p->age[n->family] - path->age);
}

static bool is_over(const struct bgp_peer *p, const struct net *n, const struct path *path)
{
	return behind(p, n, path) > p->keep_age[n->family];
}

void bgp_path_fresh(struct bgp_peer *p, const struct net *n, struct path *path, bool is_new)
{
	p->fresh[n->family] += is_new || behind(p, n, path) > 0;
	path->age = p->age[n->family];
}

void bgp_path_gone(struct bgp_peer *p, const struct net *n, const struct path *path)
{
	p->fresh[n->family] -= behind(p, n, path) == 0;
}

static void sweep_bucket(struct bgp_peer *p, struct net *n, size_t *nets)
{
	for (; n; n = net_at(p->rib, n->hnext)) {
		struct path *path, *next;

		for (path = net_path_next(p->rib, n, p->idx, NULL); path; path = next) {
			next = net_path_next(p->rib, n, p->idx, path);
			if (is_over(p, n, path))
				bgp_path_remove(p->b, p->rib, n, path, p);
		}
		*nets -= *nets > 0;
	}
	*nets -= *nets > 0; /* empty ones take time too */
}

void bgp_table_sweep(struct bgp_peer *p, size_t nets)
{
	struct net *n;

	while (nets > 0 && p->received > 0 && pass_next(&p->sweep, p->rib, &n, &p->b->sweeping))
		sweep_bucket(p, n, &nets);
	if (p->received == 0)
		pass_stop(&p->sweep, &p->b->sweeping);
	if (!p->sweep.on)
		for (unsigned f = 0; f < BGP_FAMILIES; f++)
			p->deepest[f] = p->keep_age[f];
}

void bgp_table_sweep_all(struct bgp *b)
{
	for (unsigned i = 1; b->sweeping && i <= LIM_BGP_PEERS; i++)
		if (b->peers[i])
			bgp_table_sweep(b->peers[i], SIZE_MAX);
}

void bgp_table_age(struct bgp_peer *p, unsigned f, unsigned keep)
{
	if (p->deepest[f] == UINT8_MAX) {
		p->keep_age[f] = (uint8_t)(keep ? keep - 1 : 0);
		bgp_table_expire(p);
		bgp_table_sweep(p, SIZE_MAX);
	}
	p->age[f]++;
	p->deepest[f]++;
	p->keep_age[f] = (uint8_t)keep;
	p->fresh[f] = 0;
}

void bgp_table_expire(struct bgp_peer *p)
{
	pass_ask(&p->sweep, &p->b->sweeping);
}

/* --- another policy --- */

void bgp_table_judge(struct bgp_peer *p)
{
	if (p->received)
		pass_ask(&p->judge, &p->b->judging);
}

void bgp_table_stop(struct bgp_peer *p)
{
	pass_stop(&p->judge, &p->b->judging);
}

/* ERR_NOMEM. */
static int judge_net(struct bgp_peer *p, struct net *n)
{
	struct path *path = NULL;
	int err = 0;

	while (err == 0 && (path = net_path_next(p->rib, n, p->idx, path)) != NULL) {
		uint32_t id = path_id(path);

		if (is_over(p, n, path))
			continue;
		err = bgp_path_rejudge(p->b, p, n, path);
		path = net_path(p->rib, n, p->idx, id); /* it may be another now */
	}
	return err;
}

static void judge(struct bgp_peer *p, size_t nets)
{
	struct net *n;
	int err = 0;

	while (nets > 0 && err == 0 && pass_next(&p->judge, p->rib, &n, &p->b->judging)) {
		for (; n && err == 0; n = net_at(p->rib, n->hnext)) {
			err = judge_net(p, n);
			nets -= nets > 0;
		}
		nets -= nets > 0;
	}
	if (err < 0) {
		p->b->st.nomem++;
		bgp_peer_cease(p, CEASE_RESOURCES, NULL);
	}
}

/* --- prefixes to be decided again --- */

void bgp_table_mark(struct bgp *b, struct rib *r)
{
	if (r->count)
		pass_ask(&r->mark, &b->marking);
}

static void mark(struct bgp *b, struct rib *r, size_t nets)
{
	struct net *n;

	while (nets > 0 && pass_next(&r->mark, r, &n, &b->marking)) {
		for (; n; n = net_at(r, n->hnext)) {
			if (n->paths)
				rib_mark(r, n);
			nets -= nets > 0;
		}
		nets -= nets > 0;
	}
}

bool bgp_table_work(struct bgp *b)
{
	for (unsigned i = 1; (b->sweeping || b->judging) && i <= LIM_BGP_PEERS; i++) {
		struct bgp_peer *p = b->peers[i];

		if (!p || !(p->sweep.on || p->judge.on))
			continue;
		if (p->sweep.on)
			bgp_table_sweep(p, PORTION);
		else
			judge(p, PORTION);
		return true;
	}
	/* Before exports: these then wait for the decision, and are not made twice. */
	for (unsigned i = 0; b->marking && i < b->nribs; i++)
		if (b->ribs[i]->mark.on) {
			mark(b, b->ribs[i], PORTION);
			return true;
		}
	if (!ribout_work(b, PORTION))
		return false;
	bgp_close_failed(b);
	return true;
}
