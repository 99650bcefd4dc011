/* The YAML file, read as libyaml's events, so that every message has its line.
 *
 * What weft takes of YAML: one document, a map of keys to values, lists of values, and the section
 * `segments`. Refused with a word: aliases and anchors (they make small files large), tags, more
 * than one document, keys given twice, nesting deeper than DEPTH_MAX, bytes that are no UTF-8 text.
 *
 * The parser is a descent over the events whose depth the format bounds; what stands under a key
 * that was refused is skipped by counting starts and ends. After an error of libyaml itself nothing
 * more is read; after one of ours the next key is. */
#include "conf_schema.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>
#include "conf_tree.h"

#define DEPTH_MAX 8

struct yp {
	struct conf_load *l;
	yaml_parser_t parser;
	yaml_event_t ev; /* the present event */
	bool have;       /* ev must be deleted */
	bool stop;       /* nothing more can be read */
	unsigned depth;
};

static unsigned line_of(const yaml_event_t *ev)
{
	return (unsigned)ev->start_mark.line + 1;
}

static void stop_at(struct yp *y, unsigned line, const char *what)
{
	conf_error(y->l, line, NULL, NULL, "%s", what);
	y->stop = true;
}

/* Anchors and tags of the event, or NULL. */
static const char *decoration(const yaml_event_t *ev)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	switch (ev->type) {
	case YAML_ALIAS_EVENT:
		return "aliases (*NAME) are not supported";
	case YAML_SCALAR_EVENT:
		anchor = ev->data.scalar.anchor;
		tag = ev->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = ev->data.sequence_start.anchor;
		tag = ev->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = ev->data.mapping_start.anchor;
		tag = ev->data.mapping_start.tag;
		break;
	default:
		break;
	}
	return anchor ? "anchors (&NAME) are not supported"
	       : tag  ? "tags (!NAME) are not supported"
		      : NULL;
}

/* Step to the next event. False: the end, told. */
static bool next(struct yp *y)
{
	if (y->stop)
		return false;
	if (y->have)
		yaml_event_delete(&y->ev);
	y->have = false;
	if (!yaml_parser_parse(&y->parser, &y->ev)) {
		if (y->parser.error == YAML_MEMORY_ERROR)
			y->l->no_memory = y->stop = true;
		else
			stop_at(y, (unsigned)y->parser.problem_mark.line + 1,
				y->parser.problem ? y->parser.problem : "no YAML");
		return false;
	}
	y->have = true;
	const char *refused = decoration(&y->ev);
	if (refused) {
		stop_at(y, line_of(&y->ev), refused);
		return false;
	}
	if (y->ev.type == YAML_SEQUENCE_START_EVENT || y->ev.type == YAML_MAPPING_START_EVENT) {
		if (++y->depth > DEPTH_MAX) {
			stop_at(y, line_of(&y->ev), "nested too deep");
			return false;
		}
	} else if (y->ev.type == YAML_SEQUENCE_END_EVENT || y->ev.type == YAML_MAPPING_END_EVENT) {
		y->depth--;
	}
	return true;
}

/* Step past the rest of the node whose first event is the present one. */
static void skip(struct yp *y)
{
	unsigned depth = y->depth;

	if (y->ev.type == YAML_SCALAR_EVENT)
		return;
	while (y->depth >= depth && next(y))
		;
}

/* The text of a scalar: no NUL can be in it (checked before). */
static const char *text_of(const struct yp *y)
{
	return (const char *)y->ev.data.scalar.value;
}

/* Call @item for each scalar of the sequence that is the present event; other items are refused. */
static void each_scalar(struct yp *y, const char *key, const char *allowed,
	void (*item)(struct yp *y, void *ctx), void *ctx)
{
	if (y->ev.type != YAML_SEQUENCE_START_EVENT) {
		conf_error(y->l, line_of(&y->ev), key, allowed,
			"needs a list, each value on a line of its own behind '- '");
		skip(y);
		return;
	}
	while (next(y) && y->ev.type != YAML_SEQUENCE_END_EVENT) {
		if (y->ev.type == YAML_SCALAR_EVENT) {
			item(y, ctx);
		} else {
			conf_error(y->l, line_of(&y->ev), key, allowed,
				"a plain value is needed here (quote it if it has brackets)");
			skip(y);
		}
		if (y->l->no_memory)
			y->stop = true;
	}
}

