/* bgp_msg.h - framing, OPEN, NOTIFICATION, KEEPALIVE and ROUTE-REFRESH. UPDATE is bgp_update.h. */
#ifndef WEFT_BGP_MSG_H
#define WEFT_BGP_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/buf.h"
#include "bgp_cap.h"
#include "bgp_wire.h"

/* What is wrong with a message: becomes a NOTIFICATION. data holds the bytes that the RFCs want in
 * it, cut where they don't fit. */
struct bgp_error {
	uint8_t code, subcode; /* code 0: no error */
	uint16_t data_len;
	const char *
		word; /* for the operator, where the subcode says too little; lives on; NULL: none */
	uint8_t data[256];
};

/* Fill @e, without a word; @data (NULL: none) is copied. Returns ERR_MALFORMED, so that a decoder can
 * return it. */
int bgp_error_set(struct bgp_error *e, unsigned code, unsigned subcode, const void *data, size_t n);
/* "OPEN: bad peer AS (2/2)" into @out; the word, or a shutdown text (RFC 9003) with its control characters
 * replaced, is added. Returns @out. */
char *bgp_error_fmt(const struct bgp_error *e, char *out, size_t cap);

/* Look at the header at @buf. > 0: the message's whole length (it may be longer than @len);
 * ERR_TRUNCATED: fewer than BGP_HDR_LEN bytes and nothing wrong yet; ERR_MALFORMED: @e says what.
 * RFC 4271 6.1. *@type is set with a length. @max: BGP_MSG_MAX, or BGP_MSG_EXT_MAX (RFC 8654 4). */
int bgp_msg_peek(const uint8_t *buf, size_t len, size_t max, uint8_t *type, struct bgp_error *e);

/* An OPEN's content (RFC 4271 4.2). */
struct bgp_open {
	uint8_t version;
	uint32_t as; /* of the 4-octet capability, where there is one */
	uint16_t as2;
	uint16_t hold_secs;
	uint32_t id; /* host order */
	struct bgp_caps caps;
};
/* Read the body (behind the header). ERR_MALFORMED: @e. Checks form alone, and what needs no
 * configuration: version, hold time 1 and 2, id 0, AS 0 (RFC 7607). */
int bgp_open_decode(const uint8_t *body, size_t len, struct bgp_open *o, struct bgp_error *e);
/* Write a whole OPEN; without caps (RFC 5492 3: the peer refused optional parameters), or with the
 * raw capability bytes @caps, in extended form when they don't fit (RFC 9072). */
void bgp_open_encode(struct wr *w, const struct bgp_open *o, const uint8_t *caps, size_t caps_len);
void bgp_keepalive_encode(struct wr *w);
void bgp_notification_encode(struct wr *w, const struct bgp_error *e);
/* ERR_MALFORMED: shorter than code and subcode; there is no answer to that (RFC 4271 6.4). */
int bgp_notification_decode(const uint8_t *body, size_t len, struct bgp_error *e);
void bgp_refresh_encode(struct wr *w, unsigned family, unsigned subtype);
struct bgp_refresh {
	int family; /* -1: unknown AFI/SAFI, ignored */
	uint8_t subtype;
};
/* @msg is the whole message, which an error quotes (RFC 7313 5). */
int bgp_refresh_decode(const uint8_t *msg, size_t len, struct bgp_refresh *r, struct bgp_error *e);

/* Start a message of @type; returns where its length goes, or NULL when it doesn't fit. */
uint8_t *bgp_msg_begin(struct wr *w, unsigned type);
/* Fill the length in; @at from bgp_msg_begin. */
void bgp_msg_end(struct wr *w, uint8_t *at);

#endif
