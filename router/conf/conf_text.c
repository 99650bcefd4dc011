/* The schema as text: --help, and the parts of weftd(8) and weftd.yaml(5) that list options. */
#include "conf_schema.h"

#include <string.h>

#define WIDTH  80
#define INDENT 8

/* Print @text in lines of WIDTH behind INDENT blanks. */
static void wrap(FILE *out, const char *text)
{
	size_t col = 0;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (col > 0 && col + 1 + word > WIDTH) {
			(void)fputc('\n', out);
			col = 0;
		}
		if (col == 0)
			col = (size_t)fprintf(out, "%*s%.*s", INDENT, "", (int)word, text);
		else
			col += (size_t)fprintf(out, " %.*s", (int)word, text);
		text += word + strspn(text + word, " ");
	}
	(void)fputc('\n', out);
}

/* Everything there is to say of a key, as one paragraph. */
static void describe(const struct conf_key *k, char *out, size_t cap)
{
	bool list = k->kind == CONF_LIST;

	(void)snprintf(out, cap, "%s%s%s%s%s%s%s%s%s", k->help,
		list ? k->where & CONF_FLAG ? " May be repeated." : "" : "",
		k->kind != CONF_ACTION ? " Allowed: " : "",
		k->kind != CONF_ACTION ? k->allowed : "", k->kind != CONF_ACTION ? "." : "",
		k->dflt ? " Default: " : "", k->dflt ? k->dflt : "",
		k->dflt && k->unit ? ", in " : "", k->dflt && k->unit ? k->unit : "");
	if (k->dflt)
		strncat(out, ".", cap - strlen(out) - 1);
}

void conf_help(FILE *out)
{
	char text[1024];

	(void)fputs("Usage: weftd --secret-file FILE --cluster-range CIDR --prefix CIDR\n"
		    "             [--peer HOST:PORT]... [FLAG]...\n"
		    "       weftd --config FILE [FLAG]...\n"
		    "       weftd --check ... | --down | --version | --help\n\n"
		    "weftd joins this host to an encrypted mesh; weft asks it how it fares.\n\n"
		    "Flags (settings are keys of the YAML file too):\n",
		out);
	for (size_t i = 0; i < CONF_NKEYS; i++) {
		const struct conf_key *k = &conf_keys[i];

		if (!(k->where & CONF_FLAG) || (k->where & CONF_HIDDEN))
			continue;
		(void)fprintf(out, "  --%s%s%s\n", k->name, k->value ? " " : "",
			k->value ? k->value : "");
		describe(k, text, sizeof(text));
		wrap(out, text);
	}
}

/* Roff: a backslash and a minus need an escape, a line must not begin with a dot or a quote. */
static void roff(FILE *out, const char *text)
{
	for (const char *p = text; *p; p++) {
		if (*p == '-')
			(void)fputs("\\-", out);
		else if (*p == '\\')
			(void)fputs("\\e", out);
		else if ((*p == '.' || *p == '\'') && p == text)
			(void)fprintf(out, "\\&%c", *p);
		else
			(void)fputc(*p, out);
	}
}

static void man_entry(
	FILE *out, const char *dashes, const char *name, const char *value, const char *text)
{
	(void)fputs(".TP\n\\fB", out);
	roff(out, dashes);
	roff(out, name);
	(void)fputs("\\fR", out);
	if (value) {
		(void)fputs(" \\fI", out);
		roff(out, value);
		(void)fputs("\\fR", out);
	}
	(void)fputc('\n', out);
	roff(out, text);
	(void)fputc('\n', out);
}

void conf_man_options(FILE *out)
{
	char text[1024];

	for (size_t i = 0; i < CONF_NKEYS; i++) {
		const struct conf_key *k = &conf_keys[i];

		if (!(k->where & CONF_FLAG) || (k->where & CONF_HIDDEN))
			continue;
		describe(k, text, sizeof(text));
		man_entry(out, "--", k->name, k->value, text);
	}
}

void conf_man_keys(FILE *out)
{
	char text[1024], value[64];

	for (size_t i = 0; i < CONF_NKEYS; i++) {
		const struct conf_key *k = &conf_keys[i];

		if (!(k->where & CONF_YAML) || (k->where & CONF_HIDDEN))
			continue;
		describe(k, text, sizeof(text));
		(void)snprintf(value, sizeof(value), k->kind == CONF_LIST ? "[%s, ...]" : "%s",
			k->value ? k->value : "[{...}, ...]");
		man_entry(out, "", k->name, value, text);
		if (i != CK_SEGMENTS)
			continue;
		(void)fputs(".RS\n", out);
		for (size_t s = 0; s < CONF_NSEG; s++) {
			(void)snprintf(text, sizeof(text), "%s Allowed: %s.", conf_seg_keys[s].help,
				conf_seg_keys[s].allowed);
			man_entry(out, "", conf_seg_keys[s].name, NULL, text);
		}
		(void)fputs(".RE\n", out);
	}
}
