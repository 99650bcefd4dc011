/* Pod addresses: who gets which, what rests, what is refused; the state as bytes, whole, cut and flipped;
 * random operations against a slow model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "fault.h"
#include "ipam.h"
#include "prng.h"
#include "weft/err.h"

static const uint8_t boot[IPAM_BOOT_ID] = "this boot", other_boot[IPAM_BOOT_ID] = "the next";

static ts_t at(uint64_t secs)
{
	return (ts_t){secs * 1000000000};
}

static struct ip A(const char *text) {
	struct ip ip;

	assert_int_equal(ip_parse(text, &ip), 0);
	return ip;
}

static struct ipam *
with(const char *a, const char *b)
{
	const char *text[2] = {a, b};
	struct ipam_prefix p[2];
	struct ipam *m = ipam_new(boot);
	size_t n = 0;

	assert_non_null(m);
	for (; n < 2 && text[n]; n++) {
		p[n].vni = 1;
		assert_int_equal(pfx_parse(text[n], &p[n].pfx), 0);
	}
	assert_int_equal(ipam_prefixes_set(m, p, n), 0);
	return m;
}

static struct ipam_att want(const char *id)
{
	struct ipam_att w = {
		.vni = 1, .ifname = "eth0", .network = "weft", .pod_ns = "ns", .pod = "p"};

	snprintf(w.id, sizeof(w.id), "%s", id);
	return w;
}

/* Attach @id; its first address as text, or the error's. */
static const char *attach(struct ipam *m, const char *id, unsigned families, uint64_t secs)
{
	static char text[IP_STRLEN];
	struct ipam_att w = want(id);
	const struct ipam_att *a;
	int err = ipam_attach(m, &w, families, at(secs), &a, NULL);

	return err ? err_str(err) : ip_fmt(&a->addrs[0], text);
}

static int attach_named(struct ipam *m, const char *id, const char *ip, uint64_t secs)
{
	struct ipam_att w = want(id);
	const struct ipam_att *a;

	w.addrs[w.naddrs++] = A(ip);
	return ipam_attach(m, &w, 0, at(secs), &a, NULL);
}

static void reserved_and_order(void **state)
{
	static const struct {
		const char *prefix;
		const char *first, *second;
		int size;
	} rows[] = {
		{"10.0.0.0/24", "10.0.0.2", "10.0.0.3", 253},
		{"10.0.0.0/29", "10.0.0.2", "10.0.0.3", 5},
		{"10.0.0.0/30", "10.0.0.2", NULL, 1},
		{"10.0.0.0/31", "10.0.0.1", NULL, 1},
		{"10.0.0.0/32", NULL, NULL, 0},
		{"fd00::/64", "fd00::2", "fd00::3", IPAM_POOL_MAX - 2},
		{"fd00::/126", "fd00::2", "fd00::3", 2},
		{"fd00::/127", "fd00::1", NULL, 1},
		{"10.0.0.0/8", "10.0.0.2", "10.0.0.3", IPAM_POOL_MAX - 2},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ipam *m = with(rows[i].prefix, NULL);
		bool six = strchr(rows[i].prefix, ':') != NULL;
		struct ipam_stats st;

		ipam_stats(m, 1, six ? IP_V6 : IP_V4, at(0), &st);
		assert_int_equal(st.size, rows[i].size);
		assert_int_equal(st.free, rows[i].size);
		assert_string_equal(
			attach(m, "a", 3, 0), rows[i].first ? rows[i].first : err_str(ERR_FULL));
		assert_string_equal(
			attach(m, "b", 3, 0), rows[i].second ? rows[i].second : err_str(ERR_FULL));
		ipam_free(m);
	}
}

static void dual_stack_all_or_nothing(void **state)
{
	struct ipam *m = with("10.0.0.0/30", "fd00::/120");
	struct ipam_att w = want("a");
	const struct ipam_att *a;
	struct ipam_stats st;
	struct ip bad;

	assert_int_equal(ipam_attach(m, &w, 3, at(0), &a, &bad), 0);
	assert_int_equal(a->naddrs, 2);
	assert_ptr_equal(ipam_holder(m, 1, &a->addrs[1]), a);
	assert_null(ipam_holder(m, 2, &a->addrs[1]));
	assert_int_equal(ipam_attach(m, &w, 3, at(0), &a, &bad), ERR_EXISTS);
	w = want("b");
	assert_int_equal(ipam_attach(m, &w, 3, at(0), &a, &bad), ERR_FULL);
	assert_int_equal(bad.family, IP_V4);
	ipam_stats(m, 1, IP_V6, at(0), &st);
	assert_int_equal(st.used, 1); /* nothing of IPv6 was taken for it */
	assert_false(st.exhausted);
	ipam_stats(m, 1, IP_V4, at(0), &st);
	assert_true(st.exhausted);
	assert_int_equal(ipam_attach(m, &w, 2, at(0), &a, &bad), 0);
	w = want("c");
	w.vni = 2;
	assert_int_equal(ipam_attach(m, &w, 3, at(0), &a, &bad), ERR_NOT_FOUND);
	ipam_free(m);
}

