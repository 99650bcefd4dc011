/* Four workers on each side: flows stay in order in both directions at once, and tables may be changed
 * in every way while traffic runs. Meant for the thread sanitizer (WEFT_TSAN), useful without. */
#include "dprig.h"

#include <pthread.h>
#include "flow.h"
#include "prng.h"

#define WORKERS       4
#define FLOWS         12
#define PER_FLOW      400
#define OUTSTANDING   256
#define CHURN_ROUNDS  150
#define DEMAND_ROUNDS 100

static uint32_t prng_u32(struct prng *p, uint32_t n)
{
	return (uint32_t)prng_below(p, n);
}

/* One side's applications: writes its flows to the queues that steering would choose, reads what comes
 * for it. */
struct app {
	struct rig *r;
	int side;
	uint32_t stop;   /* atomic */
	uint64_t sent;   /* atomic */
	uint64_t got;    /* atomic */
	uint64_t broken; /* atomic: out of order, or altered */
	bool forever;    /* send until told to stop, and don't look at the order */
	bool lossy;      /* packets may be missing, but not come late */
	struct app *other;
	uint32_t next[FLOWS], seen[FLOWS];
};

static struct mk flow_packet(int from, unsigned flow, uint32_t seq)
{
	struct mk m = rig_packet(from, flow & 1 ? 6 : 4, true);

	m.sport = (uint16_t)(4000 + flow);
	m.dport = 80;
	m.payload = 700 + flow;
	m.seq = seq * m.payload;
	m.fill = m.seq;
	m.flags = 0x10;
	return m;
}

static void app_send(struct app *a, unsigned flow)
{
	struct mk m = flow_packet(a->side, flow, a->next[flow]);
	uint8_t buf[TUN_READ_MAX] = {0};
	size_t len = mk_build(&m, buf + TUN_VNET_HDR);
	struct pkt_info pi;
	unsigned q;

	if (pkt_parse(&pi, buf + TUN_VNET_HDR, len) < 0)
		abort();
	q = flow_queue(flow_hash(&pi), WORKERS);
	if (write(a->r->tun[a->side][q], buf, TUN_VNET_HDR + len) < 0)
		return;
	a->next[flow]++;
	__atomic_fetch_add(&a->sent, 1, __ATOMIC_RELAXED);
}

/* Judge what came: a run of whole segments of one flow, the next ones in order. */
static void app_take(struct app *a, const struct virtio_net_hdr *vh, uint8_t *pkt, size_t len)
{
	struct pkt_info pi;
	unsigned flow;
	uint32_t each, seq, n;
	struct mk m;

	if (pkt_parse(&pi, pkt, len) < 0 || !pi.l4_ok || pi.sport < 4000 ||
		pi.sport >= 4000 + FLOWS) {
		__atomic_fetch_add(&a->broken, 1, __ATOMIC_RELAXED);
		return;
	}
	flow = pi.sport - 4000u;
	each = 700 + flow;
	n = (pi.len - pi.payload_off) / each;
	memcpy(&seq, pkt + pi.l4_off + 4, 4);
	seq = ntohl(seq) / each;
	__atomic_fetch_add(&a->got, n, __ATOMIC_RELAXED);
	if (a->forever)
		return;
	m = flow_packet(!a->side, flow, seq);
	m.payload = n * each;
	{
		uint8_t want[TUN_READ_MAX];
		size_t want_len = mk_build(&m, want);

		if ((a->lossy ? seq < a->seen[flow] : seq != a->seen[flow]) || want_len != len ||
			memcmp(want + pi.payload_off, pkt + pi.payload_off, n * each) != 0)
			__atomic_fetch_add(&a->broken, 1, __ATOMIC_RELAXED);
	}
	a->seen[flow] = seq + n;
}

static void *app_run(void *arg)
{
	struct app *a = arg;
	struct prng p;

	prng_seed(&p, (uint64_t)a->side + 1);
	while (!__atomic_load_n(&a->stop, __ATOMIC_ACQUIRE)) {
		uint64_t sent = __atomic_load_n(&a->sent, __ATOMIC_RELAXED);
		uint64_t got = __atomic_load_n(&a->other->got, __ATOMIC_RELAXED);
		unsigned flow = prng_u32(&p, FLOWS);
		struct virtio_net_hdr vh;
		uint8_t pkt[TUN_READ_MAX];
		size_t len;

		if (a->forever || a->lossy ||
			(sent < got + OUTSTANDING && a->next[flow] < PER_FLOW))
			app_send(a, flow);
		while ((len = rig_tun_read(a->r, a->side, &vh, pkt, 0)) > 0)
			app_take(a, &vh, pkt, len);
	}
	return NULL;
}

