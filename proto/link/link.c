/* link.c - the link core. A handful of links with a handful of gateways each, so everything is a walk
 * over small arrays; the actions wait in one ring that is large enough for what one call can cause. */
#include "link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"

#define HELLO_RETRY    DUR_SEC(1)
#define HELLO_AGAIN    DUR_SEC(60) /* to who refuses us or is refused */
#define DIAL_PERIOD    DUR_SEC(5)
#define HELLOS_PER_SEC 10
/* One call causes at most one greeting, refusal, dial, up or down for each gateway of each link. */
#define ACTS_MAX       (LIM_LINKS * LIM_LINK_GATEWAYS * 4)

struct peer {
	struct node_key key;
	bool used, session, up;
	uint32_t seen;  /* serial of theirs that we judged; 0: none */
	uint32_t acked; /* serial of ours that they have seen */
	ts_t hello_at, since;
	ts_t window; /* of the rate at which we listen */
	unsigned heard;
	struct link_cluster said; /* in the greeting that was seen */
	char refused[LINK_WHY_MAX];
	char refusal[LINK_TEXT_MAX + 1];
	/* where it can be dialled */
	size_t neps, next_ep;
	struct ep eps[LINK_GW_EPS_MAX];
	ts_t dial_at; /* TS_NEVER: nothing to dial */
};

struct link {
	bool used;
	struct link_def def;
	struct peer peers[LIM_LINK_GATEWAYS];
	size_t next_ep;
	ts_t dial_at; /* of the next of def.eps */
};

struct act {
	struct link_act a;
	struct link_cluster remote;
	char text[LINK_WHY_MAX];
	uint8_t buf[LINK_BODY_MAX];
};

struct links {
	struct node_key key;
	struct link_cluster self;
	size_t ngateways;
	struct link_gateway gateways[LINK_GATEWAYS_MAX];
	uint32_t serial;
	struct link links[LIM_LINKS];
	struct act *acts; /* ACTS_MAX, from head on count of them wait */
	size_t head, count;
	struct link_stats st;
};

/* --- actions --- */

/* NULL: the ring is full, as when nobody drains; what was to be said is said again later. */
static struct act *push(struct links *l, enum link_act_type type, const struct link *k)
{
	struct act *a;

	if (l->count == ACTS_MAX)
		return NULL;
	a = &l->acts[(l->head + l->count++) % ACTS_MAX];
	a->a = (struct link_act){.type = type, .link = k->def.number};
	return a;
}

bool links_next(struct links *l, struct link_act *out)
{
	struct act *a;

	if (l->count == 0) {
		memset(out, 0, sizeof(*out));
		return false;
	}
	a = &l->acts[l->head];
	l->head = (l->head + 1) % ACTS_MAX;
	l->count--;
	*out = a->a;
	out->remote = &a->remote;
	out->text = a->text;
	out->buf = a->buf;
	return true;
}

static void tell_peer(struct links *l, enum link_act_type type, const struct link *k,
	const struct peer *p, const char *text)
{
	struct act *a = push(l, type, k);

	if (!a)
		return;
	a->a.key = p->key;
	a->remote = k->def.remote;
	snprintf(a->text, sizeof(a->text), "%s", text);
}

static void dial(
	struct links *l, const struct link *k, const struct ep *ep, const struct node_key *key)
{
	struct act *a = push(l, LINK_DIAL, k);

	if (!a)
		return;
	a->a.ep = *ep;
	if (key)
		a->a.key = *key;
}

static void greet(struct links *l, const struct link *k, struct peer *p, ts_t now)
{
	struct act *a = push(l, LINK_SEND, k);
	struct link_hello h = {.ask = p->acked != l->serial,
		.accept = p->seen && !p->refused[0],
		.serial = l->serial,
		.seen = p->seen,
		.who = l->self};

	p->hello_at = ts_add(now, p->refusal[0] || p->refused[0] ? HELLO_AGAIN : HELLO_RETRY);
	if (!a)
		return;
	h.ngateways = l->ngateways;
	memcpy(h.gateways, l->gateways, sizeof(h.gateways));
	a->a.key = p->key;
	a->a.len = link_hello_encode(&h, a->buf);
	l->st.hellos_tx++;
}

