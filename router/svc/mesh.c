/* mesh.c - drives the session core, the gossip core and the data plane: carries actions from each
 * to the others. One table per core, from action to function. */
#include <stdio.h>
#include <string.h>
#include "weft/err.h"
#include "bgp_svc.h"
#include "ctl_status.h"
#include "daemon_int.h"
#include "link_svc.h"
#include "own_svc.h"

#define DATAGRAM_BUDGET 256 /* per turn of the loop, so that timers and the socket get theirs */
#define TRAFFIC_PERIOD  DUR_SEC(1)
#define CLOSING_KEEP    DUR_SEC(3) /* longer than a datagram is under way */
#define HOUSEKEEPING    DUR_SEC(10)
#define UNDERLAY_SETTLE DUR_MS(300) /* how long changes of links and addresses may come in a row */

static const char *short_name(const struct node_key *k)
{
	static char text[NODE_KEY_SHORT + 1];

	return node_key_fmt_short(k, text);
}

/* --- actions of the session core --- */

static void on_send(struct daemon *d, const struct sess_act *a)
{
	paths_send(d, a);
}

/* The entry that session @sess of @key belongs to. NULL: no room, told. */
static struct peer *session_peer(struct daemon *d, uint32_t sess, const struct node_key *key)
{
	struct peer *p = peers_session(d, sess);

	if (p)
		return p;
	p = peers_need(d, key);
	if (p)
		peers_bind(d, p, sess);
	return p;
}

/* Data may follow message 3 at once (DESIGN 6.6), but the peer's workers could read it before its
 * control thread has made the keys, or message 3 be lost: so what waited goes when the peer has
 * answered under the key. */
static void use_first_key(struct daemon *d, struct peer *p)
{
	if (p->first_key)
		dp_key_use(d->dp, p->handle, p->first_key);
	p->first_key = 0;
}

static void on_up(struct daemon *d, const struct sess_act *a)
{
	struct peer *p = session_peer(d, a->peer, &a->key);
	char ep[PATHS_TEXT];
	bool relayed;

	if (p) {
		p->up = true;
		p->up_since = loop_now();
		p->foreign = a->realm != 0;
		use_first_key(d, p);
	}
	if (p && !paths_up(d, p, a)) {
		log_warn("mesh", "session with %s: no way to it", short_name(&a->key));
		sess_disconnect(d->sess, &a->key, loop_now());
	}
	relayed = paths_ep_text(d, &a->ep, ep, sizeof(ep));
	log_info("mesh", "session with %s %s %s", short_name(&a->key), relayed ? "by" : "at",
		relayed ? ep : ep_fmt(&a->ep, ep));
	if (a->realm) {
		link_svc_up(d, a);
		return;
	}
	dial_answered(d, &a->ep, &a->key);
	if (!p || gossip_link_up(d->gossip, &a->key, relayed ? NULL : &a->ep, loop_now()) != 0) {
		daemon_warn(d, "no room to keep node %s", short_name(&a->key));
		sess_disconnect(d->sess, &a->key, loop_now());
	}
}

static const char *down_reason(int reason)
{
	switch (reason) {
	case SESS_DOWN_TIMEOUT:
		return "silent";
	case SESS_DOWN_CLOSED:
		return "it closed the session";
	case SESS_DOWN_FORGOTTEN:
		return "forgotten";
	case SESS_DOWN_RESET:
		return "it lost its session state (restarted)";
	case SESS_DOWN_LIMIT:
		return "its key was used up";
	case SESS_DOWN_EXPIRED:
		return "its key is too old";
	case SESS_DOWN_IDLE:
		return "nothing needs it";
	default:
		return "unknown";
	}
}

/* Neither session nor keys are left. Handle and routes stay while something needs them, and so does
 * the endpoint: what is sent to it waits for the next session. */
static void session_gone(struct daemon *d, struct peer *p)
{
	for (unsigned n = 0; n < 64; n++)
		if (p->side_ports >> n & 1)
			dp_peer_side_port(d->dp, p->handle, (uint8_t)(n + 1), false);
	p->side_ports = 0;
	p->keys = p->first_key = 0;
	p->up = false;
	peers_bind(d, p, 0);
	peers_settle(d, p);
}

