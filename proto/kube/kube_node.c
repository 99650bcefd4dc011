/* kube_node.c - Node objects to struct kube_node, and the patches.
 *
 * Data in: the text of one object, cut by kube_split and so bounded. jansson parses it strictly
 * (duplicate keys are refused, NUL bytes too). Whoever may write a Node may write anything into the
 * fields that weft reads, so each is checked on its own, and one that makes no sense costs itself,
 * never the node: a node whose annotation is garbage still counts as alive. Only metadata.name and
 * metadata.uid are needed. Fuzzed whole: fuzz_kube_node. */
#include "kube_node.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "weft/bounds.h"
#include "weft/err.h"

static int parse(const char *text, size_t len, json_t **out)
{
	json_error_t e;

	*out = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	if (*out)
		return 0;
	return json_error_code(&e) == json_error_out_of_memory ? ERR_NOMEM : ERR_MALFORMED;
}

/* Copy the text @o, whole or not at all. False: no text, or too long. */
static bool copy_text(const json_t *o, char *out, size_t cap)
{
	const char *s = json_string_value(o);

	out[0] = '\0';
	if (!s || json_string_length(o) >= cap)
		return false;
	memcpy(out, s, json_string_length(o) + 1);
	return true;
}

/* The same; counted as odd if there is something else than a fitting text. */
static bool field_text(struct kube_node *n, const json_t *o, char *out, size_t cap)
{
	bool got = copy_text(o, out, cap);

	if (!got && o && !json_is_null(o))
		n->odd++;
	return got;
}

