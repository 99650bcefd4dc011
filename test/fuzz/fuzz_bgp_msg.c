/* Any bytes as each message's body. What decodes must be sane, and come again when it is encoded. */
#include <stdlib.h>
#include <string.h>
#include "bgp_update.h"

#define MUST(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond))                                                                       \
			abort();                                                                   \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bgp_update u;

static void update(const uint8_t *data, size_t size, unsigned how)
{
	static uint8_t wire[4 * BGP_MSG_MAX], again[4 * BGP_MSG_MAX];
	struct bgp_from from = {.ebgp = how & 1,
		.as4 = how & 2,
		.families = 15,
		.add_path = how & 4 ? 15 : 0,
		.v4_over_v6 = how & 8};
	struct bgp_attrs view;
	struct wr w, w2;
	char text[64];

	bgp_update_decode(data, size, &from, &u);
	MUST(u.attrs.fix == FIX_NONE || u.attrs.err.code == NOTIFY_UPDATE);
	if (u.attrs.fix >= FIX_WITHDRAW)
		return;
	bgp_attrs_path_fmt(&u.attrs.a, text, sizeof(text));
	wr_init(&w, wire, sizeof(wire));
	bgp_attrs_encode(&w, &u.attrs.a);
	MUST(!wr_bad(&w));
	bgp_attrs_view(wire, wr_len(&w), &view);
	wr_init(&w2, again, sizeof(again));
	bgp_attrs_encode(&w2, &view);
	MUST(wr_len(&w) == wr_len(&w2) && memcmp(wire, again, wr_len(&w)) == 0);
	MUST(bgp_attrs_path_len(&view) == bgp_attrs_path_len(&u.attrs.a));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bgp_refresh refresh;
	struct bgp_error e;
	struct bgp_open o;
	char text[512];
	uint8_t type;

	if (size > BGP_MSG_MAX - BGP_HDR_LEN)
		return 0;
	if (bgp_msg_peek(data, size, BGP_MSG_MAX, &type, &e) > 0)
		MUST(type >= MSG_OPEN && type <= MSG_REFRESH);
	if (bgp_open_decode(data, size, &o, &e) == 0)
		MUST(o.as && o.id && o.version == 4);
	else
		bgp_error_fmt(&e, text, sizeof(text));
	if (bgp_notification_decode(data, size, &e) == 0)
		bgp_error_fmt(&e, text, sizeof(text));
	bgp_refresh_decode(data, size, &refresh, &e);
	for (unsigned how = 0; how < 16; how++)
		update(data, size, how);
	return 0;
}