static void on_down(struct daemon *d, const struct sess_act *a)
{
	struct peer *p = peers_session(d, a->peer);

	log_info("mesh", "session with %s ended: %s", short_name(&a->key), down_reason(a->reason));
	if (a->realm)
		link_svc_down(d, a);
	else
		gossip_link_down(d->gossip, &a->key, loop_now());
	paths_down(d, &a->key);
	if (p)
		session_gone(d, p);
}

static void on_recv(struct daemon *d, const struct sess_act *a)
{
	static struct log_limit limit;
	int e;

	if (a->len >= 1 && a->buf[0] == WIRE_CTL_PATH)
		paths_recv(d, a);
	if (a->realm && a->len >= 1 && a->buf[0] == WIRE_CTL_LINK)
		link_svc_recv(d, a);
	/* What another cluster says of its members is nothing to us. */
	if (a->realm || a->len < 1 || a->buf[0] != WIRE_CTL_GOSSIP)
		return;
	e = gossip_recv(d->gossip, &a->key, a->buf + 1, a->len - 1, loop_now());
	/* What nobody honest says is told by GOSSIP_LIAR. */
	if (e == ERR_NOMEM || e == ERR_FULL || e == ERR_STATE || e == ERR_VERSION)
		log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "mesh",
			"gossip from %s refused: %s", short_name(&a->key), err_str(e));
}

/* Forget the closing keys that are due, and @index (0: no other). */
static void closing_end(struct daemon *d, uint32_t index)
{
	ts_t now = loop_now();

	for (size_t i = 0; i < d->nclosing;) {
		if (d->closing[i].index == index || ts_due(d->closing[i].until, now)) {
			dp_key_del(d->dp, d->closing[i].index);
			d->closing[i] = d->closing[--d->nclosing];
		} else {
			i++;
		}
	}
}

static void on_key_add(struct daemon *d, const struct sess_act *a)
{
	const struct sess_keys *k = a->keys;
	struct peer *p = session_peer(d, a->peer, &a->key);
	int e;

	if (!p)
		return;
	closing_end(d, k->local_index);
	e = dp_key_add(d->dp, p->handle,
		&(struct dp_key){
			.suite = k->suite,
			.local_index = k->local_index,
			.remote_index = k->remote_index,
			.tx_lanes = k->tx_lanes,
			.rx_lanes = k->rx_lanes,
			.tx = k->tx,
			.rx = k->rx,
			.soft_blocks = d->tune.sess.soft_blocks[k->suite],
			.hard_blocks = d->tune.sess.hard_blocks[k->suite],
			.max_failed_opens = d->tune.sess.max_failed_opens[k->suite],
		});
	if (e)
		daemon_warn(d, "can't install a key of %s: %s", short_name(&a->key), err_str(e));
	else
		p->keys++;
	/* One that was to come up, and has nothing to show for it. */
	if (p->keys == 0 && !p->up)
		session_gone(d, p);
}

static void on_key_use(struct daemon *d, const struct sess_act *a)
{
	struct peer *p = peers_session(d, a->peer);

	if (p && p->up)
		dp_key_use(d->dp, p->handle, a->index);
	else if (p)
		p->first_key = a->index;
}

/* A session that ended since nothing needed it: what the peer sent before it heard of that is still
 * taken. */
static void on_key_del(struct daemon *d, const struct sess_act *a)
{
	struct peer *p = peers_session(d, a->peer);

	if (p && a->reason == SESS_DOWN_IDLE && d->nclosing < MAX_CLOSING) {
		dp_key_idle(d->dp, p->handle);
		d->closing[d->nclosing++] =
			(struct closing_key){a->index, ts_add(loop_now(), CLOSING_KEEP)};
	} else {
		dp_key_del(d->dp, a->index);
	}
	if (!p)
		return;
	if (p->keys > 0)
		p->keys--;
	/* A handshake that never came up leaves nothing behind. */
	if (p->keys == 0 && !p->up)
		session_gone(d, p);
}

static void on_endpoint(struct daemon *d, const struct sess_act *a)
{
	struct peer *p = session_peer(d, a->peer, &a->key);

	if (p)
		paths_endpoint(d, p, a);
}

