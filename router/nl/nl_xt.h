/* nl_xt.h - a filter table of the older iptables as one block of bytes: what it says, and the block with
 * and without weft's accept. The pure half of nl_xt.c, for its tests; others use nl_fwd.h. */
#ifndef WEFT_NL_XT_H
#define WEFT_NL_XT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include "nl_fwd.h"
#include "weft/addr.h"

#define NL_XT_HOOKS         5
#define NL_XT_COMMENT_BYTES 96

struct nl_xt {
	bool v6;
	void *raw; /* what holds the block; NULL: somebody else does */
	const uint8_t *block;
	uint32_t size, entries; /* bytes; entries as the kernel counts them */
	uint32_t valid_hooks, hooks[NL_XT_HOOKS], policies[NL_XT_HOOKS];
	uint32_t forward, policy; /* of the FORWARD chain: its first entry, its last */
};

struct nl_xt_new {
	uint8_t *block;
	uint32_t size, entries;
	uint32_t *map; /* per entry: 1 + its number in the old block; 0: ours */
	uint32_t hooks[NL_XT_HOOKS], policies[NL_XT_HOOKS];
};

void nl_xt_comment(char out[NL_XT_COMMENT_BYTES], uint32_t mark, uint32_t mask);
/* What the block says of its FORWARD chain. *@before: the entry that ends it for all that no condition
 * decides about. ERR_MALFORMED: offsets or sizes that don't fit, a loop. */
int nl_xt_view_of(const struct nl_xt *t, uint32_t mark, uint32_t mask, struct nl_xt_view *v,
	uint32_t *before);
/* The block without any accept of ours, and with one if it is needed and @mark isn't 0. ERR_MALFORMED,
 * ERR_NOMEM; else nl_xt_new_free. */
int nl_xt_edit(const struct nl_xt *t, uint32_t mark, uint32_t mask, struct nl_xt_new *n);
void nl_xt_new_free(struct nl_xt_new *n);

/* The table as it stands; @fd: a socket of the family. -errno, ERR_FULL, ERR_NOMEM; else nl_xt_free. */
int nl_xt_read(int fd, bool v6, struct nl_xt *t);
void nl_xt_free(struct nl_xt *t);

#endif
