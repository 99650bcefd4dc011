/* id.h - who a node and a cluster are. */
#ifndef WEFT_ID_H
#define WEFT_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* A node's identity: its Ed25519 public key, canonical form. The short text form shown to people is
 * the first NODE_KEY_SHORT characters of its lower-case base32 (RFC 4648 6, without padding). */
struct node_key {
	uint8_t b[32];
};

/* A cluster's id: 16 bytes, derived from its first secret unless configured. */
struct cluster_id {
	uint8_t b[16];
};

#define NODE_KEY_STRLEN   53 /* 52 characters and NUL */
#define NODE_KEY_SHORT    10
#define NODE_NAME_MAX     63 /* bytes, an RFC 1123 label or dotted name */
#define CLUSTER_ID_STRLEN 27

static inline bool node_key_eq(const struct node_key *a, const struct node_key *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline int node_key_cmp(const struct node_key *a, const struct node_key *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

static inline bool cluster_id_eq(const struct cluster_id *a, const struct cluster_id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

/* Lower-case base32 of @len bytes at @src into @out, which has room for ceil(len*8/5)+1. */
char *b32_fmt(const uint8_t *src, size_t len, char *out);
/* The reverse: reads exactly @len bytes; upper or lower case. ERR_MALFORMED on a foreign character,
 * a wrong length, or set bits past the end. */
int b32_parse(const char *text, uint8_t *out, size_t len);

char *node_key_fmt(const struct node_key *k, char *out);       /* whole; NODE_KEY_STRLEN */
char *node_key_fmt_short(const struct node_key *k, char *out); /* NODE_KEY_SHORT + 1 bytes */
int node_key_parse(const char *text, struct node_key *out);
char *cluster_id_fmt(const struct cluster_id *c, char *out); /* CLUSTER_ID_STRLEN */
int cluster_id_parse(const char *text, struct cluster_id *out);
/* 1..NODE_NAME_MAX of [a-z0-9.-], first and last alphanumeric (upper case is refused). */
bool node_name_ok(const char *name);

#endif