static void on_side_port(struct daemon *d, const struct sess_act *a)
{
	uint64_t bit = 1ull << ((a->via - 1) & 63);
	struct peer *p = peers_session(d, a->peer);

	if (!p)
		return;
	if (a->on)
		p->side_ports |= bit;
	else
		p->side_ports &= ~bit;
	paths_side_port(d, p, a->via, a->on);
}

static void on_dial_failed(struct daemon *d, const struct sess_act *a)
{
	if (a->realm)
		return; /* the link core dials again */
	paths_dial_failed(d, &a->key, &a->ep);
	dial_failed(d, &a->ep, &a->key, a->reason);
}

static void on_note(struct daemon *d, const struct sess_act *a)
{
	static struct log_limit wrong, other, reset;
	char ep[EP_STRLEN];
	uint64_t now = loop_now().ns;

	ep_fmt(&a->ep, ep);
	switch (a->reason) {
	case SESS_NOTE_WRONG_SECRET:
		log_limited(&wrong, now, LOG_LVL_WARN, "mesh",
			"%s called with another cluster secret, or is no weft node: no answer", ep);
		break;
	case SESS_NOTE_OTHER_KEY:
		log_limited(&other, now, LOG_LVL_WARN, "mesh",
			"%s is node %s, not the one that was expected there", ep,
			short_name(&a->key));
		break;
	case SESS_NOTE_SELF:
		dial_self(d, &a->ep);
		break;
	case SESS_NOTE_ENDPOINT_MOVED:
		log_info("mesh", "%s moved to %s", short_name(&a->key), ep);
		break;
	case SESS_NOTE_SILENT:
		/* On an idle link nobody else asks: it may answer by relays that have lost us. */
		paths_ask(d, &a->key);
		break;
	case SESS_NOTE_RESET:
		log_limited(&reset, now, LOG_LVL_INFO, "mesh", "%s at %s restarted",
			short_name(&a->key), ep);
		break;
	}
}

static void (*const sess_handlers[])(struct daemon *d, const struct sess_act *a) = {
	[SESS_SEND] = on_send,
	[SESS_UP] = on_up,
	[SESS_DOWN] = on_down,
	[SESS_RECV] = on_recv,
	[SESS_KEY_ADD] = on_key_add,
	[SESS_KEY_USE] = on_key_use,
	[SESS_KEY_DEL] = on_key_del,
	[SESS_ENDPOINT] = on_endpoint,
	[SESS_SIDE_PORT] = on_side_port,
	[SESS_DIAL_FAILED] = on_dial_failed,
	[SESS_NOTE] = on_note,
};

/* --- actions of the gossip core --- */

static void on_gossip_send(struct daemon *d, const struct gossip_act *a)
{
	uint32_t peer = sess_peer_find(d->sess, &a->node);

	if (peer)
		(void)sess_send(d->sess, peer, WIRE_CTL_GOSSIP, a->buf, a->len, loop_now());
}

static void on_gossip_dial(struct daemon *d, const struct gossip_act *a)
{
	paths_want(d, &a->node, a->eps, a->neps);
}

static void on_hangup(struct daemon *d, const struct gossip_act *a)
{
	sess_disconnect(d->sess, &a->node, loop_now());
}

static void on_release(struct daemon *d, const struct gossip_act *a)
{
	sess_release(d->sess, &a->node, loop_now());
}

static void on_route_add(struct daemon *d, const struct gossip_act *a)
{
	rtab_add(d, &a->node, &a->prefix);
}

static void on_route_del(struct daemon *d, const struct gossip_act *a)
{
	rtab_del(d, &a->node, &a->prefix);
}

static void on_node_up(struct daemon *d, const struct gossip_act *a)
{
	own_svc_changed(d);
	rtab_control(d, &a->node, true);
	paths_node(d, &a->node);
	log_info("mesh", "node %s (%s) is up", a->name, short_name(&a->node));
}

static void on_node_down(struct daemon *d, const struct gossip_act *a)
{
	struct gossip_node_info n;
	bool away;

	own_svc_changed(d);
	rtab_control(d, &a->node, false);
	away = gossip_node_get(d->gossip, &a->node, &n) == 0 && n.away;
	log_info("mesh", "node %s (%s) %s", a->name, short_name(&a->node),
		away ? "has stopped; its prefixes stay for some seconds, it may be back"
		     : "is down");
}

