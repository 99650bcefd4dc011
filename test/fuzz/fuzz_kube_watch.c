/* A whole session with an API server: the first bytes choose what happens next (status lines, ends, time that
 * passes), a length, and so many bytes of the body. The fleet behind it gets what comes out. */
#include <assert.h>
#include <stdint.h>
#include "kube_fleet.h"
#include "kube_watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void drain(struct kube_watch *w, struct kube_fleet *f, ts_t now)
{
	static const enum kube_fleet_result results[] = {
		KUBE_FLEET_OK, KUBE_FLEET_FAILED, KUBE_FLEET_REFUSED, KUBE_FLEET_UNKNOWN};
	struct kube_watch_act wa;
	struct kube_fleet_act fa;

	while (kube_watch_next(w, &wa))
		if (wa.type == KUBE_WATCH_LIST_BEGIN)
			kube_fleet_list_begin(f);
		else if (wa.type == KUBE_WATCH_LIST_END)
			kube_fleet_list_end(f, wa.whole, now);
	for (unsigned i = 0; kube_fleet_next(f, &fa); i++) {
		struct kube_daemon d = {.epoch = 1, .key = "k", .pods_ready = true};

		assert(i < 10000);
		if (fa.type == KUBE_FLEET_ASK)
			kube_fleet_daemon(f, &d, now);
		if (fa.type == KUBE_FLEET_RELIST)
			kube_watch_relist(w, now);
		else
			kube_fleet_result(f, fa.type, results[now.ns / 1000 % 4], now);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const int codes[] = {200, 200, 200, 401, 403, 410, 429, 500};
	struct kube_fleet_conf c = {.node = "a", .port = 6793, .cni_conf = true};
	struct kube_fleet *f = kube_fleet_new(&c);
	struct kube_watch *w = kube_watch_new(1);
	struct kube_watch_change change;
	ts_t now = {1000};

	assert(f && w);
	kube_watch_start(w, now);
	while (len >= 2) {
		unsigned what = data[0] & 3, arg = data[0] >> 2;
		size_t n = data[1] < len - 2 ? data[1] : len - 2;
		const char *p = (const char *)data + 2;

		data += 2 + n;
		len -= 2 + n;
		now.ns += 1 + (what == 3 ? (uint64_t)arg * 1000000000 : arg);
		if (what == 0)
			kube_watch_head(w, codes[arg % 8], (int)arg, now);
		else if (what == 1)
			kube_watch_closed(w, arg & 1 ? "cut" : NULL, now);
		while (kube_watch_feed(w, &p, &n, now, &change))
			if (change.gone)
				kube_fleet_gone(f, change.node, now);
			else
				(void)kube_fleet_node(f, change.node, now);
		assert(n == 0);
		kube_watch_tick(w, now);
		kube_fleet_tick(f, now);
		drain(w, f, now);
		assert(!ts_is_never(kube_watch_deadline(w)));
	}
	kube_watch_free(w);
	kube_fleet_free(f);
	return 0;
}
