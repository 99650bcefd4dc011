/* bgp_conn.c - the output queue of a connection.
 *
 * One buffer of LIM_BGP_OUT_BYTES (and an extended message). UPDATEs go in while a quarter of it is free, so that messages of
 * the session (KEEPALIVE, NOTIFICATION) find room; what doesn't fit waits in the table, in its
 * newest form. Bytes offered to the driver don't move until it says how many were taken. The send
 * hold timer (RFC 9687) runs while something is unsent and starts again at each progress. */
#include <assert.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_int.h"

#define RESERVE (2 * BGP_MSG_MAX)

static void make_room(struct bgp_conn *c)
{
	if (c->out_head == c->out_tail && !c->offered) {
		c->out_head = c->out_tail = 0;
	} else if (c->out_head && !c->offered &&
		   c->out_tail + RESERVE + BGP_MSG_MAX > LIM_BGP_OUT_BYTES) {
		memmove(c->out, c->out + c->out_head, c->out_tail - c->out_head);
		c->out_tail -= c->out_head;
		c->out_head = 0;
	}
}

void bgp_conn_begin(struct bgp_conn *c, struct wr *w)
{
	make_room(c);
	wr_init(w, c->out + c->out_tail, c->out_cap - c->out_tail);
}

static void send_hold_start(struct bgp_conn *c)
{
	struct bgp_peer *p = c->peer;
	unsigned secs = p->cfg.send_hold_secs;

	if (!secs)
		secs = 2u * p->hold_secs > 480 ? 2u * p->hold_secs : 480;
	bgp_timer_set(p->b, &c->send_hold, ts_add(p->b->now, DUR_SEC(secs)));
}

int bgp_conn_end(struct bgp_conn *c, struct wr *w, unsigned msgs)
{
	if (wr_bad(w))
		return ERR_FULL;
	if (wr_len(w) == 0)
		return 0;
	if (c->out_head == c->out_tail)
		send_hold_start(c);
	if (c->peer->b->tap)
		bgp_tap_tell(c, true, w->start, wr_len(w));
	c->out_tail += wr_len(w);
	c->peer->n.tx_msgs += msgs;
	c->peer->n.tx_bytes += wr_len(w);
	bgp_conn_wake(c);
	return 0;
}

void bgp_conn_wake(struct bgp_conn *c)
{
	if (list_empty(&c->link))
		list_add_tail(&c->peer->b->senders, &c->link);
}

void bgp_peer_wake(struct bgp_peer *p)
{
	if (p->up)
		bgp_conn_wake(p->up);
}

/* Put what one family has due; false: no room for more. */
static bool fill_family(struct bgp_conn *c, unsigned f, unsigned *updates)
{
	struct bgp_peer *p = c->peer;
	struct peer_out *po = &p->out[f];
	struct wr w;
	unsigned n = 0, refresh = 0;

	po->paused = false;
	if (!po->group || po->next || po->rewinding ||
		(po->at_end && !po->begin && !po->end && !po->eor))
		return true;
	make_room(c);
	if (c->out_tail + RESERVE + BGP_MSG_MAX > LIM_BGP_OUT_BYTES)
		return false;
	wr_init(&w, c->out + c->out_tail, LIM_BGP_OUT_BYTES - RESERVE - c->out_tail);
	if (po->begin) {
		bgp_refresh_encode(&w, f, REFRESH_BEGIN);
		po->begin = false;
		po->end = true;
		refresh++;
	}
	n = ribout_emit(p->b, po, &w, UINT32_MAX);
	if (n == 0 && !po->at_end && !po->paused && c->out_tail == 0 && wr_len(&w) == 0) {
		/* An extended message (RFC 8654), which needs the room behind the bound. */
		wr_init(&w, c->out, c->out_cap - RESERVE);
		n = ribout_emit(p->b, po, &w, 1);
	}
	/* What ends a table waits until all of it was exported. */
	if (po->at_end && !po->group->filling && po->end && wr_left(&w) > BGP_HDR_LEN + 4) {
		bgp_refresh_encode(&w, f, REFRESH_END);
		po->end = false;
		refresh++;
	}
	if (po->at_end && !po->group->filling && po->eor && !bgp_restart_waits(p->b, f) &&
		wr_left(&w) >= BGP_EOR_MAX) {
		bgp_eor_encode(&w, f);
		po->eor = false;
		n++;
	}
	*updates += n;
	p->n.tx_updates += n;
	p->b->st.out_encoded += n;
	bgp_conn_end(c, &w, n + refresh);
	return po->at_end && !po->end;
}

bool bgp_conn_fill(struct bgp_conn *c)
{
	struct bgp_peer *p = c->peer;
	unsigned updates = 0, f;

	if (p->up != c || p->mrai.n.pos)
		return true; /* when MRAI is over, the newest state is told, once */
	for (f = 0; f < BGP_FAMILIES; f++)
		if (!fill_family(c, f, &updates))
			break;
	if (updates) /* RFC 4271 8.2.2: an UPDATE is a sign of life too */
		bgp_keepalive_restart(c);
	if (f == BGP_FAMILIES && updates && p->cfg.mrai_secs)
		bgp_timer_set(p->b, &p->mrai,
			ts_add(p->b->now, bgp_jitter(p->b, DUR_SEC(p->cfg.mrai_secs))));
	return f == BGP_FAMILIES || !p->out[f].paused;
}

int bgp_written(struct bgp *b, uint32_t conn, size_t n, ts_t now)
{
	struct bgp_conn *c = bgp_conn_find(b, conn);

	b->now = now;
	if (!c)
		return ERR_NOT_FOUND;
	if (n > c->offered)
		return ERR_RANGE;
	if (n == 0)
		return 0;
	c->out_head += n;
	c->offered = 0;
	make_room(c);
	if (c->out_head == c->out_tail)
		bgp_timer_set(b, &c->send_hold, TS_NEVER);
	else
		send_hold_start(c);
	bgp_conn_wake(c);
	return 0;
}
