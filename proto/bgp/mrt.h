/* mrt.h - what a speaker knows and hears, as MRT records (RFC 6396, and 8050 for several paths to a
 * prefix): a dump of a table, messages, changes of state. Without I/O: bytes come out, the caller
 * keeps them. Times are seconds and microseconds of the clock on the wall. */
#ifndef WEFT_MRT_H
#define WEFT_MRT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/buf.h"
#include "bgp.h"

#define MRT_HDR_LEN 12 /* RFC 6396 2: time 32, type 16, subtype 16, length 32 */

enum mrt_type { MRT_TABLE_DUMP_V2 = 13, MRT_BGP4MP_ET = 17 };
enum { /* RFC 6396 4.3, 8050 4.1 */
	MRT_PEER_INDEX_TABLE = 1,
	MRT_RIB_IPV4_UNICAST = 2,
	MRT_RIB_IPV6_UNICAST = 4,
	MRT_RIB_IPV4_UNICAST_ADDPATH = 8,
	MRT_RIB_IPV6_UNICAST_ADDPATH = 10,
};
enum { /* RFC 6396 4.4, 8050 3 */
	MRT_MESSAGE = 1,
	MRT_MESSAGE_AS4 = 4,
	MRT_STATE_CHANGE_AS4 = 5,
	MRT_MESSAGE_LOCAL = 6,
	MRT_MESSAGE_AS4_LOCAL = 7,
	MRT_MESSAGE_ADDPATH = 8,
	MRT_MESSAGE_AS4_ADDPATH = 9,
	MRT_MESSAGE_LOCAL_ADDPATH = 10,
	MRT_MESSAGE_AS4_LOCAL_ADDPATH = 11,
};

/* A dump of the unicast tables of one segment, in parts, so that nobody waits for the whole: the
 * prefixes are those of the beginning, the paths those of the moment in which they are written. First
 * comes the peer index (entry 0 stands for this speaker itself), then a record for each prefix with
 * the paths that import policy accepted, as it left them. A prefix none of whose paths was accepted,
 * or that is gone by then, has none. "Originated" is when the peer's session came up, or, for our own
 * routes, the time of the dump. */
struct mrt_dump;

/* Who speaks: what the speaker was made with. */
struct mrt_self {
	uint32_t local_as, router_id;
};
/* @name: of the view, up to 255 bytes. NULL: no memory. Borrows nothing. */
struct mrt_dump *mrt_dump_new(const struct bgp *b, const struct mrt_self *self, uint32_t vni,
	const char *name, uint32_t unix_secs, ts_t now);
void mrt_dump_free(struct mrt_dump *d); /* NULL is fine */
/* Write whole records into @w, as many as fit. True: there may be more. @w holds at least
 * MRT_DUMP_ROOM bytes; a record that does not fit even into an empty one is left out, counted. */
bool mrt_dump_next(struct mrt_dump *d, const struct bgp *b, struct wr *w);
#define MRT_DUMP_ROOM (128 * 1024)
struct mrt_dump_info {
	uint64_t prefixes, done, paths, left_out;
};
void mrt_dump_info(const struct mrt_dump *d, struct mrt_dump_info *out);

/* One message of @peer (BGP4MP_ET), @msg as it stood on the wire, header included; @sent: by us. The
 * interface index is not known and 0. Nothing is written, and wr_bad() set, where it does not fit. */
void mrt_message(struct wr *w, const struct bgp_peer_info *peer, const struct ip *local,
	uint32_t local_as, bool sent, const uint8_t *msg, size_t len, uint64_t unix_us);
/* The peer went from one state to another. */
void mrt_state(struct wr *w, const struct bgp_peer_info *peer, const struct ip *local,
	uint32_t local_as, enum bgp_state from, enum bgp_state to, uint64_t unix_us);

#endif
