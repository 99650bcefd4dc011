/* bgp_msg.c - framing and the small messages.
 *
 * Data in: whole messages, cut out of the stream by their header's length. Data out: structs, or a
 * struct bgp_error that is the NOTIFICATION to send. Nothing here keeps state. */
#include "bgp_msg.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "weft/err.h"
#include "bgp.h"

int bgp_error_set(struct bgp_error *e, unsigned code, unsigned subcode, const void *data, size_t n)
{
	e->code = (uint8_t)code;
	e->subcode = (uint8_t)subcode;
	e->data_len = 0;
	e->word = NULL;
	if (data && n) {
		e->data_len = (uint16_t)(n < sizeof(e->data) ? n : sizeof(e->data));
		memcpy(e->data, data, e->data_len);
	}
	return ERR_MALFORMED;
}

static const char *const code_text[] = {
	[NOTIFY_HEADER] = "header",
	[NOTIFY_OPEN] = "OPEN",
	[NOTIFY_UPDATE] = "UPDATE",
	[NOTIFY_HOLD] = "hold timer expired",
	[NOTIFY_FSM] = "state machine",
	[NOTIFY_CEASE] = "cease",
	[NOTIFY_REFRESH] = "ROUTE-REFRESH",
	[NOTIFY_SEND_HOLD] = "send hold timer expired",
};

static const struct {
	uint8_t code, subcode;
	const char *text;
} subcode_text[] = {
	{NOTIFY_HEADER, HDR_NOT_SYNC, "connection not synchronized"},
	{NOTIFY_HEADER, HDR_BAD_LEN, "bad message length"},
	{NOTIFY_HEADER, HDR_BAD_TYPE, "bad message type"},
	{NOTIFY_OPEN, OPEN_BAD_VERSION, "unsupported version"},
	{NOTIFY_OPEN, OPEN_BAD_AS, "bad peer AS"},
	{NOTIFY_OPEN, OPEN_BAD_ID, "bad BGP identifier"},
	{NOTIFY_OPEN, OPEN_BAD_PARAM, "unsupported optional parameter"},
	{NOTIFY_OPEN, OPEN_BAD_HOLD, "unacceptable hold time"},
	{NOTIFY_OPEN, OPEN_BAD_CAP, "unsupported capability"},
	{NOTIFY_OPEN, OPEN_BAD_ROLE, "role mismatch"},
	{NOTIFY_UPDATE, UPD_ATTR_LIST, "malformed attribute list"},
	{NOTIFY_UPDATE, UPD_UNKNOWN_WELL_KNOWN, "unrecognized well-known attribute"},
	{NOTIFY_UPDATE, UPD_MISSING, "missing well-known attribute"},
	{NOTIFY_UPDATE, UPD_FLAGS, "attribute flags"},
	{NOTIFY_UPDATE, UPD_LENGTH, "attribute length"},
	{NOTIFY_UPDATE, UPD_ORIGIN, "invalid ORIGIN"},
	{NOTIFY_UPDATE, UPD_NEXT_HOP, "invalid NEXT_HOP"},
	{NOTIFY_UPDATE, UPD_OPTIONAL, "optional attribute"},
	{NOTIFY_UPDATE, UPD_NETWORK, "invalid network field"},
	{NOTIFY_UPDATE, UPD_AS_PATH, "malformed AS_PATH"},
	{NOTIFY_FSM, FSM_OPENSENT, "unexpected message in OpenSent"},
	{NOTIFY_FSM, FSM_OPENCONFIRM, "unexpected message in OpenConfirm"},
	{NOTIFY_FSM, FSM_ESTABLISHED, "unexpected message in Established"},
	{NOTIFY_CEASE, CEASE_MAX_PREFIX, "maximum number of prefixes reached"},
	{NOTIFY_CEASE, CEASE_SHUTDOWN, "administrative shutdown"},
	{NOTIFY_CEASE, CEASE_DECONFIGURED, "peer de-configured"},
	{NOTIFY_CEASE, CEASE_RESET, "administrative reset"},
	{NOTIFY_CEASE, CEASE_REJECTED, "connection rejected"},
	{NOTIFY_CEASE, CEASE_CONFIG_CHANGE, "other configuration change"},
	{NOTIFY_CEASE, CEASE_COLLISION, "connection collision resolution"},
	{NOTIFY_CEASE, CEASE_RESOURCES, "out of resources"},
	{NOTIFY_CEASE, CEASE_HARD_RESET, "hard reset"},
	{NOTIFY_CEASE, CEASE_BFD_DOWN, "BFD down"},
	{NOTIFY_REFRESH, REFRESH_BAD_LEN, "invalid message length"},
};

