/* kube_weftd.c - see kube_weftd.h. */
#include "kube_weftd.h"

#include <stdio.h>
#include <string.h>
#include "weft/err.h"

static const msgpack_object *element(const msgpack_object *list, size_t i)
{
	return list && list->type == MSGPACK_OBJECT_ARRAY && i < list->via.array.size
		       ? &list->via.array.ptr[i]
		       : NULL;
}

static bool text_of(const msgpack_object *o, char *out, size_t cap)
{
	if (!o || o->type != MSGPACK_OBJECT_STR || o->via.str.size >= cap)
		return false;
	memcpy(out, o->via.str.ptr, o->via.str.size);
	out[o->via.str.size] = '\0';
	return true;
}

int kube_weftd_status(const msgpack_object *data, struct kube_daemon *out)
{
	const msgpack_object *node = ctl_get(data, "node"), *list = ctl_get(node, "endpoints"),
			     *one;
	char text[EP_STRLEN];
	size_t len;

	out->epoch = ctl_get_u64(node, "epoch");
	(void)ctl_get_str(node, "key", out->key, sizeof(out->key));
	for (len = 0; out->key[len] >= '0' && out->key[len] <= 'z'; len++)
		;
	if (len == 0 || out->key[len]) {
		out->key[0] = '\0';
		return ERR_MALFORMED;
	}
	for (size_t i = 0; (one = element(list, i)) && out->neps < KUBE_DAEMON_EPS; i++)
		if (text_of(one, text, sizeof(text)) &&
			ep_parse(text, 0, &out->eps[out->neps]) == 0)
			out->neps++;
	return 0;
}

void kube_weftd_pod_network(const msgpack_object *data, struct kube_daemon *out)
{
	out->pods_ready =
		ctl_get_bool(data, "ready") && element(ctl_get(data, "prefixes"), 0) &&
		!ctl_get_bool(data, "settling") &&
		(ctl_get_u64(data, "peers_linked") == 0 || ctl_get_bool(data, "known_to_peer"));
}

void kube_weftd_targets(const msgpack_object *data, struct kube_daemon *out)
{
	const msgpack_object *list = ctl_get(data, "targets"), *one;
	char state[16];

	for (size_t i = 0; (one = element(list, i)) && out->ntargets < KUBE_DAEMON_TARGETS; i++) {
		if (!text_of(ctl_get(one, "text"), out->targets[out->ntargets].text, EP_STRLEN))
			continue; /* a longer one is a host name, and not ours */
		(void)ctl_get_str(one, "state", state, sizeof(state));
		out->targets[out->ntargets++].established =
			strcmp(state, "established") == 0 || strcmp(state, "self") == 0;
	}
}

bool kube_weftd_request(const struct kube_fleet_act *act, struct ctl_request *out)
{
	static const struct {
		const char *cmd, *arg;
	} commands[KUBE_FLEET_NACTS] = {
		[KUBE_FLEET_PREFIX_SET] = {"prefix-set", "prefixes"},
		[KUBE_FLEET_NODE_DELETED] = {"node-deleted", "node"},
		[KUBE_FLEET_NODE_ADDED] = {"node-added", "node"},
		[KUBE_FLEET_CONNECT] = {"connect", "target"},
		[KUBE_FLEET_FORGET] = {"forget", "what"},
	};

	*out = (struct ctl_request){0};
	if (act->type >= KUBE_FLEET_NACTS || !commands[act->type].cmd)
		return false;
	(void)snprintf(out->cmd, sizeof(out->cmd), "%s", commands[act->type].cmd);
	return ctl_request_add(out, commands[act->type].arg, act->text) == 0;
}

enum kube_fleet_result kube_weftd_result(const struct ctl_reply *r)
{
	if (!r)
		return KUBE_FLEET_FAILED;
	if (r->ok)
		return KUBE_FLEET_OK;
	return strstr(r->error, "has no command") ? KUBE_FLEET_UNKNOWN : KUBE_FLEET_REFUSED;
}
