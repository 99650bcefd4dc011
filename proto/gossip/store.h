/* store.h - all records that this node knows, verbatim, one per (node, type, sub-key).
 *
 * Entries are sorted by the 64-bit hash of that key, so that ranges of the store can be compared
 * with a peer's. The store looks at no signature and no body: its caller verified them. */
#ifndef WEFT_STORE_H
#define WEFT_STORE_H

#include <stddef.h>
#include <stdint.h>
#include "record.h"

struct store;

struct store_entry {
	uint64_t key;     /* record_key_hash() */
	uint64_t digest;  /* first 8 bytes of the record's hash: decides between equal versions */
	uint8_t hash[16]; /* of the record */
	struct record r;  /* points into bytes */
	uint8_t bytes[];
};

/* @max records in total, @per_node of each node; @seed keys the table of nodes. NULL: no memory. */
struct store *store_new(size_t max, size_t per_node, const uint8_t seed[16]);
void store_free(struct store *s); /* NULL is fine */

/* Would @r change the store? 0: yes. ERR_EXISTS: it is there; ERR_STALE: a newer one is there (or
 * the same version with a lower hash, which every node prefers: equivocation); ERR_FOREIGN: the
 * key's hash is taken by another key; ERR_FULL: no room in total, or the node has @per_node records
 * whose (type, sub-key) are all lower. Cheap: meant to be asked before a signature is verified. */
int store_check(const struct store *s, const struct record *r);
/* Put a copy of @r in. It replaces an older record of the same key, and, in a node that has
 * @per_node records, the one with the highest (type, sub-key): so whatever the order in which they
 * came, all nodes end with the same. That one is returned owned in *@evicted (else NULL; free()
 * it), the new entry in *@out. Errors as store_check and ERR_NOMEM: unchanged. */
int store_put(struct store *s, const struct record *r, struct store_entry **out,
	struct store_entry **evicted);
/* Borrowed until the next put. NULL: none. */
struct store_entry *store_get(const struct store *s, uint64_t key);
struct store_entry *store_find(
	const struct store *s, const struct node_key *node, uint8_t type, uint16_t sub);
/* The first entry with a key of @from or higher; NULL: none. */
struct store_entry *store_from(const struct store *s, uint64_t from);
/* The @i-th entry in key order, NULL past the end. */
struct store_entry *store_at(const struct store *s, size_t i);
size_t store_count(const struct store *s);
/* The xor of all records' hashes: two stores with the same content have the same root. */
void store_root(const struct store *s, uint8_t out[16]);

#endif
