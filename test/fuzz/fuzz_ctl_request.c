/* Whatever a client sends: framing, then the request. What decodes must survive a round trip. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "ctl.h"
#include "weft/bounds.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct ctl_request r, back;
	static uint8_t buf[LIM_CTL_REQUEST_BYTES + CTL_HEADER];
	int64_t n = ctl_frame(data, len, LIM_CTL_REQUEST_BYTES);

	if (n <= 0 || ctl_request_decode(data + CTL_HEADER, (size_t)n - CTL_HEADER, &r))
		return 0;
	int m = ctl_request_encode(&r, buf, sizeof(buf));
	assert(m > CTL_HEADER);
	assert(ctl_request_decode(buf + CTL_HEADER, (size_t)m - CTL_HEADER, &back) == 0);
	assert(memcmp(&r, &back, sizeof(r)) == 0);
	return 0;
}