static void in_order(void **state)
{
	struct dp_cfg c = rig_cfg(WORKERS);
	struct rig *r = rig_new(&c, NULL);
	struct app a[2] = {{.r = r, .side = 0}, {.r = r, .side = 1}};
	pthread_t t[2];

	for (int s = 0; s < 2; s++) {
		a[s].other = &a[!s];
		assert_int_equal(pthread_create(&t[s], NULL, app_run, &a[s]), 0);
	}
	for (int s = 0; s < 2; s++)
		RIG_UNTIL(r, __atomic_load_n(&a[s].got, __ATOMIC_RELAXED) >= FLOWS * PER_FLOW);
	for (int s = 0; s < 2; s++) {
		__atomic_store_n(&a[s].stop, 1, __ATOMIC_RELEASE);
		pthread_join(t[s], NULL);
		assert_int_equal(a[s].broken, 0);
		assert_int_equal(a[s].got, FLOWS * PER_FLOW);
	}
	rig_free(r);
}

/* ---- changes under load ---- */

static void churn_peers(struct rig *r, int s, struct prng *p)
{
	uint32_t h = 10 + prng_u32(p, 20);
	struct ep to = rig_ep(r, !s);
	struct dp_key k = rig_dp_key(s, WORKERS);

	if (dp_peer_add(r->dp[s], h) == ERR_EXISTS) {
		dp_peer_del(r->dp[s], h);
		return;
	}
	assert_int_equal(dp_peer_endpoint(r->dp[s], h, &to, NULL), 0);
	k.local_index = 50000 + h;
	assert_int_equal(dp_key_add(r->dp[s], h, &k), 0);
	dp_key_use(r->dp[s], h, k.local_index);
}

static void churn_routes(struct rig *r, int s, struct prng *p)
{
	struct ip ip = ip_v4(0x0a00c800 + prng_u32(p, 256));
	struct pfx x;

	assert_int_equal(pfx_make(&ip, 24 + prng_u32(p, 9), &x), 0);
	if (dp_route_del(r->dp[s], RIG_VNI, &x) == ERR_NOT_FOUND)
		assert_int_equal(
			dp_route_set(r->dp[s], RIG_VNI, &x, DP_ROUTE_PEER, 10 + prng_u32(p, 20)),
			0);
}

/* Both sides add a key, seal with it, and forget the one before. */
static void churn_keys(struct rig *r, unsigned round)
{
	for (int s = 0; s < 2; s++) {
		struct dp_key k = rig_dp_key(s, WORKERS);

		k.local_index = 2000 + 2 * round + (unsigned)s;
		k.remote_index = 2000 + 2 * round + (unsigned)!s;
		assert_int_equal(dp_key_add(r->dp[s], RIG_PEER, &k), 0);
	}
	for (int s = 0; s < 2; s++)
		dp_key_use(r->dp[s], RIG_PEER, 2000 + 2 * round + (unsigned)s);
	for (int s = 0; s < 2 && round > 1; s++)
		dp_key_del(r->dp[s], 2000 + 2 * (round - 2) + (unsigned)s);
}

