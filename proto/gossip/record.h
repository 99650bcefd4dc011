/* record.h - the signed record: one fact that one node publishes about itself. The format is final.
 *
 *	 0 format version 8 | type 8 | length of the whole record 16
 *	 4 flags 16 | sub-key 16
 *	 8 epoch 64
 *	16 sequence 64
 *	24 cluster id 16 bytes
 *	40 node key 32 bytes
 *	72 body: a msgpack map from small integers, or anything in types that we don't know
 *	 . Ed25519 signature 64 bytes over everything before it, label "weft record"
 *
 * All integers in network order. A record is stored and relayed verbatim, so encodings need not be
 * canonical and a node relays what it does not understand (types, body keys, flags). What a record
 * speaks of is (node key, type, sub-key); of two with the same, the higher (epoch, sequence)
 * counts. A record's length stands in it, so records can be laid end to end.
 *
 * Bodies (unknown keys are skipped, longer inner arrays are cut):
 *	NODE	  {0: name, 1: software version, 2: feature bits, 3: true when the node left}
 *	ENDPOINTS {0: [[address (4 or 16 bytes), port], ...]}, the best first
 *	PREFIXES  {0: [[VNI, address, length, right, flags, claimed at (Unix time)], ...]}
 *		  flags: 1 = exit; an entry with flags that we don't know is skipped. A node spreads
 *		  its prefixes over several records by sub-key.
 *	FORGET	  {0: [[node key (32 bytes), epoch, sequence, forgotten at (Unix time)], ...]}: nodes
 *		  that were gone, with the newest version that was known of each */
#ifndef WEFT_RECORD_H
#define WEFT_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/bounds.h"
#include "weft/id.h"
#include "gossip.h"

#define RECORD_VERSION  1
#define RECORD_HDR      72
#define RECORD_SIG      64
#define RECORD_MIN      (RECORD_HDR + RECORD_SIG)
#define RECORD_BODY_MAX (LIM_RECORD_BYTES - RECORD_MIN)
#define RECORD_LABEL    "weft record"

enum record_type {
	RECORD_NODE = 1,
	RECORD_ENDPOINTS = 2,
	RECORD_PREFIXES = 3,
	RECORD_UNREACHABLE = 4, /* peers that the node can't reach directly */
	RECORD_REVOCATION = 5,  /* the key is a CA's */
	RECORD_GATEWAY = 6,     /* the node speaks BGP */
	RECORD_FORGET = 7,      /* a lease ends: a node that others may stop waiting for */
};

/* Flags. Those of the low byte may be ignored by who doesn't know them; a record with an unknown
 * flag of the high byte is stored and relayed but not looked into. */
#define RECORD_F_TOMBSTONE 0x0001 /* the fact is withdrawn; the body is empty */
#define RECORD_F_CRITICAL  0xff00

/* A record taken apart; pointers into the bytes it was parsed from. */
struct record {
	uint8_t type;
	uint16_t flags, sub;
	uint64_t epoch, seq;
	struct cluster_id cluster;
	struct node_key node;
	const uint8_t *body;
	size_t body_len;
	const uint8_t *raw;
	size_t len;
	uint64_t key; /* record_key_hash() of it */
};

/* Take apart the record at the start of @buf (borrowed as long as @out is used). Returns its
 * length; ERR_TRUNCATED; ERR_VERSION: another format; ERR_MALFORMED: a length below RECORD_MIN or
 * above LIM_RECORD_BYTES, or epoch 0. Nothing is verified yet. */
int record_parse(const uint8_t *buf, size_t len, struct record *out);
/* 0 or ERR_AUTH. Costs one Ed25519 verification. */
int record_verify(const struct record *r);
/* Write and sign a record of @id into @out (at least LIM_RECORD_BYTES). Takes type, flags, sub,
 * epoch, seq, cluster, body and body_len of @r; node and raw are not looked at. Returns its length;
 * ERR_RANGE: the body is too long. */
int record_sign(const struct identity *id, const struct record *r, uint8_t *out);
/* May this record's body be looked into by this build? */
bool record_understood(const struct record *r);
/* <0, 0, >0 as (epoch, sequence) of @a is older, the same, newer. */
int record_version_cmp(uint64_t a_epoch, uint64_t a_seq, uint64_t b_epoch, uint64_t b_seq);
/* The 64-bit hash of (node, type, sub-key) under which a record is asked for, and which orders the
 * store. */
uint64_t record_key_hash(const struct node_key *node, uint8_t type, uint16_t sub);
/* BLAKE2b of the whole record. */
void record_hash(const uint8_t *raw, size_t len, uint8_t out[16]);

/* Bodies. Encoders return the length written to @out (RECORD_BODY_MAX bytes) or ERR_RANGE if it
 * doesn't fit. Decoders: 0; ERR_TRUNCATED, ERR_MALFORMED: wrong type, number out of range, nested
 * too deep, a name that is none, bytes left over; ERR_FULL: more entries than @cap; ERR_NOMEM. */
struct record_node {
	char name[NODE_NAME_MAX + 1];
	char version[32]; /* printable ASCII */
	uint64_t features;
	bool left;
};
int record_node_encode(const struct record_node *n, uint8_t *out);
int record_node_decode(const uint8_t *body, size_t len, struct record_node *out);
int record_endpoints_encode(const struct ep *eps, size_t n, uint8_t *out);
int record_endpoints_decode(const uint8_t *body, size_t len, struct ep *out, size_t cap, size_t *n);
/* The most prefixes that a record can hold: the shortest entry takes 12 bytes. */
#define RECORD_PREFIXES_MAX  80
/* The most that surely fit: the longest entry takes 37 bytes. */
#define RECORD_PREFIXES_SAFE 25
int record_prefixes_encode(const struct gossip_prefix *p, size_t n, uint8_t *out);
int record_prefixes_decode(
	const uint8_t *body, size_t len, struct gossip_prefix *out, size_t cap, size_t *n);
struct record_forget {
	struct node_key node;
	uint64_t epoch, seq; /* its newest version when it was forgotten */
	uint64_t at_secs;    /* Unix time; 0: not known */
};
/* So many surely fit: an entry takes 62 bytes at most. */
#define RECORD_FORGETS_MAX 15
int record_forgets_encode(const struct record_forget *f, size_t n, uint8_t *out);
int record_forgets_decode(
	const uint8_t *body, size_t len, struct record_forget *out, size_t cap, size_t *n);

#endif
