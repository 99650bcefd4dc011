/* nl_xt.c - the older iptables' half of nl_fwd.h: the accept in the filter table's FORWARD chain, by the
 * socket options that the iptables program uses itself, so that no such program is needed.
 *
 * A table is one block: entries behind one another, each with its matches and one target; jumps, and
 * where the chains begin and end, are offsets into the block. To put an entry in means to shift those
 * offsets. The kernel takes only whole tables, checks them, and refuses one that was made from another
 * number of entries than it has now; iptables' lock does the rest. Counters are carried over, as iptables
 * does.
 *
 * Data in: the kernel's block; read as foreign bytes all the same, since one wrong offset would be ours.
 * Parts: what a block says (view_of), the block with and without our entry (edit), the socket. Bounds:
 * XT_MAX_BYTES of a table, STEPS of a walk, DEPTH of jumps. */
#include "nl_xt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>
#include "nl_fwd.h"
#include "weft/err.h"

#define XT_MAX_BYTES (64u * 1024 * 1024)
#define STEPS        200000
#define DEPTH        16
#define LOCK_FILE    "/run/xtables.lock"

/* What differs between the families. */
static const struct family {
	int af, level, get_info, get_entries, set_replace, set_counters;
	size_t ip, entry; /* bytes of the addresses to match, of an entry's head */
	size_t target, next, counters, flags; /* where in the head these stand */
	uint8_t go_to;
	const char *names;
} families[2] = {
	{AF_INET, SOL_IP, IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES, IPT_SO_SET_REPLACE,
		IPT_SO_SET_ADD_COUNTERS, sizeof(struct ipt_ip), sizeof(struct ipt_entry),
		offsetof(struct ipt_entry, target_offset), offsetof(struct ipt_entry, next_offset),
		offsetof(struct ipt_entry, counters), offsetof(struct ipt_ip, flags), IPT_F_GOTO,
		"/proc/net/ip_tables_names"},
	{AF_INET6, SOL_IPV6, IP6T_SO_GET_INFO, IP6T_SO_GET_ENTRIES, IP6T_SO_SET_REPLACE,
		IP6T_SO_SET_ADD_COUNTERS, sizeof(struct ip6t_ip6), sizeof(struct ip6t_entry),
		offsetof(struct ip6t_entry, target_offset),
		offsetof(struct ip6t_entry, next_offset), offsetof(struct ip6t_entry, counters),
		offsetof(struct ip6t_ip6, flags), IP6T_F_GOTO, "/proc/net/ip6_tables_names"},
};

/* The two families' info, entries and replace structs are the same but for their names. */
static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo), "info");
static_assert(offsetof(struct ipt_get_entries, entrytable) ==
		      offsetof(struct ip6t_get_entries, entrytable),
	"entries");
static_assert(
	offsetof(struct ipt_replace, entries) == offsetof(struct ip6t_replace, entries), "replace");

/* ---- reading ---- */

enum fate { F_RETURN, F_ACCEPT, F_DROP };

struct entry {
	uint32_t at, next; /* offsets; next: of the entry behind */
	bool plain;        /* no condition */
	bool ours;
	char text[sizeof(((struct xt_comment_info *)0)->comment) + 1]; /* its comment */
	bool standard, error, rejects;                                 /* target */
	int verdict; /* of a standard one; above 0: a jump */
	bool go_to;
};

