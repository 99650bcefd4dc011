/* nl_nftput.c - see nl_nftput.h. Data in: what should stand. Data out: one batch of messages between
 * NFNL_MSG_BATCH_BEGIN and END. Bounds: a rule's message is below RULE_BYTES by what its expressions
 * can be; the batch grows to BATCH_MAX_BYTES, beyond that ERR_NOMEM. */
#include "nl_nftput.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "weft/err.h"

#define NFT(type)       ((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | (type)))
#define RULE_BYTES      2048 /* room that one message may need */
#define BATCH_MAX_BYTES (1024 * 1024)
#define UDATA_COMMENT                                                                              \
	0 /* type of a rule's comment in its user data, as nft and iptables-nft have it */
#define COMMENT_MAX 127

/* RFC 9293 3.1, 3.2 */
#define TCP_FLAGS_AT 13 /* bytes into the header */
#define TCP_SYN      0x02
#define TCP_RST      0x04
#define TCP_OPT_MSS  2

/* Room for one more message; false: no memory, now or before. */
static bool room(struct nl_nft *b)
{
	size_t cap = b->cap ? b->cap * 2 : 8192;
	char *buf;

	if (b->err != 0)
		return false;
	if (b->len + RULE_BYTES <= b->cap)
		return true;
	buf = cap <= BATCH_MAX_BYTES ? realloc(b->buf, cap) : NULL;
	if (!buf) {
		b->err = ERR_NOMEM;
		return false;
	}
	b->buf = buf;
	b->cap = cap;
	return true;
}

/* A message; NULL: no memory. */
static struct nlmsghdr *msg(
	struct nl_nft *b, uint16_t type, uint16_t flags, uint8_t family, uint16_t res_id)
{
	struct nlmsghdr *nlh;
	struct nfgenmsg *g;

	if (!room(b))
		return NULL;
	nlh = nlx_msg(b->buf + b->len, type, flags, sizeof(struct nfgenmsg));
	g = mnl_nlmsg_get_payload(nlh);
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	g->res_id = htons(res_id);
	nlh->nlmsg_seq = ++b->seq;
	return nlh;
}

static void end(struct nl_nft *b, const struct nlmsghdr *nlh)
{
	b->last = b->len;
	b->len += MNL_ALIGN(nlh->nlmsg_len);
}

static void put_be32(struct nlmsghdr *nlh, uint16_t type, uint32_t v)
{
	mnl_attr_put_u32(nlh, type, htonl(v));
}

static void put_be64(struct nlmsghdr *nlh, uint16_t type, uint64_t v)
{
	uint32_t be[2] = {htonl((uint32_t)(v >> 32)), htonl((uint32_t)v)};

	mnl_attr_put(nlh, type, sizeof(be), be);
}

void nl_nft_begin(struct nl_nft *b, struct nlx *x)
{
	struct nlmsghdr *nlh;

	*b = (struct nl_nft){.x = x, .seq = x->seq, .first = x->seq + 1};
	nlh = msg(b, NFNL_MSG_BATCH_BEGIN, 0, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES);
	if (nlh)
		end(b, nlh);
}

/* A batch is one send, and a socket takes no more at once than its buffer holds. */
static void widen(const struct nl_nft *b)
{
	int bytes = BATCH_MAX_BYTES * 2;

	if (b->len > NLX_BUF_BYTES)
		setsockopt(mnl_socket_get_fd(b->x->sock), SOL_SOCKET, SO_SNDBUFFORCE, &bytes,
			sizeof(bytes));
}

int nl_nft_commit(struct nl_nft *b)
{
	uint32_t acked = b->seq;
	struct nlmsghdr *nlh;
	int err;

	/* What is acknowledged is the last message inside: the end itself never is. */
	if (b->err == 0 && acked != b->first)
		((struct nlmsghdr *)(void *)(b->buf + b->last))->nlmsg_flags |= NLM_F_ACK;
	nlh = msg(b, NFNL_MSG_BATCH_END, 0, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES);
	if (nlh)
		end(b, nlh);
	err = b->err;
	if (err == 0 && acked != b->first) {
		widen(b);
		b->x->seq = b->seq;
		err = nlx_talk_span(b->x, b->buf, b->len, b->first, acked, NULL, NULL);
	}
	free(b->buf);
	b->buf = NULL;
	return err;
}

/* ---- tables and chains ---- */

static void put_table(
	struct nl_nft *b, uint16_t type, uint16_t flags, uint8_t nfproto, const char *table)
{
	struct nlmsghdr *nlh = msg(b, NFT(type), flags, nfproto, 0);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table);
	end(b, nlh);
}

