/* The plugin's foreign text: environment and configuration, whole, cut and flipped; results; names. What
 * it does to a kernel is tested by test/netns/t_cni.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cni_look.h"
#include "cni_result.h"
#include "fault.h"
#include "weft/err.h"

#define CONF                                                                                       \
	"{\"cniVersion\":\"1.0.0\",\"name\":\"net\",\"type\":\"weft-cni\",\"mtu\":1400,"           \
	"\"runtimeConfig\":{\"ips\":[\"10.0.0.5/24\",\"fd00::5\"],\"mac\":\"02:aB:00:00:00:01\"}," \
	"\"prevResult\":{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"eth0\","             \
	"\"sandbox\":\"/n\",\"mac\":\"02:00:00:00:00:07\"}],\"ips\":[{\"address\":\"10.0.0.5/"     \
	"32\","                                                                                    \
	"\"interface\":0},{\"address\":\"10.9.9.9/32\",\"interface\":1}]}}"

static const struct cni_env env_add = {.command = "ADD",
	.container_id = "c0ffee",
	.netns = "/n",
	.ifname = "eth0",
	.path = "/opt",
	.args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod;K8S_POD_UID=u;"};

static int parse(const struct cni_env *env, const char *conf, struct cni_call *c)
{
	struct cni_error e = {0};
	int err;

	memset(c, 0, sizeof(*c));
	err = cni_parse(env, conf, strlen(conf), c, &e);
	assert_int_equal(err, e.code ? ERR_REFUSED : 0);
	assert_true(e.code == 0 || e.msg[0]);
	return e.code;
}

static void everything(void **state)
{
	struct cni_call c;

	assert_int_equal(parse(&env_add, CONF, &c), 0);
	assert_int_equal(c.verb, CNI_ADD);
	assert_string_equal(c.id, "c0ffee");
	assert_string_equal(c.ifname, "eth0");
	assert_string_equal(c.pod_ns, "ns");
	assert_string_equal(c.pod, "pod");
	assert_string_equal(c.pod_uid, "u");
	assert_string_equal(c.network, "net");
	assert_string_equal(c.socket, CNI_SOCKET);
	assert_string_equal(c.data_dir, CNI_DATA_DIR);
	assert_int_equal(c.version, CNI_1_0_0);
	assert_int_equal(c.mtu, 1400);
	assert_int_equal(c.wait_ms, CNI_WAIT_MS);
	assert_true(c.pin && c.has_mac && c.prev);
	assert_int_equal(c.mac[1], 0xab);
	assert_int_equal(c.nips, 2);
	assert_int_equal(c.ips[1].family, IP_V6);
	cni_call_free(&c);
}

static void who_says_the_address(void **state)
{
	static const char *const confs[] = {"{\"cniVersion\":\"1.1.0\",\"name\":\"n\"}",
		"{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"args\":{\"cni\":{\"ips\":[\"10.0.0.2\"]"
		"}}}",
		"{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"args\":{\"cni\":{\"ips\":[\"10.0.0.2\"]"
		"}},"
		"\"runtimeConfig\":{\"ips\":[\"10.0.0.3\"]}}",
		"{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"runtimeConfig\":{\"ips\":[]}}"};
	static const uint8_t last[] = {1, 2, 3, 1};
	struct cni_env env = env_add;
	struct cni_call c;

	env.args = "IP=10.0.0.1";
	for (int i = 0; i < 4; i++) {
		assert_int_equal(parse(&env, confs[i], &c), 0);
		assert_int_equal(c.nips, 1);
		assert_int_equal(c.ips[0].b[3], last[i]);
		cni_call_free(&c);
	}
}

/* Cut anywhere it is error 6; flipped anywhere it is some error or a call, and memory stays whole. */
static void cut_and_flipped(void **state)
{
	struct cni_call c;
	char *text = strdup(CONF);
	size_t len = strlen(text);

	for (size_t n = 0; n < len; n++) {
		struct cni_error e = {0};
		char *exact = malloc(n ? n : 1);

		memset(&c, 0, sizeof(c));
		memcpy(exact, text, n);
		assert_int_equal(cni_parse(&env_add, exact, n, &c, &e), ERR_REFUSED);
		assert_int_equal(e.code, CNI_E_DECODE);
		cni_call_free(&c);
		free(exact);
	}
	for (size_t bit = 0; bit < len * 8; bit++) {
		struct cni_error e = {0};
		uint8_t mac[6];
		struct pfx ips[4];
		json_t *j;

		text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
		memset(&c, 0, sizeof(c));
		if (cni_parse(&env_add, text, len, &c, &e) == 0 && c.prev)
			assert_in_range(cni_result_ips(c.prev, "eth0", ips, 4, mac) + 1, 0, 5);
		j = cni_result_error(&c, &e);
		assert_non_null(j);
		json_decref(j);
		cni_call_free(&c);
		text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
	}
	free(text);
}

