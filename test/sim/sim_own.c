/* sim_own.c - drives the ownership core of one node, as router/svc/own.c does.
 *
 * In: what gossip knows, looked over at most once in LOOK_EVERY when something changed; conflicts, time.
 * Out: prefixes to publish, blocks in service, the disk. In the profile "claims" all make the same
 * choices among few blocks: that gives conflicts. */
#include "sim_own.h"

#include <stdlib.h>
#include <string.h>
#include "sim.h"
#include "sim_node.h"
#include "sim_plant.h"

#define LOOK_EVERY       DUR_MS(200)
#define FLAP_EVERY       DUR_MS(20)
#define RANGE            0xac100000u /* 172.16.0.0/16 */
#define RANGE_LEN        16
#define CONFIG_RANGE     0x0a000000u /* 10.0.0.0/8 */
#define CONFIG_RANGE_LEN 8
#define ROOM             8 /* blocks per node; where conflicts are wanted, fewer */
#define ROOM_TIGHT       3

struct sim_own {
	struct sim_node *n;
	struct owner *owner;
	bool dirty;
	ts_t looked, flapped;
	uint64_t news;
	uint64_t redated; /* by PLANT_FLAP: later by so much */
	struct owner_prefix used[SIM_CLAIMS];
	size_t nused;
};

/* Are all to choose alike, and among few? */
static bool tight(const struct sim *s)
{
	return s->cfg.profile && strcmp(s->cfg.profile, "claims") == 0;
}

static unsigned block_len(const struct sim *s)
{
	unsigned len = RANGE_LEN, room = (tight(s) ? ROOM_TIGHT : ROOM) * s->cfg.nodes;

	while (len < 30 && 1u << (len - RANGE_LEN) < room)
		len++;
	return len;
}

void sim_node_own_prefix(unsigned index, struct gossip_prefix *out)
{
	struct ip ip = ip_v4(CONFIG_RANGE + ((index + 1) << 8));

	*out = (struct gossip_prefix){.vni = VNI_DEFAULT, .right = RIGHT_CONFIG};
	(void)pfx_make(&ip, 24, &out->pfx);
}

void sim_own_range(unsigned i, struct gossip_prefix *out)
{
	struct ip ip = ip_v4(i == 0 ? CONFIG_RANGE : RANGE);

	*out = (struct gossip_prefix){.vni = VNI_DEFAULT};
	(void)pfx_make(&ip, i == 0 ? CONFIG_RANGE_LEN : RANGE_LEN, &out->pfx);
}

void sim_node_publish(struct sim_node *n)
{
	struct gossip_prefix all[SIM_PREFIXES + SIM_CLAIMS];

	n->published++;
	memcpy(all, n->prefixes, n->nprefixes * sizeof(all[0]));
	memcpy(all + n->nprefixes, n->claims, n->nclaims * sizeof(all[0]));
	(void)gossip_set_prefixes(n->gossip, all, n->nprefixes + n->nclaims, sim_node_now(n));
}

struct sim_own *sim_own_new(struct sim_node *n, uint64_t wall_secs, ts_t now)
{
	struct owner_cfg cfg = {
		.self = n->id.pub,
		.unix_secs = wall_secs,
		.seeds = n->target.is || n->disk.npeers > 0,
		.seed = prng_next(&n->prng),
	};
	struct sim_own *o = calloc(1, sizeof(*o));
	struct ip ip = ip_v4(RANGE);
	struct pfx range;

	if (!o)
		return NULL;
	if (tight(n->s))
		cfg.seed = 1;
	owner_tune_default(&cfg.tune);
	o->n = n;
	o->dirty = true;
	o->owner = owner_new(&cfg, now);
	(void)pfx_make(&ip, RANGE_LEN, &range);
	if (!o->owner || owner_range_add(o->owner, VNI_DEFAULT, &range) != 0 ||
		owner_want(o->owner, VNI_DEFAULT, IP_V4, block_len(n->s), 0, now) != 0) {
		sim_own_free(o);
		return NULL;
	}
	/* What is another's, or torn, is no claim. */
	if (n->disk.nclaims > 0)
		(void)owner_restore(o->owner, n->disk.claims, n->disk.nclaims, now);
	return o;
}

