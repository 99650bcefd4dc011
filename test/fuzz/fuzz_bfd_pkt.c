/* A control packet from anybody: what is taken comes out the same when it is written again. */
#include <stdlib.h>
#include <string.h>
#include "bfd_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[BFD_MIN_LEN];
	struct bfd_pkt p;

	if (bfd_pkt_decode(data, size, &p) != BFD_OK)
		return 0;
	if (size < BFD_MIN_LEN || p.mult == 0 || p.my_discr == 0)
		abort();
	bfd_pkt_encode(&p, out);
	out[3] = data[3]; /* a longer packet has more behind what we look at */
	if (memcmp(out, data, sizeof(out)) != 0)
		abort();
	return 0;
}
