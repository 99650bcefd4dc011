/* The pods' state file: what decodes is whole, survives use, and encodes to something that decodes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "ipam.h"
#include "weft/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct ipam *m, ts_t now)
{
	struct ipam_att want = {.vni = 1, .id = "fuzz", .ifname = "eth0"};
	const struct ipam_att *a;
	struct ipam_stats st;
	size_t it = 0, n = 0;

	while (ipam_next(m, &it, &a)) {
		n++;
		for (size_t i = 0; i < a->naddrs; i++)
			assert(ipam_holder(m, a->vni, &a->addrs[i]) == a);
	}
	ipam_stats(m, 1, IP_V4, now, &st);
	assert(st.attachments == n && st.used + st.held + st.free == st.size);
	if (ipam_attach(m, &want, 3, now, &a, NULL) == 0) {
		assert(a->naddrs > 0 && ipam_find(m, "fuzz", "eth0") == a);
		assert(ipam_detach(m, "fuzz", "eth0", now) == 0);
	}
	for (it = 0; ipam_next(m, &it, &a);)
		if (a->id[0] & 1)
			assert(ipam_detach(m, a->id, a->ifname, now) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t boot[IPAM_BOOT_ID] = {0}, *buf;
	struct ipam *m, *back;
	size_t len;

	if (size > IPAM_BOOT_ID)
		memcpy(boot, data + 1, IPAM_BOOT_ID); /* it is of this boot */
	if (ipam_decode(data, size, boot, &m) != 0)
		return 0;
	use(m, (ts_t){UINT64_C(1) << 40});
	assert(ipam_encode(m, &buf, &len) == 0);
	assert(ipam_decode(buf, len, boot, &back) == 0);
	ipam_free(back);
	ipam_free(m);
	free(buf);
	return 0;
}