static void freed_ones_rest(void **state)
{
	struct ipam *m = with("10.0.0.0/29", NULL); /* .2 to .6 */
	char id[8] = "p0";
	struct ipam_stats st;

	for (int i = 0; i < 5; i++, id[1]++)
		assert_int_equal(attach(m, id, 1, 100)[7], '2' + i);
	assert_string_equal(attach(m, "x", 1, 100), err_str(ERR_FULL));
	assert_int_equal(ipam_detach(m, "p1", "eth0", at(100)), 0);
	assert_int_equal(ipam_detach(m, "p3", "eth0", at(101)), 0);
	assert_int_equal(ipam_detach(m, "p3", "eth0", at(101)), ERR_NOT_FOUND);
	ipam_stats(m, 1, IP_V4, at(102), &st);
	assert_int_equal(st.held, 2);
	assert_true(st.exhausted);
	assert_string_equal(attach(m, "x", 1, 102), err_str(ERR_FULL));
	/* Pressed, the one that rests longest. */
	assert_string_equal(attach(m, "x", 1, 105), "10.0.0.3");
	assert_string_equal(attach(m, "y", 1, 105), err_str(ERR_FULL));
	/* By name at once. */
	assert_int_equal(attach_named(m, "y", "10.0.0.5", 105), 0);
	ipam_stats(m, 1, IP_V4, at(105), &st);
	assert_int_equal(st.held, 0);
	assert_int_equal(st.used, 5);
	ipam_free(m);
	/* With others free, a rested one comes after them. */
	m = with("10.0.0.0/29", NULL);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(attach(m, "a", 1, 10)[7], '2' + i);
		assert_int_equal(ipam_detach(m, "a", "eth0", at(10)), 0);
	}
	assert_string_equal(attach(m, "a", 1, 200), "10.0.0.6");
	assert_string_equal(attach(m, "b", 1, 200), "10.0.0.2");
	ipam_free(m);
}

/* A clock that went back: the state is still one that reads back. */
static void clock_goes_back(void **state)
{
	struct ipam *m = with("10.0.0.0/28", NULL), *back;
	uint8_t *buf;
	size_t len;

	(void)attach(m, "a", 1, 900);
	(void)attach(m, "b", 1, 900);
	assert_int_equal(ipam_detach(m, "a", "eth0", at(900)), 0);
	assert_int_equal(ipam_detach(m, "b", "eth0", at(10)), 0);
	assert_int_equal(ipam_encode(m, &buf, &len), 0);
	assert_int_equal(ipam_decode(buf, len, boot, &back), 0);
	ipam_free(back);
	ipam_free(m);
	free(buf);
}

static void by_name(void **state)
{
	struct ipam *m = with("10.0.0.0/8", "fd00::/64");
	struct ipam_att w = want("twice");
	const struct ipam_att *a;

	assert_int_equal(
		attach_named(m, "a", "10.200.0.5", 0), 0); /* beyond what is given unasked */
	assert_int_equal(attach_named(m, "b", "10.200.0.5", 0), ERR_CONFLICT);
	assert_int_equal(attach_named(m, "b", "10.0.0.1", 0), ERR_REFUSED);
	assert_int_equal(attach_named(m, "b", "10.0.0.0", 0), ERR_REFUSED);
	assert_int_equal(attach_named(m, "b", "10.255.255.255", 0), ERR_REFUSED);
	assert_int_equal(attach_named(m, "b", "fd00::1", 0), ERR_REFUSED);
	assert_int_equal(attach_named(m, "b", "192.0.2.1", 0), ERR_RANGE);
	assert_int_equal(attach_named(m, "b", "fd00::ffff:ffff:ffff:ffff", 0), 0);
	w.addrs[0] = w.addrs[1] = A("10.0.0.9");
	w.naddrs = 2;
	assert_int_equal(ipam_attach(m, &w, 3, at(0), &a, NULL), ERR_CONFLICT);
	w.naddrs = 1;
	assert_int_equal(ipam_attach(m, &w, 3, at(0), &a, NULL), 0);
	assert_int_equal(a->naddrs, 2); /* and one of the other family */
	assert_int_equal(ipam_detach(m, "a", "eth0", at(0)), 0);
	assert_int_equal(attach_named(m, "c", "10.200.0.5", 0), 0);
	ipam_free(m);
}

