/* sim_fault.h - what goes wrong: profiles of faults, begun and healed as a whole.
 *
 *	none		nothing
 *	lossy		5 % loss, jitter, reorder, duplication on every link, in quiet too
 *	partition	the hosts fall into two or three sides for a while
 *	cuts		pairs of hosts lose each other, one way or both
 *	crash		nodes stop, cleanly or not; disks are kept, lost, or rolled back to the start before
 *	slow		nodes do nothing for 20 ms to 2 s, now and then for 15 s
 *	clock		wall clocks jump, by seconds and by years
 *	roam		hosts change their address
 *	conflict	nodes publish, change, withdraw prefixes that overlap with others'
 *	hostile		datagrams are corrupted, recorded, sent again; a member lies with forged and old
 *			records
 *	forge		a member sends records that are forged, old, too large, foreign, from the future
 *	flood		a member sends senseless and false messages without end
 *	news		a member publishes something new all the time
 *	deaf		a member hears nobody for a while, suspects everyone and says so
 *	accuse		a member says of others, in its own and in others' names, that they are dead
 *	swallow		a relay promises splendid ways and carries nothing, or such that lead in circles;
 *			many cuts
 *	greed		a member claims all prefixes, or a part of another one's, by the weakest right
 *	clone		a node runs from a copy of another one's disk
 *	lies		one member does all of hostile, forge, flood, deaf, accuse, swallow, greed
 *	band		three members do, and clone; three watchers can have somebody declared dead for a
 *			moment (docs/membership.md), so that *false-death* is not asked
 *	nat		a host gets a translator or firewall before it, of each kind, or loses it
 *	ways		many cuts of half a minute and more, one way or both, translators, crashes: relays
 *			are needed
 *	claims		nodes choose the same blocks; partitions, crashes, nodes forgotten while down
 *	badlinks	a tenth of the links lose 20 to 40 % and jitter by 100 ms, most one way only, in quiet
 *			too; nodes crash, prefixes change
 *	mtu		hosts' MTUs change between 1280 and 9000
 *	all		most of these at once: not flood, news, deaf, accuse, swallow, clone, lies, band,
 *			badlinks */
#ifndef WEFT_SIM_FAULT_H
#define WEFT_SIM_FAULT_H

#include <stdbool.h>

struct sim;
struct sim_faults;

/* NULL: no such profile, or no memory. */
struct sim_faults *sim_faults_new(struct sim *s, const char *profile);
void sim_faults_free(struct sim_faults *f);
bool sim_faults_any(const struct sim_faults *f); /* does the profile do anything? */
void sim_faults_begin(struct sim_faults *f);
/* Everything runs and is reachable again; damage done stays. */
void sim_faults_heal(struct sim_faults *f);
/* Names of the profiles; NULL past the end. */
const char *sim_faults_name(unsigned i);

#endif
