/* Parsers of single values. Each takes the text as it was typed and says what is wrong in words
 * that follow the quoted value: "'10.0.0.1/8' has host bits set". */
#include "conf_schema.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "weft/wire.h"

static int bad(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int bad(char *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, CONF_WHY, fmt, ap);
	va_end(ap);
	return ERR_MALFORMED;
}

/* A decimal number of digits only, up to @max. */
static bool number(const char *text, size_t len, unsigned long max, unsigned long *out)
{
	unsigned long v = 0;

	if (len == 0 || len > 10)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		v = v * 10 + (unsigned long)(text[i] - '0');
	}
	*out = v;
	return v <= max;
}

int conf_parse_true(const char *text, void *out, char *why)
{
	*(bool *)out = true;
	return 0;
}

int conf_parse_name(const char *text, void *out, char *why)
{
	if (!node_name_ok(text))
		return bad(why, "is no node name");
	strcpy(out, text); /* node_name_ok: at most NODE_NAME_MAX */
	return 0;
}

int conf_parse_cluster(const char *text, void *out, char *why)
{
	struct conf *c = out;
	struct cluster_id id;

	if (cluster_id_parse(text, &id) == 0)
		(void)cluster_id_fmt(&id, c->cluster); /* lower case */
	else if (node_name_ok(text))
		strcpy(c->cluster, text); /* at most NODE_NAME_MAX */
	else
		return bad(why, "is no cluster id and no name");
	c->has_cluster = true;
	return 0;
}

static int copy_path(const char *text, char *out, size_t max, char *why)
{
	if (strncmp(text, "weft1-", 6) == 0)
		return bad(
			why, "looks like a secret, not like a path; put it in a file of mode 0600");
	if (strlen(text) > max)
		return bad(why, "is longer than %zu bytes", max);
	strcpy(out, text);
	return 0;
}

int conf_parse_path(const char *text, void *out, char *why)
{
	return copy_path(text, out, sizeof(((struct conf *)0)->state_dir) - 1, why);
}

int conf_parse_run_dir(const char *text, void *out, char *why)
{
	return copy_path(text, out, 90, why);
}

int conf_parse_listen(const char *text, void *out, char *why)
{
	struct ep e;

	if (ep_parse(text, 0, &e) != 0)
		return bad(why, "is no address and port");
	if (ip_is_multicast(&e.ip))
		return bad(why, "is a multicast address");
	*(struct ep *)out = e;
	return 0;
}

int conf_parse_metrics(const char *text, void *out, char *why)
{
	struct conf *c = out;
	struct ep e;

	if (strcmp(text, "off") == 0) {
		c->metrics_on = false;
		return 0;
	}
	int err = conf_parse_listen(text, &e, why);
	if (!err) {
		c->metrics_on = true;
		c->metrics = e;
	}
	return err;
}

/* An endpoint whose port may be left out, then IPv6 without brackets too. */
static int parse_addr(const char *text, struct ep *out)
{
	struct ep e = {.port = WIRE_DEFAULT_PORT};

	if (ip_parse(text, &e.ip) != 0)
		return ep_parse(text, WIRE_DEFAULT_PORT, out);
	*out = e;
	return 0;
}

int conf_parse_advertise(const char *text, void *out, char *why)
{
	struct ep e;

	if (parse_addr(text, &e) != 0)
		return bad(why, "is no address");
	if (ip_is_multicast(&e.ip) || ip_is_unspecified(&e.ip))
		return bad(why, "is no address of one host");
	*(struct ep *)out = e;
	return 0;
}

/* A host name (RFC 1123, underscores tolerated), or an IPv4 address if it looks like one. */
static bool host_ok(const char *host, size_t len)
{
	char text[254];
	bool numeric = true, label = false;
	struct ip ip;

	if (len == 0 || len >= sizeof(text))
		return false;
	memcpy(text, host, len);
	text[len] = '\0';
	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)text[i];

		if (ch == '.') {
			if (!label)
				return false;
			label = false;
			continue;
		}
		if (!isalnum(ch) && ch != '_' && (ch != '-' || !label))
			return false;
		numeric = numeric && isdigit(ch);
		label = true;
	}
	return !numeric || ip_parse(text, &ip) == 0;
}

