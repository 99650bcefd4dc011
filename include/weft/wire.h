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
 * index. RELAY wraps an untouched end-to-end datagram (any type but RELAY), authenticated per hop.
 * Their layouts stand in proto/noise/handshake.h and proto/noise/cookie.h. */
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
};

/* Cipher suites, as bits of the offer and as the chosen number */
enum wire_suite {
	WIRE_SUITE_CHACHA20_POLY1305 = 1,
	WIRE_SUITE_AES_256_GCM = 2,
};
#define WIRE_SUITE_BIT(s) (1u << ((s)-1))

/* The largest datagram that carries anything but data (fits every IPv6 path, DESIGN 6.4) */
#define WIRE_CONTROL_MAX  1232
/* The largest control message body behind its type byte */
#define WIRE_CTL_BODY_MAX (WIRE_CONTROL_MAX - WIRE_DATA_OVERHEAD - 1)

#endif
