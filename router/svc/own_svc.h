/* own_svc.h - this node's prefixes in the daemon: drives proto/own. */
#ifndef WEFT_OWN_SVC_H
#define WEFT_OWN_SVC_H

#include "daemon_int.h"
#include "owner.h"

struct own_svc {
	struct owner *owner;
	const struct conf_prefix *wants[LIM_OWN_WANTS]; /* by tag */
	size_t nwants;
	bool saved_peers; /* an earlier run knew some */
	ts_t save_again;  /* TS_NEVER: the file is written, or being written */
	ts_t hold;        /* what the core says next waits for the file until then; TS_NEVER: no */
	ts_t hold_end;    /* no later save holds it longer; TS_NEVER: all is said */
	ts_t looked;
	bool dirty;    /* membership changed since it was looked at */
	uint64_t news; /* what the store had taken in when it was looked at */
	struct owner_prefix rows[LIM_PREFIXES_PER_NODE]; /* working space */
};

/* Make the core from configuration and the file of claims; those that go on are in the segments'
 * prefixes when it returns. After segments_build, before segments_up. Logs what is wrong. */
int own_svc_open(struct daemon *d);
void own_svc_close(struct daemon *d); /* has the file written once more */
/* Carry out what the core says, look at what gossip knows if that changed. True: something was done
 * that other cores may have to say something to. */
bool own_svc_drain(struct daemon *d);
void own_svc_tick(struct daemon *d, ts_t now);
ts_t own_svc_deadline(const struct daemon *d);
/* Is there a wanted block that isn't in use? */
bool own_svc_waits(const struct daemon *d);
void own_svc_saved(struct daemon *d, int err);
/* A node went up or down. */
void own_svc_changed(struct daemon *d);
/* GOSSIP_FORGOTTEN. */
void own_svc_forgotten(struct daemon *d, const struct gossip_act *a);
/* One of our prefixes lost (GOSSIP_PREFIX_CONFLICT). True: a claim, which is given up for another block,
 * so nobody need act. */
bool own_svc_conflict(struct daemon *d, const struct gossip_act *a);
/* What we own, for gossip_set_prefixes; at most @cap. Returns the count. */
size_t own_svc_list(struct daemon *d, struct gossip_prefix *out, size_t cap);

/* ctl_own.c: commands and metrics. */
/* One map, for status and report. */
void ctl_own_fill(struct daemon *d, struct ctl_w *w, const char *key);
void ctl_own_status(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_own_set(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_own_more(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_own_deleted(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);
void ctl_own_added(struct daemon *d, const struct ctl_request *rq, struct ctl_answer *a);

void metrics_own(struct daemon *d, struct http_reply *r);

/* The orchestrator deleted the node @name: its lease ends, at once or when it is down; or (@deleted false) has
 * such a node again: not so any more. Returns how many nodes bear that name. */
size_t own_svc_deleted(struct daemon *d, const char *name, bool deleted);

/* state.c: the file of claims. own_svc_saved is called when it is on the disk, or can't be. */
int state_save_claims(struct daemon *d, const uint8_t *buf, size_t len);
/* Give it to owner_restore; one that is torn or another node's is set aside. */
int state_load_claims(struct daemon *d, struct owner *o);

/* segment.c: put a prefix in service at run time, and take it out: FIB, kernel, mesh address. ERR_EXISTS,
 * ERR_NOT_FOUND, ERR_NOMEM, or what the kernel said. */
int segment_prefix_add(struct daemon *d, uint32_t vni, const struct conf_prefix *p);
int segment_prefix_del(struct daemon *d, uint32_t vni, const struct pfx *p);
/* Can @p not be an own prefix of this host, since something else has its addresses? @why names it. */
bool segment_prefix_overlaps(
	struct daemon *d, uint32_t vni, const struct conf_prefix *p, char *why, size_t why_len);

#endif
