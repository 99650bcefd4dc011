/* Configuration: argv and one YAML file become a struct conf, or lines that say what is wrong.
 *
 * Parts: conf_schema.c (the table: every flag and key once), conf_value.c (parsers of single
 * values), conf_yaml.c (the file), conf_check.c (what no single value shows), conf_text.c (--help
 * and the man pages), this file (flags, the order of things, errors, memory).
 *
 * Data in: argv, and the file that --config names, at most LIM_CONFIG_BYTES. The file may be
 * anything; whoever writes it has root, so it is not hostile, but it is often wrong. Data out:
 * struct conf.
 *
 * Order: defaults, the file, the flags (a flag wins; the first flag of a list empties what the file
 * gave), then the checks across keys. All errors that can be found are told at once, one line each,
 * as many as the caller's buffer holds.
 *
 * Bounds: CONF_LIST_MAX entries of a list, LIM_SEGMENTS segments, depth of YAML in conf_yaml.c.
 * Failure: the struct is freed and zeroed. */
#include "conf_bgp.h"
#include "conf_schema.h"

#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "weft/err.h"
#include "weft/wire.h"

/* --- errors --- */

char *conf_show(const char *text, char out[CONF_SHOWN])
{
	size_t n = 0;

	/* a secret pasted where a path belongs must not reach a log */
	if (strncmp(text, "weft1-", 6) == 0)
		text = "weft1-...";
	for (; text[n] && n < CONF_SHOWN - 4; n++)
		out[n] = isprint((unsigned char)text[n]) ? text[n] : '?';
	strcpy(out + n, text[n] ? "..." : "");
	return out;
}