int conf_parse_peer(const char *text, void *out, char *why)
{
	struct conf_peer *peer = out;
	const char *colon = strchr(text, ':');
	size_t len = strlen(text);
	unsigned long port;
	struct ep e;

	if (len >= sizeof(peer->text))
		return bad(why, "is too long");
	if (text[0] == '[' || (colon && strchr(colon + 1, ':'))) { /* IPv6 */
		if (parse_addr(text, &e) != 0)
			return bad(why, "is no IPv6 address");
		if (e.port == 0)
			return bad(why, "has port 0");
		if (ip_is_unspecified(&e.ip) || ip_is_multicast(&e.ip))
			return bad(why, "is no address of one host");
	} else {
		size_t host_len = colon ? (size_t)(colon - text) : len;

		if (!host_ok(text, host_len))
			return bad(why, "has no valid host name or address");
		if (colon &&
			(!number(colon + 1, len - host_len - 1, UINT16_MAX, &port) || port == 0))
			return bad(why, "has no valid port");
	}
	memcpy(peer->text, text, len + 1);
	return 0;
}

int conf_parse_any_pfx(const char *text, void *out, char *why)
{
	char fmt[PFX_STRLEN];
	struct pfx p = {0};
	int err = pfx_parse(text, &p);

	if (err == ERR_RANGE && p.ip.family != IP_NONE)
		return bad(why, "has host bits set (%s is the network)", pfx_fmt(&p, fmt));
	if (err == ERR_RANGE)
		return bad(why, "has a length that its family does not have");
	if (err)
		return bad(why, "is no CIDR");
	*(struct pfx *)out = p;
	return 0;
}

int conf_parse_range(const char *text, void *out, char *why)
{
	struct pfx p;
	int err = conf_parse_any_pfx(text, &p, why);

	if (err)
		return err;
	if (p.len == 0)
		return bad(why, "is everything, the underlay included");
	if (ip_is_multicast(&p.ip) || ip_is_loopback(&p.ip) || ip_is_link_local(&p.ip))
		return bad(why, "is multicast, loopback or link-local");
	*(struct pfx *)out = p;
	return 0;
}

int conf_parse_device(const char *text, void *out, char *why)
{
	size_t len = strlen(text);

	/* the kernel's own rule, dev_valid_name(), and no control characters */
	if (len == 0 || len > 15 || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return bad(why, "is no device name");
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)text[i]) || strchr("/:%", text[i]))
			return bad(why, "is no device name");
	memcpy(out, text, len + 1);
	return 0;
}

/* LEN of auto/LEN. Both families have lengths from 8 to 32, but nobody claims blocks of so few
 * addresses in IPv4, or of so many in IPv6: up to 30 it means IPv4, above IPv6. */
static int parse_claim(const char *len_text, struct conf_prefix *out, char *why)
{
	unsigned long len = 0;

	if (!number(len_text, strlen(len_text), 126, &len) || len < 8)
		return bad(why, "has no length from 8 to 126 behind auto/");
	out->claim = true;
	out->pfx.ip.family = len <= 30 ? IP_V4 : IP_V6;
	out->pfx.len = (uint8_t)len;
	return 0;
}

int conf_parse_prefix(const char *text, void *out, char *why)
{
	struct conf_prefix p = {0};
	char cidr[PFX_STRLEN];
	const char *at = strchr(text, '@');
	size_t len = at ? (size_t)(at - text) : strlen(text);

	if (len >= sizeof(cidr))
		return bad(why, "is no CIDR");
	memcpy(cidr, text, len);
	cidr[len] = '\0';
	if (at && conf_parse_device(at + 1, p.device, why) != 0)
		return bad(why, "names no valid device behind the @");
	int err = strncmp(cidr, "auto/", 5) == 0 ? parse_claim(cidr + 5, &p, why)
						 : conf_parse_any_pfx(cidr, &p.pfx, why);
	if (!err)
		*(struct conf_prefix *)out = p;
	return err;
}

int conf_parse_workers(const char *text, void *out, char *why)
{
	unsigned long n = 0;

	if (strcmp(text, "auto") != 0 && (!number(text, strlen(text), LIM_WORKERS, &n) || n == 0))
		return bad(why, "is not in that range");
	*(unsigned *)out = (unsigned)n;
	return 0;
}

