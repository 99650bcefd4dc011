/* One core: leases, the choice of blocks, the orchestrator's list, bounds and failing memory. */
#include "ownrig.h"
#include "fault.h"
#include "prng.h"

static void mass_death_pauses(void **state)
{
	struct owner *o = core_new("10.32.0.0/16", 0, false);
	const uint64_t hour = 3600 * 1000;
	struct owner_stats st;
	char text[32];

	(void)state;
	for (unsigned i = 0; i < 11; i++) {
		(void)snprintf(text, sizeof(text), "10.32.%u.0/24", i);
		set_node(o, i, OWNER_ALIVE, text, at_ms(0));
	}
	/* 12 members; three missing are a quarter, four are more */
	for (unsigned i = 0; i < 3; i++) {
		(void)snprintf(text, sizeof(text), "10.32.%u.0/24", i);
		set_node(o, i, OWNER_DEAD, text, at_ms(0));
	}
	owner_stats(o, &st);
	assert_false(st.paused);
	assert_int_equal(owner_deadline(o).ns, ts_min(at_ms(24 * hour), at_ms(hour)).ns);
	owner_tick(o, at_ms(10 * hour));
	set_node(o, 3, OWNER_DEAD, "10.32.3.0/24", at_ms(10 * hour));
	owner_stats(o, &st);
	assert_true(st.paused);
	assert_int_equal(st.members, 12);
	assert_int_equal(st.missing, 4);
	for (uint64_t h = 11; h < 100; h++)
		owner_tick(o, at_ms(h * hour));
	assert_int_equal(ends(o), 0);
	/* the fourth is back: 14 hours are left of the first three */
	set_node(o, 3, OWNER_ALIVE, "10.32.3.0/24", at_ms(100 * hour));
	owner_tick(o, at_ms(114 * hour - 1));
	assert_int_equal(ends(o), 0);
	owner_tick(o, at_ms(114 * hour));
	assert_int_equal(ends(o), 3);
	assert_int_equal(ends(o), 0); /* told once */
	owner_stats(o, &st);
	assert_int_equal(st.members, 9); /* those whose lease ended are waited for no more */
	assert_int_equal(st.missing, 0);
	owner_free(o);
}

/* Nobody waits for what an autoscaler took away: a node that crashes meanwhile loses its lease in time. */
static void deleted_are_not_missing(void **state)
{
	struct owner *o = core_new("10.32.0.0/16", 0, false);
	const uint64_t hour = 3600 * 1000;
	struct owner_stats st;
	struct node_key k;
	char text[32];

	(void)state;
	for (unsigned i = 0; i < 11; i++) {
		(void)snprintf(text, sizeof(text), "10.32.%u.0/24", i);
		set_node(o, i, OWNER_ALIVE, text, at_ms(0));
	}
	/* two are told while they are up, two when they are down */
	for (unsigned i = 0; i < 4; i++) {
		k = key_of(i);
		if (i < 2)
			assert_int_equal(owner_deleted(o, &k, true, at_ms(0)), 0);
		assert_int_equal(ends(o), 0);
		(void)snprintf(text, sizeof(text), "10.32.%u.0/24", i);
		set_node(o, i, OWNER_DEAD, text, at_ms(hour));
		if (i >= 2)
			assert_int_equal(owner_deleted(o, &k, true, at_ms(hour)), 0);
		assert_int_equal(ends(o), 1);
		assert_int_equal(owner_deleted(o, &k, true, at_ms(hour)), 0);
		assert_int_equal(ends(o), 0); /* told once */
	}
	owner_stats(o, &st);
	assert_int_equal(st.missing, 0);
	assert_int_equal(st.members, 8);
	assert_int_equal(st.leases, 0);
	set_node(o, 4, OWNER_DEAD, "10.32.4.0/24", at_ms(hour));
	owner_stats(o, &st);
	assert_false(st.paused);
	owner_tick(o, at_ms(25 * hour - 1));
	assert_int_equal(ends(o), 0);
	owner_tick(o, at_ms(25 * hour));
	assert_int_equal(ends(o), 1);
	k = key_of(99);
	assert_int_equal(owner_deleted(o, &k, true, at_ms(0)), ERR_NOT_FOUND);
	owner_free(o);
}

