/* Signed records: format stability, limits, and everything that a hostile author or a broken line can
 * do to one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "fault.h"
#include "key.h"
#include "record.h"

/* Header, cluster, node, body, signature. */
#define VECTOR_NODE                                                                                \
	"010100a30000000300000000000000050102030405060708"                                         \
	"6120636c75737465722069642031362e"                                                         \
	"ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c"                         \
	"8300ae6e6f64652d612e6578616d706c6501a5302e312e3002cc81"                                   \
	"c8ad38ca396cf08b99026f74703b09e6ec48d26c39f5b1ed3292c8b4894cec4a"                         \
	"f7f2af27ff1661238166d7592aa3a9bcf231de6ca466fc1d5c791cc9a8773403"
#define VECTOR_KEY_HASH UINT64_C(0x60e1646c7ebb318e)

static struct identity id;
static const struct cluster_id cluster = {"a cluster id 16."};

static int setup(void **state)
{
	uint8_t seed[32];

	assert_true(sodium_init() >= 0);
	memset(seed, 7, sizeof(seed));
	identity_from_seed(seed, &id);
	return 0;
}

static size_t make(uint8_t type, const uint8_t *body, size_t len, uint8_t *out)
{
	struct record r = {.type = type,
		.sub = 3,
		.epoch = 5,
		.seq = 0x0102030405060708,
		.cluster = cluster,
		.body = body,
		.body_len = len};
	int n = record_sign(&id, &r, out);

	assert_true(n > 0);
	return (size_t)n;
}

static void assert_hex(const uint8_t *got, size_t len, const char *want)
{
	char hex[2 * LIM_RECORD_BYTES + 1];

	sodium_bin2hex(hex, sizeof(hex), got, len);
	assert_string_equal(hex, want);
}

static struct gossip_prefix prefix(uint32_t vni, const char *text, uint8_t right)
{
	struct gossip_prefix p = {.vni = vni, .right = right};

	assert_int_equal(pfx_parse(text, &p.pfx), 0);
	return p;
}

static struct ep endpoint(const char *text)
{
	struct ep e;

	assert_int_equal(ep_parse(text, 0, &e), 0);
	return e;
}

static size_t sample_prefixes(uint8_t *body)
{
	struct gossip_prefix p[] = {prefix(1, "10.1.0.0/16", RIGHT_CLAIM),
		prefix(0x123456, "fd00:1::/48", RIGHT_ORCHESTRATOR),
		prefix(2, "0.0.0.0/0", RIGHT_CONFIG)};
	int n;

	p[0].claimed_at_secs = 1700000000;
	p[2].exit = true;
	n = record_prefixes_encode(p, 3, body);
	assert_true(n > 0);
	return (size_t)n;
}

/* The bytes of a record may never change: old nodes and state files hold them. */
static void test_vectors(void **state)
{
	uint8_t body[RECORD_BODY_MAX], out[LIM_RECORD_BYTES];
	struct record_node node = {"node-a.example", "0.1.0", 0x81, false};
	struct ep eps[] = {endpoint("192.0.2.1:6793"), endpoint("[2001:db8::1]:443")};
	int n;

	n = record_node_encode(&node, body);
	assert_hex(body, (size_t)n, "8300ae6e6f64652d612e6578616d706c6501a5302e312e3002cc81");
	assert_hex(out, make(RECORD_NODE, body, (size_t)n, out), VECTOR_NODE);
	node.left = true;
	n = record_node_encode(&node, body);
	assert_hex(body, (size_t)n, "8400ae6e6f64652d612e6578616d706c6501a5302e312e3002cc8103c3");
	n = record_endpoints_encode(eps, 2, body);
	assert_hex(body, (size_t)n,
		"81009292c404c0000201cd1a8992c41020010db8000000000000000000000001cd01bb");
	n = (int)sample_prefixes(body);
	assert_hex(body, (size_t)n,
		"8100939601c4040a010000100300ce6553f10096ce00123456c410fd00000100000000000000000000"
		"0000"
		"300100009602c4040000000000020100");
}

