/* policy_int.h - inside policy_*.c. */
#ifndef WEFT_POLICY_INT_H
#define WEFT_POLICY_INT_H

#include "list.h"
#include "lpm.h"
#include "policy.h"
#include "policy_comm.h"
#include "weft/id.h"

/* Prefixes inside pfx of these lengths. */
struct policy_prefix {
	struct pfx pfx;
	uint64_t lens[3]; /* bit per length; closed: those of all that contain pfx, too */
};

#define POLICY_CLUSTERS_MAX 64

/* A linked cluster that a rule names. */
struct policy_cluster {
	char name[NODE_NAME_MAX + 1];
	uint32_t asn; /* 0: not known at present */
};

struct policy_asns {
	uint32_t lo, hi;                /* 0: this node's own, unless it is */
	struct policy_cluster *cluster; /* this one, of the book; NULL: it isn't */
};

struct policy_set {
	struct list in_book;
	enum policy_kind kind;
	char name[POLICY_NAME_MAX + 1]; /* "": of a rule */
	size_t n, cap;
	union {
		void *v;
		struct policy_prefix *prefixes;
		struct policy_comm *comms;
		struct policy_asns *asns;
		struct path_ref **paths;
	};
	struct lpm *trie; /* of POLICY_PREFIXES, once closed */
	size_t plain; /* of POLICY_COMMUNITIES, once closed: so many in front are plain, sorted */
};

/* A pattern, shared by the sets that were made from one another. */
struct path_ref {
	unsigned refs;
	struct policy_path *path;
};

/* Does one of the sets hold, or (all) each of them? */
struct policy_cond {
	struct policy_set **sets;
	size_t n;
	struct policy_set *own; /* among them: the values that stand in the rule itself */
	bool given;
};

enum cond_id {
	COND_PREFIX,
	COND_COMMUNITY,
	COND_ALL_COMMUNITIES,
	COND_PATH,
	COND_CLUSTER,
	COND_NEIGHBOUR,
	COND_SETS, /* those before are sets, the rest masks */
	COND_VALIDITY = COND_SETS,
	COND_LEARNED,
	CONDS,
};

/* Bits of the masks. */
enum { LEARNED_OWN = 1, LEARNED_IBGP = 2, LEARNED_EBGP = 4, LEARNED_CROSSED = 8 };

struct policy_test {
	struct policy_cond conds[COND_SETS];
	unsigned masks[CONDS - COND_SETS]; /* 0: not given */
	char text[POLICY_TEXT];
};

#define POLICY_LISTS 3 /* enum bgp_list */

struct policy_values {
	uint8_t *v;
	size_t n;
};

struct policy_change {
	bool local_pref, med, no_med, origin, replace; /* replace: communities: [...] */
	uint32_t local_pref_value, med_value;
	uint8_t origin_value;
	struct ip next_hop[2]; /* IPv4, IPv6 */
	unsigned prepend;
	uint32_t prepend_as;                    /* 0: our own */
	struct policy_values add[POLICY_LISTS]; /* network order */
	struct policy_set *del;                 /* of communities, or NULL */
	char text[POLICY_TEXT];
};

enum policy_verdict { VERDICT_NONE, VERDICT_ACCEPT, VERDICT_REJECT, VERDICT_NEXT };

struct policy_rule {
	struct list in_policy;
	struct policy *policy;
	char name[POLICY_NAME_MAX + 1];
	struct policy_test match, except;
	struct policy_change change;
	enum policy_verdict verdict;
	uint64_t hits[2];
};

struct policy_use { /* what a hook points at; it can outlive the policy */
	struct policy *policy;
	enum policy_dir dir;
};

struct policy {
	struct list in_book, rules;
	struct policy_book *book;
	size_t nrules;
	char name[POLICY_NAME_MAX + 48]; /* "(export to cluster ...)" fits */
	struct policy_use *use[2];
	uint64_t unmatched[2];
};

struct policy_book {
	struct list sets, policies;
	size_t nsets, npolicies, nrules;
	struct policy_set *guard; /* of prefixes */
	uint32_t local_as;
	const struct roa *origins;
	bool wants_origins;
	struct policy_cluster *clusters[POLICY_CLUSTERS_MAX]; /* owned, NULL behind the last */
};

/* policy_set.c */
bool policy_name_ok(const char *text);
struct policy_set *policy_set_find(
	const struct policy_book *b, enum policy_kind kind, const char *name);
/* Append an empty set without a name. */
int policy_set_make(struct policy_book *b, enum policy_kind kind, struct policy_set **out);
/* Add a value that is no name. */
int policy_set_value(struct policy_book *b, struct policy_set *s, const char *text, char *why);
int policy_set_put_prefix(struct policy_set *s, const struct pfx *p, unsigned ge, unsigned le);
int policy_set_close(struct policy_set *s);
void policy_set_free(struct policy_set *s);
bool policy_set_has_prefix(const struct policy_set *s, const struct pfx *p);
bool policy_set_has_comm(const struct policy_set *s, enum bgp_list list, const uint8_t *wire);
bool policy_set_in(const struct policy_set *s, const struct bgp_attrs *a); /* communities, paths */
bool policy_set_has_asn(const struct policy_set *s, uint32_t as, uint32_t own);
int policy_bad(char *why, const char *what);

/* policy_rule.c */
void policy_rule_free(struct policy_rule *r);
const char *policy_cond_name(unsigned cond);

#endif
