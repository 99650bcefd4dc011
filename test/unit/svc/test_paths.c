/* The path driver when memory or system calls fail: a call that fails leaves things as they were, and the
 * next one that does not fail mends them. Two real sessions cores, a link that the test carries, and a
 * clock that it turns.
 * wrap: loop_now kern_underlay kern_interface_mtu kern_widest kern_host_addrs dp_send dp_send_probe dp_send_way */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "daemon_int.h"
#include "fault.h"
#include "paths_int.h"

#define FLYING_MAX 256
#define STEP_MS    5
#define MTU        1500

ts_t __wrap_loop_now(void);
int __wrap_kern_underlay(struct kern *k, const struct ip *to, unsigned *mtu, char *ifname);
int __wrap_kern_interface_mtu(struct kern *k, const char *ifname, unsigned *mtu);
int __wrap_kern_widest(
	struct kern *k, const char *const *others, size_t n, unsigned *mtu, char *ifname);
int __wrap_kern_host_addrs(struct kern *k, struct ip *out, size_t max);
int __wrap_dp_send(struct dp *dp, const struct ep *to, const struct ip *local, uint8_t via,
	const void *buf, size_t len);
int __wrap_dp_send_probe(struct dp *dp, const struct ep *to, const struct ip *local, uint8_t via,
	const void *buf, size_t len);
int __wrap_dp_send_way(
	struct dp *dp, const struct dp_way *way, const void *buf, size_t len, bool probe);

struct flying {
	size_t len;
	uint8_t buf[2048];
};

static struct daemon *d;
static ts_t now;
static struct identity peer_id;
static struct sess *peer_sess;
static struct flying to_peer[FLYING_MAX];
static unsigned nflying, sends, refused;
static const struct ep peer_ep = {{{192, 0, 2, 2}, IP_V4}, 6793, 0};
static const struct ep our_ep = {{{192, 0, 2, 1}, IP_V4}, 6793, 0};
static bool peer_mute; /* its path core answers nothing */

/* What fails. */
static int send_err, underlay_err, addrs_err;
static size_t largest; /* datagram that the interface takes; 0: any */

/* --- in place of the clock, the kernel, the socket --- */

ts_t __wrap_loop_now(void)
{
	return now;
}

int __wrap_kern_underlay(struct kern *k, const struct ip *to, unsigned *mtu, char *ifname)
{
	(void)k;
	(void)to;
	if (underlay_err)
		return underlay_err;
	*mtu = MTU;
	memcpy(ifname, "eth0", 5);
	return 0;
}

int __wrap_kern_interface_mtu(struct kern *k, const char *ifname, unsigned *mtu)
{
	(void)k;
	assert_string_equal(ifname, "eth0");
	*mtu = MTU;
	return underlay_err;
}

int __wrap_kern_widest(
	struct kern *k, const char *const *others, size_t n, unsigned *mtu, char *ifname)
{
	(void)k;
	(void)others;
	(void)n;
	(void)mtu;
	(void)ifname;
	return underlay_err ? underlay_err : ERR_NOT_FOUND;
}

int __wrap_kern_host_addrs(struct kern *k, struct ip *out, size_t max)
{
	(void)k;
	(void)max;
	if (addrs_err)
		return addrs_err;
	out[0] = our_ep.ip;
	return 1;
}

static int put(const void *buf, size_t len)
{
	sends++;
	if (send_err)
		return send_err;
	if (largest && len > largest) {
		refused++;
		return -EMSGSIZE;
	}
	if (len == 0 || len > sizeof(to_peer[0].buf) || nflying == FLYING_MAX)
		return 0;
	memcpy(to_peer[nflying].buf, buf, len);
	to_peer[nflying++].len = len;
	return 0;
}

int __wrap_dp_send(struct dp *dp, const struct ep *to, const struct ip *local, uint8_t via,
	const void *buf, size_t len)
{
	(void)dp;
	(void)to;
	(void)local;
	(void)via;
	return put(buf, len);
}

int __wrap_dp_send_probe(struct dp *dp, const struct ep *to, const struct ip *local, uint8_t via,
	const void *buf, size_t len)
{
	return __wrap_dp_send(dp, to, local, via, buf, len);
}

int __wrap_dp_send_way(
	struct dp *dp, const struct dp_way *way, const void *buf, size_t len, bool probe)
{
	(void)dp;
	(void)way;
	(void)probe;
	return put(buf, len);
}