static void on_forgotten(struct daemon *d, const struct gossip_act *a)
{
	own_svc_forgotten(d, a);
}

static void on_name_conflict(struct daemon *d, const struct gossip_act *a)
{
	char ep[EP_STRLEN] = "an unknown address", ep2[EP_STRLEN] = "an unknown address";
	char other[NODE_KEY_SHORT + 1];
	struct gossip_node_info n;

	if (a->neps && a->eps[0].ip.family != IP_NONE)
		ep_fmt(&a->eps[0], ep);
	if (gossip_node_get(d->gossip, &a->other, &n) == 0 && n.neps)
		ep_fmt(&n.eps[0], ep2);
	daemon_warn(d, "two nodes are named %s: %s at %s, and %s at %s; give one another --name",
		a->name, short_name(&a->node), ep, node_key_fmt_short(&a->other, other), ep2);
}

static void on_key_clone(struct daemon *d, const struct gossip_act *a)
{
	char ep[EP_STRLEN] = "an unknown address", here[EP_STRLEN] = "an unknown address";
	struct gossip_node_info me;

	if (a->neps && a->eps[0].ip.family != IP_NONE)
		ep_fmt(&a->eps[0], ep);
	if (gossip_node_get(d->gossip, &d->id.pub, &me) == 0 && me.neps)
		ep_fmt(&me.eps[0], here);
	if (a->epoch) {
		daemon_warn(d,
			"whoever has a copy of this node's key used up its start counter: others "
			"believe "
			"nothing newer of this node. Stop weftd and remove %s/identity: it gets "
			"another "
			"key",
			d->conf->state_dir);
		return;
	}
	daemon_warn(d,
		"another weftd runs with this node's key, at %s (this one: %s): a copied disk? "
		"Stop one of them and remove its %s/identity",
		ep, here, d->conf->state_dir);
}

static void on_prefix_conflict(struct daemon *d, const struct gossip_act *a)
{
	char text[PFX_STRLEN], loser[NODE_NAME_MAX + 1], winner[NODE_NAME_MAX + 1];
	char other[NODE_KEY_SHORT + 1];

	if (own_svc_conflict(d, a))
		return;
	daemon_warn(d,
		"prefix %s of node %s (%s) isn't used: %s (%s) has the better claim to what it "
		"overlaps. Take it from one of the two",
		pfx_fmt(&a->prefix.pfx, text), status_node_name(d, &a->node, loser),
		short_name(&a->node), status_node_name(d, &a->other, winner),
		node_key_fmt_short(&a->other, other));
}

/* What it does, what comes of it, and what to do. */
static const char *const lie_words[GOSSIP_LIES] = {
	[GOSSIP_LIE_FORGED] =
		"tells on what has a false signature: refused. Find out who runs weftd "
		"there; a new secret keeps it out",
	[GOSSIP_LIE_FOREIGN] = "tells on records of another cluster: refused. Give each cluster a "
			       "secret of its own",
	[GOSSIP_LIE_SENSELESS] =
		"sends gossip that makes no sense: refused. Give it this version of "
		"weft, or find out who runs weftd there",
	[GOSSIP_LIE_FUTURE] = "tells of versions that no node comes to: refused. Find out who runs "
			      "weftd there; a new secret keeps it out",
	[GOSSIP_LIE_FLOOD] =
		"publishes more than is heard: the rest comes late. See in its log what "
		"changes there all the time",
	[GOSSIP_LIE_PREFIXES] =
		"publishes more prefixes than a node may: some are not used. Give it "
		"fewer and wider ones",
	[GOSSIP_LIE_SUSPECTS] =
		"suspects nodes that live: it is not believed for now. See whether its "
		"network loses packets, or its host is too busy",
	[GOSSIP_LIE_TWICE] =
		"began anew again and again, or says two things at once: it crashes, or "
		"its key is on two hosts. See its log; a copied host needs its "
		"identity removed",
	[GOSSIP_LIE_WIDE] =
		"claims a whole cluster range, in which other nodes have prefixes: it isn't "
		"used. Give it a prefix of its own (--prefix) inside the range",
};

