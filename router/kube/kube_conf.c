/* kube_conf.c - one table makes flags, help and errors. */
#include "kube_conf.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "weft/wire.h"

#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount/"

static bool take_node(struct kube_conf *c, const char *v)
{
	size_t n = strlen(v);

	if (n == 0 || n > 63 || strspn(v, "abcdefghijklmnopqrstuvwxyz0123456789-.") != n)
		return false;
	memcpy(c->node, v, n + 1);
	return true;
}

/* https://HOST[:PORT], a slash behind it at most. The token goes nowhere without TLS. */
static bool take_api(struct kube_conf *c, const char *v)
{
	size_t n = strlen(v);

	if (strncmp(v, "https://", 8) != 0 || n >= sizeof(c->api))
		return false;
	if (v[n - 1] == '/')
		n--;
	if (n <= 8 || strcspn(v + 8, "/?#@ \\\"") < n - 8)
		return false;
	memcpy(c->api, v, n);
	c->api[n] = '\0';
	return true;
}

static bool take_path(char out[KUBE_PATH_MAX + 1], const char *v)
{
	if (!*v || strlen(v) > KUBE_PATH_MAX)
		return false;
	strcpy(out, v);
	return true;
}

static bool take_token(struct kube_conf *c, const char *v)
{
	return take_path(c->token_file, v);
}

static bool take_ca(struct kube_conf *c, const char *v)
{
	return take_path(c->ca_file, v);
}

static bool take_socket(struct kube_conf *c, const char *v)
{
	return strlen(v) < 108 && take_path(c->socket, v);
}

static bool take_cni_from(struct kube_conf *c, const char *v)
{
	return take_path(c->cni_from, v);
}

static bool take_cni_to(struct kube_conf *c, const char *v)
{
	return take_path(c->cni_to, v);
}

static bool take_port(struct kube_conf *c, const char *v)
{
	char *end;
	unsigned long n = strtoul(v, &end, 10);

	if (*v < '0' || *v > '9' || *end || n == 0 || n > 65535)
		return false;
	c->port = (uint16_t)n;
	return true;
}

static bool take_metrics(struct kube_conf *c, const char *v)
{
	c->metrics_on = strcmp(v, "off") != 0;
	return !c->metrics_on || ep_parse(v, 0, &c->metrics) == 0;
}

static bool take_log_level(struct kube_conf *c, const char *v)
{
	return log_level_parse(v, &c->log_level) == 0;
}

static const struct flag {
	const char *name, *arg, *allowed, *preset, *help;
	bool (*take)(struct kube_conf *c, const char *v);
} flags[] = {
	{"--node", "NAME", "a node's name of at most 63 of a-z, 0-9, '-' and '.'", "$NODE_NAME",
		"The Kubernetes node that this is; weftd has the same name.", take_node},
	{"--api", "URL", "https://HOST[:PORT]",
		"https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT", "The API server.",
		take_api},
	{"--token-file", "FILE", "a path of at most 255 bytes", ACCOUNT "token",
		"The bearer token; read again for each request.", take_token},
	{"--ca-file", "FILE", "a path of at most 255 bytes", ACCOUNT "ca.crt",
		"The certificates that the API server is checked against.", take_ca},
	{"--socket", "PATH", "a path of at most 107 bytes", "/run/weft/weft.sock",
		"weftd's control socket.", take_socket},
	{"--port", "N", "1 to 65535", "6793", "weft's UDP port on nodes that don't say theirs.",
		take_port},
	{"--cni-conf-from", "FILE", "a path of at most 255 bytes", "none",
		"The CNI configuration to install once pods can be connected.", take_cni_from},
	{"--cni-conf-to", "FILE", "a path of at most 255 bytes", "none", "Where it is installed.",
		take_cni_to},
	{"--metrics", "ADDR:PORT", "an address and a TCP port, or off", "127.0.0.1:6795",
		"Where /healthz, /readyz and /metrics are served.", take_metrics},
	{"--log-level", "LEVEL", "error, warn, info or debug", "info", "How much is logged.",
		take_log_level},
};

