/* sim_hostile.c - lies. In: whose turn it is, at random. Out: messages over the liar's sessions,
 * prefixes, disks. Nothing here may change what honest members end up with: the invariants tell. */
#include "sim_hostile.h"

#include <string.h>
#include "weft/bounds.h"
#include "weft/buf.h"
#include "gossip_wire.h"
#include "member_wire.h"
#include "record.h"
#include "sim.h"
#include "sim_net.h"
#include "sim_node.h"
#include "sim_path.h"
#include "sim_sess.h"
#include "truth.h"

#define EPOCH_LOW_BYTE 15 /* of a record */
#define CLUSTER_BYTE   24
#define FLOOD_BURST    50 /* messages */
#define FUTURE_EPOCHS  1000
#define NEWS_PREFIX    0x0c000000u /* nobody else's */
#define ACCUSED        4           /* in one message */
#define AHEAD          6
#define CLONE_SHOWS    DUR_SEC(20)

static uint64_t below(struct sim *s, uint64_t n)
{
	return prng_below(&s->prng, n);
}

static bool awake(const struct sim_node *n)
{
	return n->running && ts_due(n->stalled_until, n->s->now);
}

static struct sim_node *any(struct sim *s)
{
	return s->nodes[below(s, s->cfg.nodes)];
}

struct sim_node *hostile_nth(const struct sim *s, unsigned nth)
{
	for (unsigned i = s->cfg.nodes; i-- > 0;)
		if (!s->nodes[i]->no_relay && nth-- == 0)
			return s->nodes[i];
	return s->nodes[0];
}

/* Whose turn it is to lie: one of those who always do, else @other. */
static struct sim_node *liar_or(struct sim *s, struct sim_node *other)
{
	return s->liars ? hostile_nth(s, (unsigned)below(s, s->liars)) : other;
}

static struct sim_node *any_liar(struct sim *s)
{
	return s->liars ? liar_or(s, NULL) : any(s);
}

static struct sim_node *last_liar(struct sim *s)
{
	return liar_or(s, s->nodes[s->cfg.nodes - 1]);
}

/* Say it to a random other node, or to the real daemon among them, half of the time. */
static void say_to_any(struct sim *s, struct sim_node *liar, const uint8_t *msg, size_t len)
{
	const struct sim_node *to;

	/* One that runs from another's disk speaks for that one: no lie of its own. */
	if (!awake(liar) || liar->clone)
		return;
	if (s->has_outside && below(s, 2)) {
		if (!sim_sess_find(liar->sess, &s->outside)) {
			(void)gossip_demand(liar->gossip, &s->outside, sim_node_now(liar));
			sim_node_turn(liar);
			return;
		}
		sim_node_say(liar, &s->outside, msg, len);
		return;
	}
	to = any(s);
	if (to != liar && awake(to))
		sim_node_say(liar, &to->id.pub, msg, len);
}

/* --- records --- */

enum lie {
	LIE_OLD,
	LIE_NEWER,
	LIE_BIT,
	LIE_LARGE,
	LIE_CLUSTER,
	LIE_UTMOST,
	LIE_FORGET,
	LIE_FUTURE,
	LIES
};
#define LIES_COSTLY LIE_FORGET /* from here on each takes its author an epoch to get over */

/* A record that the liar itself signs. */
static size_t sign_own(const struct sim_node *liar, struct record *r, uint8_t *out)
{
	struct secret_keys keys;
	int len;

	sim_node_secret(&keys, &r->cluster);
	len = record_sign(&liar->id, r, out);
	return len < 0 ? 0 : (size_t)len;
}

static uint64_t epoch_of(const struct sim_node *n)
{
	struct gossip_node_info me;

	return gossip_node_get(n->gossip, &n->id.pub, &me) == 0 ? me.epoch : 0;
}

/* Its node record, so far ahead that its own next ones seem old, or further than anybody comes. */
static size_t from_the_future(const struct sim_node *liar, uint64_t epoch, uint8_t *out)
{
	struct record_node node = {.version = "sim"};
	uint8_t body[RECORD_BODY_MAX];
	struct record r = {.type = RECORD_NODE, .body = body, .epoch = epoch, .seq = 1};
	int len;

	memcpy(node.name, liar->name, sizeof(node.name));
	len = record_node_encode(&node, body);
	if (len < 0)
		return 0;
	r.body_len = (size_t)len;
	return sign_own(liar, &r, out);
}

