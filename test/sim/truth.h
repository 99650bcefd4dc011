/* truth.h - everything that any node of the simulation ever published, so that what others believe
 * can be compared with it.
 *
 * It hears of each record at its signing: record_sign(), key_verify(), record_version_cmp() and store_put()
 * are wrapped by the linker. The first tells here what was signed; the second remembers signatures that
 * were found good, so that a cluster of N nodes verifies each once and not N times (off by
 * sim_cfg.own_signatures); it and the third are where a test plants its bugs; the last tells whose records
 * have just changed. */
#ifndef WEFT_TRUTH_H
#define WEFT_TRUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gossip.h"

struct sim;
struct truth;
struct prng;

struct truth *truth_new(struct sim *s); /* the present one from here on; NULL: no memory */
void truth_free(struct truth *t);

/* A record's version: what an observer has seen of one subject must not fall below. */
struct truth_version {
	uint64_t epoch, seq;
};

/* Hashes of what records say, as gossip_node_info gives it. */
uint64_t truth_of_node(const char *name, const char *version, bool left);
uint64_t truth_of_endpoints(const struct ep *eps, size_t n);
uint64_t truth_of_prefixes(const struct gossip_prefix *p, size_t n); /* in any order */

enum truth_verdict { TRUTH_FINE, TRUTH_NEVER_SAID, TRUTH_ROLLED_BACK };
/* Did @node publish @content in a record of @type, in @least or a later version? Then *@least is
 * that version. */
enum truth_verdict truth_judge(const struct truth *t, const struct node_key *node, uint8_t type,
	uint64_t content, struct truth_version *least);

/* One whose records were put into a store since the last turn's end, by the node whose turn it was (borrowed,
 * until its next turn); each is given once. NULL: no more. */
const struct node_key *truth_stored(struct truth *t);
/* Any record that was ever signed (borrowed), for those who replay and forge. NULL: none yet. */
const uint8_t *truth_any(const struct truth *t, struct prng *p, size_t *len);
uint64_t truth_verified(const struct truth *t); /* signatures verified for real */

#endif
