/* Relayed datagrams on arbitrary bytes. The first input byte chooses: taken as they are, or behind a
 * header of a known session, tagged, whose route the second byte makes. We are label 1, the sender is 2,
 * another peer with a session is 3. */
#include <stdlib.h>
#include <string.h>
#include "dp_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
static struct dp *dp;
static struct aead *sealer;
static const uint8_t key[32] = {7};

static void on_datagram(
	void *ctx, const struct ep *from, const struct ip *local, uint8_t *buf, size_t len)
{
	buf[0] ^= buf[len - 1];
}

static void on_relayed(void *ctx, const struct dp_way *back, uint8_t *buf, size_t len)
{
	if (back->n < 1 || back->n > WIRE_RELAY_LABELS_MAX || back->first != 1)
		abort();
	buf[0] ^= buf[len - 1];
}

static void start(void)
{
	static const struct dp_ops ops = {.datagram = on_datagram, .relayed = on_relayed};
	struct dp_cfg cfg = {.workers = 1, .listen.ip = ip_v4(0x7f000001), .label = 1, .relay = 1};
	struct dp_key k = {
		WIRE_SUITE_CHACHA20_POLY1305, 1, 2, 2, 3, key, key, 0, UINT64_MAX, UINT64_MAX};
	struct ep at = {.ip = ip_v4(0x7f000001), .port = 9};
	int err = dp_new(&cfg, &dp);

	if (err)
		abort();
	for (uint32_t p = 1; p <= 2; p++, k.local_index++) {
		err |= dp_peer_add(dp, p) | dp_peer_endpoint(dp, p, &at, NULL);
		err |= dp_peer_label(dp, p, p + 1) | dp_key_add(dp, p, &k);
		dp_key_use(dp, p, k.local_index);
	}
	dp->rx.ops = &ops;
	sealer = aead_new(k.suite, AEAD_SODIUM, key);
	if (err || !sealer)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t buf[4096];
	static uint64_t counter;
	struct relay_hdr h = {.lane = 1, .index = 1};
	struct udp_in in = {.buf = buf, .from.ip.family = IP_V4, .len = len - 2};
	uint8_t nonce[12];
	size_t aad = 0;

	if (!dp)
		start();
	if (len < 2 || len > 2048)
		return 0;
	if (data[0] & 1) {
		h.n = (uint8_t)(1 + data[1] % WIRE_RELAY_LABELS_MAX);
		h.left = (uint8_t)((data[1] >> 2) % (h.n + 1));
		for (unsigned i = 0; i < h.n; i++)
			h.label[i] = (data[0] >> 1) + i * (1 + (data[1] >> 6));
		h.counter = counter++;
		relay_write(&h, buf);
		aad = relay_tag_off(h.n);
		aead_data_nonce(nonce, 1, h.counter);
		aead_seal(sealer, nonce, buf, aad, buf + aad, 0, buf + aad, buf + aad);
		in.len += aad += WIRE_TAG;
	}
	memcpy(buf + aad, data + 2, len - 2);
	rx_message(&dp->rx, &in);
	return 0;
}
