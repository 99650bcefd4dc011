/* err.h - the one error enum of weft.
 *
 * Every function that can fail returns 0 (or a count) on success and a negative number on failure:
 * either -errno of a system call, or one of the codes below, which start at -1000. bool answers
 * yes/no questions only. */
#ifndef WEFT_ERR_H
#define WEFT_ERR_H

#include <errno.h>

enum weft_err {
	ERR_OK = 0,
	ERR_NOMEM = -ENOMEM,
	ERR_TRUNCATED = -1000,   /* input ends before the thing it announces */
	ERR_MALFORMED = -1001,   /* input breaks the format */
	ERR_VERSION = -1002,     /* a version that this build does not speak */
	ERR_AUTH = -1003,        /* a MAC, tag or signature does not verify */
	ERR_REPLAY = -1004,      /* seen before, or older than the window */
	ERR_FULL = -1005,        /* a bounded table or queue is full (bounds.h names it) */
	ERR_EXISTS = -1006,      /* the thing is there already */
	ERR_NOT_FOUND = -1007,   /* no such thing */
	ERR_RANGE = -1008,       /* a number outside what is allowed */
	ERR_CONFIG = -1009,      /* configuration refused; the text was given to the caller */
	ERR_STATE = -1010,       /* not possible in the present state */
	ERR_LIMIT = -1011,       /* a rate or a cryptographic limit is reached */
	ERR_UNSUPPORTED = -1012, /* this kernel, CPU or build cannot do it */
	ERR_NO_DAEMON = -1013,   /* nobody answers on the control socket */
	ERR_FOREIGN = -1014,     /* belongs to another cluster, node or program */
	ERR_CONFLICT = -1015,    /* two parties claim the same thing */
	ERR_STALE = -1016,       /* older than what is known */
	ERR_REFUSED = -1017,     /* policy says no */
	ERR_CORRUPT = -1018,     /* a state file is torn or was changed */
	ERR_BUSY = -1019,        /* held by another process */
};

/* Text for @err: one of the codes above or a negative errno. Never NULL; static storage, except for
 * errno texts, which stand in a thread-local buffer until the next call in that thread. */
const char *err_str(int err);

#endif
