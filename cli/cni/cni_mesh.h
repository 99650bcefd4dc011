/* cni_mesh.h - what weftd says of the node: asked over its control socket (docs/json.md, pod-network). */
#ifndef WEFT_CNI_MESH_H
#define WEFT_CNI_MESH_H

#include "cni.h"

struct cni_mesh {
	struct ipam_prefix prefixes[LIM_POD_PREFIXES];
	size_t nprefixes;
	unsigned mtu;
	uint32_t table;
	bool ready, settling, known_to_peer;
	uint64_t peers_known, peers_linked;
	char why[256]; /* not ready: the first reason */
};

/* Ask once. Error 11: nobody answers, or the answer makes no sense. */
int cni_mesh_ask(const char *socket, struct cni_mesh *out, struct cni_error *e);
/* May pods be made now? NULL: yes; else why not, borrowed until @m goes. */
const char *cni_mesh_wants(const struct cni_mesh *m);
/* Ask until pods may be made, at most @wait_ms. Error 11: weftd doesn't run (told at once), or the time
 * is over. */
int cni_mesh_wait(const char *socket, unsigned wait_ms, struct cni_mesh *out, struct cni_error *e);

#endif
