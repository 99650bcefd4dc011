/* cni_gc.c - GC: what no valid attachment of this network owns is taken away; and STATUS: may ADD be
 * called?
 *
 * GC works from both sides, the file and the interfaces that stand, so it finds what kill -9 left: an
 * address without interface, an interface without address, one without a name. Attachments of other
 * networks are not its business. It puts back the routes of those that stay, which `weft down` takes
 * away. It goes on behind an error and tells the first. Needs no weftd. */
#include <stdlib.h>
#include <string.h>
#include "cni_look.h"
#include "cni_mesh.h"
#include "cni_pool.h"
#include "weft/err.h"

struct valid {
	const char *id, *ifname; /* borrowed */
};

struct gc {
	const struct cni_call *c;
	struct cni_link link;
	struct cni_pool pool;
	struct valid *valid; /* sorted */
	size_t nvalid;
	uint32_t table; /* 0: weftd doesn't answer */
	struct cni_error *e;
};

static int by_name(const void *a, const void *b)
{
	const struct valid *x = a, *y = b;
	int cmp = strcmp(x->id, y->id);

	return cmp ? cmp : strcmp(x->ifname, y->ifname);
}

static bool is_valid(const struct gc *g, const struct ipam_att *att)
{
	struct valid key = {att->id, att->ifname};

	return g->nvalid && bsearch(&key, g->valid, g->nvalid, sizeof(key), by_name);
}

static int read_list(struct gc *g)
{
	const json_t *list = json_object_get(g->c->conf, "cni.dev/valid-attachments"), *one;
	size_t i;

	if (!list) /* the name it had before the specification was done */
		list = json_object_get(g->c->conf, "cni.dev/attachments");
	if (!json_is_array(list))
		return cni_fail(g->e, CNI_E_CONFIG,
			"cni.dev/valid-attachments is missing: without it everything would be "
			"freed; an empty list says so");
	g->valid = calloc(json_array_size(list) + 1, sizeof(*g->valid));
	if (!g->valid)
		return cni_fail(g->e, CNI_E_INTERNAL, "no memory");
	json_array_foreach(list, i, one)
	{
		struct valid v = {json_string_value(json_object_get(one, "containerID")),
			json_string_value(json_object_get(one, "ifname"))};

		if (!v.id || !v.ifname)
			return cni_fail(g->e, CNI_E_CONFIG,
				"cni.dev/valid-attachments[%zu] lacks containerID or ifname", i);
		g->valid[g->nvalid++] = v;
	}
	qsort(g->valid, g->nvalid, sizeof(*g->valid), by_name);
	return 0;
}

/* From the file's side. */
static void free_attachments(struct gc *g)
{
	const struct ipam_att *att;
	char name[IFNAMSIZ];
	size_t it = 0;

	while (ipam_next(g->pool.m, &it, &att)) {
		struct cni_error one = {0};

		if (strcmp(att->network, g->c->network) != 0 || is_valid(g, att))
			continue;
		cni_link_name(att->id, att->ifname, name);
		if (cni_link_del(&g->link, name, &one) == 0)
			(void)ipam_detach(g->pool.m, att->id, att->ifname, g->pool.now);
		else
			(void)cni_fail(g->e, one.code, "%s", one.msg);
	}
}

/* Does an attachment, which may be under way in another network, own this name? */
static bool name_is_owned(const struct gc *g, const char *name)
{
	const struct ipam_att *att;
	char theirs[IFNAMSIZ];
	size_t it = 0;

	while (ipam_next(g->pool.m, &it, &att)) {
		cni_link_name(att->id, att->ifname, theirs);
		if (strcmp(theirs, name) == 0)
			return true;
	}
	return false;
}

/* From the interfaces' side. */
static int look_at(void *ctx, const struct cni_seen *s)
{
	struct gc *g = ctx;
	const struct ipam_att *att =
		s->named ? ipam_find(g->pool.m, s->att.id, s->att.ifname) : NULL;
	struct cni_error one = {0};
	int err;

	if (s->named && strcmp(s->att.network, g->c->network) != 0)
		return 0;
	if (s->named ? !is_valid(g, &s->att) : !name_is_owned(g, s->link.name)) {
		if (cni_link_del(&g->link, s->link.name, &one) != 0)
			(void)cni_fail(g->e, one.code, "%s", one.msg);
		return 0;
	}
	if (!att || !g->table || !(s->link.flags & IFF_UP))
		return 0;
	err = cni_link_routes(&g->link, att, s->link.ifindex, g->table);
	if (err)
		(void)cni_fail(g->e, CNI_E_KERNEL, "can't put back routes of %s: %s", s->link.name,
			err_str(err));
	return 0;
}

