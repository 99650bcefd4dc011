/* The link core driven by the input: links and sessions come and go, bodies arrive, time passes. Each
 * step: one byte of kind and node, one of length, then so many bytes. Invitations are read too. */
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drain(struct links *l)
{
	struct link_act a;

	while (links_next(l, &a))
		if (a.type == LINK_SEND && (a.len == 0 || a.len > LINK_BODY_MAX))
			abort();
}

static void one_range(struct link_cluster *c, uint8_t n)
{
	struct ip ip = ip_v4(0x0a000000u | (uint32_t)n << 16);

	c->nranges = 1;
	(void)pfx_make(&ip, 16, &c->ranges[0]);
}

static void step(struct links *l, struct rd *in, uint8_t op, uint8_t len, ts_t now)
{
	struct link_cluster self = {.asn = 4200000000u + (len & 3), .id = {{1}}};
	struct node_key key = {{op & 7}};
	struct link_def d = {
		.number = 1u + (len & 7), .name = {(char)('a' + (len & 7))}, .neps = 1};
	char why[LINK_WHY_MAX];
	struct rd arg;

	d.eps[0] = (struct ep){.ip = ip_v4(0xc0000201u), .port = 6793};
	switch (op >> 3) {
	case 0:
		if (op & 1) {
			d.remote.asn = 4200000000u + len;
			d.remote.id.b[0] = op;
			one_range(&d.remote, len);
		}
		(void)links_add(l, &d, why, now);
		break;
	case 1:
		(void)links_del(l, d.number);
		break;
	case 2:
	case 3:
		links_session_up(l, d.number, &key, now);
		break;
	case 4:
		links_session_down(l, d.number, &key, now);
		break;
	case 5:
		one_range(&self, op & 7);
		links_self(l, &self, NULL, 0, now);
		break;
	default:
		arg = rd_sub(in, len < rd_left(in) ? len : rd_left(in));
		for (uint32_t n = 1; n <= 2; n++)
			(void)links_recv(l, n, &key, arg.p, rd_left(&arg), now);
	}
}

static void invitation(const uint8_t *data, size_t size)
{
	char text[LINK_INVITE_STRLEN + 64], back[LINK_INVITE_STRLEN];
	struct link_invite v, again;

	if (size >= sizeof(text))
		return;
	memcpy(text, data, size);
	text[size] = '\0';
	if (link_invite_parse(text, &v))
		return;
	link_invite_fmt(&v, back);
	if (link_invite_parse(back, &again) || memcmp(&v, &again, sizeof(v)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct node_key key = {{0xff}};
	struct link_cluster self = {.asn = 4200000000u, .id = {{1}}};
	ts_t now = {1000000000};
	struct links *l;
	struct rd in;

	if (key_init())
		abort();
	invitation(data, size);
	l = links_new(&key, &self, now);
	rd_init(&in, data, size);
	while (l && rd_left(&in) > 0) {
		uint8_t op = rd_u8(&in), len = rd_u8(&in);

		if (op >> 3 < 26)
			step(l, &in, op, len, now);
		else
			now = ts_add(now, DUR_MS(1u << (len & 15)));
		links_tick(l, now);
		if (op & 1)
			drain(l);
		if (ts_due(links_deadline(l), now))
			abort();
	}
	links_free(l);
	return 0;
}
