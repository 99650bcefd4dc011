/* cni.c - the CNI plugin.
 *
 * Parts: cni_conf.c judges what the runtime says; cni_mesh.c asks weftd, over its control socket, for
 * the node's prefixes; cni_pool.c keeps the addresses in one file behind a lock; cni_link.c is the kernel
 * side; cni_result.c speaks the specification's JSON; cni_add.c, cni_del.c, cni_check.c and cni_gc.c are
 * the verbs. One process per call, one thread, no state but the file and the kernel's.
 *
 * Data in: CNI_* variables, the configuration on stdin. Data out: a result or an error on stdout,
 * nothing else there; words for a person on stderr.
 *
 * Order, so that kill -9 at any instant leaves something that DEL and GC find: an address is written to
 * the file before its interface is made, and freed after the interface is gone. The interface's name on
 * the host follows from the container's id, and its alias says whose it is, so both are found without
 * the file; the file, if lost, is made anew from them.
 *
 * Bounds: LIM_CNI_STDIN, LIM_PODS, the wait of ADD, the wait for the lock. Failure: ADD takes back what
 * it did; DEL and GC go on behind an error and tell the first. */
#include "cni.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "cni_result.h"

const char *const cni_version_text[CNI_VERSIONS] = {"0.3.1", "0.4.0", "1.0.0", "1.1.0"};

void cni_plain(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

int cni_fail(struct cni_error *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (e->code == 0) {
		e->code = code;
		va_start(ap, fmt);
		vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
		va_end(ap);
		cni_plain(e->msg);
	}
	return ERR_REFUSED;
}

void cni_detail(struct cni_error *e, const char *fmt, ...)
{
	size_t n = strlen(e->details);
	va_list ap;

	if (n > 0 && n + 3 < sizeof(e->details)) {
		strcpy(e->details + n, "; ");
		n += 2;
	}
	va_start(ap, fmt);
	vsnprintf(e->details + n, sizeof(e->details) - n, fmt, ap);
	va_end(ap);
	cni_plain(e->details + n);
}

static int read_all(FILE *in, char **out, size_t *len, struct cni_error *e)
{
	size_t cap = 16384, n = 0;
	char *buf = malloc(cap);

	while (buf) {
		size_t got = fread(buf + n, 1, cap - n, in);

		n += got;
		if (got == 0)
			break;
		if (n > LIM_CNI_STDIN) {
			free(buf);
			return cni_fail(e, CNI_E_DECODE,
				"the configuration is larger than %d bytes", LIM_CNI_STDIN);
		}
		if (n == cap) {
			char *more = realloc(buf, 2 * cap);

			if (!more)
				free(buf);
			buf = more;
			cap *= 2;
		}
	}
	if (!buf)
		return cni_fail(e, CNI_E_INTERNAL, "no memory");
	if (ferror(in)) {
		free(buf);
		return cni_fail(e, CNI_E_IO, "can't read the configuration from stdin");
	}
	*out = buf;
	*len = n;
	return 0;
}

static int run_verb(const struct cni_call *c, json_t **result, struct cni_error *e)
{
	switch (c->verb) {
	case CNI_ADD:
		return cni_add(c, result, e);
	case CNI_DEL:
		return cni_del(c, e);
	case CNI_CHECK:
		return cni_check(c, e);
	case CNI_GC:
		return cni_gc(c, e);
	case CNI_STATUS:
		return cni_status(c, e);
	case CNI_VERSION:
		*result = cni_result_versions(c->version_text);
		return *result ? 0 : cni_fail(e, CNI_E_INTERNAL, "no memory");
	case CNI_NONE:
		break;
	}
	return cni_fail(e, CNI_E_ENV, "no verb");
}

int cni_main(const struct cni_env *env, FILE *in, FILE *out, FILE *log)
{
	struct cni_call call = {0};
	struct cni_error e = {0};
	json_t *result = NULL;
	char *conf = NULL;
	size_t len = 0;
	int err;

	if (!env->command || !*env->command) {
		fprintf(log,
			"weft-cni %s: CNI plugin of the weft mesh; CNI protocol versions 0.3.1, "
			"0.4.0, 1.0.0, 1.1.0\n",
			WEFT_VERSION);
		return 0;
	}
	err = read_all(in, &conf, &len, &e);
	if (!err)
		err = cni_parse(env, conf, len, &call, &e);
	if (!err)
		err = run_verb(&call, &result, &e);
	if (err) {
		json_decref(result);
		result = cni_result_error(&call, &e);
		fprintf(log, "weft-cni: %s %s: %s%s%s\n", env->command,
			env->container_id ? env->container_id : "", e.msg, e.details[0] ? ": " : "",
			e.details);
	}
	if (result && json_dumpf(result, out, JSON_COMPACT) == 0)
		fputc('\n', out);
	if (fflush(out) != 0 && !err)
		err = -EIO;
	json_decref(result);
	cni_call_free(&call);
	free(conf);
	return err ? 1 : 0;
}
