/* The section `bgp:`. In: the tree of the section. Out: struct conf_bgp, and errors with their line.
 *
 * A table for each kind of map: the section, `announce`, `nodes`, entries of `peers` and `clusters`. A row names
 * the key, says what is allowed, and how the value gets into its field (conf_bgp_value.h). What no single key shows is
 * checked at the end of each map. Bounds: LIM_BGP_PEERS peers, CONF_LIST_MAX prefixes of a list and
 * entries of `clusters`. */
#include "conf_bgp.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "conf_bgp_value.h"
#include "conf_policy.h"
#include "conf_tree.h"
#include "weft/err.h"

#define KEY_BYTES    64
#define KEYS_MAX     64
#define ALLOW_ASN    "1 to 4294967294, not 23456; 64512 is an asn for private use"
#define ALLOW_ADDR   "an IPv4 or IPv6 address"
#define ALLOW_YESNO  "yes or no"
#define ALLOW_PFXS   "a list of IPv4 and IPv6 CIDRs"
#define ALLOW_FILTER "accept, reject, the name of a policy, or a list of prefixes"

struct map_key;

/* What reading one value needs. */
struct take {
	struct conf_load *l;
	const char *path; /* "bgp.peers.asn" */
	const struct map_key *key;
	void *field;
};

struct map_key {
	const char *name, *allowed;
	void (*take)(const struct take *t, const struct conf_node *v);
	conf_parse_fn parse; /* of take_text and take_prefixes */
	size_t off;
};

static void refuse(const struct take *t, unsigned line, const char *what)
{
	conf_error(t->l, line, t->path, t->key->allowed, "%s", what);
}

static bool parse(const struct take *t, const struct conf_node *v, void *out)
{
	char why[CONF_WHY], shown[CONF_SHOWN];

	if (v->kind != CONF_NODE_TEXT) {
		refuse(t, v->line, "needs one plain value");
		return false;
	}
	if (t->key->parse(v->text, out, why) == 0)
		return true;
	conf_error(
		t->l, v->line, t->path, t->key->allowed, "'%s' %s", conf_show(v->text, shown), why);
	return false;
}

static void take_text(const struct take *t, const struct conf_node *v)
{
	(void)parse(t, v, t->field);
}

/* --- lists and maps --- */

static void take_password(const struct take *t, const struct conf_node *v)
{
	char why[CONF_WHY];

	if (v->kind != CONF_NODE_TEXT)
		refuse(t, v->line, "needs one plain value");
	else if (t->key->parse(v->text, t->field, why) != 0)
		refuse(t, v->line, why);
}

/* What other speakers do and weft does not: keys and families that name it, and what there is instead. */
#define NO_CONFED                                                                                  \
	"confederations (RFC 5065) are not spoken", "iBGP of all routers, or an asn for each"
#define NO_EVPN    "EVPN (RFC 7432) is not spoken", "ipv4 and ipv6; weft carries layer 3 alone"
#define NO_FLOW    "flowspec (RFC 8955) is not spoken", "ipv4 and ipv6; filter at the neighbour"
#define NO_TCP_AO  "TCP-AO (RFC 5925) is not spoken", "password, for TCP-MD5, and ttl-security"
#define NO_BFD(w)  w, "the asynchronous mode, by min-tx, min-rx, multiplier, multihop"
#define NO_VPN     "VPN families are between linked clusters alone", "ipv4 and ipv6"
#define MAP_PEERS  "bgp.peers"
#define MAP_BFD    "bgp.peers.bfd"
#define MAP_FAMILY "" /* no map has that name: the row is a value of `families` */