void sim_own_free(struct sim_own *o)
{
	if (!o)
		return;
	owner_free(o->owner);
	free(o);
}

void sim_own_wall(struct sim_own *o, uint64_t wall_secs, ts_t now)
{
	if (o)
		owner_set_wall(o->owner, wall_secs, now);
}

void sim_own_conflict(struct sim_own *o, const struct gossip_act *a)
{
	if (!o || !node_key_eq(&a->node, &o->n->id.pub) || o->n->s->cfg.plant == PLANT_UNTOLD)
		return;
	(void)owner_objection(
		o->owner, a->prefix.vni, &a->prefix.pfx, &a->other, sim_node_now(o->n));
}

void sim_own_forgotten(struct sim_own *o, const struct gossip_act *a)
{
	if (o)
		(void)owner_forgotten(o->owner, &a->node, sim_node_now(o->n));
}

void sim_own_changed(struct sim_own *o)
{
	if (o)
		o->dirty = true;
}

/* --- what the mesh says --- */

static void look_at(struct sim_own *o, const struct gossip_node_info *i, ts_t now)
{
	enum owner_node_state state = i->left ? OWNER_LEFT : i->up ? OWNER_ALIVE : OWNER_DEAD;
	struct owner_prefix rows[2 * SIM_PREFIXES];
	size_t count = 0;

	for (size_t k = 0; k < i->nprefixes && count < sizeof(rows) / sizeof(rows[0]); k++)
		if (!i->prefixes[k].exit)
			rows[count++] = (struct owner_prefix){i->prefixes[k].vni,
				i->prefixes[k].pfx, i->prefixes[k].right,
				i->prefixes[k].claimed_at_secs, i->prefixes[k].moot};
	if (owner_node_set(o->owner, &i->key, state, rows, count, now) != 0)
		abort();
}

static void look_at_self(struct sim_own *o, const struct gossip_node_info *i, ts_t now)
{
	for (size_t k = 0; k < i->nprefixes; k++) {
		const struct gossip_prefix *p = &i->prefixes[k];

		if (p->exit)
			continue;
		if (p->lost)
			(void)owner_objection(o->owner, p->vni, &p->pfx, NULL, now);
		else
			(void)owner_undisputed(o->owner, p->vni, &p->pfx, now);
	}
}

/* Those that gossip knows no more. */
static void sweep(struct sim_own *o, ts_t now)
{
	struct owner_node_info n;
	struct gossip_node_info g;
	size_t it = 0;

	while (owner_node_next(o->owner, &it, now, &n))
		if (gossip_node_get(o->n->gossip, &n.key, &g) != 0) {
			(void)owner_forgotten(o->owner, &n.key, now);
			it = 0; /* the walk is void */
		}
}

static void look(struct sim_own *o, ts_t now)
{
	struct gossip_node_info i;
	struct gossip_stats st;
	size_t it = 0;

	gossip_stats(o->n->gossip, &st);
	o->dirty |= st.rx_new + st.nodes + st.records != o->news;
	if (!o->dirty || !ts_due(ts_add(o->looked, LOOK_EVERY), now))
		return;
	o->dirty = false;
	o->news = st.rx_new + st.nodes + st.records;
	o->looked = now;
	while (gossip_node_next(o->n->gossip, &it, &i)) {
		if (i.self)
			look_at_self(o, &i, now);
		else if (i.name[0])
			look_at(o, &i, now);
	}
	sweep(o, now);
}

/* --- what the core says --- */

