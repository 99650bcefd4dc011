/* Nanoseconds to seal and to open one packet, per suite and provider; best of several rounds.
 * Usage: aead_bench [BYTES] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "aead.h"

#define ROUNDS    7
#define ROUND_NS  30000000.0
#define CHUNK     64
#define BYTES_MAX 65536

static uint8_t buf[BYTES_MAX], aad[16], tag[16];

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void seal_chunk(const struct aead *a, size_t len, uint64_t *n)
{
	uint8_t nonce[12];

	for (int i = 0; i < CHUNK; i++) {
		aead_data_nonce(nonce, 1, (*n)++);
		aead_seal(a, nonce, aad, sizeof(aad), buf, len, buf, tag);
	}
}

/* Opening what is forged costs the same as what is true with libipsec-mb, but not with libsodium; so
 * the packet is a true one, opened out of place again and again. */
static void open_chunk(const struct aead *a, size_t len, uint64_t *n)
{
	static uint8_t out[BYTES_MAX];
	uint8_t nonce[12];

	aead_data_nonce(nonce, 1, 0);
	for (int i = 0; i < CHUNK; i++, (*n)++) {
		if (aead_open(a, nonce, aad, sizeof(aad), buf, len, tag, out) != 0)
			abort();
	}
}

static double best(
	const struct aead *a, size_t len, void (*chunk)(const struct aead *, size_t, uint64_t *))
{
	double lowest = 1e18;

	for (int r = 0; r < ROUNDS; r++) {
		double start = now_ns(), spent = 0;
		uint64_t n = 0;

		while (spent < ROUND_NS) {
			chunk(a, len, &n);
			spent = now_ns() - start;
		}
		if (spent / (double)n < lowest)
			lowest = spent / (double)n;
	}
	return lowest;
}

int main(int argc, char **argv)
{
	static const enum wire_suite suites[] = {
		WIRE_SUITE_CHACHA20_POLY1305, WIRE_SUITE_AES_256_GCM};
	static const enum aead_provider providers[] = {AEAD_SODIUM, AEAD_IPSECMB};
	size_t len = argc > 1 ? strtoul(argv[1], NULL, 10) : 1420;
	uint8_t key[32] = {1}, nonce[12];

	if (len > BYTES_MAX || aead_init() != 0) {
		fprintf(stderr, "usage: aead_bench [BYTES up to %d]\n", BYTES_MAX);
		return 2;
	}
	printf("%-18s %-12s %10s %10s   (ns per %zu-byte packet)\n", "suite", "provider", "seal",
		"open", len);
	for (size_t s = 0; s < 2; s++) {
		for (size_t p = 0; p < 2; p++) {
			struct aead *a = aead_new(suites[s], providers[p], key);
			double seal, open;

			if (a == NULL) {
				printf("%-18s %-12s %10s %10s\n", aead_suite_name(suites[s]),
					aead_provider_name(providers[p]), "-", "-");
				continue;
			}
			seal = best(a, len, seal_chunk);
			aead_data_nonce(nonce, 1, 0);
			memset(buf, 0, len);
			aead_seal(a, nonce, aad, sizeof(aad), buf, len, buf, tag);
			open = best(a, len, open_chunk);
			printf("%-18s %-12s %10.0f %10.0f\n", aead_suite_name(suites[s]),
				aead_provider_name(providers[p]), seal, open);
			aead_free(a);
		}
	}
	return 0;
}
