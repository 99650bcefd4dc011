/* MRT for a person: weft asks for parts and writes the file, so that weftd writes none. */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "client.h"

#define POLL_MS 200

/* The file that is made: whole under its name at the end, or not at all. "-" is the output. */
struct target {
	FILE *f;
	const char *path;
	char part[PATH_MAX];
	uint64_t bytes;
};

static int target_open(struct cli *c, struct target *t, const char *path)
{
	t->path = path;
	t->part[0] = '\0';
	if (strcmp(path, "-") == 0) {
		t->f = c->out;
		return CLI_FINE;
	}
	if ((size_t)snprintf(t->part, sizeof(t->part), "%s.part", path) >= sizeof(t->part))
		return cli_fail(c, CLI_USAGE, "the name is too long");
	t->f = fopen(t->part, "we");
	return t->f ? CLI_FINE : cli_fail(c, CLI_BAD, "%s: %s", t->part, strerror(errno));
}

static int target_write(struct cli *c, struct target *t, const msgpack_object *data)
{
	const msgpack_object *mrt = ctl_get(data, "mrt");

	if (!mrt || mrt->type != MSGPACK_OBJECT_BIN)
		return cli_fail(c, CLI_BAD, "the answer holds no MRT");
	t->bytes += mrt->via.bin.size;
	if (fwrite(mrt->via.bin.ptr, 1, mrt->via.bin.size, t->f) == mrt->via.bin.size &&
		fflush(t->f) == 0)
		return CLI_FINE;
	return cli_fail(c, CLI_BAD, "%s: %s", t->path, strerror(errno));
}

/* @code: how it went so far. */
static int target_close(struct cli *c, struct target *t, int code)
{
	if (!t->part[0])
		return code;
	if (fclose(t->f) != 0 && code == CLI_FINE)
		code = cli_fail(c, CLI_BAD, "%s: %s", t->part, strerror(errno));
	if (code == CLI_FINE && rename(t->part, t->path) != 0)
		code = cli_fail(c, CLI_BAD, "%s: %s", t->path, strerror(errno));
	if (code != CLI_FINE)
		(void)unlink(t->part);
	return code;
}

/* Ask with the number that the last answer had; *@data is borrowed from @a. */
static int ask(struct cli *c, const struct cli_verb *v, struct ctl_request *req, const char *id,
	struct client_answer *a)
{
	struct ctl_request with = *req;

	if (id[0] && ctl_request_add(&with, "id", id) != 0)
		return cli_fail(c, CLI_BAD, "the answer's number is too long");
	return cli_fetch(c, v, &with, a);
}

int cmd_bgp_dump(struct cli *c, int argc, char **argv)
{
	const struct cli_verb *v = cli_verb_find("bgp dump");
	struct ctl_request req = {.cmd = "bgp dump"};
	uint64_t prefixes = 0, paths = 0, left_out = 0;
	struct target t = {.bytes = 0};
	char id[32] = "";
	bool more = true;
	int code;

	if (argc != 1 || (argv[0][0] == '-' && argv[0][1]))
		return cli_usage(c, v);
	code = target_open(c, &t, argv[0]);
	if (code != CLI_FINE)
		return code;
	while (more && code == CLI_FINE) {
		struct client_answer a;

		code = ask(c, v, &req, id, &a);
		if (code != CLI_FINE)
			break;
		ctl_get_str(a.reply.data, "id", id, sizeof(id));
		more = ctl_get_bool(a.reply.data, "more");
		prefixes = ctl_get_u64(a.reply.data, "prefixes");
		paths = ctl_get_u64(a.reply.data, "paths");
		left_out = ctl_get_u64(a.reply.data, "left_out");
		code = target_write(c, &t, a.reply.data);
		client_answer_free(&a);
	}
	code = target_close(c, &t, code);
	if (code == CLI_FINE && t.part[0])
		fprintf(c->out, "%s: %" PRIu64 " prefixes, %" PRIu64 " paths, %" PRIu64 " bytes\n",
			t.path, prefixes, paths, t.bytes);
	if (code == CLI_FINE && left_out)
		code = cli_fail(c, CLI_BAD, "%" PRIu64 " prefixes have too many paths for a record",
			left_out);
	return code;
}

static volatile sig_atomic_t stopped;

static void on_stop(int signo)
{
	(void)signo;
	stopped = 1;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct record_args {
	const char *path;
	uint64_t secs; /* 0: until stopped */
};

static bool take_args(int argc, char **argv, struct record_args *out, struct ctl_request *req)
{
	char *end;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--neighbour") == 0 && i + 1 < argc) {
			if (ctl_request_add(req, "neighbour", argv[++i]) != 0)
				return false;
		} else if (strcmp(argv[i], "--for") == 0 && i + 1 < argc) {
			errno = 0;
			out->secs = strtoull(argv[++i], &end, 10);
			if (errno || *end || end == argv[i] || !out->secs || out->secs > UINT32_MAX)
				return false;
		} else if (!out->path && argv[i][0] && (argv[i][0] != '-' || !argv[i][1])) {
			out->path = argv[i];
		} else {
			return false;
		}
	}
	return out->path != NULL;
}

/* Until the time is over or somebody stops it; then what is there is fetched once more. */
static int record(struct cli *c, const struct cli_verb *v, struct ctl_request *req,
	struct target *t, uint64_t secs, uint64_t *lost)
{
	uint64_t until = secs ? now_ms() + secs * 1000 : UINT64_MAX;
	char id[32] = "";
	bool last = false;
	int code = CLI_FINE;

	while (code == CLI_FINE && !last) {
		struct ctl_request with = *req;
		struct client_answer a;

		last = id[0] && (stopped || now_ms() >= until);
		if (last && ctl_request_add(&with, "end", "yes") != 0)
			return CLI_BAD;
		code = ask(c, v, &with, id, &a);
		if (code != CLI_FINE)
			break;
		ctl_get_str(a.reply.data, "id", id, sizeof(id));
		*lost = ctl_get_u64(a.reply.data, "lost");
		code = target_write(c, t, a.reply.data);
		client_answer_free(&a);
		if (!last)
			(void)usleep(POLL_MS * 1000); /* ends early when a signal comes */
	}
	return code;
}

int cmd_bgp_record(struct cli *c, int argc, char **argv)
{
	const struct cli_verb *v = cli_verb_find("bgp record");
	struct ctl_request req = {.cmd = "bgp record"};
	struct record_args args = {.secs = 0};
	struct sigaction sa = {.sa_handler = on_stop}, old_int, old_term;
	struct target t = {.bytes = 0};
	uint64_t lost = 0;
	int code;

	if (!take_args(argc, argv, &args, &req))
		return cli_usage(c, v);
	code = target_open(c, &t, args.path);
	if (code != CLI_FINE)
		return code;
	stopped = 0;
	(void)sigaction(SIGINT, &sa, &old_int);
	(void)sigaction(SIGTERM, &sa, &old_term);
	code = record(c, v, &req, &t, args.secs, &lost);
	(void)sigaction(SIGINT, &old_int, NULL);
	(void)sigaction(SIGTERM, &old_term, NULL);
	code = target_close(c, &t, code);
	if (code == CLI_FINE && t.part[0])
		fprintf(c->out, "%s: %" PRIu64 " bytes\n", t.path, t.bytes);
	if (code == CLI_FINE && lost)
		code = cli_fail(c, CLI_BAD,
			"%" PRIu64 " messages are missing: they came faster "
			"than they were fetched",
			lost);
	return code;
}