static void refuse(struct links *l, const struct link *k, const struct peer *p)
{
	struct act *a = push(l, LINK_SEND, k);

	if (!a)
		return;
	a->a.key = p->key;
	a->a.len = link_refusal_encode(p->seen, p->refused, a->buf);
	l->st.refused_tx++;
}

/* --- life --- */

struct links *links_new(const struct node_key *key, const struct link_cluster *self, ts_t now)
{
	struct links *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->acts = calloc(ACTS_MAX, sizeof(*l->acts));
	if (!l->acts) {
		free(l);
		return NULL;
	}
	l->key = *key;
	l->self = *self;
	/* Another one than before the restart: the time since the machine's start serves. */
	l->serial = (uint32_t)(now.ns / 1000000) | 1;
	return l;
}

void links_free(struct links *l)
{
	if (!l)
		return;
	free(l->acts);
	free(l);
}

static struct link *find(struct links *l, uint32_t number)
{
	for (size_t i = 0; i < LIM_LINKS; i++)
		if (l->links[i].used && l->links[i].def.number == number)
			return &l->links[i];
	return NULL;
}

static struct peer *find_peer(struct link *k, const struct node_key *key)
{
	for (size_t i = 0; i < LIM_LINK_GATEWAYS; i++)
		if (k->peers[i].used && node_key_eq(&k->peers[i].key, key))
			return &k->peers[i];
	return NULL;
}

/* A place for @key; NULL: none is left, counted. */
static struct peer *new_peer(struct links *l, struct link *k, const struct node_key *key)
{
	for (size_t i = 0; i < LIM_LINK_GATEWAYS; i++) {
		struct peer *p = &k->peers[i];

		if (p->used)
			continue;
		memset(p, 0, sizeof(*p));
		p->used = true;
		p->key = *key;
		p->hello_at = p->dial_at = TS_NEVER;
		return p;
	}
	l->st.full++;
	return NULL;
}

/* --- what is refused --- */

static bool same_cluster(const struct link_cluster *a, const struct link_cluster *b)
{
	if (!cluster_id_eq(&a->id, &b->id) || a->asn != b->asn || strcmp(a->name, b->name) != 0 ||
		a->nranges != b->nranges)
		return false;
	for (size_t i = 0; i < a->nranges; i++)
		if (!pfx_eq(&a->ranges[i], &b->ranges[i]))
			return false;
	return true;
}

static const char *label(const struct link_cluster *c, char id[CLUSTER_ID_STRLEN])
{
	return c->name[0] ? c->name : cluster_id_fmt(&c->id, id);
}

static int against(const struct link_cluster *ours, const struct link_cluster *remote, char *why)
{
	char a[CLUSTER_ID_STRLEN], b[CLUSTER_ID_STRLEN], p[PFX_STRLEN], q[PFX_STRLEN];

	if (ours->asn == remote->asn) {
		snprintf(why, LINK_WHY_MAX, "clusters %s and %s have the same AS number %u",
			label(ours, a), label(remote, b), ours->asn);
		return ERR_CONFLICT;
	}
	for (size_t i = 0; i < ours->nranges; i++)
		for (size_t n = 0; n < remote->nranges; n++)
			if (pfx_overlaps(&ours->ranges[i], &remote->ranges[n])) {
				snprintf(why, LINK_WHY_MAX,
					"range %s of cluster %s overlaps %s of cluster %s",
					pfx_fmt(&ours->ranges[i], p), label(ours, a),
					pfx_fmt(&remote->ranges[n], q), label(remote, b));
				return ERR_CONFLICT;
			}
	return 0;
}

int links_check(
	const struct links *l, uint32_t number, const struct link_cluster *remote, char *why)
{
	char a[CLUSTER_ID_STRLEN], b[CLUSTER_ID_STRLEN];
	int err;

	why[0] = '\0';
	if (cluster_id_eq(&l->self.id, &remote->id)) {
		snprintf(why, LINK_WHY_MAX, "the link leads from cluster %s back to itself",
			label(&l->self, a));
		return ERR_CONFLICT;
	}
	err = against(&l->self, remote, why);
	for (size_t i = 0; i < LIM_LINKS && !err; i++) {
		const struct link *k = &l->links[i];

		if (!k->used || k->def.remote.asn == 0)
			continue;
		if (k->def.number != number) {
			if (cluster_id_eq(&k->def.remote.id, &remote->id)) {
				snprintf(why, LINK_WHY_MAX, "link %s leads to cluster %s already",
					k->def.name, label(remote, a));
				return ERR_CONFLICT;
			}
			err = against(&k->def.remote, remote, why);
		} else if (!cluster_id_eq(&k->def.remote.id, &remote->id)) {
			snprintf(why, LINK_WHY_MAX, "link %s leads to cluster %s, not to %s",
				k->def.name, label(&k->def.remote, a), label(remote, b));
			return ERR_CONFLICT;
		}
	}
	return err;
}

