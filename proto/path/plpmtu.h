/* plpmtu.h - the search for one path's MTU: RFC 8899 (DPLPMTUD) as a value that its owner ticks.
 *
 * Sizes are bytes of outer IP packets as they leave this host, relay headers included. The machine
 * never trusts ICMP: a size is good when a padded probe of that size was answered, and too big when
 * PLPMTU_TRIES in a row were not, while small probes were. It says which probes to send; the owner
 * sends them and tells of answers.
 *
 * Differences from the RFC. Several sizes are probed at once, so that a search takes a few rounds,
 * not a dozen. The probe timer follows the measured round trip instead of the RFC's floor of 1 s,
 * which is for acknowledgements of unknown delay: ours are sent at once. Until the first probe has
 * come back or is overdue, the common 1500 is assumed, so that connections made in that time don't
 * keep a small segment size for life. */
#ifndef WEFT_PLPMTU_H
#define WEFT_PLPMTU_H

#include <stdbool.h>
#include <stdint.h>
#include "weft/ts.h"

#define PLPMTU_MIN   576  /* smaller paths are not used (RFC 8899 5.1.2: MIN_PLPMTU) */
#define PLPMTU_BASE  1280 /* BASE_PLPMTU */
#define PLPMTU_MAX   65535
#define PLPMTU_SLOTS 4 /* sizes probed at once */
#define PLPMTU_TRIES 3 /* MAX_PROBES */

#define PLPMTU_RAISE   DUR_SEC(600) /* PMTU_RAISE_TIMER */
#define PLPMTU_CONFIRM DUR_SEC(3)   /* a path in use: between probes of the size in use */

struct plpmtu_slot {
	uint16_t size; /* 0: free */
	uint8_t sent;  /* tries so far */
	bool due;      /* to be sent now */
	uint32_t id;   /* the same for all tries, so that a late answer counts */
	ts_t until;    /* when this try is overdue */
};

struct plpmtu {
	bool on, searching;
	bool assumed;     /* cur is a guess: nothing was heard yet */
	uint16_t ceiling; /* the interface's MTU */
	uint16_t lo, hi;  /* lo arrived (or is the floor); hi and above do not */
	uint16_t cur;     /* to be used now */
	struct plpmtu_slot slot[PLPMTU_SLOTS];
	ts_t raise_at, confirm_at; /* TS_NEVER: not planned */
	uint32_t black_holes;      /* times that the size in use stopped arriving */
};

/* A new path: forget all, search at once. @ceiling: PLPMTU_MIN..PLPMTU_MAX, what the interface
 * takes. */
void plpmtu_start(struct plpmtu *m, unsigned ceiling, ts_t now);
/* No path any more: nothing is probed. */
void plpmtu_stop(struct plpmtu *m);
/* The interface's MTU changed: search again upwards, or come down at once. */
void plpmtu_ceiling(struct plpmtu *m, unsigned ceiling, ts_t now);
/* Time passes. @wait: how long a probe may take to be answered on this path; @alive: small probes
 * are answered (while not, losses say nothing of sizes); @in_use: confirm and raise only then. */
void plpmtu_tick(struct plpmtu *m, dur_t wait, bool alive, bool in_use, ts_t now);
/* The next probe to be sent now. @id: fresh randomness for it, replaced by the one to be sent.
 * False: none. */
bool plpmtu_next(struct plpmtu *m, dur_t wait, uint16_t *size, uint32_t *id, ts_t now);
/* A probe was answered. False: not one of ours. */
bool plpmtu_answered(struct plpmtu *m, uint16_t size, uint32_t id, ts_t now);
/* The own interface refused a packet of @size (EMSGSIZE): no need to wait for its loss. */
void plpmtu_refused(struct plpmtu *m, uint16_t size, ts_t now);
/* Traffic seems not to arrive: probe the size in use now, unless that happened a moment ago. */
void plpmtu_suspect(struct plpmtu *m, ts_t now);
/* When to tick next; TS_NEVER: not while nothing happens. */
ts_t plpmtu_deadline(const struct plpmtu *m, bool in_use);

#endif