static const struct unspoken {
	const char *map, *name, *what, *instead;
} unspoken[] = {
	{"bgp", "confederation", NO_CONFED},
	{"bgp", "confederation-id", NO_CONFED},
	{"bgp", "confederation-peers", NO_CONFED},
	{MAP_PEERS, "confederation", NO_CONFED},
	{MAP_PEERS, "confederation-member", NO_CONFED},
	{"bgp", "evpn", NO_EVPN},
	{MAP_PEERS, "evpn", NO_EVPN},
	{MAP_FAMILY, "evpn", NO_EVPN},
	{MAP_FAMILY, "l2vpn-evpn", NO_EVPN},
	{"bgp", "flowspec", NO_FLOW},
	{MAP_PEERS, "flowspec", NO_FLOW},
	{MAP_FAMILY, "flowspec", NO_FLOW},
	{MAP_FAMILY, "flow4", NO_FLOW},
	{MAP_FAMILY, "flow6", NO_FLOW},
	{MAP_FAMILY, "ipv4-flowspec", NO_FLOW},
	{MAP_FAMILY, "ipv6-flowspec", NO_FLOW},
	{MAP_FAMILY, "vpnv4", NO_VPN},
	{MAP_FAMILY, "vpnv6", NO_VPN},
	{MAP_PEERS, "tcp-ao", NO_TCP_AO},
	{MAP_PEERS, "ao", NO_TCP_AO},
	{MAP_PEERS, "keychain", NO_TCP_AO},
	{MAP_BFD, "echo", NO_BFD("BFD's echo (RFC 5880 6.4) is not spoken")},
	{MAP_BFD, "demand", NO_BFD("BFD's demand mode (RFC 5880 6.6) is not spoken")},
	{MAP_BFD, "authentication", NO_BFD("BFD's authentication (RFC 5880 6.7) is not spoken")},
	{MAP_BFD, "password", NO_BFD("BFD's authentication (RFC 5880 6.7) is not spoken")},
};

/* Says so and returns true if @name of the map @map is one of these. */
static bool say_unspoken(
	struct conf_load *l, unsigned line, const char *path, const char *map, const char *name)
{
	for (size_t i = 0; i < sizeof(unspoken) / sizeof(unspoken[0]); i++) {
		const struct unspoken *u = &unspoken[i];

		if (strcmp(u->map, map) != 0 || strcmp(u->name, name) != 0)
			continue;
		conf_error(l, line, path, u->instead, "%s", u->what);
		return true;
	}
	return false;
}

static void take_families(const struct take *t, const struct conf_node *v)
{
	struct conf_bgp_peer *p = t->field;

	if (v->kind != CONF_NODE_LIST) {
		refuse(t, v->line, "needs a list");
		return;
	}
	for (const struct conf_node *i = v->sub; i; i = i->next) {
		if (i->kind == CONF_NODE_TEXT && strcmp(i->text, "ipv4") == 0)
			p->ipv4 = true;
		else if (i->kind == CONF_NODE_TEXT && strcmp(i->text, "ipv6") == 0)
			p->ipv6 = true;
		else if (i->kind != CONF_NODE_TEXT ||
			 !say_unspoken(t->l, i->line, t->path, MAP_FAMILY, i->text))
			refuse(t, i->line, "no such family");
	}
}

static void take_next_hops(const struct take *t, const struct conf_node *v)
{
	if (v->kind != CONF_NODE_LIST) {
		(void)parse(t, v, t->field);
		return;
	}
	for (const struct conf_node *i = v->sub; i; i = i->next)
		(void)parse(t, i, t->field);
}

static void take_prefixes(const struct take *t, const struct conf_node *v)
{
	struct conf_bgp_prefixes *list = t->field;

	if (v->kind != CONF_NODE_LIST) {
		refuse(t, v->line, "needs a list");
		return;
	}
	for (const struct conf_node *i = v->sub; i; i = i->next) {
		struct pfx *v2;

		if (list->n == CONF_LIST_MAX) {
			refuse(t, i->line, "too many entries");
			return;
		}
		v2 = conf_grow(list->v, list->n, sizeof(*v2));
		if (!v2) {
			t->l->no_memory = true;
			return;
		}
		list->v = v2;
		if (parse(t, i, &v2[list->n]))
			list->n++;
	}
}