/* --- links --- */

int links_add(struct links *l, const struct link_def *def, char *why, ts_t now)
{
	struct link *slot = NULL;
	int err;

	assert(def->number > 0 && def->neps <= LINK_EPS_MAX);
	why[0] = '\0';
	for (size_t i = 0; i < LIM_LINKS; i++) {
		struct link *k = &l->links[i];

		if (!k->used)
			slot = slot ? slot : k;
		else if (k->def.number == def->number || strcmp(k->def.name, def->name) == 0)
			return ERR_EXISTS;
	}
	if (!slot)
		return ERR_FULL;
	err = def->remote.asn ? links_check(l, 0, &def->remote, why) : 0;
	if (err)
		return err;
	memset(slot, 0, sizeof(*slot));
	slot->used = true;
	slot->def = *def;
	slot->dial_at = def->neps ? now : TS_NEVER;
	return 0;
}

static void go_down(struct links *l, struct link *k, struct peer *p, const char *text)
{
	if (p->up)
		tell_peer(l, LINK_DOWN, k, p, text);
	p->up = false;
}

int links_del(struct links *l, uint32_t number)
{
	struct link *k = find(l, number);

	if (!k)
		return ERR_NOT_FOUND;
	for (size_t i = 0; i < LIM_LINK_GATEWAYS; i++)
		if (k->peers[i].used)
			go_down(l, k, &k->peers[i], "");
	k->used = false;
	return 0;
}

/* --- sessions --- */

void links_session_up(struct links *l, uint32_t number, const struct node_key *key, ts_t now)
{
	struct link *k = find(l, number);
	struct peer *p;

	if (!k)
		return;
	p = find_peer(k, key);
	if (!p)
		p = new_peer(l, k, key);
	if (!p)
		return;
	p->session = true;
	p->seen = p->acked = 0;
	p->refused[0] = p->refusal[0] = '\0';
	p->dial_at = TS_NEVER;
	greet(l, k, p, now);
}

void links_session_down(struct links *l, uint32_t number, const struct node_key *key, ts_t now)
{
	struct link *k = find(l, number);
	struct peer *p = k ? find_peer(k, key) : NULL;

	if (!p)
		return;
	go_down(l, k, p, "");
	p->session = false;
	p->hello_at = TS_NEVER;
	if (p->neps == 0) {
		p->used = false; /* nobody names it: it calls, or the invitation leads to it */
		k->dial_at = k->def.neps ? ts_min(k->dial_at, ts_add(now, DIAL_PERIOD)) : TS_NEVER;
	} else {
		p->dial_at = ts_add(now, DIAL_PERIOD);
	}
}

/* The other cluster's gateways, as one of them tells. Those that it doesn't name any more and that
 * have no session are forgotten. */
static void learn_gateways(struct links *l, struct link *k, const struct link_hello *h, ts_t now)
{
	bool named[LIM_LINK_GATEWAYS] = {false};

	for (size_t i = 0; i < h->ngateways; i++) {
		const struct link_gateway *g = &h->gateways[i];
		struct peer *p = find_peer(k, &g->key);

		if (node_key_eq(&g->key, &l->key) || g->neps == 0)
			continue;
		if (!p)
			p = new_peer(l, k, &g->key);
		if (!p)
			continue;
		named[p - k->peers] = true;
		p->neps = g->neps;
		memcpy(p->eps, g->eps, sizeof(p->eps));
		if (!p->session && ts_is_never(p->dial_at))
			p->dial_at = now;
	}
	for (size_t i = 0; i < LIM_LINK_GATEWAYS; i++) {
		struct peer *p = &k->peers[i];

		if (!p->used || named[i])
			continue;
		p->neps = 0;
		if (!p->session)
			p->used = false;
	}
}

