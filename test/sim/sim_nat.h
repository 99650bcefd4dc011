/* sim_nat.h - what stands between a host and the net: an address translator of one of the kinds of
 * RFC 4787, or a firewall that keeps state and translates nothing.
 *
 *	full-cone	one outer port per inner one; whoever sends to it gets through
 *	address		the same, but only from addresses that were sent to
 *	port		the same, but only from addresses and ports that were sent to
 *	symmetric	an outer port per destination, and only that one gets through
 *	firewall	as port, with the inner port and address outside too
 *
 * A flow that sends nothing for SIM_NAT_LIFE is forgotten; what comes in keeps none alive. */
#ifndef WEFT_SIM_NAT_H
#define WEFT_SIM_NAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/ts.h"

enum sim_nat_kind {
	NAT_NONE,
	NAT_FULL_CONE,
	NAT_ADDRESS,
	NAT_PORT,
	NAT_SYMMETRIC,
	NAT_FIREWALL,
	NAT_KINDS
};

#define SIM_NAT_LIFE  DUR_SEC(30)
#define SIM_NAT_FLOWS 1024 /* the oldest gives way */

struct sim_nat;

struct sim_nat *sim_nat_new(enum sim_nat_kind kind); /* never NULL */
void sim_nat_free(struct sim_nat *t);                /* NULL is fine */
enum sim_nat_kind sim_nat_kind(const struct sim_nat *t);
/* Does it give the host another address outside? */
bool sim_nat_translates(const struct sim_nat *t);
/* Something goes out from @port to @to: from which port outside? */
uint16_t sim_nat_out(struct sim_nat *t, uint16_t port, const struct ep *to, ts_t now);
/* Something comes in to @port from @from: to which port inside? 0: dropped. */
uint16_t sim_nat_in(struct sim_nat *t, uint16_t port, const struct ep *from, ts_t now);
const char *sim_nat_name(enum sim_nat_kind kind);

#endif