static void test_round_trip(void **state)
{
	uint8_t body[RECORD_BODY_MAX], out[LIM_RECORD_BYTES + 5] = {0};
	struct gossip_prefix p[4];
	struct record_node node = {"n", "v", UINT64_MAX, true}, back;
	struct ep eps[2] = {endpoint("1.2.3.4:1"), endpoint("[::1]:65535")}, eps_back[2];
	struct record r;
	size_t len, n;

	len = make(RECORD_PREFIXES, body, sample_prefixes(body), out);
	/* What follows a record is not its business. */
	assert_int_equal(record_parse(out, len + 5, &r), len);
	assert_int_equal(r.type, RECORD_PREFIXES);
	assert_int_equal(r.sub, 3);
	assert_int_equal(r.epoch, 5);
	assert_true(r.seq == 0x0102030405060708);
	assert_true(cluster_id_eq(&r.cluster, &cluster));
	assert_true(node_key_eq(&r.node, &id.pub));
	assert_int_equal(record_verify(&r), 0);
	assert_int_equal(record_prefixes_decode(r.body, r.body_len, p, 4, &n), 0);
	assert_int_equal(n, 3);
	assert_true(p[1].vni == 0x123456 && p[1].right == RIGHT_ORCHESTRATOR && !p[1].exit);
	assert_true(p[0].claimed_at_secs == 1700000000);
	assert_true(p[2].exit && p[2].pfx.len == 0);
	assert_int_equal(record_prefixes_decode(r.body, r.body_len, p, 2, &n), ERR_FULL);

	len = (size_t)record_node_encode(&node, body);
	assert_int_equal(record_node_decode(body, len, &back), 0);
	assert_string_equal(back.name, "n");
	assert_string_equal(back.version, "v");
	assert_true(back.left && back.features == UINT64_MAX);
	len = (size_t)record_endpoints_encode(eps, 2, body);
	assert_int_equal(record_endpoints_decode(body, len, eps_back, 2, &n), 0);
	assert_int_equal(n, 2);
	assert_true(ep_eq(&eps[0], &eps_back[0]) && ep_eq(&eps[1], &eps_back[1]));
}

static void test_truncated(void **state)
{
	uint8_t body[RECORD_BODY_MAX], out[LIM_RECORD_BYTES];
	size_t len = make(RECORD_PREFIXES, body, sample_prefixes(body), out);
	struct record r;

	for (size_t n = 0; n < len; n++)
		assert_int_equal(record_parse(out, n, &r), ERR_TRUNCATED);
}

