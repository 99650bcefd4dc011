/* RFC 7606, attribute by attribute: each is too short, too long, empty, wrongly flagged and there twice,
 * from outside and from inside; several faults at once; and what we write ourselves (5.1). */
#include "bgpnet.h"
#include "bgp_update.h"
#include "bgp_watch.h"

#define EBGP 0
#define IBGP 1

static struct bgp_update u;

/* A good one of each kind, and what becomes of an UPDATE when it is not good. */
static const struct kind {
	const char *section;
	uint8_t flags, type, n, value[16];
	enum bgp_fix length[2];        /* of EBGP and IBGP: one byte too many or too few */
	enum bgp_fix empty[2], bad[2]; /* no value; wrong flags (3 c) */
	bool old;                      /* of a speaker of 2-octet numbers alone */
} kinds[] = {
#define ALL(f)                                                                                     \
	{                                                                                          \
		f, f                                                                               \
	}
#define W FIX_WITHDRAW
#define D FIX_DISCARD
#define R FIX_RESET
#define N FIX_NONE
	{"7.1 ORIGIN", 0x40, AT_ORIGIN, 1, {0}, ALL(W), ALL(W), ALL(W), false},
	{"7.2 AS_PATH", 0x40, AT_AS_PATH, 6, {2, 1, 0, 0, 0xfd, 0xe9}, ALL(W), ALL(N), ALL(W),
		false},
	{"7.3 NEXT_HOP", 0x40, AT_NEXT_HOP, 4, {10, 0, 0, 1}, ALL(W), ALL(W), ALL(W), false},
	{"7.4 MULTI_EXIT_DISC", 0x80, AT_MED, 4, {0, 0, 0, 1}, ALL(W), ALL(W), ALL(W), false},
	{"7.5 LOCAL_PREF", 0x40, AT_LOCAL_PREF, 4, {0, 0, 0, 1}, {D, W}, {D, W}, {D, W}, false},
	{"7.6 ATOMIC_AGGREGATE", 0x40, AT_ATOMIC, 0, {0}, ALL(D), ALL(N), ALL(W), false},
	{"7.7 AGGREGATOR", 0xc0, AT_AGGREGATOR, 8, {0, 0, 0, 1, 1, 1, 1, 1}, ALL(D), ALL(D), ALL(W),
		false},
	{"7.7 AGGREGATOR, old", 0xc0, AT_AGGREGATOR, 6, {0, 1, 1, 1, 1, 1}, ALL(D), ALL(D), ALL(W),
		true},
	{"7.8 COMMUNITIES", 0xc0, AT_COMMUNITIES, 4, {0, 1, 0, 1}, ALL(W), ALL(W), ALL(W), false},
	{"7.9 ORIGINATOR_ID", 0x80, AT_ORIGINATOR, 4, {1, 1, 1, 1}, {D, W}, {D, W}, {D, W}, false},
	{"7.10 CLUSTER_LIST", 0x80, AT_CLUSTER_LIST, 4, {1, 1, 1, 1}, {D, W}, {D, W}, {D, W},
		false},
	{"7.14 EXTENDED COMMUNITIES", 0xc0, AT_EXT_COMMUNITIES, 8, {0, 2, 0, 1, 0, 0, 0, 1}, ALL(W),
		ALL(W), ALL(W), false},
	{"8092 6 LARGE_COMMUNITIES", 0xc0, AT_LARGE_COMMUNITIES, 12, {0, 2, 0, 1}, ALL(W), ALL(W),
		ALL(W), false},
	{"9234 5 OTC", 0xc0, AT_OTC, 4, {0, 0, 0, 1}, ALL(W), ALL(W), ALL(W), false},
	{"6793 6 AS4_PATH, old", 0xc0, AT_AS4_PATH, 6, {2, 1, 0, 1, 0, 1}, ALL(D), ALL(D), ALL(W),
		true},
	{"6793 6 AS4_AGGREGATOR, old", 0xc0, AT_AS4_AGGREGATOR, 8, {0, 1, 0, 1, 1, 1, 1, 1}, ALL(D),
		ALL(D), ALL(W), true},
	/* 10.0.0.0/8: one byte less cuts it, and a prefix of 200 bits may not follow (5.3). */
	{"7.11 MP_REACH_NLRI", 0x80, AT_MP_REACH, 11, {0, 1, 1, 4, 10, 0, 0, 1, 0, 8, 10, 200},
		ALL(R), ALL(R), ALL(W), false},
	{"7.12 MP_UNREACH_NLRI", 0x80, AT_MP_UNREACH, 5, {0, 1, 1, 8, 10, 200}, ALL(R), ALL(R),
		ALL(W), false},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct made {
	uint8_t buf[256];
	struct wr w;
};

static void begin(struct made *m)
{
	wr_init(&m->w, m->buf, sizeof(m->buf));
	wr_u16(&m->w, 0);
	wr_u16(&m->w, 0);
}

static void put(struct made *m, uint8_t flags, uint8_t type, const uint8_t *v, size_t n)
{
	wr_u8(&m->w, flags);
	wr_u8(&m->w, type);
	wr_u8(&m->w, (uint8_t)n);
	wr_copy(&m->w, v, n);
}

/* The mandatory ones but @but, as the speaker @old writes them. */
static void put_usual(struct made *m, uint8_t but, bool old)
{
	if (but != AT_ORIGIN)
		put(m, 0x40, AT_ORIGIN, (const uint8_t *)"\0", 1);
	if (but != AT_AS_PATH)
		put(m, 0x40, AT_AS_PATH,
			(const uint8_t *)(old ? "\2\1\xfd\xe9" : "\2\1\0\0\xfd\xe9"), old ? 4 : 6);
	if (but != AT_NEXT_HOP)
		put(m, 0x40, AT_NEXT_HOP, (const uint8_t *)"\x0a\0\0\1", 4);
}

static enum bgp_fix judge(struct made *m, int who, bool old)
{
	const struct bgp_from from = {
		.ebgp = who == EBGP, .as4 = !old, .families = BGP_FAM(BGP_IPV4)};
	size_t attrs = wr_len(&m->w) - 4;

	m->buf[2] = (uint8_t)(attrs >> 8);
	m->buf[3] = (uint8_t)attrs;
	wr_copy(&m->w, "\x18\xc0\0\2", 4);
	assert_false(wr_bad(&m->w));
	bgp_update_decode(m->buf, wr_len(&m->w), &from, &u);
	return u.attrs.fix;
}

static void expect(
	const struct kind *k, const char *what, int who, enum bgp_fix got, enum bgp_fix want)
{
	if (got != want)
		fail_msg("%s, %s, from %s: %d instead of %d", k->section, what,
			who == EBGP ? "outside" : "inside", got, want);
}

static enum bgp_fix with(const struct kind *k, int who, uint8_t flags, size_t n)
{
	struct made m;

	begin(&m);
	put_usual(&m, k->type, k->old);
	put(&m, flags, k->type, k->value, n);
	return judge(&m, who, k->old);
}

static void test_each(void **state)
{
	for (size_t i = 0; i < KINDS; i++)
		for (int who = EBGP; who <= IBGP; who++) {
			const struct kind *k = &kinds[i];
			enum bgp_fix outside =
				who == EBGP && k->length[EBGP] == D && k->length[IBGP] == W ? D : N;

			/* A good one: fine, or (7.5, 7.9, 7.10) discarded from outside. */
			expect(k, "good", who, with(k, who, k->flags, k->n), outside);
			expect(k, "low bits of the flags", who, with(k, who, k->flags | 0x0f, k->n),
				outside);
			expect(k, "too long", who, with(k, who, k->flags, k->n + 1u),
				k->length[who]);
			if (k->n > 1)
				expect(k, "too short", who, with(k, who, k->flags, k->n - 1u),
					k->length[who]);
			expect(k, "empty", who, with(k, who, k->flags, 0), k->empty[who]);
			expect(k, "not as optional as it is", who,
				with(k, who, k->flags ^ AF_OPTIONAL, k->n), k->bad[who]);
			expect(k, "not as transitive as it is", who,
				with(k, who, k->flags ^ AF_TRANSITIVE, k->n), k->bad[who]);
		}
}

/* 3 g: of two, the first counts; two of the MP ones are the end. */
static void test_twice(void **state)
{
	for (size_t i = 0; i < KINDS; i++) {
		const struct kind *k = &kinds[i];
		bool mp = k->type == AT_MP_REACH || k->type == AT_MP_UNREACH;
		uint8_t second[16];
		struct made m;

		memcpy(second, k->value, sizeof(second));
		second[k->n ? k->n - 1 : 0] ^= 2;
		begin(&m);
		put_usual(&m, k->type, k->old);
		put(&m, k->flags, k->type, k->value, k->n);
		put(&m, k->flags, k->type, second, k->n);
		expect(k, "twice", IBGP, judge(&m, IBGP, k->old), mp ? R : D);
		if (k->type == AT_MED)
			assert_int_equal(u.attrs.a.med, 1);
		if (k->type == AT_ORIGIN)
			assert_int_equal(u.attrs.a.origin, 0);
		if (k->type == AT_LOCAL_PREF)
			assert_int_equal(u.attrs.a.local_pref, 1);
	}
}

/* 3 d: a mandatory one is missing; NEXT_HOP is not, where the NLRI are all in MP_REACH_NLRI. */
static void test_missing(void **state)
{
	static const uint8_t types[] = {AT_ORIGIN, AT_AS_PATH, AT_NEXT_HOP};
	static const struct bgp_from from = {.ebgp = true, .as4 = true, .families = 1};

	for (size_t i = 0; i < 3; i++) {
		struct made m;
		size_t attrs;

		begin(&m);
		put_usual(&m, types[i], false);
		assert_int_equal(judge(&m, EBGP, false), W);
		assert_int_equal(u.attrs.err.subcode, UPD_MISSING);
		begin(&m);
		put(&m, 0x80, AT_MP_REACH, (const uint8_t *)"\0\1\1\4\x0a\0\0\1\0\x08\x0a", 11);
		put_usual(&m, types[i], false);
		attrs = wr_len(&m.w) - 4;
		m.buf[3] = (uint8_t)attrs;
		bgp_update_decode(m.buf, wr_len(&m.w), &from, &u);
		assert_int_equal(u.attrs.fix, types[i] == AT_NEXT_HOP ? N : W);
	}
}

/* 3 j: of several faults the gravest decides, in any order. */
static void test_gravest(void **state)
{
	for (size_t i = 0; i < KINDS; i++)
		for (size_t j = 0; j < KINDS; j++) {
			const struct kind *a = &kinds[i], *c = &kinds[j];
			enum bgp_fix want = a->length[IBGP] > c->length[IBGP] ? a->length[IBGP]
									      : c->length[IBGP];
			struct made m;

			if (a->type == c->type || a->old || c->old)
				continue;
			begin(&m);
			for (uint8_t t = AT_ORIGIN; t <= AT_NEXT_HOP; t++)
				if (t != a->type && t != c->type)
					put(&m, kinds[t - 1].flags, t, kinds[t - 1].value,
						kinds[t - 1].n);
			put(&m, a->flags, a->type, a->value, a->n + 1u);
			put(&m, c->flags, c->type, c->value, c->n + 1u);
			expect(a, c->section, IBGP, judge(&m, IBGP, false), want);
		}
}

/* 5.1: what we write has one kind of NLRI in a message, and MP attributes in front. */
static void on_message(
	void *ctx, uint32_t peer, const struct ip *local, bool sent, const uint8_t *msg, size_t len)
{
	unsigned *count = ctx, kinds_seen = 0, place = 0;
	size_t gone, attrs, i;

	if (!sent || msg[18] != MSG_UPDATE)
		return;
	gone = (size_t)msg[19] << 8 | msg[20];
	attrs = (size_t)msg[21 + gone] << 8 | msg[22 + gone];
	kinds_seen += gone > 0;
	kinds_seen += 23 + gone + attrs < len;
	for (i = 23 + gone; i < 23 + gone + attrs; place++) {
		bool extended = msg[i] & AF_EXTENDED;
		size_t n = extended ? (size_t)msg[i + 2] << 8 | msg[i + 3] : msg[i + 2];

		if (msg[i + 1] == AT_MP_REACH || msg[i + 1] == AT_MP_UNREACH) {
			assert_int_equal(place, 0);
			kinds_seen++;
			count[msg[i + 1] == AT_MP_UNREACH]++;
		}
		i += (extended ? 4 : 3) + n;
	}
	assert_true(kinds_seen <= 1);
}

static void test_ours(void **state)
{
	static struct net_sim s;
	unsigned count[2] = {0};
	struct bgp_nlri n = nlri4("2001:db8:1::/48"), n4 = nlri4("192.0.2.0/24");
	struct bgp_peer_cfg c;

	net_init(&s, 1);
	net_node(&s, 0, 65001, 1);
	net_node(&s, 1, 65002, 2);
	bgp_tap(s.n[0].b, on_message, count);
	for (int i = 0; i < 2; i++) {
		c = net_peer_cfg(&s, !i, i ? 65001 : 65002);
		c.families = BGP_FAM(BGP_IPV4) | BGP_FAM(BGP_IPV6);
		assert_int_equal(ip_parse("2001:db8::1", &c.next_hop[1]), 0);
		net_add(&s, i, &c);
	}
	originate(&s, 0, "192.0.2.0/24");
	originate(&s, 0, "2001:db8:1::/48");
	originate(&s, 0, "2001:db8:2::/48");
	net_run(&s, 5);
	assert_int_equal(net_info(&s, 1, 0).prefixes_received, 3);
	assert_int_equal(bgp_withdraw(s.n[0].b, 1, &n, s.now), 0);
	assert_int_equal(bgp_withdraw(s.n[0].b, 1, &n4, s.now), 0);
	originate(&s, 0, "198.51.100.0/24");
	net_run(&s, 5);
	assert_int_equal(net_info(&s, 1, 0).prefixes_received, 2);
	assert_true(count[0] > 0 && count[1] > 0);
	net_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_gravest),
		cmocka_unit_test(test_ours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