/* That somebody was forgotten, in a version that it can't outdo. */
static size_t forget_lie(struct sim *s, const struct sim_node *liar, uint8_t *out)
{
	const struct sim_node *victim = any(s);
	uint8_t body[RECORD_BODY_MAX];
	struct record r = {.type = RECORD_FORGET, .body = body, .seq = 1000};
	struct record_forget f = {.seq = UINT64_MAX, .at_secs = UINT64_MAX};
	int len;

	if (!awake(victim))
		return 0;
	f.node = victim->id.pub;
	f.epoch = below(s, 3) ? epoch_of(victim) : below(s, 2) ? LIM_EPOCH : UINT64_MAX;
	len = record_forgets_encode(&f, 1, body);
	if (len < 0)
		return 0;
	r.body_len = (size_t)len;
	r.epoch = epoch_of(liar);
	return sign_own(liar, &r, out);
}

/* Make one of what somebody once said. 0: nothing was said yet. */
static size_t make_lie(struct sim *s, const struct sim_node *liar, enum lie what,
	uint8_t out[LIM_RECORD_BYTES + 1])
{
	size_t len = 0;
	const uint8_t *raw = truth_any(s->truth, &s->prng, &len);

	if (!raw)
		return 0;
	memcpy(out, raw, len);
	switch (what) {
	case LIE_NEWER:
		out[EPOCH_LOW_BYTE]++;
		break;
	case LIE_BIT:
		out[below(s, len)] ^= (uint8_t)(1u << below(s, 8));
		break;
	case LIE_LARGE: /* its own length says so */
		memset(out + len, 0, LIM_RECORD_BYTES + 1 - len);
		out[2] = (LIM_RECORD_BYTES + 1) >> 8;
		out[3] = (LIM_RECORD_BYTES + 1) & 0xff;
		return LIM_RECORD_BYTES + 1;
	case LIE_CLUSTER:
		out[CLUSTER_BYTE] ^= 1;
		break;
	case LIE_UTMOST:
		return from_the_future(liar, below(s, 2) ? UINT64_MAX : LIM_EPOCH + 1, out);
	case LIE_FORGET:
		return forget_lie(s, liar, out);
	case LIE_FUTURE:
		return from_the_future(liar, epoch_of(liar) + FUTURE_EPOCHS, out);
	default:
		break;
	}
	return len;
}

static void tell(struct sim *s, struct sim_node *liar, enum lie what)
{
	uint8_t msg[1 + LIM_RECORD_BYTES + 1];
	size_t len;

	if (!awake(liar))
		return;
	len = make_lie(s, liar, what, msg + 1);
	msg[0] = GOSSIP_MSG_RECORDS;
	if (len)
		say_to_any(s, liar, msg, len + 1);
}

void hostile_lie(struct sim *s)
{
	enum lie what = (enum lie)below(s, LIES);

	if (what >= LIES_COSTLY && below(s, what == LIE_FORGET ? 3 : 10))
		what = LIE_OLD;
	tell(s, any_liar(s), what);
}

void hostile_news(struct sim *s)
{
	struct sim_node *liar = last_liar(s);
	struct ip ip = ip_v4(NEWS_PREFIX + (liar->index << 4));
	struct gossip_prefix v[SIM_PREFIXES] = {{0}};
	size_t count = liar->nprefixes;

	if (!awake(liar) || liar->clone)
		return;
	memcpy(v, liar->prefixes, count * sizeof(*v));
	if (count > 1 && ip_eq(&v[count - 1].pfx.ip, &ip)) {
		count--;
	} else if (count < SIM_PREFIXES) {
		v[count] = v[0];
		(void)pfx_make(&ip, 28, &v[count++].pfx);
	}
	sim_node_set_prefixes(liar, v, count);
}

void hostile_flood(struct sim *s)
{
	struct sim_node *liar = last_liar(s);
	uint8_t noise[200];

	for (int i = 0; i < FLOOD_BURST && awake(liar); i++) {
		if (below(s, 2)) {
			tell(s, liar, (enum lie)below(s, LIES_COSTLY));
			continue;
		}
		for (size_t k = 0; k < sizeof(noise); k++)
			noise[k] = (uint8_t)below(s, 256);
		noise[0] = (uint8_t)below(s, 12);
		say_to_any(s, liar, noise, 1 + below(s, sizeof(noise)));
	}
}

/* --- liveness --- */

void hostile_deaf(struct sim *s)
{
	struct sim_node *n = any_liar(s);

	if (awake(n))
		sim_node_deafen(n, ts_add(s->now, DUR_SEC(5 + (int64_t)below(s, 25))));
}

enum accusation {
	ACCUSE_OWN,
	ACCUSE_OTHERS_NAME,
	ACCUSE_GOODBYE,
	ACCUSE_NOTICE,
	ACCUSE_HOLD,
	ACCUSATIONS
};

