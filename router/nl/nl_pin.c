/* nl_pin.c - one nf_tables rule that pins every pod to its own addresses, built by hand since the plugin
 * must not need the nft program. As nft would print it:
 *
 *	table inet TABLE {
 *		chain pin {
 *			type filter hook prerouting priority -290; policy accept;
 *			iifname "PREFIX*" fib saddr . iif oif missing counter drop
 *		}
 *	}
 *
 * The kernel looks the source address up in the tables that routing itself uses, and the rule drops what
 * would not be routed back by the device it came from. rp_filter does the same for IPv4 only, and is
 * weakened by the host's "all" setting.
 *
 * Data in: two names. Data out: messages; whether the rule stands. No state. Failure: the kernel carries
 * out a batch whole or not at all. */
#include "nl_pod.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include "weft/err.h"

#define NFT(type)    ((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | (type)))
#define CHAIN        "pin"
#define PIN_PRIORITY (-290)

#define BATCH_BYTES 2048

struct batch {
	char buf[BATCH_BYTES];
	size_t len;
	uint32_t seq;
};

static struct nlmsghdr *add(
	struct batch *b, uint16_t type, uint16_t flags, uint8_t family, uint16_t res_id)
{
	struct nlmsghdr *nlh = nlx_msg(b->buf + b->len, type, flags, sizeof(struct nfgenmsg));
	struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);

	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	g->res_id = htons(res_id);
	nlh->nlmsg_seq = ++b->seq;
	return nlh;
}

static void end(struct batch *b, const struct nlmsghdr *nlh)
{
	b->len += MNL_ALIGN(nlh->nlmsg_len);
}

static void put_be32(struct nlmsghdr *nlh, uint16_t type, uint32_t v)
{
	mnl_attr_put_u32(nlh, type, htonl(v));
}

static struct nlattr *expr_begin(struct nlmsghdr *nlh, const char *name, struct nlattr **data)
{
	struct nlattr *elem = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);

	mnl_attr_put_strz(nlh, NFTA_EXPR_NAME, name);
	*data = mnl_attr_nest_start(nlh, NFTA_EXPR_DATA);
	return elem;
}

static void expr_end(struct nlmsghdr *nlh, struct nlattr *elem, struct nlattr *data)
{
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, elem);
}

/* Register 1 equals these bytes. */
static void expr_cmp(struct nlmsghdr *nlh, const void *bytes, size_t len)
{
	struct nlattr *data, *elem = expr_begin(nlh, "cmp", &data), *value;

	put_be32(nlh, NFTA_CMP_SREG, NFT_REG_1);
	put_be32(nlh, NFTA_CMP_OP, NFT_CMP_EQ);
	value = mnl_attr_nest_start(nlh, NFTA_CMP_DATA);
	mnl_attr_put(nlh, NFTA_DATA_VALUE, len, bytes);
	mnl_attr_nest_end(nlh, value);
	expr_end(nlh, elem, data);
}

static void put_exprs(struct nlmsghdr *nlh, const char *prefix)
{
	static const uint8_t zero[4];
	struct nlattr *list = mnl_attr_nest_start(nlh, NFTA_RULE_EXPRESSIONS);
	struct nlattr *elem, *data, *value, *verdict;

	elem = expr_begin(nlh, "meta", &data);
	put_be32(nlh, NFTA_META_DREG, NFT_REG_1);
	put_be32(nlh, NFTA_META_KEY, NFT_META_IIFNAME);
	expr_end(nlh, elem, data);
	expr_cmp(nlh, prefix, strlen(prefix)); /* the first bytes only: any name that begins so */

	elem = expr_begin(nlh, "fib", &data);
	put_be32(nlh, NFTA_FIB_DREG, NFT_REG_1);
	put_be32(nlh, NFTA_FIB_RESULT, NFT_FIB_RESULT_OIF);
	put_be32(nlh, NFTA_FIB_FLAGS, NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT);
	expr_end(nlh, elem, data);
	expr_cmp(nlh, zero, sizeof(zero));

	elem = expr_begin(nlh, "counter", &data);
	expr_end(nlh, elem, data);

	elem = expr_begin(nlh, "immediate", &data);
	put_be32(nlh, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	value = mnl_attr_nest_start(nlh, NFTA_IMMEDIATE_DATA);
	verdict = mnl_attr_nest_start(nlh, NFTA_DATA_VERDICT);
	put_be32(nlh, NFTA_VERDICT_CODE, NF_DROP);
	mnl_attr_nest_end(nlh, verdict);
	mnl_attr_nest_end(nlh, value);
	expr_end(nlh, elem, data);
	mnl_attr_nest_end(nlh, list);
}

static void put_table(struct batch *b, uint16_t type, uint16_t flags, const char *table)
{
	struct nlmsghdr *nlh = add(b, NFT(type), flags, NFPROTO_INET, 0);

	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table);
	end(b, nlh);
}

