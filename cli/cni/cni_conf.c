/* cni_conf.c - what the runtime says: environment and configuration, both foreign text. Data in: strings.
 * Data out: struct cni_call, or an error that names the variable or the key. Order as the reference
 * library has it: verb, variables, JSON, version, name, then the keys of this plugin. Keys that nobody
 * here knows are skipped; keys that ask for what this plugin can't do are error 2. */
#include "cni.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "weft/bounds.h"
#include "weft/err.h"

#define WAIT_MS_MAX 60000

enum {
	NEED_ID = 1,
	NEED_NETNS = 2,
	NEED_IFNAME = 4,
	NEED_PATH = 8,
};

static const struct verb {
	const char *name;
	enum cni_verb verb;
	unsigned needs;
	enum cni_version since;
} verbs[] = {
	{"ADD", CNI_ADD, NEED_ID | NEED_NETNS | NEED_IFNAME | NEED_PATH, CNI_0_3_1},
	{"DEL", CNI_DEL, NEED_ID | NEED_IFNAME | NEED_PATH, CNI_0_3_1},
	{"CHECK", CNI_CHECK, NEED_ID | NEED_NETNS | NEED_IFNAME | NEED_PATH, CNI_0_4_0},
	{"GC", CNI_GC, NEED_PATH, CNI_1_1_0},
	{"STATUS", CNI_STATUS, NEED_PATH, CNI_1_1_0},
	{"VERSION", CNI_VERSION, 0, CNI_0_3_1},
};

static bool is_utf8(const char *text)
{
	json_t *j = json_string(text);

	json_decref(j);
	return j != NULL;
}

static const struct verb *verb_of(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(name, verbs[i].name) == 0)
			return &verbs[i];
	return NULL;
}