void nl_nft_new_table(struct nl_nft *b, uint8_t nfproto, const char *table)
{
	/* Made (if it isn't there), deleted, made again: empty, whatever was before. */
	put_table(b, NFT_MSG_NEWTABLE, NLM_F_CREATE, nfproto, table);
	put_table(b, NFT_MSG_DELTABLE, 0, nfproto, table);
	put_table(b, NFT_MSG_NEWTABLE, NLM_F_CREATE, nfproto, table);
}

void nl_nft_base_chain(struct nl_nft *b, uint8_t nfproto, const char *table, const char *chain,
	const char *type, uint32_t hook, int32_t priority)
{
	struct nlmsghdr *nlh = msg(b, NFT(NFT_MSG_NEWCHAIN), NLM_F_CREATE, nfproto, 0);
	struct nlattr *nest;

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, chain);
	nest = mnl_attr_nest_start(nlh, NFTA_CHAIN_HOOK);
	put_be32(nlh, NFTA_HOOK_HOOKNUM, hook);
	put_be32(nlh, NFTA_HOOK_PRIORITY, (uint32_t)priority);
	mnl_attr_nest_end(nlh, nest);
	put_be32(nlh, NFTA_CHAIN_POLICY, NF_ACCEPT);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TYPE, type);
	end(b, nlh);
}

void nl_nft_chain(struct nl_nft *b, uint8_t nfproto, const char *table, const char *chain)
{
	struct nlmsghdr *nlh = msg(b, NFT(NFT_MSG_NEWCHAIN), NLM_F_CREATE, nfproto, 0);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, chain);
	end(b, nlh);
}

void nl_nft_table_del(struct nl_nft *b, uint8_t nfproto, const char *table)
{
	put_table(b, NFT_MSG_DELTABLE, 0, nfproto, table);
}

/* ---- rules ---- */

void nl_nft_rule(struct nl_nft *b, uint8_t nfproto, const char *table, const char *chain,
	uint64_t before, const char *comment)
{
	uint16_t flags = before ? NLM_F_CREATE : NLM_F_CREATE | NLM_F_APPEND;
	uint8_t udata[COMMENT_MAX + 3];
	size_t n;

	b->rule = msg(b, NFT(NFT_MSG_NEWRULE), flags, nfproto, 0);
	if (!b->rule)
		return;
	mnl_attr_put_strz(b->rule, NFTA_RULE_TABLE, table);
	mnl_attr_put_strz(b->rule, NFTA_RULE_CHAIN, chain);
	if (before)
		put_be64(b->rule, NFTA_RULE_POSITION, before);
	if (comment) {
		n = strlen(comment);
		if (n > COMMENT_MAX)
			n = COMMENT_MAX;
		udata[0] = UDATA_COMMENT;
		udata[1] = (uint8_t)(n + 1);
		memcpy(udata + 2, comment, n);
		udata[n + 2] = '\0';
		mnl_attr_put(b->rule, NFTA_RULE_USERDATA, n + 3, udata);
	}
	b->exprs = mnl_attr_nest_start(b->rule, NFTA_RULE_EXPRESSIONS);
}

void nl_nft_rule_end(struct nl_nft *b)
{
	if (!b->rule)
		return;
	mnl_attr_nest_end(b->rule, b->exprs);
	end(b, b->rule);
	b->rule = NULL;
}

void nl_nft_rule_del(
	struct nl_nft *b, uint8_t nfproto, const char *table, const char *chain, uint64_t handle)
{
	struct nlmsghdr *nlh = msg(b, NFT(NFT_MSG_DELRULE), 0, nfproto, 0);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, chain);
	put_be64(nlh, NFTA_RULE_HANDLE, handle);
	end(b, nlh);
}

/* ---- expressions ---- */

/* Where a rule's expression stands while it is built. */
struct expr {
	struct nlattr *elem, *data;
};

static struct expr expr_begin(struct nlmsghdr *nlh, const char *name)
{
	struct expr e;

	e.elem = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	mnl_attr_put_strz(nlh, NFTA_EXPR_NAME, name);
	e.data = mnl_attr_nest_start(nlh, NFTA_EXPR_DATA);
	return e;
}

static void expr_end(struct nlmsghdr *nlh, struct expr e)
{
	mnl_attr_nest_end(nlh, e.data);
	mnl_attr_nest_end(nlh, e.elem);
}

static void put_value(struct nlmsghdr *nlh, uint16_t type, const void *bytes, size_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	mnl_attr_put(nlh, NFTA_DATA_VALUE, len, bytes);
	mnl_attr_nest_end(nlh, nest);
}

