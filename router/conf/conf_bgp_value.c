/* What single keys of the section `bgp:` take (conf_bgp.c): text to the field, by the word that keys have. */
#include "conf_bgp_value.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "conf_tree.h"
#include "weft/err.h"

#define ASN_TRANS 23456

static int bad(char *why, const char *what)
{
	(void)snprintf(why, CONF_WHY, "%s", what);
	return ERR_MALFORMED;
}

static bool digits(const char **text, unsigned long max, unsigned long *out)
{
	unsigned long v = 0;
	const char *p = *text;

	for (; isdigit((unsigned char)*p) && p - *text < 11; p++)
		v = v * 10 + (unsigned long)(*p - '0');
	if (p == *text || v > max)
		return false;
	*text = p;
	*out = v;
	return true;
}

static bool number(const char *text, unsigned long max, unsigned long *out)
{
	return digits(&text, max, out) && *text == '\0';
}

/* A number of that range; else @what is said of it. */
static int within(const char *text, unsigned long min, unsigned long max, unsigned long *v,
	char *why, const char *what)
{
	return number(text, max, v) && *v >= min ? 0 : bad(why, what);
}

int conf_bgp_parse_asn(const char *text, void *out, char *why)
{
	unsigned long v;

	if (!number(text, UINT32_MAX - 1, &v))
		return bad(why, "is no autonomous system number");
	if (v == 0 || v == ASN_TRANS)
		return bad(why, "is reserved");
	*(uint32_t *)out = (uint32_t)v;
	return 0;
}

int conf_bgp_parse_addr(const char *text, void *out, char *why)
{
	struct ip ip;

	if (ip_parse(text, &ip) != 0)
		return bad(why, "is no address");
	if (ip_is_unspecified(&ip) || ip_is_multicast(&ip))
		return bad(why, "is no host's address");
	*(struct ip *)out = ip;
	return 0;
}

/* The address of an endpoint whose port stands under another key. */
int conf_bgp_parse_peer_addr(const char *text, void *out, char *why)
{
	return conf_bgp_parse_addr(text, &((struct ep *)out)->ip, why);
}

int conf_bgp_parse_router_id(const char *text, void *out, char *why)
{
	struct ip ip;

	if (conf_bgp_parse_addr(text, &ip, why) != 0)
		return ERR_MALFORMED;
	if (ip.family != IP_V4)
		return bad(why, "is no IPv4 address");
	*(uint32_t *)out = (uint32_t)ip.b[0] << 24 | (uint32_t)ip.b[1] << 16 |
			   (uint32_t)ip.b[2] << 8 | ip.b[3];
	return 0;
}

int conf_bgp_parse_next_hop(const char *text, void *out, char *why)
{
	struct ip ip, *slots = out;

	if (conf_bgp_parse_addr(text, &ip, why) != 0)
		return ERR_MALFORMED;
	slots[ip.family == IP_V6] = ip;
	return 0;
}

int conf_bgp_parse_listen(const char *text, void *out, char *why)
{
	struct ep ep = {.port = BGP_PORT};

	if (ip_parse(text, &ep.ip) != 0 && ep_parse(text, BGP_PORT, &ep) != 0)
		return bad(why, "is no address and port");
	*(struct ep *)out = ep;
	return 0;
}

int conf_bgp_parse_port(const char *text, void *out, char *why)
{
	unsigned long v;

	if (!number(text, UINT16_MAX, &v) || v == 0)
		return bad(why, "is no port");
	((struct ep *)out)->port = (uint16_t)v;
	return 0;
}

int conf_bgp_parse_yesno(const char *text, void *out, char *why)
{
	bool yes = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;

	if (!yes && strcmp(text, "no") != 0 && strcmp(text, "false") != 0)
		return bad(why, "is neither yes nor no");
	*(bool *)out = yes;
	return 0;
}

int conf_bgp_parse_password(const char *text, void *out, char *why)
{
	size_t len = strlen(text);

	if (len == 0 || len > CONF_BGP_PASSWORD)
		return bad(why, "is too short or too long"); /* never shown: see take_password */
	memcpy(out, text, len + 1);
	return 0;
}

int conf_bgp_parse_hops(const char *text, void *out, char *why)
{
	unsigned long v;
	int err = within(text, 1, 255, &v, why, "is no number of hops");

	if (!err)
		*(uint8_t *)out = (uint8_t)v;
	return err;
}

/* A hold time touches two fields: @out is the whole peer. */
int conf_bgp_parse_hold(const char *text, void *out, char *why)
{
	struct conf_bgp_peer *p = out;
	unsigned long v;

	if (!number(text, UINT16_MAX, &v) || (v > 0 && v < 3))
		return bad(why, "is no hold time");
	p->hold_secs = (uint16_t)v;
	p->no_hold = v == 0;
	return 0;
}

