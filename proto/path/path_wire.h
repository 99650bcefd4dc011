/* path_wire.h - messages of the path core, the bodies of WIRE_CTL_PATH: a type byte, then
 *
 *	PROBE	token 64 | heard 16 | any padding
 *	REPLY	token 64 | heard 16
 *	ASK	id 32 | depth 8 | target's key
 *	ANSWER	id 32 | target's label 64 | verdict 8 | cost 32 | n 8 (0..2) | n labels, 64 each
 *	PUNCH	target's key | endpoints: "arrange a simultaneous open with it; I can be reached here"
 *	OPEN	node's key | delay 16 | endpoints: "in so many ms, open towards it there"
 *	ALIVE	nothing: keeps a NAT's mapping
 *
 * where endpoints are: n 8 (0..PATH_EPS_MAX) | n times (family 8, address, port 16). heard: for how
 * many ms the sender has had nothing at all from the receiver, 0xffff: that long or longer. cost: us.
 * All integers in network order; the messages are sealed, so padding is ours alone to look at. */
#ifndef WEFT_PATH_WIRE_H
#define WEFT_PATH_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/buf.h"
#include "weft/id.h"
#include "weft/wire.h"

enum path_msg {
	PATH_MSG_PROBE = 1,
	PATH_MSG_REPLY = 2,
	PATH_MSG_ASK = 3,
	PATH_MSG_ANSWER = 4,
	PATH_MSG_PUNCH = 5,
	PATH_MSG_OPEN = 6,
	PATH_MSG_ALIVE = 7,
};

/* A node in a route: the first bytes of its key (weft/wire.h, RELAY). */
struct path_label {
	uint8_t b[WIRE_RELAY_LABEL];
};

static inline struct path_label path_label_of(const struct node_key *k)
{
	struct path_label l;

	memcpy(l.b, k->b, sizeof(l.b));
	return l;
}

static inline bool path_label_eq(const struct path_label *a, const struct path_label *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

#define PATH_EPS_MAX    8                           /* endpoints in a message */
#define PATH_REST_MAX   (WIRE_RELAY_LABELS_MAX - 1) /* further relays that an answer may name */
#define PATH_HEARD_LONG 0xffff
#define PATH_COST_MAX   60000000u /* us; an answer above says nothing useful */
#define PATH_DELAY_MAX  2000      /* ms */
/* The longest message, padding aside. */
#define PATH_MSG_MAX    (1 + 32 + 2 + 1 + PATH_EPS_MAX * 19)

struct path_probe {
	uint64_t token;
	uint16_t heard;
};

struct path_ask {
	uint32_t id;
	uint8_t depth; /* how many relays may follow the one that is asked: 0..PATH_REST_MAX */
	struct node_key target;
};

enum path_verdict {
	PATH_ANSWER_OK = 1,      /* cost and rest hold */
	PATH_ANSWER_NONE = 2,    /* no live path to the target */
	PATH_ANSWER_REFUSED = 3, /* doesn't relay */
	PATH_ANSWER_LATER = 4,   /* is looking for one: ask again */
};

struct path_answer {
	uint32_t id;
	struct path_label target;
	uint8_t verdict;  /* enum path_verdict */
	uint32_t cost_us; /* from the one that answers to the target; 0 unless PATH_ANSWER_OK */
	uint8_t n;        /* further relays; 0 unless PATH_ANSWER_OK */
	struct path_label rest[PATH_REST_MAX];
};

struct path_eps {
	size_t n;
	struct ep v[PATH_EPS_MAX];
};

struct path_punch {
	struct node_key target;
	struct path_eps eps;
};

struct path_open {
	struct node_key node;
	uint16_t delay_ms; /* 0..PATH_DELAY_MAX */
	struct path_eps eps;
};

/* Decoders read what follows the type byte, to the end: 0, ERR_TRUNCATED, or ERR_MALFORMED (a value
 * out of its range, an endpoint that no host can have, bytes left over). *@out is undefined then. */
int path_probe_decode(struct rd *r, struct path_probe *out); /* PROBE: steps over the padding */
int path_reply_decode(struct rd *r, struct path_probe *out);
int path_ask_decode(struct rd *r, struct path_ask *out);
int path_answer_decode(struct rd *r, struct path_answer *out);
int path_punch_decode(struct rd *r, struct path_punch *out);
int path_open_decode(struct rd *r, struct path_open *out);
/* Encoders write the whole message without padding; @w has room for PATH_MSG_MAX bytes. */
void path_probe_encode(struct wr *w, enum path_msg type, const struct path_probe *m);
void path_ask_encode(struct wr *w, const struct path_ask *m);
void path_answer_encode(struct wr *w, const struct path_answer *m);
void path_punch_encode(struct wr *w, const struct path_punch *m);
void path_open_encode(struct wr *w, const struct path_open *m);
/* Can a datagram be sent there from another host? Not to an unspecified, multicast, link-local or
 * loopback address, nor to port 0. */
bool path_ep_ok(const struct ep *e);

#endif
