/* bfd.h - bidirectional forwarding detection without I/O: is the way to a neighbour open, both ways,
 * told within a few intervals (RFC 5880; 5881 for one hop, 5883 for several; 5882 for who listens).
 *
 * The usual shape of a core: call any function that takes @now, then drain bfd_next(), then re-arm
 * bfd_deadline(). Packets that wait in a socket are to be given before bfd_tick(): a process that was
 * held up must not take its own delay for the neighbour's silence.
 *
 * Asynchronous mode, active role. Refused with a word: authentication (also SHA1: the packets' TTL, or
 * the unguessable discriminator over several hops, is what protects them) and demand mode; echo is
 * never asked for and told to be unwanted. Our C bit is 0: packets stop when the process does.
 *
 * A session goes to Down -> Init -> Up by the other side's word alone (RFC 5880 6.2), so both sides
 * agree that packets pass both ways. While it is not Up, we send once a second at most. */
#ifndef WEFT_BFD_H
#define WEFT_BFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/bounds.h"
#include "weft/ts.h"

struct bfd;

#define BFD_INTERVAL_MIN_US 10000u    /* that may be configured */
#define BFD_INTERVAL_MAX_US 60000000u /* the same */
#define BFD_SLOW_US         1000000u  /* the least between packets of a session that is not Up */
#define BFD_TTL             255       /* of what we send; demanded of one hop (RFC 5881 5) */
#define BFD_PACKET_BYTES    24        /* what we send; longer ones are taken */

/* As on the wire (RFC 5880 4.1). */
enum bfd_state { BFD_ADMIN_DOWN, BFD_DOWN, BFD_INIT, BFD_UP };
enum bfd_diag {
	BFD_DIAG_NONE,
	BFD_DIAG_EXPIRED, /* control detection time expired */
	BFD_DIAG_ECHO,
	BFD_DIAG_NEIGHBOUR, /* neighbour signaled session down */
	BFD_DIAG_FORWARDING,
	BFD_DIAG_PATH,
	BFD_DIAG_CONCATENATED,
	BFD_DIAG_ADMIN, /* administratively down */
	BFD_DIAG_REVERSE,
};

/* Why a packet was dropped (RFC 5880 6.8.6). */
enum bfd_drop {
	BFD_OK,
	BFD_DROP_VERSION,
	BFD_DROP_LENGTH,
	BFD_DROP_MALFORMED, /* multiplier 0, multipoint, discriminator 0 where it may not be */
	BFD_DROP_TTL,       /* it came from further away than it may */
	BFD_DROP_SESSION,   /* for no session of ours, or not from where that one's peer is */
	BFD_DROP_AUTH,      /* refused */
	BFD_DROP_DEMAND,    /* refused */
	BFD_DROPS,
};
const char *bfd_drop_str(enum bfd_drop d);
const char *bfd_diag_str(unsigned diag); /* "?" for a number that the RFC doesn't give */
const char *bfd_state_str(enum bfd_state s);

struct bfd_session_cfg {
	struct ip remote;
	struct ip local;    /* IP_NONE: whichever the packet came to; the kernel's choice to send */
	uint32_t scope;     /* interface of a link-local address, else 0: any */
	bool multihop;      /* RFC 5883, port 4784; else 5881, port 3784 */
	uint8_t min_ttl;    /* multihop: what must be left of the TTL; 0: anything */
	uint32_t min_tx_us; /* we want to send that often ... */
	uint32_t min_rx_us; /* ... and can hear that often */
	uint8_t mult;       /* the peer misses that many of our packets before it says Down */
};

/* @seed keys the hashes, the discriminators (so that nobody guesses them) and the jitter. NULL: no
 * memory. */
struct bfd *bfd_new(const uint8_t seed[16]);
void bfd_free(struct bfd *b); /* says nothing to anybody; NULL is fine */

