/* bgp_watch.c - looking on at a speaker. */
#include "bgp_watch.h"
#include "bgp_int.h"

void bgp_tap(struct bgp *b, bgp_tap_fn fn, void *ctx)
{
	b->tap = fn;
	b->tap_ctx = ctx;
}

void bgp_tap_tell(struct bgp_conn *c, bool sent, const uint8_t *msgs, size_t len)
{
	const struct bgp *b = c->peer->b;
	uint8_t type;
	int n;

	while (len > 0) {
		struct bgp_error e;

		n = bgp_msg_peek(msgs, len, BGP_MSG_EXT_MAX, &type, &e);
		if (n <= 0 || (size_t)n > len)
			return;
		b->tap(b->tap_ctx, c->peer->idx, &c->local, sent, msgs, (size_t)n);
		msgs += n;
		len -= (size_t)n;
	}
}

void bgp_each_net(const struct bgp *b, uint32_t vni, bgp_net_fn fn, void *ctx)
{
	const struct rib *r = NULL;
	struct net *n, *cursor = NULL;
	size_t at = 0;
	bool go_on = true;

	for (unsigned i = 0; i < b->nribs; i++)
		if (b->ribs[i]->vni == vni)
			r = b->ribs[i];
	while (go_on && r && (n = rib_next(r, &at, &cursor)) != NULL) {
		struct bgp_nlri nlri;

		if (!n->paths)
			continue;
		net_nlri(n, &nlri);
		go_on = fn(ctx, &nlri);
	}
}
