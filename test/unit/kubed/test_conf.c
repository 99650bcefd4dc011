/* weft-kube's flags and environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kube_conf.h"
#include "weft/err.h"

static const char *const pod_env[] = {"KUBERNETES_SERVICE_HOST", "10.96.0.1",
	"KUBERNETES_SERVICE_PORT", "443", "NODE_NAME", "node-1", NULL};
static const char *const *env_now;

static const char *get(const char *name)
{
	for (size_t i = 0; env_now && env_now[i]; i += 2)
		if (strcmp(env_now[i], name) == 0)
			return env_now[i + 1];
	return NULL;
}

/* Reads "FLAG FLAG ..."; the error's text in @err. */
static int conf_of(const char *line, struct kube_conf *c, char *err, size_t err_len)
{
	static char program[] = "weft-kube";
	char text[2048], *argv[32] = {program}, *save = NULL;
	int argc = 1;

	(void)snprintf(text, sizeof(text), "%s", line);
	for (char *w = strtok_r(text, " ", &save); w && argc < 31; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	err[0] = '\0';
	return kube_conf_read(argc, argv, get, c, err, err_len);
}

static void in_a_pod(void **state)
{
	struct kube_conf c;
	char err[256], at[EP_STRLEN];

	env_now = pod_env;
	assert_int_equal(conf_of("", &c, err, sizeof(err)), 0);
	assert_string_equal(c.node, "node-1");
	assert_string_equal(c.api, "https://10.96.0.1:443");
	assert_string_equal(c.socket, "/run/weft/weft.sock");
	assert_string_equal(c.token_file, "/var/run/secrets/kubernetes.io/serviceaccount/token");
	assert_int_equal(c.port, 6793);
	assert_true(c.metrics_on);
	assert_string_equal(ep_fmt(&c.metrics, at), "127.0.0.1:6795");
	assert_string_equal(c.cni_to, "");

	static const char *const v6[] = {"KUBERNETES_SERVICE_HOST", "fd00::1",
		"KUBERNETES_SERVICE_PORT", "443", "NODE_NAME", "n", NULL};
	env_now = v6;
	assert_int_equal(conf_of("", &c, err, sizeof(err)), 0);
	assert_string_equal(c.api, "https://[fd00::1]:443");
}

static void flags(void **state)
{
	struct kube_conf c;
	char err[256];

	env_now = NULL;
	assert_int_equal(
		conf_of("--node=a --api https://api.example:6443/ --token-file /t --ca-file /c "
			"--socket /s --port 7000 --cni-conf-from /a --cni-conf-to=/b --metrics off "
			"--log-level debug",
			&c, err, sizeof(err)),
		0);
	assert_string_equal(c.api, "https://api.example:6443");
	assert_string_equal(c.cni_from, "/a");
	assert_string_equal(c.cni_to, "/b");
	assert_int_equal(c.port, 7000);
	assert_false(c.metrics_on);
	assert_int_equal(c.log_level, LOG_LVL_DEBUG);
	assert_int_equal(conf_of("--help", &c, err, sizeof(err)), 0);
	assert_true(c.help);
	assert_int_equal(conf_of("--version --nonsense", &c, err, sizeof(err)), 0);
	assert_true(c.version);
}

static void refused(void **state)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{"--nonsense", "no flag --nonsense"},
		{"word", "no flag word"},
		{"--no", "no flag --no"},
		{"--nodes=a", "no flag --nodes=a"},
		{"--node", "--node needs a value"},
		{"--node A", "--node A; allowed: a node's name"},
		{"--node=", "allowed"},
		{"--node a/b", "allowed"},
		{"--api http://api.example", "--api http://api.example; allowed: https://"},
		{"--api https://", "allowed"},
		{"--api https:///", "allowed"},
		{"--api https://a/path", "allowed"},
		{"--api https://user@a", "allowed"},
		{"--api https://a?x", "allowed"},
		{"--port 0", "allowed: 1 to 65535"},
		{"--port 65536", "allowed"},
		{"--port 7x", "allowed"},
		{"--port -1", "allowed"},
		{"--metrics x", "allowed"},
		{"--metrics 127.0.0.1", "allowed"},
		{"--log-level loud", "allowed: error"},
		{"--socket "
		 "/0123456789012345678901234567890123456789012345678901234567890123456789012345678"
		 "901234567890123456789012345678",
			"allowed"},
		{"--cni-conf-from /a", "goes with --cni-conf-to"},
		{"--cni-conf-to /a", "goes with"},
	};
	struct kube_conf c;
	char err[512];

	env_now = pod_env;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (conf_of(cases[i].line, &c, err, sizeof(err)) != ERR_CONFIG ||
			!strstr(err, cases[i].says))
			fail_msg("%s: %s", cases[i].line, err);
	env_now = NULL;
	assert_int_equal(conf_of("", &c, err, sizeof(err)), ERR_CONFIG);
	assert_non_null(strstr(err, "NODE_NAME"));
	assert_int_equal(conf_of("--node a", &c, err, sizeof(err)), ERR_CONFIG);
	assert_non_null(strstr(err, "KUBERNETES_SERVICE_HOST"));
	static const char *const bad[] = {"KUBERNETES_SERVICE_HOST", "a/b",
		"KUBERNETES_SERVICE_PORT", "443", "NODE_NAME", "UPPER", NULL};
	env_now = bad;
	assert_int_equal(conf_of("", &c, err, sizeof(err)), ERR_CONFIG);
	assert_int_equal(conf_of("--node a", &c, err, sizeof(err)), ERR_CONFIG);
}

/* Each flag is in the help with what is allowed. */
static void help(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	kube_conf_help(f);
	(void)fclose(f);
	assert_non_null(strstr(text, "--node NAME"));
	assert_non_null(strstr(text, "--cni-conf-to FILE"));
	assert_non_null(strstr(text, "Allowed: 1 to 65535. Default: 6793."));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_a_pod),
		cmocka_unit_test(flags),
		cmocka_unit_test(refused),
		cmocka_unit_test(help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
