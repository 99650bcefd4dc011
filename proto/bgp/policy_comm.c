/* policy_comm.c - see policy_comm.h. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "policy_comm.h"
#include "policy_path.h"

/* Forms of extended communities. */
enum { FORM_NUMBER = 1, FORM_ADDR, FORM_EITHER, FORM_RAW };

/* Types of RFC 4360 3.1, 3.2 and RFC 5668 2: what the first number is. */
enum { EXT_AS2 = 0, EXT_ADDR = 1, EXT_AS4 = 2 };

static const struct {
	const char *name;
	uint8_t subtype;
} kinds[] = {{"rt", 2}, {"ro", 3}};

static const struct {
	const char *name;
	uint32_t value;
} known[] = {
	{"graceful-shutdown", BGP_COMM_GRACEFUL_SHUTDOWN},
	{"blackhole", 0xffff029a},
	{"no-export", BGP_COMM_NO_EXPORT},
	{"no-advertise", BGP_COMM_NO_ADVERTISE},
	{"no-export-subconfed", BGP_COMM_NO_EXPORT_SUBCONFED},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int bad(char *why, const char *what)
{
	(void)snprintf(why, POLICY_WHY, "%s", what);
	return ERR_MALFORMED;
}

static bool number(const char **text, uint32_t *out)
{
	const char *p = *text;
	uint64_t v = 0;

	for (; *p >= '0' && *p <= '9' && v <= UINT32_MAX; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	if (p == *text || v > UINT32_MAX)
		return false;
	*text = p;
	*out = (uint32_t)v;
	return true;
}

/* "5", "5-7", "*". */
static bool field(const char **text, uint32_t *lo, uint32_t *hi)
{
	if (**text == '*') {
		(*text)++;
		*lo = 0;
		*hi = UINT32_MAX;
		return true;
	}
	if (!number(text, lo))
		return false;
	*hi = *lo;
	if (**text != '-')
		return true;
	(*text)++;
	return number(text, hi) && *hi >= *lo;
}

static int parse_raw(const char *text, struct policy_comm *c, char *why)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 16; i++) {
		const char *digits = "0123456789abcdef", *d = strchr(digits, text[i] | 0x20);

		if (!text[i] || !d || !*d)
			return bad(why, "needs 16 hexadecimal digits behind ext:0x");
		v = v << 4 | (uint64_t)(d - digits);
	}
	if (text[16])
		return bad(why, "has more than 16 hexadecimal digits");
	c->list = BGP_LIST_EXT;
	c->form = FORM_RAW;
	c->lo[0] = c->hi[0] = (uint32_t)(v >> 32);
	c->lo[1] = c->hi[1] = (uint32_t)v;
	return 0;
}

/* Behind "rt:" or "ro:". */
static int parse_ext(const char *text, struct policy_comm *c, char *why)
{
	size_t len = strcspn(text, ":");
	char front[IP_STRLEN];
	uint32_t top = 0;
	struct ip ip;

	c->list = BGP_LIST_EXT;
	if (len < sizeof(front)) {
		memcpy(front, text, len);
		front[len] = '\0';
	}
	if (len < sizeof(front) && ip_parse(front, &ip) == 0 && ip.family == IP_V4) {
		struct rd r;

		rd_init(&r, ip.b, 4);
		c->form = FORM_ADDR;
		c->lo[0] = c->hi[0] = rd_u32(&r);
		text += len;
	} else {
		c->form = *text == '*' ? FORM_EITHER : FORM_NUMBER;
		if (!field(&text, &c->lo[0], &c->hi[0]))
			return bad(why, "needs a number or an IPv4 address in its middle");
	}
	if (*text++ != ':' || !field(&text, &c->lo[1], &c->hi[1]) || *text)
		return bad(why, "needs a number at its end");
	top = c->form == FORM_NUMBER && c->lo[0] <= UINT16_MAX ? UINT32_MAX : UINT16_MAX;
	if (c->form != FORM_EITHER && c->hi[1] != UINT32_MAX && c->hi[1] > top)
		return bad(why,
			"has a second number above 65535, for which this first leaves no room");
	return 0;
}

