/* sim_hostile.h - members that lie: what one with the cluster's secret can do to the others. Each
 * act goes through the liar's own sessions, as in life. */
#ifndef WEFT_SIM_HOSTILE_H
#define WEFT_SIM_HOSTILE_H

#include <stdbool.h>

struct sim;
struct sim_node;

/* Some profiles have liars who do it all, and nobody else does: sim.liars of the last nodes that relay. Else
 * "a random member" and "the last node" are those. */
struct sim_node *hostile_nth(const struct sim *s, unsigned nth);

/* A random member sends another one a record that nobody may believe: old, with a changed version,
 * with a changed bit, too large, of another cluster, of an epoch that nobody comes to; or one of its own
 * from far in the future, or that says of another one that it was forgotten. */
void hostile_lie(struct sim *s);
/* The last node sends a burst of true, false and senseless messages to random others. */
void hostile_flood(struct sim *s);
/* The last node publishes something new and true: often, that is more than anybody has to hear. */
void hostile_news(struct sim *s);
/* A random member hears nobody for a while, and takes all others for dead; it says so to all. */
void hostile_deaf(struct sim *s);
/* The last node tells a random one of others that they are dead: suspicions of its own, which it has no
 * part in or every part, such in others' names, goodbyes that nobody said, lists of dead ones, notices. */
void hostile_accuse(struct sim *s);
/* The last relay begins or ceases to say that it has a splendid way to everybody, and then forwards
 * nothing; or names ways that lead in circles. */
void hostile_relay(struct sim *s);
/* A random member claims everything, or a part of what another one has or has claimed, by the weakest
 * right and with an early date; or takes that back. */
void hostile_greed(struct sim *s);
/* A node starts with another one's disk, while that one runs on. One at a time. */
void hostile_clone(struct sim *s);
/* Clones get a disk of their own again. */
void hostile_heal(struct sim *s);

/* Did the cluster count and name what it was told? Which: bits. */
enum hostile_act {
	ACT_LIE = 1,
	ACT_FLOOD = 2,
	ACT_GREED = 4,
	ACT_CLONE = 8,
	ACT_ACCUSE = 16,
	ACT_RELAY = 32,
	ACT_NEWS = 64,
	ACT_DEAF = 128
};
bool hostile_counted(struct sim *s, unsigned acts, const char **missing);

#endif
