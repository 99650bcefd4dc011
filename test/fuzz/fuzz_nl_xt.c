/* A filter table of the older iptables: any block and any offsets are refused or read, and what comes of
 * an edit can be read again. Input: a byte (bit 0: IPv6, bit 1: only remove), the number of entries (one
 * byte), the offsets of FORWARD's first and last entry (two bytes each, little end first), the block. */
#include "nl_xt.h" /* first: the C library's headers, then the kernel's */

#include <linux/netfilter.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MARK 0x10000000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct nl_xt t = {.raw = NULL}, again;
	struct nl_xt_view v;
	struct nl_xt_new n;
	uint32_t before;
	uint8_t *block;

	if (len < 6)
		return 0;
	block = malloc(len - 6 + 1); /* its own, so that the sanitizer sees its end */
	if (!block)
		return 0;
	memcpy(block, data + 6, len - 6);
	t.v6 = data[0] & 1;
	t.entries = data[1];
	t.forward = t.hooks[NF_INET_FORWARD] = (uint32_t)(data[2] | data[3] << 8);
	t.policy = t.policies[NF_INET_FORWARD] = (uint32_t)(data[4] | data[5] << 8);
	t.block = block;
	t.size = (uint32_t)len - 6;
	(void)nl_xt_view_of(&t, MARK, MARK, &v, &before);
	if (nl_xt_edit(&t, data[0] & 2 ? 0 : MARK, MARK, &n) == 0) {
		again = t;
		again.block = n.block;
		again.size = n.size;
		again.entries = n.entries;
		again.forward = n.hooks[NF_INET_FORWARD];
		again.policy = n.policies[NF_INET_FORWARD];
		(void)nl_xt_view_of(&again, MARK, MARK, &v, &before);
		nl_xt_new_free(&n);
	}
	free(block);
	return 0;
}
