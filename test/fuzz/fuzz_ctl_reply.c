/* Whatever a daemon answers: the reply, and the getters on its data. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "ctl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ctl_reply r;
	char text[16];

	if (ctl_reply_decode(data, len, &r))
		return 0;
	assert(ctl_scan(data, len) == 0);
	assert(strlen(r.error) < sizeof(r.error) && strlen(r.hint) < sizeof(r.hint));
	assert(strlen(ctl_get_str(r.data, "name", text, sizeof(text))) < sizeof(text));
	(void)ctl_get_u64(r.data, "n");
	(void)ctl_get_bool(r.data, "ready");
	ctl_reply_free(&r);
	return 0;
}
