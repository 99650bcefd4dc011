/* mrt.c - MRT records; see mrt.h. */
#include "mrt.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_attr.h"
#include "bgp_watch.h"
#include "bgp_wire.h"

#define NAME_MAX_BYTES 255
#define AFI_IP         1
#define AFI_IP6        2
/* Where a record's length goes is filled in at its end. */
#define LENGTH_AT      8

/* --- records --- */

static uint8_t *begin(struct wr *w, uint32_t secs, unsigned type, unsigned subtype)
{
	uint8_t *at = w->p;

	wr_u32(w, secs);
	wr_u16(w, (uint16_t)type);
	wr_u16(w, (uint16_t)subtype);
	wr_u32(w, 0);
	return at;
}

static void put_u32(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 24), at[1] = (uint8_t)(v >> 16);
	at[2] = (uint8_t)(v >> 8), at[3] = (uint8_t)v;
}

/* End what began at @at; take it back if it did not fit. */
static void end(struct wr *w, uint8_t *at)
{
	if (wr_bad(w))
		w->p = at;
	else
		put_u32(at + LENGTH_AT, (uint32_t)(w->p - at) - MRT_HDR_LEN);
}

static void put_ip(struct wr *w, const struct ip *ip)
{
	wr_copy(w, ip->b, ip->family == IP_V6 ? 16 : 4);
}

/* --- the table --- */

/* The peers as the index names them: their order is the number's. */
struct entry {
	uint32_t peer, since; /* since: seconds of the clock on the wall */
};

struct key {
	struct pfx pfx;
	uint8_t family;
};

struct mrt_dump {
	struct mrt_self self;
	uint32_t vni, secs;
	char name[NAME_MAX_BYTES + 1];
	bool indexed; /* the peer index is written */
	struct entry *peers;
	size_t npeers;
	struct key *keys; /* of the prefixes */
	size_t nkeys, cap, next;
	uint32_t sequence;
	bool nomem;
	uint64_t paths, left_out;
};

static bool note_key(void *ctx, const struct bgp_nlri *n)
{
	struct mrt_dump *d = ctx;

	if (n->family > BGP_IPV6)
		return true;
	if (d->nkeys == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 1024;
		struct key *p = realloc(d->keys, cap * sizeof(*p));

		if (!p) {
			d->nomem = true;
			return false;
		}
		d->keys = p;
		d->cap = cap;
	}
	d->keys[d->nkeys++] = (struct key){.family = n->family, .pfx = n->pfx};
	return true;
}

static bool note_peers(struct mrt_dump *d, const struct bgp *b, ts_t now)
{
	struct bgp_peer_info i;
	size_t it = 0, n = 1;

	while (bgp_peer_next(b, &it, &i))
		n++;
	d->peers = calloc(n, sizeof(*d->peers));
	if (!d->peers)
		return false;
	d->peers[d->npeers++] = (struct entry){.peer = BGP_LOCAL, .since = d->secs};
	for (it = 0; bgp_peer_next(b, &it, &i) && d->npeers < n;) {
		uint64_t age = ts_before(i.since, now)
				       ? (uint64_t)ts_sub(now, i.since).ns / 1000000000u
				       : 0;

		if (i.vni != d->vni)
			continue;
		d->peers[d->npeers++] = (struct entry){
			.peer = i.peer, .since = age < d->secs ? d->secs - (uint32_t)age : 0};
	}
	return true;
}

struct mrt_dump *mrt_dump_new(const struct bgp *b, const struct mrt_self *self, uint32_t vni,
	const char *name, uint32_t unix_secs, ts_t now)
{
	struct mrt_dump *d = calloc(1, sizeof(*d));
	size_t len = strlen(name);

	if (!d)
		return NULL;
	d->self = *self;
	d->vni = vni;
	d->secs = unix_secs;
	memcpy(d->name, name, len < NAME_MAX_BYTES ? len : NAME_MAX_BYTES);
	if (note_peers(d, b, now)) {
		bgp_each_net(b, vni, note_key, d);
		if (!d->nomem)
			return d;
	}
	mrt_dump_free(d);
	return NULL;
}

void mrt_dump_free(struct mrt_dump *d)
{
	if (!d)
		return;
	free(d->peers);
	free(d->keys);
	free(d);
}

