/* store.h - all records that this node knows, verbatim, one per (node, type, sub-key).
 *
 * Entries are sorted by the 64-bit hash of that key, so that ranges of the store can be compared
 * with a peer's: over the key's first bits stands a tree of sums. A record that was put a moment ago
 * is not yet in them (it is on its way to everybody); what it replaced still is. The store looks at
 * no signature and no body: its caller verified them. */
#ifndef WEFT_STORE_H
#define WEFT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/ts.h"
#include "list.h"
#include "record.h"

struct store;

struct store_entry {
	uint64_t digest; /* first 8 bytes of the record's hash: decides between equal versions */
	uint64_t summed; /* the digest that stands for this key in the sums; 0: none */
	ts_t put;
	struct list fresh; /* the store's: those not summed yet, oldest first */
	struct record r;   /* points into bytes */
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
/* Put a copy of @r in, as of @now (TS_ZERO: old news, which enters the sums at once). It replaces an older record of the same key, and, in a node that has
 * @per_node records, the one with the highest (type, sub-key): so whatever the order in which they
 * came, all nodes end with the same. That one is returned owned in *@evicted (else NULL; free()
 * it), the new entry in *@out. Errors as store_check and ERR_NOMEM: unchanged. */
int store_put(struct store *s, const struct record *r, ts_t now, struct store_entry **out,
	struct store_entry **evicted);
/* Remove all records of @node. Pointers to entries are dead then. */
void store_drop(struct store *s, const struct node_key *node);
/* Borrowed until the next put. NULL: none. */
struct store_entry *store_get(const struct store *s, uint64_t key);
struct store_entry *store_find(
	const struct store *s, const struct node_key *node, uint8_t type, uint16_t sub);
/* The @i-th entry in key order, NULL past the end; and which is the first with a key of @from or
 * higher. */
struct store_entry *store_at(const struct store *s, size_t i);
size_t store_from(const struct store *s, uint64_t from);
size_t store_count(const struct store *s);
/* How many have a key of @from to @to? */
size_t store_count_in(const struct store *s, uint64_t from, uint64_t to);

/* The tree of sums. Level 0 is the root; a node of level l stands for the keys whose first
 * 4 * l bits are its index. */
#define STORE_LEVELS   3 /* below the root; on the last, 4096 ranges */
#define STORE_CHILDREN 16
/* The sum of the digests in a node of the tree: two stores with the same records there have the
 * same. @level 0..STORE_LEVELS, @index below 16^level. */
uint64_t store_sum(const struct store *s, unsigned level, unsigned index);
/* First and last key of that node. */
uint64_t store_range_first(unsigned level, unsigned index);
uint64_t store_range_last(unsigned level, unsigned index);
/* Let records put at @until or earlier enter the sums. O(those). */
void store_settle(struct store *s, ts_t until);
/* Walk the records that are not yet in the sums, the newest first: start with NULL; NULL at the end. */
const struct store_entry *store_fresh_next(const struct store *s, const struct store_entry *after);
/* Is there a record that is not yet in the sums? */
bool store_unsettled(const struct store *s);

#endif
