/* id.c - text forms of keys and ids, and the rule for node names. */
#include "weft/err.h"
#include "weft/id.h"

static const char b32_digits[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648 6, lower case */

char *b32_fmt(const uint8_t *src, size_t len, char *out)
{
	char *o = out;
	uint32_t acc = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < len; i++) {
		acc = acc << 8 | src[i];
		bits += 8;
		while (bits >= 5) {
			bits -= 5;
			*o++ = b32_digits[acc >> bits & 31];
		}
	}
	if (bits)
		*o++ = b32_digits[acc << (5 - bits) & 31];
	*o = '\0';
	return out;
}

static int b32_value(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= '2' && c <= '7')
		return c - '2' + 26;
	return -1;
}

int b32_parse(const char *text, uint8_t *out, size_t len)
{
	size_t chars = (len * 8 + 4) / 5, done = 0;
	uint32_t acc = 0;
	unsigned bits = 0;

	/* The terminator is a foreign character, so a short text ends here and not behind it. */
	for (size_t i = 0; i < chars; i++) {
		int v = b32_value(text[i]);
		if (v < 0)
			return ERR_MALFORMED;
		acc = acc << 5 | (uint32_t)v;
		bits += 5;
		if (bits >= 8 && done < len) {
			bits -= 8;
			out[done++] = (uint8_t)(acc >> bits);
		}
	}
	if (text[chars] != '\0' || done != len)
		return ERR_MALFORMED;
	/* One value has one text: what pads the last character must be zero. */
	if (acc & ((1u << bits) - 1))
		return ERR_MALFORMED;
	return 0;
}

char *node_key_fmt(const struct node_key *k, char *out)
{
	return b32_fmt(k->b, sizeof(k->b), out);
}

char *node_key_fmt_short(const struct node_key *k, char *out)
{
	char whole[NODE_KEY_STRLEN];

	memcpy(out, node_key_fmt(k, whole), NODE_KEY_SHORT);
	out[NODE_KEY_SHORT] = '\0';
	return out;
}

int node_key_parse(const char *text, struct node_key *out)
{
	return b32_parse(text, out->b, sizeof(out->b));
}

char *cluster_id_fmt(const struct cluster_id *c, char *out)
{
	return b32_fmt(c->b, sizeof(c->b), out);
}

int cluster_id_parse(const char *text, struct cluster_id *out)
{
	return b32_parse(text, out->b, sizeof(out->b));
}

static bool alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool node_name_ok(const char *name)
{
	size_t n = strnlen(name, NODE_NAME_MAX + 1);

	if (n == 0 || n > NODE_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		char prev = i > 0 ? name[i - 1] : '.', next = i + 1 < n ? name[i + 1] : '.';
		if (alnum(name[i]))
			continue;
		/* RFC 1123 2.1: labels begin and end with a letter or digit, so a dot or the end
		 * never touches a dot or a hyphen. */
		if (name[i] == '.' && alnum(prev) && alnum(next))
			continue;
		if (name[i] == '-' && prev != '.' && next != '.')
			continue;
		return false;
	}
	return true;
}
