/* cni_pool.c - the file of pod addresses.
 *
 * DIR/pods holds the state of proto/ipam in weft's container; DIR/lock is held from reading to writing,
 * and for no longer: interfaces are made outside it. Needs no weftd, so that DEL and GC work without.
 *
 * Data in: the file; if it is lost, the host ends that stand, whose aliases and routes say whose they
 * are. Data out: struct ipam. Bounds: LIM_STATE_BYTES, CNI_POOL_LOCK_MS. Failure: the file is written by
 * rename, so it is the old or the new one; a full disk is error 5 and changes nothing. */
#include "cni_pool.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "cni_look.h"
#include "file.h"
#include "weft/err.h"

#define KIND   "pods"
#define FORMAT 1
#define YOUNG  DUR_SEC(60) /* such an attachment may be under way in another process */

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int path_of(
	const struct cni_call *c, const char *name, char out[PATH_MAX], struct cni_error *e)
{
	if (snprintf(out, PATH_MAX, "%s/%s", c->data_dir, name) >= PATH_MAX - 32)
		return cni_fail(e, CNI_E_CONFIG, "dataDir is too long");
	return 0;
}

/* Other processes hold it for a millisecond or so each. */
static int take_lock(struct cni_pool *p, struct cni_error *e)
{
	char path[PATH_MAX];
	pid_t holder;
	int fd;

	if (path_of(p->call, "lock", path, e) != 0)
		return ERR_REFUSED;
	fd = file_lock_wait(path, CNI_POOL_LOCK_MS, &holder);
	if (fd == ERR_BUSY)
		return cni_fail(e, CNI_E_LATER, "process %d holds %.160s", (int)holder, path);
	if (fd < 0)
		return cni_fail(e, CNI_E_IO, "can't lock %.160s: %s", path, err_str(fd));
	p->lock = fd;
	return 0;
}

struct adoption {
	struct cni_pool *p;
	struct cni_error *e;
};

static int adopt(void *ctx, const struct cni_seen *s)
{
	struct adoption *a = ctx;
	struct ipam_att att = s->att;
	int err;

	if (!s->named)
		return 0; /* half made: GC takes it away */
	att.since = a->p->now;
	cni_link_pod_mac(att.id, att.ifname, att.mac);
	err = ipam_adopt(a->p->m, &att);
	a->p->rebuilt |= err == 0;
	/* Two that claim one address can't both be right; the first stays. */
	return err == ERR_EXISTS || err == ERR_CONFLICT ? 0 : err;
}

static int rebuild(struct cni_pool *p, struct cni_link *l, const uint8_t boot[IPAM_BOOT_ID],
	struct cni_error *e)
{
	struct adoption a = {p, e};
	int err;

	p->m = ipam_new(boot);
	if (!p->m)
		return cni_fail(e, CNI_E_INTERNAL, "no memory");
	err = l ? cni_look_scan(l, adopt, &a) : 0;
	return err ? cni_fail(e, CNI_E_KERNEL, "can't list pod interfaces: %s", err_str(err)) : 0;
}

static int load(struct cni_pool *p, struct cni_link *l, struct cni_error *e)
{
	char path[PATH_MAX], aside[PATH_MAX] = "";
	uint8_t boot[IPAM_BOOT_ID];
	uint16_t format;
	char *buf;
	size_t len;
	int err;

	if (path_of(p->call, "pods", path, e) != 0)
		return ERR_REFUSED;
	err = file_boot_id(boot);
	if (err)
		return cni_fail(e, CNI_E_IO, "can't read the kernel's boot id: %s", err_str(err));
	err = file_state_read(path, KIND, FORMAT, &format, &buf, &len);
	if (!err) {
		err = ipam_decode((const uint8_t *)buf, len, boot, &p->m);
		free(buf);
	}
	switch (err) {
	case 0:
		return 0;
	case -ENOENT:
	case -ENOTDIR:
	case ERR_STALE:
		return rebuild(p, l, boot, e);
	case ERR_VERSION:
		return cni_fail(e, CNI_E_IO, "%.160s was written by a newer weft", path);
	case ERR_NOMEM:
		return cni_fail(e, CNI_E_INTERNAL, "no memory");
	case ERR_CORRUPT:
	case ERR_FOREIGN:
	case ERR_TRUNCATED:
	case ERR_MALFORMED:
	case ERR_CONFLICT:
		if (l && file_set_aside(path, aside, sizeof(aside)) == 0)
			fprintf(stderr, "weft-cni: %s was damaged, is now %s, and is made anew\n",
				path, aside);
		return rebuild(p, l, boot, e);
	default:
		return cni_fail(e, CNI_E_IO, "can't read %.160s: %s", path, err_str(err));
	}
}

static void init(struct cni_pool *p, const struct cni_call *c)
{
	*p = (struct cni_pool){.call = c, .lock = -1};
}

int cni_pool_open(
	const struct cni_call *c, struct cni_link *l, struct cni_pool *p, struct cni_error *e)
{
	int err;

	init(p, c);
	err = file_mkdir(c->data_dir, 0700);
	if (err)
		return cni_fail(e, CNI_E_IO, "can't make %.160s: %s", c->data_dir, err_str(err));
	if (take_lock(p, e) != 0)
		return ERR_REFUSED;
	/* Read under the lock: what others wrote before is older. */
	p->now.ns = (uint64_t)clock_ns(CLOCK_BOOTTIME);
	return load(p, l, e);
}

int cni_pool_peek(const struct cni_call *c, struct cni_pool *p, struct cni_error *e)
{
	init(p, c);
	p->now.ns = (uint64_t)clock_ns(CLOCK_BOOTTIME);
	return load(p, NULL, e);
}

int cni_pool_save(struct cni_pool *p, struct cni_error *e)
{
	char path[PATH_MAX];
	uint8_t *buf;
	size_t len;
	int err;

	if (path_of(p->call, "pods", path, e) != 0)
		return ERR_REFUSED;
	err = ipam_encode(p->m, &buf, &len);
	if (err)
		return cni_fail(e, CNI_E_INTERNAL, "no memory");
	err = file_state_write(path, KIND, FORMAT, buf, len);
	free(buf);
	return err ? cni_fail(e, CNI_E_IO, "can't write %.160s: %s", path, err_str(err)) : 0;
}

void cni_pool_reclaim(struct cni_pool *p, struct cni_link *l)
{
	const struct ipam_att *att;
	struct nl_veth v;
	size_t it = 0;
	char name[IFNAMSIZ];

	while (ipam_next(p->m, &it, &att)) {
		if (!ts_due(ts_add(att->since, YOUNG), p->now))
			continue;
		cni_link_name(att->id, att->ifname, name);
		if (nl_veth_get(&l->host, name, &v) == -ENODEV)
			(void)ipam_detach(p->m, att->id, att->ifname, p->now);
	}
}

void cni_pool_idle(const struct cni_pool *p)
{
	const struct ipam_att *att;
	size_t it = 0;

	if (!ipam_next(p->m, &it, &att))
		cni_link_unpin();
}

void cni_pool_close(struct cni_pool *p)
{
	ipam_free(p->m);
	p->m = NULL;
	if (p->lock >= 0)
		close(p->lock);
	p->lock = -1;
}
