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

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include "nl_nftput.h"
#include "weft/err.h"

#define NFT(type)    ((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | (type)))
#define CHAIN        "pin"
#define PIN_PRIORITY (-290)

int nl_pin_put(struct nlx *x, const char *table, const char *prefix)
{
	struct nl_nft b;

	nl_nft_begin(&b, x);
	nl_nft_new_table(&b, NFPROTO_INET, table);
	nl_nft_base_chain(
		&b, NFPROTO_INET, table, CHAIN, "filter", NF_INET_PRE_ROUTING, PIN_PRIORITY);
	nl_nft_rule(&b, NFPROTO_INET, table, CHAIN, 0, NULL);
	nl_nft_x_device(&b, false, prefix, true);
	nl_nft_x_source_astray(&b);
	nl_nft_x_counter(&b);
	nl_nft_x_verdict(&b, NF_DROP, NULL);
	nl_nft_rule_end(&b);
	return nl_nft_commit(&b);
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
