/* kern.h - the kernel state that weft wants, kept true (DESIGN 4.1, 4.3).
 *
 * The caller states what should stand: links, addresses, routes, rules, NOTRACK. kern_sync()
 * carries out what is missing in batches over libmnl; the watcher (kern_fd, kern_event) notices
 * when somebody removes any of it and puts it back (counted). Everything carries weft's routing
 * protocol number (KERN_RTPROT) and stands in weft's tables and rule preferences, listed in
 * docs/kernel-objects.md, so kern_down() recognises all of it without any state. One thread. */
#ifndef WEFT_KERN_H
#define WEFT_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/ts.h"

/* rtnetlink protocol of all our routes and rules. Not one of those that routing suites use (FRR: 186 to 198):
 * they delete what they take for their own at start. */
#define KERN_RTPROT 157
#define KERN_TABLE_BASE                                                                            \
	679300 /* + VNI below 1024: one table per segment, control segment included */
#define KERN_TABLE_HIGH     0x57000000 /* + VNI from 1024 up */
#define KERN_RULE_PREF      6790       /* 6790..6799 are ours */
#define KERN_METRIC_OWN     512        /* own prefixes */
#define KERN_METRIC_REMOTE  1024       /* remote prefixes */
#define KERN_UNREACH_METRIC 4278198272u

struct kern;

/* The routing table of a segment. */
uint32_t kern_table(uint32_t vni);

/* Whose packets get an address of this host when they leave the mesh here. */
enum kern_masq {
	KERN_MASQ_NONE,
	KERN_MASQ_PODS, /* own prefixes of the first segment that are bound to no device */
	KERN_MASQ_ALL,  /* all of the first segment's ranges */
};

struct kern_cfg {
	uint32_t mark, mark_mask;            /* of outer sockets */
	uint16_t port;                       /* the mesh's UDP port, for NOTRACK */
	uint16_t side_port_lo, side_port_hi; /* workers' own source ports; 0: none */
	bool notrack;
	bool ipv6; /* the host has IPv6 */
	enum kern_masq masquerade;
	bool learned; /* the first segment's table of learned routes (kfib.h) is asked too */
};

/* Open the sockets. -errno, ERR_UNSUPPORTED. Returns owned. Changes nothing in the kernel. */
int kern_open(const struct kern_cfg *cfg, struct kern **out);
/* Closes; leaves the kernel state as it is (promise 4.1: the ranges stay unreachable). */
void kern_close(struct kern *k);

/* Wanted state. Each returns 0 or an error and changes nothing then: ERR_EXISTS, ERR_NOT_FOUND (the
 * segment or the prefix), ERR_NOMEM, ERR_FULL (LIM_KERN_ROUTES, LIM_KERN_DEVICES, LIM_SEGMENTS).
 * Nothing is sent before kern_sync(), but for kern_segment_add, which needs the device to exist
 * (priv_tun_open) and does its part at once. State all that is wanted before the first kern_sync:
 * it removes what a weftd before this one left and nobody wants now. */
/* A segment's device: up, @mtu, addresses as host routes (/32, /128; at most 8), sysctls (rp_filter
 * off, ignore_routes_with_linkdown on, no redirects, no accept_ra), its table and rules. Other
 * global addresses are removed from it. -ENODEV: no such device; ERR_FOREIGN: not a TUN of ours;
 * ERR_RANGE: too many addresses, a VNI above 24 bits, a name with characters that rules and nft
 * would have to quote; ERR_CONFLICT: the device belongs to another segment. */
int kern_segment_add(struct kern *k, uint32_t vni, const char *ifname, unsigned mtu,
	const struct ip *addrs, size_t naddrs);
int kern_segment_mtu(struct kern *k, uint32_t vni, unsigned mtu);
/* Replace the segment's mesh addresses. */
int kern_segment_addrs(struct kern *k, uint32_t vni, const struct ip *addrs, size_t naddrs);
/* The segment's routes and rules go at the next kern_sync; the device is the caller's to delete. */
int kern_segment_del(struct kern *k, uint32_t vni);
/* An unreachable route at KERN_UNREACH_METRIC. In the control segment also: unreachable for
 * whatever this host does not send itself. */
int kern_range_add(struct kern *k, uint32_t vni, const struct pfx *range);
/* A range of another cluster that this one is linked to: the same, and masquerade is kept off it, but
 * it is no range of ours. At most LIM_LINKED_RANGES (ERR_FULL). Adding it again is harmless. */
int kern_linked_add(struct kern *k, uint32_t vni, const struct pfx *range);
int kern_linked_del(struct kern *k, uint32_t vni, const struct pfx *range);
/* An own prefix: unreachable at KERN_METRIC_OWN unless @device is given (--prefix CIDR@DEVICE),
 * which gets a device route while it is there and up; the prefix is unreachable else. The device is
 * bound to the segment: what comes from it is routed by the segment's table. ERR_CONFLICT,
 * ERR_RANGE as above. */
int kern_local_add(struct kern *k, uint32_t vni, const struct pfx *p, const char *device);
int kern_local_del(struct kern *k, uint32_t vni, const struct pfx *p);
/* A remote prefix through the segment's TUN; @mtu 0: the device's; @src NULL or of family IP_NONE:
 * none, else one of the host's addresses. Adding again changes it. */
int kern_route_add(
	struct kern *k, uint32_t vni, const struct pfx *p, unsigned mtu, const struct ip *src);
int kern_route_del(struct kern *k, uint32_t vni, const struct pfx *p);

