/* Origin validity: the forms of its file, what is refused and where, cut and flipped input, and the
 * table against a walk over all entries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "fault.h"
#include "prng.h"
#include "roa.h"
#include "weft/err.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char json[] =
	"{\n"
	"\t\"metadata\": { \"buildtime\": \"2026-01-01T00:00:00Z\", \"vrps\": 3, \"x\": [1, "
	"{\"roas\": []}] },\n"
	"\t\"roas\": [\n"
	"\t\t{ \"asn\": 64496, \"prefix\": \"192.0.2.0/24\", \"maxLength\": 24, \"ta\": \"a\\\"b\" "
	"},\n"
	"\t\t{ \"asn\": \"AS64497\", \"prefix\": \"2001:db8::\\/32\", \"maxLength\": 48, "
	"\"expires\": 1.5e3 },\n"
	"\t\t{ \"maxLength\": \"25\", \"prefix\": \"198.51.100.0/24\", \"asn\": \"as0\" }\n"
	"\t],\n"
	"\t\"bgpsec_keys\": [], \"aspas\": [{\"customer_asid\": 1, \"providers\": [2, 3]}], \"n\": "
	"null\n"
	"}\n";
static const char csv[] = "ASN,IP Prefix,Max Length,Trust Anchor,Expires\r\n"
			  "AS64496,192.0.2.0/24,24,ripe,1700000000\r\n"
			  "AS64497,2001:db8::/32,48,apnic,1700000000\r\n"
			  "AS0,198.51.100.0/24,25,x,1\r\n";
static const char hand[] = "# by hand\n\n  64496 192.0.2.0/24   # its own length\n"
			   "64497\t2001:db8::/32 48\nAS0 198.51.100.0/24 25";

static struct roa *parse(const char *text)
{
	char why[ROA_WHY];
	struct roa *r;

	if (roa_parse(text, strlen(text), &r, why) != 0)
		fail_msg("%s", why);
	return r;
}

static enum roa_state ask(const struct roa *r, const char *prefix, uint32_t as)
{
	struct pfx p;

	assert_int_equal(pfx_parse(prefix, &p), 0);
	return roa_validate(r, &p, as);
}

static void forms(void **state)
{
	static const char *const texts[] = {json, csv, hand};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct roa *r = parse(texts[i]);

		assert_int_equal(roa_count(r), 3);
		assert_int_equal(ask(r, "192.0.2.0/24", 64496), ROA_VALID);
		assert_int_equal(ask(r, "192.0.2.0/24", 64497), ROA_INVALID);
		assert_int_equal(ask(r, "192.0.2.0/24", 0), ROA_INVALID);
		assert_int_equal(ask(r, "192.0.2.0/25", 64496), ROA_INVALID);
		assert_int_equal(ask(r, "192.0.0.0/16", 64496), ROA_UNKNOWN);
		assert_int_equal(ask(r, "2001:db8:7::/48", 64497), ROA_VALID);
		assert_int_equal(ask(r, "2001:db8:7::/49", 64497), ROA_INVALID);
		assert_int_equal(ask(r, "198.51.100.0/24", 0), ROA_INVALID); /* RFC 6483 4 */
		assert_int_equal(ask(r, "10.0.0.0/8", 1), ROA_UNKNOWN);
		roa_free(r);
	}
	struct roa *none = parse("");
	assert_int_equal(roa_count(none), 0);
	assert_int_equal(ask(none, "10.0.0.0/8", 1), ROA_UNKNOWN);
	roa_free(none);
	none = parse("{\"roas\":[]}");
	roa_free(none);
}

/* RFC 6811: one match makes it valid, whatever else covers it. */
static void several(void **state)
{
	struct roa *r = parse("1 10.0.0.0/8\n2 10.0.0.0/8 16\n3 10.1.0.0/16\n2 10.1.0.0/24");

	(void)state;
	assert_int_equal(ask(r, "10.1.0.0/16", 3), ROA_VALID);
	assert_int_equal(ask(r, "10.1.0.0/16", 2), ROA_VALID); /* by the one above */
	assert_int_equal(ask(r, "10.1.0.0/16", 1), ROA_INVALID);
	assert_int_equal(ask(r, "10.1.0.0/24", 2), ROA_VALID);
	assert_int_equal(ask(r, "10.2.0.0/24", 2), ROA_INVALID);
	roa_free(r);
}

