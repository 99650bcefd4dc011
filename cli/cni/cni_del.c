/* cni_del.c - DEL: the interface goes, then the address. Needs neither weftd, nor the namespace, nor
 * prevResult, and what is gone already is fine. Only what could not be removed is an error: the runtime
 * then tries again. */
#include "cni_link.h"
#include "cni_pool.h"
#include "weft/err.h"

static int forget(
	const struct cni_call *c, struct cni_link *l, struct cni_pool *p, struct cni_error *e)
{
	if (cni_pool_open(c, l, p, e) != 0)
		return ERR_REFUSED;
	/* Nothing of it is known: nothing to write, so DEL twice works on a full disk. */
	if ((ipam_detach(p->m, c->id, c->ifname, p->now) == 0 || p->rebuilt) &&
		cni_pool_save(p, e) != 0)
		return ERR_REFUSED;
	cni_pool_idle(p);
	return 0;
}

int cni_del(const struct cni_call *c, struct cni_error *e)
{
	struct cni_pool p = {.lock = -1};
	struct cni_link l;
	char name[IFNAMSIZ];
	int err;

	cni_link_name(c->id, c->ifname, name);
	err = cni_link_open(&l, NULL, e);
	if (!err)
		err = cni_link_del(&l, name, e);
	if (!err) /* an interface that stays keeps its address */
		err = forget(c, &l, &p, e);
	cni_pool_close(&p);
	cni_link_close(&l);
	return err;
}
