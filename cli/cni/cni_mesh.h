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
/* Milliseconds of the clock that deadlines are in. */
int64_t cni_mesh_now_ms(void);
/* Ask until pods may be made, at most until @deadline_ms. Error 11: weftd doesn't run (told at once), or
 * the time is over. */
int cni_mesh_wait(
	const char *socket, int64_t deadline_ms, struct cni_mesh *out, struct cni_error *e);
/* The addresses of @family are used up: weftd is to claim another block (docs/ownership.md). True: it
 * does, or did already; false: @why says why not, in @cap bytes. */
bool cni_mesh_more(const char *socket, enum ip_family family, char *why, size_t cap);
/* The same, and wait until there is a prefix of that family which *@m does not have, at most until
 * @deadline_ms; *@m is then the new state. Asks for a block only if there is no such prefix already.
 * False: as above. */
bool cni_mesh_grow(const char *socket, int64_t deadline_ms, enum ip_family family,
	struct cni_mesh *m, char *why, size_t cap);

#endif
