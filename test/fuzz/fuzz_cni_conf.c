/* Whatever a runtime says: five lines of environment, then the configuration on stdin. What is taken is as
 * the specification wants it, a result can be made of it, and what is refused has a code and words. */
#include <assert.h>
#include <net/if.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "cni_look.h"
#include "cni_result.h"
#include "weft/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define LINES    5
#define ALNUM    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define SAID_MAX 32

static void result(const struct cni_call *c)
{
	const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct ipam_att att = {.vni = CNI_VNI, .naddrs = c->nips};
	struct cni_made made = {.att = &att, .host_name = "wpodx", .host_mac = mac, .mtu = 1400};
	struct pfx said[SAID_MAX];
	uint8_t got[6];
	json_t *r;

	strcpy(att.id, c->id);
	strcpy(att.ifname, c->ifname);
	memcpy(att.addrs, c->ips, c->nips * sizeof(c->ips[0]));
	r = cni_result_add(c, &made);
	assert(r);
	/* Ours is in it, whatever stood before us. */
	assert(cni_result_ips(r, c->ifname, said, SAID_MAX, got) >= (c->nips ? 1 : 0));
	json_decref(r);
	if (c->prev)
		(void)cni_result_ips(c->prev, c->ifname, said, SAID_MAX, got);
}

static void taken(const struct cni_call *c)
{
	char name[IFNAMSIZ];

	assert(c->verb != CNI_NONE);
	if (c->verb == CNI_VERSION)
		return;
	assert(c->version < CNI_VERSIONS && c->network[0]);
	assert(c->nips <= IPAM_ADDRS_MAX && c->mtu <= 65535);
	assert(c->socket[0] == '/' && c->data_dir[0] == '/');
	if (c->verb == CNI_GC || c->verb == CNI_STATUS)
		return;
	assert(strchr(ALNUM, c->id[0]) && strspn(c->id, ALNUM "_.-") == strlen(c->id));
	assert(c->ifname[0] && strlen(c->ifname) < IFNAMSIZ && !strpbrk(c->ifname, "/: "));
	cni_link_name(c->id, c->ifname, name);
	if (c->verb == CNI_ADD)
		result(c);
}

static void refused(const struct cni_call *c, const struct cni_error *e)
{
	json_t *j = cni_result_error(c, e);

	assert(j && e->msg[0]);
	assert((e->code >= CNI_E_VERSION && e->code <= CNI_E_HOST_NETNS) ||
		e->code == CNI_E_INTERNAL);
	json_decref(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1), *line[LINES], *at = text;
	struct cni_env env = {.path = "/opt/cni/bin"};
	struct cni_call call = {0};
	struct cni_error e = {0};
	struct ipam_att att = {.naddrs = 0};
	int err;

	if (!text)
		return 0;
	memcpy(text, data, len);
	text[len] = '\0';
	(void)cni_look_parse_alias(text, &att);
	for (int i = 0; i < LINES; i++) {
		char *end = memchr(at, '\n', (size_t)(text + len - at));

		if (!end) {
			free(text);
			return 0;
		}
		*end = '\0';
		line[i] = *at ? at : NULL; /* not set */
		at = end + 1;
	}
	env.command = line[0];
	env.container_id = line[1];
	env.netns = line[2];
	env.ifname = line[3];
	env.args = line[4];
	if (env.command) {
		err = cni_parse(&env, at, (size_t)(text + len - at), &call, &e);
		assert(err == (e.code ? ERR_REFUSED : 0));
		if (err)
			refused(&call, &e);
		else
			taken(&call);
		cni_call_free(&call);
	}
	free(text);
	return 0;
}