/* A deletion counts once, and not if the node is there after all; however many were told. */
static void deleted_once(void **state)
{
	struct owner *o = core_new("10.0.0.0/8", 0, false);
	const uint64_t hour = 3600 * 1000;
	const unsigned n = 1000;
	struct owner_stats st;
	struct node_key k;

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		set_node(o, i, OWNER_ALIVE, NULL, at_ms(0));
		k = key_of(i);
		assert_int_equal(owner_deleted(o, &k, true, at_ms(0)), 0);
	}
	/* it has another name now, or the same one again */
	assert_int_equal(owner_deleted(o, &k, false, at_ms(0)), 0);
	set_node(o, n - 1, OWNER_DEAD, "10.9.0.0/24", at_ms(0));
	assert_int_equal(ends(o), 0);
	for (unsigned i = 0; i < n - 1; i++)
		set_node(o, i, i % 2 ? OWNER_LEFT : OWNER_DEAD, NULL, at_ms(hour));
	assert_int_equal(ends(o), n - 1);
	/* the first is back for good: the next time its lease takes its time */
	set_node(o, 0, OWNER_ALIVE, "10.1.0.0/24", at_ms(2 * hour));
	set_node(o, 0, OWNER_LEFT, "10.1.0.0/24", at_ms(3 * hour));
	owner_stats(o, &st);
	assert_int_equal(st.leases, 2);
	assert_int_equal(ends(o), 0);
	/* what has ended does not begin again by such a word */
	k = key_of(1);
	assert_int_equal(owner_deleted(o, &k, false, at_ms(3 * hour)), 0);
	owner_stats(o, &st);
	assert_int_equal(st.leases, 2);
	owner_free(o);
}

/* Going from dead to left does not begin a lease anew; coming back does end it. */
static void lease_begins_once(void **state)
{
	struct owner *o = core_new("10.32.0.0/16", 0, false);
	const uint64_t hour = 3600 * 1000;
	struct owner_node_info info;
	size_t it = 0;

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		set_node(o, i, OWNER_ALIVE, NULL, at_ms(0));
	set_node(o, 0, OWNER_DEAD, "10.32.1.0/24", at_ms(0));
	set_node(o, 0, OWNER_LEFT, "10.32.1.0/24", at_ms(20 * hour));
	while (owner_node_next(o, &it, at_ms(20 * hour), &info))
		if (info.nprefixes)
			assert_int_equal(dur_ms(info.lease_left), 4 * hour);
	set_node(o, 0, OWNER_DEAD, "10.32.1.0/24", at_ms(23 * hour));
	owner_tick(o, at_ms(24 * hour));
	assert_int_equal(ends(o), 1);
	set_node(o, 0, OWNER_ALIVE, "10.32.1.0/24", at_ms(25 * hour));
	set_node(o, 0, OWNER_LEFT, "10.32.1.0/24", at_ms(26 * hour));
	owner_tick(o, at_ms(49 * hour));
	assert_int_equal(ends(o), 0);
	owner_tick(o, at_ms(50 * hour));
	assert_int_equal(ends(o), 1);
	owner_free(o);
}

