/* Two sessions driven by the input: packets with true and false discriminators, time, commands. Each step
 * is a byte of kind and so many bytes as the kind needs. What must hold: sessions with one state machine,
 * packets that decode, no more than one packet per interval and event, deadlines that come nearer. */
#include <stdlib.h>
#include <string.h>
#include "bfd.h"
#include "bfd_wire.h"
#include "weft/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t id[2];
static struct bfd_from how[2];

static void drain(struct bfd *b, unsigned most)
{
	struct bfd_act a;
	struct bfd_pkt p;
	unsigned sent = 0;

	while (bfd_next(b, &a)) {
		if (a.type == BFD_SEND &&
			(bfd_pkt_decode(a.buf, sizeof(a.buf), &p) != BFD_OK ||
				(p.flags & ~(BFD_FLAG_POLL | BFD_FLAG_FINAL)) ||
				p.flags == (BFD_FLAG_POLL | BFD_FLAG_FINAL) || ++sent > most))
			abort();
		if (a.type == BFD_STATE && a.failed && a.state != BFD_DOWN)
			abort();
	}
}

static void check(const struct bfd *b, int k)
{
	struct bfd_info i;

	if (bfd_get(b, id[k], &i) != 0)
		return;
	if (i.state == BFD_UP && i.remote_id == 0)
		abort();
	if (i.state != BFD_UP && i.tx_us && i.tx_us < BFD_SLOW_US)
		abort();
	if (i.tx_us && i.tx_us < BFD_INTERVAL_MIN_US)
		abort();
}

static void packet(struct bfd *b, int k, struct rd *r, ts_t now)
{
	uint8_t buf[40], flip = rd_u8(r);
	struct bfd_pkt p = {.diag = flip & 31, .mult = rd_u8(r), .my_discr = rd_u8(r)};
	uint8_t what = rd_u8(r);

	p.state = what >> 6;
	p.flags = what & 0x3f;
	p.your_discr = flip & 32 ? id[k] : flip & 64 ? id[!k] : 0;
	p.min_tx_us = (uint32_t)rd_u16(r) << (flip >> 4);
	p.min_rx_us = (uint32_t)rd_u16(r) << (flip >> 4);
	memset(buf, 0, sizeof(buf));
	bfd_pkt_encode(&p, buf);
	(void)bfd_recv(b, &how[k], buf, flip & 128 ? sizeof(buf) : BFD_MIN_LEN, now);
	drain(b, 2);
}

static void command(struct bfd *b, int k, struct rd *r, ts_t now)
{
	uint8_t what = rd_u8(r);

	if (what & 1)
		(void)bfd_admin(b, id[k], what & 2, now);
	else
		(void)bfd_retime(
			b, id[k], (uint32_t)rd_u16(r) * 100, (uint32_t)rd_u16(r) * 100, what, now);
	drain(b, 2);
}

static void pass(struct bfd *b, ts_t *now, dur_t span)
{
	ts_t until = ts_add(*now, span);
	unsigned turns = 0;

	/* Each turn sends, or ends a session: an interval is 7.5 ms at least. */
	while (ts_due(bfd_deadline(b), until)) {
		if (ts_before(*now, bfd_deadline(b)))
			*now = bfd_deadline(b);
		bfd_tick(b, *now);
		if (ts_due(bfd_deadline(b), *now) || ++turns > 4000)
			abort();
		drain(b, 4);
	}
	*now = until;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t seed[16] = {5};
	struct bfd *b = bfd_new(seed);
	ts_t now = {1};
	struct rd r;

	for (int k = 0; b && k < 2; k++) {
		struct bfd_session_cfg c = {.remote = ip_v4(0x0a000001 + (uint32_t)k),
			.min_tx_us = 50000,
			.min_rx_us = 100000,
			.multihop = k,
			.mult = 3};

		how[k] = (struct bfd_from){
			.remote = c.remote, .local = ip_v4(9), .ttl = 255, .multihop = k};
		if (bfd_add(b, &c, now, &id[k]) != 0)
			abort();
		drain(b, 1);
	}
	rd_init(&r, data, size);
	while (b && rd_left(&r) > 0) {
		uint8_t what = rd_u8(&r);
		int k = what & 1;

		switch (what >> 1 & 3) {
		case 0:
		case 1:
			packet(b, k, &r, now);
			break;
		case 2:
			command(b, k, &r, now);
			break;
		default:
			pass(b, &now, DUR_MS(what));
			break;
		}
		check(b, k);
	}
	bfd_free(b);
	return 0;
}