/* What it names may stand further down: conf_policy.c reads it in the end. */
static void take_filter(const struct take *t, const struct conf_node *v)
{
	((struct conf_bgp_filter *)t->field)->node = v;
}

/* Read by conf_policy.c, before all else. */
static void take_policy(const struct take *t, const struct conf_node *v)
{
	(void)t;
	(void)v;
}

static void take_listen(const struct take *t, const struct conf_node *v)
{
	struct conf_bgp *b = t->field;
	const struct conf_node *i = v->kind == CONF_NODE_LIST ? v->sub : v;

	for (; i; i = v->kind == CONF_NODE_LIST ? i->next : NULL) {
		if (b->nlisten == CONF_BGP_LISTEN_MAX) {
			refuse(t, i->line, "too many entries");
			return;
		}
		if (parse(t, i, &b->listen[b->nlisten]))
			b->nlisten++;
	}
}

static void take_announce(const struct take *t, const struct conf_node *v);
static void take_nodes(const struct take *t, const struct conf_node *v);
static void take_bfd(const struct take *t, const struct conf_node *v);
static void take_peers(const struct take *t, const struct conf_node *v);
static void take_clusters(const struct take *t, const struct conf_node *v);

#define B(f) offsetof(struct conf_bgp, f)
#define A(f) offsetof(struct conf_bgp_announce, f)
#define P(f) offsetof(struct conf_bgp_peer, f)
#define F(f) offsetof(struct conf_bgp_bfd, f)
#define L(f) offsetof(struct conf_bgp_cluster, f)
#define N(f) offsetof(struct conf_bgp_nodes, f)

static const struct map_key bgp_keys[] = {
	{"asn", ALLOW_ASN, take_text, conf_bgp_parse_asn, B(asn)},
	{"router-id", "an IPv4 address, this node's alone", take_text, conf_bgp_parse_router_id,
		B(router_id)},
	{"listen", "ADDR[:PORT], or a list of at most 8; port 179 unless given", take_listen,
		conf_bgp_parse_listen, 0},
	{"announce", "the keys pods, ranges, services, aggregates, clusters", take_announce, NULL,
		B(announce)},
	{"nodes", "the keys export, aggregates", take_nodes, NULL, B(nodes)},
	{"kernel", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, B(kernel)},
	{"multipath", "2 to 16 next hops of a prefix", take_text, conf_bgp_parse_multipath,
		B(multipath)},
	{"peers", "a list of entries with at least address and asn", take_peers, NULL, 0},
	{"clusters", "a list of entries with at least cluster", take_clusters, NULL, 0},
	{"sets", "the keys prefixes, communities, as-paths, asns", take_policy, NULL, 0},
	{"policies", "names, each with a list of rules", take_policy, NULL, 0},
	{"roa-file", "a path of at most 255 bytes", take_text, conf_parse_path, B(roa_file)},
};

static const struct map_key announce_keys[] = {
	{"pods", "none, own or all", take_text, conf_bgp_parse_pods, A(pods)},
	{"ranges", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, A(ranges)},
	{"services", ALLOW_PFXS, take_prefixes, conf_parse_any_pfx, A(services)},
	{"aggregates", ALLOW_PFXS, take_prefixes, conf_parse_any_pfx, A(aggregates)},
	{"clusters", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, A(clusters)},
};

static const struct map_key nodes_keys[] = {
	{"export", ALLOW_FILTER, take_filter, NULL, N(export)},
	{"aggregates", ALLOW_PFXS, take_prefixes, conf_parse_any_pfx, N(aggregates)},
};

static const struct map_key cluster_keys[] = {
	{"cluster", "the name of a link or of its cluster, or that cluster's id", take_text,
		conf_bgp_parse_cluster, L(name)},
	{"import", ALLOW_FILTER, take_filter, NULL, L(import)},
	{"export", ALLOW_FILTER, take_filter, NULL, L(export)},
	{"outside", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, L(outside)},
};

