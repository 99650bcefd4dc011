/* `weft install`: the manifests with each option, what is refused, and the plugin's way into a directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "cli.h"
#include "manifest.h"

/* Run "weft LINE"; what it printed and said is the caller's to free. */
static int run(const char *line, char **out, char **err)
{
	char text[4096], *argv[40], *save = NULL;
	static char program[] = "weft";
	size_t n;
	int argc = 1, code;

	(void)snprintf(text, sizeof(text), "%s", line);
	argv[0] = program;
	for (char *w = strtok_r(text, " ", &save); w && argc < 39; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	FILE *o = open_memstream(out, &n), *e = open_memstream(err, &n);
	code = cli_main(argc, argv, o, e);
	(void)fclose(o);
	(void)fclose(e);
	return code;
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, what)); p++)
		n++;
	return n;
}

static void as_it_is(void **state)
{
	char *out, *err;

	assert_int_equal(run("install kubernetes", &out, &err), CLI_FINE);
	assert_int_equal(strlen(out), manifest_weft_len);
	assert_memory_equal(out, manifest_weft, manifest_weft_len);
	/* every place that an option fills is there */
	assert_int_equal(count(out, "image: localhost/weft:" WEFT_VERSION), 3);
	assert_true(count(out, "weft-system") > 5);
	assert_int_equal(count(out, "cluster-range: [10.244.0.0/16]"), 1);
	assert_int_equal(count(out, "\"cniVersion\": \"1.0.0\""), 1);
	assert_int_equal(count(out, "      maxSurge: 1\n      maxUnavailable: 0\n"), 1);
	free(out);
	free(err);
}

static void options(void **state)
{
	char *out, *err;

	assert_int_equal(
		run("install kubernetes --image=r.example:5000/net/weft@sha256:0a --namespace net "
		    "--cluster-range 10.1.0.0/16,fd00:1::/56 --claim 24,64 --cni-version 0.4.0 "
		    "--max-surge 0",
			&out, &err),
		CLI_FINE);
	assert_int_equal(count(out, "image: r.example:5000/net/weft@sha256:0a\n"), 3);
	assert_int_equal(count(out, "localhost/weft"), 0);
	assert_int_equal(count(out, "weft-system"), 0);
	assert_int_equal(count(out, "    cluster-range: [10.1.0.0/16, fd00:1::/56]\n"
				    "    prefix: [auto/24, auto/64]\n"),
		1);
	assert_int_equal(count(out, "\"cniVersion\": \"0.4.0\""), 1);
	assert_int_equal(count(out, "maxSurge"), 0);
	assert_int_equal(count(out, "maxUnavailable: 1"), 1);
	free(out);
	free(err);
}

/* Nothing that would be other YAML than a value. */
static void refused(void **state)
{
	static const char *const lines[] = {"--image", "--image -x", "--image a:", "--image x#y",
		"--image a{b", "--image \"a\"", "--image a\nb: c", "--namespace A",
		"--namespace -a", "--namespace a.b", "--namespace a-",
		"--namespace 0123456789012345678901234567890123456789012345678901234567890123",
		"--cluster-range x", "--cluster-range 10.1.0.1/16", "--cluster-range 0.0.0.0/0",
		"--cluster-range", "--claim 0", "--claim 24,", "--claim 24,x", "--claim x",
		"--claim 24,200", "--claim 12", "--claim 24,64", "--claim 32",
		"--cluster-range fd00:1::/56 --claim 24", "--max-surge 2", "--cni-version 9",
		"--nonsense x", "word"};
	char line[256], *out, *err;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		(void)snprintf(line, sizeof(line), "install kubernetes %s", lines[i]);
		if (run(line, &out, &err) != CLI_USAGE || out[0] || !err[0])
			fail_msg("%s: %s%s", lines[i], out, err);
		free(out);
		free(err);
	}
}

