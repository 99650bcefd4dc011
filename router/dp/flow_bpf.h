/* flow_bpf.h - the two steering programs, assembled by hand (DESIGN 5.8, 5.10). Only builds the
 * instructions; loading and attaching is the caller's. */
#ifndef WEFT_FLOW_BPF_H
#define WEFT_FLOW_BPF_H

#include <stddef.h>
#include <linux/bpf.h>
#include <linux/filter.h>

#define FLOW_BPF_TUN_MAX       160 /* instructions */
#define FLOW_BPF_REUSEPORT_MAX 16

/* eBPF, BPF_PROG_TYPE_SOCKET_FILTER, for TUNSETSTEERINGEBPF on a TUN (no Ethernet header: data
 * starts at the IP header). Returns flow_hash(packet) % @nqueues; 0 for what is not IP. No maps, no
 * GPL-only helper. Writes to @insns (FLOW_BPF_TUN_MAX of them); returns how many. @nqueues > 0. */
size_t flow_bpf_tun(struct bpf_insn *insns, unsigned nqueues);

/* Classic BPF for SO_ATTACH_REUSEPORT_CBPF on the UDP group (data starts at the UDP payload):
 * sockets 0..@workers-1 are the workers', in order of bind, @workers is control's. DATA and
 * RELAY of lane > 0 go to flow_socket(); everything else to control. Writes to @insns (FLOW_BPF_REUSEPORT_MAX);
 * returns how many. @workers > 0. Too short a datagram ends at socket 0, which drops it. */
size_t flow_bpf_reuseport(struct sock_filter *insns, unsigned workers);

#endif
