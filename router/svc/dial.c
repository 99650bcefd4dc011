/* dial.c - the targets that the operator named: --peer, `weft connect`. Nodes that gossip knows are
 * called by paths.c.
 *
 * A target is resolved again before each new try, so a name whose address changed is followed.
 * Target states: resolving -> dialling -> established (a session stands at one of its addresses, or
 * with the node that answered there) | known (that node lives, as membership says, and no session with
 * it is needed) | waiting (failed; back-off 1 s doubling to 30 s, to 3 s for a node alone) | self (that address is ours). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "daemon_int.h"
#include "resolve.h"

#define MAX_TARGETS   CONF_LIST_MAX
#define TARGET_CHECK  DUR_SEC(5) /* how often an established target is looked at */
#define DIAL_PATIENCE DUR_SEC(4) /* per candidate address */
#define BACKOFF_FIRST DUR_SEC(1)
#define BACKOFF_MAX   DUR_SEC(30)
#define BACKOFF_ALONE DUR_SEC(1)  /* the most, while there is no session at all */
#define SELF_RETRY    DUR_SEC(60) /* an address that was ours may be another's later */

enum state { ST_RESOLVING, ST_DIALLING, ST_ESTABLISHED, ST_KNOWN, ST_WAITING, ST_SELF };
static const char *const state_names[] = {
	"resolving", "dialling", "established", "known", "waiting", "self"};

struct target {
	char text[280], host[256];
	uint16_t port;
	uint64_t tag;
	enum state state;
	struct ep eps[RESOLVE_ADDRS];
	size_t neps, cur;
	bool has_node; /* one of its addresses was answered by node */
	struct node_key node;
	ts_t next;
	dur_t backoff;
	char error[96];
};

struct dialer {
	struct resolver *resolver;
	struct target *targets[MAX_TARGETS];
	size_t ntargets;
	uint64_t next_tag;
};

/* HOST:PORT, HOST, ADDRESS, [ADDRESS]:PORT. */
static int parse_target(const char *text, struct target *t, char *err, size_t err_len)
{
	const char *colon = strrchr(text, ':');
	struct ep ep;
	long port = WIRE_DEFAULT_PORT;
	size_t host_len = strlen(text);

	if (ep_parse(text, WIRE_DEFAULT_PORT, &ep) == 0) {
		t->port = ep.port;
		t->eps[t->neps++] = ep;
		return 0;
	}
	if (colon && strchr(text, ':') == colon) {
		char *end;

		port = strtol(colon + 1, &end, 10);
		if (end == colon + 1 || *end || port < 1 || port > 65535) {
			snprintf(err, err_len, "peer %s: port; allowed: 1 to 65535", text);
			return ERR_CONFIG;
		}
		host_len = (size_t)(colon - text);
	}
	if (host_len == 0 || host_len >= sizeof(t->host) || strpbrk(text, " /[]@")) {
		snprintf(err, err_len, "peer %s: allowed: HOST:PORT, HOST, ADDRESS, [IPV6]:PORT",
			text);
		return ERR_CONFIG;
	}
	memcpy(t->host, text, host_len);
	t->host[host_len] = '\0';
	t->port = (uint16_t)port;
	return 0;
}

static enum state stronger(enum state a, enum state b)
{
	return a < b ? a : b;
}

/* Established, known, or neither (waiting), as far as the node at @ep goes: one that has a session
 * there, or publishes @ep as its own. */
static enum state state_at(const struct daemon *d, const struct ep *ep)
{
	enum state st = ST_WAITING;
	struct gossip_node_info n;
	struct peer *p;
	uint32_t handle = 0;
	size_t it = 0;

	while (peers_next(d, &handle, &p))
		if (p->up && ep_eq(&p->ep, ep))
			return ST_ESTABLISHED;
	while (st != ST_ESTABLISHED && gossip_node_next(d->gossip, &it, &n))
		for (size_t k = 0; (n.linked || n.up) && !n.self && k < n.neps; k++)
			if (ep_eq(&n.eps[k], ep))
				st = stronger(st, n.linked ? ST_ESTABLISHED : ST_KNOWN);
	return st;
}

/* The same of a node. */
static enum state state_of(const struct daemon *d, const struct node_key *key)
{
	struct gossip_node_info n;

	if (sess_peer_find(d->sess, key))
		return ST_ESTABLISHED;
	return gossip_node_get(d->gossip, key, &n) == 0 && n.up ? ST_KNOWN : ST_WAITING;
}

bool dial_alone(const struct daemon *d)
{
	struct peer *p;
	uint32_t it = 0;

	while (peers_next(d, &it, &p))
		if (p->up)
			return false;
	return true;
}

