/* roa.h - origin validity (RFC 6811) from a table of validated ROA payloads, without I/O.
 *
 * The table is read from a text, in one of the forms that RPKI validators write:
 *	JSON  {"roas": [{"asn": "AS64496", "prefix": "192.0.2.0/24", "maxLength": 24, ...}, ...], ...}
 *	      (rpki-client, Routinator, FORT, OctoRPKI; asn may be a number)
 *	CSV   AS64496,192.0.2.0/24,24,...     after a line of titles, if there is one
 * or by hand, in lines of the same three fields parted by spaces, "#" begins a comment, and without
 * a length the prefix's own. JSON is read in one pass, nothing is kept of what isn't asked for. */
#ifndef WEFT_ROA_H
#define WEFT_ROA_H

#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"

struct roa;

enum roa_state { ROA_UNKNOWN, ROA_VALID, ROA_INVALID }; /* unknown: the RFC's NotFound */

#define ROA_WHY 160

struct roa_entry {
	struct pfx pfx;
	uint8_t max_len;
	uint32_t as; /* 0: nobody may announce it (RFC 6483 4) */
};

/* Read @text. ERR_MALFORMED, ERR_FULL (LIM_BGP_ROAS): @why (ROA_WHY bytes) is "line N: what", ERR_NOMEM.
 * Returns owned. */
int roa_parse(const char *text, size_t len, struct roa **out, char *why);
/* The same from entries. ERR_RANGE: a length that can't be. */
int roa_new(const struct roa_entry *v, size_t n, struct roa **out);
void roa_free(struct roa *r); /* NULL is fine */
size_t roa_count(const struct roa *r);
/* Of a route to @p that @as originated; 0: nobody in particular (AS_SET), which no entry names. */
enum roa_state roa_validate(const struct roa *r, const struct pfx *p, uint32_t as);
const char *roa_state_str(enum roa_state s); /* "unknown", "valid", "invalid" */

#endif