static void put_cmp(struct nlmsghdr *nlh, uint32_t op, const void *bytes, size_t len)
{
	struct expr e = expr_begin(nlh, "cmp");

	put_be32(nlh, NFTA_CMP_SREG, NFT_REG_1);
	put_be32(nlh, NFTA_CMP_OP, op);
	put_value(nlh, NFTA_CMP_DATA, bytes, len);
	expr_end(nlh, e);
}

/* register = (register & mask) ^ xor */
static void put_bitwise(struct nlmsghdr *nlh, const void *mask, const void *flip, size_t len)
{
	struct expr e = expr_begin(nlh, "bitwise");

	put_be32(nlh, NFTA_BITWISE_SREG, NFT_REG_1);
	put_be32(nlh, NFTA_BITWISE_DREG, NFT_REG_1);
	put_be32(nlh, NFTA_BITWISE_LEN, (uint32_t)len);
	put_value(nlh, NFTA_BITWISE_MASK, mask, len);
	put_value(nlh, NFTA_BITWISE_XOR, flip, len);
	expr_end(nlh, e);
}

static void put_meta(struct nlmsghdr *nlh, uint32_t key)
{
	struct expr e = expr_begin(nlh, "meta");

	put_be32(nlh, NFTA_META_DREG, NFT_REG_1);
	put_be32(nlh, NFTA_META_KEY, key);
	expr_end(nlh, e);
}

static void put_fib(struct nlmsghdr *nlh, uint32_t result, uint32_t flags)
{
	struct expr e = expr_begin(nlh, "fib");

	put_be32(nlh, NFTA_FIB_DREG, NFT_REG_1);
	put_be32(nlh, NFTA_FIB_RESULT, result);
	put_be32(nlh, NFTA_FIB_FLAGS, flags);
	expr_end(nlh, e);
}

void nl_nft_x_device(struct nl_nft *b, bool out, const char *name, bool begins)
{
	char text[IFNAMSIZ] = {0};

	if (!b->rule)
		return;
	strncpy(text, name, sizeof(text) - 1);
	put_meta(b->rule, out ? NFT_META_OIFNAME : NFT_META_IIFNAME);
	put_cmp(b->rule, NFT_CMP_EQ, text, begins ? strlen(text) : sizeof(text));
}