static void append(struct conf_load *l, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
static void append(struct conf_load *l, const char *fmt, va_list ap)
{
	if (l->err_used + 1 >= l->err_len)
		return;
	int n = vsnprintf(l->err + l->err_used, l->err_len - l->err_used, fmt, ap);
	assert(n >= 0);
	l->err_used += (size_t)n;
	if (l->err_used >= l->err_len)
		l->err_used = l->err_len - 1;
}

static void appendf(struct conf_load *l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void appendf(struct conf_load *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	append(l, fmt, ap);
	va_end(ap);
}

void conf_error(struct conf_load *l, unsigned line, const char *key, const char *allowed,
	const char *fmt, ...)
{
	va_list ap;

	if (l->errors++ > 0)
		appendf(l, "\n");
	if (line > 0)
		appendf(l, "%s:%u: ", l->file, line);
	else if (!key)
		appendf(l, "%s: ", l->file);
	if (key)
		appendf(l, "%s%s: ", line > 0 ? "" : "--", key);
	va_start(ap, fmt);
	append(l, fmt, ap);
	va_end(ap);
	if (allowed)
		appendf(l, "; allowed: %s", allowed);
}

/* --- storing values --- */

void *conf_grow(void *array, size_t n, size_t size)
{
	/* lists are short and loaded once: growing by one keeps the code plain */
	char *p = realloc(array, (n + 1) * size);

	if (p)
		memset(p + n * size, 0, size);
	return p;
}

/* The pointer and count of a list inside struct conf, whatever its elements are. */
static void *list_get(const struct conf *c, const struct conf_key *k, size_t *n)
{
	void *array;

	memcpy(&array, (const char *)c + k->off, sizeof(array));
	memcpy(n, (const char *)c + k->count_off, sizeof(*n));
	return array;
}

static void list_put(struct conf *c, const struct conf_key *k, void *array, size_t n)
{
	memcpy((char *)c + k->off, &array, sizeof(array));
	memcpy((char *)c + k->count_off, &n, sizeof(n));
}

void conf_clear_list(struct conf_load *l, enum conf_id id)
{
	size_t n;

	free(list_get(l->c, &conf_keys[id], &n));
	list_put(l->c, &conf_keys[id], NULL, 0);
}

static void set_list(struct conf_load *l, enum conf_id id, const char *text, unsigned line)
{
	const struct conf_key *k = &conf_keys[id];
	char why[CONF_WHY], shown[CONF_SHOWN];
	size_t n;
	void *array = list_get(l->c, k, &n);

	if (n == CONF_LIST_MAX) {
		conf_error(l, line, k->name, NULL, "more than %d entries", CONF_LIST_MAX);
		return;
	}
	void *grown = conf_grow(array, n, k->size);
	if (!grown) {
		l->no_memory = true;
		return;
	}
	bool ok = k->parse(text, (char *)grown + n * k->size, why) == 0;
	list_put(l->c, k, grown, ok ? n + 1 : n);
	if (ok)
		l->line[id][n] = line;
	else
		conf_error(l, line, k->name, k->allowed, "'%s' %s", conf_show(text, shown), why);
}

void conf_set(struct conf_load *l, enum conf_id id, const char *text, unsigned line)
{
	const struct conf_key *k = &conf_keys[id];
	char why[CONF_WHY], shown[CONF_SHOWN];

	if (k->kind != CONF_ACTION && text[0] == '\0') {
		conf_error(l, line, k->name, k->allowed, "no value");
	} else if (k->kind == CONF_LIST) {
		set_list(l, id, text, line);
	} else {
		l->line[id][0] = line;
		if (k->parse(text, (char *)l->c + k->off, why) != 0)
			conf_error(l, line, k->name, k->allowed, "'%s' %s", conf_show(text, shown),
				why);
	}
}

unsigned conf_list_line(const struct conf_load *l, enum conf_id id, size_t i)
{
	return i < CONF_LIST_MAX ? l->line[id][i] : 0;
}

/* --- flags --- */

static void no_flag(struct conf_load *l, const char *arg)
{
	const char *file = l->file;
	char shown[CONF_SHOWN];

	l->file = "weftd"; /* the message is about the command, not about the file */
	conf_error(l, 0, NULL, "flags, each with two dashes; see weftd --help", "'%s' is no flag",
		conf_show(arg, shown));
	l->file = file;
}

/* Split "--key=value" or "--key value" at argv[*i]; steps past a value of its own. */
static void take_flag(struct conf_load *l, int argc, char **argv, int *i, bool seen[CONF_NKEYS])
{
	const char *arg = argv[*i], *eq = strchr(arg, '='), *value = eq ? eq + 1 : NULL;
	char name[64], shown[CONF_SHOWN];
	size_t len = strncmp(arg, "--", 2) != 0 ? 0 : eq ? (size_t)(eq - arg - 2) : strlen(arg + 2);

	if (len == 0) {
		no_flag(l, arg);
		return;
	}
	(void)snprintf(name, sizeof(name), "%.*s", (int)(len < 63 ? len : 63), arg + 2);
	enum conf_id id = conf_find(name, CONF_FLAG);
	if (id == CONF_NONE) {
		const char *near = conf_nearest(name, CONF_FLAG);

		if (conf_find(name, CONF_YAML) != CONF_NONE)
			conf_error(
				l, 0, name, "a section of the file that --config names", "no flag");
		else if (near)
			conf_error(l, 0, conf_show(name, shown), "see weftd --help",
				"unknown flag, perhaps --%s", near);
		else
			conf_error(
				l, 0, conf_show(name, shown), "see weftd --help", "unknown flag");
		return;
	}
	const struct conf_key *k = &conf_keys[id];
	if (k->kind == CONF_ACTION) {
		if (value)
			conf_error(l, 0, k->name, k->allowed, "takes no value");
		else
			conf_set(l, id, "", 0);
		return;
	}
	if (!value) {
		if (*i + 1 >= argc) {
			conf_error(l, 0, k->name, k->allowed, "no value");
			return;
		}
		value = argv[++*i];
	}
	if (k->kind == CONF_SCALAR && seen[id])
		conf_error(l, 0, k->name, "once", "given twice");
	else if (k->kind == CONF_LIST && !seen[id])
		conf_clear_list(l, id);
	seen[id] = true;
	if (id != CK_CONFIG) /* read before the others */
		conf_set(l, id, value, 0);
}

static void read_flags(struct conf_load *l, int argc, char **argv)
{
	bool seen[CONF_NKEYS] = {false};

	for (int i = 1; i < argc; i++)
		take_flag(l, argc, argv, &i, seen);
}

/* The value of --config, or NULL. A value that belongs to another flag is not taken for it. */
static const char *config_flag(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--config=", 9) == 0)
			return argv[i] + 9;
		if (strcmp(argv[i], "--config") == 0)
			return i + 1 < argc ? argv[i + 1] : NULL;
		if (strncmp(argv[i], "--", 2) == 0 && !strchr(argv[i], '=')) {
			enum conf_id id = conf_find(argv[i] + 2, CONF_FLAG);
			i += id != CONF_NONE && conf_keys[id].kind != CONF_ACTION;
		}
	}
	return NULL;
}

/* --help and --version win over everything that may be wrong beside them. */
static bool asks_for_text(int argc, char **argv, struct conf *c)
{
	for (int i = 1; i < argc; i++) {
		c->help = c->help || strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
		c->version = c->version || strcmp(argv[i], "--version") == 0;
	}
	return c->help || c->version;
}

/* --- the file --- */

static void read_file(struct conf_load *l, const char *path)
{
	char *buf = NULL;
	size_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0) {
		conf_error(l, 0, NULL, NULL, "%s", err_str(-errno));
		return;
	}
	buf = malloc(LIM_CONFIG_BYTES + 1);
	if (!buf) {
		l->no_memory = true;
		goto out;
	}
	for (;;) {
		ssize_t got = read(fd, buf + n, LIM_CONFIG_BYTES + 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			conf_error(l, 0, NULL, NULL, "%s", err_str(-errno));
			goto out;
		}
		if (got == 0)
			break;
		n += (size_t)got;
		if (n > LIM_CONFIG_BYTES) {
			conf_error(l, 0, NULL, "at most 1 MiB", "too large");
			goto out;
		}
	}
	conf_read_yaml(l, buf, n);
out:
	free(buf);
	close(fd);
}

