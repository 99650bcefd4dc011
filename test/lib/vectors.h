/* vectors.h - loads public test vectors (JSON) that are not copied into the project: from the
 * directory in the environment's WEFT_VECTORS, else ../shared/vectors beside the source tree. */
#ifndef WEFT_TEST_VECTORS_H
#define WEFT_TEST_VECTORS_H

#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

/* Parse @file of the vectors' directory. NULL if it is absent, after a line that says so: the test
 * then calls skip(). A file that is there and doesn't parse fails the test. The caller
 * json_decref()s. */
json_t *vectors_load(const char *file);

/* Decode the hexadecimal string @key of @obj into @out; returns the bytes. A key that is absent,
 * odd or foreign text, or more than @cap bytes fail the test. */
size_t vectors_hex(json_t *obj, const char *key, uint8_t *out, size_t cap);

/* The string @key of @obj; fails the test if it is absent. Borrowed from @obj. */
const char *vectors_str(json_t *obj, const char *key);

#endif