static void settle(struct links *l, struct link *k, struct peer *p, ts_t now)
{
	bool up =
		p->session && p->seen && !p->refused[0] && !p->refusal[0] && p->acked == l->serial;

	/* A greeting of ours that is not seen yet keeps what was agreed before. */
	if (p->up && p->acked != l->serial && !p->refused[0] && !p->refusal[0])
		up = true;
	if (up == p->up)
		return;
	if (!up) {
		go_down(l, k, p, p->refused[0] ? p->refused : p->refusal);
		return;
	}
	p->since = now;
	p->up = true;
	tell_peer(l, LINK_UP, k, p, "");
}

static int judge(struct links *l, struct link *k, struct peer *p)
{
	int err = links_check(l, k->def.number, &p->said, p->refused);
	struct act *a;

	if (err)
		return err;
	if (same_cluster(&k->def.remote, &p->said))
		return 0;
	k->def.remote = p->said;
	a = push(l, LINK_LEARNED, k);
	if (a)
		a->remote = k->def.remote;
	return 0;
}

static int recv_hello(
	struct links *l, struct link *k, struct peer *p, const uint8_t *buf, size_t len, ts_t now)
{
	struct link_hello h;
	bool fresh;
	int err = link_hello_decode(buf, len, &h);

	if (err)
		return err;
	l->st.hellos_rx++;
	fresh = h.serial != p->seen;
	if (h.seen == l->serial) {
		p->acked = l->serial;
		if (h.accept)
			p->refusal[0] = '\0';
		else if (!p->refusal[0]) /* its text may be lost, or late */
			snprintf(p->refusal, sizeof(p->refusal), "no reason given");
	}
	p->seen = h.serial;
	p->said = h.who;
	if (fresh || p->refused[0]) { /* refused before: something may have changed on this side */
		err = judge(l, k, p);
		if (err)
			refuse(l, k, p);
		else
			learn_gateways(l, k, &h, now);
	}
	settle(l, k, p, now);
	if (fresh || h.ask)
		greet(l, k, p, now);
	if (p->acked == l->serial)
		p->hello_at = p->refused[0] || p->refusal[0] ? ts_add(now, HELLO_AGAIN) : TS_NEVER;
	return err;
}

static int recv_refusal(
	struct links *l, struct link *k, struct peer *p, const uint8_t *buf, size_t len, ts_t now)
{
	char text[LINK_TEXT_MAX + 1];
	uint32_t serial;
	int err = link_refusal_decode(buf, len, &serial, text);
	bool news;

	if (err)
		return err;
	l->st.refused_rx++;
	if (serial != l->serial)
		return ERR_STALE;
	news = strcmp(text, p->refusal) != 0;
	snprintf(p->refusal, sizeof(p->refusal), "%s", text[0] ? text : "no reason given");
	if (news)
		tell_peer(l, LINK_REFUSED, k, p, p->refusal);
	p->hello_at = ts_add(now, HELLO_AGAIN);
	settle(l, k, p, now);
	return 0;
}

/* A gateway that talks without end costs no more than this. */
static bool over_rate(struct peer *p, ts_t now)
{
	if (p->heard == 0 || ts_due(ts_add(p->window, DUR_SEC(1)), now)) {
		p->window = now;
		p->heard = 0;
	}
	return p->heard++ >= HELLOS_PER_SEC;
}

int links_recv(struct links *l, uint32_t number, const struct node_key *key, const uint8_t *buf,
	size_t len, ts_t now)
{
	struct link *k = find(l, number);
	struct peer *p = k ? find_peer(k, key) : NULL;
	int kind, err;

	if (!p || !p->session)
		return ERR_NOT_FOUND;
	if (over_rate(p, now)) {
		l->st.limited++;
		return ERR_LIMIT;
	}
	kind = link_kind_of(buf, len);
	if (kind == LINK_HELLO)
		err = recv_hello(l, k, p, buf, len, now);
	else if (kind == LINK_REFUSAL)
		err = recv_refusal(l, k, p, buf, len, now);
	else
		err = kind;
	if (err == ERR_TRUNCATED || err == ERR_MALFORMED || err == ERR_UNSUPPORTED)
		l->st.malformed++;
	return err;
}

