/* sim_sweep.c - sweeps. In: a range of seeds, a journal. Out: a line per seed. Each run is a child
 * process, which says its line through a pipe and ends; so runs share nothing, and one that crashes
 * is a failure of its seed only. */
#include "sim_sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "weft/err.h"
#include "invariants.h"

#define LINE_MAX_BYTES 512 /* below PIPE_BUF, so that a child never waits */
#define JOBS_MAX       64

struct job {
	pid_t pid; /* 0: free */
	int fd;
	uint64_t seed;
};

struct run {
	const struct sweep *w;
	struct sweep_result *out;
	FILE *journal;
	uint8_t *seen; /* by seed: a bit, done before */
	struct job jobs[JOBS_MAX];
	unsigned busy;
};

static bool seen(const struct run *r, uint64_t seed)
{
	uint64_t i = seed - r->w->from;

	return r->seen[i / 8] >> i % 8 & 1;
}

static void note_failed(struct run *r, uint64_t seed)
{
	struct sweep_result *o = r->out;

	o->seeds = realloc(o->seeds, (o->failed + 1) * sizeof(*o->seeds));
	if (!o->seeds)
		abort();
	o->seeds[o->failed++] = seed;
}

/* --- the journal --- */

#define PROGRAM_WORD  " program="
#define PROGRAM_BYTES 8

/* Of the file that this process runs: another one would make other runs of the same seeds. In hex. */
static int program_digest(char text[2 * PROGRAM_BYTES + 1])
{
	uint8_t buf[65536], digest[crypto_generichash_BYTES];
	crypto_generichash_state st;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -errno;
	crypto_generichash_init(&st, NULL, 0, sizeof(digest));
	while ((len = read(fd, buf, sizeof(buf))) > 0)
		crypto_generichash_update(&st, buf, (unsigned long long)len);
	len = len < 0 ? -errno : 0;
	close(fd);
	crypto_generichash_final(&st, digest, sizeof(digest));
	sodium_bin2hex(text, 2 * PROGRAM_BYTES + 1, digest, PROGRAM_BYTES);
	return (int)len;
}

/* Which runs these are, without the program that makes them. */
static void heading(const struct sweep *w, char *text, size_t len)
{
	char more[64] = "";

	if (w->cfg.no_claims || w->cfg.no_paths || w->cfg.checks || w->cfg.plant)
		snprintf(more, sizeof(more), " claims=%d paths=%d ignore=%x plant=%u",
			!w->cfg.no_claims, !w->cfg.no_paths, w->cfg.checks, (unsigned)w->cfg.plant);
	snprintf(text, len,
		"weft-sim nodes=%u faults=%s for=%lld converge=%lld routable=%lld join=%lld "
		"crypto=%d data=%d own-signatures=%d full-mesh=%d%s",
		w->cfg.nodes, w->cfg.profile, (long long)w->length.ns,
		(long long)w->cfg.converge.ns, (long long)w->cfg.routable.ns,
		(long long)w->cfg.join_spread.ns, !w->cfg.no_crypto, w->cfg.data,
		w->cfg.own_signatures, w->cfg.full_mesh, more);
}

static void read_line(struct run *r, const char *line)
{
	unsigned long long seed;
	char word[8];

	if (!strchr(line, '\n') || sscanf(line, "%llu %7s", &seed, word) != 2)
		return;
	if (seed < r->w->from || seed > r->w->to || seen(r, seed))
		return;
	r->seen[(seed - r->w->from) / 8] |= (uint8_t)(1u << (seed - r->w->from) % 8);
	r->out->known++;
	if (strcmp(word, "FAILED") == 0)
		note_failed(r, seed);
}

/* The journal's first line against ours: are these the same runs, of the same program? */
static int compare_heads(const char *line, const char *head, const char *program)
{
	size_t len = strlen(head);

	if (strncmp(line, head, len) != 0)
		return ERR_CONFLICT;
	line += len;
	if (strcmp(line, "\n") == 0)
		return ERR_VERSION; /* of a time when none was named */
	if (strncmp(line, PROGRAM_WORD, strlen(PROGRAM_WORD)) != 0)
		return ERR_CONFLICT;
	line += strlen(PROGRAM_WORD);
	len = strlen(program);
	return strncmp(line, program, len) == 0 && strcmp(line + len, "\n") == 0 ? 0 : ERR_VERSION;
}

