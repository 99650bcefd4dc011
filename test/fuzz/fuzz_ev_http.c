/* The head of an HTTP request: any bytes get a verdict, and it doesn't depend on how they arrive. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "http_req.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_req whole, part;
	bool done;
	char *s;

	if (size > HTTP_HEAD_MAX)
		size = HTTP_HEAD_MAX;
	s = malloc(size ? size : 1); /* exact, so that the sanitizer sees a read behind it */
	if (size)
		memcpy(s, data, size);
	done = http_req_parse(s, size, &whole);
	assert(done || size < HTTP_HEAD_MAX);
	assert(!done || whole.status == 0 || (whole.status >= 400 && whole.status <= 505));
	if (done && whole.status == 0) {
		assert(whole.path[0] == '/' && strlen(whole.path) <= HTTP_PATH_MAX);
		/* The first length at which there is a verdict gives this one. */
		for (size_t n = 0; n <= size && n < 512; n++)
			if (http_req_parse(s, n, &part)) {
				assert(part.status == 0 && strcmp(part.path, whole.path) == 0);
				break;
			}
	}
	free(s);
	return 0;
}
