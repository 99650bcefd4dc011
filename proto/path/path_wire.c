/* path_wire.c - codec of the path core's messages. */
#include "path_wire.h"

#include <assert.h>
#include <string.h>
#include "weft/err.h"

static int finish(const struct rd *r)
{
	if (rd_bad(r))
		return ERR_TRUNCATED;
	return rd_left(r) ? ERR_MALFORMED : 0;
}

static bool is_broadcast(const struct ip *ip)
{
	const struct ip all = ip_v4(0xffffffff);

	return ip_eq(ip, &all);
}

bool path_ep_ok(const struct ep *e)
{
	return (e->ip.family == IP_V4 || e->ip.family == IP_V6) && e->port != 0 && e->scope == 0 &&
	       !ip_is_unspecified(&e->ip) && !ip_is_multicast(&e->ip) && !is_broadcast(&e->ip) &&
	       !ip_is_loopback(&e->ip) && !ip_is_link_local(&e->ip);
}

static int get_eps(struct rd *r, struct path_eps *out)
{
	memset(out, 0, sizeof(*out));
	size_t n = rd_u8(r);

	if (n > PATH_EPS_MAX)
		return ERR_MALFORMED;
	for (; out->n < n; out->n++) {
		struct ep *e = &out->v[out->n];

		e->ip.family = rd_u8(r);
		if (rd_bad(r))
			return ERR_TRUNCATED;
		if (e->ip.family != IP_V4 && e->ip.family != IP_V6)
			return ERR_MALFORMED;
		rd_copy(r, e->ip.b, ip_bits(&e->ip) / 8);
		e->port = rd_u16(r);
		if (rd_bad(r))
			return ERR_TRUNCATED;
		ip_unmap(&e->ip);
		if (!path_ep_ok(e))
			return ERR_MALFORMED;
	}
	return 0;
}

static void put_eps(struct wr *w, const struct path_eps *eps)
{
	assert(eps->n <= PATH_EPS_MAX);
	wr_u8(w, (uint8_t)eps->n);
	for (size_t i = 0; i < eps->n; i++) {
		wr_u8(w, eps->v[i].ip.family);
		wr_copy(w, eps->v[i].ip.b, ip_bits(&eps->v[i].ip) / 8);
		wr_u16(w, eps->v[i].port);
	}
}

static void get_probe(struct rd *r, struct path_probe *out)
{
	out->token = rd_u64(r);
	out->heard = rd_u16(r);
}

int path_probe_decode(struct rd *r, struct path_probe *out)
{
	get_probe(r, out);
	if (!rd_bad(r))
		(void)rd_take(r, rd_left(r));
	return finish(r);
}

int path_reply_decode(struct rd *r, struct path_probe *out)
{
	get_probe(r, out);
	return finish(r);
}

void path_probe_encode(struct wr *w, enum path_msg type, const struct path_probe *m)
{
	wr_u8(w, (uint8_t)type);
	wr_u64(w, m->token);
	wr_u16(w, m->heard);
}

int path_ask_decode(struct rd *r, struct path_ask *out)
{
	out->id = rd_u32(r);
	out->depth = rd_u8(r);
	rd_copy(r, out->target.b, sizeof(out->target.b));
	if (out->depth > PATH_REST_MAX)
		return ERR_MALFORMED;
	return finish(r);
}

void path_ask_encode(struct wr *w, const struct path_ask *m)
{
	wr_u8(w, PATH_MSG_ASK);
	wr_u32(w, m->id);
	wr_u8(w, m->depth);
	wr_copy(w, m->target.b, sizeof(m->target.b));
}

int path_answer_decode(struct rd *r, struct path_answer *out)
{
	memset(out, 0, sizeof(*out));
	out->id = rd_u32(r);
	rd_copy(r, out->target.b, sizeof(out->target.b));
	out->verdict = rd_u8(r);
	out->cost_us = rd_u32(r);
	out->n = rd_u8(r);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	if (out->verdict < PATH_ANSWER_OK || out->verdict > PATH_ANSWER_LATER ||
		out->n > PATH_REST_MAX || out->cost_us > PATH_COST_MAX ||
		(out->verdict != PATH_ANSWER_OK && (out->n || out->cost_us)))
		return ERR_MALFORMED;
	for (unsigned i = 0; i < out->n; i++)
		rd_copy(r, out->rest[i].b, sizeof(out->rest[i].b));
	return finish(r);
}

void path_answer_encode(struct wr *w, const struct path_answer *m)
{
	assert(m->n <= PATH_REST_MAX);
	wr_u8(w, PATH_MSG_ANSWER);
	wr_u32(w, m->id);
	wr_copy(w, m->target.b, sizeof(m->target.b));
	wr_u8(w, m->verdict);
	wr_u32(w, m->cost_us);
	wr_u8(w, m->n);
	for (unsigned i = 0; i < m->n; i++)
		wr_copy(w, m->rest[i].b, sizeof(m->rest[i].b));
}

int path_punch_decode(struct rd *r, struct path_punch *out)
{
	rd_copy(r, out->target.b, sizeof(out->target.b));
	int err = get_eps(r, &out->eps);

	return err < 0 ? err : finish(r);
}

void path_punch_encode(struct wr *w, const struct path_punch *m)
{
	wr_u8(w, PATH_MSG_PUNCH);
	wr_copy(w, m->target.b, sizeof(m->target.b));
	put_eps(w, &m->eps);
}

int path_open_decode(struct rd *r, struct path_open *out)
{
	rd_copy(r, out->node.b, sizeof(out->node.b));
	out->delay_ms = rd_u16(r);
	if (out->delay_ms > PATH_DELAY_MAX)
		return ERR_MALFORMED;
	int err = get_eps(r, &out->eps);

	return err < 0 ? err : finish(r);
}

void path_open_encode(struct wr *w, const struct path_open *m)
{
	wr_u8(w, PATH_MSG_OPEN);
	wr_copy(w, m->node.b, sizeof(m->node.b));
	wr_u16(w, m->delay_ms);
	put_eps(w, &m->eps);
}
