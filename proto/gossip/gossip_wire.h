/* gossip_wire.h - messages of the gossip core, the bodies of WIRE_CTL_GOSSIP: a type byte, then
 *
 *	RECORDS	records end to end (record.h): news
 *	FILL	the same, but what the receiver was found to lack: old news
 *	HAVE	entries (key 64, hash 64): news that the sender has and the receiver may ask for; and
 *		the receiver's own records, as soon as they came from it
 *	GONE	as FILL, of nodes that the sender holds for gone
 *	BURIED	keys 64: records that came in GONE, and that the sender has dropped with their node;
 *		or the receiver's own node record, of a sender that was told to forget the receiver
 *	WANT	keys 64
 *	ROOT	the root of the sender's tree of sums 64
 *	SUMS	groups (level 8, index 16, the sums of its 16 children 64 each): nodes of the tree
 *	MEMBER	a message of membership (member_wire.h)
 *	KEYS	flags 8 (1: this answers KEYS), sections (from 64 | to 64 | count 8 | entries (key 64,
 *		epoch 64, sequence 64, hash 64) by rising key): all that the sender has with keys in
 *		[from, to]
 *
 * A record's hash is the first 64 bits of BLAKE2b of it. All integers in network order. At most
 * WIRE_CTL_BODY_MAX bytes. Types that we don't know are ignored. */
#ifndef WEFT_GOSSIP_WIRE_H
#define WEFT_GOSSIP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/buf.h"
#include "weft/wire.h"
#include "store.h"

enum gossip_msg {
	GOSSIP_MSG_RECORDS = 1,
	GOSSIP_MSG_ROOT = 2,
	GOSSIP_MSG_KEYS = 3,
	GOSSIP_MSG_WANT = 4,
	GOSSIP_MSG_FILL = 5,
	GOSSIP_MSG_HAVE = 6,
	GOSSIP_MSG_SUMS = 7,
	GOSSIP_MSG_MEMBER = 8,
	GOSSIP_MSG_GONE = 9,
	GOSSIP_MSG_BURIED = 10,
};

#define GOSSIP_KEYS_HDR    2  /* type, flags */
#define GOSSIP_SECTION_HDR 17 /* from, to, count */
#define GOSSIP_KEY_ENTRY   32
#define GOSSIP_SECTION_MAX                                                                         \
	((WIRE_CTL_BODY_MAX - GOSSIP_KEYS_HDR - GOSSIP_SECTION_HDR) / GOSSIP_KEY_ENTRY)
#define GOSSIP_KEYS_F_ANSWER 1
#define GOSSIP_WANT_MAX      ((WIRE_CTL_BODY_MAX - 1) / 8)
#define GOSSIP_HAVE_MAX      ((WIRE_CTL_BODY_MAX - 1) / 16)
#define GOSSIP_GROUP_BYTES   (3 + 8 * STORE_CHILDREN)

struct gossip_key_entry {
	uint64_t key, epoch, seq, hash;
};

struct gossip_section {
	uint64_t from, to;
	size_t n;
	struct gossip_key_entry v[GOSSIP_SECTION_MAX];
};

struct gossip_want {
	size_t n;
	uint64_t v[GOSSIP_WANT_MAX];
};

struct gossip_have {
	size_t n;
	struct {
		uint64_t key, hash;
	} v[GOSSIP_HAVE_MAX];
};

struct gossip_group {
	unsigned level, index; /* level below STORE_LEVELS, index below 16^level */
	uint64_t sum[STORE_CHILDREN];
};

/* Decoders read what follows the type byte. WANT, HAVE, ROOT to the end; one section or group at a
 * time (the caller reads the flags of KEYS, and asks while rd_left()). 0, ERR_TRUNCATED, or
 * ERR_MALFORMED (keys out of order or range, a level or index that is none, bytes left over, more
 * than a message can hold). */
int gossip_root_decode(struct rd *r, uint64_t *root);
int gossip_want_decode(struct rd *r, struct gossip_want *out); /* BURIED too */
int gossip_have_decode(struct rd *r, struct gossip_have *out);
int gossip_section_decode(struct rd *r, struct gossip_section *out);
int gossip_group_decode(struct rd *r, struct gossip_group *out);
/* Encoders write the whole message, or one section or group behind what the caller wrote; there is
 * room. */
void gossip_root_encode(struct wr *w, uint64_t root);
void gossip_want_encode(struct wr *w, enum gossip_msg type, const struct gossip_want *k);
void gossip_have_encode(struct wr *w, const struct gossip_have *k);
void gossip_section_encode(struct wr *w, const struct gossip_section *s);
void gossip_group_encode(struct wr *w, const struct gossip_group *g);

#endif
