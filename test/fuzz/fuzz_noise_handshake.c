/* The three readers of the handshake. Input: mode byte, offset 16, bytes, which are patched over a true
 * message of a handshake in progress, or over nothing (mode / 2 % 4). Mode bit 0 gives the result a
 * valid MAC1, so that what stands behind it is reached. */
#include <assert.h>
#include <sodium.h>
#include <string.h>
#include "aead.h"
#include "handshake.h"

static struct identity ids[2];
static struct secret_keys secrets[2];
static struct hs_cfg cfg[2];
static struct hs_seal seal;
static struct handshake hs;
static uint8_t msg[4][WIRE_CONTROL_MAX];
static int msg_len[4];
static struct hs_keys true_keys;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	uint8_t seed[32] = {1};
	struct secret s = {{2}};
	struct handshake done;
	struct hs_init in;
	int err = aead_init();

	secret_derive(&s, &secrets[1]);
	for (int i = 0; i < 2; i++, seed[0]++) {
		identity_from_seed(seed, &ids[i]);
		cfg[i] = (struct hs_cfg){&ids[i], secrets, 2, 3, 2, 0, NULL, 0};
	}
	handshake_seal_init(&seal);
	msg_len[0] = handshake_init_write(&hs, &cfg[0], 1, 7, 0, msg[0], WIRE_CONTROL_MAX);
	err |= handshake_init_read(&cfg[1], 1, msg[0], (size_t)msg_len[0], &in);
	msg_len[1] =
		handshake_resp_write(&cfg[1], &in, &seal, 8, (ts_t){1}, msg[1], WIRE_CONTROL_MAX);
	done = hs;
	err |= handshake_resp_read(&done, &cfg[0], 1, msg[1], (size_t)msg_len[1]);
	msg_len[2] = handshake_final_write(&done, &cfg[0], msg[2], WIRE_CONTROL_MAX, &true_keys);
	assert(err == 0 && msg_len[0] > 0 && msg_len[1] > 0 && msg_len[2] > 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t buf[2 * WIRE_CONTROL_MAX], resp[WIRE_CONTROL_MAX];
	struct handshake copy = hs;
	struct hs_init in;
	struct hs_final out;
	size_t which = size > 0 ? data[0] / 2 % 4 : 0, at, len, behind;

	if (size < 3 || size > WIRE_CONTROL_MAX + 3)
		return 0;
	len = (size_t)msg_len[which];
	at = len > 0 ? (size_t)(data[1] << 8 | data[2]) % len : 0;
	memcpy(buf, msg[which], len);
	memcpy(buf + at, data + 3, size - 3);
	if (at + size - 3 > len)
		len = at + size - 3;
	behind = len > 0 && buf[0] == WIRE_TYPE_BYTE(WIRE_INIT) ? 2 * HS_MAC : HS_MAC;
	if ((data[0] & 1) && len >= behind)
		crypto_generichash(
			buf + len - behind, HS_MAC, buf, len - behind, secrets[1].mac1, 32);
	handshake_check_mac1(secrets, 2, buf, len); /* the readers must stand on their own */
	if (handshake_init_read(&cfg[1], 1, buf, len, &in) == 0)
		assert(handshake_resp_write(
			       &cfg[1], &in, &seal, 9, (ts_t){2}, resp, sizeof(resp)) <= (int)len);
	/* Nobody but the true peer gets through the others: the fuzzer has no keys. */
	if (handshake_resp_read(&copy, &cfg[0], 1, buf, len) == 0)
		assert(node_key_eq(&copy.peer.key, &ids[1].pub));
	else
		assert(!copy.have_resp && memcmp(&copy.noise, &hs.noise, sizeof(hs.noise)) == 0);
	if (handshake_final_read(&cfg[1], &seal, (ts_t){2}, DUR_SEC(20), 1, buf, len, &out) == 0)
		assert(memcmp(out.keys.rx, true_keys.tx, 32) == 0);
	return 0;
}