static void refused(void **state)
{
	static const struct {
		const char *text, *why;
	} t[] = {
		{"1", "line 1: no prefix"},
		{"x 10.0.0.0/8", "line 1: no AS number"},
		{"\n\n1 10.0.0.1/8", "line 3: no prefix, or one with host bits"},
		{"1 10.0.0.0/8\n1 10.0.0.0/8 33", "line 2: no length"},
		{"1 10.0.0.0/8 7", "line 1: a length below"},
		{"4294967296 10.0.0.0/8", "line 1: no AS number"},
		{"ASN\nASN", "line 2: no AS number"},
		{"{", "line 1: no JSON"},
		{"{}", "line 1: no list"},
		{"{\"roas\": {}}", "line 1: no JSON"},
		{"{\"roas\": [1]}", "line 1: no JSON"},
		{"{\"roas\": [{}]}", "line 1: no AS number"},
		{"{\n\"roas\": [\n{\"asn\": 1}]}", "line 3: no prefix"},
		{"{\"roas\": [],}", "line 1: a comma too many"},
		{"{\"roas\": [{\"asn\":1,\"prefix\":\"10.0.0.0/8\"},]}",
			"line 1: a comma too many"},
		{"{\"roas\": []} x", "line 1: something behind"},
		{"{\"roas", "line 1: a string that does not end"},
		{"{\"a\": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "nested too deep"},
		{"{\"a\" 1}", "line 1: no JSON"},
		{"{\"a\": }", "line 1: no JSON"},
		{"{\"a\": \"\n\"}", "line 1: a string that does not end"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(t); i++) {
		char why[ROA_WHY];
		struct roa *r;
		int err = roa_parse(t[i].text, strlen(t[i].text), &r, why);

		assert_null(r);
		if (err != ERR_MALFORMED || !strstr(why, t[i].why))
			fail_msg("'%s': %d %s", t[i].text, err, why);
	}
	struct roa_entry e = {.max_len = 33};
	struct roa *r;
	assert_int_equal(pfx_parse("10.0.0.0/8", &e.pfx), 0);
	assert_int_equal(roa_new(&e, 1, &r), ERR_RANGE);
	e.max_len = 7;
	assert_int_equal(roa_new(&e, 1, &r), ERR_RANGE);
}

/* Each shorter text and each flipped bit: an answer, with words if it is no. */
static void cut_and_flipped(void **state)
{
	static const char *const texts[] = {json, csv, hand};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		for (size_t k = 0; k < 9 * strlen(texts[i]); k++) {
			size_t len = strlen(texts[i]), whole = 8 * len;
			size_t used = k < whole ? len : k - whole;
			char *copy = malloc(used + 1),
			     why[ROA_WHY]; /* exact: over-reads are seen */
			struct roa *r;
			int err;

			memcpy(copy, texts[i], used);
			if (k < whole)
				copy[k / 8] = (char)(copy[k / 8] ^ 1 << k % 8);
			copy = realloc(copy, used ? used : 1);
			err = roa_parse(copy, used, &r, why);
			assert_true(err == 0 || err == ERR_MALFORMED);
			assert_int_equal(err == 0, why[0] == '\0');
			if (k >= whole && i == 0 && used < len - 1)
				assert_true(err != 0 || used == 0);
			roa_free(r);
			free(copy);
		}
}

static void against_walk(void **state)
{
	struct roa_entry v[60];
	unsigned seen[3] = {0};

	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		size_t n = 1 + seed % COUNT(v);
		struct prng rnd;
		struct roa *r;

		prng_seed(&rnd, seed);
		for (size_t i = 0; i < n; i++) {
			struct ip ip = ip_v4((uint32_t)prng_below(&rnd, 4) << 30 |
					     (uint32_t)prng_below(&rnd, 4) << 24);

			assert_int_equal(
				pfx_make(&ip, (unsigned)prng_below(&rnd, 12), &v[i].pfx), 0);
			v[i].max_len = (uint8_t)(v[i].pfx.len + prng_below(&rnd, 4));
			v[i].as = (uint32_t)prng_below(&rnd, 4);
		}
		assert_int_equal(roa_new(v, n, &r), 0);
		for (int k = 0; k < 200; k++) {
			struct ip ip = ip_v4((uint32_t)prng_below(&rnd, 4) << 30 |
					     (uint32_t)prng_below(&rnd, 4) << 24);
			uint32_t as = (uint32_t)prng_below(&rnd, 4);
			enum roa_state want = ROA_UNKNOWN;
			struct pfx p;

			assert_int_equal(pfx_make(&ip, (unsigned)prng_below(&rnd, 14), &p), 0);
			for (size_t i = 0; i < n; i++) {
				if (!pfx_contains(&v[i].pfx, &p))
					continue;
				if (as && v[i].as == as && p.len <= v[i].max_len)
					want = ROA_VALID;
				else if (want == ROA_UNKNOWN)
					want = ROA_INVALID;
			}
			if (roa_validate(r, &p, as) != want)
				fail_msg("seed %llu", (unsigned long long)seed);
			seen[want]++;
		}
		roa_free(r);
	}
	for (int i = 0; i < 3; i++)
		assert_true(seen[i] > 1000);
}

static void no_memory(void **state)
{
	(void)state;
	FAULT_EACH(n)
	{
		char why[ROA_WHY];
		struct roa *r;
		int err = roa_parse(json, sizeof(json) - 1, &r, why);

		assert_true(err == 0 || err == ERR_NOMEM);
		roa_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms),
		cmocka_unit_test(several),
		cmocka_unit_test(refused),
		cmocka_unit_test(cut_and_flipped),
		cmocka_unit_test(against_walk),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