/* RFC 6396 4.3.1. Bit 0 of the type: an IPv6 address; bit 1: a 4-octet AS number, always. */
static void put_index(struct mrt_dump *d, const struct bgp *b, struct wr *w)
{
	uint8_t *at = begin(w, d->secs, MRT_TABLE_DUMP_V2, MRT_PEER_INDEX_TABLE);
	struct bgp_peer_info i;

	wr_u32(w, d->self.router_id);
	wr_u16(w, (uint16_t)strlen(d->name));
	wr_copy(w, d->name, strlen(d->name));
	wr_u16(w, (uint16_t)d->npeers);
	for (size_t k = 0; k < d->npeers; k++) {
		bool known =
			d->peers[k].peer != BGP_LOCAL && bgp_peer_get(b, d->peers[k].peer, &i) == 0;
		bool v6 = known && i.remote.ip.family == IP_V6;
		static const struct ip none = {.family = IP_V4};

		wr_u8(w, v6 ? 3 : 2);
		wr_u32(w, known ? i.remote_id : d->self.router_id);
		put_ip(w, known ? &i.remote.ip : &none);
		wr_u32(w, known ? i.remote_as : d->self.local_as);
	}
	end(w, at);
	d->indexed = true;
}

/* One prefix: its paths are written behind each other while they fit. */
struct record {
	struct mrt_dump *d;
	struct wr *w;
	unsigned count;
	bool add_path;
};

static bool has_ids(void *ctx, const struct bgp_entry *e)
{
	bool *any = ctx;

	*any |= e->accepted && e->nlri->path_id != 0;
	return true;
}

/* RFC 6396 4.3.4: of MP_REACH_NLRI the next hop alone, with its length; IPv4 ones have NEXT_HOP, but
 * for those of RFC 8950. */
static void put_next_hop(struct wr *w, unsigned family, const struct bgp_attrs *a)
{
	bool ll = a->next_hop.family == IP_V6 && a->next_hop_ll.family == IP_V6;
	size_t n = a->next_hop.family == IP_V6 ? (ll ? 32 : 16) : 4;

	if (a->next_hop.family == IP_NONE)
		return; /* ours: it is self at each export */
	if (family == BGP_IPV4 && a->next_hop.family == IP_V4) {
		bgp_attr_header(w, AF_TRANSITIVE, AT_NEXT_HOP, n);
	} else {
		bgp_attr_header(w, AF_OPTIONAL, AT_MP_REACH, n + 1);
		wr_u8(w, (uint8_t)n);
	}
	put_ip(w, &a->next_hop);
	if (ll)
		put_ip(w, &a->next_hop_ll);
}

static bool put_path(void *ctx, const struct bgp_entry *e)
{
	struct record *r = ctx;
	uint8_t *at;
	size_t k = 0;

	while (k < r->d->npeers && r->d->peers[k].peer != e->peer)
		k++;
	if (!e->accepted || k == r->d->npeers) /* it came after the index was made */
		return true;
	wr_u16(r->w, (uint16_t)k);
	wr_u32(r->w, r->d->peers[k].since);
	if (r->add_path)
		wr_u32(r->w, e->nlri->path_id);
	at = wr_skip(r->w, 2);
	bgp_attrs_encode(r->w, e->attrs);
	put_next_hop(r->w, e->nlri->family, e->attrs);
	if (wr_bad(r->w))
		return false;
	assert(at && (size_t)(r->w->p - at) - 2 <= UINT16_MAX);
	at[0] = (uint8_t)((r->w->p - at - 2) >> 8);
	at[1] = (uint8_t)(r->w->p - at - 2);
	r->count++;
	return true;
}

/* RFC 6396 4.3.2, 8050 4.1. */
static void put_prefix(struct mrt_dump *d, const struct bgp *b, struct wr *w, size_t which)
{
	struct bgp_nlri n = {.family = d->keys[which].family, .pfx = d->keys[which].pfx};
	struct record r = {.d = d, .w = w};
	uint8_t *at = w->p, *count;
	unsigned subtype = n.family == BGP_IPV6 ? MRT_RIB_IPV6_UNICAST : MRT_RIB_IPV4_UNICAST;

	if (bgp_lookup(b, d->vni, &n, has_ids, &r.add_path) != 0)
		return;
	if (r.add_path)
		subtype = n.family == BGP_IPV6 ? MRT_RIB_IPV6_UNICAST_ADDPATH
					       : MRT_RIB_IPV4_UNICAST_ADDPATH;
	(void)begin(w, d->secs, MRT_TABLE_DUMP_V2, subtype);
	wr_u32(w, d->sequence);
	wr_u8(w, n.pfx.len);
	wr_copy(w, n.pfx.ip.b, (n.pfx.len + 7u) / 8);
	count = wr_skip(w, 2);
	(void)bgp_lookup(b, d->vni, &n, put_path, &r);
	end(w, at);
	if (wr_bad(w))
		return;
	if (r.count == 0) {
		w->p = at;
		return;
	}
	count[0] = (uint8_t)(r.count >> 8);
	count[1] = (uint8_t)r.count;
	d->sequence++;
	d->paths += r.count;
}