static void presets(struct kube_conf *c)
{
	memset(c, 0, sizeof(*c));
	c->port = WIRE_DEFAULT_PORT;
	c->log_level = LOG_LVL_INFO;
	(void)take_token(c, ACCOUNT "token");
	(void)take_ca(c, ACCOUNT "ca.crt");
	(void)take_socket(c, "/run/weft/weft.sock");
	(void)take_metrics(c, "127.0.0.1:6795");
}

static int bad(char *err, size_t err_len, const char *what, const char *value, const char *allowed)
{
	(void)snprintf(err, err_len, "%s %s; allowed: %s", what, value, allowed);
	return ERR_CONFIG;
}

/* "--flag VALUE" or "--flag=VALUE" at *@i. */
static int take_flag(int argc, char **argv, int *i, struct kube_conf *c, char *err, size_t err_len)
{
	const char *arg = argv[*i];

	for (size_t k = 0; k < sizeof(flags) / sizeof(flags[0]); k++) {
		const struct flag *f = &flags[k];
		size_t n = strlen(f->name);
		const char *value = NULL;

		if (strncmp(arg, f->name, n) != 0 || (arg[n] != '\0' && arg[n] != '='))
			continue;
		if (arg[n] == '=')
			value = arg + n + 1;
		else if (*i + 1 < argc)
			value = argv[++*i];
		if (!value)
			return bad(err, err_len, f->name, "needs a value", f->allowed);
		return f->take(c, value) ? 0 : bad(err, err_len, f->name, value, f->allowed);
	}
	return bad(err, err_len, "no flag", arg, "see --help");
}

static const char *process_env(const char *name)
{
	return getenv(name);
}

/* What the pod's environment says, for what the flags left out. */
static int from_env(
	const char *(*env)(const char *), struct kube_conf *c, char *err, size_t err_len)
{
	const char *host = env("KUBERNETES_SERVICE_HOST"), *port = env("KUBERNETES_SERVICE_PORT");
	const char *node = env("NODE_NAME");
	char url[KUBE_URL_MAX + 1];

	if (!c->node[0]) {
		if (!node)
			return bad(err, err_len, "--node", "is needed, or NODE_NAME",
				flags[0].allowed);
		if (!take_node(c, node))
			return bad(err, err_len, "NODE_NAME", node, flags[0].allowed);
	}
	if (c->api[0])
		return 0;
	if (!host || !port)
		return bad(err, err_len, "--api", "is needed, or KUBERNETES_SERVICE_HOST and _PORT",
			flags[1].allowed);
	bool v6 = strchr(host, ':') != NULL;
	int n = snprintf(
		url, sizeof(url), "https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
	if (n < 0 || (size_t)n >= sizeof(url) || !take_api(c, url))
		return bad(err, err_len, "KUBERNETES_SERVICE_HOST", host, "a host and a port");
	return 0;
}

int kube_conf_read(int argc, char **argv, const char *(*env)(const char *name),
	struct kube_conf *out, char *err, size_t err_len)
{
	int e;

	presets(out);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			out->help = true;
			return 0;
		}
		if (strcmp(argv[i], "--version") == 0) {
			out->version = true;
			return 0;
		}
		e = take_flag(argc, argv, &i, out, err, err_len);
		if (e)
			return e;
	}
	if ((out->cni_from[0] != '\0') != (out->cni_to[0] != '\0'))
		return bad(
			err, err_len, "--cni-conf-from", "goes with --cni-conf-to", "both or none");
	return from_env(env ? env : process_env, out, err, err_len);
}

void kube_conf_help(FILE *f)
{
	fprintf(f, "Usage: weft-kube [FLAG]...\n"
		   "Watches the nodes of a Kubernetes cluster for weftd on this host.\n\n");
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		fprintf(f, "  %s %s\n      %s\n      Allowed: %s. Default: %s.\n", flags[i].name,
			flags[i].arg, flags[i].help, flags[i].allowed, flags[i].preset);
	fprintf(f, "  --help\n  --version\n");
}