static struct members_stats membership(const struct sim_node *n)
{
	struct members_stats st;

	gossip_member_stats(n->gossip, &st);
	return st;
}

/* What the liar says of @victim; its signature stands for whomever it likes, and is its own. */
static void accuse_one(struct wr *w, const struct sim_node *liar, const struct sim_node *victim,
	const struct sim_node *other, enum accusation what, uint64_t ahead)
{
	struct member_fact f = {
		.type = what == ACCUSE_GOODBYE  ? MEMBER_FACT_LEAVE
			: what == ACCUSE_NOTICE ? MEMBER_FACT_NOTICE
						: MEMBER_FACT_SUSPECT,
		.subject = victim->id.pub,
		.epoch = victim->disk.epoch,
		.inc = membership(victim).incarnation + ahead,
	};
	uint8_t text[MEMBER_SIGNED_LEN];
	struct secret_keys keys;
	struct cluster_id cluster;

	if (what == ACCUSE_HOLD) {
		member_hold_encode(w, &(struct member_hold){victim->id.pub, f.epoch, f.inc});
		return;
	}
	if (f.type == MEMBER_FACT_SUSPECT)
		f.origin = what == ACCUSE_OWN ? liar->id.pub : other->id.pub;
	sim_node_secret(&keys, &cluster);
	member_fact_signed(&f, &cluster, text);
	if (what != ACCUSE_NOTICE)
		key_sign(&liar->id, MEMBER_SIGN_LABEL, text, sizeof(text), f.sig);
	member_fact_encode(w, &f);
}

void hostile_accuse(struct sim *s)
{
	/* Of incarnations that the subject may come to, that it won't answer, that nobody comes to. */
	static const uint64_t ahead[AHEAD] = {0, 0, 0, 3, UINT64_C(1) << 33, UINT64_MAX / 2};
	enum accusation what = (enum accusation)below(s, ACCUSATIONS);
	struct sim_node *liar = last_liar(s);
	uint8_t msg[1 + MEMBER_MSG_MAX];
	struct wr w;

	if (!awake(liar))
		return;
	wr_init(&w, msg, sizeof(msg));
	wr_u8(&w, GOSSIP_MSG_MEMBER);
	wr_u8(&w, what == ACCUSE_HOLD ? MEMBER_MSG_HOLD : MEMBER_MSG_PUSH);
	for (int i = 0; i < ACCUSED; i++) {
		const struct sim_node *victim = any(s), *other = any(s);

		if (victim != liar && awake(victim) && awake(other))
			accuse_one(&w, liar, victim, other, what, ahead[below(s, AHEAD)]);
	}
	if (!wr_bad(&w))
		say_to_any(s, liar, msg, wr_len(&w));
}

/* --- relays --- */

static void crook_set(struct sim *s, struct sim_node *n, enum sim_path_lie lie)
{
	/* Ways through it begin now, or have ended. */
	if (n->swallows != (lie == PATH_LIE_CHEAP))
		sim_net_disturb(s->net, n->index, s->now);
	n->swallows = lie == PATH_LIE_CHEAP;
	if (!n->running)
		return;
	n->way_lie = lie;
	sim_trace(s, (int)n->index, -1, "lies about ways", lie);
}

void hostile_relay(struct sim *s)
{
	struct sim_node *n = liar_or(s, hostile_nth(s, 0));

	/* A real daemon has no others to turn to that really relay. */
	crook_set(s, n,
		s->cfg.outside ? PATH_LIE_CHEAP : (enum sim_path_lie)below(s, PATH_LIE_ROUTE + 1));
}

/* --- prefixes --- */

void hostile_greed(struct sim *s)
{
	struct gossip_prefix v[2];
	struct sim_node *n = any_liar(s);
	const struct sim_node *other = any(s);

	sim_node_own_prefix(n->index, &v[0]);
	sim_node_own_prefix((unsigned)below(s, s->cfg.nodes), &v[1]);
	v[1].right = RIGHT_CLAIM;
	v[1].claimed_at_secs = 1; /* older than any */
	switch (below(s, 3)) {
	case 0:
		/* A whole range, by whatever right. */
		sim_own_range(s->has_outside ? 0 : (unsigned)below(s, SIM_RANGES), &v[1]);
		v[1].right = (uint8_t)(RIGHT_ORCHESTRATOR + below(s, 3));
		v[1].claimed_at_secs = 1;
		break;
	case 1:
		(void)pfx_make(&v[1].pfx.ip, 28, &v[1].pfx);
		break;
	default:
		/* By the order that is the older claim: the other one has to move. */
		if (other->nclaims > 0)
			(void)pfx_make(&other->claims[0].pfx.ip, 32, &v[1].pfx);
	}
	sim_node_set_prefixes(n, v, n->nprefixes > 1 ? 1 : 2);
}

