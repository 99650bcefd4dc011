/* fault.h - makes the nth allocation of the program under test fail. The unit tests are linked with
 * --wrap, so every malloc, calloc, realloc, aligned_alloc, posix_memalign and strdup of weft's own
 * code (not of shared libraries) comes through here. */
#ifndef WEFT_TEST_FAULT_H
#define WEFT_TEST_FAULT_H

#include <stdbool.h>

/* The @n-th allocation from now (1: the next) fails, once; 0: none. */
void fault_arm(unsigned n);
/* Did the armed allocation come and fail? Disarms. */
bool fault_disarm(void);

/* Run @body with allocation 1, 2, 3, ... failing until it runs through without reaching the fault:
 *	FAULT_EACH(n) { int err = f(); ...; }
 * Inside, n is the number of the failing allocation. */
#define FAULT_EACH(n)                                                                              \
	for (unsigned n = (fault_arm(1), 1); n != 0;                                               \
		n = fault_disarm() ? (fault_arm(n + 1), n + 1) : 0)

#endif
