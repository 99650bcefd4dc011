/* Node objects: what is read, what is passed over, and every damage of a valid one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fault.h"
#include "kube_node.h"
#include "weft/err.h"

static const char full[] = "{\"kind\":\"Node\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"node-"
			   "1.example\",\"uid\":\"u-1\","
			   "\"resourceVersion\":\"17\",\"annotations\":{\"weft.mesh/"
			   "key\":\"abc\",\"weft.mesh/endpoints\":"
			   "\"192.0.2.1:6793,[2001:db8::1]:6793\",\"other\":\"x\"}},\"spec\":{"
			   "\"podCIDR\":\"10.1.0.0/24\","
			   "\"podCIDRs\":[\"10.1.0.0/24\",\"fd00:1::/"
			   "64\"]},\"status\":{\"addresses\":[{\"type\":\"InternalIP\","
			   "\"address\":\"192.0.2.1\"},{\"type\":\"Hostname\",\"address\":\"node-"
			   "1\"}],\"conditions\":[{\"type\":"
			   "\"Ready\",\"status\":\"True\"},{\"type\":\"NetworkUnavailable\","
			   "\"status\":\"True\"}],\"images\":[]}}";

static void whole(void **state)
{
	struct kube_node n;
	char text[PFX_STRLEN], ep[EP_STRLEN];

	assert_int_equal(kube_node_read(full, strlen(full), &n), 0);
	assert_string_equal(n.name, "node-1.example");
	assert_string_equal(n.uid, "u-1");
	assert_int_equal(n.ncidrs, 2);
	assert_string_equal(pfx_fmt(&n.cidrs[0], text), "10.1.0.0/24");
	assert_string_equal(pfx_fmt(&n.cidrs[1], text), "fd00:1::/64");
	assert_int_equal(n.naddrs, 1);
	assert_string_equal(n.key, "abc");
	assert_int_equal(n.neps, 2);
	assert_string_equal(ep_fmt(&n.eps[1], ep), "[2001:db8::1]:6793");
	assert_int_equal(n.network_unavailable, KUBE_TRUE);
	assert_int_equal(n.odd, 0);
}

/* Fields that make no sense cost themselves. */
static void absurd(void **state)
{
	static const struct {
		const char *more; /* behind name and uid: spec, status, annotations */
		size_t cidrs, eps, addrs;
		unsigned odd;
		int network;
	} cases[] = {
		{"", 0, 0, 0, 0, KUBE_ABSENT},
		{",\"spec\":7,\"status\":[]", 0, 0, 0, 0, KUBE_ABSENT},
		{",\"spec\":{\"podCIDRs\":\"10.1.0.0/24\"}", 0, 0, 0, 1, KUBE_ABSENT},
		{",\"spec\":{\"podCIDRs\":[7,null,{},\"x\",\"10.1.0.1/24\",\"0.0.0.0/"
		 "0\",\"224.0.0.0/8\","
		 "\"127.0.0.0/8\",\"fe80::/64\",\"10.1.0.0/33\"]}",
			0, 0, 0, 10, KUBE_ABSENT},
		{",\"spec\":{\"podCIDRs\":[\"10.1.0.0/24\",\"10.1.0.0/24\"]}", 1, 0, 0, 0,
			KUBE_ABSENT},
		{",\"spec\":{\"podCIDR\":\"10.9.0.0/16\"}", 1, 0, 0, 0, KUBE_ABSENT},
		{",\"spec\":{\"podCIDR\":\"\"}", 0, 0, 0, 1, KUBE_ABSENT},
		{",\"spec\":{\"podCIDR\":null,\"podCIDRs\":null}", 0, 0, 0, 0, KUBE_ABSENT},
		{",\"spec\":{\"podCIDRs\":[\"10.0.0.0/24\",\"10.0.1.0/24\",\"10.0.2.0/"
		 "24\",\"10.0.3.0/24\","
		 "\"10.0.4.0/24\",\"10.0.5.0/24\",\"10.0.6.0/24\",\"10.0.7.0/24\",\"10.0.8.0/"
		 "24\"]}",
			8, 0, 0, 1, KUBE_ABSENT},
		{",\"status\":{\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"host\"},{"
		 "\"type\":7},"
		 "{\"type\":\"InternalIP\"},5,{\"type\":\"InternalIP\",\"address\":\"fd00::5\"}]}",
			0, 0, 1, 2, KUBE_ABSENT},
		{",\"status\":{\"addresses\":{},\"conditions\":7}", 0, 0, 0, 2, KUBE_ABSENT},
		{",\"status\":{\"conditions\":[7,{\"type\":\"NetworkUnavailable\"}]}", 0, 0, 0, 0,
			KUBE_UNKNOWN},
		{",\"status\":{\"conditions\":[{\"type\":\"NetworkUnavailable\",\"status\":"
		 "\"False\"}]}",
			0, 0, 0, 0, KUBE_FALSE},
	};
	char text[2048];
	struct kube_node n;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(text, sizeof(text),
			"{\"metadata\":{\"name\":\"n\",\"uid\":\"u\"}%s}", cases[i].more);
		if (kube_node_read(text, strlen(text), &n) != 0 || n.ncidrs != cases[i].cidrs ||
			n.neps != cases[i].eps || n.naddrs != cases[i].addrs ||
			n.odd != cases[i].odd || (int)n.network_unavailable != cases[i].network)
			fail_msg("case %zu: cidrs %zu eps %zu addrs %zu odd %u network %d", i,
				n.ncidrs, n.neps, n.naddrs, n.odd, (int)n.network_unavailable);
	}
}

