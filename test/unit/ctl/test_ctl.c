/* The control protocol: round trips, what is refused, and every damage of valid messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "ctl.h"
#include "fault.h"
#include "weft/bounds.h"
#include "weft/err.h"

static struct ctl_request sample_request(void)
{
	struct ctl_request r = {.cmd = "connect"};

	assert_int_equal(ctl_request_add(&r, "target", "host2:6793"), 0);
	assert_int_equal(ctl_request_add(&r, "", ""), 0);
	return r;
}

static void request_round_trip(void **state)
{
	struct ctl_request r = sample_request(), back;
	uint8_t buf[512];

	int n = ctl_request_encode(&r, buf, sizeof(buf));
	assert_true(n > CTL_HEADER);
	assert_int_equal(ctl_frame(buf, (size_t)n, 512), n);
	assert_int_equal(ctl_request_decode(buf + CTL_HEADER, (size_t)n - CTL_HEADER, &back), 0);
	assert_string_equal(back.cmd, "connect");
	assert_int_equal(back.nargs, 2);
	assert_string_equal(ctl_request_arg(&back, "target"), "host2:6793");
	assert_string_equal(ctl_request_arg(&back, ""), "");
	assert_null(ctl_request_arg(&back, "else"));
	for (size_t cap = 0; cap < (size_t)n; cap++) {
		uint8_t *small = malloc(cap ? cap : 1);
		assert_int_equal(ctl_request_encode(&r, small, cap), ERR_LIMIT);
		free(small);
	}
}

static void request_bounds(void **state)
{
	struct ctl_request r = {.cmd = "x"};
	char text[600];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(ctl_request_add(&r, text, "v"), ERR_LIMIT);
	assert_int_equal(ctl_request_add(&r, "k", text), ERR_LIMIT);
	assert_int_equal(r.nargs, 0);
	text[511] = '\0';
	for (unsigned i = 0; i < CTL_ARGS_MAX; i++) {
		char key[32];
		snprintf(key, sizeof(key), "%030u", i);
		assert_int_equal(ctl_request_add(&r, key, text), 0);
	}
	assert_int_equal(ctl_request_add(&r, "k", "v"), ERR_LIMIT);

	uint8_t *buf = malloc(LIM_CTL_REQUEST_BYTES);
	int n = ctl_request_encode(&r, buf, LIM_CTL_REQUEST_BYTES);
	struct ctl_request *back = malloc(sizeof(*back));
	assert_true(n > 0);
	assert_int_equal(ctl_request_decode(buf + CTL_HEADER, (size_t)n - CTL_HEADER, back), 0);
	assert_memory_equal(back, &r, sizeof(r));
	free(back);
	free(buf);
}

struct bytes_row {
	const char *what;
	const char *bytes;
	size_t len;
	int err;
};
#define B(s) s, sizeof(s) - 1
#define V    "\xa1v\x01"
#define CMD                                                                                        \
	"\xa3"                                                                                     \
	"cmd\xa1x"

static void request_refused(void **state)
{
	static const struct bytes_row rows[] = {
		{"empty", B(""), ERR_TRUNCATED},
		{"no map", B("\x01"), ERR_MALFORMED},
		{"nothing in it", B("\x80"), ERR_MALFORMED},
		{"version absent", B("\x81" CMD), ERR_MALFORMED},
		{"version 2", B("\x82\xa1v\x02" CMD), ERR_VERSION},
		{"version is text",
			B("\x82\xa1v\xa1"
			  "1" CMD),
			ERR_MALFORMED},
		{"version negative", B("\x82\xa1v\xff" CMD), ERR_MALFORMED},
		{"version twice", B("\x83" V V CMD), ERR_MALFORMED},
		{"cmd absent", B("\x81" V), ERR_MALFORMED},
		{"cmd twice", B("\x83" V CMD CMD), ERR_MALFORMED},
		{"cmd is a number",
			B("\x82" V "\xa3"
			  "cmd\x05"),
			ERR_MALFORMED},
		{"cmd with NUL",
			B("\x82" V "\xa3"
			  "cmd\xa2x\0"),
			ERR_MALFORMED},
		{"args is text",
			B("\x83" V CMD "\xa4"
			  "args\xa1x"),
			ERR_MALFORMED},
		{"args twice",
			B("\x84" V CMD "\xa4"
			  "args\x80"
			  "\xa4"
			  "args\x80"),
			ERR_MALFORMED},
		{"arg given twice",
			B("\x83" V CMD "\xa4"
			  "args\x82\xa1k\x01\xa1k\x02"),
			ERR_MALFORMED},
		{"arg is an array",
			B("\x83" V CMD "\xa4"
			  "args\x81\xa1k\x90"),
			ERR_MALFORMED},
		{"arg is a float",
			B("\x83" V CMD "\xa4"
			  "args\x81\xa1k\xca\0\0\0\0"),
			ERR_MALFORMED},
		{"arg key is a number",
			B("\x83" V CMD "\xa4"
			  "args\x81\x01\x01"),
			ERR_MALFORMED},
		{"bytes behind it", B("\x82" V CMD "\xc0"), ERR_MALFORMED},
		{"the unused type byte", B("\x83" V CMD "\xa1z\xc1"), ERR_MALFORMED},
		{"17 arguments",
			B("\x83" V CMD "\xa4"
			  "args\xde\0\x11"
			  "\xa1"
			  "a\1\xa1"
			  "b\1\xa1"
			  "c\1\xa1"
			  "d\1\xa1"
			  "e\1\xa1"
			  "f\1\xa1"
			  "g\1\xa1"
			  "h\1"
			  "\xa1"
			  "i\1\xa1"
			  "j\1\xa1"
			  "k\1\xa1"
			  "l\1\xa1"
			  "m\1\xa1"
			  "n\1\xa1"
			  "o\1\xa1"
			  "p\1"
			  "\xa1"
			  "q\1"),
			ERR_LIMIT},
		{"a count that lies", B("\x83" V CMD "\xa1z\xdd\xff\xff\xff\xff"), ERR_TRUNCATED},
		{"a map count that lies", B("\x83" V CMD "\xa1z\xdf\xff\xff\xff\xff"),
			ERR_TRUNCATED},
		{"a text length that lies", B("\x83" V CMD "\xa1z\xdb\xff\xff\xff\xff"),
			ERR_TRUNCATED},
		{"17 deep",
			B("\x83" V CMD
			  "\xa1z\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91"
			  "\x91\x91\x91\x91\x91\x01"),
			ERR_LIMIT},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ctl_request r;
		int err = ctl_request_decode((const uint8_t *)rows[i].bytes, rows[i].len, &r);
		if (err != rows[i].err)
			fail_msg("%s: %s", rows[i].what, err_str(err));
		assert_int_equal(r.nargs, 0);
		assert_string_equal(r.cmd, "");
	}
}

/* Unknown keys of every msgpack type are skipped (DESIGN 4.8), and values become text. */
static void request_unknown_keys(void **state)
{
	static const char bytes[] = "\xde\0\x10" V CMD "\xa1"
				    "a\xc0"
				    "\xa1"
				    "b\xc7\x01\x05z"
				    "\xa1"
				    "c\xd8\x01"
				    "0123456789abcdef"
				    "\xa1"
				    "d\xcb\0\0\0\0\0\0\0\0"
				    "\xa1"
				    "e\xc4\x02zz"
				    "\xa1"
				    "f\xd3\xff\xff\xff\xff\xff\xff\xff\xfe"
				    "\xa1"
				    "g\xdc\0\x01\xc2"
				    "\xa1"
				    "h\xd9\x01z"
				    "\xa1"
				    "i\xda\0\x01z"
				    "\xa1"
				    "j\xcf\0\0\0\0\0\0\0\1"
				    "\xa1"
				    "k\xc5\0\x01z"
				    "\xa1"
				    "l\xc8\0\x01\x05z"
				    "\x07\x08"
				    "\xa4"
				    "args\x84\xa1i\xd1\xff\x00\xa1t\xc3\xa1u\xcf\xff\xff\xff\xff"
				    "\xff\xff\xff\xff\xa1s\xa2ok";
	struct ctl_request r;

	assert_int_equal(ctl_request_decode((const uint8_t *)bytes, sizeof(bytes) - 1, &r), 0);
	assert_string_equal(r.cmd, "x");
	assert_int_equal(r.nargs, 4);
	assert_string_equal(ctl_request_arg(&r, "i"), "-256");
	assert_string_equal(ctl_request_arg(&r, "t"), "true");
	assert_string_equal(ctl_request_arg(&r, "u"), "18446744073709551615");
	assert_string_equal(ctl_request_arg(&r, "s"), "ok");
}

