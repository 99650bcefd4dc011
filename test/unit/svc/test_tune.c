/* --tune: what is allowed, what is refused, and that nothing gets looser than its default. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "weft/err.h"
#include "prng.h"
#include "tune.h"

static int load(const char *const *texts, size_t n, struct tune *t, char *err, size_t err_len)
{
	struct conf *c = calloc(1, sizeof(*c));
	int e;

	assert_non_null(c);
	c->tune = calloc(n, sizeof(c->tune[0]));
	assert_non_null(c->tune);
	for (size_t i = 0; i < n; i++)
		snprintf(c->tune[i], sizeof(c->tune[i]), "%s", texts[i]);
	c->ntune = n;
	e = tune_load(c, t, err, err_len);
	free(c->tune);
	free(c);
	return e;
}

static int one(const char *text, struct tune *t)
{
	char err[256] = "";
	int e = load(&text, 1, t, err, sizeof(err));

	if (e) {
		assert_int_equal(e, ERR_CONFIG);
		assert_non_null(strstr(err, "--tune"));
	}
	return e;
}

static void test_table(void **state)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{"cookies=1", true},
		{"cookies=0", true},
		{"cookies=2", false},
		{"cookies=", false},
		{"force=all", true},
		{"force=no_uso", true},
		{"force=no_such", false},
		{"provider=sodium", true},
		{"provider=none", false},
		{"rekey_initiator_ms=1000", true},
		{"rekey_initiator_ms=120000", true},
		{"rekey_initiator_ms=120001", false},
		{"rekey_initiator_ms=0", false},
		{"rekey_initiator_ms=-1", false},
		{"rekey_initiator_ms=1x", false},
		{"rekey_initiator_ms=99999999999999999999", false},
		{"soft_blocks=1", true},
		{"soft_blocks=0", false},
		{"hard_blocks=9223372036854775807", true},
		{"clock_offset_secs=-315360000", true},
		{"clock_offset_secs=9223372036854775807", false},
		{"clock_offset_secs=-9223372036854775807", false},
		{"no_such_key=1", false},
		{"cookies", false},
		{"=1", false},
		{"", false},
		{"a_key_that_is_longer_than_every_key_there_is_by_far_indeed=1", false},
	};
	struct tune t;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int e = one(rows[i].text, &t);

		if ((e == 0) != rows[i].ok)
			fail_msg("%s: %s", rows[i].text, e ? "refused" : "allowed");
	}
}

/* The data plane takes no key whose soft limit lies above the hard one. */
static void test_soft_below_hard(void **state)
{
	static const char *const texts[] = {"hard_blocks=1000"};
	static const char *const both[] = {"soft_blocks=2000", "hard_blocks=1000"};
	char err[256];
	struct tune t;

	(void)state;
	assert_int_equal(load(texts, 1, &t, err, sizeof(err)), 0);
	for (int s = 1; s <= 2; s++)
		assert_true(t.sess.soft_blocks[s] <= t.sess.hard_blocks[s]);
	assert_int_equal(load(both, 2, &t, err, sizeof(err)), 0);
	for (int s = 1; s <= 2; s++)
		assert_true(t.sess.soft_blocks[s] <= t.sess.hard_blocks[s]);
}

static void test_random(void **state)
{
	static const char letters[] = "=_-0123456789abcdefghijklmnopqrstuvwxyz \x01";
	uint64_t seed = (uint64_t)time(NULL);
	struct sess_tune def;
	struct prng r;

	(void)state;
	sess_tune_default(&def);
	prng_seed(&r, seed);
	for (int i = 0; i < 20000; i++) {
		static const char *const keys[] = {"peer_timeout_ms=", "hard_blocks=",
			"soft_blocks=", "time_window_ms=", "clock_offset_secs=", ""};
		char text[64];
		size_t at = (size_t)snprintf(text, sizeof(text), "%s",
			keys[prng_next(&r) % (sizeof(keys) / sizeof(keys[0]))]);
		size_t n = prng_next(&r) % 24;
		bool digits = prng_next(&r) & 1;
		struct tune t;

		for (size_t k = 0; k < n; k++)
			text[at++] = digits ? (char)('0' + prng_next(&r) % 10)
					    : letters[prng_next(&r) % (sizeof(letters) - 1)];
		text[at] = '\0';
		if (one(text, &t) != 0)
			continue;
		if (t.sess.peer_timeout.ns > def.peer_timeout.ns || t.sess.peer_timeout.ns <= 0 ||
			t.sess.time_window.ns > def.time_window.ns ||
			t.sess.hard_blocks[1] > def.hard_blocks[1] ||
			t.sess.soft_blocks[1] > t.sess.hard_blocks[1])
			fail_msg("%s loosens (seed %llu)", text, (unsigned long long)seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_soft_below_hard),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
