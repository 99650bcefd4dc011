/* Any bytes as a configuration file: an answer, a message exactly when it is refused, nothing
 * leaked. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "conf.h"
#include "weft/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char err[300];
	struct conf c;
	int got = conf_parse_yaml("fuzz", (const char *)data, len, &c, err, sizeof(err));

	assert(got == 0 || got == ERR_CONFIG);
	assert((got == 0) == (err[0] == '\0'));
	for (const char *p = err; *p; p++)
		assert((unsigned char)*p >= ' ' || *p == '\n');
	if (got == 0) {
		for (size_t i = 0; i < c.nprefixes; i++)
			assert(c.nranges > 0 && memchr(c.prefixes[i].device, 0, 16));
		conf_free(&c);
	}
	return 0;
}
