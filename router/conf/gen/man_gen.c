/* Writes the schema's part of the man pages: `ninja man`. Between the two marker lines of each page
 * stands what conf_man_options() and conf_man_keys() print; a unit test checks that it does. */
#include "conf.h"

#include <stdlib.h>
#include <string.h>

#define BEGIN    ".\\\" BEGIN GENERATED\n"
#define END      ".\\\" END GENERATED\n"
#define PAGE_MAX (256 * 1024)

static int rewrite(const char *dir, const char *file, void (*fn)(FILE *))
{
	static char page[PAGE_MAX];
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, file);
	FILE *f = fopen(path, "r");
	if (!f) {
		perror(path);
		return 1;
	}
	size_t n = fread(page, 1, sizeof(page) - 1, f);
	(void)fclose(f);
	page[n] = '\0';
	char *begin = strstr(page, BEGIN), *end = strstr(page, END);
	if (!begin || !end || end < begin) {
		(void)fprintf(stderr, "%s: no markers\n", path);
		return 1;
	}
	f = fopen(path, "w");
	if (!f) {
		perror(path);
		return 1;
	}
	(void)fwrite(page, 1, (size_t)(begin - page) + strlen(BEGIN), f);
	fn(f);
	(void)fputs(end, f);
	if (fclose(f) != 0) {
		perror(path);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		(void)fprintf(stderr, "usage: %s DIRECTORY-OF-THE-PAGES\n", argv[0]);
		return 2;
	}
	return rewrite(argv[1], "weftd.8", conf_man_options) |
	       rewrite(argv[1], "weftd.yaml.5", conf_man_keys);
}
