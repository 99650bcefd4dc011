/* ctl_bgp_mrt.c - MRT over the control socket: `bgp dump`, a table part by part, and `bgp record`,
 * messages as they come and go (proto/bgp/mrt.h). weft writes the file, so weftd needs no right to
 * write any.
 *
 * One dump and one recording at a time. Each has a number, which the client brings with each further
 * question; one that nobody has asked for since FORGOTTEN ends. A recording holds what was not fetched
 * yet, up to RECORD_ROOM, and counts what had no room. Without one nothing is watched. */
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "weft/wire.h"
#include "bgp_svc.h"
#include "bgp_watch.h"
#include "mrt.h"

#define DUMP_PART   (1024 * 1024)
#define RECORD_ROOM (4 * 1024 * 1024)
#define FORGOTTEN   DUR_SEC(10)
#define NAME        "weft"

struct bgp_mrt {
	struct bgp_svc *s;
	struct loop_timer *timer;
	struct mrt_dump *dump; /* NULL: none */
	uint64_t dump_id;
	ts_t dump_used;
	uint8_t *records; /* NULL: no recording */
	struct wr w;
	uint64_t record_id, lost;
	uint32_t only; /* the neighbour recorded; 0: all */
	ts_t record_used;
	uint8_t states[LIM_BGP_PEERS + 1];
};

static void end_dump(struct bgp_mrt *m)
{
	mrt_dump_free(m->dump);
	m->dump = NULL;
}

static void end_record(struct bgp_mrt *m)
{
	if (m->records && m->s->bgpd)
		bgp_tap(bgpd_core(m->s->bgpd), NULL, NULL);
	free(m->records);
	m->records = NULL;
}

static void on_timer(void *ctx)
{
	struct bgp_mrt *m = ctx;
	ts_t now = loop_now();

	if (m->dump && ts_due(ts_add(m->dump_used, FORGOTTEN), now))
		end_dump(m);
	if (m->records && ts_due(ts_add(m->record_used, FORGOTTEN), now))
		end_record(m);
	if (m->dump || m->records)
		loop_timer_set(m->timer, ts_add(now, DUR_SEC(1)));
}

static struct bgp_mrt *get(struct bgp_svc *s)
{
	if (s->mrt)
		return s->mrt;
	s->mrt = calloc(1, sizeof(*s->mrt));
	if (!s->mrt)
		return NULL;
	s->mrt->s = s;
	s->mrt->timer = loop_timer_new(s->d->loop, on_timer, s->mrt);
	if (!s->mrt->timer)
		bgp_mrt_close(s);
	return s->mrt;
}

void bgp_mrt_close(struct bgp_svc *s)
{
	if (!s->mrt)
		return;
	end_dump(s->mrt);
	end_record(s->mrt);
	loop_timer_free(s->mrt->timer);
	free(s->mrt);
	s->mrt = NULL;
}

/* --- what both begin with --- */

/* The number that the client brings; 0: it begins. False: no number. */
static bool number(const struct ctl_request *rq, uint64_t *id)
{
	const char *text = ctl_request_arg(rq, "id");
	char *end;

	*id = 0;
	if (!text)
		return true;
	*id = strtoull(text, &end, 10);
	return *id && !*end;
}

/* @ours: the one there is, 0 for none. True: go on. */
static bool admit(struct ctl_answer *a, const struct bgp_mrt *m, bool good, uint64_t id,
	uint64_t ours, const char *what)
{
	if (!m)
		ctl_refuse(a, "", "%s", err_str(ERR_NOMEM));
	else if (!good || (id && id != ours))
		ctl_refuse(a, "begin again", "that %s has ended", what);
	else if (!id && ours)
		ctl_refuse(a, "try again when it has ended", "another %s is under way", what);
	else
		return true;
	return false;
}

/* --- the table --- */

static bool begin_dump(struct bgp_mrt *m)
{
	const struct bgp_svc *s = m->s;
	const struct mrt_self self = {.local_as = s->conf->asn, .router_id = s->router_id};

	m->dump = mrt_dump_new(bgpd_core(s->bgpd), &self, VNI_DEFAULT, NAME,
		(uint32_t)(loop_unix_ns() / 1000000000u), loop_now());
	m->dump_id = prng_next(&s->d->prng) >> 1 | 1;
	loop_timer_set(m->timer, ts_add(loop_now(), DUR_SEC(1)));
	return m->dump != NULL;
}

