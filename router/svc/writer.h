/* writer.h - state files written by a thread of their own: a disk that takes seconds (a database beside
 * us syncs, a volume hangs) stalls nobody who waits for the control thread. */
#ifndef WEFT_WRITER_H
#define WEFT_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "loop.h"

enum writer_slot {
	WRITER_CLAIMS,
	WRITER_EPOCH,
	WRITER_PEERS, /* costs nothing when it is lost: written as by file_state_hint */
	WRITER_SLOTS,
};

struct writer;

/* @done is called in the loop's thread when what was put last into @slot is on the disk (@err 0), or
 * could not be written (@err as file_state_write says); what was replaced before it was begun is not
 * told. 0 and *@out (returns owned); ERR_NOMEM, or -errno: no descriptor or thread. */
int writer_new(struct loop *l, void (*done)(void *ctx, enum writer_slot slot, int err), void *ctx,
	struct writer **out);
/* Waits until everything that was put is written, for @patience at most; nothing is told any more. 0; ERR_BUSY: a
 * write doesn't end. Its thread can't be joined: it touches nothing of the caller's any more, and begins nothing
 * new. What was not written is lost; files are whole, as before or as after. NULL is fine. */
int writer_free(struct writer *w, dur_t patience);
/* Have the state file @path written with the @len bytes at @buf (both copied; @kind lives on, the rest as
 * for file_state_write). Replaces what waits in @slot and isn't begun. 0 or ERR_NOMEM. */
int writer_put(struct writer *w, enum writer_slot slot, const char *path, const char *kind,
	uint16_t format, const void *buf, size_t len);
/* Is there anything of @slot that @done was not called for? */
bool writer_busy(const struct writer *w, enum writer_slot slot);

#endif
