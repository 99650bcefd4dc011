/* session_memo.c - 16-byte ids that are remembered for a fixed time: message 1 (its MAC1) and the
 * sealed states that message 3 consumed (DESIGN 6.4, 6.5).
 *
 * All entries of a memo live equally long, so that a ring keeps them in order of expiry. The ring
 * has its full size from the start, but its pages come only with use. */
#include "session_int.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int memo_init(struct memo *m, size_t max, dur_t life, const uint8_t seed[16])
{
	memset(m, 0, sizeof(*m));
	m->max = max;
	m->life = life;
	m->ring = calloc(max, sizeof(*m->ring));
	if (!m->ring)
		return ERR_NOMEM;
	m->map = map_new(MEMO_ID, max, seed);
	if (!m->map) {
		free(m->ring);
		m->ring = NULL;
		return ERR_NOMEM;
	}
	return 0;
}

void memo_fini(struct memo *m)
{
	map_free(m->map);
	free(m->ring);
	m->map = NULL;
	m->ring = NULL;
}

void memo_expire(struct memo *m, ts_t now)
{
	while (m->count > 0) {
		struct memo_ent *e = &m->ring[m->head];

		if (!ts_due(e->expires, now))
			return;
		map_del(m->map, e->id);
		m->head = (m->head + 1) % m->max;
		m->count--;
	}
}

bool memo_full(struct memo *m, ts_t now)
{
	memo_expire(m, now);
	return m->count == m->max;
}

const struct memo_ent *memo_get(struct memo *m, const uint8_t id[MEMO_ID], ts_t now)
{
	memo_expire(m, now);
	return map_get(m->map, id);
}

int memo_put(struct memo *m, const uint8_t id[MEMO_ID], uint32_t value, ts_t now)
{
	struct memo_ent *e;
	int err;

	if (memo_full(m, now))
		return ERR_FULL;
	e = &m->ring[(m->head + m->count) % m->max];
	err = map_put(m->map, id, e);
	if (err)
		return err;
	memcpy(e->id, id, MEMO_ID);
	e->value = value;
	e->expires = ts_add(now, m->life);
	m->count++;
	return 0;
}
