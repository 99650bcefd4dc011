/* Netlink replies: the message walk and every parser on the raw input, then the same bytes as answers to
 * requests, dumps and a batch, through the socket seam. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "nl_fwd.h"
#include "nl_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const uint8_t *input;
static size_t left;
static struct nlx *sock;

static ssize_t to_nowhere(const struct mnl_socket *s, const void *buf, size_t len)
{
	return (ssize_t)len;
}

/* A two-byte length, then that much of the input as one datagram, numbered as an answer to us. */
static ssize_t from_input(const struct mnl_socket *s, void *buf, size_t len)
{
	size_t n;

	if (left < 2) {
		errno = EAGAIN;
		return -1;
	}
	n = (size_t)(input[0] | input[1] << 8);
	input += 2;
	left -= 2;
	n = n < left ? n : left;
	n = n < len ? n : len;
	memcpy(buf, input, n);
	input += n;
	left -= n;
	if (n >= sizeof(struct nlmsghdr)) {
		((struct nlmsghdr *)buf)->nlmsg_seq = sock->seq;
		((struct nlmsghdr *)buf)->nlmsg_pid = 0;
	}
	return (ssize_t)n;
}

static int parse_all(void *ctx, const struct nlmsghdr *nlh)
{
	struct nl_link l;
	struct nl_addr a;
	struct nl_route r;
	struct nl_rule u;
	const char *table, *chain;
	uint8_t nfproto;

	(void)nl_link_parse(nlh, &l);
	(void)nl_addr_parse(nlh, &a);
	(void)nl_route_parse(nlh, &r);
	(void)nl_rule_parse(nlh, &u);
	(void)nl_nft_names(nlh, "weft");
	(void)nl_nft_ours(nlh);
	(void)nl_fwd_rule_event(nlh, &nfproto, &table, &chain);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct nlx_io io = {.send = to_nowhere, .recv = from_input};
	struct nlx x = {.io = &io, .buf = malloc(NLX_BUF_BYTES)};
	void *copy = malloc(len + 1); /* aligned, and its end is watched */
	struct nl_fwd_place places[4];
	struct nl_fwd_view view;
	size_t nplaces;
	uint64_t print;

	if (!x.buf || !copy)
		abort();
	memcpy(copy, data, len);
	(void)nlx_walk(copy, len, parse_all, NULL);
	sock = &x;
	input = data;
	left = len;
	(void)nl_nft_print(&x, 1, "weft", &print);
	(void)nl_route_dump(&x, IP_V4, 0, NULL, parse_all, NULL);
	input = data;
	left = len;
	(void)nl_fwd_places(&x, places, 4, &nplaces);
	input = data;
	left = len;
	(void)nl_fwd_look(&x, &(struct nl_fwd_place){.nfproto = 1, .table = "t", .chain = "c"},
		0x10000000, 0x10000000, &view);
	free(copy);
	free(x.buf);
	return 0;
}