static void churn_segment(struct rig *r, int s)
{
	static const char junk[] = "0123456789\x45 no packet at all";
	int ours[WORKERS];

	rig_segment(r, s, 77, ours);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(write(ours[i], junk, sizeof(junk)), sizeof(junk));
	assert_int_equal(dp_segment_del(r->dp[s], 77), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		close(ours[i]);
}

static void ignore_confirmed(void *ctx, uint32_t index)
{
}

static void ignore_link(void *ctx, const struct dp_link *l)
{
}

static void ignore_traffic(void *ctx, uint32_t peer, ts_t last_rx, ts_t last_tx)
{
}

static void churn(void **state)
{
	struct dp_cfg c = rig_cfg(WORKERS);
	struct rig *r;
	struct app a[2] = {{.side = 0, .forever = true}, {.side = 1, .forever = true}};
	struct dp_ops ops = rig_ops;
	const uint64_t seed = 4711;
	struct prng p;
	pthread_t t[2];

	print_message("seed %lu\n", (unsigned long)seed);
	prng_seed(&p, seed);
	ops.key_confirmed = ignore_confirmed;
	c.side_port_lo = 23500;
	c.side_port_hi = 23590;
	r = rig_new(&c, NULL);
	for (int s = 0; s < 2; s++) {
		a[s].r = r;
		a[s].other = &a[!s];
		assert_int_equal(pthread_create(&t[s], NULL, app_run, &a[s]), 0);
	}
	for (unsigned round = 0; round < CHURN_ROUNDS; round++) {
		int s = (int)prng_u32(&p, 2);
		struct rig_side x = {r, s};
		struct ep to = rig_ep(r, !s);
		struct dp_counters now;

		churn_peers(r, s, &p);
		churn_routes(r, s, &p);
		if (round % 4 == 0)
			churn_keys(r, round / 4);
		if (round % 8 == 0)
			churn_segment(r, s);
		dp_peer_side_port(
			r->dp[s], RIG_PEER, (uint8_t)(1 + prng_u32(&p, WORKERS)), round & 1);
		assert_int_equal(dp_peer_endpoint(r->dp[s], RIG_PEER, &to, NULL), 0);
		dp_peer_pmtu(r->dp[s], RIG_PEER, 1400 + prng_u32(&p, 100));
		dp_poll(r->dp[s], 16, &ops, &x);
		dp_traffic(r->dp[s], ignore_traffic, NULL);
		dp_links(r->dp[s], ignore_link, NULL);
		dp_counters(r->dp[s], &now);
		poll(NULL, 0, 5);
	}
	for (int s = 0; s < 2; s++) {
		__atomic_store_n(&a[s].stop, 1, __ATOMIC_RELEASE);
		pthread_join(t[s], NULL);
	}
	for (int s = 0; s < 2; s++) {
		struct dp_counters end = rig_counters(r, s);

		assert_true(end.rx_packets > 1000);
		assert_int_equal(end.drops[DP_DROP_BAD_TAG], 0);
		assert_int_equal(end.drops[DP_DROP_MALFORMED], 0);
		assert_int_equal(end.drops[DP_DROP_BAD_SOURCE], 0);
		assert_int_equal(end.drops[DP_DROP_NO_SESSION], 0);
		assert_int_equal(end.drops[DP_DROP_REPLAY], 0);
	}
	rig_free(r);
}

/* Side 0 loses its key, and now and then all it knows of the peer, while its workers send; what waited
 * goes out when the next key is there. Packets get lost at the bounds, but none overtakes another. */
static void on_demand(void **state)
{
	struct dp_cfg c = rig_cfg(WORKERS);
	struct app a[2] = {{.side = 0, .lossy = true}, {.side = 1, .lossy = true}};
	struct dp_ops ops = rig_ops;
	struct rig *r = rig_new(&c, NULL);
	struct ep to = rig_ep(r, 1);
	uint32_t current = rig_index(0);
	pthread_t t[2];

	ops.key_confirmed = ignore_confirmed;
	for (int s = 0; s < 2; s++) {
		a[s].r = r;
		a[s].other = &a[!s];
	}
	assert_int_equal(pthread_create(&t[0], NULL, app_run, &a[0]), 0);
	assert_int_equal(pthread_create(&t[1], NULL, app_run, &a[1]), 0);
	for (unsigned round = 0; round < DEMAND_ROUNDS; round++) {
		struct rig_side x = {r, 0};
		struct dp_key k[2] = {rig_dp_key(0, WORKERS), rig_dp_key(1, WORKERS)};

		dp_key_del(r->dp[0], current);
		if (round % 8 == 3) {
			dp_peer_del(r->dp[0], RIG_PEER);
			assert_int_equal(dp_peer_add(r->dp[0], RIG_PEER), 0);
			rig_routes(r, 0, RIG_VNI);
			assert_int_equal(dp_peer_endpoint(r->dp[0], RIG_PEER, &to, NULL), 0);
		}
		poll(NULL, 0, 3);
		dp_poll(r->dp[0], 16, &ops, &x);
		for (unsigned s = 0; s < 2; s++) {
			k[s].local_index = 3000 + 2 * round + s;
			k[s].remote_index = 3000 + 2 * round + !s;
			assert_int_equal(dp_key_add(r->dp[s], RIG_PEER, &k[s]), 0);
		}
		current = k[0].local_index;
		dp_key_use(r->dp[0], RIG_PEER, current);
		dp_key_use(r->dp[1], RIG_PEER, k[1].local_index);
		poll(NULL, 0, 3);
		x.s = 1;
		dp_poll(r->dp[1], 16, &ops, &x);
	}
	for (int s = 0; s < 2; s++) {
		__atomic_store_n(&a[s].stop, 1, __ATOMIC_RELEASE);
		pthread_join(t[s], NULL);
		assert_int_equal(a[s].broken, 0);
	}
	assert_true(r->wanted[0] > 0);
	assert_true(rig_counters(r, 1).rx_packets > 100);
	assert_int_equal(rig_counters(r, 1).drops[DP_DROP_BAD_TAG], 0);
	rig_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order),
		cmocka_unit_test(churn),
		cmocka_unit_test(on_demand),
	};

	return cmocka_run_group_tests_name("dp/threads", tests, NULL, NULL);
}
