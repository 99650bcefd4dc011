/* kern_int.h - what the kern_*.c files share. Not for other folders.
 *
 * Wanted state is kept in three tables: segments (with their TUN's addresses), devices (TUNs and those
 * of --prefix CIDR@DEVICE) and routes, hashed by segment, prefix and class. What must be sent stands in
 * the dirty lists or behind a flag; kern_sync() works them off. Events only set flags. */
#ifndef WEFT_KERN_INT_H
#define WEFT_KERN_INT_H

#include "kern.h"
#include "list.h"
#include "map.h"
#include "nl_fwd.h"
#include "nl_msg.h"

#define KERN_SEG_ADDRS 8
#define KERN_WHY_BYTES 160
#define KERN_MOD       "kern"

/* What a route is for; each class has a metric of its own, so that two never replace each other. */
enum kroute_class {
	KR_RANGE,  /* unreachable, below everything else */
	KR_FLOOR,  /* the same for an own prefix with a device: what shows when the device goes */
	KR_OWN,    /* an own prefix: device route or unreachable */
	KR_REMOTE, /* through the TUN */
};

struct kroute_key {
	uint32_t vni;
	uint8_t family, len, class, zero;
	uint8_t addr[16];
};

struct kroute {
	struct list dirty;
	struct kroute_key key;
	struct pfx dst;
	struct ip src;
	uint32_t mtu;
	uint32_t seen; /* audit in which the kernel showed it */
	uint16_t dev;  /* 1 + index into kern.devs; 0: none */
	bool want;     /* else: to be deleted, then freed */
	bool present;  /* as far as we know */
	bool lost;     /* was present; somebody removed it */
	bool linked;   /* KR_RANGE: of another cluster */
};

struct kdev {
	char name[IFNAMSIZ];
	uint32_t vni;
	int ifindex; /* 0: there is no such device now */
	unsigned refs;
	bool up, tun;
};

struct kseg {
	uint32_t vni;
	uint16_t dev; /* 1 + index */
	unsigned mtu;
	struct ip addrs[KERN_SEG_ADDRS];
	size_t naddrs;
	bool dirty;  /* look at the link and its addresses */
	bool agreed; /* it stood as wanted once: what is missing now was taken away */
};

#define KERN_FWD_PLACES 64 /* forward chains of other programs */

/* What kern_fwd.c knows of the host's firewalls. */
struct kern_fwd {
	bool look, looked;
	ts_t next; /* not before */
	uint64_t looks;
	unsigned accepts;            /* chains that need one */
	struct nl_fwd_place *places; /* KERN_FWD_PLACES; NULL until the first look */
	size_t nplaces;
};

struct kern {
	struct kern_cfg cfg;
	struct nlx x;     /* requests, rtnetlink */
	struct nlx nf;    /* requests, nf_tables; may be closed */
	struct nlx mon;   /* events of both */
	struct nlx nfmon; /* may be closed */
	int epfd;
	struct nlx_batch *batch;

	struct kseg *segs;
	size_t nsegs;
	struct kdev *devs; /* slots with refs 0 are free */
	size_t ndevs;
	struct map *routes;
	size_t nlinked;                 /* of them, ranges of other clusters */
	struct list dirty, dirty_floor; /* of kroute: OWN and REMOTE; RANGE and FLOOR */

	uint32_t audit_no;
	bool audit; /* dump the routes and compare */
	bool rules_dirty, rules_agreed;
	bool nft_dirty;   /* look at the nft tables */
	bool nft_changed; /* their text changed */
	bool nat;         /* the host translates addresses: our chain must stand before */
	bool nat_look;    /* somebody's nat chain came or went */
	bool host_done;   /* forwarding and so on */
	uint64_t nft_print[2];
	bool nft_loaded[2];
	ts_t nft_retry;
	bool out_dirty, out_changed, out_loaded; /* as nft_*, of the table inet weft-out */
	uint64_t out_print;
	ts_t out_retry;
	unsigned narrow; /* wanted routes that carry less than their device */
	bool no_mss;     /* the kernel lacks what changes it */
	bool shrunk;     /* a device carries less than before: pods' interfaces lag behind */
	struct kern_fwd fwd;

	ts_t due, next_repair;
	unsigned failures; /* syncs that failed, in a row */
	char fault[KERN_WHY_BYTES];
	struct kern_stats st;
};

/* One error of a sync: kept if it is the first. */
struct kern_err {
	int first;
	char *why;
	size_t why_len;
};
void kern_note(struct kern *k, struct kern_err *e, int err, const char *said, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* kern.c */
bool kern_usable(const struct kern *k, enum ip_family f); /* IPv6 may be off */
struct kseg *kern_seg(struct kern *k, uint32_t vni);
ts_t kern_clock(void);
/* Devices or prefixes changed: so do the texts of the nft tables. */
void kern_nft_stale(struct kern *k);

/* nl_mon.c */
int kern_mon_open(struct kern *k);
void kern_mon_close(struct kern *k);
int kern_rt_event(void *k, const struct nlmsghdr *nlh);
int kern_nf_event(void *k, const struct nlmsghdr *nlh);

/* kern_dev.c: devices and segments' links */
int kern_dev_ref(struct kern *k, const char *name, uint32_t vni, uint16_t *out);
void kern_dev_unref(struct kern *k, uint16_t dev);
void kern_dev_look(struct kern *k, struct kdev *d);
/* The device with that name or number, or NULL. */
struct kdev *kern_dev_find(struct kern *k, const char *name, int ifindex);
void kern_links_sync(struct kern *k, struct kern_err *e);
void kern_host_sync(struct kern *k, struct kern_err *e);

/* kern_route.c */
bool kern_table_vni(uint32_t table, uint32_t *vni); /* the reverse of kern_table */
int kern_obj_set(struct kern *k, uint32_t vni, const struct pfx *p, enum kroute_class class,
	uint16_t dev, unsigned mtu, const struct ip *src, bool replace);
int kern_obj_del(struct kern *k, uint32_t vni, const struct pfx *p, enum kroute_class class);
struct kroute *kern_obj_get(
	const struct kern *k, uint32_t vni, const struct pfx *p, enum kroute_class class);
void kern_obj_free(struct kern *k, struct kroute *r);
void kern_routes_drop(struct kern *k, uint32_t vni); /* all of a segment become unwanted */
void kern_routes_sync(struct kern *k, struct kern_err *e);
/* A route event. */
void kern_route_seen(struct kern *k, const struct nl_route *r, bool gone);

/* kern_rule.c */
void kern_rules_sync(struct kern *k, struct kern_err *e);

/* kern_nft.c */
#define KERN_NFT_TABLE "weft"
void kern_nft_sync(struct kern *k);

/* kern_out.c */
#define KERN_OUT_TABLE "weft-out"
void kern_out_sync(struct kern *k);
/* There is one more (@by 1) or less (-1) of the wanted routes that carry less than their device. */
void kern_out_narrow(struct kern *k, int by);

/* kern_fwd.c */
void kern_fwd_sync(struct kern *k);
void kern_fwd_event(struct kern *k, const struct nlmsghdr *nlh);

#endif