static void list_item(struct yp *y, void *ctx)
{
	conf_set(y->l, *(const enum conf_id *)ctx, text_of(y), line_of(&y->ev));
}

/* --- segments --- */

struct seg_ctx {
	struct conf_segment *seg;
	struct conf_segment_lines *lines;
	enum conf_seg_id id;
};

static const char *seg_key_name(enum conf_seg_id id, char out[40])
{
	(void)snprintf(out, 40, "segments.%s", conf_seg_keys[id].name);
	return out;
}

/* Parse the present scalar for a key of a segment. */
static bool seg_value(struct yp *y, enum conf_seg_id id, void *out)
{
	const struct conf_seg_key *k = &conf_seg_keys[id];
	char why[CONF_WHY], shown[CONF_SHOWN], key[40];

	if (k->parse(text_of(y), out, why) == 0)
		return true;
	conf_error(y->l, line_of(&y->ev), seg_key_name(id, key), k->allowed, "'%s' %s",
		conf_show(text_of(y), shown), why);
	return false;
}

static void seg_item(struct yp *y, void *ctx)
{
	struct seg_ctx *s = ctx;
	bool ranges = s->id == CS_RANGES;
	size_t *n = ranges ? &s->seg->nranges : &s->seg->nprefixes;
	unsigned *lines = ranges ? s->lines->ranges : s->lines->prefixes;
	char key[40];

	if (*n == CONF_SEGMENT_LIST_MAX) {
		conf_error(y->l, line_of(&y->ev), seg_key_name(s->id, key), NULL,
			"more than %d entries", CONF_SEGMENT_LIST_MAX);
		return;
	}
	if (seg_value(
		    y, s->id, ranges ? (void *)&s->seg->ranges[*n] : (void *)&s->seg->prefixes[*n]))
		lines[(*n)++] = line_of(&y->ev);
}

static enum conf_seg_id seg_find(const char *name)
{
	unsigned i = 0;

	while (i < CONF_NSEG && strcmp(conf_seg_keys[i].name, name) != 0)
		i++;
	return (enum conf_seg_id)i;
}

/* One key of a segment: the present event is the key, already looked up. */
static void seg_key(struct yp *y, struct seg_ctx *s)
{
	char key[40];

	if (!next(y))
		return;
	if (s->id == CS_RANGES || s->id == CS_PREFIXES) {
		each_scalar(y, seg_key_name(s->id, key), conf_seg_keys[s->id].allowed, seg_item, s);
	} else if (y->ev.type != YAML_SCALAR_EVENT) {
		conf_error(y->l, line_of(&y->ev), seg_key_name(s->id, key),
			conf_seg_keys[s->id].allowed, "needs one plain value");
		skip(y);
	} else {
		(void)seg_value(
			y, s->id, s->id == CS_VNI ? (void *)&s->seg->vni : (void *)s->seg->tun);
	}
}

static void unknown_key(struct yp *y, const char *in, const char *near, const char *allowed)
{
	char shown[CONF_SHOWN], key[CONF_SHOWN + 16];
	unsigned line = line_of(&y->ev);

	(void)snprintf(key, sizeof(key), "%s%s", in, conf_show(text_of(y), shown));
	if (near)
		conf_error(y->l, line, key, allowed, "unknown key, perhaps %s", near);
	else
		conf_error(y->l, line, key, allowed, "unknown key");
	if (next(y))
		skip(y);
}

