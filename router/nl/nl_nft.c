/* nl_nft.c - looking at nf_tables and deleting a table, by netlink. Loading is done by the nft program
 * (priv_nft_load); what came of it is read back here and reduced to one number, so that a later change
 * by anybody shows. Handles and counters of use are left out: they change without meaning.
 *
 * Data in: a table's name. Data out: a number. Failure: a kernel without nf_tables answers EOPNOTSUPP
 * or refuses the socket. */
#include "nl_nftput.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include "map.h"
#include "weft/err.h"

#define NFT(type) ((uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | (type)))

static const uint8_t print_seed[16] = "weft nft print.";

struct print {
	const char *table;
	uint64_t sum;
	unsigned n;
};

static struct nlmsghdr *nft_msg(void *buf, uint16_t type, uint16_t flags, uint8_t nfproto)
{
	struct nlmsghdr *nlh = nlx_msg(buf, type, flags, sizeof(struct nfgenmsg));
	struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);

	g->nfgen_family = nfproto;
	g->version = NFNETLINK_V0;
	return nlh;
}

/* The name of the table that a message speaks of, or NULL. */
static const char *table_of(const struct nlmsghdr *nlh)
{
	/* The table's name is attribute 1 of tables, chains, rules, sets, elements and objects. */
	static const struct nlx_policy policy[] = {{NFTA_TABLE_NAME, MNL_TYPE_NUL_STRING}};
	const struct nlattr *tb[NFTA_TABLE_NAME + 1];

	if (NFNL_SUBSYS_ID(nlh->nlmsg_type) != NFNL_SUBSYS_NFTABLES ||
		NFNL_MSG_TYPE(nlh->nlmsg_type) == NFT_MSG_NEWGEN)
		return NULL;
	if (nlx_attrs(nlh, sizeof(struct nfgenmsg), policy, 1, tb, NFTA_TABLE_NAME) != 0)
		return NULL;
	return tb[NFTA_TABLE_NAME] ? mnl_attr_get_str(tb[NFTA_TABLE_NAME]) : NULL;
}

bool nl_nft_names(const struct nlmsghdr *nlh, const char *name)
{
	const char *table = table_of(nlh);

	return table && strcmp(table, name) == 0;
}

bool nl_nft_ours(const struct nlmsghdr *nlh)
{
	const char *table = table_of(nlh);

	return table && strncmp(table, "weft", 4) == 0 && (table[4] == '\0' || table[4] == '-');
}

bool nl_nft_chain_event(const struct nlmsghdr *nlh)
{
	return nlh->nlmsg_type == NFT(NFT_MSG_NEWCHAIN) || nlh->nlmsg_type == NFT(NFT_MSG_DELCHAIN);
}

