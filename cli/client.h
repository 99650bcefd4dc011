/* client.h - one request to the daemon, one reply. */
#ifndef WEFT_CLIENT_H
#define WEFT_CLIENT_H

#include "ctl.h"

#define CLIENT_TIMEOUT_MS 10000

struct client_answer {
	struct ctl_reply reply;
	uint8_t *buf; /* what reply points into */
};

/* Connect to the socket at @path, ask, wait at most @timeout_ms for the whole. 0: client_answer_free
 * @out in the end. Nobody there: a negative errno of connect() (-ENOENT, -ECONNREFUSED, -EACCES, ...;
 * -ENAMETOOLONG: @path is too long for a socket), -ETIMEDOUT, or ERR_NO_DAEMON: it hung up without an
 * answer. A bad answer: ERR_TRUNCATED (it hung up in the middle), ERR_MALFORMED, ERR_VERSION, ERR_LIMIT.
 * ERR_NOMEM. */
int client_call(
	const char *path, const struct ctl_request *req, int timeout_ms, struct client_answer *out);
void client_answer_free(struct client_answer *a); /* NULL and zeroed are fine */

#endif