static const struct map_key bfd_keys[] = {
	{"min-tx", "10 to 60000 ms", take_text, conf_bgp_parse_bfd_ms, F(min_tx_ms)},
	{"min-rx", "10 to 60000 ms", take_text, conf_bgp_parse_bfd_ms, F(min_rx_ms)},
	/* As many as there may be hops. */
	{"multiplier", "1 to 255", take_text, conf_bgp_parse_hops, F(mult)},
	{"multihop", ALLOW_YESNO, take_text, conf_bgp_parse_bfd_hops, 0},
};

static const struct map_key peer_keys[] = {
	{"address", ALLOW_ADDR, take_text, conf_bgp_parse_peer_addr, P(remote)},
	{"asn", ALLOW_ASN, take_text, conf_bgp_parse_asn, P(asn)},
	{"interface", "the name of a device, instead of address", take_text,
		conf_bgp_parse_interface, P(interface)},
	{"range", "a CIDR, instead of address", take_text, conf_parse_any_pfx, P(range)},
	{"range-limit", "1 to 1024 neighbours", take_text, conf_bgp_parse_limit, P(range_limit)},
	{"port", "1 to 65535", take_text, conf_bgp_parse_port, P(remote)},
	{"source", ALLOW_ADDR, take_text, conf_bgp_parse_addr, P(source)},
	{"password", "1 to 80 bytes, the same at both ends", take_password, conf_bgp_parse_password,
		P(password)},
	{"multihop", "1 to 255 hops", take_text, conf_bgp_parse_hops, P(multihop)},
	{"ttl-security", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, P(ttl_security)},
	{"passive", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, P(passive)},
	{"families", "a list of ipv4, ipv6", take_families, NULL, 0},
	{"next-hop", "an address of each family at most", take_next_hops, conf_bgp_parse_next_hop,
		P(next_hop)},
	{"next-hop-self", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, P(next_hop_self)},
	{"hold", "0, or 3 to 65535 seconds", take_text, conf_bgp_parse_hold, 0},
	{"max-prefixes", "1 to 1048576", take_text, conf_bgp_parse_max_prefixes, P(max_prefixes)},
	{"max-prefix-warning", "1 to 1048576", take_text, conf_bgp_parse_max_prefixes,
		P(warn_prefixes)},
	{"max-prefix-restart", "1 to 65535 seconds", take_text, conf_bgp_parse_day,
		P(max_restart_secs)},
	{"graceful-restart", "no, helper or yes", take_text, conf_bgp_parse_restart, P(restart)},
	{"restart-time", "1 to 4095 seconds", take_text, conf_bgp_parse_restart_time,
		P(restart_secs)},
	{"stale-time", "1 to 3600 seconds", take_text, conf_bgp_parse_hour, P(stale_secs)},
	{"mrai", "1 to 3600 seconds", take_text, conf_bgp_parse_hour, P(mrai_secs)},
	{"local-as", ALLOW_ASN, take_text, conf_bgp_parse_asn, P(local_as)},
	{"local-as-no-prepend", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, P(no_prepend)},
	{"local-as-replace", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, P(replace_as)},
	{"as-override", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, P(as_override)},
	{"remove-private", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, P(remove_private)},
	{"allow-own-as", "0 to 10 times", take_text, conf_bgp_parse_own_as, P(allow_own_as)},
	{"add-path-receive", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, P(add_path_receive)},
	{"add-path-send", "2 to 64 paths of each prefix", take_text, conf_bgp_parse_paths,
		P(add_path_send)},
	{"extended-next-hop", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, P(v4_over_v6)},
	{"extended-messages", ALLOW_YESNO, take_text, conf_bgp_parse_noyes, P(no_ext_message)},
	{"role", "provider, rs-server, rs-client, customer or peer: what this node is to it",
		take_text, conf_bgp_parse_role, P(role)},
	{"role-strict", ALLOW_YESNO, take_text, conf_bgp_parse_yesno, P(role_strict)},
	{"bfd", "yes, no, or the keys min-tx, min-rx, multiplier, multihop", take_bfd,
		conf_bgp_parse_yesno, P(bfd)},
	{"import", ALLOW_FILTER, take_filter, NULL, P(import)},
	{"export", ALLOW_FILTER, take_filter, NULL, P(export)},
};

