/* bgp_attr.h - path attributes: from the wire with RFC 7606's judgement, and back. */
#ifndef WEFT_BGP_ATTR_H
#define WEFT_BGP_ATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/buf.h"
#include "bgp.h"
#include "bgp_msg.h"

/* What becomes of an UPDATE, from best to worst (RFC 7606 2). */
enum bgp_fix { FIX_NONE, FIX_DISCARD, FIX_WITHDRAW, FIX_RESET };

/* NLRI of one family inside a message, borrowed from it. */
struct bgp_mp {
	bool present;
	bool add_path; /* each NLRI has a path identifier in front (RFC 7911 3) */
	int family;    /* -1: one we don't know */
	const uint8_t *nlri;
	size_t len;
};

/* What the decoder must know of the peer. */
struct bgp_from {
	bool ebgp, as4;
	uint32_t families; /* negotiated */
	uint32_t add_path; /* of which we receive several paths */
	bool v4_over_v6;   /* RFC 8950 */
};

/* The attributes of one UPDATE. Spans point into the message or into room. */
struct bgp_attr_in {
	struct bgp_attrs a;
	struct bgp_mp reach, unreach;
	struct ip reach_next_hop, reach_next_hop_ll;
	enum bgp_fix fix;     /* the worst so far */
	struct bgp_error err; /* of the worst */
	const char *word; /* of the attribute that is being read: bgp_error.word if it is a fault */
	unsigned discarded; /* attributes */
	unsigned attrs;     /* attributes read, other than MP_UNREACH */
	uint8_t seen[32];   /* bit per type */
	struct bgp_span as4_path;
	bool has_as4_aggregator;
	uint32_t as4_aggregator_as, as4_aggregator_id;
	size_t room_used;
	uint8_t room[6 * BGP_MSG_EXT_MAX]; /* a path of 2-octet numbers doubles and is merged once;
					  the rest is for unknown attributes */
};

/* Read the attribute bytes of an UPDATE into @in (all of it is set but room). in->fix and in->err
 * tell the outcome; nothing is returned since there is always one. */
void bgp_attrs_decode(
	const uint8_t *buf, size_t len, const struct bgp_from *from, struct bgp_attr_in *in);
/* Note that something calls for @fix; keeps the worst. */
void bgp_attr_fault(
	struct bgp_attr_in *in, enum bgp_fix fix, unsigned subcode, const void *data, size_t n);

/* Write all attributes of @a in type order, but next hops. One with an undefined form (no origin,
 * no path) is left out. */
void bgp_attrs_encode(struct wr *w, const struct bgp_attrs *a);
/* The reverse, for bytes that bgp_attrs_encode made. Next hops are set to none. */
void bgp_attrs_view(const uint8_t *wire, size_t len, struct bgp_attrs *a);
/* The bit of bgp_attrs.has for the Partial bit of the attribute @type; 0: it is not kept. */
uint32_t bgp_attr_partial(unsigned type);
/* Write the header of an attribute, extended where @len needs it. */
void bgp_attr_header(struct wr *w, unsigned flags, unsigned type, size_t len);

/* Do the segments of a path of numbers of @width bytes (2, 4) make sense (RFC 7606 7.2, 7607)? */
bool bgp_path_ok(const uint8_t *p, size_t len, unsigned width);
/* Is the first segment that does not a confederation's (RFC 5065 3)? */
bool bgp_path_has_confed(const uint8_t *p, size_t len, unsigned width);
/* Is there an AS_SET in such a path (RFC 9774 3)? */
bool bgp_path_has_set(const uint8_t *p, size_t len, unsigned width);
/* Path of 4-octet numbers to one of 2-octet numbers; false in *@exact when one became AS_TRANS
 * (RFC 6793 4.2.2). Returns the bytes written to @out, which has room for @len. */
size_t bgp_path_narrow(const uint8_t *p, size_t len, uint8_t *out, bool *exact);

/* How a policy and the export rules change attributes: lists are copied into room when they change. */
struct bgp_edit {
	struct bgp_attrs a;
	bool changed, next_hop_set, med_set, overflow;
	size_t room_used;
	uint8_t room[4 * BGP_MSG_MAX];
};
void bgp_edit_init(struct bgp_edit *e, const struct bgp_attrs *a);
/* RFC 4456 8: put @cluster in front of the cluster list. */
/* RFC 9234 5. */
void bgp_edit_otc(struct bgp_edit *e, uint32_t as);
/* Change numbers of the path: those for private use (RFC 6996 5) go if @no_private, but for @peer;
 * @peer becomes @instead where that is not 0. ERR_FULL as of other edits. */
int bgp_edit_path(struct bgp_edit *e, bool no_private, uint32_t peer, uint32_t instead);
int bgp_edit_reflect(struct bgp_edit *e, uint32_t originator, uint32_t cluster);

#endif
