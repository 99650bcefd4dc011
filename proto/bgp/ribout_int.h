/* ribout_int.h - what ribout.c (entries and bytes) and ribout_group.c (groups and their logs) share. */
#ifndef WEFT_RIBOUT_INT_H
#define WEFT_RIBOUT_INT_H

#include "bgp_int.h"

/* Elements of logs: NULL for 0. */
struct out *out_at(const struct bgp *b, uint32_t ref);
/* A new one, alone in its ring; *@ref is its number. NULL: no memory. */
struct out *out_make(struct bgp *b, bool wide, uint32_t *ref);
void out_free(struct bgp *b, uint32_t ref); /* takes it out of its ring */
void out_unlink(const struct bgp *b, struct out *o, uint32_t ref);
void out_link_after(const struct bgp *b, uint32_t where, uint32_t ref);
static inline bool is_entry(const struct out *o)
{
	return !(o->flags & OUT_MARKER);
}

/* Entries. The number of that of @n in @g with @id, 0: there is none. */
uint32_t out_find(const struct bgp *b, const struct net *n, const struct bgp_group *g, uint32_t id);
/* A new one of @n, not in the log yet; 0: no memory. */
uint32_t out_make_entry(
	struct bgp *b, const struct bgp_group *g, struct net *n, uint32_t id, uint16_t from);
void out_free_entry(struct bgp *b, struct bgp_group *g, uint32_t ref);
/* Give @o its place as changed just now. */
void out_place(struct bgp *b, struct bgp_group *g, struct out *o, uint32_t ref);
void out_passed(struct bgp *b, struct bgp_group *g, uint32_t ref); /* a marker came past it */

void ribout_wake(struct bgp_group *g); /* all members have something to send */
/* Bring all that @g hears of @n up to date. ERR_NOMEM: the group has failed. */
int ribout_update_net(struct bgp *b, struct bgp_group *g, struct net *n, bool label_changed);
/* Does @g hear of changes? */
bool ribout_is_used(const struct bgp_group *g);

#endif
