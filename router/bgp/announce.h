/* announce.h - what this node says of itself over BGP: prefixes of pods, aggregates while there is
 * something in them, and networks that are always there. A table without I/O.
 *
 * The caller tells the whole of the pods' prefixes, time and again: announce_begin(), announce_seen()
 * for each, announce_end(). Only differences reach the ops. */
#ifndef WEFT_ANNOUNCE_H
#define WEFT_ANNOUNCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"

struct announce;

enum announce_pods { ANNOUNCE_NONE, ANNOUNCE_OWN, ANNOUNCE_ALL };

struct announce_ops {
	/* Announce @p. @aggregate: other prefixes may be missing in it, so an unreachable route has
	 * to stand behind it. 0, or a negative error: it is tried again at the next announce_end. */
	int (*add)(void *ctx, const struct pfx *p, bool aggregate);
	void (*del)(void *ctx, const struct pfx *p, bool aggregate);
};

struct announce_cfg {
	enum announce_pods pods;
	const struct pfx *fixed; /* copied, as the next */
	size_t nfixed;
	const struct pfx *aggregates;
	size_t naggregates;
	uint8_t seed[16];
	const struct announce_ops *ops; /* kept */
	void *ctx;
};

/* NULL: no memory. Announces nothing before the first announce_end(). */
struct announce *announce_new(const struct announce_cfg *cfg);
void announce_free(struct announce *a); /* withdraws nothing; NULL is fine */

void announce_begin(struct announce *a);
/* A prefix of pods; @own: of this node. ERR_NOMEM, ERR_FULL (LIM_PREFIXES): it is as if it was not
 * told. */
int announce_seen(struct announce *a, const struct pfx *p, bool own);
/* Carry out the differences: what comes before what goes. Returns how many could not be announced. */
unsigned announce_end(struct announce *a);

struct announce_info {
	struct pfx pfx;
	const char *kind; /* "pods", "aggregate", "service" */
};
/* Walk what is announced: start with *@it = 0; false at the end. */
bool announce_next(const struct announce *a, size_t *it, struct announce_info *out);

#endif
