/* cni.h - the plugin: one call of the runtime, from its environment and configuration to what is
 * printed. Follows the CNI specification 1.1.0, and 0.3.1 to 1.0.0 before it; docs/cni.md has each error
 * and each rule with its test. */
#ifndef WEFT_CNI_H
#define WEFT_CNI_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "weft/addr.h"
#include "ipam.h"

#define CNI_SOCKET "/run/weft/weft.sock"
#define CNI_DATA_DIR                                                                               \
	"/run/weft/cni" /* on a tmpfs: a reboot voids it by itself, and nothing waits for a disk */
#define CNI_WAIT_MS 10000 /* ADD waits so long for weftd to be ready */
#define CNI_VNI     1
#define CNI_MTU_MIN 68 /* 1280 with IPv6 */

/* Error codes: the specification's, that of the reference library (8), and our own from 100. */
enum cni_code {
	CNI_E_VERSION = 1,     /* incompatible version */
	CNI_E_UNSUPPORTED = 2, /* a field that this plugin can't do */
	CNI_E_UNKNOWN = 3,     /* the container is not there: no DEL is needed */
	CNI_E_ENV = 4,         /* environment variables */
	CNI_E_IO = 5,
	CNI_E_DECODE = 6,
	CNI_E_CONFIG = 7,
	CNI_E_HOST_NETNS = 8, /* CNI_NETNS is the host's own */
	CNI_E_LATER = 11,
	CNI_E_NOT_READY = 50,  /* STATUS: no ADD now */
	CNI_E_LIMITED = 51,    /* and pods that run may be cut off */
	CNI_E_EXISTS = 100,    /* the interface or the attachment is there already */
	CNI_E_KERNEL = 101,    /* the kernel refused */
	CNI_E_DIFFERENT = 102, /* CHECK: something is not as ADD left it */
	CNI_E_INTERNAL = 103,  /* no memory */
};

/* What is printed when a verb fails. */
struct cni_error {
	int code; /* 0: none */
	char msg[256], details[768];
};
/* Fill it; the first error stays. Always ERR_REFUSED, so that callers can return it. */
int cni_fail(struct cni_error *e, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Add a line of details. */
void cni_detail(struct cni_error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What is no printable ASCII becomes '?': foreign text that is quoted, whatever a cut made of it, goes into
 * JSON, which wants whole UTF-8. */
void cni_plain(char *text);

/* The versions, in order. */
enum cni_version { CNI_0_3_1, CNI_0_4_0, CNI_1_0_0, CNI_1_1_0, CNI_VERSIONS };
extern const char *const cni_version_text[CNI_VERSIONS];

enum cni_verb { CNI_NONE, CNI_ADD, CNI_DEL, CNI_CHECK, CNI_GC, CNI_STATUS, CNI_VERSION };

/* The environment, values borrowed; NULL: not set. */
struct cni_env {
	const char *command, *container_id, *netns, *ifname, *args, *path;
};

/* One call, parsed. */
struct cni_call {
	enum cni_verb verb;
	char id[IPAM_ID_MAX + 1], ifname[IPAM_IFNAME_MAX + 1];
	const char *netns; /* borrowed from the environment; NULL or "": none */
	char pod_ns[IPAM_POD_NS_MAX + 1], pod[IPAM_POD_MAX + 1], pod_uid[IPAM_UID_MAX + 1];
	json_t *conf;          /* owned: the whole configuration */
	json_t *prev;          /* borrowed from conf: prevResult, an object; NULL: none */
	char version_text[32]; /* as it came in, for what is printed */
	enum cni_version version;
	char network[IPAM_NETWORK_MAX + 1];
	const char *socket, *data_dir; /* borrowed from conf or static */
	unsigned wait_ms, mtu;         /* mtu 0: the mesh's */
	bool pin;
	struct ip ips[IPAM_ADDRS_MAX]; /* asked for by name */
	size_t nips;
	uint8_t mac[6];
	bool has_mac;
};

/* cni_conf.c */
/* Judge environment and configuration (borrowed until cni_call_free). 0, or ERR_REFUSED with @e filled;
 * version_text is set as far as it is known. cni_call_free @out in each case. */
int cni_parse(const struct cni_env *env, const char *conf, size_t len, struct cni_call *out,
	struct cni_error *e);
void cni_call_free(struct cni_call *c);
bool cni_parse_mac(const char *text, uint8_t out[6]); /* six bytes of hex with colons */
void cni_mac_fmt(const uint8_t mac[6], char out[18]);

/* The verbs. Each returns 0 or ERR_REFUSED with @e filled; ADD gives its result, owned, in *@out. */
int cni_add(const struct cni_call *c, json_t **out, struct cni_error *e);
int cni_del(const struct cni_call *c, struct cni_error *e);
int cni_check(const struct cni_call *c, struct cni_error *e);
int cni_gc(const struct cni_call *c, struct cni_error *e);
int cni_status(const struct cni_call *c, struct cni_error *e);

/* Read @in, act, print to @out, log to @log. The exit status. */
int cni_main(const struct cni_env *env, FILE *in, FILE *out, FILE *log);

#endif