/* Only one block is left between prefixes of many sizes: it is found, in each family. */
static void last_block_is_found(void **state)
{
	static const struct {
		const char *range;
		unsigned len;
		const char *held[6], *left;
	} rows[] = {
		{"10.0.0.0/22", 24, {"10.0.0.0/23", "10.0.3.128/25"}, "10.0.2.0/24"},
		{"10.0.0.0/22", 24, {"10.0.1.7/32", "10.0.2.0/23"}, "10.0.0.0/24"},
		{"10.0.0.0/24", 24, {"10.1.0.0/16"}, "10.0.0.0/24"},
		{"fd00::/62", 64, {"fd00:0:0:1::/64", "fd00:0:0:2::/63"}, "fd00::/64"},
		{"fd00::/48", 127, {"fd00::/49", "fd00:0:0:8000::/50", "fd00:0:0:c000::/51"}, NULL},
	};

	(void)state;
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		struct owner *o = core_new(rows[r].range, rows[r].len, false);
		ts_t now = at_ms(0);
		struct pfx got, want, range = pfx_of(rows[r].range);

		for (unsigned i = 0; i < 6 && rows[r].held[i]; i++)
			set_node(o, i, OWNER_ALIVE, rows[r].held[i], now);
		settle(o, &now);
		if (!rows[r].left) {
			/* blocks beyond the first 2^63 are not given out, though they are free */
			assert_int_equal(used_by(o, &got), 0);
			owner_free(o);
			continue;
		}
		assert_int_equal(used_by(o, &got), 1);
		want = pfx_of(rows[r].left);
		assert_true(pfx_eq(&got, &want));
		assert_true(pfx_contains(&range, &got));
		owner_free(o);
	}
}

/* A whole range that another node claims without force takes no room: neither from whom it was not free
 * before, nor while that one's lease runs. */
static void moot_takes_no_room(void **state)
{
	static const enum owner_node_state states[] = {OWNER_ALIVE, OWNER_DEAD, OWNER_LEFT};
	struct owner_prefix p = {.vni = 1, .right = OWNER_BY_ORCHESTRATOR, .since_secs = 1};

	(void)state;
	p.pfx = pfx_of("10.0.0.0/24");
	for (unsigned i = 0; i < 3; i++) {
		struct owner *o = core_new("10.0.0.0/24", 26, false);
		struct node_key k = {{1}};
		ts_t now = at_ms(0);
		struct pfx got;

		set_node(o, 7, OWNER_ALIVE, "10.0.0.64/26", now);
		p.moot = false;
		assert_int_equal(owner_node_set(o, &k, states[i], &p, 1, now), 0);
		settle(o, &now);
		assert_int_equal(used_by(o, &got), 0);
		p.moot = true; /* since another has a part of it */
		assert_int_equal(owner_node_set(o, &k, states[i], &p, 1, now), 0);
		settle(o, &now);
		assert_int_equal(used_by(o, &got), 1);
		assert_int_equal(got.len, 26);
		/* It goes down with the rest of its claim: no block is given up for it. */
		assert_int_equal(owner_node_set(o, &k, OWNER_DEAD, &p, 1, now), 0);
		settle(o, &now);
		assert_int_equal(used_by(o, &got), 1);
		owner_free(o);
	}
}

