/* sim_dial.c - dials of a node.
 *
 * A target is resolved anew before each try: that gives the address that its host has then. A
 * node's addresses are tried one after another; gossip asks again with its own back-off. The times
 * are the daemon's. */
#include "sim_dial.h"

#include <stdlib.h>
#include <string.h>
#include "map.h"
#include "sim_net.h"
#include "sim_sess.h"

#define TARGET_CHECK  DUR_SEC(5)
#define DIAL_PATIENCE DUR_SEC(4)
#define BACKOFF_FIRST DUR_SEC(1)
#define BACKOFF_MAX   DUR_SEC(30)
#define BACKOFF_ALONE DUR_SEC(1)
#define SELF_RETRY    DUR_SEC(60)

struct sim_candidate {
	struct node_key key;
	struct ep eps[LIM_ENDPOINTS_PER_NODE + 1];
	size_t neps, cur;
	ts_t until; /* a dial that another one to the same address swallowed is not told of */
};

/* The node behind a session at @ep, or one that publishes that address; NULL: none. */
static const struct node_key *session_at(const struct sim_node *n, const struct ep *ep)
{
	struct gossip_node_info i;

	for (uint32_t p = 1; p < n->nslots; p++) {
		if (!n->slots[p].up)
			continue;
		if (ep_eq(&n->slots[p].ep, ep))
			return &n->slots[p].key;
		if (gossip_node_get(n->gossip, &n->slots[p].key, &i) != 0)
			continue;
		for (size_t k = 0; k < i.neps; k++)
			if (ep_eq(&i.eps[k], ep))
				return &n->slots[p].key;
	}
	return NULL;
}

/* Is there a session with whom the target was, or does that node live (no session is needed then)? */
static bool reached(struct sim_node *n, struct sim_target *t)
{
	const struct node_key *key;
	struct gossip_node_info i;

	if (t->has_node && (sim_sess_find(n->sess, &t->node) ||
				   (gossip_node_get(n->gossip, &t->node, &i) == 0 && i.up)))
		return true;
	key = session_at(n, &t->ep);
	t->has_node = key != NULL;
	if (key)
		t->node = *key;
	return key != NULL;
}

static bool alone(const struct sim_node *n)
{
	for (uint32_t i = 1; i < n->nslots; i++)
		if (n->slots[i].up)
			return false;
	return true;
}

static void wait_again(struct sim_node *n, ts_t now)
{
	struct sim_target *t = &n->target;
	const dur_t most = alone(n) ? BACKOFF_ALONE : BACKOFF_MAX;

	t->state = TARGET_WAITING;
	if (t->backoff.ns > most.ns)
		t->backoff = most;
	t->next = ts_add(now, prng_jitter(&n->prng, t->backoff, 25));
	t->backoff.ns = t->backoff.ns * 2 > most.ns ? most.ns : t->backoff.ns * 2;
}

void sim_dial_start(struct sim_node *n, ts_t now)
{
	if (!n->target.is)
		return;
	n->target.state = TARGET_WAITING;
	n->target.has_node = false;
	n->target.backoff = BACKOFF_FIRST;
	n->target.next = now;
	n->target.ep = sim_net_ep(n->s->net, n->target.host);
}

static void drop(struct sim_node *n, struct sim_candidate *c)
{
	(void)map_del(n->candidates, &c->key);
	free(c);
}

static void call_candidate(struct sim_node *n, struct sim_candidate *c)
{
	ts_t now = sim_node_now(n);

	for (; c->cur < c->neps; c->cur++)
		if (sim_sess_connect(n->sess, &c->eps[c->cur], &c->key, ts_add(now, DIAL_PATIENCE),
			    now) == 0) {
			c->until = ts_add(now, DUR_NS(DIAL_PATIENCE.ns + DUR_SEC(1).ns));
			return;
		}
	drop(n, c);
}

void sim_dial_node(
	struct sim_node *n, const struct node_key *key, const struct ep *eps, size_t neps)
{
	struct sim_candidate *c;

	if (map_get(n->candidates, key) || sim_sess_find(n->sess, key) || neps == 0)
		return;
	c = calloc(1, sizeof(*c));
	if (!c || map_put(n->candidates, key, c) != 0)
		abort();
	c->key = *key;
	c->neps = neps < LIM_ENDPOINTS_PER_NODE ? neps : LIM_ENDPOINTS_PER_NODE;
	memcpy(c->eps, eps, c->neps * sizeof(*eps));
	call_candidate(n, c);
}

void sim_dial_failed(struct sim_node *n, const struct ep *to, const struct node_key *key)
{
	struct sim_candidate *c = map_get(n->candidates, key);
	struct sim_target *t = &n->target;

	if (c && c->cur < c->neps && ep_eq(&c->eps[c->cur], to)) {
		c->cur++;
		if (sim_sess_find(n->sess, key))
			drop(n, c);
		else
			call_candidate(n, c);
	}
	if (t->is && t->state == TARGET_DIALLING && ep_eq(&t->ep, to))
		wait_again(n, sim_node_now(n));
}

void sim_dial_self(struct sim_node *n, const struct ep *ep)
{
	if (n->target.is && ep_eq(&n->target.ep, ep)) {
		n->target.state = TARGET_SELF;
		n->target.next = ts_add(sim_node_now(n), SELF_RETRY);
	}
}

static void check_target(struct sim_node *n, ts_t now)
{
	struct sim_target *t = &n->target;

	if (!ts_due(t->next, now))
		return;
	if (reached(n, t)) {
		t->state = TARGET_REACHED;
		t->backoff = BACKOFF_FIRST;
		t->next = ts_add(now, TARGET_CHECK);
		return;
	}
	if (t->state == TARGET_DIALLING) {
		wait_again(n, now);
		return;
	}
	t->ep = sim_net_ep(n->s->net, t->host);
	t->state = TARGET_DIALLING;
	t->next = ts_add(now, DUR_NS(DIAL_PATIENCE.ns + DUR_SEC(1).ns));
	if (sim_sess_connect(n->sess, &t->ep, NULL, ts_add(now, DIAL_PATIENCE), now) != 0)
		wait_again(n, now);
}

void sim_dial_tick(struct sim_node *n, ts_t now)
{
	const void *key;
	void *value;
	size_t it = 0;

	if (n->target.is)
		check_target(n, now);
	while (map_next(n->candidates, &it, &key, &value))
		if (sim_sess_find(n->sess, key) ||
			ts_due(((struct sim_candidate *)value)->until, now)) {
			(void)map_del(n->candidates, key);
			free(value);
		}
}

ts_t sim_dial_deadline(const struct sim_node *n)
{
	ts_t when = n->target.is ? n->target.next : TS_NEVER;

	/* Candidates are looked over each second while there are any. */
	return map_count(n->candidates) ? ts_min(when, n->second_at) : when;
}