/* --- what mesh.c does, as far as paths go --- */

static void on_sess(const struct sess_act *a)
{
	struct peer *p = peers_session(d, a->peer);

	if (a->type == SESS_KEY_ADD && !p && (p = peers_need(d, &a->key)))
		peers_bind(d, p, a->peer);
	if (a->type == SESS_SEND) {
		paths_send(d, a);
	} else if (a->type == SESS_UP && p) {
		p->up = true;
		if (!paths_up(d, p, a))
			sess_disconnect(d->sess, &a->key, now);
	} else if (a->type == SESS_ENDPOINT && p) {
		paths_endpoint(d, p, a);
	} else if (a->type == SESS_RECV && a->buf[0] == WIRE_CTL_PATH) {
		paths_recv(d, a);
	} else if (a->type == SESS_DIAL_FAILED) {
		paths_dial_failed(d, &a->key, &a->ep);
	} else if (a->type == SESS_DOWN) {
		paths_down(d, &a->key);
		if (!p)
			return;
		p->up = false;
		peers_bind(d, p, 0);
		peers_settle(d, p);
	}
}

static void drain(void)
{
	struct sess_act a;
	bool more;

	do {
		more = false;
		while (sess_next(d->sess, &a)) {
			more = true;
			on_sess(&a);
		}
		more |= paths_drain(d);
	} while (more);
}

/* The peer's driver: probes are answered. */
static void on_peer(const struct sess_act *a)
{
	const struct ip any = {.family = IP_NONE};
	uint8_t reply[64], copy[2048];

	if (a->type == SESS_SEND && a->len <= sizeof(copy)) {
		memcpy(copy, a->buf, a->len);
		(void)sess_recv(d->sess, &peer_ep, &any, copy, a->len, now);
	} else if (a->type == SESS_RECV && !peer_mute && a->len > 11 &&
		   a->buf[0] == WIRE_CTL_PATH && a->buf[1] == PATH_MSG_PROBE) {
		memcpy(reply, a->buf + 1, 11);
		reply[0] = PATH_MSG_REPLY;
		(void)sess_send(peer_sess, a->peer, WIRE_CTL_PATH, reply, 11, now);
	}
}

static void carry(void)
{
	const struct ip any = {.family = IP_NONE};
	struct sess_act a;

	for (unsigned i = 0; i < nflying; i++)
		(void)sess_recv(peer_sess, &our_ep, &any, to_peer[i].buf, to_peer[i].len, now);
	nflying = 0;
	while (sess_next(peer_sess, &a))
		on_peer(&a);
}

static void run(int64_t ms)
{
	for (ts_t end = ts_add(now, DUR_MS(ms)); ts_before(now, end);) {
		now = ts_add(now, DUR_MS(STEP_MS));
		if (ts_due(sess_deadline(d->sess), now))
			sess_tick(d->sess, now);
		if (ts_due(sess_deadline(peer_sess), now))
			sess_tick(peer_sess, now);
		if (ts_due(paths_deadline(d), now))
			paths_tick(d, now);
		drain();
		carry();
		drain();
	}
}

/* --- */

static struct sess *sess_of(const struct identity *id, const struct secret_keys *keys)
{
	struct sess_cfg s = {.id = id,
		.secrets = keys,
		.nsecrets = 1,
		.suites = WIRE_SUITE_BIT(WIRE_SUITE_CHACHA20_POLY1305),
		.lanes = 2,
		.seed = id->pub.b[0],
		.wall_unix_ns = UINT64_C(1790000000000000000)};
	struct sess *x;

	sess_tune_default(&s.tune);
	x = sess_new(&s, now);
	assert_non_null(x);
	return x;
}

