/* lpm.h - longest-prefix match for IPv4 and IPv6, from prefix to pointer.
 *
 * One writer; any number of concurrent readers that are inside an RCU read section of the caller's:
 * each change is published by one atomic pointer store, and memory that a reader may still see goes
 * to the retire function instead of free(). With no retire function (NULL) it is freed at once, for
 * tables with one thread. A path-compressed binary trie per family; lookup allocates nothing. */
#ifndef WEFT_LPM_H
#define WEFT_LPM_H

#include <stdbool.h>
#include <stddef.h>
#include "weft/addr.h"

struct lpm;

/* Called with memory that must be freed after all present readers are done. */
typedef void (*lpm_retire_fn)(void *ctx, void *mem);

struct lpm *lpm_new(lpm_retire_fn retire, void *ctx); /* NULL: no memory */
void lpm_free(struct lpm *t); /* no readers may be left; values are the caller's */
/* Add or replace; *@old (may be NULL) gets the value that stood there or NULL. @value not NULL.
 * ERR_NOMEM: unchanged. */
int lpm_set(struct lpm *t, const struct pfx *p, void *value, void **old);
/* Remove exactly @p; returns the value or NULL. Never fails for want of memory. */
void *lpm_del(struct lpm *t, const struct pfx *p);
void *lpm_get(const struct lpm *t, const struct pfx *p); /* exact match */
/* Longest match; *@matched (may be NULL) gets its prefix. NULL: none. */
void *lpm_lookup(const struct lpm *t, const struct ip *ip, struct pfx *matched);
/* The same for raw bytes, for the packet path. */
void *lpm_lookup4(const struct lpm *t, const uint8_t addr[4]);
void *lpm_lookup6(const struct lpm *t, const uint8_t addr[16]);
/* The longest entry that contains @p (or equals it). */
void *lpm_covering(const struct lpm *t, const struct pfx *p, struct pfx *matched);
size_t lpm_count(const struct lpm *t);
/* Walk entries inside @within (NULL: all) in pfx_cmp order; stops when @fn returns false. @fn may
 * not change the table. Writer's thread only. */
void lpm_walk(const struct lpm *t, const struct pfx *within,
	bool (*fn)(void *ctx, const struct pfx *p, void *value), void *ctx);

#endif