static void arguments(void **state)
{
	static const struct {
		const char *args;
		int code;
	} rows[] = {{"", 0}, {";;", 0}, {"A=1", 0}, {"A=1;", 0}, {"A=", 0}, {"A", 4}, {"=1", 4},
		{"A=1;B", 4}, {"IP=10.0.0.1,10.0.0.2", 4}, {"MAC=02:00:00:00:00:0", 4},
		{"MAC=02:00:00:00:00:001", 4}, {"MAC=ff:ff:ff:ff:ff:ff", 4},
		{"MAC=00:00:00:00:00:00", 4}};
	struct cni_env env = env_add;
	struct cni_call c;
	char longer[2000];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		env.args = rows[i].args;
		assert_int_equal(
			parse(&env, "{\"cniVersion\":\"1.1.0\",\"name\":\"n\"}", &c), rows[i].code);
		cni_call_free(&c);
	}
	memset(longer, 'x', sizeof(longer));
	memcpy(longer, "K8S_POD_NAME=", 13);
	longer[sizeof(longer) - 1] = '\0';
	env.args = longer; /* of no use to the network: cut */
	assert_int_equal(parse(&env, "{\"cniVersion\":\"1.1.0\",\"name\":\"n\"}", &c), 0);
	assert_int_equal(strlen(c.pod), IPAM_POD_MAX);
	cni_call_free(&c);
}

static void prev_result_ips(void **state)
{
	struct cni_call c;
	struct pfx ips[4];
	uint8_t mac[6];

	assert_int_equal(parse(&env_add, CONF, &c), 0);
	assert_int_equal(cni_result_ips(c.prev, "eth0", ips, 4, mac), 1);
	assert_int_equal(ips[0].ip.b[3], 5);
	assert_int_equal(mac[5], 7);
	assert_int_equal(cni_result_ips(c.prev, "eth1", ips, 4, mac), -1);
	assert_int_equal(cni_result_ips(c.prev, "eth0", ips, 0, mac), 0);
	cni_call_free(&c);
}

static void names(void **state)
{
	struct ipam_att a = {0}, b = {0};
	char x[IFNAMSIZ], y[IFNAMSIZ], alias[NL_ALIAS_MAX + 1];
	uint8_t mac[NL_MAC_BYTES];

	cni_link_name("c0ffee", "eth0", x);
	cni_link_name("c0ffee", "eth1", y);
	assert_int_equal(strlen(x), IFNAMSIZ - 1);
	assert_string_not_equal(x, y);
	/* A later version must find what this one made. */
	assert_string_equal(x, "wpod6tdhnoefjw6");
	cni_link_pod_mac("c0ffee", "eth0", mac);
	assert_int_equal(mac[0] & 3, 2);
	/* The longest of everything fits, and is read back. */
	memset(a.network, 'n', IPAM_NETWORK_MAX);
	memset(a.id, 'i', IPAM_ID_MAX);
	memset(a.ifname, 'f', IPAM_IFNAME_MAX);
	cni_look_alias(&a, alias);
	assert_true(cni_look_parse_alias(alias, &b));
	assert_string_equal(a.network, b.network);
	assert_string_equal(a.id, b.id);
	assert_string_equal(a.ifname, b.ifname);
	assert_false(cni_look_parse_alias("weft", &b));
	assert_false(cni_look_parse_alias("weft-pod ", &b));
	assert_false(cni_look_parse_alias("weft-pod a b", &b));
	assert_false(cni_look_parse_alias("weft-pod a b c d", &b));
	strcat(alias, "x");
	assert_false(cni_look_parse_alias(alias, &b));
}

