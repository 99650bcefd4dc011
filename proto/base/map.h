/* map.h - hash table from fixed-size keys to pointers. SipHash-2-4 with a key given at creation, so
 * that outsiders can't aim at one bucket. Open addressing; grows by doubling up to @max entries. */
#ifndef WEFT_MAP_H
#define WEFT_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map;

/* @key_size bytes per key (1..64), at most @max entries; @seed keys the hash. NULL: no memory. */
struct map *map_new(size_t key_size, size_t max, const uint8_t seed[16]);
void map_free(struct map *m); /* NULL is fine; values are the caller's */
/* Keeps a copy of the key and the pointer. ERR_EXISTS, ERR_FULL (@max), ERR_NOMEM: unchanged. */
int map_put(struct map *m, const void *key, void *value);
void *map_get(const struct map *m, const void *key); /* NULL: absent */
/* Remove; returns the value or NULL. */
void *map_del(struct map *m, const void *key);
size_t map_count(const struct map *m);
/* Walk in no order: start with *@it = 0; false at the end. Between calls only the entry just
 * returned may be deleted, and nothing may be put. Deleting does not disturb the walk. */
bool map_next(const struct map *m, size_t *it, const void **key, void **value);

/* SipHash-2-4 of @len bytes (Aumasson, Bernstein 2012). */
uint64_t map_siphash(const uint8_t seed[16], const void *data, size_t len);

#endif
