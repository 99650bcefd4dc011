/* ipam_state.c - the state as bytes, network order:
 *
 *	format 8, boot id 16 bytes
 *	prefixes 16, each: VNI 24, family 8, length 8, address 4 or 16 bytes, cursor 32,
 *		resting 32, each: offset 32, since 64 (ns)
 *	attachments 32, each: six texts (length 8, bytes), VNI 24, MAC 6 bytes, since 64,
 *		addresses 8, each: family 8, 4 or 16 bytes
 *
 * The pools' bitmaps follow from that and are not stored. The decoder builds the state with the same
 * calls that made it, so what they refuse is refused: nothing is twice, nothing outside its bounds. */
#include "ipam.h"

#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "ipam_int.h"

#define FORMAT     1
#define ADDR_BYTES 17
#define POOL_BYTES (3 + 1 + ADDR_BYTES + 4 + 4)
#define REST_BYTES (4 + 8)
#define ATT_BYTES                                                                                  \
	(6 + IPAM_ID_MAX + IPAM_IFNAME_MAX + IPAM_NETWORK_MAX + IPAM_POD_NS_MAX + IPAM_POD_MAX +   \
		IPAM_UID_MAX + 3 + 6 + 8 + 1 + IPAM_ADDRS_MAX * ADDR_BYTES)

static size_t ip_bytes(uint8_t family)
{
	return family == IP_V4 ? 4 : 16;
}

static void put_ip(struct wr *w, const struct ip *ip)
{
	wr_u8(w, ip->family);
	wr_copy(w, ip->b, ip_bytes(ip->family));
}

static bool get_ip(struct rd *r, struct ip *out)
{
	memset(out, 0, sizeof(*out));
	out->family = rd_u8(r);
	if (out->family != IP_V4 && out->family != IP_V6)
		return false;
	rd_copy(r, out->b, ip_bytes(out->family));
	return !rd_bad(r);
}

static void put_text(struct wr *w, const char *s)
{
	size_t n = strlen(s);

	wr_u8(w, (uint8_t)n);
	wr_copy(w, s, n);
}

static bool get_text(struct rd *r, char *out, size_t max)
{
	size_t n = rd_u8(r);

	if (n > max)
		return false;
	rd_copy(r, out, n);
	out[n] = '\0';
	return !rd_bad(r) && strlen(out) == n;
}

static void put_pool(struct wr *w, const struct ipam_pool *p)
{
	wr_u24(w, p->vni);
	put_ip(w, &p->pfx.ip);
	wr_u8(w, p->pfx.len);
	wr_u32(w, p->cursor);
	wr_u32(w, (uint32_t)p->rest_count);
	for (size_t i = 0; i < p->rest_count; i++) {
		const struct ipam_rest *e = &p->rest[(p->rest_head + i) % p->rest_cap];

		wr_u32(w, e->offset);
		wr_u64(w, e->since.ns);
	}
}

static void put_att(struct wr *w, const struct ipam_att *a)
{
	put_text(w, a->id);
	put_text(w, a->ifname);
	put_text(w, a->network);
	put_text(w, a->pod_ns);
	put_text(w, a->pod);
	put_text(w, a->pod_uid);
	wr_u24(w, a->vni);
	wr_copy(w, a->mac, sizeof(a->mac));
	wr_u64(w, a->since.ns);
	wr_u8(w, (uint8_t)a->naddrs);
	for (size_t i = 0; i < a->naddrs; i++)
		put_ip(w, &a->addrs[i]);
}

int ipam_encode(const struct ipam *m, uint8_t **buf, size_t *len)
{
	size_t cap = 1 + IPAM_BOOT_ID + 2 + 4 + map_count(m->atts) * ATT_BYTES, it = 0;
	const struct ipam_att *a;
	struct wr w;

	for (size_t i = 0; i < m->npools; i++)
		cap += POOL_BYTES + m->pools[i]->rest_count * REST_BYTES;
	*buf = malloc(cap);
	if (!*buf)
		return ERR_NOMEM;
	wr_init(&w, *buf, cap);
	wr_u8(&w, FORMAT);
	wr_copy(&w, m->boot_id, IPAM_BOOT_ID);
	wr_u16(&w, (uint16_t)m->npools);
	for (size_t i = 0; i < m->npools; i++)
		put_pool(&w, m->pools[i]);
	wr_u32(&w, (uint32_t)map_count(m->atts));
	while (ipam_next(m, &it, &a))
		put_att(&w, a);
	*len = wr_len(&w);
	return 0;
}

/* What rests is read over twice: its prefixes must all be there before one can be marked. */
struct pool_tail {
	uint32_t cursor, nrest;
	struct rd rest;
};

