/* sim_nat.c - translators and firewalls. In: datagrams' ports and far ends. Out: the port on the
 * other side, or none. State: flows, each an inner port, an outer port and a far end. */
#include "sim_nat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PORT 20000

struct flow {
	uint16_t inner, outer;
	struct ep far;
	ts_t until;
};

struct sim_nat {
	enum sim_nat_kind kind;
	struct flow *v;
	size_t count, cap;
	uint16_t next;
};

static const char *const names[NAT_KINDS] = {
	[NAT_NONE] = "none",
	[NAT_FULL_CONE] = "full-cone",
	[NAT_ADDRESS] = "address",
	[NAT_PORT] = "port",
	[NAT_SYMMETRIC] = "symmetric",
	[NAT_FIREWALL] = "firewall",
};

const char *sim_nat_name(enum sim_nat_kind kind)
{
	assert(kind < NAT_KINDS);
	return names[kind];
}

struct sim_nat *sim_nat_new(enum sim_nat_kind kind)
{
	struct sim_nat *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->kind = kind;
	t->next = FIRST_PORT;
	return t;
}

void sim_nat_free(struct sim_nat *t)
{
	if (!t)
		return;
	free(t->v);
	free(t);
}

enum sim_nat_kind sim_nat_kind(const struct sim_nat *t)
{
	return t->kind;
}

bool sim_nat_translates(const struct sim_nat *t)
{
	return t->kind != NAT_NONE && t->kind != NAT_FIREWALL;
}

static void expire(struct sim_nat *t, ts_t now)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->count; i++)
		if (!ts_due(t->v[i].until, now))
			t->v[kept++] = t->v[i];
	t->count = kept;
}

/* Ports are given out in turn; one that a live flow has is passed over. */
static uint16_t new_port(struct sim_nat *t)
{
	for (;;) {
		uint16_t port = t->next;
		bool taken = false;

		t->next = t->next == UINT16_MAX ? FIRST_PORT : t->next + 1;
		for (size_t i = 0; i < t->count && !taken; i++)
			taken = t->v[i].outer == port;
		if (!taken)
			return port;
	}
}

static uint16_t outer_port(struct sim_nat *t, uint16_t inner)
{
	if (!sim_nat_translates(t))
		return inner;
	for (size_t i = 0; i < t->count && t->kind != NAT_SYMMETRIC; i++)
		if (t->v[i].inner == inner)
			return t->v[i].outer;
	return new_port(t);
}

static struct flow *room(struct sim_nat *t)
{
	size_t oldest = 0;

	if (t->count < SIM_NAT_FLOWS) {
		if (t->count == t->cap) {
			t->cap = t->cap ? 2 * t->cap : 8;
			t->v = realloc(t->v, t->cap * sizeof(*t->v));
			if (!t->v)
				abort();
		}
		return &t->v[t->count++];
	}
	for (size_t i = 1; i < t->count; i++)
		if (ts_before(t->v[i].until, t->v[oldest].until))
			oldest = i;
	return &t->v[oldest];
}

uint16_t sim_nat_out(struct sim_nat *t, uint16_t port, const struct ep *to, ts_t now)
{
	uint16_t outer;

	if (t->kind == NAT_NONE)
		return port;
	expire(t, now);
	for (size_t i = 0; i < t->count; i++)
		if (t->v[i].inner == port && ep_eq(&t->v[i].far, to)) {
			t->v[i].until = ts_add(now, SIM_NAT_LIFE);
			return t->v[i].outer;
		}
	outer = outer_port(t, port);
	*room(t) = (struct flow){port, outer, *to, ts_add(now, SIM_NAT_LIFE)};
	return outer;
}

/* Does a flow let in what comes from @from? */
static bool lets_in(enum sim_nat_kind kind, const struct flow *f, const struct ep *from)
{
	switch (kind) {
	case NAT_FULL_CONE:
		return true;
	case NAT_ADDRESS:
		return ip_eq(&f->far.ip, &from->ip);
	default:
		return ep_eq(&f->far, from);
	}
}

uint16_t sim_nat_in(struct sim_nat *t, uint16_t port, const struct ep *from, ts_t now)
{
	if (t->kind == NAT_NONE)
		return port;
	for (size_t i = 0; i < t->count; i++)
		if (t->v[i].outer == port && !ts_due(t->v[i].until, now) &&
			lets_in(t->kind, &t->v[i], from))
			return t->v[i].inner;
	return 0;
}