/* --- whole --- */

void conf_defaults(struct conf *c)
{
	char host[256] = "";

	*c = (struct conf){
		.state_dir = "/var/lib/weft",
		.run_dir = "/run/weft",
		.listen = {.ip = {.family = IP_V6}, .port = WIRE_DEFAULT_PORT},
		.tun = "weft0",
		.metrics_on = true,
		.metrics = {.ip = ip_v4(0x7f000001), .port = 6794},
		.relay = true,
		.mark = 0x10000000,
		.mark_mask = 0x10000000,
		.log_level = LOG_LVL_INFO,
	};
	/* The host's name in lower case; where it is no node name as a whole, its first label. */
	if (gethostname(host, sizeof(host) - 1) != 0)
		return;
	for (char *p = host; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (!node_name_ok(host))
		host[strcspn(host, ".")] = '\0';
	if (node_name_ok(host))
		(void)snprintf(c->name, sizeof(c->name), "%s", host);
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	free(c->peers);
	free(c->ranges);
	free(c->prefixes);
	free(c->accept);
	free(c->exits);
	free(c->segments);
	free(c->advertise);
	free(c->tune);
	conf_bgp_free(c->bgp);
	*c = (struct conf){0};
}

static struct conf_load *load_new(struct conf *out, const char *file, char *err, size_t err_len)
{
	struct conf_load *l = calloc(1, sizeof(*l));

	conf_defaults(out);
	if (err_len > 0)
		err[0] = '\0';
	if (!l)
		return NULL;
	l->c = out;
	l->file = file;
	l->err = err;
	l->err_len = err_len;
	return l;
}

static int load_end(struct conf_load *l)
{
	int err = l->no_memory ? ERR_NOMEM : l->errors > 0 ? ERR_CONFIG : 0;

	if (err == ERR_NOMEM && l->err_len > 0)
		(void)snprintf(l->err, l->err_len, "%s", err_str(ERR_NOMEM));
	if (err)
		conf_free(l->c);
	free(l);
	return err;
}

int conf_load(int argc, char **argv, struct conf *out, char *err, size_t err_len)
{
	const char *path = config_flag(argc, argv);
	struct conf_load *l = load_new(out, path ? path : "weftd", err, err_len);

	if (!l)
		return ERR_NOMEM;
	if (asks_for_text(argc, argv, out))
		return load_end(l);
	if (path) {
		conf_set(l, CK_CONFIG, path, 0);
		if (l->errors == 0)
			read_file(l, path);
	}
	if (!l->no_memory)
		read_flags(l, argc, argv);
	if (!l->no_memory && l->errors == 0)
		conf_cross_check(l, true);
	return load_end(l);
}

int conf_parse_yaml(
	const char *name, const char *text, size_t len, struct conf *out, char *err, size_t err_len)
{
	struct conf_load *l = load_new(out, name, err, err_len);

	if (!l)
		return ERR_NOMEM;
	conf_read_yaml(l, text, len);
	if (!l->no_memory && l->errors == 0)
		conf_cross_check(l, false);
	return load_end(l);
}

int conf_load_bgp(const char *path, struct conf_bgp **out, char *err, size_t err_len)
{
	struct conf c;
	struct conf_load *l = load_new(&c, path, err, err_len);
	int got;

	*out = NULL;
	if (!l)
		return ERR_NOMEM;
	read_file(l, path);
	if (!l->no_memory && l->errors == 0 && !c.bgp)
		conf_error(l, 0, "bgp", NULL, "the section is gone");
	got = load_end(l);
	if (got == 0) {
		*out = c.bgp;
		c.bgp = NULL;
		conf_free(&c);
	}
	return got;
}
