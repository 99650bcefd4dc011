/* link.h - the link core: which clusters this gateway is linked to, and which of their gateways may
 * carry traffic (docs/clusters.md). Sans-I/O, one thread; call any function that takes the time, then
 * drain links_next(), then re-arm links_deadline().
 *
 * A link has a number, which the driver chooses: that of the realm whose secret its sessions are made
 * with, so that a session tells by itself which link it belongs to. */
#ifndef WEFT_LINK_H
#define WEFT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/bounds.h"
#include "weft/id.h"
#include "weft/ts.h"
#include "link_wire.h"

struct links;

/* How the text of a refusal is bounded. */
#define LINK_WHY_MAX 256

/* What is kept of a link. */
struct link_def {
	uint32_t number; /* > 0 */
	char name[NODE_NAME_MAX + 1];
	/* The other cluster as its invitation or its last greeting told; asn 0: not known yet, since
	 * we invited and nobody has answered. */
	struct link_cluster remote;
	size_t neps;
	struct ep eps[LINK_EPS_MAX]; /* to dial, until greetings tell more */
};

enum link_act_type {
	LINK_NONE,
	/* link, key, buf, len: body of WIRE_CTL_LINK to that node */
	LINK_SEND,
	/* link, ep, key (zero: whoever answers): open a session in the link's realm */
	LINK_DIAL,
	/* link, key, remote: this gateway may carry traffic from now on */
	LINK_UP,
	/* link, key, text: it may not any more; text "" when its session ended */
	LINK_DOWN,
	/* link, remote: the other cluster is known, or has changed: keep it */
	LINK_LEARNED,
	/* link, key, text: the other side refuses us */
	LINK_REFUSED,
};

struct link_act {
	enum link_act_type type;
	uint32_t link;
	struct node_key key;
	struct ep ep;
	const struct link_cluster *remote; /* borrowed until the next call of another function */
	const char *text;                  /* the same */
	const uint8_t *buf;                /* the same */
	size_t len;
};

/* @self is copied. Returns owned; NULL: no memory. */
struct links *links_new(const struct node_key *key, const struct link_cluster *self, ts_t now);
void links_free(struct links *l); /* NULL is fine */

/* What we are, and the gateways of our cluster (this one may be among them), as they are now. Every
 * gateway is greeted anew if something changed. */
void links_self(struct links *l, const struct link_cluster *self,
	const struct link_gateway *gateways, size_t n, ts_t now);

/* May @remote be linked as number @number (0: not one of ours yet)? 0; else ERR_CONFLICT, and @why of
 * LINK_WHY_MAX bytes names both sides. */
int links_check(
	const struct links *l, uint32_t number, const struct link_cluster *remote, char *why);
/* Add a link. ERR_CONFLICT (@why, LINK_WHY_MAX bytes), ERR_EXISTS (name or number), ERR_FULL. */
int links_add(struct links *l, const struct link_def *def, char *why, ts_t now);
/* Remove it; its gateways go down. The driver ends the sessions. ERR_NOT_FOUND. */
int links_del(struct links *l, uint32_t number);

/* A session of link @number stands, or ended. Unknown numbers are ignored. */
void links_session_up(struct links *l, uint32_t number, const struct node_key *key, ts_t now);
void links_session_down(struct links *l, uint32_t number, const struct node_key *key, ts_t now);
/* The body of a WIRE_CTL_LINK from @key in link @number. 0; ERR_TRUNCATED, ERR_MALFORMED,
 * ERR_UNSUPPORTED, ERR_NOT_FOUND (no such session), ERR_LIMIT, ERR_CONFLICT (refused): counted. */
int links_recv(struct links *l, uint32_t number, const struct node_key *key, const uint8_t *buf,
	size_t len, ts_t now);

void links_tick(struct links *l, ts_t now);
ts_t links_deadline(const struct links *l);
bool links_next(struct links *l, struct link_act *out); /* false: drained */

/* For status; *@it = 0 first. */
bool links_each(const struct links *l, size_t *it, struct link_def *out);
struct link_peer_info {
	struct node_key key;
	bool session, up;    /* a session stands; both sides agree */
	ts_t since;          /* of up */
	const char *refused; /* why we refuse it; "": we don't. Borrowed */
	const char *refusal; /* why it refuses us */
};
bool links_peer_each(
	const struct links *l, uint32_t number, size_t *it, struct link_peer_info *out);

struct link_stats {
	uint64_t hellos_rx, hellos_tx, refused_rx, refused_tx, malformed, limited, full;
};
void links_stats(const struct links *l, struct link_stats *out);

#endif