/* The first error stays; text that is too long is cut. */
static void errors(void **state)
{
	struct cni_error e = {0};
	struct cni_call c = {0};
	json_t *j;

	assert_int_equal(cni_fail(&e, 7, "first"), ERR_REFUSED);
	(void)cni_fail(&e, 11, "second");
	for (int i = 0; i < 200; i++)
		cni_detail(&e, "detail %d", i);
	assert_int_equal(e.code, 7);
	j = cni_result_error(&c, &e);
	assert_string_equal(json_string_value(json_object_get(j, "msg")), "first");
	assert_string_equal(json_string_value(json_object_get(j, "cniVersion")), "1.1.0");
	json_decref(j);
	/* Text that is no UTF-8 is told all the same. */
	e = (struct cni_error){0};
	(void)cni_fail(&e, 4, "no verb '%s'", "\xb8\x10");
	cni_detail(&e, "%s", "\xff");
	j = cni_result_error(&c, &e);
	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "msg")), "no verb '?\?'");
	assert_string_equal(json_string_value(json_object_get(j, "details")), "?");
	json_decref(j);
}

/* --- no memory --- */

static unsigned jansson_left; /* allocations that jansson may still make, 0: all */

static void *jansson_malloc(size_t n)
{
	if (jansson_left > 0 && --jansson_left == 0)
		return NULL;
	return malloc(n);
}

/* One call whose answer is looked at: it is the right one, or an error, or, with no memory even for
 * that, nothing and a status that says so. */
static void starve(const struct cni_env *env, const char *text, int code)
{
	char out[4096] = "";
	FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r"),
	     *to = fmemopen(out, sizeof(out), "w"), *log = fopen("/dev/null", "w");
	int rc = cni_main(env, in, to, log);
	unsigned left = jansson_left;
	json_t *j;

	(void)fclose(in);
	(void)fclose(to);
	(void)fclose(log);
	jansson_left = 0;
	j = json_loads(out, 0, NULL);
	if (j && rc != 0)
		assert_true(json_integer_value(json_object_get(j, "code")) == code ||
			    json_integer_value(json_object_get(j, "code")) == CNI_E_INTERNAL ||
			    json_integer_value(json_object_get(j, "code")) == CNI_E_DECODE);
	assert_true(j || rc != 0);
	json_decref(j);
	jansson_left = left;
}

static void no_memory(void **state)
{
	static const struct cni_env status = {.command = "STATUS", .path = "/opt"},
				    version = {.command = "VERSION"};
	const char *text = "{\"cniVersion\":\"1.1.0\",\"name\":\"net\",\"socket\":\"/nowhere\"}";
	unsigned n;

	(void)state;
	FAULT_EACH(k)
	{
		starve(&version, text, 0);
		(void)k;
	}
	FAULT_EACH(k)
	{
		starve(&status, text, CNI_E_NOT_READY);
		(void)k;
	}
	json_set_alloc_funcs(jansson_malloc, free);
	for (n = 1; n < 1000; n++) {
		jansson_left = n;
		starve(&status, text, CNI_E_NOT_READY);
		if (jansson_left > 1)
			break; /* it came through with some to spare */
	}
	assert_true(n > 5 && n < 1000);
	jansson_left = 0;
	json_set_alloc_funcs(malloc, free);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything),
		cmocka_unit_test(who_says_the_address),
		cmocka_unit_test(cut_and_flipped),
		cmocka_unit_test(arguments),
		cmocka_unit_test(prev_result_ips),
		cmocka_unit_test(names),
		cmocka_unit_test(errors),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
