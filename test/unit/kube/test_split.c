/* Cutting streams into objects: whatever the chunks are, the same objects come out; what does not fit is
 * skipped or refused, and nothing is kept beyond the bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fault.h"
#include "kube_split.h"
#include "prng.h"
#include "weft/err.h"

/* Feed @text in chunks of @chunk bytes; all that comes out, joined: each object behind "O", "S" for one
 * that was skipped, the list's rest behind "E", and "!" for an error, which ends it. */
static void run(enum kube_split_form form, size_t max, const char *text, size_t text_len,
	size_t chunk, char *out, size_t cap, bool *idle)
{
	struct kube_split *s = kube_split_new(max);
	size_t n = 0, at = 0;

	assert_non_null(s);
	kube_split_reset(s, form);
	out[0] = '\0';
	while (at < text_len) {
		/* a copy of the chunk alone, so that the sanitizer sees each byte read beyond it */
		size_t len = text_len - at < chunk ? text_len - at : chunk;
		char *copy = malloc(len);
		const char *p = copy, *object;
		size_t object_len;
		int got;

		assert_non_null(copy);
		memcpy(copy, text + at, len);
		at += len;
		while ((got = kube_split_feed(s, &p, &len, &object, &object_len)) > 0) {
			if (got == KUBE_SPLIT_SKIPPED) {
				n += (size_t)snprintf(out + n, cap - n, "S");
				continue;
			}
			assert_int_equal(strlen(object), object_len);
			assert_true(object_len <= max);
			n += (size_t)snprintf(out + n, cap - n, "%s%s",
				got == KUBE_SPLIT_LIST_END ? "E" : "O", object);
			assert_true(n < cap);
		}
		free(copy);
		if (got < 0) {
			(void)snprintf(out + n, cap - n, "!");
			break;
		}
		assert_int_equal(len, 0);
	}
	*idle = kube_split_idle(s);
	kube_split_free(s);
}

static const struct {
	enum kube_split_form form;
	size_t max;
	const char *in, *out;
	bool idle;
} cases[] = {
	{KUBE_SPLIT_SEQUENCE, 100, "", "", true},
	{KUBE_SPLIT_SEQUENCE, 100, " \n{}\r\n{\"a\":[1,{\"b\":2}]}\t", "O{}O{\"a\":[1,{\"b\":2}]}",
		true},
	{KUBE_SPLIT_SEQUENCE, 100, "{\"a\":\"}{\\\"]\\\\\"}{}", "O{\"a\":\"}{\\\"]\\\\\"}O{}",
		true},
	{KUBE_SPLIT_SEQUENCE, 100, "{} x", "O{}!", true},
	{KUBE_SPLIT_SEQUENCE, 100, "{]", "!", false},
	{KUBE_SPLIT_SEQUENCE, 100, "[]", "!", true},
	{KUBE_SPLIT_SEQUENCE, 100, "{\"a\":", "", false},
	{KUBE_SPLIT_SEQUENCE, 8, "{\"a\":1}{\"a\":12}{\"a\":123}{}", "O{\"a\":1}O{\"a\":12}SO{}",
		true},
	{KUBE_SPLIT_LIST, 100, "{\"kind\":\"L\",\"items\":[{\"a\":1},\n{}],\"z\":2}\n",
		"O{\"a\":1}O{}E{\"kind\":\"L\",\"items\":[],\"z\":2}", true},
	{KUBE_SPLIT_LIST, 100, "{\"items\":null}", "E{\"items\":null}", true},
	{KUBE_SPLIT_LIST, 100, "{\"items\":[]}", "E{\"items\":[]}", true},
	/* items that are none: in a value, deeper, in a longer name, of another type */
	{KUBE_SPLIT_LIST, 100, "{\"a\":\"items\",\"b\":[{}]}", "E{\"a\":\"items\",\"b\":[{}]}",
		true},
	{KUBE_SPLIT_LIST, 100, "{\"m\":{\"items\":[{}]}}", "E{\"m\":{\"items\":[{}]}}", true},
	{KUBE_SPLIT_LIST, 100, "{\"itemsx\":[{}]}", "E{\"itemsx\":[{}]}", true},
	{KUBE_SPLIT_LIST, 100, "{\"items\" : [ {} ] }", "O{}E{\"items\" : [] }", true},
	{KUBE_SPLIT_LIST, 100, "{\"items\":[1]}", "!", false},
	{KUBE_SPLIT_LIST, 100, "{\"items\":[{}}", "O{}!", false},
	{KUBE_SPLIT_LIST, 100, "{\"items\":[{}]}{}", "O{}E{\"items\":[]}!", true},
	{KUBE_SPLIT_LIST, 100, "{\"items\":[{}]", "O{}", false},
	{KUBE_SPLIT_LIST, 14, "{\"items\":[{\"a\":\"0123456789\"},{}]}", "SO{}E{\"items\":[]}",
		true},
	{KUBE_SPLIT_LIST, 8, "{\"a\":\"0123456789\"}", "!", false},
	{KUBE_SPLIT_LIST, 100, "x", "!", false},
	{KUBE_SPLIT_LIST, 100, "", "", false},
};