int policy_comm_parse(const char *text, struct policy_comm *out, char *why)
{
	struct policy_comm c = {.list = BGP_LIST_COMMUNITY};
	unsigned n = 0;

	*out = c;
	for (size_t i = 0; i < COUNT(known); i++)
		if (strcmp(text, known[i].name) == 0) {
			c.lo[0] = c.hi[0] = known[i].value >> 16;
			c.lo[1] = c.hi[1] = known[i].value & 0xffff;
			*out = c;
			return 0;
		}
	if (strncmp(text, "ext:0x", 6) == 0)
		return parse_raw(text + 6, out, why);
	for (size_t i = 0; i < COUNT(kinds); i++)
		if (strncmp(text, kinds[i].name, 2) == 0 && text[2] == ':') {
			out->subtype = kinds[i].subtype;
			return parse_ext(text + 3, out, why);
		}
	do {
		if (n == 3 || !field(&text, &c.lo[n], &c.hi[n]))
			return bad(why, "is no community");
		n++;
	} while (*text++ == ':');
	if (text[-1] || n == 1)
		return bad(why, "is no community");
	if (n == 3)
		c.list = BGP_LIST_LARGE;
	for (unsigned i = 0; n == 2 && i < 2; i++)
		if (c.lo[i] > UINT16_MAX || (c.hi[i] > UINT16_MAX && c.hi[i] != UINT32_MAX))
			return bad(why, "has a number above 65535; a large community has three");
	*out = c;
	return 0;
}

bool policy_comm_is_value(const struct policy_comm *c)
{
	unsigned n = c->list == BGP_LIST_LARGE ? 3 : 2;

	for (unsigned i = 0; i < n; i++)
		if (c->lo[i] != c->hi[i])
			return false;
	return c->form != FORM_EITHER;
}

void policy_comm_value(const struct policy_comm *c, uint8_t out[12])
{
	struct wr w;

	assert(policy_comm_is_value(c));
	wr_init(&w, out, 12);
	if (c->list == BGP_LIST_COMMUNITY) {
		wr_u16(&w, (uint16_t)c->lo[0]);
		wr_u16(&w, (uint16_t)c->lo[1]);
	} else if (c->list == BGP_LIST_LARGE) {
		for (unsigned i = 0; i < 3; i++)
			wr_u32(&w, c->lo[i]);
	} else if (c->form == FORM_RAW) {
		wr_u32(&w, c->lo[0]);
		wr_u32(&w, c->lo[1]);
	} else {
		bool as2 = c->form == FORM_NUMBER && c->lo[0] <= UINT16_MAX;

		wr_u8(&w, c->form == FORM_ADDR ? EXT_ADDR : as2 ? EXT_AS2 : EXT_AS4);
		wr_u8(&w, c->subtype);
		if (as2) {
			wr_u16(&w, (uint16_t)c->lo[0]);
			wr_u32(&w, c->lo[1]);
		} else {
			wr_u32(&w, c->lo[0]);
			wr_u16(&w, (uint16_t)c->lo[1]);
		}
	}
}

static bool within(const struct policy_comm *c, unsigned i, uint32_t v)
{
	return v >= c->lo[i] && v <= c->hi[i];
}

/* The two numbers of rt, ro; false: another type. */
static bool ext_numbers(const uint8_t *wire, uint32_t *first, uint32_t *second)
{
	struct rd r;

	rd_init(&r, wire + 2, 6);
	if (wire[0] == EXT_AS2) {
		*first = rd_u16(&r);
		*second = rd_u32(&r);
		return true;
	}
	*first = rd_u32(&r);
	*second = rd_u16(&r);
	return wire[0] == EXT_ADDR || wire[0] == EXT_AS4;
}

static bool ext_fits(const struct policy_comm *c, const uint8_t *wire)
{
	uint32_t first, second;

	return wire[1] == c->subtype && ext_numbers(wire, &first, &second) &&
	       (c->form == FORM_EITHER || (c->form == FORM_ADDR) == (wire[0] == EXT_ADDR)) &&
	       within(c, 0, first) && within(c, 1, second);
}

