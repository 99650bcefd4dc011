/* roa.c - the table of origins. See roa.h.
 *
 * Entries of one prefix stand side by side, and each prefix knows the next longer-than-nothing one that
 * contains it: from the longest match the walk goes up, at most once for each length. */
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/err.h"
#include "lpm.h"
#include "roa.h"

/* Entries first..first+n of one prefix. */
struct spot {
	struct pfx pfx;
	uint32_t first, n;
	const struct spot *up; /* the longest other one that contains it, or NULL */
};

struct roa {
	struct lpm *trie; /* of spots */
	struct spot *spots;
	struct roa_entry *v;
	size_t n;
};

static int cmp(const void *a, const void *b)
{
	const struct roa_entry *x = a, *y = b;

	return pfx_cmp(&x->pfx, &y->pfx);
}

static int index_entries(struct roa *r)
{
	size_t nspots = 0;

	qsort(r->v, r->n, sizeof(*r->v), cmp);
	for (size_t i = 0; i < r->n; i++) {
		struct spot *s = &r->spots[nspots];
		int err;

		if (nspots > 0 && pfx_eq(&s[-1].pfx, &r->v[i].pfx)) {
			s[-1].n++;
			continue;
		}
		*s = (struct spot){.pfx = r->v[i].pfx,
			.first = (uint32_t)i,
			.n = 1,
			.up = lpm_covering(r->trie, &r->v[i].pfx, NULL)};
		err = lpm_set(r->trie, &s->pfx, s, NULL);
		if (err)
			return err;
		nspots++;
	}
	return 0;
}

int roa_new(const struct roa_entry *v, size_t n, struct roa **out)
{
	struct roa *r = calloc(1, sizeof(*r));
	int err = ERR_NOMEM;

	*out = NULL;
	if (!r)
		return ERR_NOMEM;
	r->n = n;
	r->trie = lpm_new(NULL, NULL);
	r->v = malloc((n + 1) * sizeof(*r->v));
	r->spots = malloc((n + 1) * sizeof(*r->spots));
	if (!r->trie || !r->v || !r->spots)
		goto fail;
	for (size_t i = 0; i < n; i++) {
		err = ERR_RANGE;
		if (v[i].max_len < v[i].pfx.len || v[i].max_len > ip_bits(&v[i].pfx.ip))
			goto fail;
		r->v[i] = v[i];
	}
	err = index_entries(r);
	if (err)
		goto fail;
	*out = r;
	return 0;
fail:
	roa_free(r);
	return err;
}

void roa_free(struct roa *r)
{
	if (!r)
		return;
	if (r->trie)
		lpm_free(r->trie);
	free(r->spots);
	free(r->v);
	free(r);
}

size_t roa_count(const struct roa *r)
{
	return r->n;
}

enum roa_state roa_validate(const struct roa *r, const struct pfx *p, uint32_t as)
{
	const struct spot *s = lpm_covering(r->trie, p, NULL);

	if (!s)
		return ROA_UNKNOWN;
	for (; s; s = s->up)
		for (uint32_t i = s->first; i < s->first + s->n; i++)
			if (as != 0 && r->v[i].as == as && p->len <= r->v[i].max_len)
				return ROA_VALID;
	return ROA_INVALID;
}

const char *roa_state_str(enum roa_state s)
{
	static const char *const names[] = {"unknown", "valid", "invalid"};

	return names[s];
}
