/* bgpd.h - the driver of the BGP core: TCP connections, the listener, the timer.
 *
 * It owns the core and carries out what concerns connections; routes go to the caller's ops, in the
 * loop's thread. Whoever calls a function of the core that takes the time (bgpd_core) calls
 * bgpd_kick() after it. One thread. */
#ifndef WEFT_BGPD_H
#define WEFT_BGPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bgp.h"
#include "loop.h"

struct bgpd;

#define BGPD_LISTEN_MAX   8
#define BGPD_RANGES_MAX   16
#define BGPD_PASSWORD_MAX 80 /* bytes: what the kernel takes (RFC 2385, TCP_MD5SIG_MAXKEYLEN) */

struct bgpd_ops {
	/* A best path came, changed or went: BGP_ROUTE. @a is valid until the return, or until the core
	 * is called; nothing that takes the time may be called of it. */
	void (*route)(void *ctx, const struct bgp_act *a);
	/* A peer's state changed: BGP_STATE. May be NULL. */
	void (*state)(void *ctx, const struct bgp_act *a);
	/* A neighbour of a range connected and has a number, or is forgotten again. NULL without ranges. */
	void (*peer_new)(void *ctx, uint32_t tag, uint32_t peer, const struct ep *remote);
	void (*peer_gone)(void *ctx, uint32_t peer);
	/* A run of actions is over; called at least once after each route(). */
	void (*flush)(void *ctx);
};

struct bgpd_cfg {
	struct loop *loop; /* kept */
	struct bgp_cfg core;
	uint32_t vni; /* of the peers that the listener accepts */
	struct ep listen[BGPD_LISTEN_MAX];
	size_t nlisten; /* 0: nobody can connect to us */
	uint32_t mark;  /* of the sockets (SO_MARK), so that no route of ours takes them; 0: none */
	const struct bgpd_ops *ops; /* kept */
	void *ctx;
};

struct bgpd_peer_cfg {
	struct bgp_peer_cfg core;
	/* RFC 2385, "" for none. The kernel has one key for each address. */
	char password[BGPD_PASSWORD_MAX + 1];
	/* How many hops away an eBGP peer may be; 0: one, so that nobody beyond the link answers.
	 * Without meaning for iBGP unless ttl_security is set. */
	uint8_t hops;
	bool ttl_security; /* RFC 5082: take only what comes from within @hops */
	bool unmarked;     /* the peer is reached through the mesh */
};

/* Open the listeners; nothing is accepted before the loop runs. Borrows @cfg but for what says
 * "kept". 0, ERR_NOMEM, ERR_CONFIG (the core refuses @cfg), -errno of a listener: @why (of @why_len
 * bytes) names it. Returns owned. */
int bgpd_new(const struct bgpd_cfg *cfg, struct bgpd **out, char *why, size_t why_len);
/* Before bgpd_free(), when the process ends but its routes stay: bgp_peer_leave() for every peer. */
void bgpd_leave(struct bgpd *d);
/* Says Cease to every peer, as far as the sockets take it at once, and closes. The ops don't hear of
 * the routes that go with it. NULL is fine. */
void bgpd_free(struct bgpd *d);

/* Add a peer and start it. Borrows @cfg, the policies' ctx is kept. Errors of bgp_peer_add; ERR_NOMEM;
 * -errno when a listener does not take the password. */
int bgpd_peer_add(struct bgpd *d, const struct bgpd_peer_cfg *cfg, uint32_t *peer);
/* Neighbours that nobody named: whoever connects from @range becomes a peer like @peer (whose remote and
 * passive don't count), while it has a session or its routes are kept; at most @limit of them at a time. Of
 * several ranges the longest counts, as it does for the kernel's passwords.
 * @tag is for peer_new. Borrows @cfg, the policies' ctx is kept. ERR_FULL (BGPD_RANGES_MAX); -errno when
 * a listener does not take the password. */
struct bgpd_range_cfg {
	struct pfx range;
	uint32_t limit, tag;
	struct bgpd_peer_cfg peer;
};
int bgpd_range_add(struct bgpd *d, const struct bgpd_range_cfg *cfg);
/* bgpd_peer_password() for those who came from the ranges with @tag, and for those to come. ERR_NOT_FOUND,
 * ERR_RANGE (too long), -errno. */
int bgpd_range_password(struct bgpd *d, uint32_t tag, const char *password);

/* bgp_peer_del(), and the password is forgotten. ERR_NOT_FOUND. */
int bgpd_peer_del(struct bgpd *d, uint32_t peer);
/* A new password for the connections there are and those to come: a key change without a reset when
 * both ends do it before either's hold time is over, since what was refused meanwhile is sent again (RFC
 * 2385). "" for none. ERR_NOT_FOUND, ERR_RANGE (too long), -errno: some sockets may have it already. */
int bgpd_peer_password(struct bgpd *d, uint32_t peer, const char *password);

struct bgp *bgpd_core(struct bgpd *d); /* borrowed */
void bgpd_kick(struct bgpd *d);

struct bgpd_stats {
	size_t connections; /* sockets of peers, those that are closing included */
	uint64_t accepted;  /* connections that a peer opened */
	uint64_t refused;   /* connections closed at once: unknown address, peer is down */
	uint64_t
		socket_errors; /* a socket could not be made or accepted: no descriptors, no memory */
	size_t ttl_unfiltered; /* neighbours and ranges with ttl_security that have no place in the filter
				  of the listeners (bgpd_gtsm.c): judged from accept() on */
};
void bgpd_stats(const struct bgpd *d, struct bgpd_stats *out);

#endif