void nl_nft_x_prefix(struct nl_nft *b, bool dst, const struct pfx *p)
{
	static const uint8_t zero[16];
	bool v4 = p->ip.family == IP_V4;
	uint8_t nfproto = v4 ? NFPROTO_IPV4 : NFPROTO_IPV6, mask[16] = {0};
	uint32_t len = v4 ? 4 : 16, offset = v4 ? 12 : 8;
	struct expr e;

	if (!b->rule)
		return;
	for (unsigned i = 0; i < p->len && i < len * 8; i++)
		mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
	put_meta(b->rule, NFT_META_NFPROTO);
	put_cmp(b->rule, NFT_CMP_EQ, &nfproto, 1);
	e = expr_begin(b->rule, "payload");
	put_be32(b->rule, NFTA_PAYLOAD_DREG, NFT_REG_1);
	put_be32(b->rule, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
	put_be32(b->rule, NFTA_PAYLOAD_OFFSET, dst ? offset + len : offset);
	put_be32(b->rule, NFTA_PAYLOAD_LEN, len);
	expr_end(b->rule, e);
	put_bitwise(b->rule, mask, zero, len);
	put_cmp(b->rule, NFT_CMP_EQ, p->ip.b, len);
}

void nl_nft_x_mark(struct nl_nft *b, uint32_t mark, uint32_t mask)
{
	uint32_t zero = 0;

	if (!b->rule)
		return;
	put_meta(b->rule, NFT_META_MARK);
	put_bitwise(b->rule, &mask, &zero, sizeof(mask));
	put_cmp(b->rule, NFT_CMP_EQ, &mark, sizeof(mark));
}

void nl_nft_x_mark_set(struct nl_nft *b, uint32_t mark, uint32_t mask)
{
	uint32_t keep = ~mask;
	struct expr e;

	if (!b->rule)
		return;
	put_meta(b->rule, NFT_META_MARK);
	put_bitwise(b->rule, &keep, &mark, sizeof(keep));
	e = expr_begin(b->rule, "meta");
	put_be32(b->rule, NFTA_META_SREG, NFT_REG_1);
	put_be32(b->rule, NFTA_META_KEY, NFT_META_MARK);
	expr_end(b->rule, e);
}

void nl_nft_x_ct(struct nl_nft *b, uint32_t key, uint32_t bits)
{
	uint32_t zero = 0;
	struct expr e;

	if (!b->rule)
		return;
	e = expr_begin(b->rule, "ct");
	put_be32(b->rule, NFTA_CT_DREG, NFT_REG_1);
	put_be32(b->rule, NFTA_CT_KEY, key);
	expr_end(b->rule, e);
	put_bitwise(b->rule, &bits, &zero, sizeof(bits));
	put_cmp(b->rule, NFT_CMP_NEQ, &zero, sizeof(zero));
}

void nl_nft_x_source_local(struct nl_nft *b)
{
	uint32_t local = RTN_LOCAL;

	if (!b->rule)
		return;
	put_fib(b->rule, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_SADDR);
	put_cmp(b->rule, NFT_CMP_EQ, &local, sizeof(local));
}

void nl_nft_x_source_astray(struct nl_nft *b)
{
	static const uint8_t zero[4];

	if (!b->rule)
		return;
	put_fib(b->rule, NFT_FIB_RESULT_OIF,
		NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT);
	put_cmp(b->rule, NFT_CMP_EQ, zero, sizeof(zero));
}

void nl_nft_x_syn(struct nl_nft *b)
{
	static const uint8_t tcp = IPPROTO_TCP, mask = TCP_SYN | TCP_RST, syn = TCP_SYN, zero;
	struct expr e;

	if (!b->rule)
		return;
	put_meta(b->rule, NFT_META_L4PROTO);
	put_cmp(b->rule, NFT_CMP_EQ, &tcp, 1);
	e = expr_begin(b->rule, "payload");
	put_be32(b->rule, NFTA_PAYLOAD_DREG, NFT_REG_1);
	put_be32(b->rule, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
	put_be32(b->rule, NFTA_PAYLOAD_OFFSET, TCP_FLAGS_AT);
	put_be32(b->rule, NFTA_PAYLOAD_LEN, 1);
	expr_end(b->rule, e);
	put_bitwise(b->rule, &mask, &zero, 1);
	put_cmp(b->rule, NFT_CMP_EQ, &syn, 1);
}

void nl_nft_x_mss_clamp(struct nl_nft *b)
{
	struct expr e;

	if (!b->rule)
		return;
	e = expr_begin(b->rule, "rt");
	put_be32(b->rule, NFTA_RT_DREG, NFT_REG_1);
	put_be32(b->rule, NFTA_RT_KEY, NFT_RT_TCPMSS);
	expr_end(b->rule, e);
	e = expr_begin(b->rule, "byteorder");
	put_be32(b->rule, NFTA_BYTEORDER_SREG, NFT_REG_1);
	put_be32(b->rule, NFTA_BYTEORDER_DREG, NFT_REG_1);
	put_be32(b->rule, NFTA_BYTEORDER_OP, NFT_BYTEORDER_HTON);
	put_be32(b->rule, NFTA_BYTEORDER_LEN, 2);
	put_be32(b->rule, NFTA_BYTEORDER_SIZE, 2);
	expr_end(b->rule, e);
	/* The kernel itself leaves an option alone that is smaller already. */
	e = expr_begin(b->rule, "exthdr");
	put_be32(b->rule, NFTA_EXTHDR_SREG, NFT_REG_1);
	mnl_attr_put_u8(b->rule, NFTA_EXTHDR_TYPE, TCP_OPT_MSS);
	put_be32(b->rule, NFTA_EXTHDR_OFFSET, 2);
	put_be32(b->rule, NFTA_EXTHDR_LEN, 2);
	put_be32(b->rule, NFTA_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
	expr_end(b->rule, e);
}

void nl_nft_x_counter(struct nl_nft *b)
{
	if (b->rule)
		expr_end(b->rule, expr_begin(b->rule, "counter"));
}

void nl_nft_x_masquerade(struct nl_nft *b)
{
	struct expr e;

	if (!b->rule)
		return;
	e = expr_begin(b->rule, "masq");
	put_be32(b->rule, NFTA_MASQ_FLAGS, NF_NAT_RANGE_PROTO_RANDOM_FULLY);
	expr_end(b->rule, e);
}

void nl_nft_x_verdict(struct nl_nft *b, int code, const char *chain)
{
	struct nlattr *value, *verdict;
	struct expr e;

	if (!b->rule)
		return;
	e = expr_begin(b->rule, "immediate");
	put_be32(b->rule, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	value = mnl_attr_nest_start(b->rule, NFTA_IMMEDIATE_DATA);
	verdict = mnl_attr_nest_start(b->rule, NFTA_DATA_VERDICT);
	put_be32(b->rule, NFTA_VERDICT_CODE, (uint32_t)code);
	if (chain)
		mnl_attr_put_strz(b->rule, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(b->rule, verdict);
	mnl_attr_nest_end(b->rule, value);
	expr_end(b->rule, e);
}