/* Fill @obj from the map @n by the @nkeys rows of @keys; @path is the map's own. False: it is none. */
static bool read_map(struct conf_load *l, const char *path, const struct conf_node *n,
	const struct map_key *keys, size_t nkeys, void *obj)
{
	unsigned seen[KEYS_MAX] = {0};
	char full[KEY_BYTES + CONF_SHOWN], shown[CONF_SHOWN];

	assert(nkeys <= KEYS_MAX);
	if (n->kind != CONF_NODE_MAP) {
		conf_error(l, n->line, path, NULL, "an entry has keys and values");
		return false;
	}
	for (const struct conf_node *m = n->sub; m; m = m->next) {
		size_t i = 0;

		while (i < nkeys && strcmp(keys[i].name, m->key) != 0)
			i++;
		(void)snprintf(full, sizeof(full), "%s.%s", path, conf_show(m->key, shown));
		if (i == nkeys) {
			if (!say_unspoken(l, m->line, full, path, m->key))
				conf_error(l, m->line, full, "the keys of weftd.yaml(5)",
					"unknown key");
			continue;
		}
		if (seen[i]) {
			conf_error(
				l, m->line, full, "once", "given twice, first on line %u", seen[i]);
			continue;
		}
		seen[i] = m->line;
		keys[i].take(&(struct take){l, full, &keys[i], (char *)obj + keys[i].off}, m);
	}
	return true;
}
#define READ_MAP(l, path, n, keys, obj)                                                            \
	read_map(l, path, n, keys, sizeof(keys) / sizeof((keys)[0]), obj)

static void take_announce(const struct take *t, const struct conf_node *v)
{
	(void)READ_MAP(t->l, t->path, v, announce_keys, t->field);
}

static void take_nodes(const struct take *t, const struct conf_node *v)
{
	struct conf_bgp_nodes *n = t->field;

	n->line = v->line;
	(void)READ_MAP(t->l, t->path, v, nodes_keys, n);
}

static void take_bfd(const struct take *t, const struct conf_node *v)
{
	struct conf_bgp_bfd *b = t->field;

	if (v->kind == CONF_NODE_TEXT)
		(void)parse(t, v, &b->on);
	else
		b->on = READ_MAP(t->l, t->path, v, bfd_keys, b);
}

/* --- what no single key shows --- */

static void check_peer(struct conf_load *l, const struct conf_bgp *b, const struct conf_bgp_peer *p)
{
	char text[IP_STRLEN];

	if ((p->remote.ip.family != IP_NONE) + (p->interface[0] != 0) +
				(p->range.ip.family != IP_NONE) !=
			1 ||
		p->asn == 0) {
		conf_error(l, p->line, "bgp.peers", NULL,
			"an entry needs address, interface or range, and asn");
		return;
	}
	if (p->remote.ip.family == IP_NONE &&
		(p->source.family != IP_NONE || p->multihop || p->bfd.on))
		conf_error(l, p->line, "bgp.peers", NULL,
			"source, multihop and bfd are for neighbours with an address");
	for (const struct conf_bgp_peer *o = b->peers; o < p; o++)
		if (conf_bgp_same_peer(o, p))
			conf_error(l, p->line, "bgp.peers.address", "each address once",
				"%s is there twice, first on line %u", ip_fmt(&p->remote.ip, text),
				o->line);
	if (p->source.family != IP_NONE && p->source.family != p->remote.ip.family)
		conf_error(l, p->line, "bgp.peers.source", "an address of the peer's family",
			"%s is of the other family", ip_fmt(&p->source, text));
	if (ip_is_link_local(&p->remote.ip))
		conf_error(l, p->line, "bgp.peers.address", "an address of wider scope",
			"%s is link-local", ip_fmt(&p->remote.ip, text));
	if (p->asn == b->asn && (p->local_as || p->as_override || p->remove_private || p->role))
		conf_error(l, p->line, "bgp.peers", NULL,
			"local-as, as-override, remove-private and role are for peers of another "
			"AS");
	if (p->local_as && (p->local_as == b->asn || p->local_as == p->asn))
		conf_error(l, p->line, "bgp.peers.local-as", "neither bgp.asn nor the peer's asn",
			"%u is one of them", p->local_as);
	if (!p->local_as && (p->no_prepend || p->replace_as))
		conf_error(l, p->line, "bgp.peers", NULL,
			"local-as-no-prepend and local-as-replace need local-as");
	if (p->role_strict && !p->role)
		conf_error(l, p->line, "bgp.peers.role-strict", NULL, "needs role");
	if (p->warn_prefixes && p->max_prefixes && p->warn_prefixes >= p->max_prefixes)
		conf_error(l, p->line, "bgp.peers.max-prefix-warning", "less than max-prefixes",
			"%u would come too late", p->warn_prefixes);
	if (p->range_limit && p->range.ip.family == IP_NONE)
		conf_error(l, p->line, "bgp.peers.range-limit", NULL, "needs range");
	if ((p->passive || p->range.ip.family != IP_NONE) && b->nlisten == 0)
		conf_error(l, p->line, "bgp.peers.passive", NULL,
			"nobody could connect: bgp.listen is not given");
}

