/* cni_result.c - results and errors. Data in: what was made. Data out: JSON in the version that the
 * configuration names. Versions differ in little: up to 0.4.0 each address says its family, from 1.1.0
 * interfaces say their MTU. No state. */
#include "cni_result.h"

#include <string.h>
#include "cni_link.h"

json_t *cni_result_versions(const char *version)
{
	json_t *all = json_array(), *j;

	for (int i = 0; i < CNI_VERSIONS; i++)
		if (json_array_append_new(all, json_string(cni_version_text[i])) != 0) {
			json_decref(all);
			return NULL;
		}
	j = json_pack("{s:s, s:o}", "cniVersion", version, "supportedVersions", all);
	return j;
}

json_t *cni_result_error(const struct cni_call *c, const struct cni_error *e)
{
	const char *version =
		c->version_text[0] ? c->version_text : cni_version_text[CNI_VERSIONS - 1];
	json_t *j = json_pack("{s:s, s:i, s:s}", "cniVersion", version, "code", e->code, "msg",
		e->msg[0] ? e->msg : "failed");

	if (j && e->details[0] &&
		json_object_set_new(
			j, "details", json_stringn_nocheck(e->details, strlen(e->details))))
		return j; /* the code and the message are what counts */
	return j;
}

/* The array @key of @j, made if absent. Borrowed; NULL: no memory, or something else is there. */
static json_t *array_of(json_t *j, const char *key)
{
	json_t *a = json_object_get(j, key);

	if (a && json_is_array(a))
		return a;
	if (a && !json_is_null(a))
		return NULL;
	if (json_object_set_new(j, key, json_array()) != 0)
		return NULL;
	return json_object_get(j, key);
}

static int add_interface(json_t *list, const struct cni_call *c, const char *name,
	const uint8_t mac[6], const char *sandbox, unsigned mtu)
{
	char text[18];
	json_t *j;

	cni_mac_fmt(mac, text);
	j = json_pack("{s:s, s:s}", "name", name, "mac", text);
	if (j && sandbox && json_object_set_new(j, "sandbox", json_string(sandbox)) != 0)
		goto fail;
	if (j && c->version >= CNI_1_1_0 && json_object_set_new(j, "mtu", json_integer(mtu)) != 0)
		goto fail;
	return j ? json_array_append_new(list, j) : -1;
fail:
	json_decref(j);
	return -1;
}

static int add_ip(json_t *list, const struct cni_call *c, const struct ip *ip, size_t interface)
{
	const struct ip gateway = cni_link_gateway(ip->family);
	char text[PFX_STRLEN], gw[IP_STRLEN];
	struct pfx host;
	json_t *j;

	(void)pfx_make(ip, ip_bits(ip), &host);
	j = json_pack("{s:s, s:s, s:i}", "address", pfx_fmt(&host, text), "gateway",
		ip_fmt(&gateway, gw), "interface", (int)interface);
	if (j && c->version < CNI_1_0_0 &&
		json_object_set_new(j, "version", json_string(ip->family == IP_V4 ? "4" : "6"))) {
		json_decref(j);
		return -1;
	}
	return j ? json_array_append_new(list, j) : -1;
}

static int add_route(json_t *list, uint8_t family)
{
	const struct ip gateway = cni_link_gateway(family);
	char gw[IP_STRLEN];

	return json_array_append_new(
		list, json_pack("{s:s, s:s}", "dst", family == IP_V4 ? "0.0.0.0/0" : "::/0", "gw",
			      ip_fmt(&gateway, gw)));
}

json_t *cni_result_add(const struct cni_call *c, const struct cni_made *made)
{
	json_t *j = c->prev ? json_deep_copy(c->prev) : json_object();
	const json_t *dns = json_object_get(c->conf, "dns");
	json_t *interfaces, *ips, *routes;
	bool told[2] = {false, false};
	size_t pod;

	if (!j || json_object_set_new(j, "cniVersion", json_string(c->version_text)) != 0)
		goto fail;
	interfaces = array_of(j, "interfaces");
	ips = array_of(j, "ips");
	routes = array_of(j, "routes");
	if (!interfaces || !ips || !routes)
		goto fail;
	if (add_interface(interfaces, c, made->host_name, made->host_mac, NULL, made->mtu) != 0)
		goto fail;
	pod = json_array_size(interfaces);
	if (add_interface(interfaces, c, c->ifname, made->att->mac, c->netns, made->mtu) != 0)
		goto fail;
	for (size_t i = 0; i < made->att->naddrs; i++) {
		const struct ip *ip = &made->att->addrs[i];

		if (add_ip(ips, c, ip, pod) != 0)
			goto fail;
		if (!told[ip->family == IP_V6] && add_route(routes, ip->family) != 0)
			goto fail;
		told[ip->family == IP_V6] = true;
	}
	if (!json_object_get(j, "dns") &&
		json_object_set_new(
			j, "dns", json_is_object(dns) ? json_deep_copy(dns) : json_object()))
		goto fail;
	return j;
fail:
	json_decref(j);
	return NULL;
}

/* An address with or without a length, host bits set or not. */
static bool parse_cidr(const char *text, struct pfx *out)
{
	char host[IP_STRLEN];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);

	if (n >= sizeof(host))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	if (ip_parse(host, &out->ip) != 0)
		return false;
	out->len = (uint8_t)ip_bits(&out->ip);
	return true;
}

int cni_result_ips(
	const json_t *prev, const char *ifname, struct pfx *out, size_t max, uint8_t mac[6])
{
	const json_t *list = json_object_get(prev, "interfaces"), *one;
	json_int_t found = -1;
	size_t i, n = 0;

	memset(mac, 0, 6);
	json_array_foreach(list, i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));
		const char *sandbox = json_string_value(json_object_get(one, "sandbox"));
		const char *text = json_string_value(json_object_get(one, "mac"));

		if (!name || !sandbox || !*sandbox || strcmp(name, ifname) != 0)
			continue;
		found = (json_int_t)i;
		if (text && !cni_parse_mac(text, mac))
			memset(mac, 0, 6);
	}
	if (found < 0)
		return -1;
	list = json_object_get(prev, "ips");
	json_array_foreach(list, i, one)
	{
		const json_t *at = json_object_get(one, "interface");
		const char *text = json_string_value(json_object_get(one, "address"));

		if (n < max && json_is_integer(at) && json_integer_value(at) == found && text &&
			parse_cidr(text, &out[n]))
			n++;
	}
	return (int)n;
}
