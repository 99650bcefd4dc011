/* ipam.c - attachments and the addresses they hold.
 *
 * Parts: attachments in a map by (container id, interface name); a map from address to holder, which
 * is what makes an address unique, wherever it lies; one pool per prefix (ipam_pool.h), an index that
 * finds a free address in constant time. An address that lies in several prefixes is marked in each.
 *
 * Data in: prefixes, attachments to make and to forget. Data out: addresses; the state as one blob
 * (ipam_state.c). An attachment is made whole or not at all: addresses are picked first, and entered
 * only when all of them and the memory are there.
 *
 * Bounds: LIM_PODS attachments, LIM_POD_PREFIXES prefixes, IPAM_ADDRS_MAX addresses each. Failure: each
 * call that fails leaves the state as it was. */
#include "ipam.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "ipam_int.h"

/* Container ids and addresses come from the node's own runtime: the hashes need no secret. */
static const uint8_t seed_a[16] = "weft pods 1", seed_b[16] = "weft pods 2";

/* 128 bits: two attachments never share them by accident. */
struct att_key {
	uint64_t h[2];
};

static struct att_key key_of(const char *id, const char *ifname)
{
	char text[IPAM_ID_MAX + IPAM_IFNAME_MAX + 2];
	size_t a = strnlen(id, IPAM_ID_MAX), b = strnlen(ifname, IPAM_IFNAME_MAX);

	memcpy(text, id, a);
	text[a] = '\0';
	memcpy(text + a + 1, ifname, b);
	return (struct att_key){
		{map_siphash(seed_a, text, a + 1 + b), map_siphash(seed_b, text, a + 1 + b)}};
}

static struct ipam_addr_key addr_key(uint32_t vni, const struct ip *ip)
{
	struct ipam_addr_key k = {.vni = vni, .family = ip->family};

	memcpy(k.b, ip->b, sizeof(k.b));
	return k;
}

struct ipam *ipam_new(const uint8_t boot_id[IPAM_BOOT_ID])
{
	struct ipam *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	memcpy(m->boot_id, boot_id, sizeof(m->boot_id));
	m->atts = map_new(sizeof(struct att_key), LIM_PODS, seed_a);
	m->holders =
		map_new(sizeof(struct ipam_addr_key), (size_t)LIM_PODS * IPAM_ADDRS_MAX, seed_b);
	if (!m->atts || !m->holders) {
		ipam_free(m);
		return NULL;
	}
	return m;
}

void ipam_free(struct ipam *m)
{
	const void *key;
	void *att;
	size_t it = 0;

	if (!m)
		return;
	while (m->atts && map_next(m->atts, &it, &key, &att))
		free(att);
	for (size_t i = 0; i < m->npools; i++)
		ipam_pool_free(m->pools[i]);
	map_free(m->atts);
	map_free(m->holders);
	free(m);
}

static void pool_mark_holders(struct ipam *m, struct ipam_pool *p)
{
	const void *key;
	void *value;
	size_t it = 0;
	uint32_t o;

	while (map_next(m->atts, &it, &key, &value)) {
		const struct ipam_att *att = value;

		for (size_t i = 0; att->vni == p->vni && i < att->naddrs; i++)
			if (ipam_pool_offset(p, &att->addrs[i], &o))
				ipam_pool_mark(p, o);
	}
}

static struct ipam_pool *pool_of(const struct ipam *m, const struct ipam_prefix *p)
{
	for (size_t i = 0; i < m->npools; i++)
		if (m->pools[i]->vni == p->vni && pfx_eq(&m->pools[i]->pfx, &p->pfx))
			return m->pools[i];
	return NULL;
}

static bool listed(struct ipam_pool *const *v, size_t n, const struct ipam_pool *p)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == p)
			return true;
	return false;
}

int ipam_prefixes_set(struct ipam *m, const struct ipam_prefix *p, size_t n)
{
	struct ipam_pool *next[LIM_POD_PREFIXES], *old;
	size_t count = 0;
	int err = 0;

	if (n > LIM_POD_PREFIXES)
		return ERR_FULL;
	for (size_t i = 0; !err && i < n; i++) {
		struct pfx clean;

		if ((p[i].pfx.ip.family != IP_V4 && p[i].pfx.ip.family != IP_V6) ||
			pfx_make(&p[i].pfx.ip, p[i].pfx.len, &clean) != 0 ||
			!pfx_eq(&clean, &p[i].pfx)) {
			err = ERR_RANGE;
			break;
		}
		old = pool_of(m, &p[i]);
		if (old && listed(next, count, old))
			continue; /* stated twice */
		next[count] = old ? old : ipam_pool_new(p[i].vni, &clean);
		if (!next[count++]) {
			count--;
			err = ERR_NOMEM;
		}
	}
	for (size_t i = 0; err && i < count; i++)
		if (!listed(m->pools, m->npools, next[i]))
			ipam_pool_free(next[i]);
	if (err)
		return err;
	for (size_t i = 0; i < count; i++)
		if (!listed(m->pools, m->npools, next[i]))
			pool_mark_holders(m, next[i]);
	for (size_t i = 0; i < m->npools; i++)
		if (!listed(next, count, m->pools[i]))
			ipam_pool_free(m->pools[i]);
	memcpy(m->pools, next, count * sizeof(next[0]));
	m->npools = count;
	return 0;
}