static void on_liar(struct daemon *d, const struct gossip_act *a)
{
	static struct log_limit limits[GOSSIP_LIES];
	char name[NODE_NAME_MAX + 1], ep[EP_STRLEN] = "";

	if (a->neps)
		ep_fmt(&a->eps[0], ep);
	daemon_warn_limited(d, &limits[a->lie], "%s (%s%s%s) %s",
		status_node_name(d, &a->node, name), short_name(&a->node), ep[0] ? ", " : "", ep,
		lie_words[a->lie]);
}

static void on_epoch(struct daemon *d, const struct gossip_act *a)
{
	/* Told by gossip_epoch_stored; else it is asked for again. */
	(void)state_jump_epoch(d, a->epoch);
}

static void (*const gossip_handlers[])(struct daemon *d, const struct gossip_act *a) = {
	[GOSSIP_SEND] = on_gossip_send,
	[GOSSIP_DIAL] = on_gossip_dial,
	[GOSSIP_HANGUP] = on_hangup,
	[GOSSIP_RELEASE] = on_release,
	[GOSSIP_ROUTE_ADD] = on_route_add,
	[GOSSIP_ROUTE_DEL] = on_route_del,
	[GOSSIP_NODE_UP] = on_node_up,
	[GOSSIP_NODE_DOWN] = on_node_down,
	[GOSSIP_FORGOTTEN] = on_forgotten,
	[GOSSIP_NAME_CONFLICT] = on_name_conflict,
	[GOSSIP_KEY_CLONE] = on_key_clone,
	[GOSSIP_EPOCH] = on_epoch,
	[GOSSIP_LIAR] = on_liar,
	[GOSSIP_PREFIX_CONFLICT] = on_prefix_conflict,
};

/* --- the turn --- */

static void drain_gossip(struct daemon *d)
{
	struct gossip_act a;

	while (gossip_next(d->gossip, &a))
		if ((size_t)a.type < sizeof(gossip_handlers) / sizeof(gossip_handlers[0]) &&
			gossip_handlers[a.type])
			gossip_handlers[a.type](d, &a);
}

/* One round of the session core's actions. Each is carried out before the next is fetched, since
 * its bytes live only until another sess_ call. */
static bool drain_sess(struct daemon *d)
{
	struct sess_act a;
	bool any = false;

	while (sess_next(d->sess, &a)) {
		any = true;
		if ((size_t)a.type < sizeof(sess_handlers) / sizeof(sess_handlers[0]) &&
			sess_handlers[a.type])
			sess_handlers[a.type](d, &a);
	}
	return any;
}

static void arm(struct daemon *d)
{
	ts_t when = ts_min(sess_deadline(d->sess), gossip_deadline(d->gossip));

	when = ts_min(when, kern_deadline(d->kern));
	when = ts_min(when, dial_deadline(d));
	when = ts_min(when, recall_deadline(d));
	when = ts_min(when, paths_deadline(d));
	when = ts_min(when, own_svc_deadline(d));
	when = ts_min(when, link_svc_deadline(d));
	if (!d->core_timer) /* a start that failed half-way */
		return;
	loop_timer_set(d->core_timer, when);
}

void mesh_drain(struct daemon *d)
{
	bool more;

	if (d->draining || !d->sess)
		return;
	d->draining = true;
	do {
		more = drain_sess(d);
		drain_gossip(d);
		more |= paths_drain(d);
		more |= own_svc_drain(d);
		more |= link_svc_drain(d);
	} while (more);
	d->draining = false;
	if (d->kern_dirty)
		bgp_svc_prefixes(d);
	if (d->kern_dirty || ts_due(kern_deadline(d->kern), loop_now())) {
		d->kern_dirty = false;
		d->kernel_why[0] = '\0';
		d->kernel_ok = kern_sync(d->kern, d->kernel_why, sizeof(d->kernel_why)) == 0;
	}
	arm(d);
}

static void on_core_timer(void *ctx)
{
	struct daemon *d = ctx;
	ts_t now = loop_now();

	sess_tick(d->sess, now);
	mesh_drain(d);
	gossip_tick(d->gossip, now);
	mesh_drain(d);
	dial_tick(d, now);
	mesh_drain(d);
	recall_tick(d, now);
	mesh_drain(d);
	paths_tick(d, now);
	mesh_drain(d);
	own_svc_tick(d, now);
	mesh_drain(d);
	link_svc_tick(d, now);
	mesh_drain(d);
}

