/* sim_sess.c - the switch between the session core and its plain variant (sim_plain.c), and handles
 * where a node has both. */
#include "sim_sess.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "sim_plain.h"

struct sim_sess {
	struct sess *core; /* both: is_real() tells whose */
	struct plain *p;
	bool (*is_real)(void *ctx, const struct ep *ep);
	void *ctx;
};

struct sim_sess *sim_sess_new(const struct sess_cfg *cfg, bool plain, ts_t now)
{
	struct sim_sess *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	if (plain)
		x->p = plain_new(cfg);
	else
		x->core = sess_new(cfg, now);
	if (!x->p && !x->core) {
		free(x);
		return NULL;
	}
	return x;
}

void sim_sess_free(struct sim_sess *x)
{
	if (!x)
		return;
	sess_free(x->core);
	if (x->p)
		plain_free(x->p);
	free(x);
}

int sim_sess_add_core(struct sim_sess *x, const struct sess_cfg *cfg,
	bool (*is_real)(void *ctx, const struct ep *ep), void *ctx, ts_t now)
{
	assert(x->p && !x->core);
	x->is_real = is_real;
	x->ctx = ctx;
	x->core = sess_new(cfg, now);
	return x->core ? 0 : ERR_NOMEM;
}

struct sess *sim_sess_core(struct sim_sess *x)
{
	return x->core;
}

#define PLAIN_ITS 0x80000000u /* a walk that has passed the core's peers */

/* --- handles where there are both variants --- */

static uint32_t outer_of(const struct sim_sess *x, uint32_t peer, bool core)
{
	return peer == 0 || !x->core || !x->p ? peer : 2 * peer + core;
}

uint32_t sim_sess_core_peer(const struct sim_sess *x, uint32_t peer)
{
	if (!x->core || !x->p)
		return x->core ? peer : 0;
	return peer % 2 ? peer / 2 : 0;
}

static uint32_t plain_peer_of(const struct sim_sess *x, uint32_t peer)
{
	if (!x->core || !x->p)
		return x->p ? peer : 0;
	return peer % 2 ? 0 : peer / 2;
}

static bool for_core(const struct sim_sess *x, const struct ep *ep)
{
	return x->core && (!x->p || x->is_real(x->ctx, ep));
}

int sim_sess_connect(struct sim_sess *x, const struct ep *to, const struct node_key *expect,
	ts_t give_up, ts_t now)
{
	return for_core(x, to) ? sess_connect(x->core, to, expect, give_up, now)
			       : plain_connect(x->p, to, expect, give_up, now);
}

int sim_sess_redial(struct sim_sess *x, const struct ep *to, const struct node_key *expect,
	ts_t give_up, ts_t now)
{
	return for_core(x, to) ? sess_redial(x->core, to, expect, give_up, now)
			       : plain_redial(x->p, to, expect, give_up, now);
}

int sim_sess_seal(struct sim_sess *x, const struct sess_msg *m, uint8_t *out, size_t cap, ts_t now)
{
	struct sess_msg one = *m;

	one.peer = plain_peer_of(x, m->peer);
	if (one.peer)
		return plain_seal(x->p, &one, out, cap);
	one.peer = sim_sess_core_peer(x, m->peer);
	return one.peer ? sess_seal(x->core, &one, out, cap, now) : ERR_NOT_FOUND;
}

void sim_sess_used(struct sim_sess *x, uint32_t peer, ts_t when, ts_t now)
{
	uint32_t plain = plain_peer_of(x, peer);

	if (plain)
		plain_used(x->p, plain, when);
	else if (x->core)
		sess_used(x->core, sim_sess_core_peer(x, peer), when, now);
}

void sim_sess_traffic(struct sim_sess *x, uint32_t peer, ts_t last_rx, ts_t now)
{
	uint32_t plain = plain_peer_of(x, peer), core = sim_sess_core_peer(x, peer);

	if (plain)
		plain_traffic(x->p, plain, last_rx);
	else if (core)
		sess_traffic(x->core, core, last_rx, now);
}

void sim_sess_roam_hint(
	struct sim_sess *x, uint32_t peer, const struct ep *from, const struct ip *local, ts_t now)
{
	uint32_t plain = plain_peer_of(x, peer);