bool ipam_prefix_at(const struct ipam *m, size_t i, struct ipam_prefix *out)
{
	if (i >= m->npools)
		return false;
	*out = (struct ipam_prefix){m->pools[i]->vni, m->pools[i]->pfx};
	return true;
}

const struct ipam_att *ipam_find(const struct ipam *m, const char *id, const char *ifname)
{
	struct att_key k = key_of(id, ifname);

	return map_get(m->atts, &k);
}

const struct ipam_att *ipam_holder(const struct ipam *m, uint32_t vni, const struct ip *ip)
{
	struct ipam_addr_key k = addr_key(vni, ip);

	return map_get(m->holders, &k);
}

bool ipam_next(const struct ipam *m, size_t *it, const struct ipam_att **out)
{
	const void *key;
	void *value;

	if (!map_next(m->atts, it, &key, &value))
		return false;
	*out = value;
	return true;
}

static void pools_mark(struct ipam *m, uint32_t vni, const struct ip *ip)
{
	uint32_t o;

	for (size_t i = 0; i < m->npools; i++)
		if (m->pools[i]->vni == vni && ipam_pool_offset(m->pools[i], ip, &o))
			ipam_pool_mark(m->pools[i], o);
}

static void pools_rest(struct ipam *m, uint32_t vni, const struct ip *ip, ts_t now)
{
	uint32_t o;

	for (size_t i = 0; i < m->npools; i++)
		if (m->pools[i]->vni == vni && ipam_pool_offset(m->pools[i], ip, &o) &&
			!ipam_pool_reserved(m->pools[i], ip))
			ipam_pool_rest(m->pools[i], o, now);
}

static bool text_ok(const char *s, size_t cap)
{
	return memchr(s, '\0', cap) != NULL;
}

static bool att_ok(const struct ipam_att *a)
{
	bool ok = text_ok(a->id, sizeof(a->id)) && text_ok(a->ifname, sizeof(a->ifname)) &&
		  text_ok(a->network, sizeof(a->network)) &&
		  text_ok(a->pod_ns, sizeof(a->pod_ns)) && text_ok(a->pod, sizeof(a->pod)) &&
		  text_ok(a->pod_uid, sizeof(a->pod_uid)) && a->naddrs <= IPAM_ADDRS_MAX &&
		  a->id[0] && a->ifname[0];

	for (size_t i = 0; ok && i < a->naddrs; i++)
		ok = a->addrs[i].family == IP_V4 || a->addrs[i].family == IP_V6;
	return ok;
}

static void unhold(struct ipam *m, const struct ipam_att *a, size_t n)
{
	while (n-- > 0) {
		struct ipam_addr_key k = addr_key(a->vni, &a->addrs[n]);

		(void)map_del(m->holders, &k);
	}
}

int ipam_adopt(struct ipam *m, const struct ipam_att *att)
{
	struct att_key k = key_of(att->id, att->ifname);
	struct ipam_att *a;
	size_t n;
	int err;

	if (!att_ok(att))
		return ERR_RANGE;
	if (map_get(m->atts, &k))
		return ERR_EXISTS;
	if (map_count(m->atts) == LIM_PODS)
		return ERR_LIMIT;
	a = malloc(sizeof(*a));
	if (!a)
		return ERR_NOMEM;
	*a = *att;
	for (n = 0; n < a->naddrs; n++) {
		struct ipam_addr_key ak = addr_key(a->vni, &a->addrs[n]);

		err = map_put(m->holders, &ak, a);
		if (err)
			goto fail;
	}
	err = map_put(m->atts, &k, a);
	if (err)
		goto fail;
	for (size_t i = 0; i < a->naddrs; i++)
		pools_mark(m, a->vni, &a->addrs[i]);
	return 0;
fail:
	unhold(m, a, n);
	free(a);
	return err == ERR_EXISTS ? ERR_CONFLICT : err;
}

