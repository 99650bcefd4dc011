/* Judging of router advertisements and solicitations: what is one has the length of one. */
#include <stdlib.h>
#include "radv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ip from = {{0xfe, 0x80, [15] = 1}, IP_V6};
	enum radv_kind kind = radv_judge(data, size, &from, 255);

	if ((kind == RADV_ADVERT && size < 16) || (kind == RADV_SOLICIT && size < 8))
		abort();
	return 0;
}