static void cb_datagram(
	void *ctx, const struct ep *from, const struct ip *local, uint8_t *buf, size_t len)
{
	struct daemon *d = ctx;

	if (!paths_forged(from))
		(void)sess_recv(d->sess, from, local, buf, len,
			loop_now()); /* refusals are counted inside */
	mesh_drain(d);
}

static void cb_key_confirmed(void *ctx, uint32_t local_index)
{
	struct daemon *d = ctx;

	sess_key_confirmed(d->sess, local_index, loop_now());
	mesh_drain(d);
}

static void cb_key_limit(void *ctx, uint32_t local_index, bool hard)
{
	struct daemon *d = ctx;

	sess_key_limit(d->sess, local_index, hard, loop_now());
	mesh_drain(d);
}

static void cb_roam_hint(void *ctx, uint32_t peer, const struct ep *from, const struct ip *local)
{
	struct daemon *d = ctx;
	const struct peer *p = peers_at(d, peer);

	if (p && p->sess)
		sess_roam_hint(d->sess, p->sess, from, local, loop_now());
	mesh_drain(d);
}

/* Packets wait for a node that we have no session with. The data plane says so again each second
 * while they come, so an attempt that fails is made again. */
static void cb_want_session(void *ctx, uint32_t peer)
{
	struct daemon *d = ctx;
	const struct peer *p = peers_at(d, peer);

	if (p && gossip_demand(d->gossip, &p->key, loop_now()) == 0)
		paths_hasten(d, &p->key);
	mesh_drain(d);
}

static void cb_link_active(void *ctx, uint32_t peer)
{
	(void)peer;
	paths_link_active(ctx);
}

static void cb_relayed(void *ctx, const struct dp_way *back, uint8_t *buf, size_t len)
{
	paths_relayed(ctx, back, buf, len);
	mesh_drain(ctx);
}

static void on_dp(void *ctx, int events)
{
	static const struct dp_ops ops = {
		.datagram = cb_datagram,
		.key_confirmed = cb_key_confirmed,
		.key_limit = cb_key_limit,
		.roam_hint = cb_roam_hint,
		.want_session = cb_want_session,
		.link_active = cb_link_active,
		.relayed = cb_relayed,
	};
	struct daemon *d = ctx;

	(void)events;
	dp_poll(d->dp, DATAGRAM_BUDGET, &ops, d);
	mesh_drain(d);
}

static void on_kern(void *ctx, int events)
{
	struct daemon *d = ctx;
	struct kern_stats k;

	(void)events;
	kern_event(d->kern, loop_now());
	kern_stats(d->kern, &k);
	if (k.fault[0])
		segments_repair(d);
	/* A change of the host's links and addresses comes in bursts: look when it is over. */
	if (k.underlay_changes != d->underlay_seen) {
		d->underlay_seen = k.underlay_changes;
		loop_timer_set(d->housekeeping_timer, ts_add(loop_now(), UNDERLAY_SETTLE));
	}
	mesh_drain(d);
}

static void traffic(void *ctx, uint32_t peer, ts_t last_rx, ts_t last_tx)
{
	struct daemon *d = ctx;
	struct peer *p = peers_at(d, peer);
	ts_t last = ts_before(last_rx, last_tx) ? last_tx : last_rx, now = loop_now();

	if (!p)
		return;
	/* Data came since the last look: its sender lives, whatever others say. */
	if (ts_before(p->last_rx, last_rx))
		gossip_heard(d->gossip, &p->key, now);
	p->last_rx = last_rx;
	p->last_data = last;
	if (p->sess) {
		sess_traffic(d->sess, p->sess, last_rx, now);
		sess_used(d->sess, p->sess, last, now);
	}
}

static void on_second(void *ctx)
{
	struct daemon *d = ctx;

	dp_traffic(d->dp, traffic, d);
	closing_end(d, 0);
	paths_second(d);
	link_svc_second(d);
	mesh_drain(d);
	loop_timer_set(d->second_timer, ts_add(loop_now(), TRAFFIC_PERIOD));
}

