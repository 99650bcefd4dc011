/* Any bytes as a record, and as the body of each kind. What decodes must be sane. */
#include <stdlib.h>
#include <string.h>
#include "record.h"

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond))                                                                       \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void bodies(const uint8_t *body, size_t len)
{
	struct gossip_prefix p[RECORD_PREFIXES_MAX], q[RECORD_PREFIXES_MAX];
	struct record_forget f[RECORD_FORGETS_MAX], g[RECORD_FORGETS_MAX];
	struct ep eps[LIM_ENDPOINTS_PER_NODE];
	uint8_t again[RECORD_BODY_MAX];
	struct record_node node, node_again;
	size_t n, m;
	int again_len;

	if (record_node_decode(body, len, &node) == 0) {
		MUST(node_name_ok(node.name) && node.version[0]);
		again_len = record_node_encode(&node, again);
		MUST(again_len > 0 &&
			record_node_decode(again, (size_t)again_len, &node_again) == 0);
		MUST(strcmp(node.name, node_again.name) == 0 && node.left == node_again.left);
	}
	if (record_endpoints_decode(body, len, eps, LIM_ENDPOINTS_PER_NODE, &n) == 0)
		for (size_t i = 0; i < n; i++)
			MUST(eps[i].port && ip_bits(&eps[i].ip));
	if (record_forgets_decode(body, len, f, RECORD_FORGETS_MAX, &n) == 0) {
		again_len = record_forgets_encode(f, n, again);
		MUST(again_len > 0);
		MUST(record_forgets_decode(again, (size_t)again_len, g, RECORD_FORGETS_MAX, &m) ==
			0);
		MUST(m == n && memcmp(f, g, n * sizeof(f[0])) == 0);
	}
	if (record_prefixes_decode(body, len, p, RECORD_PREFIXES_MAX, &n) == 0) {
		again_len = record_prefixes_encode(p, n, again);
		if (again_len < 0)
			return; /* theirs was shorter: rows may be cut */
		MUST(record_prefixes_decode(again, (size_t)again_len, q, RECORD_PREFIXES_MAX, &m) ==
			0);
		MUST(m == n);
		for (size_t i = 0; i < n; i++)
			MUST(pfx_eq(&p[i].pfx, &q[i].pfx) && p[i].vni == q[i].vni);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record r;
	int len = record_parse(data, size, &r);

	if (len > 0) {
		MUST((size_t)len <= size && r.body_len + RECORD_MIN == (size_t)len);
		MUST(r.body == data + RECORD_HDR && r.epoch > 0);
		bodies(r.body, r.body_len);
	}
	if (size <= RECORD_BODY_MAX)
		bodies(data, size);
	return 0;
}
