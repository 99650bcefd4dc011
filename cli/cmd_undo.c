/* `weft install undo`: takes the files off a machine that weft and its DaemonSet put there: the CNI configuration,
 * the plugin, what is in /run and the state, with the node's identity. The kernel's part is weftd --down's. No daemon is
 * needed; one that runs stands in the way.
 *
 * Order: the configuration first, so that new pods are another network's; then, when weftd has ended and no pod is
 * connected by weft any more (their removal needs the plugin and the file of addresses), all else. What is absent is fine:
 * it may be called again. Links are removed, never followed, and nothing behind another mount is touched. */
#include "cli.h"

#include <ftw.h>
#include <limits.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "client.h"
#include "weft/err.h"

#define POD_LINK "wpod" /* how the names of pods' interfaces begin: cli/cni/cni_link.h */
#define FDS      16

struct undo {
	struct cli *c;
	const char *root; /* where the host's / is */
	bool wait, stay;
	unsigned removed;
};

static bool path_of(const struct undo *u, const char *name, char out[PATH_MAX])
{
	const char *root = strcmp(u->root, "/") == 0 ? "" : u->root;

	return snprintf(out, PATH_MAX, "%s%s", root, name) < PATH_MAX;
}

static bool weftd_runs(const struct undo *u)
{
	struct ctl_request rq = {.cmd = "status targets"};
	struct client_answer a;
	char path[PATH_MAX];
	int err;

	if (!path_of(u, CLI_SOCKET, path))
		return false;
	err = client_call(path, &rq, u->c->timeout_ms, &a);
	client_answer_free(&a);
	return err != -ENOENT && err != -ENOTDIR && err != -ECONNREFUSED && err != ERR_NO_DAEMON;
}

/* Interfaces of pods, the first one's name in @name. */
static unsigned pods(char name[IF_NAMESIZE])
{
	struct if_nameindex *all = if_nameindex();
	unsigned n = 0;

	for (struct if_nameindex *i = all; i && i->if_index; i++) {
		if (strncmp(i->if_name, POD_LINK, strlen(POD_LINK)) != 0)
			continue;
		if (n++ == 0)
			(void)snprintf(name, IF_NAMESIZE, "%s", i->if_name);
	}
	if_freenameindex(all);
	return n;
}

/* What stands in the way; "": nothing. */
static void obstacle(const struct undo *u, char *out, size_t cap)
{
	char name[IF_NAMESIZE];
	unsigned n;

	out[0] = '\0';
	if (weftd_runs(u)) {
		(void)snprintf(out, cap, "weftd runs here; end it first");
		return;
	}
	n = pods(name);
	if (n > 0)
		(void)snprintf(out, cap,
			"%u interfaces of pods are there (%s), which only weft-cni can remove; "
			"end these pods first",
			n, name);
}

/* Wait until nothing stands in the way, saying what does when that changes. */
static int clear_way(const struct undo *u)
{
	char why[160], said[sizeof(why)] = "";
	const struct timespec pause = {.tv_sec = 1};

	for (;;) {
		obstacle(u, why, sizeof(why));
		if (!why[0])
			return CLI_FINE;
		if (!u->wait)
			return cli_fail(u->c, CLI_BAD, "%s", why);
		if (strcmp(why, said) != 0)
			(void)cli_fail(u->c, 0, "waiting: %s", why);
		(void)fflush(u->c->err);
		memcpy(said, why, sizeof(said));
		(void)nanosleep(&pause, NULL);
	}
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path) == 0 || errno == ENOENT ? 0 : errno;
}

/* A file or a tree. */
static int take_away(struct undo *u, const char *name)
{
	char path[PATH_MAX];
	struct stat st;
	int err;

	if (!path_of(u, name, path))
		return cli_fail(u->c, CLI_USAGE, "%s is too long", u->root);
	if (lstat(path, &st) != 0)
		return errno == ENOENT || errno == ENOTDIR
			       ? CLI_FINE
			       : cli_fail(u->c, CLI_BAD, "%s: %s", path, err_str(-errno));
	err = nftw(path, remove_one, FDS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	if (err != 0)
		return cli_fail(u->c, CLI_BAD, "%s: %s", path, err_str(err > 0 ? -err : -errno));
	u->removed++;
	(void)fprintf(u->c->out, "%s is removed\n", path);
	return CLI_FINE;
}

static int undo(struct undo *u)
{
	static const char *const rest[] = {"/opt/cni/bin/weft-cni", "/run/weft", "/var/lib/weft"};
	int code = CLI_FINE;

	if (!u->wait && weftd_runs(u))
		return clear_way(u);
	code = take_away(u, "/etc/cni/net.d/05-weft.conflist");
	if (code == CLI_FINE)
		code = clear_way(u);
	if (code != CLI_FINE)
		return code;
	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
		int one = take_away(u, rest[i]);

		code = code == CLI_FINE ? one : code;
	}
	if (code == CLI_FINE)
		(void)fprintf(u->c->out, "%s\n",
			u->removed ? "no file of weft is left" : "no file of weft is there");
	return fflush(u->c->out) == 0 ? code : CLI_BAD;
}

int cmd_install_undo(struct cli *c, int argc, char **argv)
{
	struct undo u = {.c = c};
	sigset_t end;
	int code, sig;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--wait") == 0)
			u.wait = true;
		else if (strcmp(argv[i], "--stay") == 0)
			u.wait = u.stay = true;
		else if (argv[i][0] == '/' && !u.root)
			u.root = argv[i];
		else
			return cli_fail(c, CLI_USAGE, "weft install undo [ROOT] [--wait|--stay]");
	}
	if (!u.root)
		u.root = "/";
	if (u.stay) { /* the first process of a container ends by no signal that it does not wait for */
		(void)sigemptyset(&end);
		(void)sigaddset(&end, SIGTERM);
		(void)sigaddset(&end, SIGINT);
		(void)sigprocmask(SIG_BLOCK, &end, NULL);
	}
	code = undo(&u);
	if (u.stay && code == CLI_FINE)
		(void)sigwait(&end, &sig);
	return code;
}