static void run_gc(struct gc *g)
{
	struct cni_error spare = {0};
	struct cni_mesh mesh;
	int err;

	if (read_list(g) != 0 || cni_link_open(&g->link, NULL, g->e) != 0 ||
		cni_pool_open(g->c, &g->link, &g->pool, g->e) != 0)
		return;
	if (cni_mesh_ask(g->c->socket, &mesh, &spare) == 0)
		g->table = mesh.table;
	free_attachments(g);
	err = cni_look_scan(&g->link, look_at, g);
	if (err)
		(void)cni_fail(g->e, CNI_E_KERNEL, "can't list pod interfaces: %s", err_str(err));
	(void)cni_pool_save(&g->pool, g->e);
	cni_pool_idle(&g->pool);
}

int cni_gc(const struct cni_call *c, struct cni_error *e)
{
	struct gc g = {.c = c, .link = {.home = -1, .ns = -1}, .pool = {.lock = -1}, .e = e};

	run_gc(&g);
	cni_pool_close(&g.pool);
	cni_link_close(&g.link);
	free(g.valid);
	return e->code ? ERR_REFUSED : 0;
}

/* Is there an address for one more pod? If not, weftd is asked for another block: a runtime that believes
 * STATUS sends no ADD any more that could. */
static int pool_status(const struct cni_call *c, const struct cni_mesh *mesh, struct cni_error *e)
{
	struct ipam_stats st;
	char why[256];
	struct cni_pool p;
	struct cni_link l;
	int err = cni_pool_peek(c, &p, e);

	if (!err)
		err = cni_link_open(&l, NULL, e);
	if (!err) { /* what ADD would give back first */
		cni_pool_reclaim(&p, &l);
		cni_link_close(&l);
	}
	if (!err && ipam_prefixes_set(p.m, mesh->prefixes, mesh->nprefixes) != 0)
		err = cni_fail(e, CNI_E_INTERNAL, "no memory");
	for (int f = IP_V4; !err && f <= IP_V6; f += IP_V6 - IP_V4) {
		ipam_stats(p.m, CNI_VNI, (enum ip_family)f, p.now, &st);
		if (!st.exhausted)
			continue;
		err = cni_fail(e, CNI_E_NOT_READY, "all pod addresses are in use (IPv%d)", f);
		cni_detail(e, "%llu of %llu, %llu more rest", (unsigned long long)st.used,
			(unsigned long long)st.size, (unsigned long long)st.held);
		cni_detail(e, "%s",
			cni_mesh_more(c->socket, (enum ip_family)f, why, sizeof(why))
				? "another block is asked for"
				: why);
	}
	if (!err && p.m) {
		ipam_stats(p.m, CNI_VNI, IP_V4, p.now, &st);
		if (st.attachments >= LIM_PODS)
			err = cni_fail(
				e, CNI_E_NOT_READY, "this node has %d attachments", LIM_PODS);
	}
	cni_pool_close(&p);
	return err;
}

int cni_status(const struct cni_call *c, struct cni_error *e)
{
	struct cni_error asked = {0};
	struct cni_mesh mesh;
	const char *wants;

	if (cni_mesh_ask(c->socket, &mesh, &asked) != 0) {
		(void)cni_fail(e, CNI_E_NOT_READY, "%s", asked.msg);
		cni_detail(e, "%s", asked.details);
		return ERR_REFUSED;
	}
	wants = cni_mesh_wants(&mesh);
	if (wants) {
		/* Where weftd's own kernel state is not as it should be, pods that run may feel it. */
		(void)cni_fail(
			e, mesh.ready ? CNI_E_NOT_READY : CNI_E_LIMITED, "the mesh is not ready");
		cni_detail(e, "%s", wants);
		return ERR_REFUSED;
	}
	return pool_status(c, &mesh, e);
}