/* A hint never leads to the host itself, to everybody, or to the DNS. */
static void hints(void **state)
{
	static const struct {
		const char *text; /* as JSON */
		size_t eps;
		unsigned odd;
		bool kept;
	} cases[] = {
		{"\"192.0.2.1:6793\"", 1, 0, true},
		{"\"192.0.2.1\"", 0, 1, true},
		{"\"evil.example:6793\"", 0, 1, true},
		{"\"127.0.0.1:6793,[::1]:6793,0.0.0.0:1,[ff02::1]:1,[fe80::1]:1,169.254.1.1:1\"", 0,
			6, true},
		{"\"192.0.2.1:0,192.0.2.1:65536\"", 0, 2, true},
		{"\",,,\"", 0, 0, true},
		{"\"192.0.2.1:1 ,192.0.2.2:2\"", 0, 1, false},
		{"\"\\u0007\"", 0, 1, false},
		{"7", 0, 1, false},
		{"null", 0, 0, false},
		{"\"192.0.2.1:1,192.0.2.1:2,192.0.2.1:3,192.0.2.1:4,192.0.2.1:5,192.0.2.1:6,192.0."
		 "2.1:7,"
		 "192.0.2.1:8,192.0.2.1:9\"",
			8, 1, true},
	};
	char text[2048];
	struct kube_node n;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(text, sizeof(text),
			"{\"metadata\":{\"name\":\"n\",\"uid\":\"u\",\"annotations\":{"
			"\"weft.mesh/endpoints\":%s}}}",
			cases[i].text);
		if (kube_node_read(text, strlen(text), &n) != 0 || n.neps != cases[i].eps ||
			n.odd != cases[i].odd || (n.endpoints[0] != '\0') != cases[i].kept)
			fail_msg("case %zu: eps %zu odd %u '%s'", i, n.neps, n.odd, n.endpoints);
	}
}

static void no_node(void **state)
{
	static const char *const bad[] = {"", "{", "7", "[]", "{}", "{\"metadata\":7}",
		"{\"metadata\":{\"name\":\"n\"}}", "{\"metadata\":{\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":7,\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":\"\",\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":\"A\",\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":\"-a\",\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":\"a-\",\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":\"a..b\",\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":\"a-.b\",\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":\"../x\",\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":\"a?b\",\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":\"a\\u0000b\",\"uid\":\"u\"}}",
		"{\"kind\":\"Pod\",\"metadata\":{\"name\":\"n\",\"uid\":\"u\"}}",
		"{\"kind\":7,\"metadata\":{\"name\":\"n\",\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":\"n\",\"name\":\"m\",\"uid\":\"u\"}}",
		"{\"metadata\":{\"name\":\"n\",\"uid\":\"u u\"}}"};
	struct kube_node n;
	char text[600];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (kube_node_read(bad[i], strlen(bad[i]), &n) != ERR_MALFORMED || n.name[0])
			fail_msg("%s is taken", bad[i]);
	for (int len = 252; len <= 255; len++) {
		(void)snprintf(text, sizeof(text),
			"{\"metadata\":{\"name\":\"%0*d\",\"uid\":\"u\"}}", len, 7);
		assert_int_equal(kube_node_read(text, strlen(text), &n),
			len <= KUBE_NAME_MAX ? 0 : ERR_MALFORMED);
	}
}

static void damaged(void **state)
{
	struct kube_node n;
	size_t len = strlen(full);

	for (size_t i = 0; i < len; i++) {
		char *copy = malloc(i ? i : 1);
		memcpy(copy, full, i);
		assert_int_equal(kube_node_read(copy, i, &n), ERR_MALFORMED);
		free(copy);
	}
	for (size_t bit = 0; bit < 8 * len; bit++) {
		char *copy = malloc(len);
		memcpy(copy, full, len);
		copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << (bit % 8)));
		int err = kube_node_read(copy, len, &n);
		assert_true(err == 0 || err == ERR_MALFORMED);
		assert_true(n.ncidrs <= KUBE_CIDRS_MAX && n.neps <= KUBE_EPS_MAX);
		assert_true(err == 0 || n.name[0] == '\0');
		free(copy);
	}
}