/* One entry of the list: the present event is the start of its map. */
static void seg_entry(struct yp *y)
{
	struct conf *c = y->l->c;
	unsigned seen[CONF_NSEG] = {0}, at = line_of(&y->ev);
	char name[40];

	if (c->nsegments == LIM_SEGMENTS - 2) { /* the control and the default segment */
		conf_error(y->l, at, "segments", NULL, "more than %d segments", LIM_SEGMENTS - 2);
		skip(y);
		return;
	}
	struct conf_segment *grown = conf_grow(c->segments, c->nsegments, sizeof(*grown));
	if (!grown) {
		y->l->no_memory = y->stop = true;
		return;
	}
	c->segments = grown;
	struct seg_ctx s = {&grown[c->nsegments], &y->l->segments[c->nsegments], CONF_NSEG_NONE};
	c->nsegments++;
	s.lines->at = at;
	while (next(y) && y->ev.type != YAML_MAPPING_END_EVENT) {
		if (y->ev.type != YAML_SCALAR_EVENT) {
			stop_at(y, line_of(&y->ev), "a key must be plain text");
			return;
		}
		s.id = seg_find(text_of(y));
		if (s.id == CONF_NSEG) {
			unknown_key(y, "segments.", conf_seg_nearest(text_of(y)),
				"vni, tun, ranges, prefixes");
			continue;
		}
		if (seen[s.id]) {
			conf_error(y->l, line_of(&y->ev), seg_key_name(s.id, name), "once",
				"given twice, first on line %u", seen[s.id]);
			if (next(y))
				skip(y);
			continue;
		}
		seen[s.id] = line_of(&y->ev);
		seg_key(y, &s);
	}
	if (!y->stop && !seen[CS_VNI])
		conf_error(y->l, at, "segments.vni", conf_seg_keys[CS_VNI].allowed, "missing");
	if (!y->stop && !seen[CS_TUN])
		(void)snprintf(s.seg->tun, sizeof(s.seg->tun), "weft%u", s.seg->vni & 0xffffff);
}

/* --- sections that are read as a tree --- */

void conf_node_free(struct conf_node *n)
{
	while (n) {
		struct conf_node *next = n->next;

		conf_node_free(n->sub); /* as deep as DEPTH_MAX */
		free(n->key);
		if (n->text)
			explicit_bzero(n->text, strlen(n->text)); /* it may be a password */
		free(n->text);
		free(n);
		n = next;
	}
}

static struct conf_node *node_new(struct yp *y)
{
	struct conf_node *n = calloc(1, sizeof(*n));

	if (!n) {
		y->l->no_memory = y->stop = true;
		return NULL;
	}
	n->line = line_of(&y->ev);
	n->kind = y->ev.type == YAML_MAPPING_START_EVENT    ? CONF_NODE_MAP
		  : y->ev.type == YAML_SEQUENCE_START_EVENT ? CONF_NODE_LIST
							    : CONF_NODE_TEXT;
	return n;
}

/* The present scalar as an owned text; NULL: no memory, told. */
static char *dup_text(struct yp *y)
{
	char *text = strdup(text_of(y));

	if (!text)
		y->l->no_memory = y->stop = true;
	return text;
}

/* The key of a map's member; steps to its value. NULL: the reading has stopped. */
static char *read_key(struct yp *y)
{
	char *key;

	if (y->ev.type != YAML_SCALAR_EVENT) {
		stop_at(y, line_of(&y->ev), "a key must be plain text");
		return NULL;
	}
	key = dup_text(y);
	if (key && !next(y)) {
		free(key);
		return NULL;
	}
	return key;
}

/* The node whose first event is the present one. A stop leaves it incomplete, which doesn't matter:
 * the stop was an error. */
static struct conf_node *read_node(struct yp *y)
{
	struct conf_node *n = node_new(y), **at;

	if (!n)
		return NULL;
	if (n->kind == CONF_NODE_TEXT) {
		n->text = dup_text(y);
		return n;
	}
	at = &n->sub;
	while (next(y) && y->ev.type != YAML_MAPPING_END_EVENT &&
		y->ev.type != YAML_SEQUENCE_END_EVENT) {
		char *key = NULL;

		if (n->kind == CONF_NODE_MAP && !(key = read_key(y)))
			break;
		*at = read_node(y);
		if (!*at) {
			free(key);
			break;
		}
		(*at)->key = key;
		at = &(*at)->next;
	}
	return n;
}

static void section(struct yp *y, enum conf_id id)
{
	const struct conf_key *k = &conf_keys[id];

	if (id == CK_BGP) {
		struct conf_node *n = read_node(y);

		if (n && !y->stop)
			conf_bgp_read(y->l, n);
		conf_node_free(n);
		return;
	}
	if (id != CK_SEGMENTS) {
		conf_error(y->l, line_of(&y->ev), k->name, k->allowed,
			"this version of weft has no %s yet", k->help);
		skip(y);
		return;
	}
	if (y->ev.type != YAML_SEQUENCE_START_EVENT) {
		conf_error(y->l, line_of(&y->ev), k->name, k->allowed, "needs a list");
		skip(y);
		return;
	}
	while (next(y) && y->ev.type != YAML_SEQUENCE_END_EVENT) {
		if (y->ev.type == YAML_MAPPING_START_EVENT) {
			seg_entry(y);
		} else {
			conf_error(y->l, line_of(&y->ev), k->name, k->allowed,
				"an entry has keys and values");
			skip(y);
		}
	}
}

