/* plpmtu.c - DPLPMTUD (RFC 8899): which sizes to probe, what answers and losses mean.
 *
 * Between lo (arrives) and hi (does not) a round probes up to PLPMTU_SLOTS sizes. An answer lifts
 * lo, PLPMTU_TRIES losses of a size lower hi; when all slots are free, the next round narrows the
 * rest, until hi is lo + 1 or lo is the ceiling. Each round leaves at most a fifth of the range, so
 * the steps are few: 1280..9000 takes at most 6 rounds.
 *
 * States (RFC 8899 5.2): Base and Searching are `searching`; Search Complete is not, with raise_at
 * planned unless the ceiling is reached; Error is lo below PLPMTU_BASE. A black hole (the size in
 * use is lost PLPMTU_TRIES times while the path lives) goes back to the base and searches below the
 * size that failed. */
#include "plpmtu.h"

#include <assert.h>
#include <string.h>

#define SUSPECT_GAP DUR_MS(500) /* between probes of the size in use, however suspicious */

/* Sizes that networks really have: above each the next byte is tried early. */
static const uint16_t plateaus[] = {
	1280, 1400, 1420, 1450, 1460, 1480, 1492, 1500, 4352, 8950, 9000};

static bool is_plateau(unsigned size)
{
	for (unsigned i = 0; i < sizeof(plateaus) / sizeof(plateaus[0]); i++) {
		if (plateaus[i] == size)
			return true;
	}
	return false;
}

static bool busy(const struct plpmtu *m)
{
	for (unsigned i = 0; i < PLPMTU_SLOTS; i++) {
		if (m->slot[i].size)
			return true;
	}
	return false;
}

static void clear(struct plpmtu *m)
{
	memset(m->slot, 0, sizeof(m->slot));
}

static struct plpmtu_slot *find(struct plpmtu *m, uint16_t size)
{
	for (unsigned i = 0; i < PLPMTU_SLOTS; i++) {
		if (m->slot[i].size == size)
			return &m->slot[i];
	}
	return NULL;
}

/* Probe @size in this round; no-op if it is there, or no slot is free. */
static void add(struct plpmtu *m, unsigned size)
{
	struct plpmtu_slot *s;

	assert(size > 0 && size <= PLPMTU_MAX);
	if (find(m, (uint16_t)size))
		return;
	s = find(m, 0);
	if (s)
		*s = (struct plpmtu_slot){.size = (uint16_t)size, .due = true};
}

static void use(struct plpmtu *m, uint16_t size)
{
	m->cur = size;
	m->assumed = false;
}

static void complete(struct plpmtu *m, ts_t now)
{
	m->searching = false;
	use(m, m->lo);
	m->raise_at = m->lo < m->ceiling ? ts_add(now, PLPMTU_RAISE) : TS_NEVER;
	m->confirm_at = ts_add(now, PLPMTU_CONFIRM);
}

/* All slots are free: go on with what lies between lo and hi. */
static void next_round(struct plpmtu *m, ts_t now)
{
	const unsigned lo = m->lo, hi = m->hi, span = hi - lo;

	assert(lo < hi && !busy(m));
	if (span == 1) {
		complete(m, now);
		return;
	}
	if (span - 1 <= PLPMTU_SLOTS) {
		for (unsigned size = lo + 1; size < hi; size++)
			add(m, size);
		return;
	}
	if (is_plateau(lo))
		add(m, lo + 1);
	if (hi > m->ceiling)
		add(m, m->ceiling);
	for (unsigned i = 1; i <= PLPMTU_SLOTS; i++)
		add(m, lo + span * i / (PLPMTU_SLOTS + 1));
}

void plpmtu_start(struct plpmtu *m, unsigned ceiling, ts_t now)
{
	const uint32_t holes = m->black_holes;

	assert(ceiling >= PLPMTU_MIN && ceiling <= PLPMTU_MAX);
	memset(m, 0, sizeof(*m));
	m->black_holes = holes;
	m->on = m->searching = m->assumed = true;
	m->ceiling = (uint16_t)ceiling;
	m->lo = PLPMTU_MIN;
	/* One more than 16 bits can't be said; no interface that we use has 65535. */
	m->hi = ceiling < PLPMTU_MAX ? (uint16_t)(ceiling + 1) : PLPMTU_MAX;
	m->cur = ceiling < 1500 ? (uint16_t)ceiling : 1500;
	m->raise_at = m->confirm_at = TS_NEVER;
	if (m->lo + 1 >= m->hi) {
		complete(m, now);
		return;
	}
	add(m, m->hi - 1u);
	if (ceiling > 1500)
		add(m, 1500);
	if (ceiling > PLPMTU_BASE)
		add(m, PLPMTU_BASE);
	if (ceiling > 1400)
		add(m, 1400);
}

void plpmtu_stop(struct plpmtu *m)
{
	const uint32_t holes = m->black_holes;

	memset(m, 0, sizeof(*m));
	m->black_holes = holes;
	m->raise_at = m->confirm_at = TS_NEVER;
}

void plpmtu_ceiling(struct plpmtu *m, unsigned ceiling, ts_t now)
{
	if (!m->on || ceiling == m->ceiling)
		return;
	if (ceiling < m->cur || m->searching) {
		plpmtu_start(m, ceiling, now);
		return;
	}
	m->ceiling = (uint16_t)ceiling;
	m->hi = ceiling < PLPMTU_MAX ? (uint16_t)(ceiling + 1) : PLPMTU_MAX;
	m->searching = true;
	clear(m);
	next_round(m, now);
}

