/* flow.h - which worker a packet belongs to (DESIGN 5.8, 5.10).
 *
 * flow_hash() and the eBPF program of flow_bpf.h compute the same number, in both directions of a
 * flow, so user space writes a flow to the TUN queue that the kernel hands its other direction out
 * on. */
#ifndef WEFT_FLOW_H
#define WEFT_FLOW_H

#include <stdint.h>
#include "pkt.h"

/* Symmetric hash over addresses, protocol and, for unfragmented TCP, UDP and SCTP without IPv6
 * extension headers, ports. */
uint32_t flow_hash(const struct pkt_info *pi);

/* The TUN queue of a flow. @nqueues > 0. */
static inline unsigned flow_queue(uint32_t hash, unsigned nqueues)
{
	return hash % nqueues;
}

/* The socket of the reuseport group that a DATA datagram of this lane reaches by flow_bpf_reuseport: a
 * worker, or @workers (control's socket) for lane 0. By the lane alone: a flow leaves the TUN queue
 * of its hash, so among nodes with as many workers each both directions of a flow are one worker's on
 * either side, and no key change moves it. */
static inline unsigned flow_socket(uint8_t lane, unsigned workers)
{
	return lane == 0 ? workers : (lane - 1u) % workers;
}

#endif
