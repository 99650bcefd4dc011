/* wire.h - everything that weft puts on the underlay. Final since the first release (wire
 * version 1).
 *
 * One UDP port carries all. Each datagram starts with one byte: wire version (high 4 bits) and type
 * (low 4 bits). All integers are in network order.
 *
 * DATA (16-byte header, sealed body, 16-byte tag)
 *	 0 type/version 8 | flags 8 | lane 8 | reserved 8 (zero)
 *	 4 receiver index 32
 *	 8 counter 64
 *	16 sealed: shim (VNI 24, inner flags 8), then an IP packet or a control message; the tag
 * The header is the associated data. Nonce (12 bytes): lane, three zero bytes, counter.
 *
 * INIT (message 1), RESP (message 2), FINAL (message 3): Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b.
 * COOKIE answers an INIT whose time is off or that comes under load. RESET answers an unknown
 * index. Their layouts stand in proto/noise/handshake.h and proto/noise/cookie.h.
 *
 * RELAY (16-byte header, 1 to 3 labels, 16-byte tag, then an untouched end-to-end datagram of any
 * type but RELAY; DESIGN 5.2)
 *	 0 type/version 8 | labels n 4, hops left h 4 (0 <= h <= n) | lane 8 | reserved 8 (zero)
 *	 4 receiver index 32	of this hop's session, not of the end-to-end one
 *	 8 counter 64		of this lane of this hop's session: one space with its data
 *	16 n labels, 64 each
 *	16 + 8n tag 128, then the datagram
 * The tag is the hop session's AEAD (its suite, its key of that direction, nonce as for DATA) over
 * an empty text with the first 16 + 8n bytes as associated data. Data lanes only, never lane 0:
 * workers forward, and each counts on its own lane. The counter passes the lane's replay window.
 *
 * A label is the first 8 bytes of a node's key. The origin sends to the first relay with the rest
 * of its route as labels and h = n. With h > 0 the receiver is a relay: the next hop is label
 * [n - h]; in its place it writes the label of the node that it had the datagram from, and sends
 * with h - 1 under its own session with the next hop. With h = 0 the receiver is the end: label [0]
 * is the origin, and labels [n-1] .. [0] after the node that it came from are the way back, which
 * answers to handshakes take. The header keeps its length, so one path MTU holds for all hops.
 *
 * At every hop, the n labels, the receiver and the sender are all the nodes of the route: who finds
 * one of them twice, or itself among the labels, drops ("relay_bad"). So no route has a loop. A node
 * that doesn't relay, has no session with the next hop, or is over the rate of this sender drops
 * too, each under a name of its own. Nothing that arrives in a RELAY moves an endpoint. */
#ifndef WEFT_WIRE_H
#define WEFT_WIRE_H

#include <stdint.h>

#define WIRE_VERSION      1
#define WIRE_DEFAULT_PORT 6793

enum wire_type {
	WIRE_DATA = 1,
	WIRE_INIT = 2,
	WIRE_RESP = 3,
	WIRE_FINAL = 4,
	WIRE_COOKIE = 5,
	WIRE_RESET = 6,
	WIRE_RELAY = 7,
};

#define WIRE_TYPE_BYTE(type)  ((uint8_t)(WIRE_VERSION << 4 | (type)))
#define WIRE_TYPE_OF(byte)    ((byte)&0x0f)
#define WIRE_VERSION_OF(byte) ((byte) >> 4)

/* Data header */
#define WIRE_DATA_HDR      16
#define WIRE_OFF_FLAGS     1
#define WIRE_OFF_LANE      2
#define WIRE_OFF_RESERVED  3
#define WIRE_OFF_INDEX     4
#define WIRE_OFF_COUNTER   8
#define WIRE_SHIM          4
#define WIRE_TAG           16
/* 36; with UDP and IP 64 or 84 */
#define WIRE_DATA_OVERHEAD (WIRE_DATA_HDR + WIRE_SHIM + WIRE_TAG)
#define WIRE_UDP_HDR       8
#define WIRE_IPV4_HDR      20
#define WIRE_IPV6_HDR      40
#define WIRE_OVERHEAD_V4   (WIRE_DATA_OVERHEAD + WIRE_UDP_HDR + WIRE_IPV4_HDR)
#define WIRE_OVERHEAD_V6   (WIRE_DATA_OVERHEAD + WIRE_UDP_HDR + WIRE_IPV6_HDR)

