/* Any bytes as a file for origin validity: an answer, words exactly when it is refused, and a table
 * that answers. */
#include <assert.h>
#include <stdint.h>
#include "roa.h"
#include "weft/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char why[ROA_WHY];
	struct pfx p = {.ip = ip_v4(0xc0000200), .len = 24};
	struct roa *r;
	int err = roa_parse((const char *)data, len, &r, why);

	assert(err == 0 || err == ERR_MALFORMED);
	assert((err == 0) == (why[0] == '\0'));
	for (const char *c = why; *c; c++)
		assert((unsigned char)*c >= ' ');
	if (err == 0) {
		enum roa_state s = roa_validate(r, &p, 64496);

		assert(roa_count(r) > 0 || s == ROA_UNKNOWN);
		roa_free(r);
	}
	return 0;
}
