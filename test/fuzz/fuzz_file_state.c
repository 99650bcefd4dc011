/* The state container: a file of any content is judged without harm, and what is believed is the body. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sodium.h>
#include <unistd.h>
#include "file.h"
#include "weft/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define HASH_OFF 36
#define HASH_LEN 16
#define HDR_LEN  52

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return sodium_init() < 0;
}

static int try_read(const uint8_t *data, size_t size)
{
	int fd = memfd_create("state", MFD_CLOEXEC), err;
	uint16_t format;
	char path[64], *out;
	size_t len;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = file_state_read(path, "fuzz", 3, &format, &out, &len);
	if (err == 0) {
		assert(format <= 3 && len == size - HDR_LEN && out[len] == '\0');
		assert(memcmp(out, data + HDR_LEN, len) == 0);
		free(out);
	}
	close(fd);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	crypto_generichash_state st;
	uint8_t *fixed;
	int err = try_read(data, size);

	assert(err == 0 || err == ERR_CORRUPT || err == ERR_FOREIGN || err == ERR_VERSION);
	if (size < HDR_LEN)
		return 0;
	/* A fuzzer can't guess the hash: the same again with the right one. */
	fixed = malloc(size);
	memcpy(fixed, data, size);
	crypto_generichash_init(&st, NULL, 0, HASH_LEN);
	crypto_generichash_update(&st, fixed, HASH_OFF);
	crypto_generichash_update(&st, fixed + HDR_LEN, size - HDR_LEN);
	crypto_generichash_final(&st, fixed + HASH_OFF, HASH_LEN);
	try_read(fixed, size);
	free(fixed);
	return 0;
}