static void on_housekeeping(void *ctx)
{
	struct daemon *d = ctx;

	sess_set_wall(d->sess,
		loop_unix_ns() + (uint64_t)(d->tune.clock_offset_secs * INT64_C(1000000000)),
		loop_now());
	segments_repair(d);
	underlay_refresh(d);
	d->kern_dirty |= kern_nat_look(d->kern);
	(void)state_save_peers(d);
	mesh_drain(d);
	loop_timer_set(d->housekeeping_timer, ts_add(loop_now(), HOUSEKEEPING));
}

static int start_cores(struct daemon *d)
{
	struct gossip_cfg g = {.id = &d->id, .cluster = d->cluster, .epoch = d->epoch};
	struct sess_cfg s = {
		.id = &d->id,
		.secrets = d->secrets,
		.nsecrets = d->nsecrets,
		.suites = d->conf->suites ? d->conf->suites : aead_fast_suites(),
		.lanes = (uint8_t)(d->workers + 1),
		.side_ports = d->conf->side_port_lo ? (uint8_t)d->workers : 0,
		.underload_cookies = d->tune.cookies,
		.seed = prng_next(&d->prng),
		.wall_unix_ns = loop_unix_ns() +
				(uint64_t)(d->tune.clock_offset_secs * INT64_C(1000000000)),
		.tune = d->tune.sess,
	};

	g.seed = prng_next(&d->prng);
	snprintf(g.name, sizeof(g.name), "%s", d->conf->name);
	snprintf(g.version, sizeof(g.version), "%s", WEFT_VERSION);
	d->sess = sess_new(&s, loop_now());
	d->gossip = gossip_new(&g, loop_now());
	if (!d->sess || !d->gossip)
		return ERR_NOMEM;
	for (size_t i = 1; i < d->nsegments; i++)
		for (size_t k = 0; k < d->segments[i].nranges; k++)
			if (gossip_range_add(
				    d->gossip, d->segments[i].vni, &d->segments[i].ranges[k]) != 0)
				return ERR_NOMEM;
	if (!d->conf->relay)
		d->features |= GOSSIP_F_NO_RELAY;
	gossip_set_features(d->gossip, d->features, loop_now());
	return paths_new(d, &d->paths);
}

int mesh_start(struct daemon *d)
{
	int e = start_cores(d);

	if (e)
		return e;
	d->core_timer = loop_timer_new(d->loop, on_core_timer, d);
	d->second_timer = loop_timer_new(d->loop, on_second, d);
	d->housekeeping_timer = loop_timer_new(d->loop, on_housekeeping, d);
	d->dp_io = loop_io_new(d->loop, dp_event_fd(d->dp), LOOP_READ, on_dp, d);
	d->kern_io = loop_io_new(d->loop, kern_fd(d->kern), LOOP_READ, on_kern, d);
	if (!d->core_timer || !d->second_timer || !d->housekeeping_timer || !d->dp_io ||
		!d->kern_io)
		return ERR_NOMEM;
	e = segments_publish(d);
	if (!e)
		e = link_svc_start(d);
	if (e)
		return e;
	on_housekeeping(d);
	on_second(d);
	return 0;
}

/* A clean stop: tell every peer, so that none waits for a timeout. It may be a restart: then others keep
 * the routes to us for the moments that it takes. The kernel's state stays (promise 4.1), unless
 * everything was asked to go. */
void mesh_stop(struct daemon *d)
{
	uint32_t it = 0;
	struct peer *p;

	link_svc_stop(d);
	if (d->sess && d->gossip) {
		(void)state_save_peers(d);
		if (d->leaving)
			gossip_leave(d->gossip, loop_now());
		else
			gossip_pause(d->gossip, loop_now());
		/* What the cores say to that goes out before the sessions end. */
		mesh_drain(d);
		while (peers_next(d, &it, &p))
			if (p->up)
				sess_disconnect(d->sess, &p->key, loop_now());
		mesh_drain(d);
	}
	loop_io_free(d->dp_io);
	loop_io_free(d->kern_io);
	loop_timer_free(d->core_timer);
	loop_timer_free(d->second_timer);
	loop_timer_free(d->housekeeping_timer);
	sess_free(d->sess);
	gossip_free(d->gossip);
	paths_free(d->paths);
	d->dp_io = d->kern_io = NULL;
	d->core_timer = d->second_timer = d->housekeeping_timer = NULL;
	d->sess = NULL;
	d->gossip = NULL;
	d->paths = NULL;
}