int conf_parse_suite(const char *text, void *out, char *why)
{
	unsigned *suites = out;

	if (strcmp(text, "auto") == 0)
		*suites = 0;
	else if (strcmp(text, "chacha20-poly1305") == 0)
		*suites = WIRE_SUITE_BIT(WIRE_SUITE_CHACHA20_POLY1305);
	else if (strcmp(text, "aes-256-gcm") == 0)
		*suites = WIRE_SUITE_BIT(WIRE_SUITE_AES_256_GCM);
	else
		return bad(why, "is no cipher suite of weft");
	return 0;
}

int conf_parse_ports(const char *text, void *out, char *why)
{
	struct conf *c = out;
	unsigned long lo = 0, hi = 0;
	const char *dash = strchr(text, '-');

	if (strcmp(text, "off") != 0) {
		if (!dash || !number(text, (size_t)(dash - text), UINT16_MAX, &lo) ||
			!number(dash + 1, strlen(dash + 1), UINT16_MAX, &hi))
			return bad(why, "is no range of ports");
		if (lo > hi)
			return bad(why, "has the higher port first");
		if (lo < 1024)
			return bad(why, "begins below 1024");
	}
	c->side_port_lo = (uint16_t)lo;
	c->side_port_hi = (uint16_t)hi;
	return 0;
}

static int choice(const char *text, const char *yes, const char *no, bool *out, char *why)
{
	if (strcmp(text, yes) != 0 && strcmp(text, no) != 0)
		return bad(why, "is neither %s nor %s", yes, no);
	*out = strcmp(text, yes) == 0;
	return 0;
}

int conf_parse_relay(const char *text, void *out, char *why)
{
	return choice(text, "yes", "no", out, why);
}

int conf_parse_masquerade(const char *text, void *out, char *why)
{
	enum conf_masquerade *m = out;

	if (strcmp(text, "pods") == 0)
		*m = CONF_MASQ_PODS;
	else if (strcmp(text, "yes") == 0)
		*m = CONF_MASQ_YES;
	else if (strcmp(text, "no") == 0)
		*m = CONF_MASQ_NO;
	else
		return bad(why, "is neither pods, yes nor no");
	return 0;
}

int conf_parse_checksum(const char *text, void *out, char *why)
{
	return choice(text, "full", "partial", out, why);
}

int conf_parse_dscp(const char *text, void *out, char *why)
{
	unsigned long n;

	if (strcmp(text, "copy") == 0) {
		*(int *)out = -1;
		return 0;
	}
	if (!number(text, strlen(text), 63, &n))
		return bad(why, "is no DSCP");
	*(int *)out = (int)n;
	return 0;
}

/* A decimal or 0x number of 32 bits up to the character @end. */
static bool number32(const char *text, char end, uint32_t *out)
{
	char *stop;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	unsigned long long v = strtoull(text, &stop, text[1] == 'x' || text[1] == 'X' ? 16 : 10);
	if (errno || *stop != end || v > UINT32_MAX)
		return false;
	*out = (uint32_t)v;
	return true;
}

int conf_parse_mark(const char *text, void *out, char *why)
{
	struct conf *c = out;
	const char *slash = strchr(text, '/');
	uint32_t mark, mask;

	if (!number32(text, slash ? '/' : '\0', &mark))
		return bad(why, "is no 32-bit number");
	mask = mark;
	if (slash && !number32(slash + 1, '\0', &mask))
		return bad(why, "has no 32-bit number behind the /");
	if (mark == 0)
		return bad(why, "is no mark");
	if (mark & ~mask)
		return bad(why, "has bits outside its mask");
	if (mask & 0xffff)
		return bad(why, "uses bits of 0xffff");
	c->mark = mark;
	c->mark_mask = mask;
	return 0;
}

int conf_parse_log_level(const char *text, void *out, char *why)
{
	if (log_level_parse(text, out) != 0)
		return bad(why, "is no log level");
	return 0;
}

int conf_parse_vni(const char *text, void *out, char *why)
{
	unsigned long n;

	if (!number(text, strlen(text), VNI_MAX, &n))
		return bad(why, "is no VNI");
	if (n == VNI_CONTROL)
		return bad(why, "is the control segment");
	if (n == VNI_DEFAULT)
		return bad(
			why, "is the default segment, which cluster-range, prefix and tun set up");
	*(uint32_t *)out = (uint32_t)n;
	return 0;
}

int conf_parse_tune(const char *text, void *out, char *why)
{
	size_t key = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	if (key == 0 || text[key] != '=' || strlen(text) > 63)
		return bad(why, "is not KEY=VALUE");
	strcpy(out, text);
	return 0;
}
