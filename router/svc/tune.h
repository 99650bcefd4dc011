/* tune.h - --tune KEY=VALUE: values that tests need. They may only tighten security: a time or
 * limit of the session core can be made shorter or smaller, never longer. Shown in status when
 * used. */
#ifndef WEFT_TUNE_H
#define WEFT_TUNE_H

#include <stddef.h>
#include "conf.h"
#include "dp.h"
#include "session.h"

struct tune {
	struct sess_tune sess;
	struct dp_force force;
	enum aead_provider provider;
	bool cookies;              /* demand cookies always */
	int64_t clock_offset_secs; /* of the wall clock, as the handshake sees it */
	unsigned nused;
};

/* Defaults, then each of @conf's --tune. ERR_CONFIG: @err names key and what is allowed. */
int tune_load(const struct conf *conf, struct tune *out, char *err, size_t err_len);

#endif