/* Random prefixes against a slow model that asks each block. */
static void choice_against_model(void **state)
{
	struct prng rng;
	const uint64_t seed = 20261124;

	(void)state;
	prng_seed(&rng, seed);
	for (int round = 0; round < 300; round++) {
		struct owner *o = core_new("10.32.0.0/18", 24, false);
		struct pfx held[40], got, block, range = pfx_of("10.32.0.0/18");
		size_t nheld = prng_below(&rng, 40), nfree = 0;
		struct owner_range_info info;
		ts_t now = at_ms(0);

		for (unsigned i = 0; i < nheld; i++) {
			struct ip ip = ip_v4(0x0a200000 + (uint32_t)prng_below(&rng, 0x4800));
			struct owner_prefix p = {.vni = 1, .right = OWNER_BY_CLAIM};
			struct node_key k = key_of(i);

			assert_int_equal(
				pfx_make(&ip, 19 + (unsigned)prng_below(&rng, 13), &held[i]), 0);
			p.pfx = held[i];
			assert_int_equal(
				owner_node_set(o, &k, i % 3 ? OWNER_ALIVE : OWNER_LEFT, &p, 1, now),
				0);
		}
		for (uint32_t b = 0; b < 64; b++) {
			struct ip ip = ip_v4(0x0a200000 + b * 256);
			bool hit = false;

			assert_int_equal(pfx_make(&ip, 24, &block), 0);
			for (size_t i = 0; i < nheld; i++)
				hit |= pfx_overlaps(&block, &held[i]);
			nfree += !hit;
		}
		assert_int_equal(owner_range_at(o, 0, &info), 0);
		if (info.size != 64 || info.free != nfree ||
			info.owned + info.leased + info.free != 64)
			fail_msg("seed %" PRIu64 " round %d: free %" PRIu64 " of %" PRIu64
				 ", should be %zu",
				seed, round, info.free, info.size, nfree);
		settle(o, &now);
		if (used_by(o, &got) != (nfree > 0))
			fail_msg("seed %" PRIu64 " round %d: not found", seed, round);
		for (size_t i = 0; nfree && i < nheld; i++)
			assert_false(pfx_overlaps(&got, &held[i]));
		assert_true(!nfree || pfx_contains(&range, &got));
		owner_free(o);
	}
}

static void unclaimed_first(void **state)
{
	struct owner *o = core_new("10.0.0.0/23", 0, false);
	struct pfx got, want = pfx_of("10.0.1.0/24");
	ts_t now = at_ms(25u * 3600 * 1000);

	(void)state;
	for (unsigned i = 1; i < 9; i++)
		set_node(o, i, OWNER_ALIVE, NULL, at_ms(0));
	set_node(o, 0, OWNER_DEAD, "10.0.0.0/24", at_ms(0));
	owner_tick(o, now);
	assert_int_equal(ends(o), 1);
	assert_int_equal(owner_want(o, 1, IP_V4, 24, 0, now), 0);
	settle(o, &now);
	assert_int_equal(used_by(o, &got), 1);
	assert_true(pfx_eq(&got, &want));
	/* then what the lease gave back */
	assert_int_equal(owner_want_more(o, 1, IP_V4, now), 0);
	assert_int_equal(owner_want_more(o, 1, IP_V4, now), ERR_BUSY);
	settle(o, &now);
	assert_int_equal(used_by(o, &got), 2);
	assert_int_equal(owner_want_more(o, 1, IP_V4, now), 0);
	settle(o, &now);
	assert_int_equal(used_by(o, &got), 2); /* full */
	assert_int_equal(owner_want_more(o, 1, IP_V4, now), ERR_BUSY);
	assert_int_equal(owner_want_more(o, 1, IP_V6, now), ERR_NOT_FOUND);
	owner_free(o);
}

static void host_cant_use_it(void **state)
{
	struct owner *o = core_new("10.0.0.0/23", 24, false);
	struct pfx first, second;
	ts_t now = at_ms(0);

	(void)state;
	settle(o, &now);
	assert_int_equal(used_by(o, &first), 1);
	assert_int_equal(owner_refuse(o, 1, &first, now), 0);
	settle(o, &now);
	assert_int_equal(used_by(o, &second), 1);
	assert_false(pfx_eq(&first, &second));
	assert_int_equal(owner_refuse(o, 1, &second, now), 0);
	settle(o, &now);
	assert_int_equal(used_by(o, &second), 0);
	assert_int_equal(owner_refuse(o, 1, &second, now), ERR_NOT_FOUND);
	owner_free(o);
}

/* Take all actions; those of @p: told to use it, not to, and whether it was published when that was said last. */
struct told {
	unsigned uses, unuses, publishes;
	bool published;
};
static struct told told_of(struct owner *o, const struct pfx *p, bool refuse, ts_t now)
{
	struct told t = {0};
	struct owner_prefix out;
	struct owner_act a;

