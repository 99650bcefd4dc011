/* Invitations and greetings: round trips, every shorter prefix, every bit flip, each value out of its
 * range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "weft/err.h"
#include "link_wire.h"

static struct pfx pfx(const char *text)
{
	struct pfx p;

	assert_int_equal(pfx_parse(text, &p), 0);
	return p;
}

static struct ep some_ep(unsigned i)
{
	uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)i};

	return (struct ep){.ip = i & 1 ? ip_v6_bytes(v6) : ip_v4(0xc0000201u + i),
		.port = (uint16_t)(6793 + i)};
}

static struct link_cluster some_cluster(void)
{
	struct link_cluster c = {.asn = 4200000001u, .name = "east", .nranges = 3};

	memset(c.id.b, 0x5a, sizeof(c.id.b));
	c.ranges[0] = pfx("10.32.0.0/12");
	c.ranges[1] = pfx("fd00:1234::/48");
	c.ranges[2] = pfx("0.0.0.0/0");
	return c;
}

static struct link_invite some_invite(size_t neps)
{
	struct link_invite v = {.from = some_cluster(), .expires_unix = 1800000000, .neps = neps};

	for (size_t i = 0; i < neps; i++)
		v.eps[i] = some_ep((unsigned)i);
	memset(v.secret.b, 0xc3, sizeof(v.secret.b));
	return v;
}

static struct link_hello some_hello(void)
{
	struct link_hello h = {
		.ask = true, .serial = 7, .seen = 9, .who = some_cluster(), .ngateways = 2};

	for (size_t i = 0; i < 2; i++) {
		memset(h.gateways[i].key.b, (int)i + 1, 32);
		h.gateways[i].neps = i + 1;
		for (size_t n = 0; n <= i; n++)
			h.gateways[i].eps[n] = some_ep((unsigned)n);
	}
	return h;
}

static void invitations(void **state)
{
	char text[LINK_INVITE_STRLEN], spread[2 * LINK_INVITE_STRLEN];
	struct link_invite v, out;
	size_t n = 0;

	for (size_t neps = 0; neps <= LINK_EPS_MAX; neps++) {
		v = some_invite(neps);
		link_invite_fmt(&v, text);
		assert_int_equal(link_invite_parse(text, &out), 0);
		assert_memory_equal(&v, &out, sizeof(v));
	}
	/* As a mail breaks it. */
	for (size_t i = 0; text[i]; i++) {
		spread[n++] = text[i];
		if (i % 60 == 59) {
			spread[n++] = '\r';
			spread[n++] = '\n';
		}
	}
	spread[n] = '\0';
	assert_int_equal(link_invite_parse(spread, &out), 0);
	assert_memory_equal(&v, &out, sizeof(v));
}

static void largest(void **state)
{
	char text[LINK_INVITE_STRLEN];
	uint8_t buf[LINK_BODY_MAX];
	struct link_invite v = some_invite(LINK_EPS_MAX), out;
	struct link_hello h = some_hello(), got;

	memset(v.from.name, 'x', NODE_NAME_MAX);
	v.from.nranges = LINK_RANGES_MAX;
	for (size_t i = 0; i < LINK_RANGES_MAX; i++)
		v.from.ranges[i] = pfx("fd00:1234::/48");
	for (size_t i = 0; i < LINK_EPS_MAX; i++)
		v.eps[i] = some_ep(1);
	link_invite_fmt(&v, text);
	assert_true(strlen(text) < LINK_INVITE_STRLEN);
	assert_int_equal(link_invite_parse(text, &out), 0);
	assert_memory_equal(&v, &out, sizeof(v));
	h.who = v.from;
	h.ngateways = LINK_GATEWAYS_MAX;
	for (size_t i = 0; i < LINK_GATEWAYS_MAX; i++) {
		h.gateways[i].neps = LINK_GW_EPS_MAX;
		for (size_t n = 0; n < LINK_GW_EPS_MAX; n++)
			h.gateways[i].eps[n] = some_ep(3);
	}
	assert_int_equal(link_hello_decode(buf, link_hello_encode(&h, buf), &got), 0);
	assert_memory_equal(&h, &got, sizeof(h));
}

/* Nothing but the whole text is an invitation, and nothing of it is left after a refusal. */
static void damaged_invitations(void **state)
{
	static const struct link_invite zero;
	struct link_invite v = some_invite(2), out;
	char text[LINK_INVITE_STRLEN], cut[LINK_INVITE_STRLEN];
	size_t len;

	link_invite_fmt(&v, text);
	len = strlen(text);
	for (size_t n = 0; n < len; n++) {
		int err;

		memcpy(cut, text, n);
		cut[n] = '\0';
		err = link_invite_parse(cut, &out);
		assert_true(err == ERR_MALFORMED || err == ERR_CORRUPT);
		assert_memory_equal(&out, &zero, sizeof(out));
	}
	for (size_t n = 0; n < len; n++) {
		memcpy(cut, text, len + 1);
		cut[n] = cut[n] == 'a' ? 'b' : 'a';
		assert_true(link_invite_parse(cut, &out) < 0);
		assert_memory_equal(&out, &zero, sizeof(out));
	}
	assert_int_equal(link_invite_parse("", &out), ERR_MALFORMED);
	assert_int_equal(link_invite_parse("weft1-aaaa", &out), ERR_MALFORMED);
	memset(cut, 'a', sizeof(cut) - 1);
	cut[sizeof(cut) - 1] = '\0';
	memcpy(cut, "weftlink1-", 10);
	assert_int_equal(link_invite_parse(cut, &out), ERR_MALFORMED);
}

