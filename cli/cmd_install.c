/* `weft install`: what puts weft onto other machines. kubernetes prints the manifests of deploy/k8s/weft.yaml, which
 * the build put into this program (manifest_weft), with other values in the places of its own; removal those of
 * weft-remove.yaml; cni puts the plugin into a directory, by rename, so that a runtime never starts half a file. None needs
 * a daemon. `weft install undo` is in cmd_undo.c. */
#include "cli.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "file.h"
#include "manifest.h"
#include "weft/addr.h"
#include "weft/err.h"

#define PLUGIN_MODE      0755
#define PLUGIN_MAX_BYTES (64 * 1024 * 1024)
#define RANGES_MAX       16
#define TEXT_MAX         1024

/* A value of the manifests that may be another. */
struct place {
	const char *from;
	char to[TEXT_MAX];
};
enum { P_IMAGE, P_NAMESPACE, P_CONFIG, P_CNI, P_SURGE, P_UNAVAILABLE, P_COUNT };

struct plan {
	struct place places[P_COUNT];
	char ranges[TEXT_MAX]; /* "" or CIDRs with ", " between */
	char claims[128];      /* "" or "auto/24, auto/64" */
	unsigned long claim[2];
	struct pfx range[RANGES_MAX];
	size_t nranges;
};

static bool of(const char *v, const char *chars, size_t max)
{
	size_t n = strlen(v);

	return n > 0 && n <= max && strspn(v, chars) == n;
}

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789"

