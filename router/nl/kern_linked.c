/* kern_linked.c - ranges of linked clusters: unreachable routes like those of our own ranges (DESIGN 4.1),
 * below whatever leads there, so that nothing leaves in clear while no gateway does; and masquerade is
 * kept off them by the same rules (kern_nft.c, kern_out.c). Bound: LIM_LINKED_RANGES, each of which is
 * two rules of a chain that first packets walk. */
#include "kern_int.h"
#include "weft/bounds.h"
#include "weft/err.h"

int kern_linked_add(struct kern *k, uint32_t vni, const struct pfx *range)
{
	struct kroute *r;
	int err;

	if (!kern_seg(k, vni))
		return ERR_NOT_FOUND;
	r = kern_obj_get(k, vni, range, KR_RANGE);
	if (r && r->want)
		return r->linked ? 0 : ERR_EXISTS;
	if (k->nlinked == LIM_LINKED_RANGES)
		return ERR_FULL;
	err = kern_obj_set(k, vni, range, KR_RANGE, 0, 0, NULL, false);
	if (err != 0)
		return err;
	kern_obj_get(k, vni, range, KR_RANGE)->linked = true;
	k->nlinked++;
	kern_nft_stale(k);
	return 0;
}

int kern_linked_del(struct kern *k, uint32_t vni, const struct pfx *range)
{
	struct kroute *r = kern_obj_get(k, vni, range, KR_RANGE);

	if (!r || !r->want || !r->linked)
		return ERR_NOT_FOUND;
	r->linked = false;
	k->nlinked--;
	kern_nft_stale(k);
	return kern_obj_del(k, vni, range, KR_RANGE);
}