static void save(struct sim_own *o, ts_t now)
{
	struct sim_disk *d = &o->n->disk;
	uint8_t *buf;
	size_t len;

	if (owner_encode(o->owner, now, &buf, &len) != 0 || len > sizeof(d->claims))
		abort();
	memcpy(d->claims, buf, len);
	d->nclaims = len;
	free(buf);
}

static bool same(const struct owner_prefix *a, const struct owner_prefix *b)
{
	return a->vni == b->vni && pfx_eq(&a->pfx, &b->pfx);
}

static void use(struct sim_own *o, const struct owner_prefix *p, bool on)
{
	for (size_t i = 0; i < o->nused; i++)
		if (same(&o->used[i], p)) {
			o->used[i] = o->used[--o->nused];
			break;
		}
	if (!on)
		return;
	if (o->nused == SIM_CLAIMS)
		abort();
	o->used[o->nused++] = *p;
}

static void publish(struct sim_own *o)
{
	struct owner_prefix p;
	size_t it = 0;

	o->n->nclaims = 0;
	while (owner_published(o->owner, &it, &p) && o->n->nclaims < SIM_CLAIMS)
		o->n->claims[o->n->nclaims++] = (struct gossip_prefix){
			.vni = p.vni,
			.pfx = p.pfx,
			.right = p.right,
			.claimed_at_secs = p.since_secs + o->redated,
		};
	if (!o->n->claimed)
		o->n->s->claimed = o->n->s->now;
	o->n->claimed = true;
	sim_trace(o->n->s, (int)o->n->index, -1, "claims", (int64_t)o->n->nclaims);
	sim_node_publish(o->n);
	o->dirty = true; /* is it disputed at once? */
}

/* PLANT_FLAP. */
static bool flap(struct sim_own *o, ts_t now)
{
	bool on = sim_planted_late(o->n, PLANT_FLAP);

	if (on ? !ts_due(ts_add(o->flapped, FLAP_EVERY), now) : o->redated == 0)
		return false;
	o->flapped = now;
	o->redated = on ? o->redated + 1 : 0;
	publish(o);
	return true;
}

bool sim_own_turn(struct sim_own *o, ts_t now)
{
	bool published = false;
	struct owner_act a;

	if (!o)
		return false;
	if (sim_planted(o->n, PLANT_CLAIM_TAKEN) && sim_own_used(o->n->s->nodes[0]->own, 0))
		use(o, sim_own_used(o->n->s->nodes[0]->own, 0), true);
	published = flap(o, now);
	look(o, now);
	if (ts_due(owner_deadline(o->owner), now))
		owner_tick(o->owner, now);
	while (owner_next(o->owner, &a)) {
		if (a.type == OWNER_SAVE)
			save(o, now);
		else if (a.type == OWNER_USE || a.type == OWNER_UNUSE)
			use(o, &a.own.p, a.type == OWNER_USE);
		else if (a.type == OWNER_PUBLISH)
			publish(o);
		published |= a.type == OWNER_PUBLISH;
		if (a.type == OWNER_USE || a.type == OWNER_UNUSE || a.type == OWNER_EXHAUSTED)
			sim_trace(o->n->s, (int)o->n->index, -1,
				a.type == OWNER_USE     ? "claim used"
				: a.type == OWNER_UNUSE ? "claim given up"
							: "range exhausted",
				0);
	}
	return published;
}

ts_t sim_own_deadline(const struct sim_own *o)
{
	ts_t t;

	if (!o)
		return TS_NEVER;
	t = owner_deadline(o->owner);
	if (sim_planted_late(o->n, PLANT_FLAP) || o->redated)
		t = ts_min(t, ts_add(o->flapped, FLAP_EVERY));
	return o->dirty ? ts_min(t, ts_add(o->looked, LOOK_EVERY)) : t;
}

const struct owner_prefix *sim_own_used(const struct sim_own *o, size_t i)
{
	return o && i < o->nused ? &o->used[i] : NULL;
}