int conf_bgp_parse_max_prefixes(const char *text, void *out, char *why)
{
	unsigned long v;
	int err = within(text, 1, LIM_BGP_PEER_PREFIXES, &v, why, "is out of range");

	if (!err)
		*(uint32_t *)out = (uint32_t)v;
	return err;
}

/* The index of @text in @words, which end with NULL, or an error. */
static int word(const char *text, const char *const *words, char *why)
{
	for (int i = 0; words[i]; i++)
		if (strcmp(text, words[i]) == 0)
			return i;
	return bad(why, "is none of them");
}

int conf_bgp_parse_pods(const char *text, void *out, char *why)
{
	static const char *const words[] = {"none", "own", "all", NULL};
	int i = word(text, words, why);

	if (i >= 0)
		*(enum conf_bgp_pods *)out = (enum conf_bgp_pods)i;
	return i < 0 ? i : 0;
}

int conf_bgp_parse_restart(const char *text, void *out, char *why)
{
	static const char *const words[] = {"no", "helper", "yes", NULL};
	int i = word(text, words, why);

	if (i >= 0)
		*(enum conf_bgp_restart *)out = (enum conf_bgp_restart)i;
	return i < 0 ? i : 0;
}

int conf_bgp_parse_role(const char *text, void *out, char *why)
{
	static const char *const words[] = {
		"provider", "rs-server", "rs-client", "customer", "peer", NULL};
	int i = word(text, words, why);

	if (i >= 0)
		*(enum conf_bgp_role *)out = (enum conf_bgp_role)(i + 1);
	return i < 0 ? i : 0;
}

static int parse_secs(const char *text, unsigned long max, void *out, char *why)
{
	unsigned long v;
	int err = within(text, 1, max, &v, why, "is out of range");

	if (!err)
		*(uint16_t *)out = (uint16_t)v;
	return err;
}

int conf_bgp_parse_hour(const char *text, void *out, char *why)
{
	return parse_secs(text, 3600, out, why);
}

int conf_bgp_parse_day(const char *text, void *out, char *why)
{
	return parse_secs(text, UINT16_MAX, out, why);
}

/* RFC 4724 3: 12 bits. */
int conf_bgp_parse_restart_time(const char *text, void *out, char *why)
{
	return parse_secs(text, 4095, out, why);
}

int conf_bgp_parse_interface(const char *text, void *out, char *why)
{
	size_t len = strlen(text);

	if (len == 0 || len >= CONF_BGP_IFNAME || strpbrk(text, "/ \t%"))
		return bad(why, "is no interface");
	memcpy(out, text, len + 1);
	return 0;
}

int conf_bgp_parse_limit(const char *text, void *out, char *why)
{
	unsigned long v;
	int err = within(text, 1, LIM_BGP_PEERS, &v, why, "is out of range");

	if (!err)
		*(uint16_t *)out = (uint16_t)v;
	return err;
}

int conf_bgp_parse_multipath(const char *text, void *out, char *why)
{
	unsigned long v;
	int err = within(text, 2, 16, &v, why, "is out of range");

	if (!err)
		*(uint8_t *)out = (uint8_t)v;
	return err;
}

int conf_bgp_parse_paths(const char *text, void *out, char *why)
{
	unsigned long v;
	int err = within(text, 2, 64, &v, why, "is out of range");

	if (!err)
		*(uint8_t *)out = (uint8_t)v;
	return err;
}

/* The field says the opposite of the key. */
int conf_bgp_parse_noyes(const char *text, void *out, char *why)
{
	bool yes;
	int err = conf_bgp_parse_yesno(text, &yes, why);

	if (err == 0)
		*(bool *)out = !yes;
	return err;
}

int conf_bgp_parse_own_as(const char *text, void *out, char *why)
{
	unsigned long v;
	int err = within(text, 0, 10, &v, why, "is out of range");

	if (!err)
		*(uint8_t *)out = (uint8_t)v;
	return err;
}

int conf_bgp_parse_bfd_ms(const char *text, void *out, char *why)
{
	unsigned long v;
	int err = within(text, 10, 60000, &v, why, "is no interval");

	if (!err)
		*(uint32_t *)out = (uint32_t)v;
	return err;
}

/* Two fields: @out is the whole of them. */
int conf_bgp_parse_bfd_hops(const char *text, void *out, char *why)
{
	struct conf_bgp_bfd *b = out;

	b->hops_given = true;
	return conf_bgp_parse_yesno(text, &b->multihop, why);
}

int conf_bgp_parse_cluster(const char *text, void *out, char *why)
{
	if (!node_name_ok(text))
		return bad(why, "is no name");
	(void)snprintf(out, NODE_NAME_MAX + 1, "%s", text);
	return 0;
}