/* Make the kernel agree. Tries all, returns the first error; what failed is tried again at the next
 * call. @why (may be NULL) gets a line that names the object and what the kernel said. */
int kern_sync(struct kern *k, char *why, size_t why_len);
/* The watcher's descriptor; call kern_event when readable, and kern_sync at the time that
 * kern_deadline tells (repairs are spaced, at least 100 ms apart, so that two programs that fight
 * don't burn a core). */
int kern_fd(const struct kern *k);
void kern_event(struct kern *k, ts_t now);
/* What the netlink socket of port @portid does to routes is ours too (kfib_portid): no event. One such
 * socket; without it the watcher takes them for changes of the host. */
void kern_ignore(struct kern *k, uint32_t portid);
ts_t kern_deadline(const struct kern *k);

struct kern_stats {
	uint64_t routes, rules, repaired, errors;
	bool notrack;          /* in force */
	char notrack_why[120]; /* why not */
	bool masquerade;       /* in force: something may leave with an address of this host */
	char out_why[120];     /* why not, though it should */
	unsigned accepts;      /* other programs' forward chains that let us through by our rule */
	char accepts_why[200]; /* which one doesn't; empty: none */
	bool nat;              /* the host has NAT rules: those of pods' addresses are kept off */
	/* Events about the host's own links, addresses and routes: when it grew, ask
	 * kern_host_addrs and kern_underlay again. */
	uint64_t underlay_changes;
	/* A segment's TUN is gone or not ours: open it again (priv_tun_open, dp_segment_add), then
	 * kern_sync. Empty: all there. */
	char fault[160];
};
/* Look whether the host has NAT rules of its own, and so whether the chain that keeps masquerade off
 * the ranges must stand, and at firewalls that drop forwarded packets. True: call kern_sync. nf_tables tells by events, the older
 * iptables doesn't: call it now and then. */
bool kern_nat_look(struct kern *k);
void kern_stats(const struct kern *k, struct kern_stats *out);

/* What the underlay says. */
/* MTU of the interface that the host's route to @to (IP_NONE: the default route of either family)
 * leaves by, or that has @to if it is the host's own; its name in @ifname (16 bytes). Never the loopback's,
 * whose MTU says nothing of any path. ERR_NOT_FOUND or -errno. */
int kern_underlay(struct kern *k, const struct ip *to, unsigned *mtu, char *ifname);
/* MTU of @ifname while it is up. ERR_NOT_FOUND or -errno. */
int kern_interface_mtu(struct kern *k, const char *ifname, unsigned *mtu);
/* MTU and name of the widest interface with an address that kern_host_addrs tells, the @n called @others left
 * out. ERR_NOT_FOUND or -errno. */
int kern_widest(struct kern *k, const char *const *others, size_t n, unsigned *mtu, char *ifname);
/* Devices that pods are behind, by @devices (names, borrowed) or by what the CNI plugin calls them, with an MTU
 * below @mtu: at most @max into @out, not in any order. Returns how many there are, or -errno. */
struct kern_device_mtu {
	char name[16];
	unsigned mtu; /* bytes */
};
int kern_smaller_devices(struct kern *k, unsigned mtu, const char *const *devices, size_t n,
	struct kern_device_mtu *out, size_t max);
/* Addresses of this host that peers could reach: global scope, not on our TUNs and devices of own
 * prefixes, up, neither deprecated nor tentative nor temporary. At most @max; returns the count or
 * -errno. */
int kern_host_addrs(struct kern *k, struct ip *out, size_t max);
/* Does @p overlap a route or address of another interface? true: @why names it ("route 10.1.2.0/24 of
 * eth1", "address 10.1.2.3 of eth1"). The @nown devices @own_devices are left out (the prefix's own
 * and those of other segments, whose addresses may be the same), as are weft's own routes and devices,
 * default routes, link-local and multicast ones. When the kernel can't be asked: true, and @why says
 * so. */
bool kern_overlaps(struct kern *k, const struct pfx *p, const char *const *own_devices, size_t nown,
	char *why, size_t why_len);
/* Would @range swallow the default route's gateway or an address of an underlay interface? Underlay
 * are the interfaces that default routes leave by; on a host without default route, all but our
 * TUNs and @own_devices, the @nown devices of own prefixes. Asks the host only: nothing need have
 * been stated before. true: @why names it ("underlay address 192.0.2.1 of eth0"). */
bool kern_range_hits_underlay(struct kern *k, const struct pfx *range,
	const char *const *own_devices, size_t nown, char *why, size_t why_len);
/* The addresses that it asks about: default gateways, and those of underlay interfaces. At most @max, none
 * twice. Returns the count or -errno. It reads the host's routes, all of them. */
int kern_underlay_ips(struct kern *k, struct ip *out, size_t max);
bool kern_has_ipv6(void);
/* Is there a device @ifname that isn't a TUN of ours? */
bool kern_name_taken(struct kern *k, const char *ifname);
/* Is @ifname a tunnel (VXLAN, GENEVE, GRE, IPIP, SIT, WireGuard, TUN, ...)? false too if it isn't there. */
bool kern_is_tunnel(struct kern *k, const char *ifname);

/* Remove all that weft ever installed, recognised by protocol, table, preference, device alias and
 * nft table name; needs no state. @note (may be NULL) hears of each thing. Returns how many things
 * were removed or -errno. */
int kern_down(void (*note)(void *ctx, const char *what), void *ctx);

#endif