/* Begin a session; *@id gets our discriminator. ERR_RANGE: an interval, a multiplier of 0, no address;
 * ERR_EXISTS: kind, remote, local and scope are another one's; ERR_FULL: LIM_BFD_SESSIONS; ERR_NOMEM. */
int bfd_add(struct bfd *b, const struct bfd_session_cfg *cfg, ts_t now, uint32_t *id);
/* Forget it; the peer hears nothing (bfd_admin first). ERR_NOT_FOUND. */
int bfd_del(struct bfd *b, uint32_t id);
/* AdminDown on: say so, as long as it lasts; the peer's clients are to take no harm (RFC 5882 3.2).
 * Off: begin anew. ERR_NOT_FOUND. */
int bfd_admin(struct bfd *b, uint32_t id, bool down, ts_t now);
/* Other timers; the peer is asked to agree before slower sending and faster expiry count
 * (RFC 5880 6.8.3). ERR_NOT_FOUND, ERR_RANGE. */
int bfd_retime(
	struct bfd *b, uint32_t id, uint32_t min_tx_us, uint32_t min_rx_us, uint8_t mult, ts_t now);

/* How a packet came. */
struct bfd_from {
	struct ip remote, local; /* its addresses, seen from us */
	uint32_t scope;          /* interface that it came in by */
	uint8_t ttl;
	bool multihop; /* by its port */
};
/* BFD_OK, or why it was dropped; also counted. */
enum bfd_drop bfd_recv(
	struct bfd *b, const struct bfd_from *from, const uint8_t *buf, size_t len, ts_t now);
/* To be called when bfd_deadline() has come; early or late is harmless. */
void bfd_tick(struct bfd *b, ts_t now);
ts_t bfd_deadline(const struct bfd *b);

enum bfd_act_type {
	BFD_NONE,
	BFD_SEND,    /* buf to cfg's remote, with BFD_TTL */
	BFD_STATE,   /* state, diag; failed, remote_cpi */
	BFD_REFUSED, /* text: what the peer wants and we don't do; told once until it stops */
};

struct bfd_act {
	enum bfd_act_type type;
	uint32_t id;
	const struct bfd_session_cfg *cfg; /* borrowed until the next call */
	uint8_t buf[BFD_PACKET_BYTES];
	enum bfd_state state;
	enum bfd_diag diag;
	/* The session was Up, and the way is not open any more: its client shall act. Not when either
	 * side was only told to end it (RFC 5882 3.2). A failure is told also if all is well again. */
	bool failed;
	/* The peer's C bit: its forwarding would have outlived its control plane (RFC 5882 4.3.2). */
	bool remote_cpi;
	/* With failed: when the peer was heard last, as the one that the session was with. One that began
	 * anew meanwhile is another: it says so without knowing our discriminator, or by one of its own. */
	ts_t heard;
	const char *text; /* static */
};
/* Take the next action; false: none, *@out is zeroed. */
bool bfd_next(struct bfd *b, struct bfd_act *out);

struct bfd_info {
	uint32_t id, remote_id;            /* discriminators; remote_id 0: the peer is silent */
	const struct bfd_session_cfg *cfg; /* borrowed */
	enum bfd_state state, remote_state;
	uint8_t diag, remote_diag;
	bool remote_cpi, polling;
	uint8_t remote_mult;
	uint32_t tx_us;     /* between our packets now, before jitter; 0: the peer wants none */
	uint32_t detect_us; /* saturates; 0: nothing heard yet */
	ts_t since;         /* of the state */
	uint64_t rx, tx, failures;
	const char *refused; /* what the peer wants and we don't do; "": nothing */
};
/* ERR_NOT_FOUND. */
int bfd_get(const struct bfd *b, uint32_t id, struct bfd_info *out);

struct bfd_stats {
	size_t sessions;
	uint64_t rx, tx;
	uint64_t dropped[BFD_DROPS];
};
void bfd_stats(const struct bfd *b, struct bfd_stats *out);

#endif