static bool name_ok(const char *s, size_t max)
{
	size_t n = strlen(s);

	if (n == 0 || n > max || !isalnum((unsigned char)s[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("_.-", s[i]))
			return false;
	return true;
}

/* As the kernel has it; the specification says the same. */
static bool ifname_ok(const char *s)
{
	size_t n = strlen(s);

	if (n == 0 || n > IPAM_IFNAME_MAX || strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] == '/' || s[i] == ':' || isspace((unsigned char)s[i]) ||
			!isprint((unsigned char)s[i]))
			return false;
	return true;
}

bool cni_parse_mac(const char *text, uint8_t out[6])
{
	for (int i = 0; i < 6; i++, text += 3) {
		int v = 0;

		for (int k = 0; k < 2; k++) {
			if (!isxdigit((unsigned char)text[k]))
				return false;
			v = v * 16 + (isdigit((unsigned char)text[k])
						     ? text[k] - '0'
						     : tolower((unsigned char)text[k]) - 'a' + 10);
		}
		if (text[2] != (i < 5 ? ':' : '\0'))
			return false;
		out[i] = (uint8_t)v;
	}
	return true;
}

void cni_mac_fmt(const uint8_t mac[6], char out[18])
{
	snprintf(out, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
		mac[5]);
}

/* ---- environment ---- */

/* The address a pod is to have must be one that a host can have. */
static bool mac_usable(const uint8_t mac[6])
{
	static const uint8_t zero[6];

	return !(mac[0] & 1) && memcmp(mac, zero, 6) != 0;
}

static int add_ip(
	struct cni_call *c, const char *text, int code, const char *where, struct cni_error *e)
{
	char host[IP_STRLEN];
	size_t n = strcspn(text, "/");
	struct ip ip;

	snprintf(host, sizeof(host), "%.*s", (int)(n < sizeof(host) ? n : sizeof(host) - 1), text);
	if (n >= sizeof(host) || ip_parse(host, &ip) != 0)
		return cni_fail(e, code, "%s: '%.60s' is no address", where, text);
	if (c->nips == IPAM_ADDRS_MAX)
		return cni_fail(e, code, "%s: more than %d addresses", where, IPAM_ADDRS_MAX);
	c->ips[c->nips++] = ip;
	return 0;
}

static int set_mac(
	struct cni_call *c, const char *text, int code, const char *where, struct cni_error *e)
{
	if (!cni_parse_mac(text, c->mac) || !mac_usable(c->mac))
		return cni_fail(e, code, "%s: '%.60s' is no unicast MAC address", where, text);
	c->has_mac = true;
	return 0;
}

static int one_arg(struct cni_call *c, const char *key, const char *value, struct cni_error *e)
{
	if (strcmp(key, "K8S_POD_NAMESPACE") == 0)
		snprintf(c->pod_ns, sizeof(c->pod_ns), "%.*s", IPAM_POD_NS_MAX, value);
	else if (strcmp(key, "K8S_POD_NAME") == 0)
		snprintf(c->pod, sizeof(c->pod), "%.*s", IPAM_POD_MAX, value);
	else if (strcmp(key, "K8S_POD_UID") == 0)
		snprintf(c->pod_uid, sizeof(c->pod_uid), "%.*s", IPAM_UID_MAX, value);
	else if (strcmp(key, "IP") == 0)
		return add_ip(c, value, CNI_E_ENV, "CNI_ARGS IP", e);
	else if (strcmp(key, "MAC") == 0)
		return set_mac(c, value, CNI_E_ENV, "CNI_ARGS MAC", e);
	return 0;
}

static int parse_args(struct cni_call *c, const char *args, struct cni_error *e)
{
	while (args && *args) {
		size_t n = strcspn(args, ";");
		const char *eq = memchr(args, '=', n);
		char key[64], value[512];

		if (n > 0 && (!eq || eq == args))
			return cni_fail(e, CNI_E_ENV, "CNI_ARGS: '%.*s' is not KEY=VALUE",
				n > 60 ? 60 : (int)n, args);
		if (n > 0) {
			snprintf(key, sizeof(key), "%.*s", (int)(eq - args), args);
			snprintf(value, sizeof(value), "%.*s", (int)(args + n - eq - 1), eq + 1);
			if (one_arg(c, key, value, e) != 0)
				return ERR_REFUSED;
		}
		args += n + (args[n] == ';');
	}
	return 0;
}

static bool is_set(const char *s)
{
	return s && *s;
}

static int parse_env(
	const struct cni_env *env, const struct verb *v, struct cni_call *c, struct cni_error *e)
{
	const struct {
		const char *name, *value;
		unsigned need;
	} vars[] = {
		{"CNI_CONTAINERID", env->container_id, NEED_ID},
		{"CNI_NETNS", env->netns, NEED_NETNS},
		{"CNI_IFNAME", env->ifname, NEED_IFNAME},
		{"CNI_PATH", env->path, NEED_PATH},
	};

	for (size_t i = 0; i < sizeof(vars) / sizeof(vars[0]); i++)
		if ((v->needs & vars[i].need) && !is_set(vars[i].value)) {
			(void)cni_fail(e, CNI_E_ENV, "required environment variables are missing");
			cni_detail(e, "%s", vars[i].name);
		}
	if (e->code)
		return ERR_REFUSED;
	if (v->needs & NEED_ID) {
		if (!name_ok(env->container_id, IPAM_ID_MAX))
			return cni_fail(e, CNI_E_ENV,
				"CNI_CONTAINERID '%.140s' is not 1 to %d letters, digits, '_', '.' "
				"or '-', the first a letter or digit",
				env->container_id, IPAM_ID_MAX);
		strcpy(c->id, env->container_id);
	}
	if (v->needs & NEED_IFNAME) {
		if (!ifname_ok(env->ifname))
			return cni_fail(e, CNI_E_ENV,
				"CNI_IFNAME '%.40s' is no interface name (1 to %d characters, no "
				"'/', "
				"':' or space)",
				env->ifname, IPAM_IFNAME_MAX);
		strcpy(c->ifname, env->ifname);
	}
	if ((v->needs & NEED_NETNS) && !is_utf8(env->netns))
		return cni_fail(e, CNI_E_ENV,
			"CNI_NETNS is not UTF-8, so no result could tell it: %.160s", env->netns);
	c->netns = env->netns;
	return v->needs & NEED_ID ? parse_args(c, env->args, e) : 0;
}

/* ---- configuration ---- */

static int bad_key(struct cni_error *e, const char *key, const char *want)
{
	return cni_fail(e, CNI_E_CONFIG, "%s must be %s", key, want);
}

/* What it asks for is not what this plugin does. */
static int unsupported(struct cni_error *e, const char *key, const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	int err = cni_fail(
		e, CNI_E_UNSUPPORTED, "unsupported field: %s: %.100s", key, text ? text : "?");

	free(text);
	return err;
}

static int get_path(const json_t *conf, const char *key, const char *otherwise, const char **out,
	struct cni_error *e)
{
	const json_t *j = json_object_get(conf, key);
	const char *s = json_string_value(j);

	*out = otherwise;
	if (!j)
		return 0;
	if (!s || s[0] != '/')
		return bad_key(e, key, "an absolute path");
	*out = s;
	return 0;
}

static int get_number(const json_t *conf, const char *key, unsigned min, unsigned max,
	unsigned *out, struct cni_error *e)
{
	const json_t *j = json_object_get(conf, key);

	if (!j)
		return 0;
	if (!json_is_integer(j) || json_integer_value(j) < min || json_integer_value(j) > max)
		return cni_fail(
			e, CNI_E_CONFIG, "%s must be a number from %u to %u", key, min, max);
	*out = (unsigned)json_integer_value(j);
	return 0;
}

static int get_ips(struct cni_call *c, const json_t *list, const char *where, struct cni_error *e)
{
	const json_t *one;
	size_t i;

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return bad_key(e, where, "an array of addresses");
	if (json_array_size(list) > 0)
		c->nips = 0; /* it goes before what was said elsewhere */
	json_array_foreach(list, i, one)
	{
		if (!json_is_string(one))
			return bad_key(e, where, "an array of addresses");
		if (add_ip(c, json_string_value(one), CNI_E_CONFIG, where, e) != 0)
			return ERR_REFUSED;
	}
	return 0;
}

/* What the runtime passes for the capabilities of the configuration. */
static int runtime_config(struct cni_call *c, struct cni_error *e)
{
	const json_t *rc = json_object_get(c->conf, "runtimeConfig"), *j;
	const json_t *args = json_object_get(json_object_get(c->conf, "args"), "cni");

	if (get_ips(c, json_object_get(args, "ips"), "args.cni.ips", e) != 0)
		return ERR_REFUSED;
	if (!rc || json_is_null(rc))
		return 0;
	if (!json_is_object(rc))
		return bad_key(e, "runtimeConfig", "an object");
	j = json_object_get(rc, "ipRanges");
	if (j && !json_is_null(j))
		return unsupported(e, "runtimeConfig.ipRanges", j);
	if (get_ips(c, json_object_get(rc, "ips"), "runtimeConfig.ips", e) != 0)
		return ERR_REFUSED;
	j = json_object_get(rc, "mac");
	if (!j || json_is_null(j))
		return 0;
	if (!json_is_string(j))
		return bad_key(e, "runtimeConfig.mac", "a MAC address");
	return set_mac(c, json_string_value(j), CNI_E_CONFIG, "runtimeConfig.mac", e);
}

static int prev_result(struct cni_call *c, struct cni_error *e)
{
	static const char *const lists[] = {"interfaces", "ips", "routes"};
	json_t *j = json_object_get(c->conf, "prevResult");

	if (!j || json_is_null(j))
		return 0;
	if (!json_is_object(j))
		return cni_fail(e, CNI_E_DECODE, "prevResult is no object");
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		const json_t *l = json_object_get(j, lists[i]), *one;
		size_t n;

		if (l && !json_is_null(l) && !json_is_array(l))
			return cni_fail(e, CNI_E_DECODE, "prevResult.%s is no array", lists[i]);
		json_array_foreach(l, n, one) if (!json_is_object(one)) return cni_fail(
			e, CNI_E_DECODE, "prevResult.%s[%zu] is no object", lists[i], n);
	}
	c->prev = j;
	return 0;
}