/* --- the top level --- */

/* The present event is a key. */
static void top_key(struct yp *y, unsigned seen[CONF_NKEYS])
{
	enum conf_id id = conf_find(text_of(y), CONF_YAML);
	unsigned line = line_of(&y->ev);

	if (id == CONF_NONE) {
		unknown_key(
			y, "", conf_nearest(text_of(y), CONF_YAML), "the keys of weftd.yaml(5)");
		return;
	}
	const struct conf_key *k = &conf_keys[id];
	if (!next(y))
		return;
	if (seen[id]) {
		conf_error(y->l, line, k->name, "once", "given twice, first on line %u", seen[id]);
		skip(y);
		return;
	}
	seen[id] = line;
	if (k->kind == CONF_SECTION) {
		section(y, id);
	} else if (k->kind == CONF_LIST) {
		each_scalar(y, k->name, k->allowed, list_item, &id);
	} else if (y->ev.type != YAML_SCALAR_EVENT) {
		conf_error(y->l, line_of(&y->ev), k->name, k->allowed, "needs one plain value");
		skip(y);
	} else {
		conf_set(y->l, id, text_of(y), line);
	}
}

static void document(struct yp *y)
{
	unsigned seen[CONF_NKEYS] = {0};

	if (!next(y)) /* the root node */
		return;
	if (y->ev.type == YAML_SCALAR_EVENT && text_of(y)[0] == '\0')
		return; /* "---" and nothing */
	if (y->ev.type != YAML_MAPPING_START_EVENT) {
		stop_at(y, line_of(&y->ev), "the file must be lines of KEY: VALUE");
		return;
	}
	while (next(y) && y->ev.type != YAML_MAPPING_END_EVENT) {
		if (y->ev.type != YAML_SCALAR_EVENT) {
			stop_at(y, line_of(&y->ev), "a key must be plain text");
			return;
		}
		top_key(y, seen);
	}
}

static void stream(struct yp *y)
{
	/* stream start, then document start or the end of an empty file */
	if (!next(y) || !next(y) || y->ev.type != YAML_DOCUMENT_START_EVENT)
		return;
	document(y);
	/* document end, then the end */
	if (next(y) && next(y) && y->ev.type != YAML_STREAM_END_EVENT)
		stop_at(y, line_of(&y->ev), "a second document begins here; only one is allowed");
}

/* Length of the UTF-8 character at @p, of at most @left bytes; 0 for none (RFC 3629 4: no overlong
 * forms, no surrogates). */
static size_t utf8_len(const unsigned char *p, size_t left)
{
	size_t n = p[0] < 0x80   ? 1
		   : p[0] < 0xc2 ? 0
		   : p[0] < 0xe0 ? 2
		   : p[0] < 0xf0 ? 3
		   : p[0] < 0xf5 ? 4
				 : 0;

	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

/* libyaml finds bad bytes too, but without their line. */
static bool text_ok(struct conf_load *l, const char *text, size_t len)
{
	unsigned line = 1;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_len((const unsigned char *)text + i, len - i);

		if (text[i] == '\0' || n == 0) {
			conf_error(l, line, NULL, "UTF-8 text",
				text[i] == '\0' ? "a NUL byte" : "bytes that are no UTF-8");
			return false;
		}
		line += text[i] == '\n';
		i += n;
	}
	return true;
}

void conf_read_yaml(struct conf_load *l, const char *text, size_t len)
{
	struct yp y = {.l = l};

	if (len > LIM_CONFIG_BYTES) {
		conf_error(l, 0, NULL, "at most 1 MiB", "too large");
		return;
	}
	if (!text_ok(l, text, len))
		return;
	if (!yaml_parser_initialize(&y.parser)) {
		l->no_memory = true;
		return;
	}
	yaml_parser_set_encoding(&y.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&y.parser, (const unsigned char *)text, len);
	stream(&y);
	if (y.have)
		yaml_event_delete(&y.ev);
	yaml_parser_delete(&y.parser);
}
