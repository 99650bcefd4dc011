/* sim_data.c - see sim_data.h. A node that has no memory for a cipher ends the simulation. */
#include "sim_data.h"

#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "aead.h"

#define LANE 1

void sim_data_seal(struct sim_key *k, bool side, uint8_t out[SIM_DATA_LEN])
{
	uint8_t nonce[12];
	struct wr w;

	if (!k->tx)
		k->tx = aead_new(k->k.suite, AEAD_AUTO, k->k.tx);
	if (!k->tx)
		abort();
	memset(out, 0, SIM_DATA_LEN);
	wr_init(&w, out, SIM_DATA_LEN);
	wr_u8(&w, WIRE_TYPE_BYTE(WIRE_DATA));
	wr_u8(&w, side ? WIRE_F_SIDE_PORT : 0);
	wr_u8(&w, LANE);
	wr_u8(&w, 0);
	wr_u32(&w, k->k.remote_index);
	wr_u64(&w, k->counter);
	aead_data_nonce(nonce, LANE, k->counter++);
	aead_seal(k->tx, nonce, out, WIRE_DATA_HDR, out + WIRE_DATA_HDR, WIRE_SHIM + SIM_DATA_BODY,
		out + WIRE_DATA_HDR, out + SIM_DATA_LEN - WIRE_TAG);
}

bool sim_data_parse(const uint8_t *buf, size_t len, struct sim_data *out)
{
	unsigned lane;
	struct rd r;

	rd_init(&r, buf, len);
	if (WIRE_TYPE_OF(rd_u8(&r)) != WIRE_DATA || len < WIRE_DATA_OVERHEAD)
		return false;
	out->side = rd_u8(&r) & WIRE_F_SIDE_PORT;
	lane = rd_u8(&r);
	rd_u8(&r);
	out->index = rd_u32(&r);
	out->counter = rd_u64(&r);
	return lane == LANE;
}

bool sim_data_open(struct sim_key *k, const struct sim_data *d, uint8_t *buf, size_t len)
{
	uint8_t nonce[12];

	if (!k->rx)
		k->rx = aead_new(k->k.suite, AEAD_AUTO, k->k.rx);
	if (!k->rx)
		abort();
	aead_data_nonce(nonce, LANE, d->counter);
	return aead_open(k->rx, nonce, buf, WIRE_DATA_HDR, buf + WIRE_DATA_HDR,
		       len - WIRE_DATA_HDR - WIRE_TAG, buf + len - WIRE_TAG,
		       buf + WIRE_DATA_HDR) == 0 &&
	       replay_accept(&k->window, d->counter) == 0;
}
