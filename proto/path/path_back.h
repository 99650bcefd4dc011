/* path_back.h - the way back to whoever speaks through relays, as its last datagram came: for answers to
 * handshakes whose sender nobody knows yet. And routes in the words of the data plane, which names nodes
 * by their labels as numbers.
 *
 * One thread, no I/O, beside the core: drivers keep one of these each. Bound: LIM_PATH_WAYS origins, the
 * oldest gives way. A relay may lie in the labels that it writes; what it gains is that answers to
 * handshakes come its way, which it can neither read nor use. */
#ifndef WEFT_PATH_BACK_H
#define WEFT_PATH_BACK_H

#include <stddef.h>
#include <stdint.h>
#include "path.h"

struct path_backs;

/* @seed keys the table. Returns owned; NULL: no memory. */
struct path_backs *path_backs_new(const uint8_t seed[16]);
void path_backs_free(struct path_backs *b); /* NULL is fine */
/* A datagram from the node with @label came, and @r (copied) is the way back. ERR_NOMEM: it is not
 * remembered. */
int path_backs_put(struct path_backs *b, uint64_t label, const struct path_route *r, ts_t now);
/* Borrowed until the next put. NULL: nothing came from it for longer than a handshake takes. */
const struct path_route *path_backs_get(const struct path_backs *b, uint64_t label, ts_t now);
size_t path_backs_count(const struct path_backs *b); /* at most LIM_PATH_WAYS */

/* A node's label as a number: the first bytes of its key, in network order. */
uint64_t path_label_num(const struct path_label *l);
/* What stands on the wire for a route of @r->n > 0 relays to the node with label @end: @r->n labels, those
 * of the relays after the first, then @end. */
void path_route_labels(const struct path_route *r, uint64_t end, uint64_t out[PATH_RELAYS_MAX]);
/* And back: the route that begins at @first and has these @n (1..PATH_RELAYS_MAX) labels. */
void path_route_from(struct path_route *out, const struct node_key *first, unsigned n,
	const uint64_t labels[PATH_RELAYS_MAX]);

#endif
