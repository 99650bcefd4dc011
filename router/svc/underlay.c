/* underlay.c - see underlay.h. In: what the kernel says of routes and interfaces. Out: segments_mtu(),
 * paths_mtu(). State: the widest interface alone; when that goes, the next one is looked for among those that
 * are in use then. */
#include <net/if.h>
#include <string.h>
#include "daemon_int.h"

#define MTU_LEAST 1280 /* below, a path carries nothing of ours (plpmtu.h) */
#define MTU_MOST                                                                                   \
	9216 /* the largest datagram that control takes (dp.h): nothing larger is ever proven */
#define MTU_NOBODYS 1500
#define OTHERS_MAX  256 /* devices that are no underlay */

/* The widest so far. */
struct look {
	struct daemon *d;
	unsigned mtu; /* 0: none */
	char ifname[16];
};

static void offer(struct look *l, unsigned mtu, const char *ifname)
{
	mtu = mtu < MTU_LEAST ? MTU_LEAST : mtu > MTU_MOST ? MTU_MOST : mtu;
	if (mtu <= l->mtu)
		return;
	l->mtu = mtu;
	memcpy(l->ifname, ifname, sizeof(l->ifname));
}

static void offer_by_name(struct look *l, const char *ifname)
{
	unsigned mtu;

	if (kern_interface_mtu(l->d->kern, ifname, &mtu) == 0)
		offer(l, mtu, ifname);
}

/* Of family IP_NONE: by the default route. */
static void offer_towards(struct look *l, const struct ip *to)
{
	char ifname[16];
	unsigned mtu;

	if (kern_underlay(l->d->kern, to, &mtu, ifname) == 0)
		offer(l, mtu, ifname);
}

static void offer_endpoint(struct look *l, const struct ep *to)
{
	char ifname[IF_NAMESIZE] = "";

	if (to->ip.family == IP_NONE)
		return;
	if (to->scope == 0)
		offer_towards(l, &to->ip);
	else if (if_indextoname(to->scope, ifname))
		offer_by_name(l, ifname);
}

/* What is known before any session. */
static void offer_expected(struct look *l)
{
	const struct conf *c = l->d->conf;
	const struct ip any = {.family = IP_NONE};
	struct node_key key;
	struct ep ep;
	size_t it = 0;

	offer_towards(l, &any);
	if (!ip_is_unspecified(&c->listen.ip))
		offer_endpoint(l, &c->listen);
	for (size_t i = 0; i < c->npeers; i++)
		if (ep_parse(c->peers[i].text, WIRE_DEFAULT_PORT, &ep) == 0)
			offer_endpoint(l, &ep);
	while (recall_next(l->d, &it, &key, &ep))
		offer_endpoint(l, &ep);
}

static void offer_sessions(struct look *l)
{
	struct peer *p;
	uint32_t it = 0;

	while (peers_next(l->d, &it, &p))
		if (p->up)
			offer_endpoint(l, &p->ep);
}

/* Our devices and those of pods, which carry addresses too. Returns the count. */
static size_t no_underlay(const struct daemon *d, const char *out[OTHERS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < d->nsegments && n < OTHERS_MAX; i++) {
		const struct segment *s = &d->segments[i];

		out[n++] = s->tun;
		for (size_t k = 0; k < s->nprefixes && n < OTHERS_MAX; k++)
			out[n++] = s->prefixes[k].device;
	}
	for (size_t i = 0; i < d->conf->nprefixes && n < OTHERS_MAX; i++) /* those of claims, too */
		out[n++] = d->conf->prefixes[i].device;
	return n;
}

static void offer_any(struct look *l)
{
	const char *others[OTHERS_MAX];
	const size_t n = no_underlay(l->d, others);
	char ifname[16];
	unsigned mtu;

	if (kern_widest(l->d->kern, others, n, &mtu, ifname) == 0)
		offer(l, mtu, ifname);
}

static void take(const struct look *l, bool known)
{
	struct underlay *u = &l->d->underlay;
	const bool changed = u->mtu != l->mtu;

	u->mtu = l->mtu;
	u->known = known;
	memcpy(u->ifname, l->ifname, sizeof(u->ifname));
	if (!changed)
		return;
	segments_mtu(l->d);
	paths_mtu(l->d);
}

void underlay_look(struct daemon *d)
{
	struct underlay *u = &d->underlay;
	struct look l = {.d = d};
	bool known;

	if (u->known)
		offer_by_name(&l, u->ifname);
	offer_expected(&l);
	offer_sessions(&l);
	known = l.mtu != 0;
	if (!known)
		offer_any(&l);
	if (l.mtu == 0 && u->mtu != 0)
		return;
	if (l.mtu == 0)
		l.mtu = MTU_NOBODYS;
	take(&l, known);
}

void underlay_used(struct daemon *d, const struct ep *to)
{
	struct look l = {.d = d};

	offer_endpoint(&l, to);
	if (l.mtu > d->underlay.mtu)
		take(&l, true);
}