static const char *find_subcode(const struct bgp_error *e)
{
	for (size_t i = 0; i < sizeof(subcode_text) / sizeof(subcode_text[0]); i++)
		if (subcode_text[i].code == e->code && subcode_text[i].subcode == e->subcode)
			return subcode_text[i].text;
	return NULL;
}

/* The text of a shutdown (RFC 9003 2), printable; empty when there is none or its length lies. */
static void shutdown_text(const struct bgp_error *e, char *out, size_t cap)
{
	size_t n = 0;

	if (e->code == NOTIFY_CEASE &&
		(e->subcode == CEASE_SHUTDOWN || e->subcode == CEASE_RESET) && e->data_len > 1 &&
		e->data[0] < e->data_len)
		for (; n < e->data[0] && n + 1 < cap; n++)
			out[n] = e->data[1 + n] < ' ' || e->data[1 + n] == 127
					 ? '?'
					 : (char)e->data[1 + n];
	out[n] = '\0';
}

/* What a Hard Reset stands for (RFC 8538 3), or false. */
static bool inner_error(const struct bgp_error *e, struct bgp_error *in)
{
	if (e->code != NOTIFY_CEASE || e->subcode != CEASE_HARD_RESET || e->data_len < 2)
		return false;
	bgp_error_set(in, e->data[0], e->data[1], e->data + 2, e->data_len - 2u);
	return in->code != NOTIFY_CEASE ||
	       in->subcode != CEASE_HARD_RESET; /* one level is enough */
}

char *bgp_error_fmt(const struct bgp_error *e, char *out, size_t cap)
{
	struct bgp_error in;
	size_t n;

	const char *code =
		e->code < sizeof(code_text) / sizeof(code_text[0]) ? code_text[e->code] : NULL;
	const char *sub = find_subcode(e);
	char text[256];

	shutdown_text(e, text, sizeof(text));
	snprintf(out, cap, "%s%s%s (%u/%u)%s%s%s%s%s", code ? code : "unknown error",
		sub ? ": " : "", sub ? sub : "", e->code, e->subcode, text[0] ? ": \"" : "", text,
		text[0] ? "\"" : "", e->word ? ": " : "", e->word ? e->word : "");
	n = strlen(out);
	if (inner_error(e, &in) && n + 2 < cap) {
		memcpy(out + n, ": ", 3);
		bgp_error_fmt(&in, out + n + 2, cap - n - 2);
	}
	return out;
}

/* Lengths a type may have (RFC 4271 6.1). A ROUTE-REFRESH that is too long or short is judged by
 * its own decoder, since RFC 7313 5 wants another code. */
static const struct {
	uint16_t min, max;
} type_len[] = {
	[MSG_OPEN] = {29, BGP_MSG_MAX},
	[MSG_UPDATE] = {23, BGP_MSG_EXT_MAX},
	[MSG_NOTIFICATION] = {21, BGP_MSG_EXT_MAX},
	[MSG_KEEPALIVE] = {BGP_HDR_LEN, BGP_HDR_LEN},
	[MSG_REFRESH] = {BGP_HDR_LEN, BGP_MSG_EXT_MAX},
};

