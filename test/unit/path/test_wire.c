/* The codec of the path core's messages: round trips, every shorter prefix, every bit flip, and each
 * value out of its range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "weft/err.h"
#include "path_wire.h"

static struct node_key key(uint8_t fill)
{
	struct node_key k;

	memset(k.b, fill, sizeof(k.b));
	return k;
}

static struct path_eps some_eps(size_t n)
{
	struct path_eps e = {.n = n};

	for (size_t i = 0; i < n; i++) {
		uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)(i + 1)};

		e.v[i].ip = i % 2 ? ip_v6_bytes(v6) : ip_v4(0xc0000201u + (uint32_t)i);
		e.v[i].port = (uint16_t)(6793 + i);
	}
	return e;
}

/* Any decoder by its type, into zeroed memory of the right size. */
union any {
	struct path_probe probe;
	struct path_ask ask;
	struct path_answer answer;
	struct path_punch punch;
	struct path_open open;
};

static int decode(const uint8_t *buf, size_t len, union any *out)
{
	struct rd r;

	memset(out, 0, sizeof(*out));
	rd_init(&r, buf, len);
	switch (rd_u8(&r)) {
	case PATH_MSG_PROBE:
		return path_probe_decode(&r, &out->probe);
	case PATH_MSG_REPLY:
		return path_reply_decode(&r, &out->probe);
	case PATH_MSG_ASK:
		return path_ask_decode(&r, &out->ask);
	case PATH_MSG_ANSWER:
		return path_answer_decode(&r, &out->answer);
	case PATH_MSG_PUNCH:
		return path_punch_decode(&r, &out->punch);
	case PATH_MSG_OPEN:
		return path_open_decode(&r, &out->open);
	default:
		return ERR_UNSUPPORTED;
	}
}

/* Encode a decoded message again. */
static size_t encode(uint8_t type, const union any *m, uint8_t *buf)
{
	struct wr w;

	wr_init(&w, buf, PATH_MSG_MAX);
	switch (type) {
	case PATH_MSG_PROBE:
		path_probe_encode(&w, PATH_MSG_PROBE, &m->probe);
		break;
	case PATH_MSG_REPLY:
		path_probe_encode(&w, PATH_MSG_REPLY, &m->probe);
		break;
	case PATH_MSG_ASK:
		path_ask_encode(&w, &m->ask);
		break;
	case PATH_MSG_ANSWER:
		path_answer_encode(&w, &m->answer);
		break;
	case PATH_MSG_PUNCH:
		path_punch_encode(&w, &m->punch);
		break;
	case PATH_MSG_OPEN:
		path_open_encode(&w, &m->open);
		break;
	default:
		fail();
	}
	assert_false(wr_bad(&w));
	return wr_len(&w);
}

/* Round trip; each prefix is refused; a flipped bit gives an error or a message whose encoding is
 * the flipped bytes: nothing is read loosely. */