static int own_keys(struct cni_call *c, struct cni_error *e)
{
	const json_t *j = json_object_get(json_object_get(c->conf, "ipam"), "type");
	unsigned vni = CNI_VNI;

	if (j && (!json_is_string(j) || strcmp(json_string_value(j), "weft") != 0))
		return unsupported(e, "ipam.type", j);
	j = json_object_get(c->conf, "vni");
	if (get_number(c->conf, "vni", 1, 0xffffff, &vni, e) != 0)
		return ERR_REFUSED;
	if (vni != CNI_VNI)
		return unsupported(e, "vni", j);
	c->wait_ms = CNI_WAIT_MS;
	c->pin = true;
	j = json_object_get(c->conf, "pin");
	if (j && !json_is_boolean(j))
		return bad_key(e, "pin", "true or false");
	if (j)
		c->pin = json_is_true(j);
	if (get_path(c->conf, "socket", CNI_SOCKET, &c->socket, e) != 0 ||
		get_path(c->conf, "dataDir", CNI_DATA_DIR, &c->data_dir, e) != 0 ||
		get_number(c->conf, "waitMs", 0, WAIT_MS_MAX, &c->wait_ms, e) != 0 ||
		get_number(c->conf, "mtu", CNI_MTU_MIN, 65535, &c->mtu, e) != 0)
		return ERR_REFUSED;
	return runtime_config(c, e);
}

