/* sim_net.h - the simulated underlay: who reaches whom, how late, how reliably.
 *
 * Each node has a host with one IPv4 address at a time. A datagram goes: source host and port, its
 * translator or firewall (sim_nat.h), the link's faults, the translator of the host that has the
 * destination address, that host's node. Each ordered pair of hosts is a link; its base delay is a
 * function of the seed and the pair, the same both ways; its MTU is the smaller of the hosts' two,
 * and what is larger is dropped without a word. */
#ifndef WEFT_SIM_NET_H
#define WEFT_SIM_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/ts.h"
#include "sim_nat.h"

struct sim;
struct sim_net;

/* Faults of every link; shares in parts per million of the datagrams. */
struct sim_link {
	dur_t delay_min, delay_max; /* the base delay of a pair lies between */
	dur_t jitter;               /* up to so much more */
	uint32_t loss, dup, corrupt;
	uint32_t reorder; /* so many come up to reorder_by later */
	dur_t reorder_by;
};

/* Some ordered pairs are worse than that, each for itself: drawn from the seed, the same for a whole run. */
struct sim_rough {
	uint32_t share;              /* of the ordered pairs, in parts per million */
	uint32_t loss_min, loss_max; /* theirs lies between, instead of the link's */
	dur_t jitter;                /* up to so much more */
};

/* Bytes of IP and UDP header around a datagram. */
#define SIM_OUTER_BYTES  28
#define SIM_SIDE_PORT    40000 /* of worker 0; a host has UINT8_MAX of them */
#define SIM_HEALTHY_LOSS 50000 /* 5 %: up to that no session may be lost */

struct sim_net *sim_net_new(struct sim *s); /* NULL: no memory */
void sim_net_free(struct sim_net *n);

/* From now on; a loss above SIM_HEALTHY_LOSS counts as a disturbance of all. */
void sim_net_link(struct sim_net *n, const struct sim_link *l);
/* From now on. Such a pair counts as disturbed all the time; the hosts don't. */
void sim_net_rough(struct sim_net *n, const struct sim_rough *r);
/* Parts per million of the datagrams from @from to @to that are lost. */
uint32_t sim_net_loss(const struct sim_net *n, unsigned from, unsigned to);
const struct sim_link *sim_net_base(void); /* 1 to 30 ms, 1 ms of jitter, no loss */

/* The host's main port as others see it, and as it sees itself. */
struct ep sim_net_ep(const struct sim_net *n, unsigned host);
struct ep sim_net_inner_ep(const struct sim_net *n, unsigned host);
/* Such a translator stands before the host from now on; all flows are forgotten. */
void sim_net_nat(struct sim_net *n, unsigned host, enum sim_nat_kind kind);
/* No datagram above @mtu bytes, IP header included, gets to or from the host. 1500 at first. */
void sim_net_mtu(struct sim_net *n, unsigned host, unsigned mtu);
unsigned sim_net_mtu_of(const struct sim_net *n, unsigned host);
/* The host gets another address; what goes to the old one is lost. */
void sim_net_move(struct sim_net *n, unsigned host);
/* Hosts with different sides don't reach each other. */
void sim_net_side(struct sim_net *n, unsigned host, unsigned side);
/* Datagrams from @from to @to are lost, or no longer. */
void sim_net_cut(struct sim_net *n, unsigned from, unsigned to, bool cut);
void sim_net_heal(struct sim_net *n); /* cuts and sides */

/* Something other than link faults disturbs @host at @at. */
void sim_net_disturb(struct sim_net *n, unsigned host, ts_t at);
/* Since when nothing but the links' own faults has hit the pair, in either direction. */
ts_t sim_net_calm_since(const struct sim_net *n, unsigned a, unsigned b);
/* The same, but that one of the two may stand behind a translator or firewall: it can call the other. */
ts_t sim_net_open_since(const struct sim_net *n, unsigned a, unsigned b);
/* Since when nothing has hit the host: no cut with anybody, no change of sides, no disturbance. */
ts_t sim_net_alone_since(const struct sim_net *n, unsigned host);
/* Can each reach the other? */
bool sim_net_reach(const struct sim_net *n, unsigned a, unsigned b);

/* Send @len bytes (copied) from the host's @port: WIRE_DEFAULT_PORT or SIM_SIDE_PORT + worker.
 * @wire_len: the bytes that it stands for. An empty one opens the way back and reaches nobody. */
void sim_net_send(struct sim_net *n, unsigned from, uint16_t port, const struct ep *to,
	const uint8_t *buf, size_t len, size_t wire_len);
/* For who plays the others to a real daemon (peers.h). What is sent to an address that is no host's leaves
 * by @out, undelayed; NULL: it is lost, as it is at first. */
void sim_net_outside(struct sim_net *n,
	void (*out)(void *ctx, const struct ep *from, const struct ep *to, const uint8_t *buf,
		size_t len),
	void *ctx);
bool sim_net_is_outside(const struct sim_net *n, const struct ep *ep);
/* A datagram (borrowed) comes from outside, now. */
void sim_net_inject(struct sim_net *n, const struct ep *from, const struct ep *to,
	const uint8_t *buf, size_t len);
/* What arrives at a host whose node does not run goes to @in, borrowed; NULL: it is lost. */
void sim_net_stand_in(struct sim_net *n,
	void (*in)(void *ctx, unsigned host, const struct ep *from, const uint8_t *buf, size_t len),
	void *ctx);
/* Whether what is sent is kept for the attacker. */
void sim_net_remember(struct sim_net *n, bool on);
/* An attacker sends one of the last datagrams again, from where it came or from elsewhere. */
void sim_net_replay(struct sim_net *n);

/* Datagrams and bytes that @host has sent, outer headers included. */
void sim_net_sent(const struct sim_net *n, unsigned host, uint64_t *msgs, uint64_t *bytes);

struct sim_net_stats {
	uint64_t sent, bytes, handshakes, lost, cut, nowhere, duplicated, corrupted, replayed;
	uint64_t filtered; /* by a translator or firewall */
	uint64_t too_big;
};
void sim_net_stats(const struct sim_net *n, struct sim_net_stats *out);
/* "INIT", "DATA", ...: what kind of datagram that is. */
const char *sim_net_type(const uint8_t *buf, size_t len);

#endif