bool mrt_dump_next(struct mrt_dump *d, const struct bgp *b, struct wr *w)
{
	if (!d->indexed)
		put_index(d, b, w);
	while (d->next < d->nkeys) {
		bool empty = wr_len(w) == 0;

		put_prefix(d, b, w, d->next);
		if (wr_bad(w)) {
			w->bad = false;
			if (!empty)
				return true; /* the next part begins with it */
			d->left_out++;
		}
		d->next++;
	}
	return false;
}

void mrt_dump_info(const struct mrt_dump *d, struct mrt_dump_info *out)
{
	*out = (struct mrt_dump_info){
		.prefixes = d->nkeys, .done = d->next, .paths = d->paths, .left_out = d->left_out};
}

/* --- messages --- */

/* RFC 6396 4.4 and 3: the head that both kinds have, with microseconds. */
static uint8_t *begin_bgp4mp(struct wr *w, unsigned subtype, const struct bgp_peer_info *peer,
	const struct ip *local, uint32_t local_as, bool as4, uint64_t unix_us)
{
	uint8_t *at = begin(w, (uint32_t)(unix_us / 1000000), MRT_BGP4MP_ET, subtype);
	struct ip ours = *local;

	if (ours.family != peer->remote.ip.family) { /* no connection, none known */
		memset(&ours, 0, sizeof(ours));
		ours.family = peer->remote.ip.family;
	}
	wr_u32(w, (uint32_t)(unix_us % 1000000));
	if (as4) {
		wr_u32(w, peer->remote_as);
		wr_u32(w, local_as);
	} else {
		wr_u16(w,
			(uint16_t)(peer->remote_as > UINT16_MAX ? BGP_AS_TRANS : peer->remote_as));
		wr_u16(w, (uint16_t)(local_as > UINT16_MAX ? BGP_AS_TRANS : local_as));
	}
	wr_u16(w, 0); /* the interface */
	wr_u16(w, ours.family == IP_V6 ? AFI_IP6 : AFI_IP);
	put_ip(w, &peer->remote.ip);
	put_ip(w, &ours);
	return at;
}

void mrt_message(struct wr *w, const struct bgp_peer_info *peer, const struct ip *local,
	uint32_t local_as, bool sent, const uint8_t *msg, size_t len, uint64_t unix_us)
{
	static const uint8_t subtypes[2][2][2] = {/* as4, sent, several paths */
		{{MRT_MESSAGE, MRT_MESSAGE_ADDPATH},
			{MRT_MESSAGE_LOCAL, MRT_MESSAGE_LOCAL_ADDPATH}},
		{{MRT_MESSAGE_AS4, MRT_MESSAGE_AS4_ADDPATH},
			{MRT_MESSAGE_AS4_LOCAL, MRT_MESSAGE_AS4_LOCAL_ADDPATH}}};
	/* How the numbers of a path are written is known once the session stands; before that there is
	 * none. */
	bool as4 = peer->state != BGP_ESTABLISHED || peer->as4;
	bool several = (sent ? peer->paths_out : peer->paths_in) != 0;
	uint8_t *at =
		begin_bgp4mp(w, subtypes[as4][sent][several], peer, local, local_as, as4, unix_us);

	wr_copy(w, msg, len);
	end(w, at);
}

void mrt_state(struct wr *w, const struct bgp_peer_info *peer, const struct ip *local,
	uint32_t local_as, enum bgp_state from, enum bgp_state to, uint64_t unix_us)
{
	uint8_t *at = begin_bgp4mp(w, MRT_STATE_CHANGE_AS4, peer, local, local_as, true, unix_us);

	wr_u16(w, (uint16_t)(from + 1)); /* RFC 6396 4.4.1 counts them from 1, in this order */
	wr_u16(w, (uint16_t)(to + 1));
	end(w, at);
}
