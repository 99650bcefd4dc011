/* nl_nftput.h - nf_tables transactions built by hand: tables, chains, rules and the few expressions that
 * weft uses. Inside router/nl only. For what must stand without an `nft` program, and for the single
 * rules that weft keeps in other programs' chains.
 *
 * Call order: nl_nft_begin; tables, chains, rules; nl_nft_commit, which ends it and frees it, whatever
 * came of it. The first failure to get memory is kept and returned there, so that no other call needs
 * looking at. The kernel carries out the whole or nothing.
 *
 * Values of registers are as the kernel keeps them: marks and states in host order, addresses as on the
 * wire. All expressions use register 1. Names are borrowed during the call. */
#ifndef WEFT_NL_NFTPUT_H
#define WEFT_NL_NFTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include "nl_msg.h"

#define NL_NFT_WEFT_PODS "wpod" /* what the names of pods' host ends begin with */

struct nl_nft {
	struct nlx *x;
	char *buf;
	size_t len, cap, last; /* last: where the last message begins */
	uint32_t first, seq;   /* first: of the batch's own begin */
	struct nlmsghdr *rule;
	struct nlattr *exprs;
	int err; /* ERR_NOMEM, kept */
};

void nl_nft_begin(struct nl_nft *b, struct nlx *x);
/* 0; -errno as the kernel said (x->said has its words), -EPERM among them: the table has an owner;
 * ERR_NOMEM. */
int nl_nft_commit(struct nl_nft *b);

/* An empty table, whatever stood there. */
void nl_nft_new_table(struct nl_nft *b, uint8_t nfproto, const char *table);
void nl_nft_table_del(struct nl_nft *b, uint8_t nfproto, const char *table);
/* @hook: enum nf_inet_hooks; @type: "filter", "nat". Policy accept. */
void nl_nft_base_chain(struct nl_nft *b, uint8_t nfproto, const char *table, const char *chain,
	const char *type, uint32_t hook, int32_t priority);
void nl_nft_chain(struct nl_nft *b, uint8_t nfproto, const char *table, const char *chain);
/* A rule at the end of @chain, or before the rule with handle @before (not 0). @comment: NULL or at
 * most 127 characters. Expressions, then nl_nft_rule_end. */
void nl_nft_rule(struct nl_nft *b, uint8_t nfproto, const char *table, const char *chain,
	uint64_t before, const char *comment);
void nl_nft_rule_end(struct nl_nft *b);
void nl_nft_rule_del(
	struct nl_nft *b, uint8_t nfproto, const char *table, const char *chain, uint64_t handle);

/* The packet came in (@out: leaves) by a device of that name, or whose name begins so. */
void nl_nft_x_device(struct nl_nft *b, bool out, const char *name, bool begins);
/* Its source (@dst: destination) is in @p; for chains of family inet. */
void nl_nft_x_prefix(struct nl_nft *b, bool dst, const struct pfx *p);
/* (mark & @mask) == @mark */
void nl_nft_x_mark(struct nl_nft *b, uint32_t mark, uint32_t mask);
/* mark = (mark & ~@mask) | @mark */
void nl_nft_x_mark_set(struct nl_nft *b, uint32_t mark, uint32_t mask);
/* Some bit of the connection's state (NFT_CT_STATE) or status (NFT_CT_STATUS) is in @bits. */
void nl_nft_x_ct(struct nl_nft *b, uint32_t key, uint32_t bits);
/* The source is an address of this host. */
void nl_nft_x_source_local(struct nl_nft *b);
/* The source would not be routed back by the device that it came in by. */
void nl_nft_x_source_astray(struct nl_nft *b);
/* A TCP packet that begins a connection: SYN, with or without ACK. */
void nl_nft_x_syn(struct nl_nft *b);
/* Its MSS becomes what the routes of both directions carry, if that is less. Forward hook. */
void nl_nft_x_mss_clamp(struct nl_nft *b);
void nl_nft_x_counter(struct nl_nft *b);
void nl_nft_x_masquerade(struct nl_nft *b); /* ports fully at random */
/* @code: NF_ACCEPT, NF_DROP, NFT_RETURN, NFT_GOTO (to @chain, NULL for the others). */
void nl_nft_x_verdict(struct nl_nft *b, int code, const char *chain);

#endif
