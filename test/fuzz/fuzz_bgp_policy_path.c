/* Patterns of AS paths: the bytes up to the first NUL are a pattern, the rest numbers of a path. A
 * refusal has words; matching ends, and "^" and "$" only make a pattern stricter. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "policy_path.h"
#include "weft/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char text[300], strict[304], why[POLICY_WHY] = "";
	size_t n = strnlen((const char *)data, len);
	uint8_t path[2 + 4 * 255] = {2, 0};
	struct policy_path *p, *q;
	struct bgp_attrs a = {0};
	int err;

	if (n == len || n >= sizeof(text))
		return 0;
	memcpy(text, data, n + 1);
	for (size_t i = n + 1; i < len && path[1] < 255; i++) {
		path[2 + 4 * path[1] + 3] = data[i];
		path[1]++;
	}
	if (path[1])
		a.as_path = (struct bgp_span){.p = path, .len = (uint16_t)(2 + 4 * path[1])};
	err = policy_path_new(text, &p, why);
	assert(err == 0 || err == ERR_MALFORMED || err == ERR_FULL);
	assert((err == 0) == (why[0] == '\0') && (err == 0) == (p != NULL));
	if (!p)
		return 0;
	(void)snprintf(strict, sizeof(strict), "^%s$", text);
	if (!strchr(text, '^') && !strchr(text, '$')) {
		assert(policy_path_new(strict, &q, why) == 0);
		assert(!policy_path_match(q, &a) || policy_path_match(p, &a));
		policy_path_free(q);
	}
	policy_path_free(p);
	return 0;
}
