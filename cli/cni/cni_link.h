/* cni_link.h - the kernel side of a pod's interface: a routed veth pair. */
#ifndef WEFT_CNI_LINK_H
#define WEFT_CNI_LINK_H

#include "cni.h"
#include "nl_pod.h"

#define CNI_LINK_PREFIX "wpod"      /* of the host ends' names */
#define CNI_LINK_TABLE  "weft-pods" /* nf_tables table of the pin */
#define CNI_LINK_METRIC 256         /* of the pods' routes in weft's table: below weftd's own */
#define CNI_LINK_RTPROT 157

extern const uint8_t cni_link_mac[NL_MAC_BYTES]; /* of every host end */

/* 169.254.1.1 or fe80::1: what pods have as gateway. */
struct ip cni_link_gateway(uint8_t family);
/* The host end's name, from the container's id and the interface's name. */
void cni_link_name(const char *id, const char *ifname, char out[IFNAMSIZ]);
/* A MAC address for the pod's end, from the same. */
void cni_link_pod_mac(const char *id, const char *ifname, uint8_t out[NL_MAC_BYTES]);

/* Sockets in the host's namespace and, if @netns is given, in the pod's. */
struct cni_link {
	struct nlx host, pod;
	int home, ns; /* descriptors of the namespaces; -1: none */
};
/* Enters @netns (NULL: none) for a moment. Errors 3 (it is not there), 4 (it is no network namespace), 8
 * (it is this process's own), 5, 101. cni_link_close in each case. */
int cni_link_open(struct cni_link *l, const char *netns, struct cni_error *e);
void cni_link_close(struct cni_link *l);
/* Write @value to /proc/sys/@path unless it stands there; inside the pod's namespace if @pod. -errno. */
int cni_link_sysctl(struct cni_link *l, bool pod, const char *path, const char *value);
/* Visit each sysctl that host end @name is to have; @fn's first error ends it. */
int cni_link_host_sysctls(const char *name, bool ipv6,
	int (*fn)(void *ctx, const char *path, const char *value), void *ctx);

/* Make the interface of @att, and its host end @name, with everything. Errors 100, 101; then nothing is
 * left of it. */
int cni_link_add(struct cni_link *l, const struct ipam_att *att, const char *name, unsigned mtu,
	uint32_t table, struct cni_error *e);
/* Routes of @att by host end @ifindex into @table; those that stand are replaced. */
int cni_link_routes(struct cni_link *l, const struct ipam_att *att, int ifindex, uint32_t table);
/* Delete host end @name, and with it the pod's end and all routes. Fine if it is not there; what has
 * that name and is none of ours stays. Error 101. */
int cni_link_del(struct cni_link *l, const char *name, struct cni_error *e);
/* The pin stands, or is put there. Errors 101. */
int cni_link_pin(struct cni_error *e);
void cni_link_unpin(void);

#endif