static void plugin(void **state)
{
	char dir[] = "/tmp/weft-install-XXXXXX", from[64], to[64], line[256], *out, *err;
	struct stat st;
	FILE *f;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(from, sizeof(from), "%s/built", dir);
	(void)snprintf(to, sizeof(to), "%s/weft-cni", dir);
	f = fopen(from, "w");
	assert_true(fputs("#!/bin/true\n", f) >= 0 && fclose(f) == 0);
	(void)snprintf(line, sizeof(line), "install cni %s %s", dir, from);
	for (int i = 0; i < 2; i++) { /* the second time over a file that stands */
		assert_int_equal(run(line, &out, &err), CLI_FINE);
		free(out);
		free(err);
		assert_int_equal(stat(to, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0755);
		assert_int_equal(st.st_size, 12);
	}
	(void)snprintf(line, sizeof(line), "install cni %s/absent %s", dir, from);
	assert_int_equal(run(line, &out, &err), CLI_BAD);
	free(out);
	free(err);
	(void)snprintf(line, sizeof(line), "install cni %s %s/absent", dir, dir);
	assert_int_equal(run(line, &out, &err), CLI_BAD);
	free(out);
	free(err);
	assert_int_equal(run("install cni", &out, &err), CLI_USAGE);
	free(out);
	free(err);
	(void)unlink(from);
	(void)unlink(to);
	assert_int_equal(rmdir(dir), 0);
}

static void removal(void **state)
{
	char *out, *err;

	assert_int_equal(run("install removal", &out, &err), CLI_FINE);
	assert_int_equal(strlen(out), manifest_remove_len);
	assert_memory_equal(out, manifest_remove, manifest_remove_len);
	assert_int_equal(count(out, "image: localhost/weft:" WEFT_VERSION), 3);
	free(out);
	free(err);
	assert_int_equal(run("install removal --image r.example/weft:9", &out, &err), CLI_FINE);
	assert_int_equal(count(out, "image: r.example/weft:9\n"), 3);
	assert_int_equal(count(out, "localhost/weft"), 0);
	free(out);
	free(err);
	assert_int_equal(run("install removal --claim 24", &out, &err), CLI_USAGE);
	assert_true(strstr(err, "--image") && !strstr(err, "--namespace"));
	free(out);
	free(err);
}

static void make(const char *root, const char *path)
{
	char cmd[512];

	(void)snprintf(cmd, sizeof(cmd), "mkdir -p $(dirname %s/%s) && echo x >%s/%s", root, path,
		root, path);
	assert_int_equal(system(cmd), 0);
}

static bool there(const char *root, const char *path)
{
	char full[256];
	struct stat st;

	(void)snprintf(full, sizeof(full), "%s/%s", root, path);
	return lstat(full, &st) == 0;
}

static int undo(const char *root, char **out, char **err)
{
	char line[256];

	(void)snprintf(line, sizeof(line), "install undo %s", root);
	return run(line, out, err);
}

/* All that is weft's goes, and nothing else: neither what a link leads to nor what lies beside it. */
static void undone(void **state)
{
	static const char *const weft[] = {"opt/cni/bin/weft-cni", "etc/cni/net.d/05-weft.conflist",
		"run/weft/cni/pods", "var/lib/weft/identity", "var/lib/weft/claims"};
	static const char *const other[] = {"opt/cni/bin/portmap", "etc/cni/net.d/10-x.conflist",
		"run/xtables.lock", "var/lib/other/file"};
	char root[] = "/tmp/weft-undo-XXXXXX", line[256], *out, *err;

	assert_non_null(mkdtemp(root));
	for (size_t i = 0; i < sizeof(weft) / sizeof(weft[0]); i++)
		make(root, weft[i]);
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		make(root, other[i]);
	(void)snprintf(line, sizeof(line), "%s/run/weft/link", root);
	assert_int_equal(symlink("../../var/lib/other", line), 0);
	assert_int_equal(undo(root, &out, &err), CLI_FINE);
	assert_string_equal(err, "");
	assert_int_equal(count(out, " is removed\n"), 4);
	assert_non_null(strstr(out, "no file of weft is left\n"));
	free(out);
	free(err);
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		assert_true(there(root, other[i]));
	assert_false(there(root, weft[0]) || there(root, weft[1]) || there(root, "run/weft") ||
		     there(root, "var/lib/weft"));
	/* again, and where there never was anything */
	assert_int_equal(undo(root, &out, &err), CLI_FINE);
	assert_string_equal(out, "no file of weft is there\n");
	free(out);
	free(err);
	(void)snprintf(line, sizeof(line), "rm -r %s", root);
	assert_int_equal(system(line), 0);
	assert_int_equal(undo(root, &out, &err), CLI_FINE);
	free(out);
	free(err);
	assert_int_equal(run("install undo here", &out, &err), CLI_USAGE);
	free(out);
	free(err);
}

/* A daemon that runs, even one that doesn't answer, keeps all as it is. */
static void undone_under_weftd(void **state)
{
	char root[] = "/tmp/weft-undo-XXXXXX", line[256], *out, *err;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd;

	assert_non_null(mkdtemp(root));
	make(root, "run/weft/x");
	make(root, "etc/cni/net.d/05-weft.conflist");
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%.60s/run/weft/weft.sock", root);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(undo(root, &out, &err), CLI_BAD);
	assert_non_null(strstr(err, "weftd runs here"));
	assert_true(there(root, "run/weft/x") && there(root, "etc/cni/net.d/05-weft.conflist"));
	free(out);
	free(err);
	(void)close(fd);
	assert_int_equal(undo(root, &out, &err), CLI_FINE);
	assert_false(there(root, "run/weft"));
	free(out);
	free(err);
	(void)snprintf(line, sizeof(line), "rm -r %s", root);
	assert_int_equal(system(line), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_it_is),
		cmocka_unit_test(options),
		cmocka_unit_test(refused),
		cmocka_unit_test(plugin),
		cmocka_unit_test(removal),
		cmocka_unit_test(undone),
		cmocka_unit_test(undone_under_weftd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