bool policy_comm_fits(const struct policy_comm *c, const uint8_t *wire)
{
	bool half = c->list == BGP_LIST_COMMUNITY;
	struct rd r;

	if (c->list == BGP_LIST_EXT && c->form != FORM_RAW)
		return ext_fits(c, wire);
	rd_init(&r, wire, policy_comm_width(c->list));
	for (unsigned i = 0; i < (c->list == BGP_LIST_LARGE ? 3u : 2u); i++)
		if (!within(c, i, half ? rd_u16(&r) : rd_u32(&r)))
			return false;
	return true;
}

unsigned policy_comm_width(enum bgp_list list)
{
	return list == BGP_LIST_COMMUNITY ? 4 : list == BGP_LIST_EXT ? 8 : 12;
}

const struct bgp_span *policy_comm_span(const struct bgp_attrs *a, enum bgp_list list)
{
	return list == BGP_LIST_COMMUNITY ? &a->communities
	       : list == BGP_LIST_EXT     ? &a->ext_communities
					  : &a->large_communities;
}

bool policy_comm_is_plain(const struct policy_comm *c)
{
	return policy_comm_is_value(c) && (c->list != BGP_LIST_EXT || c->form == FORM_RAW);
}

int policy_comm_cmp(const struct policy_comm *a, const struct policy_comm *b)
{
	if (a->list != b->list)
		return a->list < b->list ? -1 : 1;
	for (unsigned i = 0; i < 3; i++)
		if (a->lo[i] != b->lo[i])
			return a->lo[i] < b->lo[i] ? -1 : 1;
	return 0;
}

void policy_comm_of(enum bgp_list list, const uint8_t *wire, struct policy_comm *out)
{
	struct rd r;

	*out = (struct policy_comm){.list = (uint8_t)list};
	if (list == BGP_LIST_EXT)
		out->form = FORM_RAW;
	rd_init(&r, wire, policy_comm_width(list));
	for (unsigned i = 0; i < (list == BGP_LIST_LARGE ? 3u : 2u); i++)
		out->lo[i] = out->hi[i] = list == BGP_LIST_COMMUNITY ? rd_u16(&r) : rd_u32(&r);
}

static void ext_fmt(const uint8_t *wire, char out[POLICY_COMM_TEXT])
{
	uint32_t first, second;

	for (size_t i = 0; i < COUNT(kinds); i++) {
		if (wire[1] != kinds[i].subtype || !ext_numbers(wire, &first, &second))
			continue;
		if (wire[0] == EXT_AS4 && first <= UINT16_MAX)
			break; /* read back, it would be another value */
		if (wire[0] == EXT_ADDR)
			(void)snprintf(out, POLICY_COMM_TEXT, "%s:%u.%u.%u.%u:%" PRIu32,
				kinds[i].name, wire[2], wire[3], wire[4], wire[5], second);
		else
			(void)snprintf(out, POLICY_COMM_TEXT, "%s:%" PRIu32 ":%" PRIu32,
				kinds[i].name, first, second);
		return;
	}
	(void)snprintf(out, POLICY_COMM_TEXT, "ext:0x%02x%02x%02x%02x%02x%02x%02x%02x", wire[0],
		wire[1], wire[2], wire[3], wire[4], wire[5], wire[6], wire[7]);
}

char *policy_comm_fmt(enum bgp_list list, const uint8_t *wire, char out[POLICY_COMM_TEXT])
{
	uint32_t v[3];
	struct rd r;

	rd_init(&r, wire, policy_comm_width(list));
	if (list == BGP_LIST_EXT) {
		ext_fmt(wire, out);
		return out;
	}
	v[0] = rd_u32(&r);
	if (list == BGP_LIST_LARGE) {
		v[1] = rd_u32(&r);
		v[2] = rd_u32(&r);
		(void)snprintf(out, POLICY_COMM_TEXT, "%" PRIu32 ":%" PRIu32 ":%" PRIu32, v[0],
			v[1], v[2]);
		return out;
	}
	(void)snprintf(out, POLICY_COMM_TEXT, "%" PRIu32 ":%" PRIu32, v[0] >> 16, v[0] & 0xffff);
	for (size_t i = 0; i < COUNT(known); i++)
		if (known[i].value == v[0])
			(void)snprintf(out, POLICY_COMM_TEXT, "%s", known[i].name);
	return out;
}
