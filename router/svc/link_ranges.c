/* link_ranges.c - ranges of linked clusters outlive weftd (DESIGN 4.1). What was heard of links is
 * written down, on members too, who have no link of their own; at the start these ranges are unreachable
 * before any device carries anything, and stay so until a gateway leads there.
 *
 * State: the file linked-ranges, a CIDR a line, written whole by rename. They end by the operator's word
 * alone (`weft cluster unlink RANGE`): a link that is down for long is no reason to send in clear. Bound:
 * LIM_LINKED_RANGES. Failure: a damaged file is set aside with a word. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "file.h"
#include "link_svc.h"

#define FILE_NAME   "linked-ranges"
#define FILE_FORMAT 1

static void path_of(const struct daemon *d, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/" FILE_NAME, d->conf->state_dir);
}

static int parse(struct link_svc *s, char *text)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		if (!line[0])
			continue;
		if (s->nclosed == LIM_LINKED_RANGES)
			return ERR_FULL;
		if (pfx_parse(line, &s->closed[s->nclosed]) != 0)
			return ERR_MALFORMED;
		s->nclosed++;
	}
	return 0;
}

void link_ranges_load(struct daemon *d)
{
	char path[PATH_MAX], what[64], *text = NULL;
	uint16_t format;
	size_t len;
	int err;

	path_of(d, path);
	err = file_state_read(path, FILE_NAME, FILE_FORMAT, &format, &text, &len);
	if (!err)
		err = parse(d->link, text);
	free(text);
	if (!err || err == ERR_NOT_FOUND || err == -ENOENT)
		return;
	d->link->nclosed = 0;
	snprintf(what, sizeof(what), "is damaged (%s)", err_str(err));
	state_set_aside(d, path, what,
		"ranges of linked clusters are not kept closed before the links are up");
}

void link_ranges_floor(struct daemon *d)
{
	const struct link_svc *s = d->link;

	for (size_t i = 0; s && i < s->nclosed; i++)
		if (s->closed[i].ip.family == IP_V4 || d->has_ipv6)
			(void)kern_linked_add(d->kern, VNI_DEFAULT, &s->closed[i]);
}

void link_ranges_close(struct daemon *d)
{
	struct link_svc *s = d->link;

	for (size_t i = 0; i < s->nclosed; i++)
		rtab_link_range(d, VNI_DEFAULT, &s->closed[i]);
	s->nclosed = 0;
}

void link_svc_ranges_changed(struct daemon *d)
{
	if (d->link)
		d->link->ranges_changed = d->link->offer_all = true;
}

void link_ranges_save(struct daemon *d)
{
	char text[LIM_LINKED_RANGES * PFX_STRLEN + 1] = "", path[PATH_MAX], one[PFX_STRLEN];
	const struct rtab_entry *e;
	size_t it = 0, n = 0, len = 0;
	int err;

	if (!d->link->ranges_changed)
		return;
	d->link->ranges_changed = false;
	while (n < LIM_LINKED_RANGES && rtab_next(d->rtab, &it, &e))
		if (e->link && !e->outside) {
			len += (size_t)snprintf(
				text + len, sizeof(text) - len, "%s\n", pfx_fmt(&e->pfx, one));
			n++;
		}
	path_of(d, path);
	err = file_state_write(path, FILE_NAME, FILE_FORMAT, text, len);
	if (err)
		daemon_warn(d, "can't write %s: %s", path, err_str(err));
}

int link_ranges_forget(struct daemon *d, const struct pfx *p, char *why)
{
	char text[PFX_STRLEN];
	int err;

	why[0] = '\0';
	for (size_t i = 0; i < LIM_LINKS; i++) {
		const struct link_entry *e = &d->link->entries[i];

		for (size_t n = 0; e->number && n < e->remote.nranges; n++)
			if (pfx_eq(&e->remote.ranges[n], p)) {
				snprintf(why, LINK_WHY_MAX, "link %s leads to %s", e->name,
					pfx_fmt(p, text));
				return ERR_BUSY;
			}
	}
	err = rtab_link_forget(d, VNI_DEFAULT, p);
	if (err == ERR_BUSY)
		snprintf(why, LINK_WHY_MAX, "a gateway leads to %s", pfx_fmt(p, text));
	else if (err == 0)
		link_ranges_save(d);
	return err;
}
