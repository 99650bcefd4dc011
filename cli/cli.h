/* cli.h - inside cli/: the command table, and what commands share. */
#ifndef WEFT_CLI_H
#define WEFT_CLI_H

#include <stdbool.h>
#include <stdio.h>
#include "ctl.h"
#include "out.h"

#define CLI_SOCKET "/run/weft/weft.sock"

enum cli_exit {
	CLI_FINE = 0,
	CLI_BAD = 1, /* the answer is bad: refused, not ready, garbage */
	CLI_USAGE = 2,
	CLI_NO_DAEMON = 3,
};

struct cli {
	FILE *out, *err;
	const char *socket;
	bool json;
	int timeout_ms;
};

/* Puts the data of an answer into @o. Fields may be absent or of another type: the daemon may be of
 * another version. */
typedef void (*cli_render_fn)(struct out *o, const msgpack_object *data);

struct cli_verb {
	const char *name; /* one to three words */
	const char *args; /* for the usage; "" if none */
	const char *help;
	const char *cmd;      /* what the daemon is asked; NULL: answered here, by @local */
	const char *arg;      /* name of the one argument it needs, or NULL */
	cli_render_fn render; /* NULL: always JSON */
	const char *must; /* member of the data that must be true, or the exit code is CLI_BAD */
	int (*local)(struct cli *c, int argc, char **argv); /* arguments behind the verb */
};
extern const struct cli_verb cli_verbs[];
extern const size_t cli_nverbs;
const struct cli_verb *cli_verb_find(const char *name); /* NULL: none */

/* Run one command line (argv[0] is the program); streams and timeout are the caller's. Returns an
 * enum cli_exit. */
int cli_run(struct cli *c, int argc, char **argv);
/* The same with defaults. */
int cli_main(int argc, char **argv, FILE *out, FILE *err);

/* Ask the daemon and show what it says: @v's render, or why not. For verbs with arguments of their
 * own. */
int cli_ask(struct cli *c, const struct cli_verb *v, const struct ctl_request *req);
/* Ask the daemon for data: CLI_FINE, and client_answer_free() @out in the end; else it was told why not. */
struct client_answer;
int cli_fetch(struct cli *c, const struct cli_verb *v, const struct ctl_request *req,
	struct client_answer *out);
/* A line on the error stream, behind "weft: ". Returns @code. */
int cli_fail(struct cli *c, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Usage of @verb, or of all if NULL, on the error stream; CLI_USAGE. */
int cli_usage(struct cli *c, const struct cli_verb *verb);

/* The next cell of a table: a text field of @item; a count, empty where the field is absent or null. */
void cli_cell(struct out *o, const msgpack_object *item, const char *key);
void cli_number(struct out *o, const msgpack_object *item, const char *key);

void render_status(struct out *o, const msgpack_object *data);
void render_peers(struct out *o, const msgpack_object *data);
void render_connections(struct out *o, const msgpack_object *data);
void render_routes(struct out *o, const msgpack_object *data);
void render_targets(struct out *o, const msgpack_object *data);
void render_clusters(struct out *o, const msgpack_object *data);
void render_invitation(struct out *o, const msgpack_object *data);
void render_ipam(struct out *o, const msgpack_object *data);
void render_message(struct out *o, const msgpack_object *data);
void render_bgp(struct out *o, const msgpack_object *data);
void render_bgp_routes(struct out *o, const msgpack_object *data);
void render_bgp_policy(struct out *o, const msgpack_object *data);
void render_policy_test(struct out *o, const msgpack_object *data);

int cmd_key_new(struct cli *c, int argc, char **argv);
int cmd_key_show(struct cli *c, int argc, char **argv);
int cmd_bgp_routes(struct cli *c, int argc, char **argv);
int cmd_cluster_link(struct cli *c, int argc, char **argv);
int cmd_cluster_accept(struct cli *c, int argc, char **argv);
int cmd_bgp_shutdown(struct cli *c, int argc, char **argv);
int cmd_bgp_dump(struct cli *c, int argc, char **argv);
int cmd_bgp_record(struct cli *c, int argc, char **argv);
int cmd_policy_test(struct cli *c, int argc, char **argv);
int cmd_install_kubernetes(struct cli *c, int argc, char **argv);
int cmd_install_cni(struct cli *c, int argc, char **argv);
int cmd_install_removal(struct cli *c, int argc, char **argv);
int cmd_install_undo(struct cli *c, int argc, char **argv);
int cmd_help(struct cli *c, int argc, char **argv);
int cmd_version(struct cli *c, int argc, char **argv);

/* Element @i of the array @key of map @o, or NULL behind its end or if there is none. */
const msgpack_object *cli_item(const msgpack_object *o, const char *key, size_t i);
/* The text items of an array, joined by ", ", cut to @cap; "" if none. Returns @buf. */
const char *cli_join(const msgpack_object *o, const char *key, char *buf, size_t cap);
/* "reason count, reason count" of a map of counters, without zeros. Returns @buf. */
const char *cli_counts(const msgpack_object *o, const char *key, char *buf, size_t cap);

#endif
