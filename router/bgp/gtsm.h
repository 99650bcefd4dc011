/* gtsm.h - RFC 5082 for what comes before accept(): a filter of the kernel (classic BPF) on the listening
 * sockets. It drops segments that come from a neighbour with GTSM and have travelled too far, its SYN
 * too. Connections inherit it, so that nothing they hold when they are accepted came from farther away.
 *
 * Pure: rules in, instructions out. */
#ifndef WEFT_GTSM_H
#define WEFT_GTSM_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"

#define GTSM_INSNS_MAX BPF_MAXINSNS /* 4096: more the kernel takes of nobody */

struct gtsm_rule {
	struct pfx from;
	uint32_t scope;  /* index of the interface that it comes by; 0: any */
	uint8_t min_ttl; /* what has a lower TTL, or hop limit, is dropped; 0: all may pass */
};

/* Write the filter of a socket of one family to @out, which has room for @cap instructions. The first rule
 * that fits a packet's source decides; without one it passes. Rules of the other family don't count. The
 * first instruction holds @tag and does nothing (gtsm_tag).
 * Returns how many instructions; 0: none is needed, since no rule of the family has a min_ttl. *@told is
 * the number of @rules that have a place: the first so many, @n if it is large enough. Leaving some out
 * makes more packets pass, never fewer. */
size_t gtsm_build(const struct gtsm_rule *rules, size_t n, bool v6, uint32_t tag,
	struct sock_filter *out, size_t cap, size_t *told);
/* The @tag of a filter of gtsm_build; 0 for another one. */
uint32_t gtsm_tag(const struct sock_filter *prog, size_t n);

#endif