static void put_chain(struct batch *b, const char *table)
{
	struct nlmsghdr *nlh = add(b, NFT(NFT_MSG_NEWCHAIN), NLM_F_CREATE, NFPROTO_INET, 0);
	struct nlattr *hook;

	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, CHAIN);
	hook = mnl_attr_nest_start(nlh, NFTA_CHAIN_HOOK);
	put_be32(nlh, NFTA_HOOK_HOOKNUM, NF_INET_PRE_ROUTING);
	put_be32(nlh, NFTA_HOOK_PRIORITY, (uint32_t)PIN_PRIORITY);
	mnl_attr_nest_end(nlh, hook);
	put_be32(nlh, NFTA_CHAIN_POLICY, NF_ACCEPT);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TYPE, "filter");
	end(b, nlh);
}

int nl_pin_put(struct nlx *x, const char *table, const char *prefix)
{
	struct batch b = {.seq = x->seq};
	struct nlmsghdr *nlh;
	uint32_t acked;

	nlh = add(&b, NFNL_MSG_BATCH_BEGIN, 0, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES);
	end(&b, nlh);
	/* Made (if it isn't there), deleted, made again: empty, whatever was before. */
	put_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, table);
	put_table(&b, NFT_MSG_DELTABLE, 0, table);
	put_table(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE, table);
	put_chain(&b, table);
	nlh = add(
		&b, NFT(NFT_MSG_NEWRULE), NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, NFPROTO_INET, 0);
	acked = nlh->nlmsg_seq;
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, CHAIN);
	put_exprs(nlh, prefix);
	end(&b, nlh);
	nlh = add(&b, NFNL_MSG_BATCH_END, 0, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES);
	end(&b, nlh);
	x->seq = b.seq;
	return nlx_talk_raw(x, b.buf, b.len, acked, NULL, NULL);
}

struct rules {
	unsigned n, good;
	const char *table;
};

/* The names of a rule's expressions, in order. */
static bool is_pin(const struct nlattr *list)
{
	static const char *const want[] = {"meta", "cmp", "fib", "cmp", "counter", "immediate"};
	static const struct nlx_policy policy[] = {{NFTA_EXPR_NAME, MNL_TYPE_NUL_STRING}};
	const struct nlattr *elem, *tb[NFTA_EXPR_NAME + 1];
	unsigned n = 0;

	mnl_attr_for_each_nested(elem, list)
	{
		if (n == sizeof(want) / sizeof(want[0]) ||
			nlx_attrs_nested(elem, policy, 1, tb, NFTA_EXPR_NAME) != 0 ||
			!tb[NFTA_EXPR_NAME] ||
			strcmp(mnl_attr_get_str(tb[NFTA_EXPR_NAME]), want[n++]) != 0)
			return false;
	}
	return n == sizeof(want) / sizeof(want[0]);
}

static int count_rule(void *ctx, const struct nlmsghdr *nlh)
{
	static const struct nlx_policy policy[] = {{NFTA_RULE_EXPRESSIONS, MNL_TYPE_NESTED}};
	const struct nlattr *tb[NFTA_RULE_EXPRESSIONS + 1];
	struct rules *r = ctx;
	int err;

	if (!nl_nft_names(nlh, r->table))
		return 0;
	err = nlx_attrs(nlh, sizeof(struct nfgenmsg), policy, 1, tb, NFTA_RULE_EXPRESSIONS);
	if (err != 0)
		return err;
	r->n++;
	r->good += tb[NFTA_RULE_EXPRESSIONS] && is_pin(tb[NFTA_RULE_EXPRESSIONS]);
	return 0;
}

static void count_begin(void *ctx)
{
	struct rules *r = ctx;

	r->n = r->good = 0;
}

int nl_pin_check(struct nlx *x, const char *table)
{
	struct rules r = {.table = table};
	char buf[256];
	struct nlmsghdr *nlh = nlx_msg(buf, NFT(NFT_MSG_GETRULE), 0, sizeof(struct nfgenmsg));
	struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);
	int err;

	g->nfgen_family = NFPROTO_INET;
	g->version = NFNETLINK_V0;
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, table);
	err = nlx_dump(x, nlh, count_begin, count_rule, &r);
	if (err != 0)
		return err == -ENOENT ? ERR_NOT_FOUND : err;
	return r.n == 1 && r.good == 1 ? 0 : ERR_NOT_FOUND;
}
