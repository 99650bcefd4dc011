/* resolve.h - host names to addresses without stopping the loop: getaddrinfo() in short-lived
 * threads, at most RESOLVE_MAX at once. */
#ifndef WEFT_RESOLVE_H
#define WEFT_RESOLVE_H

#include <stddef.h>
#include "loop.h"
#include "weft/addr.h"

#define RESOLVE_MAX   4 /* look-ups at once */
#define RESOLVE_ADDRS 8 /* addresses per name that are kept */

struct resolver;

/* @fn is called in the loop's thread for each look-up that resolve_start took: @tag as given, @n
 * addresses (with port 0) or 0 and @error, a short text. */
int resolve_new(struct loop *l,
	void (*fn)(void *ctx, uint64_t tag, const struct ip *ips, size_t n, const char *error),
	void *ctx, struct resolver **out);
/* Look-ups that are still running end unheard. */
void resolve_free(struct resolver *r);
/* Start looking @host up. ERR_BUSY: RESOLVE_MAX are running, try later; ERR_NOMEM, ERR_RANGE. */
int resolve_start(struct resolver *r, const char *host, uint64_t tag);

#endif
