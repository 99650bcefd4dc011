/* dp.h - the data plane: workers that carry packets between TUN queues and UDP sockets.
 *
 * One control thread owns everything in this header; workers are inside. The control thread calls
 * the functions below and dp_poll() when dp_event_fd() is readable. Each worker has a TUN queue per
 * segment, a UDP socket on the main port (a reuseport group, steered so that a lane stays on one
 * worker and everything that is not data, or is lane 0, reaches the control thread's own socket),
 * and perhaps a source port of its own. Workers run both directions to completion (DESIGN 5.16) and
 * read tables under liburcu QSBR.
 *
 * The data plane knows keys, peers by handle, prefixes by VNI; no gossip and no handshakes. */
#ifndef WEFT_DP_H
#define WEFT_DP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/bounds.h"
#include "weft/id.h"
#include "weft/ts.h"
#include "weft/wire.h"
#include "aead.h"

struct dp;

/* Which paths may be used; each is also self-tested at start, what remains is in dp_offloads. */
struct dp_force {
	bool no_tun_offload; /* no vnet header TSO/USO from the TUN */
	bool no_uso;         /* TSO but no USO */
	bool no_udp_gso;     /* no UDP_SEGMENT */
	bool no_udp_gro;
	bool no_coalesce;     /* never write super-packets to the TUN */
	bool no_tun_steering; /* kernel's flow table instead of the eBPF program */
	bool no_udp_steering;
	bool no_mmsg;         /* one datagram per system call */
	bool no_csum_partial; /* `checksum: full` */
};

enum dp_dscp { DP_DSCP_COPY = -1 }; /* else a fixed value 0..63 */

struct dp_cfg {
	unsigned workers; /* 1..LIM_WORKERS */
	struct ep listen; /* [::]:port serves both families; falls back to IPv4 if the host has no
			     IPv6 */
	uint32_t mark;    /* SO_MARK of every outer socket; 0: none */
	uint16_t side_port_lo, side_port_hi; /* own source ports of workers; 0: none */
	int dscp;
	enum aead_provider provider;
	struct dp_force force;
	unsigned queue_ms;   /* target of queue lengths, 5 */
	uint64_t label;      /* our own (dp_label); 0: nothing is relayed, nor taken from a relay */
	bool relay;          /* forward for others */
	uint64_t relay_rate; /* bytes per second forwarded for one peer; 0: LIM_RELAY_RATE */
	unsigned hold_ms;    /* how long a packet waits for a session; 0: 5000 */
};

/* Opens the sockets, starts nothing. Returns owned in *@out. -errno, with a line for the log. */
int dp_new(const struct dp_cfg *cfg, struct dp **out);
/* ERR_STATE: started already; -errno. */
int dp_start(struct dp *dp);
/* Stops and joins the workers, closes, frees. NULL is fine. */
void dp_free(struct dp *dp);
uint16_t dp_port(const struct dp *dp); /* the main port that was bound */
bool dp_has_ipv6(const struct dp *dp);

/* Attach a segment. @fds: one TUN queue per worker (takes them, also on failure; non-blocking, opened
 * by priv_tun_open with IFF_VNET_HDR|IFF_MULTI_QUEUE|IFF_NO_PI); @mtu of the device. Before or after
 * dp_start. ERR_EXISTS: the VNI has one; ERR_FULL (LIM_SEGMENTS), ERR_RANGE, ERR_NOMEM, -errno. */
int dp_segment_add(struct dp *dp, uint32_t vni, const char *ifname, const int *fds, unsigned mtu);
int dp_segment_mtu(struct dp *dp, uint32_t vni, unsigned mtu);
/* The queues are closed when it returns. */
int dp_segment_del(struct dp *dp, uint32_t vni);

/* Peers, by a handle of the caller's (1..LIM_PEERS-1). A peer may exist, and routes may point to it,
 * before it has an endpoint or a key: what is sent to it waits, bounded (LIM_HOLD_*) and for at most
 * cfg.hold_ms, dp_ops.want_session is told, and dp_key_use sends it, in order. So a session is made
 * on demand:
 *	dp_peer_add(dp, h);  dp_route_set(dp, vni, &prefix, DP_ROUTE_PEER, h);  ... want_session(ctx, h)
 *	dp_peer_endpoint(dp, h, ...);  dp_key_add(dp, h, &key);  dp_key_use(dp, h, index);
 * and ended by dp_key_del alone: handle, endpoint and routes stay for the next one.
 * ERR_RANGE, ERR_EXISTS, ERR_NOMEM. */
