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

/* The socket of the reuseport group that a DATA datagram of this lane and receiver index reaches by
 * flow_bpf_reuseport: a worker, or @workers (control's socket) for lane 0. */
static inline unsigned flow_socket(uint8_t lane, uint32_t index, unsigned workers)
{
	return lane == 0 ? workers : (lane - 1u + (index & 0xff)) % workers;
}

#endif
