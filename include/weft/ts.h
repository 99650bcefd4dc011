/* ts.h - time with a type. A ts_t is a point on the monotonic clock, a dur_t a span; both count
 * nanoseconds. Being structs, they mix neither with each other nor with plain integers.
 * Cores in proto/ never read a clock: each call is given now. */
#ifndef WEFT_TS_H
#define WEFT_TS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
	uint64_t ns; /* monotonic, since an arbitrary start */
} ts_t;

typedef struct {
	int64_t ns;
} dur_t;

/* "No deadline": later than every other ts_t. */
#define TS_NEVER ((ts_t){UINT64_MAX})
#define TS_ZERO  ((ts_t){0})

#define DUR_NS(n)  ((dur_t){(int64_t)(n)})
#define DUR_US(n)  ((dur_t){(int64_t)(n)*1000})
#define DUR_MS(n)  ((dur_t){(int64_t)(n)*1000000})
#define DUR_SEC(n) ((dur_t){(int64_t)(n)*1000000000})

static inline bool ts_is_never(ts_t t)
{
	return t.ns == UINT64_MAX;
}

/* @t + @d; TS_NEVER stays TS_NEVER, and nothing wraps below zero. */
static inline ts_t ts_add(ts_t t, dur_t d)
{
	if (ts_is_never(t))
		return t;
	if (d.ns < 0 && (uint64_t)-d.ns > t.ns)
		return TS_ZERO;
	return (ts_t){t.ns + (uint64_t)d.ns};
}

/* @a - @b, negative if @a is earlier. Both must be real times. */
static inline dur_t ts_sub(ts_t a, ts_t b)
{
	return (dur_t){(int64_t)(a.ns - b.ns)};
}

static inline bool ts_before(ts_t a, ts_t b)
{
	return a.ns < b.ns;
}

/* Has @deadline come at @now? */
static inline bool ts_due(ts_t deadline, ts_t now)
{
	return deadline.ns <= now.ns;
}

static inline ts_t ts_min(ts_t a, ts_t b)
{
	return a.ns < b.ns ? a : b;
}

static inline int64_t dur_ms(dur_t d)
{
	return d.ns / 1000000;
}

#endif