static void exercise(uint8_t type, const union any *m)
{
	uint8_t buf[PATH_MSG_MAX], again[PATH_MSG_MAX];
	union any got;
	size_t len = encode(type, m, buf);

	assert_int_equal(decode(buf, len, &got), 0);
	assert_int_equal(encode(type, &got, again), len);
	assert_memory_equal(buf, again, len);
	for (size_t n = 1; n < len; n++) {
		/* A copy of just that size, so that the sanitizer sees what is read behind it. */
		uint8_t *cut = malloc(n);

		assert_non_null(cut);
		memcpy(cut, buf, n);
		assert_int_not_equal(decode(cut, n, &got), 0);
		free(cut);
	}
	for (size_t bit = 0; bit < len * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (decode(buf, len, &got) == 0 && buf[0] == type && type != PATH_MSG_PROBE) {
			assert_int_equal(encode(type, &got, again), len);
			assert_memory_equal(buf, again, len);
		}
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	if (type == PATH_MSG_PROBE)
		return;
	/* Bytes behind are refused. */
	uint8_t longer[PATH_MSG_MAX + 1];
	memcpy(longer, buf, len);
	longer[len] = 0;
	assert_int_not_equal(decode(longer, len + 1, &got), 0);
}

static void test_round_trips(void **state)
{
	union any m;

	(void)state;
	memset(&m, 0, sizeof(m));
	m.probe = (struct path_probe){.token = 0x0102030405060708, .heard = 0x1234};
	exercise(PATH_MSG_PROBE, &m);
	exercise(PATH_MSG_REPLY, &m);
	memset(&m, 0, sizeof(m));
	m.ask = (struct path_ask){.id = 7, .depth = PATH_REST_MAX, .target = key(9)};
	exercise(PATH_MSG_ASK, &m);
	memset(&m, 0, sizeof(m));
	m.answer =
		(struct path_answer){.id = 7, .verdict = PATH_ANSWER_OK, .cost_us = 12345, .n = 2};
	memset(m.answer.rest, 0x55, sizeof(m.answer.rest));
	exercise(PATH_MSG_ANSWER, &m);
	memset(&m, 0, sizeof(m));
	m.answer = (struct path_answer){.id = 7, .verdict = PATH_ANSWER_LATER};
	exercise(PATH_MSG_ANSWER, &m);
	for (size_t n = 0; n <= PATH_EPS_MAX; n++) {
		memset(&m, 0, sizeof(m));
		m.punch = (struct path_punch){.target = key(3), .eps = some_eps(n)};
		exercise(PATH_MSG_PUNCH, &m);
		memset(&m, 0, sizeof(m));
		m.open = (struct path_open){
			.node = key(3), .delay_ms = PATH_DELAY_MAX, .eps = some_eps(n)};
		exercise(PATH_MSG_OPEN, &m);
	}
}

static void test_padding(void **state)
{
	static uint8_t buf[9000];
	union any m = {.probe = {.token = 5, .heard = 6}}, got;

	(void)state;
	size_t len = encode(PATH_MSG_PROBE, &m, buf);
	for (; len <= sizeof(buf); len += 977) {
		assert_int_equal(decode(buf, len, &got), 0);
		assert_int_equal(got.probe.token, 5);
	}
	buf[0] = PATH_MSG_REPLY;
	assert_int_equal(decode(buf, 100, &got), ERR_MALFORMED);
}

static void test_ranges(void **state)
{
	uint8_t buf[PATH_MSG_MAX];
	union any m, got;
	size_t len;

	(void)state;
	memset(&m, 0, sizeof(m));
	m.ask = (struct path_ask){.depth = PATH_REST_MAX + 1};
	len = encode(PATH_MSG_ASK, &m, buf);
	assert_int_equal(decode(buf, len, &got), ERR_MALFORMED);

	static const struct path_answer bad[] = {
		{.verdict = 0},
		{.verdict = PATH_ANSWER_LATER + 1},
		{.verdict = PATH_ANSWER_OK, .cost_us = PATH_COST_MAX + 1},
		{.verdict = PATH_ANSWER_NONE, .cost_us = 1},
		{.verdict = PATH_ANSWER_REFUSED, .n = 1},
	};
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&m, 0, sizeof(m));
		m.answer = bad[i];
		len = encode(PATH_MSG_ANSWER, &m, buf);
		assert_int_equal(decode(buf, len, &got), ERR_MALFORMED);
	}
	memset(&m, 0, sizeof(m));
	m.answer = (struct path_answer){.verdict = PATH_ANSWER_OK, .n = 2};
	len = encode(PATH_MSG_ANSWER, &m, buf);
	buf[1 + 4 + 8 + 1 + 4] = PATH_REST_MAX + 1;
	assert_int_equal(decode(buf, len, &got), ERR_MALFORMED);

	memset(&m, 0, sizeof(m));
	m.open = (struct path_open){.delay_ms = PATH_DELAY_MAX + 1};
	len = encode(PATH_MSG_OPEN, &m, buf);
	assert_int_equal(decode(buf, len, &got), ERR_MALFORMED);

	/* Endpoints that no datagram may be sent to. */
	static const uint32_t v4[] = {0, 0x7f000001, 0xe0000001, 0xa9fe0001, 0xffffffff};
	for (unsigned i = 0; i <= sizeof(v4) / sizeof(v4[0]); i++) {
		memset(&m, 0, sizeof(m));
		m.punch.eps = some_eps(1);
		if (i < sizeof(v4) / sizeof(v4[0]))
			m.punch.eps.v[0].ip = ip_v4(v4[i]);
		else
			m.punch.eps.v[0].port = 0;
		len = encode(PATH_MSG_PUNCH, &m, buf);
		if (decode(buf, len, &got) != ERR_MALFORMED)
			fail_msg("endpoint %u was taken", i);
	}
	memset(&m, 0, sizeof(m));
	m.punch.eps = some_eps(1);
	len = encode(PATH_MSG_PUNCH, &m, buf);
	buf[1 + 32] = PATH_EPS_MAX + 1;
	assert_int_equal(decode(buf, len, &got), ERR_MALFORMED);
	buf[1 + 32] = 1;
	buf[1 + 32 + 1] = 5; /* family */
	assert_int_equal(decode(buf, len, &got), ERR_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_padding),
		cmocka_unit_test(test_ranges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
