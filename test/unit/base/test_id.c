/* id: base32 (RFC 4648 10), keys, names. err: every code has a text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "prng.h"
#include "weft/err.h"
#include "weft/id.h"

static void test_b32_vectors(void **state)
{
	/* RFC 4648 10, lower case, without padding */
	static const char *const rows[][2] = {{"", ""}, {"f", "my"}, {"fo", "mzxq"},
		{"foo", "mzxw6"}, {"foob", "mzxw6yq"}, {"fooba", "mzxw6ytb"},
		{"foobar", "mzxw6ytboi"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[32];
		uint8_t back[8] = {0};
		size_t len = strlen(rows[i][0]);
		b32_fmt((const uint8_t *)rows[i][0], len, text);
		assert_string_equal(rows[i][1], text);
		assert_int_equal(0, b32_parse(text, back, len));
		assert_memory_equal(rows[i][0], back, len);
		/* each shorter text, and one character more */
		for (size_t cut = 0; cut < strlen(rows[i][1]); cut++) {
			char s[32];
			memcpy(s, rows[i][1], cut);
			s[cut] = '\0';
			assert_int_equal(ERR_MALFORMED, b32_parse(s, back, len));
		}
		strcat(text, "a");
		assert_int_equal(ERR_MALFORMED, b32_parse(text, back, len));
	}
}

static void test_b32_strict(void **state)
{
	uint8_t b[1];

	assert_int_equal(0, b32_parse("my", b, 1));
	assert_int_equal(0, b32_parse("MY", b, 1));
	assert_int_equal('f', b[0]);
	/* "mz" has bits set behind the byte */
	assert_int_equal(ERR_MALFORMED, b32_parse("mz", b, 1));
	static const char *const foreign[] = {
		"m1", "m0", "m8", "m9", "m=", "m ", "m-", "m\xc3", "\x80y"};
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		assert_int_equal(ERR_MALFORMED, b32_parse(foreign[i], b, 1));
}

static void test_keys(void **state)
{
	struct node_key k, l;
	struct cluster_id c, d;
	char text[NODE_KEY_STRLEN], small[NODE_KEY_SHORT + 1], id[CLUSTER_ID_STRLEN];
	struct prng r;

	prng_seed(&r, 3);
	for (int i = 0; i < 1000; i++) {
		for (size_t j = 0; j < sizeof(k.b); j++)
			k.b[j] = (uint8_t)prng_next(&r);
		memcpy(c.b, k.b, sizeof(c.b));
		assert_int_equal(NODE_KEY_STRLEN - 1, strlen(node_key_fmt(&k, text)));
		assert_int_equal(0, node_key_parse(text, &l));
		assert_true(node_key_eq(&k, &l));
		assert_int_equal(NODE_KEY_SHORT, strlen(node_key_fmt_short(&k, small)));
		assert_memory_equal(text, small, NODE_KEY_SHORT);
		assert_int_equal(CLUSTER_ID_STRLEN - 1, strlen(cluster_id_fmt(&c, id)));
		assert_int_equal(0, cluster_id_parse(id, &d));
		assert_true(cluster_id_eq(&c, &d));
		assert_int_equal(ERR_MALFORMED, node_key_parse(id, &l));
	}
}

static void test_names(void **state)
{
	static const char *const good[] = {"a", "0", "node-1", "a.b", "a-b.c-d", "a--b", "1.2.3",
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567890"};
	static const char *const bad[] = {"", "-", ".", "A", "node_1", "a.", ".a", "-a", "a-",
		"a..b", "a.-b", "a-.b", "a b", "a\n", "\xc3\xa4", "a/b",
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz012345678901"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!node_name_ok(good[i]))
			fail_msg("refused: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (node_name_ok(bad[i]))
			fail_msg("taken: %s", bad[i]);
}

static void test_err(void **state)
{
	for (int e = ERR_TRUNCATED; e >= ERR_BUSY; e--) {
		if (strncmp(err_str(e), "unknown", 7) == 0 && e != ERR_VERSION)
			fail_msg("no text for %d", e);
		for (int f = ERR_TRUNCATED; f > e; f--)
			assert_string_not_equal(err_str(e), err_str(f));
	}
	assert_string_equal("success", err_str(0));
	assert_string_equal(strerror(ENOSPC), err_str(-ENOSPC));
	assert_string_equal(strerror(ENOMEM), err_str(ERR_NOMEM));
	assert_string_equal("unknown error -1999", err_str(-1999));
	assert_string_equal("unknown error 5", err_str(5));
	assert_string_equal("unknown error -2147483648", err_str(-2147483647 - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_b32_vectors),
		cmocka_unit_test(test_b32_strict),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_err),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