	if (plain)
		plain_roam_hint(x->p, plain, from, now);
	else
		sess_roam_hint(x->core, sim_sess_core_peer(x, peer), from, local, now);
}

bool sim_sess_mark(struct sim_sess *x, uint32_t peer, struct sim_sess_mark *out)
{
	uint32_t plain = plain_peer_of(x, peer);

	return plain && plain_mark(x->p, plain, out);
}

int64_t sim_sess_marked(
	struct sim_sess *x, const struct sim_sess_mark *m, const struct ep *from, ts_t now)
{
	int64_t plain = x->p ? plain_marked(x->p, m, from, now) : 0;

	return plain > 0 ? outer_of(x, (uint32_t)plain, false) : plain;
}

void sim_sess_move(struct sim_sess *x, const struct node_key *key, const struct ep *to, ts_t now)
{
	uint32_t peer = x->core ? sess_peer_find(x->core, key) : 0;

	if (peer)
		(void)sess_move(x->core, peer, to, now);
	else if (x->p)
		plain_move(x->p, key, to, now);
}

bool sim_sess_info_next(const struct sim_sess *x, uint32_t *it, struct sim_sess_info *out, ts_t now)
{
	struct sess_peer_info i;

	uint32_t at = *it & ~PLAIN_ITS;
	bool more;

	if (x->core && !(*it & PLAIN_ITS)) {
		if (sess_peer_next(x->core, it, &i, now)) {
			*out = (struct sim_sess_info){i.key, i.up, i.rtt, i.observed};
			return true;
		}
		at = 0;
	}
	more = x->p && plain_info_next(x->p, &at, out);
	*it = at | PLAIN_ITS;
	return more;
}

void sim_sess_disconnect(struct sim_sess *x, const struct node_key *key, ts_t now)
{
	if (x->core)
		sess_disconnect(x->core, key, now);
	if (x->p)
		plain_disconnect(x->p, key);
}

void sim_sess_release(struct sim_sess *x, const struct node_key *key, ts_t now)
{
	if (x->core)
		sess_release(x->core, key, now);
	if (x->p)
		plain_release(x->p, key);
}

int sim_sess_recv(struct sim_sess *x, const struct ep *from, const struct ip *local, uint8_t *buf,
	size_t len, ts_t now)
{
	return for_core(x, from) ? sess_recv(x->core, from, local, buf, len, now)
				 : plain_recv(x->p, from, buf, len, now);
}

int sim_sess_send(
	struct sim_sess *x, uint32_t peer, uint8_t type, const void *body, size_t len, ts_t now)
{
	uint32_t plain = plain_peer_of(x, peer);

	if (plain)
		return plain_send(x->p, plain, type, body, len, now);
	return x->core ? sess_send(x->core, sim_sess_core_peer(x, peer), type, body, len, now)
		       : ERR_NOT_FOUND;
}

void sim_sess_tick(struct sim_sess *x, ts_t now)
{
	if (x->core)
		sess_tick(x->core, now);
	if (x->p)
		plain_tick(x->p, now);
}

ts_t sim_sess_deadline(const struct sim_sess *x)
{
	ts_t core = x->core ? sess_deadline(x->core) : TS_NEVER;

	return x->p ? ts_min(core, plain_deadline(x->p)) : core;
}

bool sim_sess_next(struct sim_sess *x, struct sess_act *out)
{
	if (x->core && sess_next(x->core, out)) {
		out->peer = outer_of(x, out->peer, true);
		return true;
	}
	if (!x->p || !plain_next(x->p, out))
		return false;
	out->peer = outer_of(x, out->peer, false);
	return true;
}

uint32_t sim_sess_find(const struct sim_sess *x, const struct node_key *key)
{
	uint32_t plain = x->p ? plain_find(x->p, key) : 0;

	if (plain)
		return outer_of(x, plain, false);
	return x->core ? outer_of(x, sess_peer_find(x->core, key), true) : 0;
}

bool sim_sess_is_packet(const struct sim_sess *x, const uint8_t *buf, size_t len)
{
	return x->core || plain_is_packet(buf, len);
}

size_t sim_sess_wire_len(const struct sim_sess *x, const uint8_t *buf, size_t len)
{
	return x->core ? len : plain_wire_len(buf, len);
}
