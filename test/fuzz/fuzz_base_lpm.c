/* The trie against a list searched whole. The input is a row of operations of 7 bytes: what to do,
 * prefix length, 4 bytes spread over the address, value. */
#include <assert.h>
#include <string.h>
#include "lpm.h"
#include "weft/buf.h"

#define MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct entry {
	struct pfx p;
	void *value;
};

static struct pfx take_pfx(struct rd *r, bool v6)
{
	struct ip ip = {.family = v6 ? IP_V6 : IP_V4};
	unsigned len = rd_u8(r) % (ip_bits(&ip) + 1);
	struct pfx p;

	/* For IPv6: one byte in each quarter, so that both words matter. */
	for (unsigned i = 0; i < 4; i++)
		ip.b[v6 ? 4 * i + i : i] = rd_u8(r);
	if (pfx_make(&ip, len, &p) != 0)
		__builtin_trap();
	return p;
}

static struct entry *find(struct entry *e, size_t n, const struct pfx *p, bool longest)
{
	struct entry *best = NULL;

	for (size_t i = 0; i < n; i++)
		if (longest ? pfx_contains(&e[i].p, p) && (!best || e[i].p.len > best->p.len)
			    : pfx_eq(&e[i].p, p))
			best = &e[i];
	return best;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lpm *t = lpm_new(NULL, NULL);
	struct entry e[MAX], *at;
	size_t n = 0;
	struct rd r;

	rd_init(&r, data, size);
	while (rd_left(&r) >= 7) {
		uint8_t op = rd_u8(&r);
		struct pfx p = take_pfx(&r, op & 1);
		void *value = (void *)(uintptr_t)(1 + rd_u8(&r)), *old;
		at = find(e, n, &p, false);
		if ((op & 2) && (at || n < MAX)) {
			assert(lpm_set(t, &p, value, &old) == 0 && old == (at ? at->value : NULL));
			*(at ? at : &e[n++]) = (struct entry){p, value};
		} else if (op & 4) {
			assert(lpm_del(t, &p) == (at ? at->value : NULL));
			if (at)
				*at = e[--n];
		}
		assert(lpm_count(t) == n);
		at = find(e, n, &p, true);
		assert(lpm_covering(t, &p, NULL) == (at ? at->value : NULL));
		p.len = (uint8_t)ip_bits(&p.ip);
		at = find(e, n, &p, true);
		old = p.ip.family == IP_V4 ? lpm_lookup4(t, p.ip.b) : lpm_lookup6(t, p.ip.b);
		assert(old == (at ? at->value : NULL));
	}
	lpm_free(t);
	return 0;
}
