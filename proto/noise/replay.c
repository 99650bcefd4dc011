/* Sliding replay window (RFC 6479).
 *
 * Counters are cut into blocks of 64; block b is one word at ring place b % REPLAY_WORDS. The ring
 * has one word more than the window needs, so when the window moves, whole words are cleared ahead
 * of it and none that still count is touched: no bit is ever shifted.
 *
 * In: counters of packets that were opened. Out: yes or no. State: the highest counter seen and the
 * ring. Bound: the window is LIM_REPLAY_WINDOW counters; what is older is refused. The topmost
 * counter 2^64-1 is refused too: top could not count past it, and limits end a key long before. */
#include "replay.h"

#include <string.h>
#include "weft/err.h"

void replay_init(struct replay *r)
{
	memset(r, 0, sizeof(*r));
}

bool replay_check(const struct replay *r, uint64_t counter)
{
	if (counter == UINT64_MAX)
		return false;
	if (counter >= r->top)
		return true;
	if (r->top - counter > LIM_REPLAY_WINDOW)
		return false;
	return (r->words[counter / 64 % REPLAY_WORDS] >> (counter % 64) & 1) == 0;
}

int replay_accept(struct replay *r, uint64_t counter)
{
	if (!replay_check(r, counter))
		return ERR_REPLAY;
	if (counter >= r->top) {
		/* Block 0 is clear from the start, so "no counter yet" needs no case of its own. */
		uint64_t block = counter / 64;
		uint64_t last = r->top == 0 ? 0 : (r->top - 1) / 64;
		uint64_t ahead = block - last;

		if (ahead > REPLAY_WORDS)
			ahead = REPLAY_WORDS;
		for (uint64_t i = 0; i < ahead; i++)
			r->words[(block - i) % REPLAY_WORDS] = 0;
		r->top = counter + 1;
	}
	r->words[counter / 64 % REPLAY_WORDS] |= UINT64_C(1) << (counter % 64);
	return 0;
}

bool replay_is_newest(const struct replay *r, uint64_t counter)
{
	return counter >= r->top;
}
