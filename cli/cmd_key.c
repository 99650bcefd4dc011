/* `weft key`: cluster secrets, made and looked at without a daemon. The secret is wiped from memory and
 * printed only when it was asked for by `key new` without --out. */
#include "cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "file.h"
#include "json_out.h"
#include "key.h"
#include "weft/err.h"

#define SECRET_FILE_MAX 4096

/* Print the members that are not NULL, as JSON or as lines. */
static int print_key(struct cli *c, const char *secret, const char *file, const char *cluster)
{
	int err;

	if (c->json) {
		/* "s*" leaves a NULL member out */
		err = json_print(c->out, json_pack("{s:s*, s:s*, s:s}", "secret", secret, "file",
						 file, "cluster", cluster));
	} else if (secret) {
		/* alone on the line: what is redirected into a file must be a secret file */
		err = fprintf(c->out, "%s\n", secret) < 0 || fflush(c->out) != 0 ? -EIO : 0;
	} else {
		struct out *o = out_new(c->out, out_colour_wanted(c->out));
		if (o) {
			out_kv(o, OUT_PLAIN, "Secret file", "%s", file);
			out_kv(o, OUT_PLAIN, "Cluster", "%s", cluster);
		}
		err = out_end(o);
	}
	return err ? cli_fail(c, CLI_BAD, "output: %s", err_str(err)) : CLI_FINE;
}

/* Write a file that must not exist, 0600, on disk when this returns. */
static int write_new(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int err = 0;

	if (fd < 0)
		return -errno;
	for (size_t n = 0; n < len && !err;) {
		ssize_t did = write(fd, text + n, len - n);
		if (did >= 0)
			n += (size_t)did;
		else if (errno != EINTR)
			err = -errno;
	}
	if (!err && fsync(fd) != 0)
		err = -errno;
	if (close(fd) != 0 && !err)
		err = -errno;
	if (err)
		(void)unlink(path); /* ours: O_EXCL made it */
	return err;
}

int cmd_key_new(struct cli *c, int argc, char **argv)
{
	char text[SECRET_STRLEN + 1], cluster[CLUSTER_ID_STRLEN];
	const char *path = NULL;
	struct cluster_id id;
	struct secret s;
	int code;

	if (argc == 2 && strcmp(argv[0], "--out") == 0)
		path = argv[1];
	else if (argc == 1 && strncmp(argv[0], "--out=", 6) == 0)
		path = argv[0] + 6;
	else if (argc != 0)
		goto usage;
	if (path && path[0] == '\0')
		goto usage;
	if (key_init() != 0)
		return cli_fail(c, CLI_BAD, "libsodium does not start");
	secret_generate(&s);
	secret_fmt(&s, text);
	secret_cluster_id(&s, &id);
	cluster_id_fmt(&id, cluster);
	explicit_bzero(&s, sizeof(s));
	if (path) {
		size_t len = strlen(text);

		text[len] = '\n';
		int err = write_new(path, text, len + 1);
		if (err == -EEXIST)
			code = cli_fail(c, CLI_BAD,
				"%s exists already; a secret is never overwritten", path);
		else if (err)
			code = cli_fail(c, CLI_BAD, "%s: %s", path, err_str(err));
		else
			code = print_key(c, NULL, path, cluster);
	} else {
		code = print_key(c, text, NULL, cluster);
	}
	explicit_bzero(text, sizeof(text));
	return code;
usage:
	(void)cli_fail(c, 0, "usage: weft key new [--out FILE]");
	return CLI_USAGE;
}

int cmd_key_show(struct cli *c, int argc, char **argv)
{
	char cluster[CLUSTER_ID_STRLEN], *text = NULL;
	struct cluster_id id;
	struct secret s;
	struct stat st;
	size_t len;

	if (argc != 1 || argv[0][0] == '-' || argv[0][0] == '\0') {
		(void)cli_fail(c, 0, "usage: weft key show FILE");
		return CLI_USAGE;
	}
	int err = file_read(argv[0], SECRET_FILE_MAX, &text, &len);
	if (err)
		return cli_fail(c, CLI_BAD, "%s: %s", argv[0],
			err == ERR_LIMIT ? "too large for a secret" : err_str(err));
	err = strlen(text) == len ? secret_parse(text, &s) : ERR_MALFORMED;
	explicit_bzero(text, len);
	free(text);
	if (err)
		return cli_fail(c, CLI_BAD, "%s: %s; make one with: weft key new --out FILE",
			argv[0],
			err == ERR_CORRUPT ? "a character of the secret is wrong"
					   : "no weft secret");
	secret_cluster_id(&s, &id);
	explicit_bzero(&s, sizeof(s));
	if (stat(argv[0], &st) == 0 && (st.st_mode & 077))
		(void)cli_fail(c, 0, "%s can be read by others (mode %03o); chmod 600 it", argv[0],
			(unsigned)(st.st_mode & 0777));
	return print_key(c, NULL, argv[0], cluster_id_fmt(&id, cluster));
}