void ctl_bgp_dump(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	struct bgp_svc *s = ctl_bgp_svc(d, a);
	struct bgp_mrt *m = s ? get(s) : NULL;
	struct mrt_dump_info i;
	uint8_t *part;
	uint64_t id;
	bool good = number(rq, &id), more;
	struct wr w;

	if (!s || !admit(a, m, good, id, m && m->dump ? m->dump_id : 0, "dump"))
		return;
	part = malloc(DUMP_PART);
	if (!part || (!id && !begin_dump(m))) {
		free(part);
		ctl_refuse(a, "", "%s", err_str(ERR_NOMEM));
		return;
	}
	m->dump_used = loop_now();
	wr_init(&w, part, DUMP_PART);
	more = mrt_dump_next(m->dump, bgpd_core(s->bgpd), &w);
	mrt_dump_info(m->dump, &i);
	ctl_w_map(a->w, NULL);
	ctl_w_strf(a->w, "id", "%llu", (unsigned long long)m->dump_id);
	ctl_w_bool(a->w, "more", more);
	ctl_w_u64(a->w, "prefixes", i.prefixes);
	ctl_w_u64(a->w, "done", i.done);
	ctl_w_u64(a->w, "paths", i.paths);
	ctl_w_u64(a->w, "left_out", i.left_out);
	ctl_w_bin(a->w, "mrt", part, wr_len(&w));
	ctl_w_end(a->w);
	free(part);
	if (!more)
		end_dump(m);
}

/* --- messages --- */

static const struct ip *local_of(const struct bgp_mrt *m, uint32_t peer)
{
	static const struct ip none;
	const struct bgp_neighbour *n = bgp_svc_peer(m->s, peer);

	return n ? &n->conf->source : &none;
}

static void note_lost(struct bgp_mrt *m)
{
	m->lost += wr_bad(&m->w);
	m->w.bad = false;
}

static void on_message(
	void *ctx, uint32_t peer, const struct ip *local, bool sent, const uint8_t *msg, size_t len)
{
	struct bgp_mrt *m = ctx;
	struct bgp_peer_info i;

	if ((m->only && m->only != peer) || bgp_peer_get(bgpd_core(m->s->bgpd), peer, &i) != 0)
		return;
	mrt_message(&m->w, &i, local, m->s->conf->asn, sent, msg, len, loop_unix_ns() / 1000);
	note_lost(m);
}

void bgp_mrt_state(struct bgp_svc *s, const struct bgp_act *act)
{
	struct bgp_mrt *m = s->mrt;
	struct bgp_peer_info i;
	enum bgp_state before;

	if (!m || !m->records || act->peer > LIM_BGP_PEERS ||
		bgp_peer_get(bgpd_core(s->bgpd), act->peer, &i) != 0)
		return;
	before = (enum bgp_state)m->states[act->peer];
	m->states[act->peer] = (uint8_t)act->state;
	if (before == act->state || (m->only && m->only != act->peer))
		return;
	mrt_state(&m->w, &i, local_of(m, act->peer), s->conf->asn, before, act->state,
		loop_unix_ns() / 1000);
	note_lost(m);
}

static bool begin_record(struct bgp_mrt *m, const struct bgp_neighbour *n)
{
	struct bgp *core = bgpd_core(m->s->bgpd);
	struct bgp_peer_info i;
	size_t it = 0;

	m->records = malloc(RECORD_ROOM);
	if (!m->records)
		return false;
	wr_init(&m->w, m->records, RECORD_ROOM);
	m->lost = 0;
	m->only = n ? n->peer : 0;
	memset(m->states, 0, sizeof(m->states));
	while (bgp_peer_next(core, &it, &i))
		m->states[i.peer] = (uint8_t)i.state;
	m->record_id = prng_next(&m->s->d->prng) >> 1 | 1;
	bgp_tap(core, on_message, m);
	loop_timer_set(m->timer, ts_add(loop_now(), DUR_SEC(1)));
	return true;
}

void ctl_bgp_record(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a)
{
	struct bgp_svc *s = ctl_bgp_svc(d, a);
	struct bgp_mrt *m = s ? get(s) : NULL;
	const char *neighbour = ctl_request_arg(rq, "neighbour");
	const struct bgp_neighbour *n = s && neighbour ? bgp_svc_neighbour(s, neighbour) : NULL;
	uint64_t id;
	bool good = number(rq, &id);

	if (!s)
		return;
	if (neighbour && (!n || !n->peer)) {
		ctl_refuse(a, "weft status bgp names them by address", "no such neighbour");
		return;
	}
	if (!admit(a, m, good, id, m && m->records ? m->record_id : 0, "recording"))
		return;
	if (!id && !begin_record(m, n)) {
		ctl_refuse(a, "", "%s", err_str(ERR_NOMEM));
		return;
	}
	m->record_used = loop_now();
	ctl_w_map(a->w, NULL);
	ctl_w_strf(a->w, "id", "%llu", (unsigned long long)m->record_id);
	ctl_w_u64(a->w, "lost", m->lost);
	ctl_w_bin(a->w, "mrt", m->records, wr_len(&m->w));
	ctl_w_end(a->w);
	wr_init(&m->w, m->records, RECORD_ROOM);
	if (ctl_request_arg(rq, "end"))
		end_record(m);
}