static int event(const char *text, struct kube_event *e)
{
	return kube_event_read(text, strlen(text), e);
}

static void events(void **state)
{
	struct kube_event e;
	char text[2048];

	(void)snprintf(text, sizeof(text), "{\"type\":\"MODIFIED\",\"object\":%s}", full);
	assert_int_equal(event(text, &e), 0);
	assert_int_equal(e.type, KUBE_EVENT_MODIFIED);
	assert_true(e.has_node);
	assert_string_equal(e.rv, "17");
	assert_int_equal(event("{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{"
			       "\"resourceVersion\":\"99\"}}}",
				 &e),
		0);
	assert_int_equal(e.type, KUBE_EVENT_BOOKMARK);
	assert_string_equal(e.rv, "99");
	assert_int_equal(
		event("{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}", &e), 0);
	assert_int_equal(e.code, 410);
	assert_int_equal(event("{\"type\":\"ERROR\",\"object\":{\"code\":429,\"details\":{"
			       "\"retryAfterSeconds\":7}}}",
				 &e),
		0);
	assert_int_equal(e.retry_secs, 7);
	assert_int_equal(event("{\"type\":\"ERROR\",\"object\":{\"code\":-99999999999,\"details\":{"
			       "\"retryAfterSeconds\":99999999999}}}",
				 &e),
		0);
	assert_int_equal(e.code, 0);
	assert_int_equal(e.retry_secs, 0);
	assert_int_equal(event("{\"type\":\"SOMETHING\",\"object\":{}}", &e), 0);
	assert_int_equal(e.type, KUBE_EVENT_NONE);
	assert_int_equal(
		event("{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"5\"}}}",
			&e),
		0);
	assert_false(e.has_node);
	assert_string_equal(e.rv, "5");
	assert_int_equal(event("{\"type\":\"ADDED\",\"object\":[]}", &e), ERR_MALFORMED);
	assert_int_equal(event("{\"object\":{}}", &e), ERR_MALFORMED);
	assert_int_equal(event("{\"type\":7,\"object\":{}}", &e), ERR_MALFORMED);
}

static int meta(const char *text, struct kube_list_meta *m)
{
	return kube_list_meta_read(text, strlen(text), m);
}

static void lists(void **state)
{
	struct kube_list_meta m;
	char *big = malloc(KUBE_CONTINUE_MAX + 200);

	assert_int_equal(meta("{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"8\","
			      "\"continue\":\"abc\"}}",
				 &m),
		0);
	assert_string_equal(m.rv, "8");
	assert_string_equal(m.more, "abc");
	kube_list_meta_free(&m);
	assert_int_equal(meta("{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"8\","
			      "\"continue\":\"\"}}",
				 &m),
		0);
	assert_null(m.more);
	assert_int_equal(
		meta("{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"8\"}}", &m),
		ERR_MALFORMED);
	assert_int_equal(meta("{\"kind\":\"NodeList\",\"metadata\":{}}", &m), ERR_MALFORMED);
	assert_int_equal(
		meta("{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"\"}}", &m),
		ERR_MALFORMED);
	assert_int_equal(meta("{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"8\","
			      "\"continue\":7}}",
				 &m),
		ERR_MALFORMED);
	(void)sprintf(big,
		"{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"8\",\"continue\":\"%0*"
		"d\"}}",
		KUBE_CONTINUE_MAX + 1, 7);
	assert_int_equal(meta(big, &m), ERR_LIMIT);
	free(big);
}

static void patches(void **state)
{
	char *p = kube_patch_annotations("k\"ey", "192.0.2.1:1");

	assert_string_equal(p, "{\"metadata\":{\"annotations\":{\"weft.mesh/key\":\"k\\\"ey\","
			       "\"weft.mesh/endpoints\":\"192.0.2.1:1\"}}}");
	free(p);
	p = kube_patch_network(1700000000);
	assert_non_null(strstr(p, "\"type\":\"NetworkUnavailable\",\"status\":\"False\""));
	assert_non_null(strstr(p, "\"lastTransitionTime\":\"2023-11-14T22:13:20Z\""));
	free(p);
	assert_null(kube_patch_annotations("\xff", ""));
}

static void memory(void **state)
{
	/* the parser is a shared library: of our own there is the token alone */
	FAULT_EACH(n)
	{
		struct kube_list_meta m;
		int err = meta("{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"8\","
			       "\"continue\":\"abc\"}}",
			&m);
		assert_true(err == 0 || err == ERR_NOMEM);
		assert_int_equal(m.more != NULL, err == 0);
		kube_list_meta_free(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole),
		cmocka_unit_test(absurd),
		cmocka_unit_test(hints),
		cmocka_unit_test(no_node),
		cmocka_unit_test(damaged),
		cmocka_unit_test(events),
		cmocka_unit_test(lists),
		cmocka_unit_test(patches),
		cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
