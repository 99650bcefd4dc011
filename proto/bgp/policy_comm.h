/* policy_comm.h - communities as people write them: values, and patterns of values.
 *
 *	64512:1                 standard (RFC 1997), two numbers of 16 bits
 *	64512:1:2               large (RFC 8092), three numbers of 32 bits
 *	rt:64512:1  ro:...      extended (RFC 4360, 5668): route target, route origin; the first number
 *	                        of 16 or 32 bits, or an IPv4 address
 *	ext:0x0002fc0000000001  extended, its 8 bytes as they are
 *	no-export  no-advertise  no-export-subconfed  graceful-shutdown  blackhole  (RFC 1997, 8326, 7999)
 *
 * In a pattern a number may be "*" or a range "A-B". A pattern of rt or ro with a number in front
 * takes both encodings of that number; as a value it is the shorter one that fits. */
#ifndef WEFT_POLICY_COMM_H
#define WEFT_POLICY_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include "bgp.h"

#define POLICY_COMM_TEXT 48 /* bytes for the longest text of a value */

struct policy_comm {
	uint8_t list;          /* enum bgp_list */
	uint8_t form;          /* of extended ones: private to policy_comm.c */
	uint8_t subtype;       /* of rt and ro */
	uint32_t lo[3], hi[3]; /* of each number */
};

/* ERR_MALFORMED: @why (POLICY_WHY of policy_path.h) goes on after the quoted text. */
int policy_comm_parse(const char *text, struct policy_comm *out, char *why);
/* Is it one value? Then it may be put into @out (12 bytes) in network order. */
bool policy_comm_is_value(const struct policy_comm *c);
void policy_comm_value(const struct policy_comm *c, uint8_t out[12]);
/* Does the value at @wire, of the list c->list, fit? */
bool policy_comm_fits(const struct policy_comm *c, const uint8_t *wire);
/* Is it one value whose bytes are its numbers? Then values can be sorted, and found, by policy_comm_cmp:
 * policy_comm_of makes such a one of the value at @wire. */
bool policy_comm_is_plain(const struct policy_comm *c);
int policy_comm_cmp(const struct policy_comm *a, const struct policy_comm *b);
void policy_comm_of(enum bgp_list list, const uint8_t *wire, struct policy_comm *out);
/* Bytes of a value of @list: 4, 8, 12. */
unsigned policy_comm_width(enum bgp_list list);
/* The values of @list in @a. */
const struct bgp_span *policy_comm_span(const struct bgp_attrs *a, enum bgp_list list);
/* The value at @wire as policy_comm_parse takes it, well-known ones by name; returns @out. */
char *policy_comm_fmt(enum bgp_list list, const uint8_t *wire, char out[POLICY_COMM_TEXT]);

#endif