static void prefixes_change(void **state)
{
	struct ipam *m = with("10.0.0.0/29", "10.0.0.0/28"); /* overlapping: given once */
	struct ipam_prefix one;
	char id[8] = "p0";
	struct ipam_stats st;

	for (int i = 0; i < 8; i++, id[1]++)
		assert_memory_equal(attach(m, id, 1, 0), "10.0.0.", 7);
	one.vni = 1;
	assert_int_equal(pfx_parse("10.1.0.0/29", &one.pfx), 0);
	assert_int_equal(ipam_prefixes_set(m, &one, 1), 0);
	assert_true(ipam_prefix_at(m, 0, &one));
	assert_false(ipam_prefix_at(m, 1, &one));
	assert_string_equal(attach(m, "q", 1, 0), "10.1.0.2");
	/* Those outside are kept, and known again when the prefix comes back. */
	assert_non_null(ipam_find(m, "p0", "eth0"));
	assert_int_equal(pfx_parse("10.0.0.0/28", &one.pfx), 0);
	assert_int_equal(ipam_prefixes_set(m, &one, 1), 0);
	ipam_stats(m, 1, IP_V4, at(0), &st);
	assert_int_equal(st.used, 8);
	one.pfx.ip.b[3] = 1; /* bits past its length */
	assert_int_equal(ipam_prefixes_set(m, &one, 1), ERR_RANGE);
	ipam_stats(m, 1, IP_V4, at(0), &st);
	assert_int_equal(st.used, 8);
	ipam_free(m);
}

static struct ipam *busy(void)
{
	struct ipam *m = with("10.0.0.0/28", "fd00::/64");

	for (int i = 0; i < 6; i++)
		(void)attach(m, (char[]){'a', (char)('0' + i), 0}, 3, 50);
	(void)ipam_detach(m, "a1", "eth0", at(60));
	(void)ipam_detach(m, "a3", "eth0", at(61));
	return m;
}

static void state_as_bytes(void **state)
{
	struct ipam *m = busy(), *back;
	const struct ipam_att *a, *b;
	uint8_t *buf, *again;
	size_t len, len2, it = 0, n = 0;
	struct ipam_stats x, y;

	assert_int_equal(ipam_encode(m, &buf, &len), 0);
	assert_int_equal(ipam_decode(buf, len, other_boot, &back), ERR_STALE);
	assert_null(back);
	assert_int_equal(ipam_decode(buf, len, boot, &back), 0);
	for (; ipam_next(m, &it, &a); n++) {
		b = ipam_find(back, a->id, a->ifname);
		assert_non_null(b);
		assert_memory_equal(a, b, sizeof(*a));
	}
	assert_int_equal(n, 4);
	ipam_stats(m, 1, IP_V4, at(62), &x);
	ipam_stats(back, 1, IP_V4, at(62), &y);
	assert_memory_equal(&x, &y, sizeof(x));
	/* The search goes on where it was. */
	assert_string_equal(attach(back, "z", 1, 62), "10.0.0.8");
	assert_int_equal(ipam_detach(back, "z", "eth0", at(62)), 0);
	assert_int_equal(ipam_encode(back, &again, &len2), 0);
	free(again);
	ipam_free(back);
	/* Each shorter prefix, and one byte more. */
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *exact = malloc(cut ? cut : 1);

		memcpy(exact, buf, cut);
		assert_int_not_equal(ipam_decode(exact, cut, boot, &back), 0);
		assert_null(back);
		free(exact);
	}
	again = malloc(len + 1);
	memcpy(again, buf, len);
	again[len] = 0;
	assert_int_equal(ipam_decode(again, len + 1, boot, &back), ERR_MALFORMED);
	free(again);
	/* Each bit flip: refused, or a state that holds what it says. */
	for (size_t bit = 0; bit < len * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (ipam_decode(buf, len, boot, &back) == 0) {
			for (it = 0; ipam_next(back, &it, &a);)
				for (size_t i = 0; i < a->naddrs; i++)
					assert_ptr_equal(
						ipam_holder(back, a->vni, &a->addrs[i]), a);
			ipam_free(back);
		}
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	free(buf);
	ipam_free(m);
}

