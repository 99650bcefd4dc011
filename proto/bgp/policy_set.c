/* policy_set.c - sets of prefixes, communities, patterns of paths, AS numbers.
 *
 * Prefixes: each entry is a prefix and a bitmap of the lengths that are taken below it. Closing a set
 * adds to each entry the lengths of all that contain it, so that the longest entry that contains a
 * route's prefix (a walk down a trie) knows the whole answer. Communities: plain values are sorted and
 * looked for by halves. What is left is walked: patterns, and AS numbers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "policy_int.h"

#define LINK_PREFIX "link:"

int policy_bad(char *why, const char *what)
{
	(void)snprintf(why, POLICY_WHY, "%s", what);
	return ERR_MALFORMED;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool policy_name_ok(const char *text)
{
	size_t len = strlen(text);

	if (!is_letter(text[0]) || len > POLICY_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_letter(text[i]) && !(text[i] >= '0' && text[i] <= '9') && text[i] != '-' &&
			text[i] != '_')
			return false;
	return true;
}

/* Room for one more value. */
static int grow(struct policy_set *s, size_t width)
{
	size_t cap = s->cap ? 2 * s->cap : 4;
	void *v;

	if (s->n == LIM_POLICY_SET)
		return ERR_FULL;
	if (s->n < s->cap)
		return 0;
	v = realloc(s->v, cap * width);
	if (!v)
		return ERR_NOMEM;
	s->v = v;
	s->cap = cap;
	return 0;
}

int policy_set_make(struct policy_book *b, enum policy_kind kind, struct policy_set **out)
{
	struct policy_set *s = calloc(1, sizeof(*s));

	*out = s;
	if (!s)
		return ERR_NOMEM;
	s->kind = kind;
	list_add_tail(&b->sets, &s->in_book);
	return 0;
}