/* No bit of a record can be changed without its signature failing. */
static void test_bit_flips(void **state)
{
	uint8_t body[RECORD_BODY_MAX], out[LIM_RECORD_BYTES];
	size_t len = make(RECORD_NODE, body, sample_prefixes(body), out);
	struct record r;

	for (size_t bit = 0; bit < 8 * len; bit++) {
		int n;

		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
		n = record_parse(out, len, &r);
		if (n > 0)
			assert_int_equal(record_verify(&r), ERR_AUTH);
		out[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(record_parse(out, len, &r), len);
	assert_int_equal(record_verify(&r), 0);
}

static void test_bounds(void **state)
{
	uint8_t body[RECORD_BODY_MAX + 1] = {0}, out[LIM_RECORD_BYTES + 1];
	struct record r = {.type = 99, .epoch = 1, .body = body, .body_len = RECORD_BODY_MAX};

	assert_int_equal(record_sign(&id, &r, out), LIM_RECORD_BYTES);
	assert_int_equal(record_parse(out, sizeof(out), &r), LIM_RECORD_BYTES);
	assert_int_equal(record_verify(&r), 0);
	r.body_len = RECORD_BODY_MAX + 1;
	assert_int_equal(record_sign(&id, &r, out), ERR_RANGE);
	/* A length field of one more than allowed, or less than a record's frame. */
	out[2] = (LIM_RECORD_BYTES + 1) >> 8;
	out[3] = (LIM_RECORD_BYTES + 1) & 0xff;
	assert_int_equal(record_parse(out, sizeof(out), &r), ERR_MALFORMED);
	out[2] = 0;
	out[3] = RECORD_MIN - 1;
	assert_int_equal(record_parse(out, sizeof(out), &r), ERR_MALFORMED);
	/* Epoch 0 and a foreign format. */
	r = (struct record){.type = 1};
	record_sign(&id, &r, out);
	assert_int_equal(record_parse(out, RECORD_MIN, &r), ERR_MALFORMED);
	out[0] = RECORD_VERSION + 1;
	assert_int_equal(record_parse(out, RECORD_MIN, &r), ERR_VERSION);
}

static void test_understood(void **state)
{
	struct record r = {.type = RECORD_NODE};

	assert_true(record_understood(&r));
	r.flags = 0x0080;
	assert_true(record_understood(&r));
	r.flags = 0x0100;
	assert_false(record_understood(&r));
	r = (struct record){.type = RECORD_REVOCATION};
	assert_false(record_understood(&r));
}

/* As many prefixes as a node packs into a record fit, whatever they are. */
static void test_prefixes_safe(void **state)
{
	struct gossip_prefix p[RECORD_PREFIXES_SAFE], back[RECORD_PREFIXES_MAX];
	uint8_t body[RECORD_BODY_MAX];
	size_t n;
	int len;

	for (size_t i = 0; i < RECORD_PREFIXES_SAFE; i++) {
		p[i] = prefix(0xffffff, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", RIGHT_CLAIM);
		p[i].exit = true;
		p[i].claimed_at_secs = UINT64_MAX;
	}
	len = record_prefixes_encode(p, RECORD_PREFIXES_SAFE, body);
	assert_true(len > 0);
	assert_int_equal(
		record_prefixes_decode(body, (size_t)len, back, RECORD_PREFIXES_MAX, &n), 0);
	assert_int_equal(n, RECORD_PREFIXES_SAFE);
	assert_true(pfx_eq(&back[n - 1].pfx, &p[n - 1].pfx) && back[n - 1].vni == 0xffffff);
	/* And no record holds more than decoders make room for. */
	uint8_t small[] = {0x96, 1, 0xc4, 4, 0, 0, 0, 0, 0, 1, 0, 0};
	assert_true(5 + (RECORD_PREFIXES_MAX + 1) * sizeof(small) > RECORD_BODY_MAX);
}

static int decode_any(uint8_t type, const uint8_t *body, size_t len)
{
	struct gossip_prefix p[RECORD_PREFIXES_MAX];
	struct ep eps[LIM_ENDPOINTS_PER_NODE];
	struct record_node node;
	size_t n;

	if (type == RECORD_NODE)
		return record_node_decode(body, len, &node);
	if (type == RECORD_FORGET) {
		struct record_forget f[RECORD_FORGETS_MAX];

		return record_forgets_decode(body, len, f, RECORD_FORGETS_MAX, &n);
	}
	if (type == RECORD_ENDPOINTS)
		return record_endpoints_decode(body, len, eps, LIM_ENDPOINTS_PER_NODE, &n);
	return record_prefixes_decode(body, len, p, RECORD_PREFIXES_MAX, &n);
}

struct bad {
	uint8_t type;
	const char *hex, *what;
};

static const struct bad bad_bodies[] = {
	{RECORD_NODE, "", "empty"},
	{RECORD_NODE, "90", "an array, not a map"},
	{RECORD_NODE, "80", "no name"},
	{RECORD_NODE, "8300a16101a176", "announces one pair more than is there"},
	{RECORD_NODE, "8300a16101a1760200ff", "bytes left over"},
	{RECORD_NODE, "8300a14101a1760200", "upper case name"},
	{RECORD_NODE, "8300a001a1760200", "empty name"},
	{RECORD_NODE, "8300c4016101a1760200", "name in bin"},
	{RECORD_NODE, "8300a2610001a1760200", "a zero in the name"},
	{RECORD_NODE, "8300a16101a11b0200", "an escape in the version"},
	{RECORD_NODE, "8300a16101a176020f03", "key without value"},
	{RECORD_NODE, "8300a16101a17602ff", "negative features"},
	{RECORD_NODE, "8400a16101a17602000301", "left is no boolean"},
	{RECORD_NODE, "8300a16101d93000000000", "string longer than the body"},
	{RECORD_FORGET, "8100919300000000", "a row that is too short"},
	{RECORD_FORGET, "81009194c4010000000000", "a key of one byte"},
	{RECORD_NODE, "c1", "unused tag"},
	{RECORD_NODE, "dfffffffff", "map of four billion"},
	{RECORD_NODE, "8100ddffffffff", "array of four billion"},
	{RECORD_NODE, "8100dbffffffff", "string of four billion"},
	{RECORD_NODE, "8100c6ffffffff", "bin of four billion"},
	{RECORD_NODE, "8100c9ffffffff00", "ext of four billion"},
	{RECORD_ENDPOINTS, "8100c0", "list is nil"},
	{RECORD_ENDPOINTS, "81009101", "row is a number"},
	{RECORD_ENDPOINTS, "81009191c40401020304", "row too short"},
	{RECORD_ENDPOINTS, "81009192c4030102030a", "address of 3 bytes"},
	{RECORD_ENDPOINTS, "81009192c4040102030400", "port 0"},
	{RECORD_ENDPOINTS, "81009192c40401020304ce00010000", "port 65536"},
	{RECORD_PREFIXES, "8100919600c4040a000000080300ff", "VNI 0"},
	{RECORD_PREFIXES, "81009196ce01000000c4040a00000008030000", "VNI above 24 bits"},
	{RECORD_PREFIXES, "8100919601c4040a00000021030000", "length 33"},
	{RECORD_PREFIXES, "8100919601c4040a00000107030000", "bits past the length"},
	{RECORD_PREFIXES, "8100919601c4040a00000008000000", "right 0"},
	{RECORD_PREFIXES, "8100919501c4040a000000080300", "row too short"},
};

static void test_bad_bodies(void **state)
{
	for (size_t i = 0; i < sizeof(bad_bodies) / sizeof(bad_bodies[0]); i++) {
		const struct bad *b = &bad_bodies[i];
		uint8_t body[64];
		size_t len;
		int err;

		sodium_hex2bin(body, sizeof(body), b->hex, strlen(b->hex), NULL, &len, NULL);
		err = decode_any(b->type, body, len);
		if (err != ERR_MALFORMED && err != ERR_TRUNCATED)
			fail_msg("%s: %d", b->what, err);
	}
}

/* What a later version may add is skipped. */
static void test_later_versions(void **state)
{
	static const struct bad fine[] = {
		{RECORD_NODE, "8400a16101a176020009939192c0a1780102", "another key, nested value"},
		{RECORD_NODE, "8500a16101a1760200a178c30700", "keys that are no small integers"},
		{RECORD_ENDPOINTS, "81009193c40401020304010f", "longer row"},
		{RECORD_PREFIXES, "8100919701c4040a0000000803000007", "longer row"},
	};
	/* Flags that we don't know: the entry is skipped, not the record. */
	static const char flags[] = "8100929601c4040a000000080302009601c4040b00000008030000";
	struct gossip_prefix p[2];
	uint8_t body[64];
	size_t len, n;

	for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++) {
		sodium_hex2bin(
			body, sizeof(body), fine[i].hex, strlen(fine[i].hex), NULL, &len, NULL);
		if (decode_any(fine[i].type, body, len) != 0)
			fail_msg("%s", fine[i].what);
	}
	sodium_hex2bin(body, sizeof(body), flags, strlen(flags), NULL, &len, NULL);
	assert_int_equal(record_prefixes_decode(body, len, p, 2, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(p[0].pfx.ip.b[0], 11);
}

/* Arrays in arrays, each of them complete, deeper than anything that we write. */
static void test_deep(void **state)
{
	uint8_t body[RECORD_BODY_MAX];

	for (size_t depth = 0; depth < sizeof(body) - 10; depth += 7) {
		static const uint8_t head[] = {0x84, 0, 0xa1, 'a', 1, 0xa1, 'v', 2, 0, 9};
		int err;

		memcpy(body, head, sizeof(head));
		memset(body + sizeof(head), 0x91, depth);
		body[sizeof(head) + depth] = 0xc0;
		err = record_node_decode(body, sizeof(head) + depth + 1, &(struct record_node){0});
		assert_int_equal(err, depth <= 7 ? 0 : ERR_MALFORMED);
		if (sizeof(head) + depth + 8 > sizeof(body))
			break;
	}
}

/* Each shorter prefix and each bit flip of good bodies: an error or a sane value, and no crash. */
static void test_body_damage(void **state)
{
	struct record_node node = {"node-a.example", "0.1.0", 0x81, true};
	struct ep eps[] = {endpoint("192.0.2.1:6793"), endpoint("[2001:db8::1]:443")};
	struct record_forget gone[] = {{id.pub, 7, 300, 1700000000}, {id.pub, 1, 2, 0}};
	static const uint8_t types[] = {
		RECORD_NODE, RECORD_ENDPOINTS, RECORD_PREFIXES, RECORD_FORGET};
	uint8_t bodies[4][RECORD_BODY_MAX];
	size_t lens[4];

	lens[0] = (size_t)record_node_encode(&node, bodies[0]);
	lens[1] = (size_t)record_endpoints_encode(eps, 2, bodies[1]);
	lens[2] = sample_prefixes(bodies[2]);
	lens[3] = (size_t)record_forgets_encode(gone, 2, bodies[3]);
	for (int i = 0; i < 4; i++) {
		uint8_t type = types[i], *body = bodies[i];
		size_t len = lens[i];

		for (size_t n = 0; n < len; n++) {
			int err = decode_any(type, body, n);
			assert_true(err == ERR_TRUNCATED);
		}
		for (size_t bit = 0; bit < 8 * len; bit++) {
			int err;

			body[bit / 8] ^= (uint8_t)(1u << bit % 8);
			err = decode_any(type, body, len);
			assert_true(err == 0 || err == ERR_TRUNCATED || err == ERR_MALFORMED);
			body[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		assert_int_equal(decode_any(type, body, len), 0);
	}
}

static void test_forgets(void **state)
{
	struct record_forget f[RECORD_FORGETS_MAX], back[RECORD_FORGETS_MAX];
	uint8_t body[RECORD_BODY_MAX];
	size_t n;
	int len;

	for (size_t i = 0; i < RECORD_FORGETS_MAX; i++)
		f[i] = (struct record_forget){id.pub, UINT64_MAX - i, UINT64_MAX, UINT64_MAX};
	len = record_forgets_encode(f, RECORD_FORGETS_MAX, body);
	assert_true(len > 0);
	assert_int_equal(record_forgets_decode(body, (size_t)len, back, RECORD_FORGETS_MAX, &n), 0);
	assert_int_equal(n, RECORD_FORGETS_MAX);
	assert_memory_equal(f, back, sizeof(f));
	assert_int_equal(record_forgets_decode(body, (size_t)len, back, n - 1, &n), ERR_FULL);
	/* Bytes that may never change. */
	f[0] = (struct record_forget){.epoch = 7, .seq = 300, .at_secs = 1700000000};
	len = record_forgets_encode(f, 1, body);
	assert_hex(body, (size_t)len,
		"81009194c42000000000000000000000000000000000000000000000000000000000000000000"
		"7cd012cce6553f100");
}

static void test_key_hash(void **state)
{
	uint64_t a = record_key_hash(&id.pub, RECORD_NODE, 0);

	assert_true(a == record_key_hash(&id.pub, RECORD_NODE, 0));
	assert_true(a != record_key_hash(&id.pub, RECORD_NODE, 1));
	assert_true(a != record_key_hash(&id.pub, RECORD_ENDPOINTS, 0));
	assert_true(a == VECTOR_KEY_HASH);
	assert_true(record_version_cmp(1, 9, 2, 0) < 0);
	assert_true(record_version_cmp(2, 1, 2, 0) > 0);
	assert_int_equal(record_version_cmp(2, 1, 2, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_bit_flips),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_understood),
		cmocka_unit_test(test_prefixes_safe),
		cmocka_unit_test(test_bad_bodies),
		cmocka_unit_test(test_later_versions),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_body_damage),
		cmocka_unit_test(test_forgets),
		cmocka_unit_test(test_key_hash),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}