int dp_peer_add(struct dp *dp, uint32_t peer);
void dp_peer_del(struct dp *dp, uint32_t peer); /* its keys and routes go too */
/* @local: the address replies leave from (family IP_NONE: the kernel's choice). */
int dp_peer_endpoint(struct dp *dp, uint32_t peer, const struct ep *ep, const struct ip *local);
/* A node's label in routes (weft/wire.h, RELAY), as a number. */
static inline uint64_t dp_label(const struct node_key *k)
{
	uint64_t v = 0;

	for (int i = 0; i < WIRE_RELAY_LABEL; i++)
		v = v << 8 | k->b[i];
	return v;
}
/* Who the peer is, so that relayed datagrams find it as next hop and are taken from it. ERR_NOT_FOUND;
 * ERR_EXISTS: another peer has that label, or this one another; ERR_RANGE: 0; ERR_NOMEM. */
int dp_peer_label(struct dp *dp, uint32_t peer, uint64_t label);
/* The links to other clusters that the peer may speak for, a bit each: of another cluster's gateway that
 * of its link, bit 1 to 7; of our own cluster's DP_LINKS_OWN; 0, at first: none. ERR_NOT_FOUND. */
#define DP_LINK_OURS 0x01u /* the bit that stands for the gateways of our own cluster */
#define DP_LINKS_OWN 0xffu
int dp_peer_links(struct dp *dp, uint32_t peer, uint32_t links);
/* Does this node forward between links and the mesh? Not at first. */
void dp_gateway(struct dp *dp, bool on);
/* A way through relays: the first one is a peer with a session of its own, reached directly; the labels
 * are those of the relays behind it and, last, of the end. */
struct dp_way {
	uint32_t first; /* handle */
	uint8_t n;      /* labels, 1..WIRE_RELAY_LABELS_MAX */
	uint64_t label[WIRE_RELAY_LABELS_MAX];
};
/* Data to the peer goes this way from now on, sealed end to end under its own key; dp_peer_endpoint
 * makes it direct again. WIRE_RELAY_OVERHEAD(n) more bytes of the path's MTU go to headers. While the
 * first relay has no session, packets wait as for a peer without one, and it is the relay that
 * dp_ops.want_session names. ERR_NOT_FOUND: no such peer, or relay; ERR_RANGE: no way (a node twice, n,
 * the relay is the peer itself); ERR_NOMEM. */
int dp_peer_route(struct dp *dp, uint32_t peer, const struct dp_way *way);
/* The largest outer IP packet towards the peer on the way in use, bytes; segmented sends are tried
 * again. */
void dp_peer_pmtu(struct dp *dp, uint32_t peer, unsigned outer_mtu);
/* Worker @via-1 may (or may no longer) use its own source port towards the peer. */
void dp_peer_side_port(struct dp *dp, uint32_t peer, uint8_t via, bool on);

struct dp_key {
	enum wire_suite suite;
	uint32_t local_index, remote_index;
	uint8_t tx_lanes, rx_lanes;
	const uint8_t *tx, *rx; /* 32 bytes each, borrowed for the call */
	uint64_t soft_blocks, hard_blocks, max_failed_opens;
};
int dp_key_add(struct dp *dp, uint32_t peer, const struct dp_key *k); /* ERR_EXISTS, ERR_NOMEM */
/* Seal with that key from now on. Unknown, or another peer's: nothing happens. */
void dp_key_use(struct dp *dp, uint32_t peer, uint32_t local_index);
/* Seal with none: what is sent to the peer waits. Its keys go on opening until dp_key_del. */
void dp_key_idle(struct dp *dp, uint32_t peer);
/* Forget it. If it was the one that sealed, its peer has none until the next dp_key_use. */
void dp_key_del(struct dp *dp, uint32_t local_index);

