/* member_wire.h - messages of membership, between linked nodes. A kind byte, then
 *
 *	PROBE	sequence 16 | dead nodes 16 | their digest 32 | extra (length 8, bytes) | facts
 *	ACK	the same; sequence of the PROBE
 *	REQ	sequence 16 | hops left 8 | target key 32 bytes: probe it for me
 *	REACHED	sequence 16 of a REQ: the target answered
 *	NACK	sequence 16 of a REQ: it did not, but I am here
 *	PUSH	facts
 *	HOLD	(key, epoch 64, incarnation 64)...: nodes that the sender holds dead. Unproved
 *
 * A fact is type 8 | length 8 | subject key | epoch 64 | incarnation 64, then
 *
 *	SUSPECT	origin key | signature by the origin: it cannot reach the subject
 *	ALIVE	signature by the subject
 *	LEAVE	signature by the subject
 *	NOTICE	nothing: somebody holds you dead. Means something to the subject alone
 *
 * Unknown facts are stepped over. Signed is type | cluster id | subject | epoch | incarnation |
 * origin (zeros where there is none). All integers in network order; no message is longer than
 * MEMBER_MSG_MAX. */
#ifndef WEFT_MEMBER_WIRE_H
#define WEFT_MEMBER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/buf.h"
#include "weft/id.h"
#include "member.h"

enum member_msg {
	MEMBER_MSG_PROBE = 1,
	MEMBER_MSG_ACK = 2,
	MEMBER_MSG_REQ = 3,
	MEMBER_MSG_REACHED = 4,
	MEMBER_MSG_NACK = 5,
	MEMBER_MSG_PUSH = 6,
	MEMBER_MSG_HOLD = 7,
};

enum member_fact_type {
	MEMBER_FACT_SUSPECT = 1,
	MEMBER_FACT_ALIVE = 2,
	MEMBER_FACT_LEAVE = 3,
	MEMBER_FACT_NOTICE = 4,
};

struct member_fact {
	uint8_t type;
	struct node_key subject, origin; /* origin: zeros but in SUSPECT */
	uint64_t epoch, inc;
	uint8_t sig[64]; /* zeros in NOTICE */
};

struct member_hold {
	struct node_key key;
	uint64_t epoch, inc;
};

#define MEMBER_HOLD_LEN   48
#define MEMBER_HOLD_MAX   ((MEMBER_MSG_MAX - 1) / MEMBER_HOLD_LEN) /* per message */
#define MEMBER_SIGNED_LEN 97
#define MEMBER_SIGN_LABEL "weft member"

/* What PROBE and ACK begin with. */
struct member_probe {
	uint16_t seq;
	uint16_t dead;
	uint32_t digest;
	const uint8_t *extra; /* borrowed from the reader's or the caller's buffer */
	uint8_t extra_len;    /* at most MEMBER_EXTRA_MAX */
};

/* Read what follows the kind byte of PROBE and ACK up to the facts. 0, ERR_TRUNCATED, or
 * ERR_MALFORMED: extra too long. */
int member_probe_decode(struct rd *r, struct member_probe *out);
/* The next fact. 0; ERR_NOT_FOUND: of an unknown type, stepped over; ERR_TRUNCATED, ERR_MALFORMED
 * (a length that is not its type's): nothing after it can be read. */
int member_fact_decode(struct rd *r, struct member_fact *out);
/* The next entry of a HOLD. 0 or ERR_TRUNCATED. */
int member_hold_decode(struct rd *r, struct member_hold *out);

/* Writers, with the kind byte; a writer that is full goes bad, as in weft/buf.h. */
void member_probe_encode(struct wr *w, enum member_msg kind, const struct member_probe *p);
void member_req_encode(struct wr *w, uint16_t seq, uint8_t ttl, const struct node_key *target);
void member_short_encode(struct wr *w, enum member_msg kind, uint16_t seq);
/* Writers of a piece, without a kind byte. */
void member_fact_encode(struct wr *w, const struct member_fact *f);
void member_hold_encode(struct wr *w, const struct member_hold *h);
/* Bytes that member_fact_encode() writes for @type, 0 for an unknown one. */
size_t member_fact_len(uint8_t type);

/* What a fact's signature covers. */
void member_fact_signed(const struct member_fact *f, const struct cluster_id *cluster,
	uint8_t out[MEMBER_SIGNED_LEN]);

#endif
