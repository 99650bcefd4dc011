/* invariants.h - what must hold, whatever happens, and what must hold after quiet.
 *
 *	keys		each KEY_ADD has its KEY_DEL, before the peer's end; none is used that isn't there
 *	key-reuse	no tx key is ever given out twice, by whomever
 *	counter		lane 0 never seals twice with one counter
 *	routes		a node's routes are the prefixes of live owners by the conflict order, as a slow
 *			model of DESIGN 7.5 has them
 *	records		what a node believes of another was published by that one, and its versions
 *			only rise: nothing forged or rolled back is ever accepted
 *	agreement	after quiet, in time, whatever is published then: everybody holds everybody for
 *			alive and has the same records
 *	owners		two live nodes that can reach each other, and that both know both owners, route
 *			overlapping prefixes to different ones for at most 10 s
 *	claims		two live nodes that can reach each other, and that know each other, have one
 *			claimed block, or overlapping ones, in service for at most 10 s
 *	routable	a live node's prefix is routed by each that can reach it, but for 10 s at most
 *			These three: 20 s in all, where relays or translators are needed in a part of them;
 *			who had its first session 20 s ago or less is left out until each has the other's
 *			prefixes
 *	reachable	who calls a live node, with a way to it through at most one relay all the time,
 *			has an answer within 10 s, or 20 s where relays or translators are needed
 *	relay		no way through relays visits a node twice
 *	key-match	what one of a connected pair seals the other opens, but for 5 s
 *	false-down	no session times out between two nodes that nothing disturbed but at most 5 % loss
 *	false-death	nobody is declared dead whom nothing disturbed
 *	size		no datagram of the control plane is above what every path carries
 *	counted		what liars did shows in counters and notices
 *	spin		a deadline that was served moves on
 *
 * Up to routes, and from false-down on, they are checked as things happen; owners, claims, routable and
 * key-match once per second, from the first agreement on, for pairs that nothing disturbed in that
 * second, or, but for key-match, that others stood ready to relay for. Each stops the simulation by sim_fail(). */
#ifndef WEFT_INVARIANTS_H
#define WEFT_INVARIANTS_H

#include <stdbool.h>
#include <stddef.h>
#include "session.h"

struct sim;
struct sim_node;
struct sim_key;
struct relay_hdr;
struct checks;
struct pairs_worst;

enum check {
	CHECK_KEYS,
	CHECK_KEY_REUSE,
	CHECK_COUNTER,
	CHECK_ROUTES,
	CHECK_RECORDS,
	CHECK_AGREE,
	CHECK_OWNERS,
	CHECK_KEY_MATCH,
	CHECK_FALSE_DOWN,
	CHECK_SPIN,
	CHECK_ROUTABLE,
	CHECK_FALSE_DEATH,
	CHECK_SIZE,
	CHECK_COUNTED,
	CHECK_CLAIMS,
	CHECK_REACHABLE,
	CHECK_RELAY,
	CHECK_COUNT
};
const char *check_name(unsigned check);

struct checks *checks_new(struct sim *s);
void checks_free(struct checks *c);

/* All faults are healed from now on, or no longer. */
void checks_quiet(struct sim *s, bool quiet);
/* How near the invariants of pairs were to fail. */
const struct pairs_worst *checks_worst(const struct sim *s);
enum agreement {
	AGREE_NOT,
	AGREE_BUT_GONE, /* all that is wrong: some hold for alive who isn't there */
	AGREE
};
/* Do all running nodes agree on everything, and hold each other for alive and nobody else? If not, @why. */
enum agreement checks_agree(struct sim *s, char *why, size_t len);

/* From the node, before it carries out the action. */
void check_key_add(struct sim_node *n, const struct sess_act *a, const struct sim_key *k);
void check_key_use(struct sim_node *n, const struct sess_act *a);
void check_key_del(struct sim_node *n, const struct sess_act *a);
void check_up(struct sim_node *n, const struct sess_act *a);
void check_down(struct sim_node *n, const struct sess_act *a);
/* It takes a node for dead. */
void check_node_down(struct sim_node *n, const struct node_key *key);
/* It sends a datagram of so many bytes. */
void check_size(struct sim_node *n, size_t wire_len);
void check_sealed(struct sim_node *n, uint32_t peer, const uint8_t *buf, size_t len);
/* It sends by relays: those of @h, @other being the one that the datagram goes to next. */
void check_relay(struct sim_node *n, const struct relay_hdr *h, uint64_t other);
/* A turn of the node ended; it is about to stop cleanly; it was woken by its deadline. */
void check_after(struct sim_node *n);
void check_stopped(struct sim_node *n);
void check_ticks(struct sim_node *n);

#endif