static int parse_version(const struct verb *v, struct cni_call *c, struct cni_error *e)
{
	const json_t *j = json_object_get(c->conf, "cniVersion");
	const char *text = json_string_value(j);
	int i = 0;

	if (j && !text)
		return cni_fail(e, CNI_E_DECODE, "cniVersion is no text");
	if (text)
		snprintf(c->version_text, sizeof(c->version_text), "%s", text);
	else if (v->verb == CNI_VERSION)
		strcpy(c->version_text, cni_version_text[CNI_VERSIONS - 1]);
	cni_plain(c->version_text);
	if (v->verb == CNI_VERSION)
		return 0; /* every version may ask which ones there are */
	while (i < CNI_VERSIONS && strcmp(c->version_text, cni_version_text[i]) != 0)
		i++;
	if (i == CNI_VERSIONS) {
		(void)cni_fail(e, CNI_E_VERSION, "incompatible CNI version");
		cni_detail(e,
			"the configuration says '%s', this plugin speaks 0.3.1, 0.4.0, 1.0.0 and "
			"1.1.0",
			text ? c->version_text : "0.1.0");
		return ERR_REFUSED;
	}
	c->version = (enum cni_version)i;
	if (c->version < v->since)
		return cni_fail(e, CNI_E_VERSION,
			"%s came with CNI version %s, the configuration says %s", v->name,
			cni_version_text[v->since], c->version_text);
	return 0;
}

static int parse_conf(
	const struct verb *v, const char *text, size_t len, struct cni_call *c, struct cni_error *e)
{
	json_error_t je;
	const char *name;

	if (v->verb == CNI_VERSION && strspn(text, " \t\r\n") >= len) {
		c->conf = json_object();
		return c->conf ? parse_version(v, c, e) : cni_fail(e, CNI_E_INTERNAL, "no memory");
	}
	c->conf = json_loadb(text, len, 0, &je);
	if (!c->conf) {
		(void)cni_fail(e, CNI_E_DECODE, "the configuration on stdin is no JSON");
		cni_detail(e, "line %d: %s", je.line, je.text);
		return ERR_REFUSED;
	}
	if (!json_is_object(c->conf))
		return cni_fail(e, CNI_E_DECODE, "the configuration on stdin is no JSON object");
	if (parse_version(v, c, e) != 0)
		return ERR_REFUSED;
	if (v->verb == CNI_VERSION)
		return 0;
	name = json_string_value(json_object_get(c->conf, "name"));
	if (!name)
		return cni_fail(e, CNI_E_CONFIG, "name is missing: it must be the network's name");
	if (!name_ok(name, IPAM_NETWORK_MAX))
		return cni_fail(e, CNI_E_CONFIG,
			"name '%.100s' is not 1 to %d letters, digits, '_', '.' or '-', the first "
			"a "
			"letter or digit",
			name, IPAM_NETWORK_MAX);
	strcpy(c->network, name);
	if (prev_result(c, e) != 0)
		return ERR_REFUSED;
	return own_keys(c, e);
}

int cni_parse(const struct cni_env *env, const char *conf, size_t len, struct cni_call *out,
	struct cni_error *e)
{
	const struct verb *v = verb_of(env->command);

	if (!v)
		return cni_fail(e, CNI_E_ENV, "CNI_COMMAND '%.40s' is unknown", env->command);
	out->verb = v->verb;
	if (parse_env(env, v, out, e) != 0)
		return ERR_REFUSED;
	return parse_conf(v, conf, len, out, e);
}

void cni_call_free(struct cni_call *c)
{
	json_decref(c->conf);
	c->conf = c->prev = NULL;
}
