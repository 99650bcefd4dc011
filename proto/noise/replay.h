/* replay.h - sliding replay window by RFC 6479, one per lane. Plain memory: whoever calls holds the
 * window (the data plane guards it with an owner word). */
#ifndef WEFT_REPLAY_H
#define WEFT_REPLAY_H

#include <stdbool.h>
#include <stdint.h>
#include "weft/bounds.h"

/* One block more than the window, so that a whole block may be cleared ahead (RFC 6479 3.3). */
#define REPLAY_WORDS (LIM_REPLAY_WINDOW / 64 + 1)

struct replay {
	uint64_t top;                 /* highest counter accepted + 1; 0: none yet */
	uint64_t words[REPLAY_WORDS]; /* a ring: block n of 64 counters is word n % REPLAY_WORDS */
};

void replay_init(struct replay *r);
/* Would @counter be accepted? Cheap test before opening the packet. */
bool replay_check(const struct replay *r, uint64_t counter);
/* Mark @counter after it was opened. 0; ERR_REPLAY: seen already, or older than the window. */
int replay_accept(struct replay *r, uint64_t counter);
/* Is @counter newer than all that came before? */
bool replay_is_newest(const struct replay *r, uint64_t counter);

#endif