/* Relay header; lane, reserved, index and counter stand where DATA has them */
#define WIRE_OFF_HOPS          1
#define WIRE_RELAY_HDR         16
#define WIRE_RELAY_LABEL       8
#define WIRE_RELAY_LABELS_MAX  3
#define WIRE_RELAY_HOPS(n, h)  ((uint8_t)((n) << 4 | (h)))
#define WIRE_RELAY_LABELS(b)   ((b) >> 4)
#define WIRE_RELAY_LEFT(b)     ((b)&0x0f)
/* What a route with @n labels puts before the datagram: 40, 48, 56 */
#define WIRE_RELAY_OVERHEAD(n) (WIRE_RELAY_HDR + WIRE_RELAY_LABEL * (n) + WIRE_TAG)

#define WIRE_LANE_CONTROL 0

/* Data header flags (authenticated; unknown flags: drop, "malformed") */
#define WIRE_F_SIDE_PORT 0x01 /* sent from a worker's own source port: never moves an endpoint */

/* Inner flags of the shim (unknown flags: drop, "malformed") */
#define WIRE_IF_CONTROL      0x80 /* VNI 0: a control message, not an IP packet */
#define WIRE_IF_CSUM_PARTIAL 0x01 /* TCP or UDP checksum field holds the pseudo-header sum only */
#define WIRE_IF_HALF         0x02 /* half of an IPv6 packet below an inner 1280 (DESIGN 5.14) */

#define VNI_CONTROL 0
#define VNI_DEFAULT 1
#define VNI_MAX     0xffffff

/* Control messages in a sealed body with WIRE_IF_CONTROL: one type byte, then the message. 1..31
 * belong to the session core, 32..63 to gossip, 64.. are free. Unknown types are counted only. */
enum wire_ctl {
	WIRE_CTL_CONFIRM = 1,   /* empty: "your key works" (DESIGN 6.6) */
	WIRE_CTL_PING = 2,      /* token 64 */
	WIRE_CTL_PONG = 3,      /* token 64, endpoint as it was seen (family 8, address, port 16) */
	WIRE_CTL_CHALLENGE = 4, /* token 64: path challenge, answered to where it came from */
	WIRE_CTL_CHALLENGE_OK = 5, /* token 64 */
	WIRE_CTL_CLOSE = 6,        /* reason 8 */
	WIRE_CTL_GOSSIP = 32,      /* everything of the gossip core */
	WIRE_CTL_LINK = 48,        /* everything of the link core (proto/link/link_wire.h) */
	WIRE_CTL_PATH = 64,        /* everything of the path core (proto/path/path_wire.h) */
};

/* Cipher suites, as bits of the offer and as the chosen number */
enum wire_suite {
	WIRE_SUITE_CHACHA20_POLY1305 = 1,
	WIRE_SUITE_AES_256_GCM = 2,
};
#define WIRE_SUITE_BIT(s) (1u << ((s)-1))

/* HALF: an IPv6 packet of at most WIRE_HALF_MAX bytes that is too large for the path goes as two
 * datagrams on one lane with counters c and c + 1, each with WIRE_IF_HALF and otherwise the packet's
 * own shim; behind the shim a byte, 0 for the first half and 1 for the second, then that part of the
 * packet, cut anywhere. A path with room for less than half of WIRE_HALF_MAX is none. */
#define WIRE_HALF_HDR 1
#define WIRE_HALF_MAX 1280 /* RFC 8200 5: IPv6 needs no more of a link */

/* The largest datagram that carries anything but data (fits every IPv6 path, DESIGN 6.4) */
#define WIRE_CONTROL_MAX 1232
/* The largest control message body behind its type byte, padded probes aside. It leaves room for a
 * relay header, so that control takes any way whose MTU is 1280, through three relays too. */
#define WIRE_CTL_BODY_MAX                                                                          \
	(WIRE_CONTROL_MAX - WIRE_DATA_OVERHEAD - 1 - WIRE_RELAY_OVERHEAD(WIRE_RELAY_LABELS_MAX))

#endif
