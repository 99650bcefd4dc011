/* The cut of a stream into objects: chunks make no difference, bounds hold. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "kube_split.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define MAX_BYTES 64

/* A hash of all that comes out, in chunks of @chunk. */
static uint64_t run(enum kube_split_form form, const uint8_t *data, size_t len, size_t chunk)
{
	struct kube_split *s = kube_split_new(MAX_BYTES);
	uint64_t h = 1;
	int got = 0;

	assert(s);
	kube_split_reset(s, form);
	while (len > 0 && got >= 0) {
		size_t n = len < chunk ? len : chunk, text_len;
		const char *p = (const char *)data, *text;

		data += n;
		len -= n;
		while ((got = kube_split_feed(s, &p, &n, &text, &text_len)) > 0) {
			h = h * 31 + (unsigned)got;
			if (got == KUBE_SPLIT_SKIPPED)
				continue;
			assert(text_len > 0 && text_len <= MAX_BYTES && text[text_len] == '\0');
			assert(text[0] == '{' && text[text_len - 1] == '}');
			for (size_t i = 0; i < text_len; i++)
				h = h * 31 + (uint8_t)text[i];
		}
	}
	h = h * 31 + (got < 0) + 2 * kube_split_idle(s);
	kube_split_free(s);
	return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	for (int form = 0; form < 2; form++) {
		uint64_t whole = run((enum kube_split_form)form, data, len, len);

		assert(whole == run((enum kube_split_form)form, data, len, 1));
		assert(whole == run((enum kube_split_form)form, data, len, 7));
	}
	return 0;
}
