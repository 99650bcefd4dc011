/* The receive path on arbitrary datagrams. The first input byte chooses: taken as it is, with the
 * header of a known key, or sealed with that key too, so that the bytes reach shim, parser, address
 * checks, ECN and coalescing. Half of each address space is the peer's. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "dp_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
static struct dp *dp;
static struct aead *sealer;
static int tun;
static const uint8_t key[32] = {7};
static int yes(int fd, unsigned long request, void *arg)
{
	return 0;
}

static void on_datagram(
	void *ctx, const struct ep *from, const struct ip *local, uint8_t *buf, size_t len)
{
	buf[0] ^= buf[len - 1]; /* all of it may be written to */
}

static void start(void)
{
	static const struct dp_ops ops = {.datagram = on_datagram};
	struct dp_cfg cfg = {.workers = 1, .listen.ip = ip_v4(0x7f000001), .dscp = DP_DSCP_COPY};
	struct dp_key k = {WIRE_SUITE_CHACHA20_POLY1305, 1, 2, 2, 3, key, key, 0, 0, UINT64_MAX};
	struct pfx low = {.ip.family = IP_V4, .len = 1}, all = {.ip.family = IP_V4};
	int sv[2], err;

	tun_sys.ioctl = yes;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sv) < 0 || dp_new(&cfg, &dp) < 0)
		abort();
	tun = sv[0];
	err = dp_peer_add(dp, 1) | dp_key_add(dp, 1, &k) |
	      dp_segment_add(dp, 1, "fuzz", &sv[1], 1400);
	for (int i = 0; i < 2; i++) {
		err |= dp_route_set(dp, 1, &all, DP_ROUTE_LOCAL, 0);
		err |= dp_route_set(dp, 1, &low, DP_ROUTE_PEER, 1);
		all.ip.family = low.ip.family = IP_V6;
	}
	dp->rx.ops = &ops;
	sealer = aead_new(k.suite, AEAD_SODIUM, key);
	if (err || !sealer)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t buf[WIRE_DATA_OVERHEAD + 4096], sink[TUN_READ_MAX];
	static uint64_t counter;
	struct udp_in in = {.buf = buf, .len = len - 1, .from.ip.family = IP_V4};
	uint8_t nonce[12], hdr[WIRE_DATA_HDR] = {WIRE_TYPE_BYTE(WIRE_DATA), 0, 1, 0, 0, 0, 0, 1};

	if (!dp)
		start();
	if (len < 2 || len > 4096)
		return 0;
	in.tos = data[0] >> 2;
	memcpy(buf, data + 1, len - 1);
	if (data[0] & 1) {
		aead_data_nonce(nonce, 1, counter++);
		memcpy(hdr + WIRE_OFF_COUNTER, nonce + 4, 8);
		memcpy(buf, hdr, sizeof(hdr));
		aead_seal(sealer, nonce, hdr, sizeof(hdr), data + 1, len - 1, buf + WIRE_DATA_HDR,
			buf + WIRE_DATA_HDR + len - 1);
		in.len = WIRE_DATA_OVERHEAD - WIRE_SHIM + len - 1;
	} else if (data[0] & 2) {
		memcpy(buf, hdr, len - 1 < 8 ? len - 1 : 8);
		in.seg = data[len - 1]; /* cut anywhere */
	}
	rx_message(&dp->rx, &in);
	coal_flush(&dp->rx.coal);
	while (recv(tun, sink, sizeof(sink), 0) > 0) {
	}
	return 0;
}