static uint16_t u16_at(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The head that matches and targets share: size, name. */
static bool item_at(const uint8_t *p, size_t left, uint16_t *size, char name[30])
{
	if (left < sizeof(struct xt_entry_match))
		return false;
	*size = u16_at(p);
	if (*size < sizeof(struct xt_entry_match) || *size > left)
		return false;
	memcpy(name, p + 2, XT_EXTENSION_MAXNAMELEN);
	name[29] = '\0';
	return true;
}

static bool head_plain(const struct family *f, const uint8_t *p, struct entry *e)
{
	e->go_to = (p[f->flags] & f->go_to) != 0;
	for (size_t i = 0; i < f->ip; i++)
		if (p[i] != 0 && !(i == f->flags && p[i] == f->go_to))
			return false;
	return true;
}

static int entry_matches(const uint8_t *p, size_t left, struct entry *e)
{
	const size_t head = sizeof(struct xt_entry_match), room = sizeof(e->text) - 1;
	uint16_t size;
	char name[30];

	while (left > 0) {
		if (!item_at(p, left, &size, name))
			return ERR_MALFORMED;
		if (strcmp(name, "comment") != 0)
			e->plain = false;
		else
			memcpy(e->text, p + head, size - head < room ? size - head : room);
		p += size;
		left -= size;
	}
	return 0;
}

static int entry_at(const struct nl_xt *t, uint32_t at, struct entry *e)
{
	const struct family *f = &families[t->v6];
	const uint8_t *p = t->block + at;
	uint16_t target, next, size;
	char name[30];
	int err;

	memset(e, 0, sizeof(*e));
	if (at > t->size || t->size - at < f->entry)
		return ERR_MALFORMED;
	target = u16_at(p + f->target);
	next = u16_at(p + f->next);
	if (target < f->entry || next < target || next > t->size - at || next == 0)
		return ERR_MALFORMED;
	e->at = at;
	e->next = at + next;
	e->plain = head_plain(f, p, e);
	err = entry_matches(p + f->entry, target - f->entry, e);
	if (err != 0)
		return err;
	if (!item_at(p + target, next - target, &size, name))
		return ERR_MALFORMED;
	e->standard = name[0] == '\0';
	e->error = strcmp(name, XT_ERROR_TARGET) == 0;
	e->rejects = strcmp(name, "REJECT") == 0;
	if (e->standard) {
		if (size < offsetof(struct xt_standard_target, verdict) + sizeof(int))
			return ERR_MALFORMED;
		memcpy(&e->verdict, p + target + offsetof(struct xt_standard_target, verdict),
			sizeof(int));
	}
	e->ours = e->standard && e->verdict == -NF_ACCEPT - 1 &&
		  strncmp(e->text, NL_FWD_COMMENT, strlen(NL_FWD_COMMENT)) == 0;
	return 0;
}

/* A walk's bound: a table without loops ends long before. */
struct budget {
	unsigned steps, depth;
};

static int effect(const struct nl_xt *t, uint32_t at, struct budget *b, enum fate *out);

/* Does everything that comes to @e end here, and how? F_RETURN and not *@ends: it goes on. */
static int settle_entry(
	const struct nl_xt *t, const struct entry *e, struct budget *b, enum fate *out, bool *ends)
{
	int err;

	*out = F_RETURN;
	*ends = false;
	if (!e->plain || e->ours)
		return 0;
	if (e->rejects) {
		*out = F_DROP;
	} else if (e->standard && e->verdict < 0) {
		*ends = e->verdict == XT_RETURN;
		*out = e->verdict == -NF_ACCEPT - 1 ? F_ACCEPT
		       : e->verdict == -NF_DROP - 1 ? F_DROP
						    : F_RETURN;
	} else if (e->standard &&
		   (uint32_t)e->verdict != e->next) { /* else a rule without target */
		err = effect(t, (uint32_t)e->verdict, b, out);
		if (err != 0)
			return err;
		*ends = e->go_to;
	}
	*ends |= *out != F_RETURN;
	return 0;
}

/* What becomes of a packet that no condition decides about, from the entry at @at on. */
static int effect(const struct nl_xt *t, uint32_t at, struct budget *b, enum fate *out)
{
	bool ends = false;
	struct entry e;
	int err = 0;

	*out = F_RETURN;
	if (b->depth == DEPTH)
		return 0;
	b->depth++;
	while (!ends && err == 0) {
		err = b->steps++ < STEPS ? entry_at(t, at, &e) : ERR_MALFORMED;
		if (err != 0 || e.error) /* the next chain's head */
			break;
		err = settle_entry(t, &e, b, out, &ends);
		at = e.next;
	}
	b->depth--;
	return err;
}

void nl_xt_comment(char out[NL_XT_COMMENT_BYTES], uint32_t mark, uint32_t mask)
{
	snprintf(out, NL_XT_COMMENT_BYTES, NL_FWD_COMMENT ", mark 0x%08x/0x%08x", mark, mask);
}

int nl_xt_view_of(
	const struct nl_xt *t, uint32_t mark, uint32_t mask, struct nl_xt_view *v, uint32_t *before)
{
	char comment[NL_XT_COMMENT_BYTES];
	struct budget b = {0};
	enum fate fate = F_RETURN;
	uint32_t at = t->forward;
	bool ends = false, current = false, late = false;
	struct entry e;
	int err = 0;

	*v = (struct nl_xt_view){.there = true};
	*before = t->policy;
	nl_xt_comment(comment, mark, mask);
	while (err == 0) {
		err = b.steps++ < STEPS ? entry_at(t, at, &e) : ERR_MALFORMED;
		if (err != 0)
			break;
		if (e.ours) {
			v->ours++;
			current = strcmp(e.text, comment) == 0;
			late |= ends;
		} else if (!ends) {
			err = settle_entry(t, &e, &b, &fate, &ends);
			if (ends)
				*before = at;
		}
		if (at == t->policy)
			break;
		at = e.next;
	}
	v->needed = fate == F_DROP;
	v->stands = v->ours == 1 && current && !late;
	return err;
}

/* ---- changing ---- */

struct edit {
	const struct nl_xt *t;
	uint32_t ins, ins_len; /* where, in the old block; 0 bytes: nothing */
	uint32_t gone[8], gone_len[8];
	unsigned ngone;
};

/* Where the entry that stood at @old stands now. */
static uint32_t moved(const struct edit *d, uint32_t old)
{
	uint32_t now = old;

	for (unsigned i = 0; i < d->ngone; i++)
		if (d->gone[i] < old)
			now -= d->gone_len[i];
	return old >= d->ins ? now + d->ins_len : now;
}

static uint32_t put_item(
	uint8_t *p, size_t size, const char *name, uint8_t revision, const void *data, size_t len)
{
	size_t all = XT_ALIGN(sizeof(struct xt_entry_match) + size);
	struct xt_entry_match m = {.u.user = {.match_size = (uint16_t)all, .revision = revision}};

	memset(p, 0, all);
	snprintf(m.u.user.name, sizeof(m.u.user.name), "%s", name);
	memcpy(p, &m, sizeof(m));
	memcpy(p + sizeof(m), data, len);
	return (uint32_t)all;
}

/* Our entry; its length. */
static uint32_t put_accept(const struct family *f, uint8_t *p, uint32_t mark, uint32_t mask)
{
	struct xt_mark_mtinfo1 m = {.mark = mark, .mask = mask};
	char comment[NL_XT_COMMENT_BYTES];
	int verdict = -NF_ACCEPT - 1;
	uint32_t len = (uint32_t)f->entry;
	uint16_t v;

	nl_xt_comment(comment, mark, mask);
	memset(p, 0, f->entry);
	len += put_item(p + len, sizeof(m), "mark", 1, &m, sizeof(m));
	len += put_item(
		p + len, sizeof(struct xt_comment_info), "comment", 0, comment, strlen(comment));
	v = (uint16_t)len;
	memcpy(p + f->target, &v, sizeof(v));
	len += put_item(p + len, sizeof(verdict), "", 0, &verdict, sizeof(verdict));
	v = (uint16_t)len;
	memcpy(p + f->next, &v, sizeof(v));
	return len;
}

/* Find what goes: ours inside FORWARD. */
static int find_gone(struct edit *d)
{
	struct entry e;
	int err;

	for (uint32_t at = d->t->forward; at != d->t->policy; at = e.next) {
		err = entry_at(d->t, at, &e);
		if (err != 0)
			return err;
		if (!e.ours || d->ngone == sizeof(d->gone) / sizeof(d->gone[0]))
			continue;
		d->gone[d->ngone] = at;
		d->gone_len[d->ngone++] = e.next - at;
	}
	return 0;
}

static bool is_gone(const struct edit *d, uint32_t at)
{
	for (unsigned i = 0; i < d->ngone; i++)
		if (d->gone[i] == at)
			return true;
	return false;
}

/* Copy the entries, shifting the jumps; @map gets, per entry of the new block, 1 + the number of the
 * old one, or 0. */
static int copy_entries(const struct edit *d, struct nl_xt_new *n, const uint8_t *accept)
{
	const struct family *f = &families[d->t->v6];
	uint32_t number = 0, to;
	struct entry e;
	int err;

	for (uint32_t at = 0; at < d->t->size; at = e.next, number++) {
		uint8_t *p = n->block + n->size;

		err = number < d->t->entries ? entry_at(d->t, at, &e) : ERR_MALFORMED;
		if (err != 0)
			return err;
		if (at == d->ins && d->ins_len > 0) {
			memcpy(p, accept, d->ins_len);
			n->size += d->ins_len;
			n->map[n->entries++] = 0;
			p += d->ins_len;
		}
		if (is_gone(d, at))
			continue;
		memcpy(p, d->t->block + at, e.next - at);
		memset(p + f->counters, 0, sizeof(struct xt_counters));
		if (e.standard && e.verdict >= 0) {
			to = moved(d, (uint32_t)e.verdict);
			/* A rule without target points behind itself, to whatever is there now. */
			if ((uint32_t)e.verdict == e.next)
				to = n->size + (e.next - at);
			memcpy(p + u16_at(p + f->target) +
					offsetof(struct xt_standard_target, verdict),
				&to, sizeof(to));
		}
		n->size += e.next - at;
		n->map[n->entries++] = number + 1;
	}
	return number == d->t->entries ? 0 : ERR_MALFORMED;
}

int nl_xt_edit(const struct nl_xt *t, uint32_t mark, uint32_t mask, struct nl_xt_new *n)
{
	uint8_t accept[1024];
	struct edit d = {.t = t, .ins = t->size};
	struct nl_xt_view v;
	uint32_t before;
	int err = nl_xt_view_of(t, mark, mask, &v, &before);

	memset(n, 0, sizeof(*n));
	if (err == 0)
		err = find_gone(&d);
	if (err != 0)
		return err;
	if (mark != 0 && v.needed) {
		d.ins = before;
		d.ins_len = put_accept(&families[t->v6], accept, mark, mask);
	}
	n->block = malloc((size_t)t->size + sizeof(accept));
	n->map = calloc((size_t)t->entries + 1, sizeof(*n->map));
	err = n->block && n->map ? copy_entries(&d, n, accept) : ERR_NOMEM;
	if (err != 0) {
		nl_xt_new_free(n);
		return err;
	}
	for (unsigned i = 0; i < NF_INET_NUMHOOKS; i++) {
		n->hooks[i] = moved(&d, t->hooks[i]);
		n->policies[i] = moved(&d, t->policies[i]);
	}
	/* What is put before the first rule is the chain's beginning now. */
	if (d.ins_len > 0 && t->forward == d.ins)
		n->hooks[NF_INET_FORWARD] -= d.ins_len;
	return 0;
}

void nl_xt_new_free(struct nl_xt_new *n)
{
	free(n->block);
	free(n->map);
	memset(n, 0, sizeof(*n));
}

/* ---- the socket ---- */

/* Asking the kernel for a table makes it; so a file that lists the tables is read first. */
static bool filter_there(const struct family *f)
{
	FILE *file = fopen(f->names, "re");
	char line[64];
	bool yes = false;

	if (!file)
		return false;
	while (!yes && fgets(line, sizeof(line), file))
		yes = strcmp(line, "filter\n") == 0;
	fclose(file);
	return yes;
}

void nl_xt_free(struct nl_xt *t)
{
	free(t->raw);
	memset(t, 0, sizeof(*t));
}

int nl_xt_read(int fd, bool v6, struct nl_xt *t)
{
	const struct family *f = &families[v6];
	struct ipt_getinfo info = {.name = "filter"};
	socklen_t len = sizeof(info);
	struct ipt_get_entries *e;

	memset(t, 0, sizeof(*t));
	if (getsockopt(fd, f->level, f->get_info, &info, &len) != 0)
		return -errno;
	if (info.size > XT_MAX_BYTES)
		return ERR_FULL;
	len = (socklen_t)(offsetof(struct ipt_get_entries, entrytable) + info.size);
	e = calloc(1, len);
	if (!e)
		return ERR_NOMEM;
	strcpy(e->name, "filter");
	e->size = info.size;
	if (getsockopt(fd, f->level, f->get_entries, e, &len) != 0) {
		free(e);
		return -errno; /* EAGAIN: it changed in between */
	}
	t->v6 = v6;
	t->raw = e;
	t->block = (const uint8_t *)e->entrytable;
	t->size = info.size;
	t->entries = info.num_entries;
	t->valid_hooks = info.valid_hooks;
	memcpy(t->hooks, info.hook_entry, sizeof(t->hooks));
	memcpy(t->policies, info.underflow, sizeof(t->policies));
	t->forward = t->hooks[NF_INET_FORWARD];
	t->policy = t->policies[NF_INET_FORWARD];
	return 0;
}

/* The new table's counters, from the old one's. Failing costs figures only. */
static void restore_counters(
	int fd, const struct family *f, const struct nl_xt_new *n, const struct xt_counters *old)
{
	size_t len = sizeof(struct xt_counters_info) + n->entries * sizeof(struct xt_counters);
	struct xt_counters_info *c = calloc(1, len);

	if (!c)
		return;
	strcpy(c->name, "filter");
	c->num_counters = n->entries;
	for (uint32_t i = 0; i < n->entries; i++)
		if (n->map[i] > 0)
			c->counters[i] = old[n->map[i] - 1];
	(void)setsockopt(fd, f->level, f->set_counters, c, (socklen_t)len);
	free(c);
}

static int replace(int fd, const struct nl_xt *t, const struct nl_xt_new *n)
{
	const struct family *f = &families[t->v6];
	size_t len = offsetof(struct ipt_replace, entries) + n->size;
	struct ipt_replace *r = calloc(1, len);
	struct xt_counters *old = calloc(t->entries + 1, sizeof(*old));
	int err = ERR_NOMEM;

	if (!r || !old)
		goto out;
	strcpy(r->name, "filter");
	r->valid_hooks = t->valid_hooks;
	r->num_entries = n->entries;
	r->size = n->size;
	memcpy(r->hook_entry, n->hooks, sizeof(n->hooks));
	memcpy(r->underflow, n->policies, sizeof(n->policies));
	r->num_counters = t->entries;
	r->counters = old;
	memcpy(r->entries, n->block, n->size);
	err = setsockopt(fd, f->level, f->set_replace, r, (socklen_t)len) == 0 ? 0 : -errno;
	if (err == 0)
		restore_counters(fd, f, n, old);
out:
	free(r);
	free(old);
	return err;
}

int nl_xt_look(bool v6, uint32_t mark, uint32_t mask, struct nl_xt_view *out)
{
	struct nl_xt t;
	uint32_t before;
	int fd, err;

	*out = (struct nl_xt_view){.there = false};
	if (!filter_there(&families[v6]))
		return 0;
	fd = socket(families[v6].af, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = nl_xt_read(fd, v6, &t);
	if (err == 0) {
		err = nl_xt_view_of(&t, mark, mask, out, &before);
		nl_xt_free(&t);
	}
	close(fd);
	return err;
}

int nl_xt_set(bool v6, uint32_t mark, uint32_t mask)
{
	int lock = open(LOCK_FILE, O_RDONLY | O_CREAT | O_CLOEXEC, 0600), fd = -1, err;
	struct nl_xt_new n = {.block = NULL};
	struct nl_xt t = {.raw = NULL};

	/* Without a /run to write to there is no iptables beside us that would look at it. */
	if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) != 0) {
		err = -EAGAIN;
		goto out;
	}
	fd = socket(families[v6].af, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	err = fd < 0 ? -errno : nl_xt_read(fd, v6, &t);
	if (err == 0)
		err = nl_xt_edit(&t, mark, mask, &n);
	if (err == 0)
		err = replace(fd, &t, &n);
out:
	nl_xt_new_free(&n);
	nl_xt_free(&t);
	if (fd >= 0)
		close(fd);
	if (lock >= 0)
		close(lock);
	return err;
}
