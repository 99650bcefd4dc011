/* cni_mesh.c - weftd's word on prefixes and readiness.
 *
 * The rule of ADD (docs/cni.md), in the order in which it is looked at: weftd answers; its kernel state
 * stands; there is a prefix; no seed has yet to be heard of (for the first seconds after weftd's start);
 * a peer that is linked knows this node's prefixes. With no peer linked there is nobody who would have
 * to know.
 *
 * A pool that is full: weftd claims another block where it claims at all. It is asked by the ADD that
 * finds no address, which then waits, and ahead of need by the ADD that took the last one and by STATUS;
 * else a node that says 50 would get no ADD any more that could ask.
 *
 * Data in: a socket's path. Data out: struct cni_mesh. Bounds: LIM_POD_PREFIXES; the wait. Failure: error
 * 11, for the runtime to try again. */
#include "cni_mesh.h"

#include <string.h>
#include <time.h>
#include "client.h"
#include "weft/err.h"
#include "weft/wire.h"

#define POLL_MS 100

int64_t cni_mesh_now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Element @i of array @o. */
static const msgpack_object *element(const msgpack_object *o, size_t i)
{
	return o && o->type == MSGPACK_OBJECT_ARRAY && i < o->via.array.size ? &o->via.array.ptr[i]
									     : NULL;
}

static bool read_answer(const msgpack_object *data, struct cni_mesh *out)
{
	const msgpack_object *list = ctl_get(data, "prefixes"), *one;
	char text[PFX_STRLEN];

	for (size_t i = 0; (one = element(list, i)) && out->nprefixes < LIM_POD_PREFIXES; i++) {
		struct ipam_prefix *p = &out->prefixes[out->nprefixes];

		p->vni = (uint32_t)ctl_get_u64(one, "vni");
		if (p->vni == 0 || p->vni > VNI_MAX ||
			pfx_parse(ctl_get_str(one, "prefix", text, sizeof(text)), &p->pfx) != 0)
			return false;
		out->nprefixes++;
	}
	out->mtu = (unsigned)ctl_get_u64(data, "mtu");
	out->table = (uint32_t)ctl_get_u64(data, "table");
	out->ready = ctl_get_bool(data, "ready");
	out->settling = ctl_get_bool(data, "settling");
	out->known_to_peer = ctl_get_bool(data, "known_to_peer");
	out->peers_known = ctl_get_u64(data, "peers_known");
	out->peers_linked = ctl_get_u64(data, "peers_linked");
	one = element(ctl_get(data, "not_ready"), 0);
	if (one && one->type == MSGPACK_OBJECT_STR)
		snprintf(out->why, sizeof(out->why), "%.*s", (int)one->via.str.size,
			one->via.str.ptr);
	return out->mtu >= CNI_MTU_MIN && out->mtu <= 65535 && out->table != 0;
}

int cni_mesh_ask(const char *socket, struct cni_mesh *out, struct cni_error *e)
{
	struct client_answer a;
	struct ctl_request rq = {.cmd = "pod-network"};
	int err;

	memset(out, 0, sizeof(*out));
	err = client_call(socket, &rq, CLIENT_TIMEOUT_MS, &a);
	if (err) {
		(void)cni_fail(e, CNI_E_LATER, "weftd does not answer on %.160s", socket);
		cni_detail(e, "%s", err_str(err));
		return ERR_REFUSED;
	}
	if (!a.reply.ok)
		err = cni_fail(e, CNI_E_LATER, "weftd refuses: %.200s", a.reply.error);
	else if (!read_answer(a.reply.data, out))
		err = cni_fail(e, CNI_E_LATER, "weftd's answer makes no sense (another version?)");
	client_answer_free(&a);
	return err;
}

const char *cni_mesh_wants(const struct cni_mesh *m)
{
	if (!m->ready)
		return m->why[0] ? m->why : "weftd is not ready";
	if (m->nprefixes == 0)
		return "this node has no prefix to give pods addresses from";
	if (m->settling)
		return "weftd has just started and waits for its first peer";
	if (m->peers_linked > 0 && !m->known_to_peer)
		return "no peer knows this node's prefixes yet";
	return NULL;
}

static void pause_ms(void)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};

	(void)nanosleep(&pause, NULL);
}

int cni_mesh_wait(
	const char *socket, int64_t deadline_ms, struct cni_mesh *out, struct cni_error *e)
{
	const char *wants;

	for (;;) {
		if (cni_mesh_ask(socket, out, e) != 0)
			return ERR_REFUSED;
		wants = cni_mesh_wants(out);
		if (!wants)
			return 0;
		if (cni_mesh_now_ms() >= deadline_ms)
			break;
		pause_ms();
	}
	(void)cni_fail(e, CNI_E_LATER, "the mesh is not ready");
	cni_detail(e, "%s", wants);
	return ERR_REFUSED;
}

bool cni_mesh_more(const char *socket, enum ip_family family, char *why, size_t cap)
{
	struct ctl_request rq = {.cmd = "prefix-more",
		.args = {{.key = "family", .value = {family == IP_V4 ? '4' : '6'}}},
		.nargs = 1};
	struct client_answer a;
	int err = client_call(socket, &rq, CLIENT_TIMEOUT_MS, &a);
	bool ok = false;

	if (err) {
		snprintf(why, cap, "weftd does not answer: %s", err_str(err));
		return false;
	}
	ok = a.reply.ok;
	if (!ok)
		snprintf(why, cap, "%s%s%s", a.reply.error, a.reply.hint[0] ? ": " : "",
			a.reply.hint);
	client_answer_free(&a);
	return ok;
}

/* Has @now a prefix of @family that @before has not? */
static bool has_new(
	const struct cni_mesh *now, const struct cni_mesh *before, enum ip_family family)
{
	for (size_t i = 0; i < now->nprefixes; i++) {
		bool old = now->prefixes[i].pfx.ip.family != family;

		for (size_t k = 0; k < before->nprefixes && !old; k++)
			old = pfx_eq(&now->prefixes[i].pfx, &before->prefixes[k].pfx);
		if (!old)
			return true;
	}
	return false;
}

bool cni_mesh_grow(const char *socket, int64_t deadline_ms, enum ip_family family,
	struct cni_mesh *m, char *why, size_t cap)
{
	struct cni_error spare = {0};
	struct cni_mesh now;
	bool asked = false;

	for (;;) {
		if (cni_mesh_ask(socket, &now, &spare) != 0) {
			snprintf(why, cap, "%s", spare.msg);
			return false;
		}
		if (has_new(&now, m, family) && !cni_mesh_wants(&now)) {
			*m = now;
			return true;
		}
		if (!asked && !cni_mesh_more(socket, family, why, cap))
			return false;
		asked = true;
		if (cni_mesh_now_ms() >= deadline_ms) {
			snprintf(why, cap, "another block is asked for, and not there yet");
			return false;
		}
		pause_ms();
	}
}