static int get_pools(struct rd *r, struct ipam *m, struct pool_tail *tails)
{
	struct ipam_prefix v[LIM_POD_PREFIXES];
	size_t n = rd_u16(r);
	int err;

	if (n > LIM_POD_PREFIXES)
		return ERR_MALFORMED;
	for (size_t i = 0; i < n; i++) {
		v[i].vni = rd_u24(r);
		if (!get_ip(r, &v[i].pfx.ip))
			return rd_bad(r) ? ERR_TRUNCATED : ERR_MALFORMED;
		v[i].pfx.len = rd_u8(r);
		tails[i].cursor = rd_u32(r);
		tails[i].nrest = rd_u32(r);
		if (tails[i].nrest > IPAM_POOL_MAX)
			return ERR_MALFORMED;
		tails[i].rest = rd_sub(r, (size_t)tails[i].nrest * REST_BYTES);
	}
	if (rd_bad(r))
		return ERR_TRUNCATED;
	err = ipam_prefixes_set(m, v, n);
	if (err == ERR_RANGE || (!err && m->npools != n))
		return ERR_MALFORMED;
	return err;
}

static int get_rest(struct ipam_pool *p, struct pool_tail *t)
{
	uint64_t last = 0;

	if (t->cursor >= p->size)
		return ERR_MALFORMED;
	p->cursor = t->cursor;
	for (uint32_t i = 0; i < t->nrest; i++) {
		uint32_t o = rd_u32(&t->rest);
		ts_t since = {rd_u64(&t->rest)};

		/* In order of time; neither reserved, nor held, nor there twice: those are marked. */
		if (o >= p->size || since.ns < last || since.ns > INT64_MAX ||
			(p->used[o / 64] >> o % 64 & 1))
			return ERR_MALFORMED;
		last = since.ns;
		ipam_pool_mark(p, o);
		ipam_pool_rest(p, o, since);
	}
	return 0;
}

static int get_att(struct rd *r, struct ipam *m)
{
	struct ipam_att a = {0};

	if (!get_text(r, a.id, IPAM_ID_MAX) || !get_text(r, a.ifname, IPAM_IFNAME_MAX) ||
		!get_text(r, a.network, IPAM_NETWORK_MAX) ||
		!get_text(r, a.pod_ns, IPAM_POD_NS_MAX) || !get_text(r, a.pod, IPAM_POD_MAX) ||
		!get_text(r, a.pod_uid, IPAM_UID_MAX))
		return rd_bad(r) ? ERR_TRUNCATED : ERR_MALFORMED;
	a.vni = rd_u24(r);
	rd_copy(r, a.mac, sizeof(a.mac));
	a.since.ns = rd_u64(r);
	a.naddrs = rd_u8(r);
	if (rd_bad(r))
		return ERR_TRUNCATED;
	if (a.naddrs > IPAM_ADDRS_MAX || a.since.ns > INT64_MAX)
		return ERR_MALFORMED;
	for (size_t i = 0; i < a.naddrs; i++)
		if (!get_ip(r, &a.addrs[i]))
			return rd_bad(r) ? ERR_TRUNCATED : ERR_MALFORMED;
	switch (ipam_adopt(m, &a)) {
	case 0:
		return 0;
	case ERR_EXISTS:
	case ERR_CONFLICT:
		return ERR_CONFLICT;
	case ERR_NOMEM:
		return ERR_NOMEM;
	default:
		return ERR_MALFORMED;
	}
}

static int decode(struct rd *r, struct ipam *m)
{
	struct pool_tail *tails = calloc(LIM_POD_PREFIXES, sizeof(*tails));
	uint32_t n;
	int err;

	if (!tails)
		return ERR_NOMEM;
	err = get_pools(r, m, tails);
	if (err)
		goto out;
	n = rd_u32(r);
	if (rd_bad(r))
		err = ERR_TRUNCATED;
	for (uint32_t i = 0; !err && i < n; i++)
		err = get_att(r, m);
	for (size_t i = 0; !err && i < m->npools; i++)
		err = get_rest(m->pools[i], &tails[i]);
	if (!err && !rd_done(r))
		err = ERR_MALFORMED;
out:
	free(tails);
	return err;
}

int ipam_decode(
	const uint8_t *buf, size_t len, const uint8_t boot_id[IPAM_BOOT_ID], struct ipam **out)
{
	uint8_t theirs[IPAM_BOOT_ID], format;
	struct ipam *m;
	struct rd r;
	int err;

	*out = NULL;
	rd_init(&r, buf, len);
	format = rd_u8(&r);
	rd_copy(&r, theirs, sizeof(theirs));
	if (rd_bad(&r))
		return ERR_TRUNCATED;
	if (format != FORMAT)
		return ERR_VERSION;
	if (memcmp(theirs, boot_id, IPAM_BOOT_ID) != 0)
		return ERR_STALE;
	m = ipam_new(boot_id);
	if (!m)
		return ERR_NOMEM;
	err = decode(&r, m);
	if (err)
		ipam_free(m);
	else
		*out = m;
	return err;
}
