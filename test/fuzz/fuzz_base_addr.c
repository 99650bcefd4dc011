/* Addresses, prefixes, endpoints, base32: what parses is printed, and that text parses to the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "weft/addr.h"
#include "weft/err.h"
#include "weft/id.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void addresses(const char *text)
{
	char out[EP_STRLEN];
	struct ip ip, ip2;
	struct pfx p = {0}, p2;
	struct ep e, e2;
	int err;

	if (ip_parse(text, &ip) == 0) {
		assert(strlen(ip_fmt(&ip, out)) < IP_STRLEN);
		assert(ip_parse(out, &ip2) == 0 && ip_eq(&ip, &ip2));
	}
	err = pfx_parse(text, &p);
	if (err == 0 || (err == ERR_RANGE && p.ip.family != IP_NONE)) {
		assert(p.len <= ip_bits(&p.ip));
		assert(strlen(pfx_fmt(&p, out)) < PFX_STRLEN);
		assert(pfx_parse(out, &p2) == 0 && pfx_eq(&p, &p2));
		assert(pfx_contains(&p, &p2) && pfx_has_ip(&p, &p2.ip));
	}
	if (ep_parse(text, 6793, &e) == 0) {
		assert(strlen(ep_fmt(&e, out)) < EP_STRLEN);
		assert(ep_parse(out, 0, &e2) == 0 && ep_eq(&e, &e2));
	}
}

static void base32(const char *text)
{
	char out[NODE_KEY_STRLEN];
	struct node_key k;

	if (node_key_parse(text, &k) == 0) {
		node_key_fmt(&k, out);
		assert(strcasecmp(out, text) == 0);
	}
	(void)node_name_ok(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1); /* exact, so that the sanitizer sees a read behind it */

	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	addresses(text);
	base32(text);
	free(text);
	return 0;
}
