/* session_act.c - the queue of actions.
 *
 * Most actions may not get lost: a key that was announced must be taken back, an end be told. So
 * each input first makes room for the most that it can cause and, where there is no memory, does
 * nothing at all; behind that point queueing can't fail. Bytes of datagrams lie in one arena; both
 * are reset by the first input after everything was drained, which is how long what an action
 * points to stays valid. */
#include "session_int.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ROOM ((size_t)SESS_ACT_SENDS * WIRE_CONTROL_MAX)

static void wipe_ents(struct sess_queue *q)
{
	for (size_t i = 0; i < q->count; i++)
		if (q->ents[i].act.type == SESS_KEY_ADD)
			sodium_memzero(&q->ents[i].keys, sizeof(q->ents[i].keys));
}

/* Not realloc: keys must not stay behind in freed memory. */
static int grow_ents(struct sess_queue *q)
{
	size_t cap = q->cap ? q->cap * 2 : SESS_ACT_ROOM * 2;
	struct sess_act_ent *ents = malloc(cap * sizeof(*ents));

	if (!ents)
		return ERR_NOMEM;
	if (q->count)
		memcpy(ents, q->ents, q->count * sizeof(*ents));
	wipe_ents(q);
	free(q->ents);
	q->ents = ents;
	q->cap = cap;
	return 0;
}

int sess_act_reserve(struct sess *s)
{
	return sess_act_reserve_bytes(s, 0);
}

int sess_act_reserve_bytes(struct sess *s, size_t extra)
{
	const size_t room = ARENA_ROOM + extra;
	struct sess_queue *q = &s->queue;

	if (q->head == q->count) {
		wipe_ents(q);
		q->head = q->count = 0;
		q->used = 0;
	}
	if (q->cap - q->count < SESS_ACT_ROOM && grow_ents(q))
		return ERR_NOMEM;
	if (q->bytes_cap - q->used < room) {
		size_t cap = q->bytes_cap ? q->bytes_cap * 2 : ARENA_ROOM * 2;
		uint8_t *bytes;

		if (cap < q->used + room)
			cap = q->used + room;
		bytes = realloc(q->bytes, cap);

		if (!bytes)
			return ERR_NOMEM;
		q->bytes = bytes;
		q->bytes_cap = cap;
	}
	return 0;
}

void sess_act_fini(struct sess *s)
{
	struct sess_queue *q = &s->queue;

	wipe_ents(q);
	free(q->ents);
	if (q->bytes)
		sodium_memzero(q->bytes, q->used);
	free(q->bytes);
	memset(q, 0, sizeof(*q));
}

struct sess_act *sess_act_push(struct sess *s, enum sess_act_type type)
{
	struct sess_queue *q = &s->queue;
	struct sess_act_ent *e;

	assert(q->count < q->cap);
	e = &q->ents[q->count++];
	memset(e, 0, sizeof(*e));
	e->act.type = type;
	return &e->act;
}

struct sess_act *sess_act_peer(struct sess *s, enum sess_act_type type, const struct sess_peer *p)
{
	struct sess_act *a = sess_act_push(s, type);

	a->realm = p->realm;
	a->peer = p->handle;
	a->key = p->key;
	return a;
}

struct sess_act *sess_act_push_buf(
	struct sess *s, enum sess_act_type type, size_t len, uint8_t **buf)
{
	struct sess_queue *q = &s->queue;
	struct sess_act *a = sess_act_push(s, type);

	assert(len <= q->bytes_cap - q->used);
	q->ents[q->count - 1].off = q->used;
	a->len = len;
	*buf = q->bytes + q->used;
	q->used += len;
	return a;
}

void sess_act_send(
	struct sess *s, const struct ep *to, const struct ip *local, const void *buf, size_t len)
{
	uint8_t *dst;
	struct sess_act *a = sess_act_push_buf(s, SESS_SEND, len, &dst);

	a->to = *to;
	a->local = *local;
	memcpy(dst, buf, len);
}

void sess_act_note(
	struct sess *s, enum sess_note note, const struct ep *ep, const struct node_key *key)
{
	struct sess_act *a = sess_act_push(s, SESS_NOTE);

	a->reason = note;
	a->ep = *ep;
	if (key)
		a->key = *key;
}

bool sess_next(struct sess *s, struct sess_act *out)
{
	struct sess_queue *q = &s->queue;
	struct sess_act_ent *e;

	if (q->head == q->count) {
		memset(out, 0, sizeof(*out)); /* SESS_NONE */
		return false;
	}
	e = &q->ents[q->head++];
	*out = e->act;
	/* The pointers are made only now: entries and bytes may have moved since. */
	if (out->type == SESS_SEND || out->type == SESS_RECV)
		out->buf = q->bytes + e->off;
	if (out->type == SESS_KEY_ADD)
		out->keys = &e->keys;
	return true;
}
