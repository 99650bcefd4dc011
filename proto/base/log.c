/* log.c - levelled log with one replaceable sink.
 *
 * A line is built in a buffer on the stack and handed to the sink whole, so lines of several
 * threads never mix. What peers say may end up in a line (names, endpoints): control characters are
 * replaced, so that nobody can forge a line or drive a terminal. The sink's function and context
 * are read as a pair under a sequence counter; replacing them never blocks a thread that logs. */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "weft/err.h"
#include "weft/log.h"

#define LINE_MAX_BYTES 1024 /* longer text is cut */

static const struct {
	const char *name;
	int syslog; /* sd-daemon(3) priority */
} levels[] = {
	[LOG_LVL_ERROR] = {"error", 3},
	[LOG_LVL_WARN] = {"warn", 4},
	[LOG_LVL_INFO] = {"info", 6},
	[LOG_LVL_DEBUG] = {"debug", 7},
};

static void to_stderr(void *ctx, enum log_level level, const char *module, const char *text);

static _Atomic(enum log_level) threshold = LOG_LVL_INFO;
static atomic_uint sink_seq; /* odd while the pair below is being replaced */
static _Atomic(log_sink_fn) sink_fn = to_stderr;
static _Atomic(void *) sink_ctx;

/* systemd.exec(5): JOURNAL_STREAM names the device and inode of the journal's stream; if standard
 * error was redirected since, they differ. */
static bool on_journal(void)
{
	static atomic_int known; /* 0: not looked yet, 1: no, 2: yes */
	int k = atomic_load_explicit(&known, memory_order_relaxed);
	const char *env;
	unsigned long dev, ino;
	struct stat st;

	if (k)
		return k == 2;
	env = getenv("JOURNAL_STREAM");
	k = env && sscanf(env, "%lu:%lu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
			    st.st_dev == dev && st.st_ino == ino
		    ? 2
		    : 1;
	atomic_store_explicit(&known, k, memory_order_relaxed);
	return k == 2;
}

static void to_stderr(void *ctx, enum log_level level, const char *module, const char *text)
{
	char line[LINE_MAX_BYTES + 128];
	int n;

	if (on_journal())
		n = snprintf(
			line, sizeof(line), "<%d>%s: %s\n", levels[level].syslog, module, text);
	else
		n = snprintf(line, sizeof(line), "%s %s: %s\n", levels[level].name, module, text);
	if (n >= (int)sizeof(line)) {
		n = sizeof(line) - 1;
		line[n - 1] = '\n';
	}
	/* One write: lines of other processes on the same pipe don't mix in either. There is
	 * nobody to tell if it fails. */
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

void log_set_sink(log_sink_fn fn, void *ctx)
{
	atomic_fetch_add(&sink_seq, 1);
	atomic_store(&sink_fn, fn ? fn : to_stderr);
	atomic_store(&sink_ctx, fn ? ctx : NULL);
	atomic_fetch_add(&sink_seq, 1);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&threshold, level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return level <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

int log_level_parse(const char *text, enum log_level *out)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(text, levels[i].name) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	return ERR_MALFORMED;
}

static void emit(enum log_level level, const char *module, char *text)
{
	log_sink_fn fn;
	void *ctx;
	unsigned seq;

	for (unsigned char *p = (unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
	do {
		seq = atomic_load(&sink_seq);
		fn = atomic_load(&sink_fn);
		ctx = atomic_load(&sink_ctx);
	} while (seq & 1 || seq != atomic_load(&sink_seq));
	fn(ctx, level, module, text);
}

void log_write(enum log_level level, const char *module, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	emit(level, module, text);
}

/* May this line go out? *@held gets the number of lines held back before it, for the first of a
 * window to tell. */
static bool admit(struct log_limit *l, uint64_t now_ns, uint32_t *held)
{
	uint64_t start = __atomic_load_n(&l->window_start_ns, __ATOMIC_RELAXED);

	*held = 0;
	/* One thread wins the exchange and opens the window. A line of another that slips in
	 * between counts into the old one; the bound is off by the threads at most. */
	if (now_ns - start >= LOG_PERIOD_SECS * UINT64_C(1000000000) &&
		__atomic_compare_exchange_n(&l->window_start_ns, &start, now_ns, false,
			__ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		*held = __atomic_exchange_n(&l->held_back, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&l->in_window, 1, __ATOMIC_RELAXED);
		return true;
	}
	/* Looked at before it is raised, so that it can't wrap. */
	if (__atomic_load_n(&l->in_window, __ATOMIC_RELAXED) < LOG_BURST &&
		__atomic_fetch_add(&l->in_window, 1, __ATOMIC_RELAXED) < LOG_BURST)
		return true;
	__atomic_fetch_add(&l->held_back, 1, __ATOMIC_RELAXED);
	return false;
}

void log_limited(struct log_limit *l, uint64_t now_ns, enum log_level level, const char *module,
	const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	uint32_t held;
	va_list ap;
	int n;

	if (!log_enabled(level) || !admit(l, now_ns, &held))
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (held && n >= 0 && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, " (and %u like it, held back)", held);
	emit(level, module, text);
}
