/* log.h - levelled log with one replaceable sink.
 *
 * A line is "level module: text". Lines that a packet can trigger go through log_limited(), which
 * lets a burst through per call site and then one line per period, saying how many it held back.
 * Safe from every thread. Secrets are never logged. */
#ifndef WEFT_LOG_H
#define WEFT_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

/* Receives each line, without newline; control characters in it have become '?'. Called in the
 * thread that logs, by several at once. Must not log itself. */
typedef void (*log_sink_fn)(void *ctx, enum log_level level, const char *module, const char *text);

/* Replace the sink; NULL restores the default, which writes to standard error with the systemd
 * priority prefix "<3>".."<7>" when that is a journal (JOURNAL_STREAM names it), plain otherwise.
 * For one thread; others may still be in the old sink when it returns. */
void log_set_sink(log_sink_fn fn, void *ctx);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
/* "error", "warn", "info", "debug"; ERR_MALFORMED otherwise. */
int log_level_parse(const char *text, enum log_level *out);

void log_write(enum log_level level, const char *module, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* State of one rate-limited call site; zero-initialised, static. */
struct log_limit {
	uint64_t window_start_ns; /* atomic */
	uint32_t in_window;       /* atomic */
	uint32_t held_back;       /* atomic */
};

/* LOG_BURST lines per LOG_PERIOD_SECS and call site; the first line of a period tells how many were
 * held back in the one before. @now_ns: any monotonic clock. */
#define LOG_BURST       5
#define LOG_PERIOD_SECS 10
void log_limited(struct log_limit *l, uint64_t now_ns, enum log_level level, const char *module,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#define log_error(mod, ...) log_write(LOG_LVL_ERROR, mod, __VA_ARGS__)
#define log_warn(mod, ...)  log_write(LOG_LVL_WARN, mod, __VA_ARGS__)
#define log_info(mod, ...)  log_write(LOG_LVL_INFO, mod, __VA_ARGS__)
#define log_debug(mod, ...)                                                                        \
	do {                                                                                       \
		if (log_enabled(LOG_LVL_DEBUG))                                                    \
			log_write(LOG_LVL_DEBUG, mod, __VA_ARGS__);                                \
	} while (0)

#endif