	while (owner_next(o, &a)) {
		bool its = pfx_eq(&a.own.p.pfx, p);

		t.uses += a.type == OWNER_USE && its;
		t.unuses += a.type == OWNER_UNUSE && its;
		if (a.type == OWNER_USE && its && refuse)
			assert_int_equal(owner_refuse(o, 1, p, now), 0);
		if (a.type != OWNER_PUBLISH)
			continue;
		t.publishes++;
		t.published = false;
		for (size_t it = 0; owner_published(o, &it, &out);)
			t.published |= pfx_eq(&out.pfx, p);
	}
	return t;
}

/* What the orchestrator gave and this host can't use is not published, and tried again; published when it is
 * in use. */
static void orchestrator_unusable(void **state)
{
	struct owner *o = core_new("10.0.0.0/16", 0, false);
	struct owner_prefix v = {.vni = 1, .pfx = pfx_of("10.0.1.0/24")};
	struct pfx conf = pfx_of("10.0.9.0/24");
	struct node_key by = key_of(1);
	struct owner_stats st;
	struct owner_own own;
	uint8_t *buf;
	size_t len, it = 0;
	struct told t;

	(void)state;
	assert_int_equal(owner_config_add(o, 1, &conf, at_ms(0)), 0);
	assert_int_equal(owner_refuse(o, 1, &conf, at_ms(0)), ERR_NOT_FOUND);
	assert_int_equal(owner_orchestrator_set(o, &v, 1, NULL, at_ms(0)), 0);
	t = told_of(o, &v.pfx, true, at_ms(0));
	assert_true(t.uses == 1 && t.unuses == 1 && !t.published);
	owner_stats(o, &st);
	assert_int_equal(st.unusable, 1);
	assert_true(owner_own_next(o, &it, &own) && owner_own_next(o, &it, &own));
	assert_int_equal(own.state, OWNER_REFUSED);
	assert_int_equal(own.usable_at.ns, at_ms(10000).ns);
	/* another's word on it, from before, is no news */
	assert_int_equal(owner_objection(o, 1, &v.pfx, &by, at_ms(0)), 0);
	/* in vain; nothing new is to be published */
	for (uint64_t s = 10; s <= 30; s += 10) {
		assert_int_equal(owner_deadline(o).ns, at_ms(s * 1000).ns);
		owner_tick(o, at_ms(s * 1000));
		t = told_of(o, &v.pfx, true, at_ms(s * 1000));
		assert_true(t.uses == 1 && t.unuses == 1 && t.publishes == 0);
	}
	/* it outlives a restart all the same */
	assert_int_equal(owner_encode(o, at_ms(30000), &buf, &len), 0);
	owner_free(o);
	o = core_new("10.0.0.0/16", 0, false);
	assert_int_equal(owner_restore(o, buf, len, at_ms(40000)), 0);
	free(buf);
	t = told_of(o, &v.pfx, true, at_ms(40000));
	assert_true(t.uses == 1 && !t.published);
	owner_tick(o, at_ms(50000));
	t = told_of(o, &v.pfx, false, at_ms(50000));
	assert_true(t.uses == 1 && t.unuses == 0 && t.publishes == 1 && t.published);
	owner_stats(o, &st);
	assert_int_equal(st.unusable, 0);
	assert_int_equal(owner_refuse(o, 1, &v.pfx, at_ms(50000)), 0);
	/* withdrawn while it waits: no trace of it */
	assert_int_equal(owner_orchestrator_set(o, NULL, 0, NULL, at_ms(51000)), 0);
	t = told_of(o, &v.pfx, true, at_ms(51000));
	assert_true(t.uses == 0 && t.unuses == 1 && !t.published);
	owner_tick(o, at_ms(60000));
	assert_int_equal(told_of(o, &v.pfx, true, at_ms(60000)).uses, 0);
	owner_free(o);
}