static void bounds(void **state)
{
	struct ipam *m = with("fd00::/64", NULL);
	struct ipam_prefix many[LIM_POD_PREFIXES + 1] = {{0}};
	struct ipam_att w = want("");
	char id[16];
	uint8_t *buf;
	size_t len;
	struct ipam *back;

	assert_int_equal(ipam_prefixes_set(m, many, LIM_POD_PREFIXES + 1), ERR_FULL);
	assert_int_equal(ipam_adopt(m, &w), ERR_RANGE); /* no id */
	w = want("x");
	memset(w.network, 'n', sizeof(w.network));
	assert_int_equal(ipam_adopt(m, &w), ERR_RANGE); /* no end */
	for (int i = 0; i < LIM_PODS; i++) {
		snprintf(id, sizeof(id), "p%d", i);
		assert_memory_equal(attach(m, id, 2, 0), "fd00::", 6);
	}
	assert_string_equal(attach(m, "more", 2, 0), err_str(ERR_LIMIT));
	assert_int_equal(ipam_encode(m, &buf, &len), 0);
	assert_int_equal(ipam_decode(buf, len, boot, &back), 0);
	ipam_free(back);
	free(buf);
	ipam_free(m);
}

static void no_memory(void **state)
{
	uint8_t *buf;
	size_t len;
	struct ipam *m = busy(), *back;

	assert_int_equal(ipam_encode(m, &buf, &len), 0);
	ipam_free(m);
	FAULT_EACH(n)
	{
		int err = ipam_decode(buf, len, boot, &back);

		if (err == 0) { /* an address that could not rest is free, no more */
			struct ipam_att w = want("new");
			const struct ipam_att *a;
			struct ipam_stats before, after;

			ipam_stats(back, 1, IP_V4, at(62), &before);
			err = ipam_attach(back, &w, 3, at(62), &a, NULL);
			ipam_stats(back, 1, IP_V4, at(62), &after);
			assert_int_equal(after.used, before.used + (err == 0));
			assert_true(err == 0 || err == ERR_NOMEM);
			ipam_free(back);
		} else {
			assert_int_equal(err, ERR_NOMEM);
		}
	}
	free(buf);
}

/* The same operations on a table of 14 addresses. */
static void against_a_model(void **state)
{
	uint64_t seed = (uint64_t)time(NULL);
	struct ipam *m = with("10.0.0.0/28", NULL);
	struct {
		bool used;
		uint64_t freed;
	} model[16] = {{0}};
	uint8_t holder[32] = {0}; /* of the pod: its address, 0: none */
	uint64_t now = 1000;
	struct prng r;

	prng_seed(&r, seed);
	print_message("seed %llu\n", (unsigned long long)seed);
	for (int step = 0; step < 20000; step++) {
		unsigned p = (unsigned)(prng_below(&r, 32));
		char id[8];
		struct ipam_att w;
		const struct ipam_att *a;

		now += prng_below(&r, 8);
		snprintf(id, sizeof(id), "p%u", p);
		w = want(id);
		if (holder[p]) {
			assert_int_equal(ipam_detach(m, id, "eth0", at(now)), 0);
			model[holder[p]].used = false;
			model[holder[p]].freed = now;
			holder[p] = 0;
		} else {
			int err = ipam_attach(m, &w, 1, at(now), &a, NULL);
			bool rested = false, any = false;

			for (int i = 2; i < 15; i++) {
				any |= !model[i].used && now - model[i].freed >= 5;
				rested |= !model[i].used && now - model[i].freed >= 60;
			}
			assert_int_equal(err, any ? 0 : ERR_FULL);
			if (err)
				continue;
			holder[p] = a->addrs[0].b[3];
			assert_in_range(holder[p], 2, 14);
			assert_false(model[holder[p]].used);
			assert_true(now - model[holder[p]].freed >= (rested ? 60 : 5));
			model[holder[p]].used = true;
		}
		if (step % 100 == 0) { /* as another process finds it */
			uint8_t *buf;
			size_t len;

			assert_int_equal(ipam_encode(m, &buf, &len), 0);
			ipam_free(m);
			assert_int_equal(ipam_decode(buf, len, boot, &m), 0);
			free(buf);
		}
	}
	ipam_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reserved_and_order),
		cmocka_unit_test(dual_stack_all_or_nothing),
		cmocka_unit_test(freed_ones_rest),
		cmocka_unit_test(clock_goes_back),
		cmocka_unit_test(by_name),
		cmocka_unit_test(prefixes_change),
		cmocka_unit_test(state_as_bytes),
		cmocka_unit_test(bounds),
		cmocka_unit_test(no_memory),
		cmocka_unit_test(against_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