/* Forwarding table of a segment. */
enum dp_route_kind {
	DP_ROUTE_PEER = 1, /* owned by peer: sealed to it; accepted as inner source only from it */
	DP_ROUTE_LOCAL,    /* ours: accepted as inner destination */
	/* a local exit: accepted as inner destination, and as inner source from those who have that exit,
	 * too (dp_route_cross) */
	DP_ROUTE_EXIT,
	DP_ROUTE_DROP, /* the range: known, owned by nobody */
	/* ours, behind a tunnel device: like DP_ROUTE_LOCAL, never written as super-packets (5.6) */
	DP_ROUTE_LOCAL_TUNNEL,
	/* another cluster's, or what lies behind one, with peer as the gateway to it: sealed to it;
	 * accepted as inner source from whoever it was accepted from by BGP (dp_route_cross). On a
	 * gateway (dp_gateway) what comes from there may go on to DP_ROUTE_PEER and the reverse, and
	 * from one such route to another that leads elsewhere: it is written to the TUN, and the
	 * kernel forwards it, so that its TTL falls (DESIGN 8) */
	DP_ROUTE_LINK,
};
/* What another cluster's gateway may send to: everything of these routes but DP_ROUTE_EXIT. Not for
 * DP_ROUTE_LINK (ERR_RANGE). */
int dp_route_set(
	struct dp *dp, uint32_t vni, const struct pfx *p, enum dp_route_kind kind, uint32_t peer);
/* The same where links count, bits as in dp_peer_links(): @from, who may send what has a source in @p
 * (DP_ROUTE_LINK, DP_ROUTE_EXIT); @to, which links' gateways may send to @p. */
int dp_route_cross(struct dp *dp, uint32_t vni, const struct pfx *p, enum dp_route_kind kind,
	uint32_t peer, uint8_t from, uint8_t to);
int dp_route_del(struct dp *dp, uint32_t vni, const struct pfx *p);

/* Send one control or handshake datagram (CS6). @via 0: main port; n: worker n-1's own port.
 * @local: the source address, family IP_NONE: the kernel's choice. -EAGAIN and the like are
 * counted. */
int dp_send(struct dp *dp, const struct ep *to, const struct ip *local, uint8_t via,
	const void *buf, size_t len);

/* The same, but with a size that the path may not take: outer packets are never fragmented, and a refusal
 * by the interface (-EMSGSIZE) is the caller's to hear, and not counted as a drop. */
int dp_send_probe(struct dp *dp, const struct ep *to, const struct ip *local, uint8_t via,
	const void *buf, size_t len);
/* Send a control or handshake datagram through relays, wrapped under the session with the first.
 * @probe: as dp_send_probe. ERR_NOT_FOUND: no such peer, or it has no key or endpoint; ERR_RANGE: no
 * way, or too long; ERR_LIMIT: the key with the relay is used up; -errno. */
int dp_send_way(struct dp *dp, const struct dp_way *way, const void *buf, size_t len, bool probe);

/* Events for the control thread. */
struct dp_ops {
	/* A datagram that is not a data packet of a known lane: at most WIRE_CONTROL_MAX bytes, those
	 * of lane 0 up to what a jumbo frame carries (probes of the path). May be written to. */
	void (*datagram)(
		void *ctx, const struct ep *from, const struct ip *local, uint8_t *buf, size_t len);
	void (*key_confirmed)(void *ctx, uint32_t local_index);
	void (*key_limit)(void *ctx, uint32_t local_index, bool hard);
	void (*roam_hint)(void *ctx, uint32_t peer, const struct ep *from, const struct ip *local);
	/* Packets wait for a peer that has no key (or no endpoint), or were dropped for it: at most
	 * once per second and peer while they come. May be NULL. */
	void (*want_session)(void *ctx, uint32_t peer);
	/* Data comes from or goes to a peer after a second without: dp_links() will tell of it now.
	 * May be NULL. */
	void (*link_active)(void *ctx, uint32_t peer);
	/* As datagram, but it came through relays: @back is the way an answer takes, to be given to
	 * dp_send_way. Who sent it is known by its own seal alone. NULL: such datagrams are dropped. */
	void (*relayed)(void *ctx, const struct dp_way *back, uint8_t *buf, size_t len);
};
/* Readable when dp_poll has something to do. (An epoll fd over the control socket and the workers'
 * eventfd.) */
int dp_event_fd(const struct dp *dp);
/* Handle what is waiting, at most @budget datagrams; calls @ops. */
void dp_poll(struct dp *dp, unsigned budget, const struct dp_ops *ops, void *ctx);
/* Which way data went, told to @fn: 0: the main ports; n: last_tx: from the own port of our worker
 * n-1, last_rx: from that of the peer's worker n-1; DP_VIA_RELAY: both through relays. */
