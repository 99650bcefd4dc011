/* gossip_wire.h - messages of the gossip core, the bodies of WIRE_CTL_GOSSIP: a type byte, then
 *
 *	RECORDS	records end to end (record.h)
 *	DIGEST	root of the sender's store, 16 bytes | number of records 32
 *	KEYS	from 64 | to 64 | entries (key 64, epoch 64, sequence 64, hash 64), by rising key:
 *		all that the sender has with keys in [from, to]
 *	WANT	keys 64
 *
 * All integers in network order. At most WIRE_CTL_BODY_MAX bytes. This is the part of the core that
 * will be replaced; records stay. */
#ifndef WEFT_GOSSIP_WIRE_H
#define WEFT_GOSSIP_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include "weft/buf.h"
#include "weft/wire.h"

enum gossip_msg {
	GOSSIP_MSG_RECORDS = 1,
	GOSSIP_MSG_DIGEST = 2,
	GOSSIP_MSG_KEYS = 3,
	GOSSIP_MSG_WANT = 4,
};

#define GOSSIP_KEYS_HDR  17
#define GOSSIP_KEY_ENTRY 32
#define GOSSIP_KEYS_MAX  ((WIRE_CTL_BODY_MAX - GOSSIP_KEYS_HDR) / GOSSIP_KEY_ENTRY)
#define GOSSIP_WANT_MAX  ((WIRE_CTL_BODY_MAX - 1) / 8)

struct gossip_digest {
	uint8_t root[16];
	uint32_t count;
};

struct gossip_key_entry {
	uint64_t key, epoch, seq, hash;
};

struct gossip_keys {
	uint64_t from, to;
	size_t n;
	struct gossip_key_entry v[GOSSIP_KEYS_MAX];
};

struct gossip_want {
	size_t n;
	uint64_t v[GOSSIP_WANT_MAX];
};

/* Decoders read what follows the type byte, to the end: 0, ERR_TRUNCATED, or ERR_MALFORMED (keys
 * out of order or range, bytes left over, more than a message can hold). */
int gossip_digest_decode(struct rd *r, struct gossip_digest *out);
int gossip_keys_decode(struct rd *r, struct gossip_keys *out);
int gossip_want_decode(struct rd *r, struct gossip_want *out);
/* Encoders write the whole message; @w has room for WIRE_CTL_BODY_MAX bytes. */
void gossip_digest_encode(struct wr *w, const struct gossip_digest *d);
void gossip_keys_encode(struct wr *w, const struct gossip_keys *k);
void gossip_want_encode(struct wr *w, const struct gossip_want *k);

#endif
