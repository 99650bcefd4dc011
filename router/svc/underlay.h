/* underlay.h - the widest interface that the mesh runs over: its MTU, less what weft adds, is that of our devices
 * and so of new pods, and where searches for a path's MTU end. Peers that are reached by a narrower one, or by
 * a path that carries less, get the difference by their routes (docs/paths.md).
 *
 * Interfaces that count: of the default route; of the address that --listen names; those that lead to the addresses
 * of --peer, to the nodes that an earlier run knew, and to the peers of direct sessions. One that counted once
 * counts while it is up, or pods would get more or less by which sessions happen to stand. On a host where none
 * of these is known: the widest one with an address that peers could reach, until better is known. */
#ifndef WEFT_UNDERLAY_H
#define WEFT_UNDERLAY_H

#include <stdbool.h>
#include "weft/addr.h"

struct daemon;

struct underlay {
	unsigned mtu;    /* bytes of an outer packet, 1280 to 9216; 0: not looked at yet */
	char ifname[16]; /* the interface; empty: none was found, and 1500 is taken */
	bool known;      /* it counts by the list above; false: for want of such */
};

/* Ask the kernel. A new MTU is told to devices, routes and searches. When the kernel says nothing, what was known
 * stays. At the start once before the devices are made; then each 10 s, and when the host's links change. */
void underlay_look(struct daemon *d);
/* A session goes straight to @to: its interface counts from now on. Never less than before comes of that. */
void underlay_used(struct daemon *d, const struct ep *to);

#endif