/* --- clones --- */

void hostile_clone(struct sim *s)
{
	struct sim_node *a = any(s), *b = any_liar(s);

	for (unsigned i = 0; i < s->cfg.nodes; i++)
		if (s->nodes[i]->clone)
			return;
	if (a == b || !a->running || b->index == 0)
		return;
	/* The first node is its own seed. A copy of it that knows nobody finds nobody to tell of it. */
	if (a->index == 0 && a->disk.npeers == 0)
		return;
	sim_node_stop(b);
	sim_node_clone(b, a);
	sim_node_start_at(b, ts_add(s->now, DUR_SEC(1)));
	s->cloned = s->now;
	s->clones_told = a->clones + b->clones;
}

void hostile_heal(struct sim *s)
{
	for (unsigned i = 0; i == 0 || i < s->liars; i++)
		crook_set(s, hostile_nth(s, i), PATH_LIE_NONE);
	for (unsigned i = 0; i < s->cfg.nodes; i++)
		sim_node_deafen(s->nodes[i], TS_ZERO);
	for (unsigned i = 0; i < s->cfg.nodes; i++)
		if (s->nodes[i]->clone)
			sim_node_crash(s->nodes[i], DISK_LOST);
	/* Who lied all the time is mended: a new run of it is believed again. */
	for (unsigned i = 0; i < s->liars; i++)
		sim_node_crash(hostile_nth(s, i), DISK_KEPT);
}

/* --- counters --- */

/* Has one of the two that run under one key told so? True, if they have hardly done so at once. */
static bool clone_told(const struct sim *s)
{
	uint64_t told = 0;
	bool both = false;

	if (!s->clone || !s->clone->clone || !s->clone->running ||
		!ts_due(ts_add(s->cloned, CLONE_SHOWS), s->now))
		return true;
	for (unsigned i = 0; i < s->cfg.nodes; i++)
		if (sim_node_cloned(s->nodes[i]) && s->nodes[i]->running &&
			ts_due(ts_add(s->nodes[i]->started, CLONE_SHOWS), s->now)) {
			told += s->nodes[i]->clones;
			both = true;
		}
	return !both || told + s->clone->clones > s->clones_told;
}

bool hostile_counted(struct sim *s, unsigned acts, const char **missing)
{
	uint64_t bad = 0, forged = 0, foreign = 0, conflicts = 0, clones = 0;
	uint64_t accused = 0, false_names = 0, refuted = 0, relays = 0, limited = 0;

	for (unsigned i = 0; i < s->cfg.nodes; i++) {
		struct gossip_stats st = {0};

		if (s->nodes[i]->running)
			gossip_stats(s->nodes[i]->gossip, &st);
		if (s->nodes[i]->running) {
			struct members_stats m = membership(s->nodes[i]);

			refuted += m.self_refutes;
			accused += m.rx_foreign + m.rx_liar + m.self_refutes;
			false_names += m.rx_forged;
		}
		if (sim_path_core(s->nodes[i]->path)) {
			struct path_stats p;

			path_stats(sim_path_core(s->nodes[i]->path), &p);
			relays += p.relays_bad;
		}
		bad += st.rx_bad;
		limited += st.rx_limited;
		forged += st.rx_forged;
		foreign += st.rx_foreign;
		conflicts += s->nodes[i]->conflicts;
		clones += s->nodes[i]->clones;
	}
	*missing = NULL;
	if (acts & ACT_LIE && (!forged || !foreign))
		*missing = !forged ? "forged records" : "records of another cluster";
	if (acts & (ACT_LIE | ACT_FLOOD) && !bad)
		*missing = "malformed messages";
	if (acts & ACT_NEWS && !limited)
		*missing = "news that come too fast";
	if (acts & ACT_GREED && !conflicts)
		*missing = "conflicting claims";
	if (acts & ACT_CLONE && (!clones || !clone_told(s)))
		*missing = "a cloned key";
	if (acts & ACT_ACCUSE && (!accused || !false_names))
		*missing = !accused ? "false suspicions" : "suspicions in others' names";
	if (acts & ACT_RELAY && !relays)
		*missing = "relays that carry nothing";
	if (acts & ACT_DEAF && !refuted)
		*missing = "suspicions by who hears nobody";
	return !*missing;
}
