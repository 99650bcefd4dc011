/* Whatever an API server says a Node, an event, or a list is. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "kube_node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct kube_node *n)
{
	assert(n->ncidrs <= KUBE_CIDRS_MAX && n->neps <= KUBE_EPS_MAX && n->naddrs <= KUBE_EPS_MAX);
	assert(n->name[0] && n->uid[0] && !strpbrk(n->name, "/?#% "));
	for (size_t i = 0; i < n->neps; i++)
		assert(kube_ep_usable(&n->eps[i]));
	for (size_t i = 0; i < n->ncidrs; i++)
		assert(n->cidrs[i].len > 0 && n->cidrs[i].len <= ip_bits(&n->cidrs[i].ip));
	/* what stands in an annotation can be written back */
	char *patch = kube_patch_annotations(n->key, n->endpoints);
	assert(patch);
	free(patch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct kube_list_meta m;
	struct kube_event e;
	struct kube_node n;

	if (kube_node_read((const char *)data, len, &n) == 0)
		check(&n);
	if (kube_event_read((const char *)data, len, &e) == 0 && e.has_node)
		check(&e.node);
	if (kube_list_meta_read((const char *)data, len, &m) == 0) {
		assert(m.rv[0] && (!m.more || strlen(m.more) <= KUBE_CONTINUE_MAX));
		kube_list_meta_free(&m);
	}
	return 0;
}