/* What we are has changed: what was agreed with may be refused now, and the reverse. */
static void judge_again(struct links *l, struct link *k, struct peer *p, ts_t now)
{
	if (!p->used || !p->session)
		return;
	if (p->seen && judge(l, k, p))
		refuse(l, k, p);
	settle(l, k, p, now);
	p->hello_at = now;
}

void links_self(struct links *l, const struct link_cluster *self,
	const struct link_gateway *gateways, size_t n, ts_t now)
{
	if (n > LINK_GATEWAYS_MAX)
		n = LINK_GATEWAYS_MAX;
	if (same_cluster(self, &l->self) && n == l->ngateways &&
		(n == 0 || memcmp(gateways, l->gateways, n * sizeof(*gateways)) == 0))
		return;
	l->self = *self;
	l->ngateways = n;
	memset(l->gateways, 0, sizeof(l->gateways));
	if (n)
		memcpy(l->gateways, gateways, n * sizeof(*gateways));
	l->serial = l->serial == UINT32_MAX ? 1 : l->serial + 1;
	for (size_t i = 0; i < LIM_LINKS; i++)
		for (size_t g = 0; g < LIM_LINK_GATEWAYS && l->links[i].used; g++)
			judge_again(l, &l->links[i], &l->links[i].peers[g], now);
}

/* --- time --- */

static bool any_session(const struct link *k)
{
	for (size_t i = 0; i < LIM_LINK_GATEWAYS; i++)
		if (k->peers[i].used && k->peers[i].session)
			return true;
	return false;
}

static void peer_tick(struct links *l, struct link *k, struct peer *p, ts_t now)
{
	if (p->session && ts_due(p->hello_at, now))
		greet(l, k, p, now);
	if (!p->session && p->neps && ts_due(p->dial_at, now)) {
		dial(l, k, &p->eps[p->next_ep++ % p->neps], &p->key);
		p->dial_at = ts_add(now, DIAL_PERIOD);
	}
}

void links_tick(struct links *l, ts_t now)
{
	for (size_t i = 0; i < LIM_LINKS; i++) {
		struct link *k = &l->links[i];

		if (!k->used)
			continue;
		for (size_t g = 0; g < LIM_LINK_GATEWAYS; g++)
			if (k->peers[g].used)
				peer_tick(l, k, &k->peers[g], now);
		if (!ts_due(k->dial_at, now))
			continue;
		/* The invitation's endpoints lead to the first gateway; it names the others. */
		if (any_session(k)) {
			k->dial_at = TS_NEVER;
			continue;
		}
		dial(l, k, &k->def.eps[k->next_ep++ % k->def.neps], NULL);
		k->dial_at = ts_add(now, DIAL_PERIOD);
	}
}

ts_t links_deadline(const struct links *l)
{
	ts_t when = TS_NEVER;

	for (size_t i = 0; i < LIM_LINKS; i++) {
		const struct link *k = &l->links[i];

		if (!k->used)
			continue;
		when = ts_min(when, k->dial_at);
		for (size_t g = 0; g < LIM_LINK_GATEWAYS; g++) {
			const struct peer *p = &k->peers[g];

			if (!p->used)
				continue;
			if (p->session)
				when = ts_min(when, p->hello_at);
			else if (p->neps)
				when = ts_min(when, p->dial_at);
		}
	}
	return when;
}

/* --- status --- */

bool links_each(const struct links *l, size_t *it, struct link_def *out)
{
	for (; *it < LIM_LINKS; (*it)++)
		if (l->links[*it].used) {
			*out = l->links[(*it)++].def;
			return true;
		}
	return false;
}

bool links_peer_each(const struct links *l, uint32_t number, size_t *it, struct link_peer_info *out)
{
	const struct link *k = find((struct links *)l, number);

	for (; k && *it < LIM_LINK_GATEWAYS; (*it)++) {
		const struct peer *p = &k->peers[*it];

		if (!p->used)
			continue;
		*out = (struct link_peer_info){.key = p->key,
			.session = p->session,
			.up = p->up,
			.since = p->since,
			.refused = p->refused,
			.refusal = p->refusal};
		(*it)++;
		return true;
	}
	return false;
}

void links_stats(const struct links *l, struct link_stats *out)
{
	*out = l->st;
}
