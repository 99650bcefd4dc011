/* coalesce.h - lossless joining of received inner packets into super-packets for one vnet-header
 * write to the TUN (DESIGN 5.6). Nothing is copied: a run is an iovec over the receive buffers.
 *
 * One struct coal per worker and TUN queue (or one per worker: VNIs never mix). Call coal_add for
 * each opened packet of a batch, in order of arrival, then coal_flush before the receive buffers
 * are used again. Finished runs come out through @emit, those of one flow in order of arrival. */
#ifndef WEFT_COALESCE_H
#define WEFT_COALESCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <linux/virtio_net.h>
#include "pkt.h"

#define COAL_SLOTS 16 /* open runs; one more flow closes the oldest run */
#define COAL_SEGS  64 /* packets in a run (UDP_MAX_SEGMENTS of older kernels) */

/* A finished run, valid inside emit only. writev(iov, niov) to the TUN queue writes it. */
struct coal_out {
	struct virtio_net_hdr vnet; /* iov[0] */
	struct iovec iov[1 + COAL_SEGS];
	unsigned niov;
	unsigned packets; /* inner packets in it, 1..COAL_SEGS */
	uint32_t bytes;   /* without the vnet header, after joining */
	uint32_t vni;
	uint32_t hash; /* as given to coal_add: selects the TUN queue (DESIGN 5.10) */
};

typedef void (*coal_emit)(void *ctx, const struct coal_out *out);

/* Private: an open run. A run that can't grow any more is written at once. */
struct coal_run {
	struct coal_out out;
	struct pkt_info first;
	uint64_t pseudo;     /* of the flow, but for the length */
	uint32_t next_seq;   /* TCP */
	uint32_t gso_size;   /* payload of every packet but the last */
	uint16_t next_id;    /* IPv4 */
	uint8_t first_flags; /* shim flags of the first packet */
	bool first_checked;  /* the first packet's sum was found right */
};

struct coal {
	coal_emit emit;
	void *ctx;
	unsigned flags;
	unsigned open;             /* runs in use */
	uint8_t order[COAL_SLOTS]; /* slots: the open ones first, oldest to newest, then the free */
	uint32_t keys[COAL_SLOTS]; /* of the open ones: their hash */
	uint64_t super_packets, super_segments; /* written joined, and packets inside them */
	struct coal_run run[COAL_SLOTS];
	struct coal_out single;
};

/* Flags of coal_init */
#define COAL_OFF    0x01 /* everything passes alone, with the right vnet header */
#define COAL_NO_UDP 0x02 /* no UDP super-packets: the TUN has no USO (Linux before 6.2) */

/* @flags: above. COAL_OFF is for a forced fall-back, and for a next hop that is a tunnel device. */
void coal_init(struct coal *c, coal_emit emit, void *ctx, unsigned flags);

/* Take one inner packet: @pkt is pi->pkt and writable, stays valid and untouched by others until
 * coal_flush (the first packet of a run is edited in place when the run is written). @hash is
 * flow_hash(@pi). @inner_flags are the shim's. May call emit, for this packet or for earlier ones.
 * 0; ERR_MALFORMED: a partial checksum where it is not allowed: nothing was taken. */
int coal_add(struct coal *c, uint32_t vni, uint8_t *pkt, const struct pkt_info *pi, uint32_t hash,
	uint8_t inner_flags);

/* Write all open runs, oldest first. */
void coal_flush(struct coal *c);

#endif