/* A dead node's records come while we wait: it can't object, so we give way by ourselves. */
static void gives_way_to_the_dead(void **state)
{
	struct owner *o = core_new("10.0.0.0/23", 24, false);
	struct owner_own own;
	struct pfx got;
	char text[PFX_STRLEN];
	ts_t now = at_ms(0);
	size_t it = 0;

	(void)state;
	owner_tick(o, now);
	assert_true(owner_own_next(o, &it, &own));
	assert_int_equal(own.state, OWNER_WAITING);
	set_node(o, 0, OWNER_DEAD, pfx_fmt(&own.p.pfx, text), now);
	settle(o, &now);
	assert_int_equal(used_by(o, &got), 1);
	assert_false(pfx_eq(&got, &own.p.pfx));
	owner_free(o);
}

static void orchestrator_replaces(void **state)
{
	struct owner *o = core_new("10.0.0.0/16", 24, false);
	struct owner_prefix v[3] = {{.vni = 1, .pfx = pfx_of("10.0.1.0/24")},
		{.vni = 1, .pfx = pfx_of("10.0.2.0/24")}, {.vni = 1, .pfx = pfx_of("10.0.2.0/25")}};
	struct pfx conf = pfx_of("10.0.9.0/24"), claimed, again;
	struct node_key by = key_of(1);
	struct owner_stats st;
	struct owner_act a;
	ts_t now = at_ms(0);
	size_t bad = 9, unused = 0;

	(void)state;
	assert_int_equal(owner_config_add(o, 1, &conf, now), 0);
	assert_int_equal(owner_config_add(o, 1, &conf, now), ERR_EXISTS);
	settle(o, &now);
	assert_int_equal(used_by(o, &claimed), 2);
	assert_int_equal(owner_orchestrator_set(o, v, 3, &bad, now), ERR_EXISTS);
	assert_int_equal(bad, 2);
	assert_int_equal(owner_orchestrator_set(o, v, 2, &bad, now), 0);
	settle(o, &now);
	assert_int_equal(used_by(o, &again), 4);
	/* the first goes, the second stays undisturbed */
	assert_int_equal(owner_orchestrator_set(o, v + 1, 1, &bad, now), 0);
	while (owner_next(o, &a)) {
		assert_int_not_equal(a.type, OWNER_USE);
		if (a.type == OWNER_UNUSE) {
			assert_true(pfx_eq(&a.own.p.pfx, &v[0].pfx));
			unused++;
		}
	}
	assert_int_equal(unused, 1);
	/* a claim that is in its way goes */
	for (size_t it = 0;;) {
		struct owner_own own;

		assert_true(owner_own_next(o, &it, &own));
		if (own.p.right != OWNER_BY_CLAIM)
			continue;
		v[0].pfx = own.p.pfx;
		break;
	}
	assert_int_equal(owner_orchestrator_set(o, v, 1, &bad, now), 0);
	settle(o, &now);
	assert_int_equal(used_by(o, &again), 3);
	v[0].pfx = conf;
	assert_int_equal(owner_orchestrator_set(o, v, 1, &bad, now), ERR_EXISTS);

	struct owner_own own;
	/* a lost one is out of service until nobody disputes it */
	assert_int_equal(owner_objection(o, 1, &conf, &by, now), 0);
	owner_stats(o, &st);
	assert_int_equal(st.lost, 1);
	assert_true(owner_next(o, &a));
	assert_int_equal(a.type, OWNER_UNUSE);
	/* said again by who only looks: it is known to whom */
	assert_int_equal(owner_objection(o, 1, &conf, NULL, now), 0);
	assert_false(owner_next(o, &a));
	for (size_t it = 0; owner_own_next(o, &it, &own);)
		if (pfx_eq(&own.p.pfx, &conf))
			assert_true(own.state == OWNER_LOST && node_key_eq(&own.by, &by));
	assert_int_equal(owner_undisputed(o, 1, &conf, now), 0);
	assert_true(owner_next(o, &a));
	assert_int_equal(a.type, OWNER_USE);
	/* seen by looking alone */
	assert_int_equal(owner_objection(o, 1, &conf, NULL, now), 0);
	assert_true(owner_next(o, &a));
	assert_int_equal(a.type, OWNER_UNUSE);
	owner_free(o);
}