static int setup(void **state)
{
	const struct secret secret = {{1, 2, 3}};
	struct dp_cfg cfg = {.workers = 1};
	struct gossip_cfg g = {.epoch = 1, .seed = 1, .name = "us", .version = "1"};

	(void)state;
	log_set_level(LOG_LVL_ERROR);
	now = (ts_t){DUR_SEC(1000).ns};
	send_err = underlay_err = addrs_err = 0;
	largest = 0;
	nflying = sends = refused = 0;
	peer_mute = false;
	d = calloc(1, sizeof(*d));
	assert_non_null(d);
	d->conf = calloc(1, sizeof(*d->conf));
	assert_non_null(d->conf);
	d->conf->relay = true;
	d->workers = 1;
	identity_generate(&d->id);
	identity_generate(&peer_id);
	secret_derive(&secret, &d->secrets[0]);
	secret_cluster_id(&secret, &d->cluster);
	cfg.label = dp_label(&d->id.pub);
	cfg.relay = true;
	assert_int_equal(ip_parse("127.0.0.1", &cfg.listen.ip), 0);
	assert_int_equal(dp_new(&cfg, &d->dp), 0);
	prng_seed(&d->prng, 1);
	assert_int_equal(peers_new(d, &d->peers), 0);
	assert_int_equal(rtab_new(d, &d->rtab), 0);
	d->loop = loop_new();
	assert_non_null(d->loop);
	d->sess = sess_of(&d->id, &d->secrets[0]);
	peer_sess = sess_of(&peer_id, &d->secrets[0]);
	g.id = &d->id;
	g.cluster = d->cluster;
	d->gossip = gossip_new(&g, now);
	assert_non_null(d->gossip);
	underlay_look(d);
	assert_int_equal(paths_new(d, &d->paths), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	paths_free(d->paths);
	gossip_free(d->gossip);
	sess_free(d->sess);
	sess_free(peer_sess);
	loop_free(d->loop);
	rtab_free(d->rtab);
	peers_free(d->peers);
	dp_free(d->dp);
	free(d->conf);
	free(d);
	return 0;
}

static enum path_state state_of(const struct node_key *k)
{
	struct path_info info;

	return path_get(d->paths->core, k, &info) == 0 ? info.state : PATH_ST_IDLE;
}

static unsigned mtu_of(const struct node_key *k)
{
	struct path_info info;

	assert_int_equal(path_get(d->paths->core, k, &info), 0);
	return info.mtu;
}

/* A session with the peer, as a wish of gossip's leads to one. */
static void connect_peer(void)
{
	paths_want(d, &peer_id.pub, &peer_ep, 1);
	drain();
	run(3000);
	assert_int_equal(state_of(&peer_id.pub), PATH_ST_DIRECT);
}

/* --- memory --- */

static void making_it(void **state)
{
	unsigned failed = 0;

	(void)state;
	FAULT_EACH(n)
	{
		struct paths *x = NULL;
		int e = paths_new(d, &x);

		assert_true(e == 0 || e == ERR_NOMEM);
		assert_true(e ? !x : x != NULL);
		failed += e != 0;
		paths_free(x);
	}
	assert_true(failed > 3);
}

/* A wish that could not be noted is none; the next one is. */
static void a_wish(void **state)
{
	(void)state;
	FAULT_EACH(n)
	{
		paths_want(d, &peer_id.pub, &peer_ep, 1);
		drain();
		/* Anew next time, whatever came of it. */
		sess_disconnect(d->sess, &peer_id.pub, now);
		path_node_del(d->paths->core, &peer_id.pub, now);
		drain();
		nflying = 0;
	}
	connect_peer();
}

/* Whatever allocation fails while a session comes up: it stands, or it is ended; none is half there. */
static void a_session(void **state)
{
	unsigned direct = 0;

	(void)state;
	for (unsigned n = 1; n < 400; n++) {
		bool reached, up;

		fault_arm(n);
		paths_want(d, &peer_id.pub, &peer_ep, 1);
		paths_hasten(d, &peer_id.pub); /* it may be waiting for its next round */
		drain();
		run(4000);
		reached = !fault_disarm();
		up = state_of(&peer_id.pub) == PATH_ST_DIRECT;
		direct += up;
		assert_int_equal(up, sess_peer_find(d->sess, &peer_id.pub) != 0 &&
					     peers_find(d, &peer_id.pub) &&
					     peers_find(d, &peer_id.pub)->up);
		sess_disconnect(d->sess, &peer_id.pub, now);
		sess_disconnect(peer_sess, &d->id.pub, now);
		run(200);
		if (reached && up)
			break;
	}
	assert_true(direct > 0);
	run(10000);
	connect_peer();
}

/* What came by relays while there was no memory for the way back: it is taken, and answered once there is. */
static void a_way_back(void **state)
{
	struct node_key relay = {{7}};
	struct peer *p = peers_need(d, &relay);
	struct dp_way back = {.n = 1, .label = {42}};
	uint8_t noise[64] = {0};

	(void)state;
	assert_non_null(p);
	p->routes = 1;
	back.first = p->handle;
	FAULT_EACH(n)
	{
		uint64_t label = 42 + n;

		back.label[0] = label;
		paths_relayed(d, &back, noise, sizeof(noise));
		drain();
	}
	for (uint64_t i = 0; i < 3 * LIM_PATH_WAYS; i++) {
		back.label[0] = 1000 + i;
		paths_relayed(d, &back, noise, sizeof(noise));
	}
	assert_int_equal(path_backs_count(d->paths->backs), LIM_PATH_WAYS);
	drain();
	p->routes = 0;
}

/* The look through what gossip knows, each time another allocation failing. */
static void a_refresh(void **state)
{
	struct gossip_node_info info;

	(void)state;
	connect_peer();
	assert_int_equal(gossip_link_up(d->gossip, &peer_id.pub, &peer_ep, now), 0);
	FAULT_EACH(n)
	{
		paths_refresh(d);
		paths_second(d);
		paths_node(d, &peer_id.pub);
		drain();
	}
	assert_int_equal(gossip_node_get(d->gossip, &peer_id.pub, &info), 0);
	assert_int_equal(state_of(&peer_id.pub), PATH_ST_DIRECT);
	run(1000);
	assert_non_null(paths_find(d->paths, &peer_id.pub));
}

/* --- system calls --- */

static void traffic(int64_t ms)
{
	struct peer *p = peers_find(d, &peer_id.pub);

	assert_non_null(p);
	for (int64_t t = 0; t < ms; t += 50) {
		(void)path_traffic(d->paths->core, &peer_id.pub, 0, now, TS_ZERO, now);
		run(50);
	}
}

/* The interface takes less than its MTU says: what it refuses is an answer. */
static void sizes_that_are_refused(void **state)
{
	(void)state;
	largest = 1372; /* and the outer headers: 1400 */
	/* Each size once: one that is merely lost would be tried three times. */
	connect_peer();
	assert_in_range(refused, 1, 8);
	assert_int_equal(mtu_of(&peer_id.pub), 1400);
	/* Nobody says that it takes more now: larger ones are tried each 600 s, while there is data. */
	largest = 0;
	for (int i = 0; i < 140 && mtu_of(&peer_id.pub) < MTU; i++)
		traffic(10000);
	assert_int_equal(mtu_of(&peer_id.pub), MTU);
}

/* Nothing can be sent for a while, for whatever reason: the way is found dead; after that, alive. */
static void sends_that_fail(void **state)
{
	static const int errs[] = {
		-ENOBUFS, -EPERM, -ENETUNREACH, -ENETDOWN, ERR_NOT_FOUND, ERR_LIMIT, -EMSGSIZE};

	(void)state;
	connect_peer();
	run(3000);
	for (unsigned i = 0; i < sizeof(errs) / sizeof(errs[0]); i++) {
		send_err = errs[i];
		traffic(3000);
		assert_int_equal(state_of(&peer_id.pub), PATH_ST_LOST);
		send_err = 0;
		traffic(3000);
		assert_int_equal(state_of(&peer_id.pub), PATH_ST_DIRECT);
	}
	assert_true(sends > 0);
}

/* The kernel does not say what there is: what was known stays. */
static void a_kernel_that_says_nothing(void **state)
{
	struct paths *x = d->paths;

	(void)state;
	connect_peer();
	underlay_look(d);
	paths_refresh(d);
	drain();
	assert_int_equal(x->nlocals, 1);
	assert_int_equal(d->underlay.mtu, MTU);
	underlay_err = ERR_NOT_FOUND;
	addrs_err = -ENOBUFS;
	underlay_look(d);
	paths_refresh(d);
	drain();
	assert_int_equal(x->nlocals, 1);
	assert_int_equal(d->underlay.mtu, MTU);
	assert_int_equal(state_of(&peer_id.pub), PATH_ST_DIRECT);
	underlay_err = addrs_err = 0;
	paths_refresh(d);
	run(1000);
	assert_int_equal(state_of(&peer_id.pub), PATH_ST_DIRECT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(making_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_wish, setup, teardown),
		cmocka_unit_test_setup_teardown(a_session, setup, teardown),
		cmocka_unit_test_setup_teardown(a_way_back, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refresh, setup, teardown),
		cmocka_unit_test_setup_teardown(sizes_that_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(sends_that_fail, setup, teardown),
		cmocka_unit_test_setup_teardown(a_kernel_that_says_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