static void wait_again(struct daemon *d, struct target *t, const char *error)
{
	/* Nobody else can tell a node that is alone how the mesh is reached. */
	const dur_t most = dial_alone(d) ? BACKOFF_ALONE : BACKOFF_MAX;

	snprintf(t->error, sizeof(t->error), "%s", error);
	t->state = ST_WAITING;
	if (t->backoff.ns > most.ns)
		t->backoff = most;
	t->next = ts_add(loop_now(), prng_jitter(&d->prng, t->backoff, 25));
	t->backoff.ns = t->backoff.ns * 2 > most.ns ? most.ns : t->backoff.ns * 2;
}

static void reached(struct target *t, enum state st)
{
	t->state = st;
	t->backoff = BACKOFF_FIRST;
	t->error[0] = '\0';
	t->next = ts_add(loop_now(), TARGET_CHECK);
}

/* Call the present candidate of @t. */
static void call(struct daemon *d, struct target *t)
{
	ts_t now = loop_now();
	int e;

	/* First of all: dial_failed() looks for targets in this state. */
	t->state = ST_DIALLING;
	if (t->eps[t->cur].ip.family == IP_V6 && !dp_has_ipv6(d->dp)) {
		dial_failed(d, &t->eps[t->cur], NULL, ERR_UNSUPPORTED);
		return;
	}
	t->next = ts_add(ts_add(now, DIAL_PATIENCE), DUR_SEC(1)); /* in case no failure is told */
	e = sess_connect(d->sess, &t->eps[t->cur], NULL, ts_add(now, DIAL_PATIENCE), now);
	if (e)
		wait_again(d, t, err_str(e));
}

static void begin(struct daemon *d, struct target *t)
{
	int e;

	t->cur = 0;
	if (t->host[0] == '\0') {
		call(d, t);
		return;
	}
	e = resolve_start(d->dialer->resolver, t->host, t->tag);
	if (e == ERR_BUSY) {
		t->state = ST_WAITING;
		t->next = ts_add(loop_now(), DUR_MS(200));
	} else if (e) {
		wait_again(d, t, err_str(e));
	} else {
		t->state = ST_RESOLVING;
		t->next = TS_NEVER;
	}
}

static void on_resolved(void *ctx, uint64_t tag, const struct ip *ips, size_t n, const char *error)
{
	struct daemon *d = ctx;

	for (size_t i = 0; i < d->dialer->ntargets; i++) {
		struct target *t = d->dialer->targets[i];

		if (t->tag != tag || t->state != ST_RESOLVING)
			continue;
		t->neps = 0;
		t->has_node = false;
		for (size_t k = 0; k < n && k < RESOLVE_ADDRS; k++)
			t->eps[t->neps++] = (struct ep){.ip = ips[k], .port = t->port};
		if (t->neps == 0)
			wait_again(d, t, error[0] ? error : "the name has no address");
		else
			call(d, t);
	}
	mesh_drain(d);
}

int dial_new(struct daemon *d, struct dialer **out)
{
	struct dialer *x = calloc(1, sizeof(*x));
	int e;

	if (!x)
		return ERR_NOMEM;
	e = resolve_new(d->loop, on_resolved, d, &x->resolver);
	if (e) {
		dial_free(x);
		return e;
	}
	*out = x;
	return 0;
}

void dial_free(struct dialer *x)
{
	if (!x)
		return;
	resolve_free(x->resolver);
	for (size_t i = 0; i < x->ntargets; i++)
		free(x->targets[i]);
	free(x);
}