/* May the address that was asked for by name be given? */
static int asked_ok(const struct ipam *m, const struct ipam_att *want, size_t i)
{
	const struct ip *ip = &want->addrs[i];
	bool inside = false;

	for (size_t n = 0; n < m->npools; n++) {
		const struct ipam_pool *p = m->pools[n];

		if (p->vni != want->vni || !pfx_has_ip(&p->pfx, ip))
			continue;
		inside = true;
		if (ipam_pool_reserved(p, ip))
			return ERR_REFUSED;
	}
	if (!inside)
		return ERR_RANGE;
	for (size_t n = 0; n < i; n++)
		if (ip_eq(&want->addrs[n], ip))
			return ERR_CONFLICT;
	return ipam_holder(m, want->vni, ip) ? ERR_CONFLICT : 0;
}

/* One address of @family. ERR_NOT_FOUND: no prefix of it; ERR_FULL. */
static int pick(struct ipam *m, uint32_t vni, uint8_t family, ts_t now, struct ip *out)
{
	bool any = false;
	uint32_t o;

	for (int pressed = 0; pressed < 2; pressed++)
		for (size_t i = 0; i < m->npools; i++) {
			struct ipam_pool *p = m->pools[i];

			if (p->vni != vni || p->pfx.ip.family != family)
				continue;
			any = true;
			/* An overlapping prefix may know more of its address: it is reserved there. */
			for (uint32_t tries = 0; tries < p->size; tries++) {
				if (!ipam_pool_pick(p, now, pressed, &o))
					break;
				if (pfx_nth(&p->pfx, o, out) != 0)
					break;
				if (asked_ok(m, &(struct ipam_att){.vni = vni, .addrs = {*out}},
					    0) == 0)
					return 0;
				ipam_pool_mark(p, o);
			}
		}
	return any ? ERR_FULL : ERR_NOT_FOUND;
}

int ipam_attach(struct ipam *m, const struct ipam_att *want, unsigned families, ts_t now,
	const struct ipam_att **out, struct ip *bad)
{
	static const uint8_t family_of[2] = {IP_V4, IP_V6};
	struct ipam_att att = *want;
	struct ip spare;
	int err;

	*out = NULL;
	if (!bad)
		bad = &spare;
	*bad = (struct ip){.family = IP_NONE};
	if (!att_ok(want))
		return ERR_RANGE;
	if (ipam_find(m, want->id, want->ifname))
		return ERR_EXISTS;
	if (map_count(m->atts) == LIM_PODS)
		return ERR_LIMIT;
	for (size_t i = 0; i < want->naddrs; i++) {
		err = asked_ok(m, want, i);
		*bad = want->addrs[i];
		if (err)
			return err;
	}
	for (unsigned f = 0; f < 2; f++) {
		bool asked = false;

		for (size_t i = 0; i < want->naddrs; i++)
			asked |= want->addrs[i].family == family_of[f];
		if (asked || !(families & 1u << f))
			continue;
		*bad = (struct ip){.family = family_of[f]};
		if (att.naddrs == IPAM_ADDRS_MAX)
			return ERR_RANGE;
		err = pick(m, want->vni, family_of[f], now, &att.addrs[att.naddrs]);
		if (err == 0)
			att.naddrs++;
		else if (err != ERR_NOT_FOUND)
			return err;
	}
	if (att.naddrs == 0)
		return ERR_NOT_FOUND;
	att.since = now;
	err = ipam_adopt(m, &att);
	if (err == 0)
		*out = ipam_find(m, want->id, want->ifname);
	return err;
}

int ipam_detach(struct ipam *m, const char *id, const char *ifname, ts_t now)
{
	struct att_key k = key_of(id, ifname);
	struct ipam_att *a = map_del(m->atts, &k);

	if (!a)
		return ERR_NOT_FOUND;
	unhold(m, a, a->naddrs);
	for (size_t i = 0; i < a->naddrs; i++)
		pools_rest(m, a->vni, &a->addrs[i], now);
	free(a);
	return 0;
}

void ipam_stats(
	const struct ipam *m, uint32_t vni, enum ip_family family, ts_t now, struct ipam_stats *out)
{
	bool any = false, can = false;

	*out = (struct ipam_stats){.attachments = map_count(m->atts)};
	for (size_t i = 0; i < m->npools; i++) {
		const struct ipam_pool *p = m->pools[i];

		if (p->vni != vni || p->pfx.ip.family != family)
			continue;
		any = true;
		can |= ipam_pool_can(p, now);
		out->size += p->size - p->reserved;
		out->held += p->rest_count;
		out->used += p->taken - p->reserved - p->rest_count;
		out->free += p->size - p->taken;
	}
	out->exhausted = any && !can;
}
