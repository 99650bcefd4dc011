/* bgp_intern.h - attribute sets, each stored once. */
#ifndef WEFT_BGP_INTERN_H
#define WEFT_BGP_INTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bgp_attr.h"

#define SET_NO_EXPORT    0x01u /* or NO_EXPORT_SUBCONFED, which is the same without confederations */
#define SET_NO_ADVERTISE 0x02u
#define SET_GSHUT        0x04u
#define SET_ORIGINATOR   0x08u
#define SET_DEAD         0x10u /* in attr_table.dead */

#define ATTR_DEAD 16

/* A set of attributes with its next hop. Equal sets are one object: compare pointers. What the
 * decision process asks for stands in fields. */
struct attr_set {
	struct attr_set *hnext;
	uint32_t last_out; /* where a route that gets this set is best put (ribout.c); 0: nowhere */
	uint32_t hash, refs;
	uint32_t med, local_pref; /* 0 and 100 when absent */
	uint16_t path_len, wire_len;
	uint8_t origin, clusters, flags, nh_len; /* nh_len: 0, 4, 16 or 32 */
	uint8_t data[]; /* next hop, link-local next hop, bgp_attrs_encode() */
};

struct attr_table {
	struct attr_set **buckets;
	size_t cap, split, room; /* as in struct rib */
	size_t count;            /* sets that somebody holds */
	size_t bytes;            /* of these */
	/* Sets that nobody held when they came here: they leave the table some at a time, so that the
	 * waits for their buckets overlap. One that is found meanwhile is used again. */
	struct attr_set *dead[ATTR_DEAD];
	unsigned ndead;
	uint8_t seed[16];
};

int attr_table_init(struct attr_table *t, const uint8_t seed[16]); /* ERR_NOMEM */
void attr_table_fini(struct attr_table *t);
/* The set for @a, made if need be; the caller holds a reference. ERR_NOMEM; ERR_FULL: too long. */
int attr_intern(struct attr_table *t, const struct bgp_attrs *a, struct attr_set **out);
static inline struct attr_set *attr_hold(struct attr_set *s)
{
	s->refs++;
	return s;
}
void attr_put(struct attr_table *t, struct attr_set *s); /* NULL is fine */
uint32_t attr_first_as(const struct attr_set *s);        /* as bgp_attrs_first_as() */
uint32_t attr_originator(const struct attr_set *s);      /* of one with SET_ORIGINATOR */
/* Spans borrow from the set. */
void attr_view(const struct attr_set *s, struct bgp_attrs *a);
void attr_next_hop(const struct attr_set *s, struct ip *nh);
static inline const uint8_t *attr_wire(const struct attr_set *s)
{
	return s->data + s->nh_len;
}

#endif
