/* link_wire.h - what crosses between two clusters before BGP does: the invitation, which people carry,
 * and the greeting of two gateways (docs/clusters.md). */
#ifndef WEFT_LINK_WIRE_H
#define WEFT_LINK_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/id.h"
#include "key.h"

#define LINK_BGP_PORT                                                                              \
	6795 /* TCP, in the control segment: BGP of links and of a cluster's gateways */
#define LINK_RANGES_MAX   8
#define LINK_EPS_MAX      8 /* of an invitation */
#define LINK_GATEWAYS_MAX 6 /* named in a greeting */
#define LINK_GW_EPS_MAX   4 /* of each */
#define LINK_TEXT_MAX     200

/* A cluster as the other side sees it. */
struct link_cluster {
	struct cluster_id id;
	uint32_t asn;
	char name[NODE_NAME_MAX + 1];
	size_t nranges;
	struct pfx ranges[LINK_RANGES_MAX];
};

/* Secret as a whole: wipe copies (link_invite_wipe). */
struct link_invite {
	struct link_cluster from;
	uint64_t expires_unix; /* seconds; 0: never */
	size_t neps;
	struct ep eps[LINK_EPS_MAX]; /* no scopes */
	struct secret secret;
};

#define LINK_INVITE_STRLEN 1024 /* long enough for every invitation, NUL included */

/* One line of text into @out (LINK_INVITE_STRLEN); returns @out. */
char *link_invite_fmt(const struct link_invite *v, char *out);
/* White space around it, and line breaks inside it as a terminal or a mail puts them, are skipped.
 * ERR_MALFORMED: not an invitation; ERR_VERSION: one of a later weft; ERR_CORRUPT: a character was
 * lost or changed. @out is wiped on failure. */
int link_invite_parse(const char *text, struct link_invite *out);
void link_invite_wipe(struct link_invite *v);

struct link_gateway {
	struct node_key key;
	size_t neps;
	struct ep eps[LINK_GW_EPS_MAX];
};

/* Body of WIRE_CTL_LINK: kind 8, then by kind. */
enum link_kind { LINK_HELLO = 1, LINK_REFUSAL = 2 };

struct link_hello {
	bool ask;        /* tell me what you have seen of me */
	bool accept;     /* what was seen of the receiver is accepted */
	uint32_t serial; /* of what follows: another one is another greeting; never 0 */
	uint32_t seen;   /* the serial that was last heard of the receiver; 0: none */
	struct link_cluster who;
	size_t ngateways;
	struct link_gateway gateways[LINK_GATEWAYS_MAX];
};

#define LINK_BODY_MAX 1100 /* bytes of every body, kind included */

/* Bytes written to @buf (LINK_BODY_MAX). */
size_t link_hello_encode(const struct link_hello *h, uint8_t *buf);
/* @text is cut at LINK_TEXT_MAX. */
size_t link_refusal_encode(uint32_t serial, const char *text, uint8_t *buf);
/* What stands at @buf: the kind (> 0), or ERR_TRUNCATED, ERR_UNSUPPORTED (a later kind). */
int link_kind_of(const uint8_t *buf, size_t len);
/* @buf as a whole, kind included. Bytes behind what is known are skipped. ERR_TRUNCATED,
 * ERR_MALFORMED. */
int link_hello_decode(const uint8_t *buf, size_t len, struct link_hello *out);
/* @text gets LINK_TEXT_MAX + 1 bytes, control characters replaced. */
int link_refusal_decode(const uint8_t *buf, size_t len, uint32_t *serial, char *text);

/* The cluster's AS number unless one is configured (docs/clusters.md): 4200000000 to 4294967294
 * (RFC 6996). */
uint32_t link_asn_of(const struct cluster_id *id);

#endif