/* A full list, replaced by a smaller one and by nothing; one more is refused and changes nothing. */
static void orchestrator_bound(void **state)
{
	struct owner *o = core_new("10.0.0.0/8", 0, false);
	struct owner_prefix *v = calloc(LIM_PREFIXES_PER_NODE + 1, sizeof(*v));
	struct pfx last;
	ts_t now = at_ms(0);

	(void)state;
	assert_non_null(v);
	for (uint32_t i = 0; i <= LIM_PREFIXES_PER_NODE; i++) {
		struct ip ip = ip_v4(0x0a000000 + i * 256);

		v[i].vni = 1;
		assert_int_equal(pfx_make(&ip, 24, &v[i].pfx), 0);
	}
	assert_int_equal(
		owner_orchestrator_set(o, v, LIM_PREFIXES_PER_NODE + 1, NULL, now), ERR_FULL);
	assert_int_equal(owner_orchestrator_set(o, v, LIM_PREFIXES_PER_NODE, NULL, now), 0);
	assert_int_equal(used_by(o, &last), LIM_PREFIXES_PER_NODE);
	assert_int_equal(owner_orchestrator_set(o, v + 1, LIM_PREFIXES_PER_NODE, NULL, now), 0);
	assert_int_equal(used_by(o, &last), LIM_PREFIXES_PER_NODE);
	assert_int_equal(owner_orchestrator_set(o, NULL, 0, NULL, now), 0);
	assert_int_equal(used_by(o, &last), 0);
	free(v);
	owner_free(o);
}

/* Cut off for longer than a lease: the others may have given our block out, so our age counts no more. */
static void long_cut_redates(void **state)
{
	struct owner *o = core_new("10.32.0.0/16", 24, false);
	const uint64_t hour = 3600 * 1000;
	struct owner_own own;
	ts_t now = at_ms(0);
	uint64_t since;
	size_t it = 0;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		set_node(o, i, OWNER_ALIVE, NULL, now);
	settle(o, &now);
	assert_true(owner_own_next(o, &it, &own));
	since = own.p.since_secs;
	for (unsigned i = 0; i < 10; i++)
		set_node(o, i, OWNER_DEAD, NULL, at_ms(hour));
	for (unsigned i = 0; i < 10; i++)
		set_node(o, i, OWNER_ALIVE, NULL, at_ms(24 * hour));
	it = 0;
	assert_true(owner_own_next(o, &it, &own));
	assert_int_equal(own.p.since_secs, since);
	for (unsigned i = 0; i < 10; i++)
		set_node(o, i, OWNER_DEAD, NULL, at_ms(25 * hour));
	for (unsigned i = 0; i < 10; i++)
		set_node(o, i, OWNER_ALIVE, NULL, at_ms(50 * hour));
	it = 0;
	assert_true(owner_own_next(o, &it, &own));
	assert_true(own.p.since_secs >= since + 49 * 3600);
	assert_int_equal(own.state, OWNER_IN_USE);
	owner_free(o);
}

