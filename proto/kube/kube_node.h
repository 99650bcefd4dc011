/* kube_node.h - what weft reads of a Kubernetes Node, and the two patches that it writes to its own.
 * The names and forms are those of the Kubernetes API, core/v1 Node, in every version since 1.20.
 * Texts in, structs out, and the other way round; no I/O. */
#ifndef WEFT_KUBE_NODE_H
#define WEFT_KUBE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"

/* Annotations on a Node: hints for dialling, never authorisation. */
#define KUBE_ANNOTATION_KEY       "weft.mesh/key"
#define KUBE_ANNOTATION_ENDPOINTS "weft.mesh/endpoints" /* HOST:PORT, separated by commas */

#define KUBE_NAME_MAX  253 /* a DNS subdomain */
#define KUBE_UID_MAX   63
#define KUBE_RV_MAX    63 /* opaque; etcd's are decimal, at most 20 digits */
#define KUBE_CIDRS_MAX 8  /* the API allows two: one of each family */
#define KUBE_EPS_MAX   8  /* hints of one node that are looked at */
#define KUBE_HINT_MAX  511
#define KUBE_KEY_MAX   63

enum kube_condition { KUBE_ABSENT, KUBE_TRUE, KUBE_FALSE, KUBE_UNKNOWN };

struct kube_node {
	char name[KUBE_NAME_MAX + 1];
	char uid[KUBE_UID_MAX + 1];
	struct pfx cidrs[KUBE_CIDRS_MAX];
	size_t ncidrs;
	struct ip addrs[KUBE_EPS_MAX]; /* InternalIP, in the order of the object */
	size_t naddrs;
	char key[KUBE_KEY_MAX + 1];        /* as annotated; "" if not */
	char endpoints[KUBE_HINT_MAX + 1]; /* as annotated; "" if not */
	struct ep eps[KUBE_EPS_MAX];       /* those of it that may be dialled */
	size_t neps;
	enum kube_condition network_unavailable;
	unsigned odd; /* fields of the wrong type or out of bounds, which were passed over */
};

enum kube_event_type {
	KUBE_EVENT_NONE, /* an event type of a later API: passed over */
	KUBE_EVENT_ADDED,
	KUBE_EVENT_MODIFIED,
	KUBE_EVENT_DELETED,
	KUBE_EVENT_BOOKMARK,
	KUBE_EVENT_ERROR,
};

struct kube_event {
	enum kube_event_type type;
	char rv[KUBE_RV_MAX + 1]; /* the object's resourceVersion; "" if none */
	int code;                 /* ERROR: an HTTP status; 0 if none was given */
	int retry_secs;           /* ERROR: what the server asks for, or 0 */
	bool has_node; /* ADDED, MODIFIED, DELETED: false if the object is no usable Node */
	struct kube_node node;
};

struct kube_list_meta {
	char rv[KUBE_RV_MAX + 1];
	const char *more; /* the continue token, owned; NULL: this was the last part */
};

/* Read a Node's @text (borrowed) of @len bytes. Fields of a wrong type are passed over and counted in
 * odd; a pod CIDR with host bits, loopback, multicast or link-local is, too. ERR_MALFORMED: no JSON, not
 * a Node, or no name and uid that follow the API's rules. ERR_NOMEM. */
int kube_node_read(const char *text, size_t len, struct kube_node *out);
/* Read one event of a watch. ERR_MALFORMED: no JSON object with a type and an object. ERR_NOMEM. */
int kube_event_read(const char *text, size_t len, struct kube_event *out);
/* Read a list's members besides its items. ERR_MALFORMED: not a NodeList with a resourceVersion;
 * ERR_LIMIT: a continue token above KUBE_CONTINUE_MAX; ERR_NOMEM. Release with kube_list_meta_free. */
#define KUBE_CONTINUE_MAX 8192
int kube_list_meta_read(const char *text, size_t len, struct kube_list_meta *out);
void kube_list_meta_free(struct kube_list_meta *m); /* zeroed is fine */

/* May @e be dialled on a hint's word? Not loopback, multicast, unspecified or link-local. */
bool kube_ep_usable(const struct ep *e);

/* JSON merge patch (RFC 7386) that sets both annotations. Returns owned (free); NULL: no memory, or a
 * text that is no UTF-8. */
char *kube_patch_annotations(const char *key, const char *endpoints);
/* Strategic merge patch of the status subresource: the condition NetworkUnavailable is false since
 * @unix_secs. Conditions merge by type, so the others stay. Returns owned; NULL: no memory. */
char *kube_patch_network(int64_t unix_secs);

#endif
