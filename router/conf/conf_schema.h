/* conf_schema.h - inside router/conf: the schema table, and what the parsers of a load share. */
#ifndef WEFT_CONF_SCHEMA_H
#define WEFT_CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include "conf.h"
#include "weft/bounds.h"

#define CONF_SEGMENT_LIST_MAX 16 /* ranges, and prefixes, of one segment (struct conf_segment) */
#define CONF_WHY              160
#define CONF_SHOWN            72

enum conf_kind {
	CONF_SCALAR,
	CONF_LIST,    /* a repeatable flag, a YAML sequence */
	CONF_SECTION, /* YAML only */
	CONF_ACTION,  /* a flag without a value, no YAML key */
};

/* Where a key may stand. */
enum { CONF_FLAG = 1, CONF_YAML = 2, CONF_HIDDEN = 4 /* not in --help and the man pages */ };

/* Parse @text into the field or list element at @out. 0; ERR_MALFORMED: @why (CONF_WHY bytes) says
 * what is wrong, in words that follow the quoted value. */
typedef int (*conf_parse_fn)(const char *text, void *out, char *why);

struct conf_key {
	const char *name;    /* the flag without its dashes, the YAML key */
	const char *value;   /* what stands for the value in help: "ADDR:PORT" */
	const char *unit;    /* NULL: none */
	const char *allowed; /* range or choices, in words */
	const char *dflt;    /* default, in words; NULL: none */
	const char *help;
	conf_parse_fn parse; /* NULL for sections */
	size_t off;       /* of the field in struct conf, or of the pointer to a list's elements */
	size_t count_off; /* of a list's count */
	size_t size;      /* of a list's element */
	enum conf_kind kind;
	unsigned where; /* CONF_FLAG and so on */
};

/* The names of the entries that the checks need; the table is in this order. */
enum conf_id {
	CK_CONFIG,
	CK_NAME,
	CK_CLUSTER,
	CK_STATE_DIR,
	CK_RUN_DIR,
	CK_LISTEN,
	CK_PEER,
	CK_ADVERTISE,
	CK_SECRET_FILE,
	CK_CLUSTER_RANGE,
	CK_PREFIX,
	CK_ACCEPT,
	CK_EXIT,
	CK_TUN,
	CK_METRICS,
	CK_WORKERS,
	CK_SUITE,
	CK_SOURCE_PORTS,
	CK_RELAY,
	CK_MASQUERADE,
	CK_CHECKSUM,
	CK_DSCP,
	CK_MARK,
	CK_LOG_LEVEL,
	CK_CHECK,
	CK_DOWN,
	CK_HELP,
	CK_VERSION,
	CK_TUNE,
	CK_SEGMENTS,
	CK_BGP,
	CK_POLICY,
	CONF_NKEYS,
	CONF_NONE = CONF_NKEYS,
};
extern const struct conf_key conf_keys[CONF_NKEYS];

/* Keys inside an entry of `segments:`. */
enum conf_seg_id { CS_VNI, CS_TUN, CS_RANGES, CS_PREFIXES, CONF_NSEG, CONF_NSEG_NONE = CONF_NSEG };
struct conf_seg_key {
	const char *name, *allowed, *help;
	conf_parse_fn parse;
};
extern const struct conf_seg_key conf_seg_keys[CONF_NSEG];

/* Entry with @name that may stand @where (CONF_FLAG or CONF_YAML), or CONF_NONE. */
enum conf_id conf_find(const char *name, unsigned where);
/* The nearest name to @name among those shown to people, or NULL if none is near. */
const char *conf_nearest(const char *name, unsigned where);
const char *conf_seg_nearest(const char *name);

/* Parsers (conf_value.c). */
int conf_parse_name(const char *text, void *out, char *why);
int conf_parse_cluster(const char *text, void *out, char *why);
int conf_parse_path(const char *text, void *out, char *why);
int conf_parse_run_dir(const char *text, void *out, char *why);
int conf_parse_listen(const char *text, void *out, char *why);
int conf_parse_metrics(const char *text, void *out, char *why);
int conf_parse_advertise(const char *text, void *out, char *why);
int conf_parse_peer(const char *text, void *out, char *why);
int conf_parse_range(const char *text, void *out, char *why);
int conf_parse_any_pfx(const char *text, void *out, char *why);
int conf_parse_prefix(const char *text, void *out, char *why);
int conf_parse_device(const char *text, void *out, char *why);
int conf_parse_workers(const char *text, void *out, char *why);
int conf_parse_suite(const char *text, void *out, char *why);
int conf_parse_ports(const char *text, void *out, char *why);
int conf_parse_masquerade(const char *text, void *out, char *why);
int conf_parse_relay(const char *text, void *out, char *why);
int conf_parse_checksum(const char *text, void *out, char *why);
int conf_parse_dscp(const char *text, void *out, char *why);
int conf_parse_mark(const char *text, void *out, char *why);
int conf_parse_log_level(const char *text, void *out, char *why);
int conf_parse_vni(const char *text, void *out, char *why);
int conf_parse_tune(const char *text, void *out, char *why);
int conf_parse_true(const char *text, void *out, char *why); /* of actions: sets a bool */

/* One load. Lines are kept beside the values, so that a check across keys can name its place; line
 * 0 means a flag, or a default. */
struct conf_segment_lines {
	unsigned at, ranges[CONF_SEGMENT_LIST_MAX], prefixes[CONF_SEGMENT_LIST_MAX];
};
struct conf_load {
	struct conf *c;
	const char *file; /* name in messages */
	char *err;
	size_t err_len, err_used;
	unsigned errors;
	bool no_memory;
	unsigned line[CONF_NKEYS][CONF_LIST_MAX];
	struct conf_segment_lines segments[LIM_SEGMENTS];
};

/* Add the line "FILE:LINE: KEY: what; allowed: what" (or "--KEY: ..." if @line is 0, "KEY: ..." for
 * a section's keys) to the errors. @key NULL: about the file; @allowed NULL: nothing to say. */
void conf_error(struct conf_load *l, unsigned line, const char *key, const char *allowed,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* @text made fit for a message: cut, without control characters, no secret. Returns @out. */
char *conf_show(const char *text, char out[CONF_SHOWN]);
/* Parse @text for @id and store it; errors go to the load. */
void conf_set(struct conf_load *l, enum conf_id id, const char *text, unsigned line);
/* Empty a list. */
void conf_clear_list(struct conf_load *l, enum conf_id id);
/* Make room for one more element of @size behind @n; NULL: no memory. */
void *conf_grow(void *array, size_t n, size_t size);

void conf_read_yaml(struct conf_load *l, const char *text, size_t len); /* conf_yaml.c */
void conf_cross_check(struct conf_load *l, bool whole);                 /* conf_check.c */
unsigned conf_list_line(const struct conf_load *l, enum conf_id id, size_t i);

#endif