int bgp_msg_peek(const uint8_t *buf, size_t len, size_t max, uint8_t *type, struct bgp_error *e)
{
	static const uint8_t marker[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct rd r;
	const uint8_t *lenp;
	uint16_t msg_len;

	/* A stream that is not BGP is found out by its first byte. */
	if (len && memcmp(buf, marker, len < sizeof(marker) ? len : sizeof(marker)) != 0)
		return bgp_error_set(e, NOTIFY_HEADER, HDR_NOT_SYNC, NULL, 0);
	if (len < BGP_HDR_LEN)
		return ERR_TRUNCATED;
	rd_init(&r, buf, BGP_HDR_LEN);
	rd_take(&r, sizeof(marker));
	lenp = r.p;
	msg_len = rd_u16(&r);
	*type = rd_u8(&r);
	if (msg_len < BGP_HDR_LEN || msg_len > max)
		return bgp_error_set(e, NOTIFY_HEADER, HDR_BAD_LEN, lenp, 2);
	if (*type < MSG_OPEN || *type > MSG_REFRESH)
		return bgp_error_set(e, NOTIFY_HEADER, HDR_BAD_TYPE, type, 1);
	if (msg_len < type_len[*type].min || msg_len > type_len[*type].max)
		return bgp_error_set(e, NOTIFY_HEADER, HDR_BAD_LEN, lenp, 2);
	return msg_len;
}

uint8_t *bgp_msg_begin(struct wr *w, unsigned type)
{
	uint8_t *at = wr_skip(w, BGP_HDR_LEN);

	if (!at)
		return NULL;
	memset(at, 0xff, 16);
	at[18] = (uint8_t)type;
	return at + 16;
}

void bgp_msg_end(struct wr *w, uint8_t *at)
{
	size_t len;

	if (!at || wr_bad(w))
		return;
	len = (size_t)(w->p - (at - 16));
	assert(len >= BGP_HDR_LEN && len <= BGP_MSG_EXT_MAX);
	at[0] = (uint8_t)(len >> 8);
	at[1] = (uint8_t)len;
}

/* Optional parameters. RFC 9072 2: a first type of 255 says that a 2-octet length follows and that
 * each parameter has one too. */
static int open_params(struct rd *r, struct bgp_open *o, struct bgp_error *e)
{
	size_t total = rd_u8(r);
	bool extended = total != 0 && rd_left(r) && r->p[0] == 255;
	struct rd params;

	if (extended) {
		rd_u8(r);
		total = rd_u16(r);
	}
	params = rd_sub(r, total);
	if (!rd_done(r))
		return bgp_error_set(e, NOTIFY_OPEN, 0, NULL, 0);
	while (rd_left(&params)) {
		uint8_t type = rd_u8(&params);
		struct rd value = rd_sub(&params, extended ? rd_u16(&params) : rd_u8(&params));

		if (rd_bad(&params))
			return bgp_error_set(e, NOTIFY_OPEN, 0, NULL, 0);
		if (type != 2) /* RFC 4271 6.2: not recognised */
			return bgp_error_set(e, NOTIFY_OPEN, OPEN_BAD_PARAM, NULL, 0);
		if (bgp_caps_decode(&value, &o->caps) < 0)
			return bgp_error_set(e, NOTIFY_OPEN, 0, NULL, 0);
	}
	return rd_bad(&params) ? bgp_error_set(e, NOTIFY_OPEN, 0, NULL, 0) : 0;
}

int bgp_open_decode(const uint8_t *body, size_t len, struct bgp_open *o, struct bgp_error *e)
{
	static const uint8_t our_version[2] = {0, 4};
	struct rd r;
	int err;

	memset(o, 0, sizeof(*o));
	rd_init(&r, body, len);
	o->version = rd_u8(&r);
	o->as2 = rd_u16(&r);
	o->hold_secs = rd_u16(&r);
	o->id = rd_u32(&r);
	if (rd_bad(&r))
		return bgp_error_set(e, NOTIFY_OPEN, 0, NULL, 0);
	/* RFC 4271 6.2: the data is the largest version we speak, below theirs. */
	if (o->version != 4)
		return bgp_error_set(
			e, NOTIFY_OPEN, OPEN_BAD_VERSION, our_version, sizeof(our_version));
	err = open_params(&r, o, e);
	if (err < 0)
		return err;
	if (!o->caps.mp)
		o->caps.families = BGP_FAM(BGP_IPV4); /* RFC 4760 8 */
	o->as = o->caps.as4 ? o->caps.as : o->as2;
	if (o->as == 0 || o->as2 == 0) /* RFC 7607 2 */
		return bgp_error_set(e, NOTIFY_OPEN, OPEN_BAD_AS, NULL, 0);
	if (o->hold_secs == 1 || o->hold_secs == 2)
		return bgp_error_set(e, NOTIFY_OPEN, OPEN_BAD_HOLD, NULL, 0);
	if (o->id == 0) /* RFC 6286 2.2 */
		return bgp_error_set(e, NOTIFY_OPEN, OPEN_BAD_ID, NULL, 0);
	return 0;
}

void bgp_open_encode(struct wr *w, const struct bgp_open *o, const uint8_t *caps, size_t caps_len)
{
	uint8_t *at = bgp_msg_begin(w, MSG_OPEN);

	wr_u8(w, 4);
	wr_u16(w, o->as > UINT16_MAX ? BGP_AS_TRANS : (uint16_t)o->as); /* RFC 6793 4.2.1 */
	wr_u16(w, o->hold_secs);
	wr_u32(w, o->id);
	if (caps_len == 0) {
		wr_u8(w, 0);
	} else if (caps_len + 2 < 255) {
		wr_u8(w, (uint8_t)(caps_len + 2));
		wr_u8(w, 2);
		wr_u8(w, (uint8_t)caps_len);
	} else {
		wr_u8(w, 255);
		wr_u8(w, 255);
		wr_u16(w, (uint16_t)(caps_len + 3));
		wr_u8(w, 2);
		wr_u16(w, (uint16_t)caps_len);
	}
	wr_copy(w, caps, caps_len);
	bgp_msg_end(w, at);
}

void bgp_keepalive_encode(struct wr *w)
{
	bgp_msg_end(w, bgp_msg_begin(w, MSG_KEEPALIVE));
}

void bgp_notification_encode(struct wr *w, const struct bgp_error *e)
{
	uint8_t *at = bgp_msg_begin(w, MSG_NOTIFICATION);

	wr_u8(w, e->code);
	wr_u8(w, e->subcode);
	wr_copy(w, e->data, e->data_len);
	bgp_msg_end(w, at);
}

int bgp_notification_decode(const uint8_t *body, size_t len, struct bgp_error *e)
{
	struct rd r;
	uint8_t code, subcode;

	rd_init(&r, body, len);
	code = rd_u8(&r);
	subcode = rd_u8(&r);
	bgp_error_set(e, code, subcode, r.p, rd_left(&r));
	return rd_bad(&r) ? ERR_MALFORMED : 0;
}

void bgp_refresh_encode(struct wr *w, unsigned family, unsigned subtype)
{
	uint8_t *at = bgp_msg_begin(w, MSG_REFRESH);

	wr_u16(w, bgp_family_afi(family));
	wr_u8(w, (uint8_t)subtype);
	wr_u8(w, bgp_family_safi(family));
	bgp_msg_end(w, at);
}

int bgp_refresh_decode(const uint8_t *msg, size_t len, struct bgp_refresh *r, struct bgp_error *e)
{
	struct rd in;
	uint16_t afi;

	rd_init(&in, msg, len);
	rd_take(&in, BGP_HDR_LEN);
	afi = rd_u16(&in);
	r->subtype = rd_u8(&in);
	r->family = bgp_family_of(afi, rd_u8(&in));
	if (!rd_done(&in)) /* RFC 7313 5: the data is the message */
		return bgp_error_set(e, NOTIFY_REFRESH, REFRESH_BAD_LEN, msg, len);
	return 0;
}