bool conf_bgp_same_peer(const struct conf_bgp_peer *a, const struct conf_bgp_peer *b)
{
	return ip_eq(&a->remote.ip, &b->remote.ip) && strcmp(a->interface, b->interface) == 0 &&
	       pfx_eq(&a->range, &b->range);
}

static void take_peers(const struct take *t, const struct conf_node *v)
{
	struct conf_bgp *b = t->field;

	if (v->kind != CONF_NODE_LIST) {
		refuse(t, v->line, "needs a list");
		return;
	}
	for (const struct conf_node *i = v->sub; i; i = i->next) {
		struct conf_bgp_peer *peers, *p;

		if (b->npeers == LIM_BGP_PEERS) {
			refuse(t, i->line, "too many peers");
			return;
		}
		peers = conf_grow(b->peers, b->npeers, sizeof(*peers));
		if (!peers) {
			t->l->no_memory = true;
			return;
		}
		b->peers = peers;
		p = &peers[b->npeers++];
		p->line = i->line;
		p->remote.port = BGP_PORT;
		p->restart = CONF_BGP_RESTART_HELPER;
		if (!READ_MAP(t->l, "bgp.peers", i, peer_keys, p))
			continue;
		if (p->interface[0])
			p->v4_over_v6 = true; /* there are no other next hops */
		if (p->interface[0] && !p->ipv4 && !p->ipv6)
			p->ipv4 = p->ipv6 = true;
		if (!p->ipv4 && !p->ipv6)
			*(p->remote.ip.family == IP_V6 || p->range.ip.family == IP_V6 ? &p->ipv6
										      : &p->ipv4) =
				true;
	}
}

static void take_clusters(const struct take *t, const struct conf_node *v)
{
	struct conf_bgp *b = t->field;

	if (v->kind != CONF_NODE_LIST) {
		refuse(t, v->line, "needs a list");
		return;
	}
	for (const struct conf_node *i = v->sub; i; i = i->next) {
		struct conf_bgp_cluster *grown, *c;

		if (b->nclusters == CONF_LIST_MAX) {
			refuse(t, i->line, "too many entries");
			return;
		}
		grown = conf_grow(b->clusters, b->nclusters, sizeof(*grown));
		if (!grown) {
			t->l->no_memory = true;
			return;
		}
		b->clusters = grown;
		c = &grown[b->nclusters++];
		c->line = i->line;
		if (READ_MAP(t->l, "bgp.clusters", i, cluster_keys, c) && !c->name[0])
			conf_error(t->l, i->line, "bgp.clusters.cluster", cluster_keys[0].allowed,
				"missing");
	}
}

