/* stats.c - names and sums of the data plane's counters. */
#include "stats.h"

#include <stddef.h>

const char *const dp_drop_names[DP_DROP_COUNT] = {
	[DP_DROP_NO_ROUTE] = "no_route",
	[DP_DROP_MULTICAST] = "multicast",
	[DP_DROP_UNOWNED] = "unowned",
	[DP_DROP_NO_SESSION] = "no_session",
	[DP_DROP_LOOP] = "loop",
	[DP_DROP_BAD_PACKET] = "bad_packet",
	[DP_DROP_TOO_BIG] = "too_big",
	[DP_DROP_BACKLOG] = "backlog",
	[DP_DROP_SEND_ERROR] = "send_error",
	[DP_DROP_KEY_LIMIT] = "key_limit",
	[DP_DROP_BAD_SEGMENT] = "bad_segment",
	[DP_DROP_MALFORMED] = "malformed",
	[DP_DROP_BAD_VERSION] = "bad_version",
	[DP_DROP_UNKNOWN_INDEX] = "unknown_index",
	[DP_DROP_BAD_LANE] = "bad_lane",
	[DP_DROP_NO_WINDOW] = "no_window",
	[DP_DROP_BAD_TAG] = "bad_tag",
	[DP_DROP_REPLAY] = "replay",
	[DP_DROP_BAD_VNI] = "bad_vni",
	[DP_DROP_BAD_SOURCE] = "bad_source",
	[DP_DROP_BAD_DESTINATION] = "bad_destination",
	[DP_DROP_ECN] = "ecn",
	[DP_DROP_TUN_WRITE] = "tun_write",
	[DP_DROP_CONTROL_QUEUE] = "control_queue",
	[DP_DROP_HALF_LOST] = "half_lost",
	[DP_DROP_RELAY_REFUSED] = "relay_refused",
	[DP_DROP_RELAY_BAD] = "relay_bad",
	[DP_DROP_RELAY_NO_HOP] = "relay_no_hop",
	[DP_DROP_RELAY_LIMITED] = "relay_limited",
	[DP_DROP_KERNEL_RX] = "kernel_rx",
	[DP_DROP_KERNEL_TUN] = "kernel_tun",
};

_Static_assert(sizeof(struct dp_counters) % sizeof(uint64_t) == 0, "an array of counters");

void stats_sum(struct dp_counters *to, const struct dp_counters *from)
{
	uint64_t *t = (uint64_t *)to;
	const uint64_t *f = (const uint64_t *)from;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*t); i++)
		t[i] += stat_get(&f[i]);
}
