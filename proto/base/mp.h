/* mp.h - the walk over foreign msgpack that stands before each decode.
 *
 * msgpack-c allocates an array's objects from the count that the array announces, before it has seen
 * them. Who walks the bytes first knows that everything announced is there, and how much it is. */
#ifndef WEFT_MP_H
#define WEFT_MP_H

#include <stddef.h>
#include <stdint.h>

#define MP_DEPTH_MAX 31 /* one below the fixed stack of msgpack-c */

/* Is @buf (borrowed) exactly one well-formed msgpack object of at most @objects objects, with at most
 * @depth (up to MP_DEPTH_MAX) maps and arrays inside each other? Takes no memory. 0; ERR_TRUNCATED:
 * something announced is not there; ERR_MALFORMED: a bad type byte, bytes behind the object;
 * ERR_LIMIT: too deep, too many. */
int mp_scan(const uint8_t *buf, size_t len, unsigned depth, uint64_t objects);

#endif