static int scenario(void)
{
	struct owner_prefix v[2] = {
		{.vni = 1, .pfx = pfx_of("10.0.1.0/24")}, {.vni = 1, .pfx = pfx_of("10.0.2.0/24")}};
	struct owner_cfg cfg = {.seed = 1, .unix_secs = UNIX_BASE};
	struct pfx range = pfx_of("10.0.0.0/16"), conf = pfx_of("10.0.9.0/24");
	struct node_key k = key_of(1);
	struct owner_act a;
	uint8_t *buf = NULL;
	struct owner *o;
	size_t len;
	int err = ERR_NOMEM;

	owner_tune_default(&cfg.tune);
	o = owner_new(&cfg, at_ms(0));
	if (!o)
		return ERR_NOMEM;
	if ((err = owner_range_add(o, 1, &range)) ||
		(err = owner_config_add(o, 1, &conf, at_ms(0))) ||
		(err = owner_want(o, 1, IP_V4, 24, 0, at_ms(0))) ||
		(err = owner_orchestrator_set(o, v, 2, NULL, at_ms(0))) ||
		(err = owner_node_set(o, &k, OWNER_DEAD, v, 2, at_ms(0))) ||
		(err = owner_encode(o, at_ms(0), &buf, &len)))
		goto out;
	owner_tick(o, at_ms(1));
	owner_tick(o, at_ms(60000));
	while (owner_next(o, &a))
		;
	err = owner_restore(o, buf, len, at_ms(60000));
out:
	free(buf);
	owner_free(o);
	return err;
}

static void nth_allocation_fails(void **state)
{
	unsigned last = 0;
	int err = ERR_NOMEM;

	(void)state;
	FAULT_EACH(n)
	{
		err = scenario();
		assert_true(err == 0 || err == ERR_NOMEM);
		last = n;
	}
	assert_true(last > 10);
	assert_int_equal(err, 0);
}

static void bad_arguments(void **state)
{
	struct owner *o = core_new("10.0.0.0/16", 24, false);
	struct owner_prefix p = {.vni = 1, .pfx = pfx_of("10.0.1.0/24")};
	struct pfx bits = pfx_of("10.0.0.0/16"), none = {.len = 0};
	struct node_key self = {{0}}, k = key_of(1);

	(void)state;
	bits.ip.b[3] = 1;
	assert_int_equal(owner_range_add(o, 1, &bits), ERR_RANGE);
	assert_int_equal(owner_range_add(o, 1, &none), ERR_RANGE);
	assert_int_equal(owner_range_add(o, 0, &p.pfx), ERR_RANGE);
	assert_int_equal(owner_want(o, 1, IP_V4, 33, 0, at_ms(0)), ERR_NOT_FOUND);
	assert_int_equal(owner_want(o, 1, IP_V4, 15, 0, at_ms(0)), ERR_NOT_FOUND);
	assert_int_equal(owner_want(o, 2, IP_V4, 24, 0, at_ms(0)), ERR_NOT_FOUND);
	assert_int_equal(owner_want(o, 1, IP_V6, 64, 0, at_ms(0)), ERR_NOT_FOUND);
	assert_int_equal(owner_node_set(o, &self, OWNER_ALIVE, &p, 1, at_ms(0)), ERR_RANGE);
	assert_int_equal(
		owner_node_set(o, &k, OWNER_ALIVE, &p, LIM_PREFIXES_PER_NODE + 1, at_ms(0)),
		ERR_FULL);
	assert_int_equal(owner_objection(o, 1, &p.pfx, &k, at_ms(0)), ERR_NOT_FOUND);
	assert_int_equal(owner_undisputed(o, 1, &p.pfx, at_ms(0)), ERR_NOT_FOUND);
	owner_free(o);
	owner_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mass_death_pauses),
		cmocka_unit_test(deleted_are_not_missing),
		cmocka_unit_test(deleted_once),
		cmocka_unit_test(lease_begins_once),
		cmocka_unit_test(last_block_is_found),
		cmocka_unit_test(moot_takes_no_room),
		cmocka_unit_test(choice_against_model),
		cmocka_unit_test(unclaimed_first),
		cmocka_unit_test(host_cant_use_it),
		cmocka_unit_test(orchestrator_unusable),
		cmocka_unit_test(gives_way_to_the_dead),
		cmocka_unit_test(orchestrator_replaces),
		cmocka_unit_test(orchestrator_bound),
		cmocka_unit_test(long_cut_redates),
		cmocka_unit_test(nth_allocation_fails),
		cmocka_unit_test(bad_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
