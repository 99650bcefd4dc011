/* err.c - texts of the error enum. */
#include <stdio.h>
#include <string.h>
#include "weft/err.h"

/* Own codes start here and count down without gaps. */
#define OWN_FIRST (-1000)

static const char *const own_text[] = {
	[OWN_FIRST - ERR_TRUNCATED] = "input is cut short",
	[OWN_FIRST - ERR_MALFORMED] = "malformed input",
	[OWN_FIRST - ERR_VERSION] = "unknown version",
	[OWN_FIRST - ERR_AUTH] = "authentication failed",
	[OWN_FIRST - ERR_REPLAY] = "replayed or too old",
	[OWN_FIRST - ERR_FULL] = "table or queue is full",
	[OWN_FIRST - ERR_EXISTS] = "exists already",
	[OWN_FIRST - ERR_NOT_FOUND] = "not found",
	[OWN_FIRST - ERR_RANGE] = "number out of range",
	[OWN_FIRST - ERR_CONFIG] = "configuration refused",
	[OWN_FIRST - ERR_STATE] = "not possible in the present state",
	[OWN_FIRST - ERR_LIMIT] = "limit reached",
	[OWN_FIRST - ERR_UNSUPPORTED] = "not supported by this kernel, CPU or build",
	[OWN_FIRST - ERR_NO_DAEMON] = "no daemon answers on the control socket",
	[OWN_FIRST - ERR_FOREIGN] = "belongs to another cluster, node or program",
	[OWN_FIRST - ERR_CONFLICT] = "claimed by another party",
	[OWN_FIRST - ERR_STALE] = "older than what is known",
	[OWN_FIRST - ERR_REFUSED] = "refused by policy",
	[OWN_FIRST - ERR_CORRUPT] = "file is torn or was changed",
	[OWN_FIRST - ERR_BUSY] = "held by another process",
};

const char *err_str(int err)
{
	static _Thread_local char buf[128];

	if (err == 0)
		return "success";
	if (err <= OWN_FIRST) {
		size_t i = (size_t)OWN_FIRST - (size_t)err;
		if (i < sizeof(own_text) / sizeof(own_text[0]))
			return own_text[i];
	} else if (err < 0) {
		/* The GNU form: may return static text instead of filling buf. */
		return strerror_r(-err, buf, sizeof(buf));
	}
	snprintf(buf, sizeof(buf), "unknown error %d", err);
	return buf;
}
