/* COOKIE, MAC2 and RESET. Input: mode byte, then a datagram. Mode bit 0: give a COOKIE a valid MAC1;
 * bit 1: patch the bytes over a true COOKIE at the offset that follows. */
#include <assert.h>
#include <sodium.h>
#include <string.h>
#include "cookie.h"
#include "handshake.h"

static struct secret_keys keys;
static struct cookie_jar jar;
static struct ep from;
static uint8_t init[HS_INIT_MIN], reply[COOKIE_LEN], cookie[COOKIE_SIZE];
static const uint8_t reset_key[32] = {3};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct secret s = {{2}};

	(void)argc, (void)argv;
	if (sodium_init() < 0)
		return -1;
	secret_derive(&s, &keys);
	cookie_jar_init(&jar, DUR_SEC(120), (ts_t){1});
	from = (struct ep){ip_v4(0x7f000001), 1, 0};
	cookie_write(&jar, &keys, &from, init, sizeof(init), (ts_t){1}, reply, sizeof(reply));
	assert(cookie_read(&keys, 0, init + HS_INIT_MIN - 32, reply, sizeof(reply), cookie) == 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t buf[2 * WIRE_CONTROL_MAX], got[COOKIE_SIZE], token[RESET_TOKEN], want[RESET_TOKEN];
	uint32_t index;
	size_t len;

	if (size < 2 || size > WIRE_CONTROL_MAX + 8)
		return 0;
	len = size - 2;
	if (data[0] & 2) {
		size_t at = data[1] % COOKIE_LEN;

		memcpy(buf, reply, COOKIE_LEN);
		memcpy(buf + at, data + 2, len);
		len = at + len > COOKIE_LEN ? at + len : COOKIE_LEN;
	} else {
		memcpy(buf, data + 2, len);
	}
	if ((data[0] & 1) && len >= HS_MAC)
		crypto_generichash(buf + len - HS_MAC, HS_MAC, buf, len - HS_MAC, keys.mac1,
			sizeof(keys.mac1));
	handshake_check_mac1(&keys, 1, buf, len);
	if (cookie_index(buf, len, &index) == 0 &&
		cookie_read(&keys, index, init + HS_INIT_MIN - 32, buf, len, got) == 0)
		assert(memcmp(got, cookie, sizeof(got)) == 0); /* there is no other */
	if (reset_read(buf, len, &index, token) == 0) {
		reset_token(reset_key, index, want);
		assert(!reset_token_eq(token, want)); /* unless it forged a MAC */
	}
	assert(!cookie_mac2_check(&jar, &from, buf, len, (ts_t){2}));
	return 0;
}