/* What stands in YAML without quotes and is an image's name. */
static bool take_image(struct plan *p, const char *v)
{
	if (!of(v, LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ._/:@-", 512) || !strchr(LOWER, v[0]) ||
		!strchr(LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ", v[strlen(v) - 1]))
		return false;
	(void)snprintf(p->places[P_IMAGE].to, TEXT_MAX, "%s", v);
	return true;
}

static bool take_namespace(struct plan *p, const char *v)
{
	if (!of(v, LOWER "-", 63) || v[0] == '-' || v[strlen(v) - 1] == '-')
		return false;
	(void)snprintf(p->places[P_NAMESPACE].to, TEXT_MAX, "%s", v);
	return true;
}

static bool take_ranges(struct plan *p, const char *v)
{
	char text[TEXT_MAX], one_text[PFX_STRLEN], *save = NULL;
	size_t n = 0, count = 0;

	if (!*v || (size_t)snprintf(text, sizeof(text), "%s", v) >= sizeof(text))
		return false;
	p->ranges[0] = '\0';
	for (char *one = strtok_r(text, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		struct pfx x;

		if (pfx_parse(one, &x) != 0 || x.len == 0 || count == RANGES_MAX)
			return false;
		p->range[count++] = x;
		n += (size_t)snprintf(p->ranges + n, sizeof(p->ranges) - n, "%s%s", n ? ", " : "",
			pfx_fmt(&x, one_text));
	}
	p->nranges = count;
	return count > 0;
}

/* "24" or "24,64": a block of each length is claimed by a node that has no pod CIDR. */
static bool take_claim(struct plan *p, const char *v)
{
	char *end;
	unsigned long v4 = strtoul(v, &end, 10), v6 = 0;

	if (*v < '0' || *v > '9')
		return false;
	if (*end == ',') {
		if (end[1] < '0' || end[1] > '9')
			return false;
		v6 = strtoul(end + 1, &end, 10);
		if (v6 < 8 || v6 > 126)
			return false;
	}
	if (*end || v4 < 8 || v4 > 126)
		return false;
	p->claim[0] = v4;
	p->claim[1] = v6;
	(void)snprintf(
		p->claims, sizeof(p->claims), v6 ? "auto/%lu, auto/%lu" : "auto/%lu", v4, v6);
	return true;
}

/* Runtimes before containerd 1.6 know 0.4.0; GC and STATUS came with 1.1.0. */
static bool take_cni(struct plan *p, const char *v)
{
	if (strcmp(v, "0.4.0") != 0 && strcmp(v, "1.0.0") != 0 && strcmp(v, "1.1.0") != 0)
		return false;
	(void)snprintf(p->places[P_CNI].to, TEXT_MAX, "\"cniVersion\": \"%s\"", v);
	return true;
}

static bool take_surge(struct plan *p, const char *v)
{
	if (strcmp(v, "0") != 0)
		return strcmp(v, "1") == 0;
	/* not "maxSurge: 0": what has no surge doesn't know the word */
	p->places[P_SURGE].to[0] = '\0';
	(void)snprintf(p->places[P_UNAVAILABLE].to, TEXT_MAX, "maxUnavailable: 1");
	return true;
}

static const struct {
	const char *name, *allowed;
	bool (*take)(struct plan *p, const char *v);
} options[] = {
	{"--image", "an image's name, such as registry.example.net/weft:0.1.0", take_image},
	{"--namespace", "1 to 63 of a-z, 0-9 and '-', a letter or digit first and last",
		take_namespace},
	{"--cluster-range", "CIDRs, with commas between, such as 10.244.0.0/16,fd00:244::/56",
		take_ranges},
	{"--claim", "prefix lengths, IPv4 or IPv4,IPv6, such as 24 or 24,64", take_claim},
	{"--cni-version", "0.4.0, 1.0.0 or 1.1.0", take_cni},
	{"--max-surge", "0 or 1", take_surge},
};
#define OPTIONS_OF_REMOVAL 1 /* the first of them */

static void plan_init(struct plan *p)
{
	static const char *const defaults[P_COUNT] = {
		[P_IMAGE] = ("localhost/weft:" WEFT_VERSION),
		[P_NAMESPACE] = "weft-system",
		[P_CONFIG] = "cluster-range: [10.244.0.0/16]\n",
		[P_CNI] = "\"cniVersion\": \"1.0.0\"",
		[P_SURGE] = "      maxSurge: 1\n",
		[P_UNAVAILABLE] = "maxUnavailable: 0",
	};

	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < P_COUNT; i++) {
		p->places[i].from = defaults[i];
		(void)snprintf(p->places[i].to, TEXT_MAX, "%s", defaults[i]);
	}
	(void)take_ranges(p, "10.244.0.0/16");
}

/* @n: the first so many of them are known. */
static int unknown_option(struct cli *c, const char *what, size_t n)
{
	char names[256] = "";

	for (size_t k = 0; k < n; k++)
		(void)snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s",
			k ? ", " : "", options[k].name);
	return cli_fail(c, CLI_USAGE, "no option '%s'; there is %s", what, names);
}

static int take_options(struct cli *c, int argc, char **argv, size_t count, struct plan *p)
{
	for (int i = 0; i < argc; i++) {
		bool known = false;

		for (size_t k = 0; k < count && !known; k++) {
			size_t n = strlen(options[k].name);
			const char *v = NULL;

			if (strncmp(argv[i], options[k].name, n) != 0 ||
				(argv[i][n] != '=' && argv[i][n] != '\0'))
				continue;
			known = true;
			if (argv[i][n] == '=')
				v = argv[i] + n + 1;
			else if (i + 1 < argc)
				v = argv[++i];
			if (!v || !options[k].take(p, v))
				return cli_fail(c, CLI_USAGE, "%s %s; allowed: %s", options[k].name,
					v ? v : "needs a value", options[k].allowed);
		}
		if (!known)
			return unknown_option(c, argv[i], count);
	}
	return CLI_FINE;
}

/* The manifests, each place's text replaced wherever it stands. */
static int print_manifest(FILE *f, const unsigned char *manifest, size_t len, const struct plan *p)
{
	const char *text = (const char *)manifest, *end = text + len;

	while (text < end) {
		const struct place *at = NULL;

		for (size_t i = 0; i < P_COUNT && !at; i++) {
			size_t n = strlen(p->places[i].from);

			if ((size_t)(end - text) >= n && memcmp(text, p->places[i].from, n) == 0)
				at = &p->places[i];
		}
		if (at ? fputs(at->to, f) == EOF : fputc(*text, f) == EOF)
			return -EIO;
		text += at ? strlen(at->from) : 1;
	}
	return fflush(f) == 0 ? 0 : -EIO;
}

/* A block that is no part of any range would end weftd on every node. 0: there is none such. */
static unsigned long claim_without_range(const struct plan *p)
{
	for (size_t i = 0; i < 2; i++) {
		bool fits = p->claim[i] == 0;

		for (size_t k = 0; k < p->nranges; k++)
			fits |= p->claim[i] >= p->range[k].len &&
				p->claim[i] < ip_bits(&p->range[k].ip);
		if (!fits)
			return p->claim[i];
	}
	return 0;
}

int cmd_install_kubernetes(struct cli *c, int argc, char **argv)
{
	struct plan p;
	int err;

	plan_init(&p);
	if (take_options(c, argc, argv, sizeof(options) / sizeof(options[0]), &p) != CLI_FINE)
		return CLI_USAGE;
	if (claim_without_range(&p))
		return cli_fail(c, CLI_USAGE,
			"--claim %lu: no range of %s has blocks of that length",
			claim_without_range(&p), p.ranges);
	(void)snprintf(p.places[P_CONFIG].to, TEXT_MAX, "cluster-range: [%.800s]\n%s%s%s", p.ranges,
		p.claims[0] ? "    prefix: [" : "", p.claims, p.claims[0] ? "]\n" : "");
	err = print_manifest(c->out, manifest_weft, manifest_weft_len, &p);
	if (err)
		return cli_fail(c, CLI_BAD, "output: %s", err_str(err));
	/* The pods wait for it without a word that is easy to find. */
	(void)fprintf(c->err,
		"weft: the pods wait for the cluster's secret, which is made once:\n"
		"  weft key new | kubectl -n %s create secret generic weft "
		"--from-file=secret=/dev/stdin\n",
		p.places[P_NAMESPACE].to);
	return CLI_FINE;
}

int cmd_install_removal(struct cli *c, int argc, char **argv)
{
	struct plan p;
	int err;

	plan_init(&p);
	if (take_options(c, argc, argv, OPTIONS_OF_REMOVAL, &p) != CLI_FINE)
		return CLI_USAGE;
	err = print_manifest(c->out, manifest_remove, manifest_remove_len, &p);
	return err ? cli_fail(c, CLI_BAD, "output: %s", err_str(err)) : CLI_FINE;
}

/* The plugin that belongs to this program: ../lib/cni beside it, or, where it was built, cni/ in it. */
static bool find_plugin(char *out, size_t cap)
{
	static const char *const places[] = {"../lib/cni/weft-cni", "cni/weft-cni"};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return false;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return false;
	*slash = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if ((size_t)snprintf(out, cap, "%s/%s", self, places[i]) < cap &&
			access(out, R_OK) == 0)
			return true;
	return false;
}

int cmd_install_cni(struct cli *c, int argc, char **argv)
{
	char from[PATH_MAX + 64], to[PATH_MAX];
	char *bytes;
	size_t len;
	int err;

	if (argc < 1 || argc > 2 || argv[0][0] == '-')
		return cli_fail(c, CLI_USAGE, "weft install cni DIR [FILE]");
	if (argc == 2)
		(void)snprintf(from, sizeof(from), "%s", argv[1]);
	else if (!find_plugin(from, sizeof(from)))
		return cli_fail(c, CLI_BAD, "there is no weft-cni beside this program; name it");
	if ((size_t)snprintf(to, sizeof(to), "%s/weft-cni", argv[0]) >= sizeof(to))
		return cli_fail(c, CLI_USAGE, "%s is too long", argv[0]);
	err = file_read(from, PLUGIN_MAX_BYTES, &bytes, &len);
	if (err)
		return cli_fail(c, CLI_BAD, "%s: %s", from, err_str(err));
	err = file_write_atomic(to, bytes, len, PLUGIN_MODE);
	free(bytes);
	if (err)
		return cli_fail(c, CLI_BAD, "%s: %s", to, err_str(err));
	struct out *o = out_new(c->out, false);
	if (o)
		out_text(o, "%s is installed", to);
	return out_end(o) ? CLI_BAD : CLI_FINE;
}
