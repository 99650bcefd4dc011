/* conf_policy.h - inside router/conf: `bgp: sets:` and `bgp: policies:`, and what a peer's import and
 * export name. Errors go to the load. */
#ifndef WEFT_CONF_POLICY_H
#define WEFT_CONF_POLICY_H

#include "conf_bgp.h"
#include "conf_tree.h"

/* Read the two maps in @bgp, the section, into @b; other keys are not looked at. */
void conf_policy_read(struct conf_load *l, const struct conf_node *bgp, struct policy_book *b);
/* What the value f->node of @path ("bgp.peers.import") stands for, to f->policy. @label names a policy
 * that has no name of its own. */
void conf_policy_filter(struct conf_load *l, const char *path, struct policy_book *b,
	const char *label, struct conf_bgp_filter *f);

#endif
