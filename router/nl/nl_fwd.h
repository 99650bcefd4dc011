/* nl_fwd.h - other programs' chains that forwarded packets pass, and the one accept that weft keeps in
 * each of them that would drop everything it has no rule for. Inside router/nl only.
 *
 * An accept in a table of our own decides nothing for the tables behind it, so the accept has to stand
 * in theirs. It matches weft's mark alone, which a chain of weft's sets on the packets in question
 * (kern_out.c): one rule, that iptables' own tools can show and save, whatever the devices are.
 *
 * Where: right before what drops the rest, which is a rule without a condition that drops or rejects, a
 * jump without a condition to a chain that ends in such a one, or (at the end) the policy. What the host
 * refuses by rules of their own before that, stays refused. Two systems, one meaning: nf_tables by
 * netlink (nl_fwd.c; iptables-nft's tables are among them), the older iptables by its socket options
 * (nl_xt.c). */
#ifndef WEFT_NL_FWD_H
#define WEFT_NL_FWD_H

#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stdint.h>
#include "nlx.h"

#define NL_FWD_OURS    4 /* rules of ours in one chain that are looked at */
#define NL_FWD_COMMENT "weft: forwarded for pods and the mesh" /* how they are known */

/* A base chain of type filter at the forward hook that is not weft's. */
struct nl_fwd_place {
	uint8_t nfproto; /* NFPROTO_IPV4, _IPV6, _INET */
	bool drops;      /* its policy */
	char table[NFT_TABLE_MAXNAMELEN], chain[NFT_CHAIN_MAXNAMELEN];
};

struct nl_fwd_view {
	bool needed;                /* it would drop what it has no rule for */
	bool stands;                /* just one rule of ours, with the right mark, before that */
	uint64_t before;            /* handle of the rule that drops the rest; 0: the policy does */
	uint64_t ours[NL_FWD_OURS]; /* handles */
	size_t nours;
};

/* All such chains, at most @max; *@n is how many there are. -errno. */
int nl_fwd_places(struct nlx *x, struct nl_fwd_place *out, size_t max, size_t *n);
/* -errno, ERR_NOMEM. */
int nl_fwd_look(struct nlx *x, const struct nl_fwd_place *p, uint32_t mark, uint32_t mask,
	struct nl_fwd_view *out);
/* Remove what is there of ours, and put the accept (@mark not 0) where @v says. -EPERM: the table has an
 * owner that lets nobody in; -errno. */
int nl_fwd_set(struct nlx *x, const struct nl_fwd_place *p, const struct nl_fwd_view *v,
	uint32_t mark, uint32_t mask);
/* The table and chain of a rule's message; false: it is none. Borrowed from @nlh. */
bool nl_fwd_rule_event(
	const struct nlmsghdr *nlh, uint8_t *nfproto, const char **table, const char **chain);
/* Remove every accept of ours, wherever it stands; how many, or -errno. */
int nl_fwd_down(struct nlx *x, void (*note)(void *ctx, const char *what), void *ctx);

/* ---- the older iptables ---- */
struct nl_xt_view {
	bool there; /* somebody uses its filter table */
	bool needed, stands;
	unsigned ours;
};
/* @v6: ip6tables. Nobody's table is made by looking. -errno, ERR_MALFORMED, ERR_NOMEM. */
int nl_xt_look(bool v6, uint32_t mark, uint32_t mask, struct nl_xt_view *out);
/* As nl_fwd_set; @mark 0 only removes. The table is exchanged whole, under iptables' lock. -EAGAIN:
 * somebody holds that or was faster. */
int nl_xt_set(bool v6, uint32_t mark, uint32_t mask);

#endif