/* Labels of a-z, 0-9 and '-', separated by dots (RFC 1123). */
static bool name_ok(const char *s)
{
	char before = '.';

	for (; *s; before = *s++) {
		bool alnum = (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9');

		if (!alnum && *s != '-' && *s != '.')
			return false;
		if (!alnum && before == '.')
			return false;
		if (*s == '.' && before == '-')
			return false;
	}
	return before != '.' && before != '-';
}

static bool printable(const char *s)
{
	for (; *s; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

bool kube_ep_usable(const struct ep *e)
{
	return e->port != 0 && !ip_is_unspecified(&e->ip) && !ip_is_loopback(&e->ip) &&
	       !ip_is_multicast(&e->ip) && !ip_is_link_local(&e->ip);
}

static void add_cidr(struct kube_node *n, const json_t *o)
{
	char text[PFX_STRLEN];
	struct pfx p;

	if (n->ncidrs == KUBE_CIDRS_MAX || !copy_text(o, text, sizeof(text)) ||
		pfx_parse(text, &p) != 0 || p.len == 0 || ip_is_loopback(&p.ip) ||
		ip_is_multicast(&p.ip) || ip_is_link_local(&p.ip)) {
		n->odd++;
		return;
	}
	for (size_t i = 0; i < n->ncidrs; i++)
		if (pfx_eq(&n->cidrs[i], &p))
			return;
	n->cidrs[n->ncidrs++] = p;
}

/* podCIDRs; podCIDR, its first, is all that a cluster before dual stack has. */
static void read_spec(struct kube_node *n, const json_t *spec)
{
	const json_t *list = json_object_get(spec, "podCIDRs"), *one;
	size_t i;

	if (list && !json_is_null(list) && !json_is_array(list))
		n->odd++;
	json_array_foreach(list, i, one) add_cidr(n, one);
	one = json_object_get(spec, "podCIDR");
	if (n->ncidrs == 0 && one && !json_is_null(one))
		add_cidr(n, one);
}

static void read_addresses(struct kube_node *n, const json_t *list)
{
	const json_t *one;
	size_t i;

	if (list && !json_is_null(list) && !json_is_array(list))
		n->odd++;
	json_array_foreach(list, i, one)
	{
		const char *type = json_string_value(json_object_get(one, "type"));
		char text[IP_STRLEN];
		struct ip ip;

		if (!type || strcmp(type, "InternalIP") != 0)
			continue;
		if (n->naddrs == KUBE_EPS_MAX ||
			!copy_text(json_object_get(one, "address"), text, sizeof(text)) ||
			ip_parse(text, &ip) != 0)
			n->odd++;
		else
			n->addrs[n->naddrs++] = ip;
	}
}

static void read_conditions(struct kube_node *n, const json_t *list)
{
	const json_t *one;
	size_t i;

	if (list && !json_is_null(list) && !json_is_array(list))
		n->odd++;
	json_array_foreach(list, i, one)
	{
		const char *type = json_string_value(json_object_get(one, "type"));
		const char *status = json_string_value(json_object_get(one, "status"));

		if (!type || strcmp(type, "NetworkUnavailable") != 0)
			continue;
		if (status && strcmp(status, "True") == 0)
			n->network_unavailable = KUBE_TRUE;
		else if (status && strcmp(status, "False") == 0)
			n->network_unavailable = KUBE_FALSE;
		else
			n->network_unavailable = KUBE_UNKNOWN;
	}
}

/* "HOST:PORT,HOST:PORT": addresses only, no names, so that a hint can't make weftd ask the DNS. */
static void read_endpoints(struct kube_node *n)
{
	char text[KUBE_HINT_MAX + 1], *save = NULL;

	memcpy(text, n->endpoints, sizeof(text));
	for (char *one = strtok_r(text, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		struct ep e;

		if (n->neps == KUBE_EPS_MAX || ep_parse(one, 0, &e) != 0 || !kube_ep_usable(&e))
			n->odd++;
		else
			n->eps[n->neps++] = e;
	}
}

static void read_annotations(struct kube_node *n, const json_t *a)
{
	if (field_text(n, json_object_get(a, KUBE_ANNOTATION_KEY), n->key, sizeof(n->key)) &&
		!printable(n->key)) {
		n->key[0] = '\0';
		n->odd++;
	}
	if (field_text(n, json_object_get(a, KUBE_ANNOTATION_ENDPOINTS), n->endpoints,
		    sizeof(n->endpoints))) {
		if (printable(n->endpoints)) {
			read_endpoints(n);
		} else {
			n->endpoints[0] = '\0';
			n->odd++;
		}
	}
}

/* kind is absent from a list's items in some versions of the API. */
static bool is_node(const json_t *o)
{
	const json_t *kind = json_object_get(o, "kind");

	return json_is_object(o) &&
	       (!kind || (json_is_string(kind) && strcmp(json_string_value(kind), "Node") == 0));
}

static int read_node(const json_t *o, struct kube_node *out)
{
	const json_t *meta = json_object_get(o, "metadata");
	const json_t *status = json_object_get(o, "status");

	memset(out, 0, sizeof(*out));
	if (!is_node(o) ||
		!copy_text(json_object_get(meta, "name"), out->name, sizeof(out->name)) ||
		!name_ok(out->name) ||
		!copy_text(json_object_get(meta, "uid"), out->uid, sizeof(out->uid)) ||
		!out->uid[0] || !printable(out->uid)) {
		memset(out, 0, sizeof(*out));
		return ERR_MALFORMED;
	}
	read_spec(out, json_object_get(o, "spec"));
	read_annotations(out, json_object_get(meta, "annotations"));
	read_addresses(out, json_object_get(status, "addresses"));
	read_conditions(out, json_object_get(status, "conditions"));
	return 0;
}

int kube_node_read(const char *text, size_t len, struct kube_node *out)
{
	json_t *o;
	int err = parse(text, len, &o);

	if (err) {
		memset(out, 0, sizeof(*out));
		return err;
	}
	err = read_node(o, out);
	json_decref(o);
	return err;
}

/* @o is a Status, the object of an ERROR event. */
static void read_status(const json_t *o, struct kube_event *out)
{
	json_int_t code = json_integer_value(json_object_get(o, "code"));
	json_int_t secs = json_integer_value(
		json_object_get(json_object_get(o, "details"), "retryAfterSeconds"));

	out->code = code >= 100 && code <= 599 ? (int)code : 0;
	out->retry_secs = secs > 0 && secs < LIM_KUBE_RETRY_SECS ? (int)secs : 0;
}

int kube_event_read(const char *text, size_t len, struct kube_event *out)
{
	static const struct {
		const char *name;
		enum kube_event_type type;
	} types[] = {{"ADDED", KUBE_EVENT_ADDED}, {"MODIFIED", KUBE_EVENT_MODIFIED},
		{"DELETED", KUBE_EVENT_DELETED}, {"BOOKMARK", KUBE_EVENT_BOOKMARK},
		{"ERROR", KUBE_EVENT_ERROR}};
	const json_t *object;
	const char *type;
	json_t *o;
	int err;

	memset(out, 0, sizeof(*out));
	err = parse(text, len, &o);
	if (err)
		return err;
	type = json_string_value(json_object_get(o, "type"));
	object = json_object_get(o, "object");
	if (!type || !json_is_object(object)) {
		json_decref(o);
		return ERR_MALFORMED;
	}
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(type, types[i].name) == 0)
			out->type = types[i].type;
	(void)copy_text(json_object_get(json_object_get(object, "metadata"), "resourceVersion"),
		out->rv, sizeof(out->rv));
	if (!printable(out->rv))
		out->rv[0] = '\0';
	if (out->type == KUBE_EVENT_ERROR)
		read_status(object, out);
	else if (out->type != KUBE_EVENT_BOOKMARK && out->type != KUBE_EVENT_NONE)
		out->has_node = read_node(object, &out->node) == 0;
	json_decref(o);
	return 0;
}

int kube_list_meta_read(const char *text, size_t len, struct kube_list_meta *out)
{
	const json_t *meta, *more;
	const char *kind;
	json_t *o;
	int err;

	*out = (struct kube_list_meta){0};
	err = parse(text, len, &o);
	if (err)
		return err;
	meta = json_object_get(o, "metadata");
	more = json_object_get(meta, "continue");
	kind = json_string_value(json_object_get(o, "kind"));
	if (!kind || strcmp(kind, "NodeList") != 0 ||
		!copy_text(json_object_get(meta, "resourceVersion"), out->rv, sizeof(out->rv)) ||
		!out->rv[0] || !printable(out->rv) || (more && !json_is_string(more))) {
		err = ERR_MALFORMED;
	} else if (more && json_string_length(more) > KUBE_CONTINUE_MAX) {
		err = ERR_LIMIT;
	} else if (more && json_string_length(more) > 0) {
		out->more = strdup(json_string_value(more));
		err = out->more ? 0 : ERR_NOMEM;
	}
	json_decref(o);
	return err;
}

void kube_list_meta_free(struct kube_list_meta *m)
{
	free((char *)m->more);
	m->more = NULL;
}

static char *print_and_free(json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

	json_decref(o);
	return text;
}

char *kube_patch_annotations(const char *key, const char *endpoints)
{
	return print_and_free(json_pack("{s:{s:{s:s, s:s}}}", "metadata", "annotations",
		KUBE_ANNOTATION_KEY, key, KUBE_ANNOTATION_ENDPOINTS, endpoints));
}

char *kube_patch_network(int64_t unix_secs)
{
	time_t t = (time_t)unix_secs;
	struct tm tm;
	char now[32];

	if (!gmtime_r(&t, &tm) || strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return NULL;
	return print_and_free(json_pack("{s:{s:[{s:s, s:s, s:s, s:s, s:s, s:s}]}}", "status",
		"conditions", "type", "NetworkUnavailable", "status", "False", "reason", "WeftIsUp",
		"message", "weft carries this node's pod traffic", "lastHeartbeatTime", now,
		"lastTransitionTime", now));
}