/* Add an attribute to the print; order counts. */
static void print_attr(struct print *p, const struct nlattr *a)
{
	if (!a)
		return;
	p->sum = p->sum * 0x9e3779b97f4a7c15u +
		 map_siphash(print_seed, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
	p->n++;
}

static int print_table(void *ctx, const struct nlmsghdr *nlh)
{
	static const struct nlx_policy policy[] = {{NFTA_TABLE_FLAGS, MNL_TYPE_U32}};
	const struct nlattr *tb[NFTA_TABLE_FLAGS + 1];
	int err = nlx_attrs(nlh, sizeof(struct nfgenmsg), policy, 1, tb, NFTA_TABLE_FLAGS);

	if (err == 0)
		print_attr(ctx, tb[NFTA_TABLE_FLAGS]);
	return err;
}

static int print_chain(void *ctx, const struct nlmsghdr *nlh)
{
	static const struct nlx_policy policy[] = {
		{NFTA_CHAIN_NAME, MNL_TYPE_NUL_STRING},
		{NFTA_CHAIN_HOOK, MNL_TYPE_BINARY},
		{NFTA_CHAIN_POLICY, MNL_TYPE_U32},
		{NFTA_CHAIN_TYPE, MNL_TYPE_NUL_STRING},
	};
	const struct nlattr *tb[NFTA_CHAIN_TYPE + 1];
	struct print *p = ctx;
	int err;

	if (!nl_nft_names(nlh, p->table)) /* chains can't be asked for by table */
		return 0;
	err = nlx_attrs(nlh, sizeof(struct nfgenmsg), policy, 4, tb, NFTA_CHAIN_TYPE);
	if (err != 0)
		return err;
	print_attr(p, tb[NFTA_CHAIN_NAME]);
	print_attr(p, tb[NFTA_CHAIN_HOOK]);
	print_attr(p, tb[NFTA_CHAIN_POLICY]);
	print_attr(p, tb[NFTA_CHAIN_TYPE]);
	return 0;
}

static int print_rule(void *ctx, const struct nlmsghdr *nlh)
{
	static const struct nlx_policy policy[] = {
		{NFTA_RULE_CHAIN, MNL_TYPE_NUL_STRING},
		{NFTA_RULE_EXPRESSIONS, MNL_TYPE_BINARY},
	};
	const struct nlattr *tb[NFTA_RULE_EXPRESSIONS + 1];
	struct print *p = ctx;
	int err;

	if (!nl_nft_names(nlh, p->table))
		return 0;
	err = nlx_attrs(nlh, sizeof(struct nfgenmsg), policy, 2, tb, NFTA_RULE_EXPRESSIONS);
	if (err != 0)
		return err;
	print_attr(p, tb[NFTA_RULE_CHAIN]);
	print_attr(p, tb[NFTA_RULE_EXPRESSIONS]);
	return 0;
}

static void print_begin(void *ctx)
{
	struct print *p = ctx;

	p->sum = 0;
	p->n = 0;
}

int nl_nft_print(struct nlx *x, uint8_t nfproto, const char *table, uint64_t *out)
{
	struct print t = {.table = table}, c = t, r = t;
	char buf[256];
	struct nlmsghdr *nlh;
	int err;

	nlh = nft_msg(buf, NFT(NFT_MSG_GETTABLE), 0, nfproto);
	mnl_attr_put_strz(nlh, NFTA_TABLE_NAME, table);
	err = nlx_talk(x, nlh, print_table, &t);
	if (err != 0)
		return err == -ENOENT ? ERR_NOT_FOUND : err;
	nlh = nft_msg(buf, NFT(NFT_MSG_GETCHAIN), 0, nfproto);
	err = nlx_dump(x, nlh, print_begin, print_chain, &c);
	if (err != 0)
		return err;
	nlh = nft_msg(buf, NFT(NFT_MSG_GETRULE), 0, nfproto);
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, table);
	err = nlx_dump(x, nlh, print_begin, print_rule, &r);
	if (err != 0)
		return err;
	*out = map_siphash(print_seed, (uint64_t[]){t.sum, c.sum, r.sum, (uint64_t)c.n << 32 | r.n},
		4 * sizeof(uint64_t));
	return 0;
}

static void other_nat_begin(void *ctx)
{
	*(bool *)ctx = false;
}

static int other_nat_chain(void *ctx, const struct nlmsghdr *nlh)
{
	static const struct nlx_policy policy[] = {{NFTA_CHAIN_TYPE, MNL_TYPE_NUL_STRING}};
	const struct nlattr *tb[NFTA_CHAIN_TYPE + 1];
	bool *found = ctx;
	int err;

	if (nl_nft_ours(nlh))
		return 0;
	err = nlx_attrs(nlh, sizeof(struct nfgenmsg), policy, 1, tb, NFTA_CHAIN_TYPE);
	if (err == 0 && tb[NFTA_CHAIN_TYPE])
		*found |= strcmp(mnl_attr_get_str(tb[NFTA_CHAIN_TYPE]), "nat") == 0;
	return err;
}

int nl_nft_other_nat(struct nlx *x, bool *out)
{
	char buf[256];
	struct nlmsghdr *nlh = nft_msg(buf, NFT(NFT_MSG_GETCHAIN), 0, NFPROTO_UNSPEC);

	return nlx_dump(x, nlh, other_nat_begin, other_nat_chain, out);
}

int nl_nft_del(struct nlx *x, uint8_t nfproto, const char *table)
{
	struct nl_nft b;
	uint64_t print;
	int err = nl_nft_print(x, nfproto, table, &print);

	if (err != 0)
		return err;
	nl_nft_begin(&b, x);
	nl_nft_table_del(&b, nfproto, table);
	return nl_nft_commit(&b);
}
