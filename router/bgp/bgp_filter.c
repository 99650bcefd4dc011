/* bgp_filter.c - see bgp_filter.h. Lists are short (the configuration bounds them) and looked at
 * once for each announcement: a walk will do. */
#include "bgp_filter.h"

bool bgp_filter_takes(const struct bgp_filter *f, const struct pfx *p)
{
	for (size_t i = 0; i < f->nguard; i++)
		if (pfx_contains(&f->guard[i], p))
			return false;
	if (f->all)
		return true;
	for (size_t i = 0; i < f->n; i++)
		if (pfx_contains(&f->list[i].pfx, p) && p->len >= f->list[i].ge &&
			p->len <= f->list[i].le)
			return true;
	return false;
}

static enum bgp_verdict apply(void *ctx, const struct bgp_route *r, struct bgp_edit *e)
{
	(void)e;
	return bgp_filter_takes(ctx, &r->nlri->pfx) ? BGP_ACCEPT : BGP_REJECT;
}

const struct bgp_policy_ops bgp_filter_ops = {apply};