int dial_add_target(struct daemon *d, const char *text, char *err, size_t err_len)
{
	struct dialer *x = d->dialer;
	struct target *t;
	int e;

	for (size_t i = 0; i < x->ntargets; i++)
		if (strcmp(x->targets[i]->text, text) == 0)
			return 0;
	if (x->ntargets == MAX_TARGETS) {
		snprintf(err, err_len, "there are %d targets already", MAX_TARGETS);
		return ERR_FULL;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return ERR_NOMEM;
	e = parse_target(text, t, err, err_len);
	if (e) {
		free(t);
		return e;
	}
	snprintf(t->text, sizeof(t->text), "%s", text);
	t->tag = ++x->next_tag;
	t->backoff = BACKOFF_FIRST;
	t->state = ST_WAITING;
	t->next = loop_now();
	x->targets[x->ntargets++] = t;
	return 0;
}

int dial_del_target(struct daemon *d, const char *text)
{
	struct dialer *x = d->dialer;

	for (size_t i = 0; i < x->ntargets; i++) {
		struct target *t = x->targets[i];

		if (strcmp(t->text, text) != 0)
			continue;
		for (size_t k = 0; k < t->neps; k++)
			sess_cancel(d->sess, &t->eps[k], loop_now());
		x->targets[i] = x->targets[--x->ntargets];
		free(t);
		return 0;
	}
	return ERR_NOT_FOUND;
}

static const char *failure_text(int reason)
{
	switch (reason) {
	case ERR_FOREIGN:
		return "another node answered there";
	case ERR_CONFLICT:
		return "that address is this node's own";
	case ERR_UNSUPPORTED:
		return "this host has no IPv6";
	default:
		return "no answer (is weftd up there, UDP open, and the secret the same?)";
	}
}

void dial_failed(struct daemon *d, const struct ep *to, const struct node_key *key, int reason)
{
	struct dialer *x = d->dialer;

	for (size_t i = 0; i < x->ntargets; i++) {
		struct target *t = x->targets[i];

		if (t->state != ST_DIALLING || t->cur >= t->neps || !ep_eq(&t->eps[t->cur], to))
			continue;
		if (reason == ERR_EXISTS && key) {
			t->has_node = true;
			t->node = *key;
			reached(t, ST_ESTABLISHED);
			continue;
		}
		if (++t->cur < t->neps)
			call(d, t);
		else
			wait_again(d, t, failure_text(reason));
	}
}

void dial_answered(struct daemon *d, const struct ep *ep, const struct node_key *key)
{
	struct dialer *x = d->dialer;

	for (size_t i = 0; i < x->ntargets; i++)
		for (size_t k = 0; k < x->targets[i]->neps; k++)
			if (ep_eq(&x->targets[i]->eps[k], ep)) {
				x->targets[i]->has_node = true;
				x->targets[i]->node = *key;
			}
}

void dial_self(struct daemon *d, const struct ep *ep)
{
	struct dialer *x = d->dialer;
	struct gossip_node_info me;
	char text[EP_STRLEN], here[EP_STRLEN] = "an unknown address";
	bool ours = ip_is_loopback(&ep->ip);

	if (gossip_node_get(d->gossip, &d->id.pub, &me) == 0) {
		for (size_t i = 0; i < me.neps; i++)
			ours |= ep_eq(&me.eps[i], ep);
		if (me.neps)
			ep_fmt(&me.eps[0], here);
	}
	for (size_t i = 0; i < x->ntargets; i++) {
		struct target *t = x->targets[i];

		for (size_t k = 0; k < t->neps; k++)
			if (ep_eq(&t->eps[k], ep)) {
				t->state = ST_SELF;
				t->next = ts_add(loop_now(), SELF_RETRY);
				snprintf(t->error, sizeof(t->error), "%s",
					failure_text(ERR_CONFLICT));
			}
	}
	if (!ours)
		daemon_warn(d,
			"%s answers with the key of this node (%s): a copied disk, or an address "
			"of this host that isn't on an interface; if it is another machine, stop "
			"it and remove its identity file",
			ep_fmt(ep, text), here);
}

static void check_target(struct daemon *d, struct target *t, ts_t now)
{
	enum state st = ST_WAITING;

	/* What stands is looked at now and then only: the search goes over all nodes. */
	if ((t->state == ST_ESTABLISHED || t->state == ST_KNOWN) && !ts_due(t->next, now))
		return;
	if (t->has_node)
		st = state_of(d, &t->node);
	for (size_t k = 0; k < t->neps && st != ST_ESTABLISHED; k++)
		st = stronger(st, state_at(d, &t->eps[k]));
	if (st != ST_WAITING) {
		reached(t, st);
		return;
	}
	if (!ts_due(t->next, now))
		return;
	t->has_node = false;
	if (t->state == ST_DIALLING) {
		/* The session core was busy with the same node elsewhere, or gave up unheard. */
		wait_again(d, t, failure_text(-ETIMEDOUT));
		return;
	}
	begin(d, t);
}

void dial_tick(struct daemon *d, ts_t now)
{
	struct dialer *x = d->dialer;

	for (size_t i = 0; i < x->ntargets; i++)
		check_target(d, x->targets[i], now);
}

ts_t dial_deadline(const struct daemon *d)
{
	ts_t when = TS_NEVER;

	for (size_t i = 0; i < d->dialer->ntargets; i++)
		when = ts_min(when, d->dialer->targets[i]->next);
	return when;
}

bool dial_target_next(const struct daemon *d, size_t *it, struct target_info *out)
{
	const struct target *t;

	if (*it >= d->dialer->ntargets)
		return false;
	t = d->dialer->targets[(*it)++];
	memset(out, 0, sizeof(*out));
	out->text = t->text;
	if (t->neps)
		out->ep = t->eps[t->cur < t->neps ? t->cur : 0];
	out->state = state_names[t->state];
	out->error = t->error;
	out->next = t->next;
	return true;
}

bool dial_pending(const struct daemon *d)
{
	bool any = false;

	/* Found through peers known from an earlier run, or called by them. */
	if (!dial_alone(d))
		return false;
	for (size_t i = 0; i < d->dialer->ntargets; i++) {
		enum state s = d->dialer->targets[i]->state;

		if (s == ST_ESTABLISHED || s == ST_KNOWN || s == ST_SELF)
			return false;
		any = true;
	}
	return any;
}
