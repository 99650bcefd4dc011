#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "vectors.h"

json_t *vectors_load(const char *file)
{
	const char *dir = getenv("WEFT_VECTORS");
	char path[4096];
	json_error_t err;
	json_t *root;

	if (!dir || !*dir)
		dir = WEFT_VECTORS_FALLBACK;
	snprintf(path, sizeof(path), "%s/%s", dir, file);
	if (access(path, R_OK) != 0) {
		print_message(
			"skipped: no %s (set WEFT_VECTORS to the vectors' directory)\n", file);
		return NULL;
	}
	root = json_load_file(path, JSON_REJECT_DUPLICATES, &err);
	if (!root)
		fail_msg("%s:%d: %s", path, err.line, err.text);
	return root;
}

const char *vectors_str(json_t *obj, const char *key)
{
	const char *s = json_string_value(json_object_get(obj, key));

	if (!s)
		fail_msg("vector has no string \"%s\"", key);
	return s;
}

static unsigned digit(char c)
{
	const char *all = "0123456789abcdef", *at;

	at = memchr(all, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c, 16);
	if (!at)
		fail_msg("'%c' is no hexadecimal digit", c);
	return (unsigned)(at - all);
}

size_t vectors_hex(json_t *obj, const char *key, uint8_t *out, size_t cap)
{
	const char *s = vectors_str(obj, key);
	size_t len = strlen(s);

	if (len % 2 || len / 2 > cap)
		fail_msg("\"%s\": %zu digits for at most %zu bytes", key, len, cap);
	for (size_t i = 0; i < len / 2; i++)
		out[i] = (uint8_t)(digit(s[2 * i]) << 4 | digit(s[2 * i + 1]));
	return len / 2;
}