static void greetings(void **state)
{
	uint8_t buf[LINK_BODY_MAX], cut[LINK_BODY_MAX];
	struct link_hello h = some_hello(), got;
	size_t len = link_hello_encode(&h, buf);

	assert_int_equal(link_kind_of(buf, len), LINK_HELLO);
	assert_int_equal(link_hello_decode(buf, len, &got), 0);
	assert_memory_equal(&h, &got, sizeof(h));
	for (size_t n = 0; n < len; n++)
		assert_int_equal(link_hello_decode(buf, n, &got), ERR_TRUNCATED);
	/* A later weft may say more. */
	buf[len] = 1;
	assert_int_equal(link_hello_decode(buf, len + 1, &got), 0);
	for (size_t bit = 0; bit < len * 8; bit++) {
		memcpy(cut, buf, len);
		cut[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (link_hello_decode(cut, len, &got))
			continue;
		/* What is taken is sound. */
		assert_true(
			got.who.nranges <= LINK_RANGES_MAX && got.ngateways <= LINK_GATEWAYS_MAX);
		assert_true(got.serial != 0 && got.who.asn != 0);
		(void)link_hello_encode(&got, cut);
	}
}

static void bad_values(void **state)
{
	static const struct {
		size_t off;
		uint8_t v;
		const char *what;
	} cases[] = {
		{31, '_', "name"},
		{30, 200, "length of the name"},
		{35, 9, "ranges"},
		{36, 5, "family"},
		{37, 33, "length of a prefix"},
		{37, 8, "host bits"},
	};
	uint8_t buf[LINK_BODY_MAX];
	struct link_hello h = some_hello(), got;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = link_hello_encode(&h, buf);

		assert_int_not_equal(buf[cases[i].off], cases[i].v);
		buf[cases[i].off] = cases[i].v;
		if (link_hello_decode(buf, len, &got) != ERR_MALFORMED)
			fail_msg("%s", cases[i].what);
	}
	h.who.asn = 1;
	(void)link_hello_encode(&h, buf);
	memset(buf + 26, 0, 4);
	assert_int_equal(link_hello_decode(buf, sizeof(buf), &got), ERR_MALFORMED);
	h = some_hello();
	h.gateways[0].eps[0].port = 0;
	assert_int_equal(link_hello_decode(buf, link_hello_encode(&h, buf), &got), ERR_MALFORMED);
}

static void refusals(void **state)
{
	uint8_t buf[LINK_BODY_MAX];
	char text[LINK_TEXT_MAX + 1], large[2 * LINK_TEXT_MAX];
	uint32_t serial;
	size_t len = link_refusal_encode(17, "ranges\x1b[31m overlap", buf);

	assert_int_equal(link_kind_of(buf, len), LINK_REFUSAL);
	assert_int_equal(link_refusal_decode(buf, len, &serial, text), 0);
	assert_int_equal(serial, 17);
	assert_string_equal(text, "ranges?[31m overlap");
	for (size_t n = 0; n < len; n++)
		assert_int_equal(link_refusal_decode(buf, n, &serial, text), ERR_TRUNCATED);
	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	len = link_refusal_encode(1, large, buf);
	assert_int_equal(link_refusal_decode(buf, len, &serial, text), 0);
	assert_int_equal(strlen(text), LINK_TEXT_MAX);
	assert_int_equal(link_kind_of(buf, 0), ERR_TRUNCATED);
	buf[0] = 9;
	assert_int_equal(link_kind_of(buf, len), ERR_UNSUPPORTED);
}

static void as_numbers(void **state)
{
	struct cluster_id id = {{0}};
	uint32_t first = link_asn_of(&id);
	unsigned same = 0;

	for (unsigned i = 0; i < 1000; i++) {
		uint32_t n;

		id.b[0] = (uint8_t)i;
		id.b[5] = (uint8_t)(i >> 8);
		n = link_asn_of(&id);
		assert_int_equal(n, link_asn_of(&id));
		assert_true(n >= 4200000000u && n <= 4294967294u);
		same += n == first;
	}
	assert_int_equal(same, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(invitations),
		cmocka_unit_test(largest),
		cmocka_unit_test(damaged_invitations),
		cmocka_unit_test(greetings),
		cmocka_unit_test(bad_values),
		cmocka_unit_test(refusals),
		cmocka_unit_test(as_numbers),
	};

	if (key_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
