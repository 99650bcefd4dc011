/* The codec of gossip messages: there and back, every shorter prefix, and what is out of order or range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "weft/err.h"
#include "gossip.h"
#include "gossip_wire.h"
#include "record.h"

/* Every shorter prefix of a message is refused or is a shorter list. */
static void prefixes_of(const uint8_t *buf, size_t len, size_t unit, int (*fn)(struct rd *r))
{
	for (size_t n = 0; n < len; n++) {
		struct rd r;
		int err;

		rd_init(&r, buf, n);
		err = fn(&r);
		assert_int_equal(err, unit && n % unit == 0 ? 0 : ERR_TRUNCATED);
	}
}

static struct gossip_section section_back;
static struct gossip_want want_back;
static struct gossip_have have_back;
static struct gossip_group group_back;

static int decode_section(struct rd *r)
{
	return gossip_section_decode(r, &section_back);
}

static int decode_want(struct rd *r)
{
	return gossip_want_decode(r, &want_back);
}

static int decode_have(struct rd *r)
{
	return gossip_have_decode(r, &have_back);
}

static int decode_group(struct rd *r)
{
	return gossip_group_decode(r, &group_back);
}

static void test_codec_section(void **state)
{
	struct gossip_section k = {.from = 5, .to = 50};
	uint8_t buf[WIRE_CTL_BODY_MAX];
	struct wr w;
	struct rd r;

	for (k.n = 0; k.n < GOSSIP_SECTION_MAX; k.n++)
		k.v[k.n] = (struct gossip_key_entry){5 + k.n, k.n, ~k.n, k.n * 3};
	wr_init(&w, buf, sizeof(buf));
	gossip_section_encode(&w, &k);
	prefixes_of(buf, wr_len(&w), 0, decode_section);
	rd_init(&r, buf, wr_len(&w));
	assert_int_equal(decode_section(&r), 0);
	assert_true(rd_done(&r));
	assert_int_equal(section_back.n, k.n);
	assert_memory_equal(section_back.v, k.v, sizeof(k.v));
	/* More than a message holds. */
	buf[16] = GOSSIP_SECTION_MAX + 1;
	rd_init(&r, buf, wr_len(&w));
	assert_int_equal(decode_section(&r), ERR_MALFORMED);
	/* Out of order, out of range, range upside down. */
	k.n = 2;
	k.v[1].key = k.v[0].key;
	for (int i = 0; i < 3; i++) {
		wr_init(&w, buf, sizeof(buf));
		gossip_section_encode(&w, &k);
		rd_init(&r, buf, wr_len(&w));
		assert_int_equal(decode_section(&r), ERR_MALFORMED);
		k.v[1].key = i == 0 ? 51 : 6;
		k.to = i == 1 ? 4 : k.to;
	}
}

static void test_codec(void **state)
{
	struct gossip_want want = {.n = GOSSIP_WANT_MAX};
	struct gossip_have have = {.n = GOSSIP_HAVE_MAX};
	struct gossip_group group = {.level = 2, .index = 255};
	uint8_t buf[WIRE_CTL_BODY_MAX + 16] = {0};
	uint64_t root;
	struct wr w;
	struct rd r;

	wr_init(&w, buf, sizeof(buf));
	gossip_want_encode(&w, GOSSIP_MSG_WANT, &want);
	prefixes_of(buf + 1, wr_len(&w) - 1, 8, decode_want);
	rd_init(&r, buf + 1, 8 * (GOSSIP_WANT_MAX + 1));
	assert_int_equal(decode_want(&r), ERR_MALFORMED);
	for (size_t i = 0; i < have.n; i++) {
		have.v[i].key = i;
		have.v[i].hash = ~i;
	}
	wr_init(&w, buf, sizeof(buf));
	gossip_have_encode(&w, &have);
	prefixes_of(buf + 1, wr_len(&w) - 1, 16, decode_have);
	rd_init(&r, buf + 1, wr_len(&w) - 1);
	assert_int_equal(decode_have(&r), 0);
	assert_memory_equal(have_back.v, have.v, sizeof(have.v));
	rd_init(&r, buf + 1, 16 * (GOSSIP_HAVE_MAX + 1));
	assert_int_equal(decode_have(&r), ERR_MALFORMED);
	for (size_t i = 0; i < STORE_CHILDREN; i++)
		group.sum[i] = i << 60 | i;
	wr_init(&w, buf, sizeof(buf));
	gossip_group_encode(&w, &group);
	assert_int_equal(wr_len(&w), GOSSIP_GROUP_BYTES);
	prefixes_of(buf, wr_len(&w), 0, decode_group);
	rd_init(&r, buf, wr_len(&w));
	assert_int_equal(decode_group(&r), 0);
	assert_memory_equal(&group_back, &group, sizeof(group));
	/* An index that the level hasn't; a level that isn't. */
	buf[1] = 1;
	rd_init(&r, buf, GOSSIP_GROUP_BYTES);
	assert_int_equal(decode_group(&r), ERR_MALFORMED);
	buf[0] = STORE_LEVELS;
	buf[1] = 0;
	rd_init(&r, buf, GOSSIP_GROUP_BYTES);
	assert_int_equal(decode_group(&r), ERR_MALFORMED);
	wr_init(&w, buf, sizeof(buf));
	gossip_root_encode(&w, 77);
	for (size_t n = 0; n < 10; n++) {
		rd_init(&r, buf + 1, n);
		assert_int_equal(gossip_root_decode(&r, &root), n < 8    ? ERR_TRUNCATED
								: n == 8 ? 0
									 : ERR_MALFORMED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codec),
		cmocka_unit_test(test_codec_section),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