static int open_journal(struct run *r)
{
	char head[LINE_MAX_BYTES], line[LINE_MAX_BYTES], program[2 * PROGRAM_BYTES + 1];
	long end = 0;
	int err;

	if (!r->w->journal)
		return 0;
	err = program_digest(program);
	if (err)
		return err;
	heading(r->w, head, sizeof(head));
	r->journal = fopen(r->w->journal, "a+");
	if (!r->journal)
		return -errno;
	rewind(r->journal);
	if (!fgets(line, sizeof(line), r->journal)) {
		fprintf(r->journal, "%s" PROGRAM_WORD "%s\n", head, program);
		return fflush(r->journal) == 0 ? 0 : -errno;
	}
	err = compare_heads(line, head, program);
	if (err)
		return err;
	do {
		end = ftell(r->journal);
		if (!fgets(line, sizeof(line), r->journal))
			return 0;
		read_line(r, line);
	} while (strchr(line, '\n'));
	/* Cut off what a crash left of the last line. */
	return ftruncate(fileno(r->journal), end) == 0 ? 0 : -errno;
}

/* --- runs --- */

static double wall_secs(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void child(const struct sweep *w, uint64_t seed, int fd)
{
	struct sim_cfg cfg = w->cfg;
	double begin = wall_secs();
	struct sim_result r;
	struct sim *s;

	cfg.seed = seed;
	s = sim_new(&cfg);
	if (!s)
		dprintf(fd, "%llu FAILED no memory\n", (unsigned long long)seed);
	else if (sim_live(s, w->length, &r))
		dprintf(fd, "%llu fine join %.1f agreement %.1f wall %.1f trace %016llx\n",
			(unsigned long long)seed, r.join, r.converge_worst, wall_secs() - begin,
			(unsigned long long)s->digest);
	else
		dprintf(fd, "%llu FAILED %s at %.1f s: %s\n", (unsigned long long)seed,
			check_name(s->failed_check), (double)s->now.ns / 1e9, s->failure);
	_exit(0);
}

static int begin_job(struct run *r, struct job *j, uint64_t seed)
{
	int fd[2];

	if (pipe(fd) != 0)
		return -errno;
	fflush(NULL);
	j->pid = fork();
	if (j->pid == 0) {
		close(fd[0]);
		child(r->w, seed, fd[1]);
	}
	close(fd[1]);
	if (j->pid < 0) {
		int err = -errno;

		close(fd[0]);
		j->pid = 0;
		return err;
	}
	j->fd = fd[0];
	j->seed = seed;
	r->busy++;
	return 0;
}

/* A child ended: take its line. */
static void end_job(struct run *r, struct job *j, int status)
{
	char line[LINE_MAX_BYTES];
	ssize_t len = read(j->fd, line, sizeof(line) - 1);
	unsigned long long seed = j->seed;

	close(j->fd);
	j->pid = 0;
	r->busy--;
	r->out->done++;
	if (len <= 0 || !WIFEXITED(status))
		len = snprintf(
			line, sizeof(line), "%llu FAILED crashed, wait status %d\n", seed, status);
	line[len] = '\0';
	if (strstr(line, " FAILED "))
		note_failed(r, seed);
	if (r->journal) {
		fputs(line, r->journal);
		fflush(r->journal);
	}
	if (r->w->out) {
		fprintf(r->w->out, "seed %s", line);
		fflush(r->w->out);
	}
}

static int await_job(struct run *r)
{
	int status;
	pid_t pid = waitpid(-1, &status, 0);

	if (pid < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < JOBS_MAX; i++)
		if (r->jobs[i].pid == pid)
			end_job(r, &r->jobs[i], status);
	return 0;
}

static struct job *free_job(struct run *r)
{
	unsigned most = r->w->jobs < JOBS_MAX ? r->w->jobs : JOBS_MAX;

	for (unsigned i = 0; i < most || i == 0; i++)
		if (!r->jobs[i].pid)
			return &r->jobs[i];
	return NULL;
}

int sim_sweep(const struct sweep *w, struct sweep_result *out)
{
	struct run r = {.w = w, .out = out};
	uint64_t seed = w->from;
	int err;

	*out = (struct sweep_result){0};
	r.seen = calloc((w->to - w->from) / 8 + 1, 1);
	if (!r.seen)
		return ERR_NOMEM;
	err = open_journal(&r);
	while (err == 0 && (seed <= w->to || r.busy)) {
		struct job *j = free_job(&r);

		if (seed <= w->to && seen(&r, seed))
			seed++;
		else if (seed <= w->to && j)
			err = begin_job(&r, j, seed++);
		else
			err = await_job(&r);
	}
	while (r.busy && await_job(&r) == 0)
		;
	if (r.journal)
		fclose(r.journal);
	free(r.seen);
	return err;
}