/* Each shorter prefix is refused, each bit flip is survived. Copies of exact size, so that the
 * address sanitizer sees any step past the end. */
static void request_damage(void **state)
{
	struct ctl_request r = sample_request(), back;
	uint8_t buf[512];
	size_t n = (size_t)ctl_request_encode(&r, buf, sizeof(buf)) - CTL_HEADER;
	const uint8_t *body = buf + CTL_HEADER;

	for (size_t i = 0; i < n; i++) {
		uint8_t *cut = malloc(i ? i : 1);
		memcpy(cut, body, i);
		assert_int_equal(ctl_request_decode(cut, i, &back), ERR_TRUNCATED);
		free(cut);
	}
	for (size_t bit = 0; bit < 8 * n; bit++) {
		uint8_t *bad = malloc(n);
		memcpy(bad, body, n);
		bad[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		if (ctl_request_decode(bad, n, &back) == 0)
			assert_true(back.nargs <= CTL_ARGS_MAX);
		free(bad);
	}
}

static void framing(void **state)
{
	const uint8_t buf[] = {0, 0, 0, 2, 'a', 'b', 'c'};
	const uint8_t huge[] = {0, 1, 0, 1};

	for (size_t i = 0; i < 6; i++)
		assert_int_equal(ctl_frame(buf, i, 100), 0);
	assert_int_equal(ctl_frame(buf, 6, 100), 6);
	assert_int_equal(ctl_frame(buf, 7, 2), 6);
	assert_int_equal(ctl_frame(buf, 4, 1), ERR_LIMIT);
	assert_int_equal(ctl_frame(huge, 4, 65536), ERR_LIMIT);
	assert_int_equal(ctl_frame(huge, 4, 65537), 0);
	assert_int_equal(ctl_frame((const uint8_t[]){255, 255, 255, 255}, 4, SIZE_MAX), 0);
}

static struct ctl_w *sample_data(void)
{
	struct ctl_w *w = ctl_w_new();

	if (!w)
		return NULL;
	ctl_w_map(w, NULL);
	ctl_w_str(w, "text", "h\xc3\xa9");
	ctl_w_str(w, "nothing", NULL);
	ctl_w_u64(w, "big", UINT64_MAX);
	ctl_w_i64(w, "neg", -5);
	ctl_w_f64(w, "f", 0.25);
	ctl_w_bool(w, "yes", true);
	ctl_w_bool(w, "no", false);
	ctl_w_nil(w, "nil");
	ctl_w_array(w, "list");
	for (int i = 0; i < 300; i++)
		ctl_w_strf(w, NULL, "%d:%*s", i, i == 299 ? 2000 : 1, "x");
	ctl_w_map(w, NULL);
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_end(w);
	return w;
}

static void reply_round_trip(void **state)
{
	struct ctl_w *w = sample_data();
	const uint8_t *data;
	uint8_t *out;
	size_t len, out_len;
	struct ctl_reply r;
	char buf[8];

	assert_non_null(w);
	assert_int_equal(ctl_w_finish(w, &data, &len), 0);
	assert_int_equal(ctl_scan(data, len), 0);
	assert_int_equal(ctl_reply_encode(true, NULL, "a hint", data, len, &out, &out_len), 0);
	ctl_w_free(w);
	assert_int_equal(ctl_frame(out, out_len, LIM_CTL_REPLY_BYTES), out_len);
	assert_int_equal(ctl_reply_decode(out + CTL_HEADER, out_len - CTL_HEADER, &r), 0);
	assert_true(r.ok);
	assert_string_equal(r.error, "");
	assert_string_equal(r.hint, "a hint");
	assert_string_equal(ctl_get_str(r.data, "text", buf, sizeof(buf)), "h\xc3\xa9");
	assert_string_equal(ctl_get_str(r.data, "nothing", buf, sizeof(buf)), "");
	assert_string_equal(ctl_get_str(r.data, "absent", buf, sizeof(buf)), "");
	assert_true(ctl_get_u64(r.data, "big") == UINT64_MAX);
	assert_int_equal(ctl_get_u64(r.data, "neg"), 0);
	assert_int_equal(ctl_get(r.data, "neg")->via.i64, -5);
	assert_true(ctl_get(r.data, "f")->via.f64 == 0.25);
	assert_true(ctl_get_bool(r.data, "yes"));
	assert_false(ctl_get_bool(r.data, "no"));
	assert_false(ctl_get_bool(r.data, "text"));
	assert_int_equal(ctl_get(r.data, "nil")->type, MSGPACK_OBJECT_NIL);
	const msgpack_object *list = ctl_get(r.data, "list");
	assert_int_equal(list->via.array.size, 301);
	assert_int_equal(list->via.array.ptr[299].via.str.size, 4 + 2000);
	assert_null(ctl_get(list, "x"));
	assert_null(ctl_get(NULL, "x"));
	ctl_reply_free(&r);
	ctl_reply_free(&r);
	ctl_reply_free(NULL);
	free(out);
}

static void reply_of_an_error(void **state)
{
	char *text = malloc(2000);
	uint8_t *out;
	size_t len;
	struct ctl_reply r;
	char small[3];

	memset(text, 'e', 1999);
	text[1999] = '\0';
	assert_int_equal(ctl_reply_encode(false, text, text, NULL, 0, &out, &len), 0);
	assert_int_equal(ctl_reply_decode(out + CTL_HEADER, len - CTL_HEADER, &r), 0);
	assert_false(r.ok);
	assert_int_equal(strlen(r.error), CTL_ERROR_TEXT - 1);
	assert_int_equal(strlen(r.hint), CTL_ERROR_TEXT - 1);
	assert_null(r.data);
	assert_string_equal(ctl_get_str(&r.raw.data, "error", small, sizeof(small)), "ee");
	ctl_reply_free(&r);
	free(out);
	free(text);
}

static void reply_refused(void **state)
{
	static const struct bytes_row rows[] = {
		{"no ok", B("\x81" V), ERR_MALFORMED},
		{"ok is a number", B("\x82" V "\xa2ok\x01"), ERR_MALFORMED},
		{"ok twice", B("\x83" V "\xa2ok\xc2\xa2ok\xc3"), ERR_MALFORMED},
		{"version 3", B("\x82\xa1v\x03\xa2ok\xc3"), ERR_VERSION},
		{"an array", B("\x90"), ERR_MALFORMED},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ctl_reply r;
		int err = ctl_reply_decode((const uint8_t *)rows[i].bytes, rows[i].len, &r);
		if (err != rows[i].err)
			fail_msg("%s: %s", rows[i].what, err_str(err));
	}
}

static void reply_damage(void **state)
{
	struct ctl_w *w = ctl_w_new();
	const uint8_t *data;
	uint8_t *out;
	size_t len, out_len;
	struct ctl_reply r;

	ctl_w_map(w, NULL);
	ctl_w_array(w, "a");
	ctl_w_u64(w, NULL, 70000);
	ctl_w_str(w, NULL, "text");
	ctl_w_f64(w, NULL, 1.5);
	ctl_w_end(w);
	ctl_w_end(w);
	assert_int_equal(ctl_w_finish(w, &data, &len), 0);
	assert_int_equal(ctl_reply_encode(true, "e", "h", data, len, &out, &out_len), 0);
	ctl_w_free(w);
	size_t n = out_len - CTL_HEADER;
	for (size_t i = 0; i < n; i++) {
		uint8_t *cut = malloc(i ? i : 1);
		memcpy(cut, out + CTL_HEADER, i);
		assert_int_equal(ctl_reply_decode(cut, i, &r), ERR_TRUNCATED);
		free(cut);
	}
	for (size_t bit = 0; bit < 8 * n; bit++) {
		uint8_t *bad = malloc(n);
		memcpy(bad, out + CTL_HEADER, n);
		bad[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		if (ctl_reply_decode(bad, n, &r) == 0)
			ctl_reply_free(&r);
		free(bad);
	}
	free(out);
}

/* Objects are bounded, whatever the bytes are. */
static void too_many_objects(void **state)
{
	size_t n = LIM_CTL_OBJECTS + 6;
	uint8_t *buf = malloc(n + 5);

	assert_non_null(buf);
	memset(buf, 0xc0, n + 5);
	memcpy(buf, "\xdd", 1);
	for (unsigned i = 0; i < 4; i++)
		buf[1 + i] = (uint8_t)(n >> (24 - 8 * i));
	assert_int_equal(ctl_scan(buf, n + 5), ERR_LIMIT);
	n = LIM_CTL_OBJECTS - 1;
	for (unsigned i = 0; i < 4; i++)
		buf[1 + i] = (uint8_t)(n >> (24 - 8 * i));
	assert_int_equal(ctl_scan(buf, n + 5), 0);
	free(buf);
}

static void writer_limits(void **state)
{
	const uint8_t *buf;
	size_t len;
	char *text = malloc(1 << 20);
	struct ctl_w *w = ctl_w_new();

	memset(text, 'x', (1 << 20) - 1);
	text[(1 << 20) - 1] = '\0';
	ctl_w_array(w, NULL);
	for (unsigned i = 0; i < 63; i++)
		ctl_w_str(w, NULL, text);
	ctl_w_str(w, NULL, text); /* the 64th leaves no room for what a reply adds */
	ctl_w_str(w, NULL, "small");
	ctl_w_end(w);
	assert_int_equal(ctl_w_finish(w, &buf, &len), ERR_LIMIT);
	ctl_w_free(w);
	free(text);

	w = ctl_w_new();
	ctl_w_array(w, NULL);
	for (unsigned i = 0; i < LIM_CTL_OBJECTS; i++)
		ctl_w_nil(w, NULL);
	ctl_w_end(w);
	assert_int_equal(ctl_w_finish(w, &buf, &len), ERR_LIMIT);
	ctl_w_free(w);
	ctl_w_free(NULL);
}

static void no_memory(void **state)
{
	unsigned failed = 0;

	FAULT_EACH(n)
	{
		const uint8_t *data;
		size_t len, out_len;
		uint8_t *out;
		struct ctl_w *w = sample_data();

		if (!w) {
			failed++;
			continue;
		}
		int err = ctl_w_finish(w, &data, &len);
		if (!err) {
			err = ctl_reply_encode(true, NULL, NULL, data, len, &out, &out_len);
			if (!err)
				free(out);
		}
		ctl_w_free(w);
		if (err) {
			assert_int_equal(err, ERR_NOMEM);
			failed++;
		}
	}
	assert_true(failed >= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_round_trip),
		cmocka_unit_test(request_bounds),
		cmocka_unit_test(request_refused),
		cmocka_unit_test(request_unknown_keys),
		cmocka_unit_test(request_damage),
		cmocka_unit_test(framing),
		cmocka_unit_test(reply_round_trip),
		cmocka_unit_test(reply_of_an_error),
		cmocka_unit_test(reply_refused),
		cmocka_unit_test(reply_damage),
		cmocka_unit_test(too_many_objects),
		cmocka_unit_test(writer_limits),
		cmocka_unit_test(no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