/* @size does not get through. */
static void too_big(struct plpmtu *m, uint16_t size, ts_t now)
{
	if (size <= m->lo) {
		/* It did before: a black hole. Back to what nearly every path carries. */
		m->black_holes++;
		m->hi = size;
		m->lo = size > PLPMTU_BASE ? PLPMTU_BASE : PLPMTU_MIN;
		m->searching = m->lo + 1 < m->hi;
		m->raise_at = m->confirm_at = TS_NEVER;
		use(m, m->lo);
		clear(m);
		if (m->searching) {
			/* The base itself is only believed again once it was answered. */
			if (m->lo == PLPMTU_BASE) {
				m->lo = PLPMTU_MIN;
				add(m, PLPMTU_BASE);
			}
			add(m, m->hi - (m->hi - PLPMTU_MIN) / 8u);
			if (m->hi > 1400)
				add(m, 1400);
		} else {
			complete(m, now);
		}
	} else if (size < m->hi) {
		m->hi = size;
		for (unsigned i = 0; i < PLPMTU_SLOTS; i++) {
			if (m->slot[i].size >= size)
				m->slot[i].size = 0;
		}
		if (m->cur >= size)
			use(m, m->lo < PLPMTU_BASE && size > PLPMTU_BASE ? PLPMTU_BASE : m->lo);
	}
}

void plpmtu_tick(struct plpmtu *m, dur_t wait, bool alive, bool in_use, ts_t now)
{
	if (!m->on)
		return;
	for (unsigned i = 0; i < PLPMTU_SLOTS; i++) {
		struct plpmtu_slot *s = &m->slot[i];
		uint16_t size = s->size;

		if (!size || s->due || !ts_due(s->until, now))
			continue;
		if (!alive) {
			s->until = ts_add(now, wait);
			continue;
		}
		if (m->assumed && size <= m->cur)
			use(m, m->lo < PLPMTU_BASE && m->hi > PLPMTU_BASE ? PLPMTU_BASE : m->lo);
		if (s->sent < PLPMTU_TRIES) {
			s->due = true;
		} else {
			s->size = 0;
			too_big(m, size, now);
		}
	}
	if (m->searching && !busy(m))
		next_round(m, now);
	if (m->searching || !in_use || busy(m))
		return;
	if (ts_due(m->raise_at, now)) {
		m->hi = m->ceiling < PLPMTU_MAX ? (uint16_t)(m->ceiling + 1) : PLPMTU_MAX;
		m->searching = true;
		m->raise_at = TS_NEVER;
		next_round(m, now);
	} else if (ts_due(m->confirm_at, now)) {
		m->confirm_at = ts_add(now, PLPMTU_CONFIRM);
		add(m, m->cur);
	}
}

bool plpmtu_next(struct plpmtu *m, dur_t wait, uint16_t *size, uint32_t *id, ts_t now)
{
	for (unsigned i = 0; m->on && i < PLPMTU_SLOTS; i++) {
		struct plpmtu_slot *s = &m->slot[i];

		if (!s->size || !s->due)
			continue;
		if (s->sent++ == 0)
			s->id = *id;
		s->due = false;
		s->until = ts_add(now, wait);
		*size = s->size;
		*id = s->id;
		return true;
	}
	return false;
}

bool plpmtu_answered(struct plpmtu *m, uint16_t size, uint32_t id, ts_t now)
{
	struct plpmtu_slot *s = size ? find(m, size) : NULL;

	if (!m->on || !s || s->sent == 0 || s->id != id)
		return false;
	s->size = 0;
	m->confirm_at = ts_add(now, PLPMTU_CONFIRM);
	if (size > m->lo) {
		m->lo = size;
		/* Smaller ones need no answer any more, and their loss says nothing. */
		for (unsigned i = 0; i < PLPMTU_SLOTS; i++) {
			if (m->slot[i].size && m->slot[i].size < size)
				m->slot[i].size = 0;
		}
		if (m->lo >= m->hi)
			m->hi = (uint16_t)(m->lo + 1u);
		if (!m->assumed || m->lo >= m->cur)
			use(m, m->lo);
	}
	if (m->searching && !busy(m))
		next_round(m, now);
	return true;
}

void plpmtu_refused(struct plpmtu *m, uint16_t size, ts_t now)
{
	struct plpmtu_slot *s = size ? find(m, size) : NULL;

	if (!m->on || size <= PLPMTU_MIN)
		return;
	if (s)
		s->size = 0;
	too_big(m, size, now);
	if (m->searching && !busy(m))
		next_round(m, now);
}

void plpmtu_suspect(struct plpmtu *m, ts_t now)
{
	if (!m->on || m->searching || busy(m) || m->cur <= PLPMTU_MIN)
		return;
	/* confirm_at is PLPMTU_CONFIRM after the last probe of this size. */
	if (ts_before(now, ts_add(m->confirm_at, DUR_NS(SUSPECT_GAP.ns - PLPMTU_CONFIRM.ns))))
		return;
	m->confirm_at = ts_add(now, PLPMTU_CONFIRM);
	add(m, m->cur);
}

ts_t plpmtu_deadline(const struct plpmtu *m, bool in_use)
{
	ts_t t = TS_NEVER;

	if (!m->on)
		return t;
	for (unsigned i = 0; i < PLPMTU_SLOTS; i++) {
		if (m->slot[i].size)
			t = ts_min(t, m->slot[i].due ? TS_ZERO : m->slot[i].until);
	}
	if (m->searching || !in_use || !ts_is_never(t))
		return t;
	return ts_min(m->raise_at, m->confirm_at);
}
