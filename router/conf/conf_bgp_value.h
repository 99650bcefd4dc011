/* conf_bgp_value.h - values of single keys of the section `bgp:`: each is a conf_parse_fn (conf_schema.h) for the
 * field of conf_bgp.h that it is named after. Only router/conf includes it. */
#ifndef WEFT_CONF_BGP_VALUE_H
#define WEFT_CONF_BGP_VALUE_H

#include "conf_bgp.h"

#define BGP_PORT 179

int conf_bgp_parse_asn(const char *text, void *out, char *why);
int conf_bgp_parse_addr(const char *text, void *out, char *why);
int conf_bgp_parse_peer_addr(const char *text, void *out,
	char *why); /* an endpoint whose port stands under another key */
int conf_bgp_parse_router_id(const char *text, void *out, char *why);
int conf_bgp_parse_next_hop(const char *text, void *out, char *why);
int conf_bgp_parse_listen(const char *text, void *out, char *why);
int conf_bgp_parse_port(const char *text, void *out, char *why); /* the same one */
int conf_bgp_parse_yesno(const char *text, void *out, char *why);
int conf_bgp_parse_password(const char *text, void *out, char *why);
int conf_bgp_parse_hops(const char *text, void *out, char *why);
int conf_bgp_parse_hold(
	const char *text, void *out, char *why); /* the whole peer: two of its fields */
int conf_bgp_parse_max_prefixes(const char *text, void *out, char *why);
int conf_bgp_parse_pods(const char *text, void *out, char *why);
int conf_bgp_parse_restart(const char *text, void *out, char *why);
int conf_bgp_parse_role(const char *text, void *out, char *why);
int conf_bgp_parse_hour(const char *text, void *out, char *why);
int conf_bgp_parse_day(const char *text, void *out, char *why);
int conf_bgp_parse_restart_time(const char *text, void *out, char *why);
int conf_bgp_parse_interface(const char *text, void *out, char *why);
int conf_bgp_parse_limit(const char *text, void *out, char *why);
int conf_bgp_parse_multipath(const char *text, void *out, char *why);
int conf_bgp_parse_paths(const char *text, void *out, char *why);
int conf_bgp_parse_noyes(
	const char *text, void *out, char *why); /* the field says the opposite of the key */
int conf_bgp_parse_own_as(const char *text, void *out, char *why);
int conf_bgp_parse_bfd_ms(const char *text, void *out, char *why);
int conf_bgp_parse_bfd_hops(
	const char *text, void *out, char *why); /* the whole map: two of its fields */
int conf_bgp_parse_cluster(const char *text, void *out, char *why);

#endif