struct policy_set *policy_set_find(
	const struct policy_book *b, enum policy_kind kind, const char *name)
{
	for (struct list *l = b->sets.next; l != &b->sets; l = l->next) {
		struct policy_set *s = list_entry(l, struct policy_set, in_book);

		if (s->kind == kind && strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

int policy_set_new(struct policy_book *b, enum policy_kind kind, const char *name,
	struct policy_set **out, char *why)
{
	struct policy_comm known;
	char ignored[POLICY_WHY];
	int err;

	*out = NULL;
	if (!policy_name_ok(name))
		return policy_bad(why, "is no name");
	if ((kind == POLICY_COMMUNITIES && policy_comm_parse(name, &known, ignored) == 0) ||
		(kind == POLICY_ASNS && strcmp(name, "own") == 0))
		return policy_bad(why, "has a meaning already");
	if (policy_set_find(b, kind, name)) {
		policy_bad(why, "is there already");
		return ERR_EXISTS;
	}
	if (b->nsets == LIM_POLICY_SETS) {
		policy_bad(why, "is one set too many");
		return ERR_FULL;
	}
	err = policy_set_make(b, kind, out);
	if (err)
		return err;
	b->nsets++;
	(void)snprintf((*out)->name, sizeof((*out)->name), "%s", name);
	return 0;
}

/* --- values --- */

static bool digits(const char **text, uint32_t max, uint32_t *out)
{
	const char *p = *text;
	uint64_t v = 0;

	for (; *p >= '0' && *p <= '9' && v <= max; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	if (p == *text || v > max)
		return false;
	*text = p;
	*out = (uint32_t)v;
	return true;
}

int policy_prefix_parse(const char *text, struct pfx *p, uint8_t *ge, uint8_t *le, char *why)
{
	size_t len = strcspn(text, " ");
	bool has_ge = false, has_le = false;
	char cidr[PFX_STRLEN];
	uint32_t v;

	if (len >= sizeof(cidr))
		return policy_bad(why, "is no CIDR");
	memcpy(cidr, text, len);
	cidr[len] = '\0';
	if (pfx_parse(cidr, p) != 0)
		return policy_bad(why, "has no CIDR in front, or one with host bits set");
	*ge = *le = p->len;
	for (text += len; *text == ' ';) {
		bool is_ge = strncmp(text, " ge ", 4) == 0;

		if ((!is_ge && strncmp(text, " le ", 4) != 0) || (is_ge ? has_ge : has_le))
			return policy_bad(
				why, "has words that are neither ge nor le behind the CIDR");
		text += 4;
		if (!digits(&text, ip_bits(&p->ip), &v))
			return policy_bad(why, "has a length that the family doesn't have");
		*(is_ge ? &has_ge : &has_le) = true;
		*(is_ge ? ge : le) = (uint8_t)v;
	}
	if (*text != '\0')
		return policy_bad(why, "has something behind the length");
	if (has_ge && !has_le)
		*le = (uint8_t)ip_bits(&p->ip);
	if (*ge < p->len || *le < *ge)
		return policy_bad(why, "needs length <= ge <= le");
	return 0;
}

static void lens_set(uint64_t lens[3], unsigned ge, unsigned le)
{
	for (unsigned i = ge; i <= le; i++)
		lens[i / 64] |= 1ull << i % 64;
}

int policy_set_put_prefix(struct policy_set *s, const struct pfx *p, unsigned ge, unsigned le)
{
	int err = grow(s, sizeof(*s->prefixes));

	if (err)
		return err;
	s->prefixes[s->n] = (struct policy_prefix){.pfx = *p};
	lens_set(s->prefixes[s->n++].lens, ge, le);
	return 0;
}

static int add_prefix(struct policy_book *b, struct policy_set *s, const char *text, char *why)
{
	struct pfx p;
	uint8_t ge, le;
	int err = policy_prefix_parse(text, &p, &ge, &le, why);

	(void)b;
	return err ? err : policy_set_put_prefix(s, &p, ge, le);
}

static int add_comm(struct policy_book *b, struct policy_set *s, const char *text, char *why)
{
	struct policy_comm c;
	int err = policy_comm_parse(text, &c, why);

	(void)b;
	if (!err)
		err = grow(s, sizeof(c));
	if (!err)
		s->comms[s->n++] = c;
	return err;
}

static int add_path(struct policy_book *b, struct policy_set *s, const char *text, char *why)
{
	struct path_ref *ref = calloc(1, sizeof(*ref));
	int err = ref ? policy_path_new(text, &ref->path, why) : ERR_NOMEM;

	(void)b;
	if (!err)
		err = grow(s, sizeof(ref));
	if (err) {
		if (ref)
			policy_path_free(ref->path);
		free(ref);
		return err;
	}
	ref->refs = 1;
	s->paths[s->n++] = ref;
	return 0;
}

/* The linked cluster of that name, made if it was not named before. */
static int cluster_of(
	struct policy_book *b, const char *name, struct policy_cluster **out, char *why)
{
	size_t n = 0;

	if (!node_name_ok(name))
		return policy_bad(why, "has no name of a link behind the colon");
	for (; n < POLICY_CLUSTERS_MAX && b->clusters[n]; n++)
		if (strcmp(b->clusters[n]->name, name) == 0) {
			*out = b->clusters[n];
			return 0;
		}
	if (n == POLICY_CLUSTERS_MAX)
		return policy_bad(why, "is one linked cluster too many");
	*out = b->clusters[n] = calloc(1, sizeof(**out));
	if (!*out)
		return ERR_NOMEM;
	(void)snprintf((*out)->name, sizeof((*out)->name), "%s", name);
	return 0;
}

static int add_asns(struct policy_book *b, struct policy_set *s, const char *text, char *why)
{
	struct policy_asns a = {0, 0, NULL};
	int err;

	if (strncmp(text, LINK_PREFIX, strlen(LINK_PREFIX)) == 0) {
		err = cluster_of(b, text + strlen(LINK_PREFIX), &a.cluster, why);
		if (err)
			return err;
	} else if (strcmp(text, "own") != 0) {
		const char *p = text;

		if (!digits(&p, UINT32_MAX, &a.lo))
			return policy_bad(why, "is no AS number and no name of a set above it");
		a.hi = a.lo;
		if (*p == '-') {
			p++;
			if (!digits(&p, UINT32_MAX, &a.hi))
				return policy_bad(why, "has no AS number behind the -");
		}
		if (*p || a.lo == 0 || a.hi < a.lo)
			return policy_bad(why, "is no range of AS numbers");
	}
	err = grow(s, sizeof(a));
	if (!err)
		s->asns[s->n++] = a;
	return err;
}

static const struct {
	size_t width;
	int (*add)(struct policy_book *b, struct policy_set *s, const char *text, char *why);
} kinds[POLICY_KINDS] = {
	[POLICY_PREFIXES] = {sizeof(struct policy_prefix), add_prefix},
	[POLICY_COMMUNITIES] = {sizeof(struct policy_comm), add_comm},
	[POLICY_PATHS] = {sizeof(struct path_ref *), add_path},
	[POLICY_ASNS] = {sizeof(struct policy_asns), add_asns},
};

static int full(char *why, int err)
{
	if (err == ERR_FULL && !why[0])
		policy_bad(why, "is one value too many for a set");
	return err;
}

int policy_set_value(struct policy_book *b, struct policy_set *s, const char *text, char *why)
{
	why[0] = '\0';
	return full(why, kinds[s->kind].add(b, s, text, why));
}

int policy_set_add(struct policy_book *b, struct policy_set *s, const char *text, char *why)
{
	const struct policy_set *from =
		policy_name_ok(text) ? policy_set_find(b, s->kind, text) : NULL;
	size_t width = kinds[s->kind].width;

	why[0] = '\0';
	if (!from)
		return full(why, kinds[s->kind].add(b, s, text, why));
	if (from == s)
		return policy_bad(why, "is this set");
	for (size_t i = 0; i < from->n; i++) {
		int err = grow(s, width);

		if (err)
			return full(why, err);
		memcpy((char *)s->v + s->n * width, (char *)from->v + i * width, width);
		if (s->kind == POLICY_PATHS)
			s->paths[s->n]->refs++;
		s->n++;
	}
	return 0;
}

static int by_prefix(const void *a, const void *b)
{
	const struct policy_prefix *x = a, *y = b;

	return pfx_cmp(&x->pfx, &y->pfx);
}

static void lens_add(uint64_t to[3], const uint64_t from[3])
{
	for (unsigned i = 0; i < 3; i++)
		to[i] |= from[i];
}

/* Plain values before patterns. */
static int by_comm(const void *a, const void *b)
{
	bool x = policy_comm_is_plain(a), y = policy_comm_is_plain(b);

	return x != y ? y - x : x ? policy_comm_cmp(a, b) : 0;
}

static void close_comms(struct policy_set *s)
{
	if (s->n > 1)
		qsort(s->comms, s->n, sizeof(*s->comms), by_comm);
	for (s->plain = 0; s->plain < s->n && policy_comm_is_plain(&s->comms[s->plain]);)
		s->plain++;
}

int policy_set_close(struct policy_set *s)
{
	size_t n = 0;

	if (s->kind == POLICY_COMMUNITIES)
		close_comms(s);
	if (s->kind != POLICY_PREFIXES || s->trie || s->n == 0)
		return 0;
	qsort(s->prefixes, s->n, sizeof(*s->prefixes), by_prefix);
	for (size_t i = 0; i < s->n; i++) { /* one entry for each prefix */
		if (n > 0 && pfx_eq(&s->prefixes[n - 1].pfx, &s->prefixes[i].pfx))
			lens_add(s->prefixes[n - 1].lens, s->prefixes[i].lens);
		else
			s->prefixes[n++] = s->prefixes[i];
	}
	s->n = n;
	s->trie = lpm_new(NULL, NULL);
	if (!s->trie)
		return ERR_NOMEM;
	for (size_t i = 0; i < n; i++) { /* sorted: those that contain it are in the trie */
		struct policy_prefix *p = &s->prefixes[i],
				     *in = lpm_covering(s->trie, &p->pfx, NULL);
		int err;

		if (in)
			lens_add(p->lens, in->lens);
		err = lpm_set(s->trie, &p->pfx, p, NULL);
		if (err)
			return err;
	}
	return 0;
}

void policy_set_free(struct policy_set *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->kind == POLICY_PATHS && i < s->n; i++)
		if (--s->paths[i]->refs == 0) {
			policy_path_free(s->paths[i]->path);
			free(s->paths[i]);
		}
	if (s->trie)
		lpm_free(s->trie);
	list_del(&s->in_book);
	free(s->v);
	free(s);
}

bool policy_set_has_prefix(const struct policy_set *s, const struct pfx *p)
{
	const struct policy_prefix *in = s->trie ? lpm_covering(s->trie, p, NULL) : NULL;

	return in && in->lens[p->len / 64] >> p->len % 64 & 1;
}

bool policy_set_has_comm(const struct policy_set *s, enum bgp_list list, const uint8_t *wire)
{
	size_t lo = 0, hi = s->plain;
	struct policy_comm key;

	policy_comm_of(list, wire, &key);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = policy_comm_cmp(&key, &s->comms[mid]);

		if (c == 0)
			return true;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	for (size_t i = s->plain; i < s->n; i++)
		if (s->comms[i].list == list && policy_comm_fits(&s->comms[i], wire))
			return true;
	return false;
}

static bool comms_in(const struct policy_set *s, const struct bgp_attrs *a)
{
	static const enum bgp_list lists[] = {BGP_LIST_COMMUNITY, BGP_LIST_EXT, BGP_LIST_LARGE};

	for (size_t k = 0; k < sizeof(lists) / sizeof(lists[0]); k++) {
		const struct bgp_span *v = policy_comm_span(a, lists[k]);
		unsigned width = policy_comm_width(lists[k]);

		for (unsigned i = 0; i + width <= v->len; i += width)
			if (policy_set_has_comm(s, lists[k], v->p + i))
				return true;
	}
	return false;
}

bool policy_set_in(const struct policy_set *s, const struct bgp_attrs *a)
{
	if (s->kind == POLICY_COMMUNITIES)
		return comms_in(s, a);
	for (size_t i = 0; i < s->n; i++)
		if (policy_path_match(s->paths[i]->path, a))
			return true;
	return false;
}

bool policy_set_has_asn(const struct policy_set *s, uint32_t as, uint32_t own)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct policy_asns *r = &s->asns[i];

		if (r->cluster ? as == r->cluster->asn && as != 0
			       : (r->lo ? as >= r->lo && as <= r->hi : as == own))
			return true;
	}
	return false;
}