const char *conf_bgp_peer_name(const struct conf_bgp_peer *p, char out[CONF_BGP_PEER_NAME])
{
	if (p->interface[0])
		(void)snprintf(out, CONF_BGP_PEER_NAME, "%s", p->interface);
	else if (p->range.ip.family != IP_NONE)
		pfx_fmt(&p->range, out);
	else if (p->remote.ip.family != IP_NONE)
		ip_fmt(&p->remote.ip, out);
	else
		out[0] = '\0';
	return out;
}

static void read_filters(struct conf_load *l, struct conf_bgp *b, struct conf_bgp_peer *p)
{
	char label[CONF_BGP_PEER_NAME + 16], text[CONF_BGP_PEER_NAME];

	conf_bgp_peer_name(p, text);
	(void)snprintf(label, sizeof(label), "(import of %s)", text);
	conf_policy_filter(l, "bgp.peers.import", b->policies, label, &p->import);
	(void)snprintf(label, sizeof(label), "(export to %s)", text);
	conf_policy_filter(l, "bgp.peers.export", b->policies, label, &p->export);
}

/* Over the control segment the way leads to the gateway that told of it. */
static void mesh_filter(struct conf_load *l, struct conf_bgp *b, const char *path,
	const char *label, unsigned line, struct conf_bgp_filter *f)
{
	conf_policy_filter(l, path, b->policies, label, f);
	if (f->policy && policy_sets_next_hop(f->policy))
		conf_error(l, line, path, "policies that set no next-hop",
			"inside the mesh the way leads to the gateway that told of it");
}

static void read_cluster(struct conf_load *l, struct conf_bgp *b, struct conf_bgp_cluster *c)
{
	char label[NODE_NAME_MAX + 32];

	for (const struct conf_bgp_cluster *o = b->clusters; o < c; o++)
		if (strcmp(o->name, c->name) == 0)
			conf_error(l, c->line, "bgp.clusters.cluster", "each once",
				"%s is there twice, first on line %u", c->name, o->line);
	(void)snprintf(label, sizeof(label), "(import of cluster %s)", c->name);
	mesh_filter(l, b, "bgp.clusters.import", label, c->line, &c->import);
	(void)snprintf(label, sizeof(label), "(export to cluster %s)", c->name);
	mesh_filter(l, b, "bgp.clusters.export", label, c->line, &c->export);
}

void conf_bgp_read(struct conf_load *l, const struct conf_node *n)
{
	struct conf_bgp *b = calloc(1, sizeof(*b));

	if (!b) {
		l->no_memory = true;
		return;
	}
	l->c->bgp = b;
	b->kernel = true;
	b->policies = policy_book_new();
	if (!b->policies) {
		l->no_memory = true;
		return;
	}
	conf_policy_read(l, n, b->policies);
	if (!READ_MAP(l, "bgp", n, bgp_keys, b))
		return;
	if (b->asn == 0 && (b->npeers || b->nlisten))
		conf_error(l, n->line, "bgp.asn", ALLOW_ASN, "missing");
	for (size_t i = 0; i < b->npeers; i++)
		check_peer(l, b, &b->peers[i]);
	for (size_t i = 0; i < b->npeers && !l->no_memory; i++)
		read_filters(l, b, &b->peers[i]);
	for (size_t i = 0; i < b->nclusters && !l->no_memory; i++)
		read_cluster(l, b, &b->clusters[i]);
	if (!l->no_memory)
		mesh_filter(l, b, "bgp.nodes.export", "(export to nodes)", b->nodes.line,
			&b->nodes.export);
}

void conf_bgp_free(struct conf_bgp *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->npeers; i++) {
		explicit_bzero(b->peers[i].password, sizeof(b->peers[i].password));
	}
	policy_book_free(b->policies);
	free(b->peers);
	free(b->clusters);
	free(b->announce.services.v);
	free(b->announce.aggregates.v);
	free(b->nodes.aggregates.v);
	free(b);
}