#define DP_VIA_RELAY 255
struct dp_link {
	uint32_t peer;
	uint8_t via;
	ts_t last_rx, last_tx; /* by this way; ns 0: never */
	ts_t any_rx;           /* by any way */
};
typedef void (*dp_link_fn)(void *ctx, const struct dp_link *l);
/* Links in use (DESIGN 7.2): call @fn for each peer and way that carried data within the last second,
 * with the times at which it last did, at most a round of the workers old. Returns how many peers that
 * were; 0: no need to call again before dp_ops.link_active. Costs nothing for idle
 * peers. @fn may call anything of this header but dp_peer_del. */
unsigned dp_links(struct dp *dp, dp_link_fn fn, void *ctx);
/* Call @fn for each peer that got or sent data since the last call. */
void dp_traffic(
	struct dp *dp, void (*fn)(void *ctx, uint32_t peer, ts_t last_rx, ts_t last_tx), void *ctx);

/* Counters. Each drop has a reason. */
enum dp_drop {
	DP_DROP_NO_ROUTE,
	DP_DROP_MULTICAST, /* the mesh carries none; the host's own chatter on a new device */
	DP_DROP_UNOWNED,
	DP_DROP_NO_SESSION,
	DP_DROP_LOOP,
	DP_DROP_BAD_PACKET,
	DP_DROP_TOO_BIG,
	DP_DROP_BACKLOG,
	DP_DROP_SEND_ERROR,
	DP_DROP_KEY_LIMIT,
	DP_DROP_BAD_SEGMENT,
	DP_DROP_MALFORMED,
	DP_DROP_BAD_VERSION,
	DP_DROP_UNKNOWN_INDEX,
	DP_DROP_BAD_LANE,
	DP_DROP_NO_WINDOW,
	DP_DROP_BAD_TAG,
	DP_DROP_REPLAY,
	DP_DROP_BAD_VNI,
	DP_DROP_BAD_SOURCE,
	DP_DROP_BAD_DESTINATION,
	DP_DROP_ECN,
	DP_DROP_TUN_WRITE,
	DP_DROP_CONTROL_QUEUE,
	DP_DROP_HALF_LOST,     /* the other half of an IPv6 packet did not come */
	DP_DROP_RELAY_REFUSED, /* we don't forward */
	DP_DROP_RELAY_BAD,     /* a node twice on the route, or a sender that has no label */
	DP_DROP_RELAY_NO_HOP,  /* no session with the next hop */
	DP_DROP_RELAY_LIMITED, /* over the rate of this sender */
	DP_DROP_KERNEL_RX,
	DP_DROP_KERNEL_TUN,
	DP_DROP_COUNT
};
extern const char *const dp_drop_names[DP_DROP_COUNT]; /* "no_route", "bad_source", ... */

struct dp_counters {
	uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes; /* inner packets and bytes */
	uint64_t tx_datagrams, rx_datagrams, tx_calls, rx_calls, tun_reads, tun_writes;
	uint64_t gso_fallbacks;        /* peers that went back to unsegmented sends */
	uint64_t toobig_told;          /* ICMP answers to packets that no longer fit the path */
	uint64_t tx_halves, rx_halves; /* IPv6 packets that went, or came, as two halves (5.14) */
	uint64_t relay_forwarded, relay_bytes; /* datagrams of others, by the peer they came from */
	uint64_t drops[DP_DROP_COUNT];
};
void dp_counters(
	const struct dp *dp, struct dp_counters *out); /* all workers and control, summed */
/* ERR_NOT_FOUND. */
int dp_peer_counters(const struct dp *dp, uint32_t peer, struct dp_counters *out);

struct dp_offloads {
	bool tun_tso, tun_uso, udp_gso, udp_gro, coalesce, tun_steering, udp_steering, mmsg,
		csum_partial;
	const char *provider; /* AEAD */
	unsigned workers, side_ports;
	/* What is off and why, "name: why; name: why", with the names of the flags above (and
	 * source_ports); empty: all on. */
	char why[512];
};
void dp_offloads(const struct dp *dp, struct dp_offloads *out);

#endif