static void table(void **state)
{
	char out[512];
	bool idle;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t chunk = 1; chunk <= strlen(cases[i].in) + 1; chunk++) {
			run(cases[i].form, cases[i].max, cases[i].in, strlen(cases[i].in), chunk,
				out, sizeof(out), &idle);
			if (strcmp(out, cases[i].out) != 0 || idle != cases[i].idle)
				fail_msg("case %zu, chunks of %zu: %s, idle %d", i, chunk, out,
					idle);
		}
}

static void depth(void **state)
{
	char in[2 * KUBE_SPLIT_DEPTH + 8], out[512];
	bool idle;

	for (unsigned d = KUBE_SPLIT_DEPTH - 1; d <= KUBE_SPLIT_DEPTH + 1; d++) {
		size_t n = 0;
		in[n++] = '{';
		for (unsigned k = 1; k < d; k++)
			in[n++] = '[';
		for (unsigned k = 1; k < d; k++)
			in[n++] = ']';
		in[n++] = '}';
		run(KUBE_SPLIT_SEQUENCE, 1000, in, n, n, out, sizeof(out), &idle);
		assert_int_equal(out[0], d <= KUBE_SPLIT_DEPTH ? 'O' : '!');
	}
}

/* Each byte replaced by each of the bytes that matter: no crash, and chunks make no difference. */
static void damaged(void **state)
{
	static const char good[] =
		"{\"kind\":\"L\",\"items\":[{\"a\":\"\\\"\"},{\"b\":[1]}],\"z\":{}}";
	static const char bytes[] = "{}[]\",:\\ x\n\x01\xff";
	char in[sizeof(good)], one[512], all[512];
	bool idle;

	for (size_t i = 0; i + 1 < sizeof(good); i++)
		for (size_t k = 0; k < sizeof(bytes); k++)
			for (int form = 0; form < 2; form++) {
				memcpy(in, good, sizeof(in));
				in[i] = bytes[k];
				if (!bytes[k])
					continue;
				run((enum kube_split_form)form, 30, in, strlen(in), 1, one,
					sizeof(one), &idle);
				run((enum kube_split_form)form, 30, in, strlen(in), 1000, all,
					sizeof(all), &idle);
				assert_string_equal(one, all);
			}
}

static void memory(void **state)
{
	FAULT_EACH(n)
	{
		struct kube_split *s = kube_split_new(100000);
		char text[9000] = "{\"a\":\"", *end = text + sizeof(text) - 2;
		const char *p = text, *object;
		size_t len = sizeof(text), object_len;

		if (!s)
			continue;
		memset(text + 6, 'x', sizeof(text) - 6);
		memcpy(end, "\"}", 2);
		kube_split_reset(s, KUBE_SPLIT_SEQUENCE);
		int got = kube_split_feed(s, &p, &len, &object, &object_len);
		assert_true(got == ERR_NOMEM || got == KUBE_SPLIT_OBJECT);
		kube_split_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(depth),
		cmocka_unit_test(damaged),
		cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
