/* weftd's answers as weft-kube reads them, whole, odd and damaged; and what it is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kube_weftd.h"
#include "weft/err.h"

struct answer {
	struct ctl_w *w;
	struct ctl_reply r;
	uint8_t *buf;
	size_t len;
};

static void answer_end(struct answer *a)
{
	const uint8_t *data;
	size_t n;

	assert_int_equal(ctl_w_finish(a->w, &data, &n), 0);
	assert_int_equal(ctl_reply_encode(true, NULL, NULL, data, n, &a->buf, &a->len), 0);
	assert_int_equal(ctl_reply_decode(a->buf + CTL_HEADER, a->len - CTL_HEADER, &a->r), 0);
	ctl_w_free(a->w);
}

static void answer_free(struct answer *a)
{
	ctl_reply_free(&a->r);
	free(a->buf);
}

static void write_status(struct ctl_w *w, const char *key, unsigned endpoints)
{
	ctl_w_map(w, NULL);
	ctl_w_map(w, "node");
	ctl_w_str(w, "key", key);
	ctl_w_u64(w, "epoch", 7);
	ctl_w_array(w, "endpoints");
	ctl_w_str(w, NULL, "nonsense");
	ctl_w_u64(w, NULL, 5);
	for (unsigned i = 0; i < endpoints; i++)
		ctl_w_strf(w, NULL, "192.0.2.%u:6793", i + 1);
	ctl_w_end(w);
	ctl_w_end(w);
	ctl_w_end(w);
}

static void status(void **state)
{
	static const char *const bad[] = {"", "with space", "\"", "\x01", "caf\xc3\xa9"};
	struct kube_daemon d = {0};
	struct answer a = {.w = ctl_w_new()};

	write_status(a.w, "abc234", 2);
	answer_end(&a);
	assert_int_equal(kube_weftd_status(a.r.data, &d), 0);
	assert_string_equal(d.key, "abc234");
	assert_int_equal(d.epoch, 7);
	assert_int_equal(d.neps, 2);
	answer_free(&a);
	a = (struct answer){.w = ctl_w_new()};
	memset(&d, 0, sizeof(d));
	write_status(a.w, "k", KUBE_DAEMON_EPS + 5);
	answer_end(&a);
	assert_int_equal(kube_weftd_status(a.r.data, &d), 0);
	assert_int_equal(d.neps, KUBE_DAEMON_EPS);
	answer_free(&a);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		a = (struct answer){.w = ctl_w_new()};
		memset(&d, 0, sizeof(d));
		write_status(a.w, bad[i], 0);
		answer_end(&a);
		assert_int_equal(kube_weftd_status(a.r.data, &d), ERR_MALFORMED);
		assert_string_equal(d.key, "");
		answer_free(&a);
	}
	assert_int_equal(kube_weftd_status(NULL, &d), ERR_MALFORMED);
}

/* Each row of docs/cni.md, "When ADD returns". */
static void pod_network(void **state)
{
	static const struct {
		bool ready, settling, known;
		unsigned prefixes, linked;
		bool pods;
	} cases[] = {
		{true, false, false, 1, 0, true},
		{true, false, true, 1, 2, true},
		{true, false, false, 1, 2, false},
		{true, true, false, 1, 0, false},
		{true, false, false, 0, 0, false},
		{false, false, true, 1, 2, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kube_daemon d = {0};
		struct answer a = {.w = ctl_w_new()};

		ctl_w_map(a.w, NULL);
		ctl_w_bool(a.w, "ready", cases[i].ready);
		ctl_w_bool(a.w, "settling", cases[i].settling);
		ctl_w_bool(a.w, "known_to_peer", cases[i].known);
		ctl_w_u64(a.w, "peers_linked", cases[i].linked);
		ctl_w_array(a.w, "prefixes");
		for (unsigned k = 0; k < cases[i].prefixes; k++)
			ctl_w_u64(a.w, NULL, k);
		ctl_w_end(a.w);
		ctl_w_end(a.w);
		answer_end(&a);
		kube_weftd_pod_network(a.r.data, &d);
		if (d.pods_ready != cases[i].pods)
			fail_msg("case %zu", i);
		answer_free(&a);
	}
	struct kube_daemon d = {0};
	kube_weftd_pod_network(NULL, &d);
	assert_false(d.pods_ready);
}

static void targets(void **state)
{
	struct kube_daemon d = {0};
	struct answer a = {.w = ctl_w_new()};

	ctl_w_map(a.w, NULL);
	ctl_w_array(a.w, "targets");
	ctl_w_u64(a.w, NULL, 7);
	for (unsigned i = 0; i < KUBE_DAEMON_TARGETS + 3; i++) {
		ctl_w_map(a.w, NULL);
		ctl_w_strf(a.w, "text", "192.0.2.%u:1", i);
		ctl_w_str(a.w, "state", i == 0 ? "established" : i == 1 ? "self" : "waiting");
		ctl_w_end(a.w);
	}
	ctl_w_end(a.w);
	ctl_w_end(a.w);
	answer_end(&a);
	kube_weftd_targets(a.r.data, &d);
	assert_int_equal(d.ntargets, KUBE_DAEMON_TARGETS);
	assert_string_equal(d.targets[0].text, "192.0.2.0:1");
	assert_true(d.targets[0].established && d.targets[1].established);
	assert_false(d.targets[2].established);
	answer_free(&a);
}

static void damaged(void **state)
{
	struct answer a = {.w = ctl_w_new()};

	write_status(a.w, "abc", 2);
	answer_end(&a);
	for (size_t bit = 0; bit < 8 * (a.len - CTL_HEADER); bit++) {
		size_t len = a.len - CTL_HEADER;
		uint8_t *copy = malloc(len);
		struct kube_daemon d = {0};
		struct ctl_reply r;

		memcpy(copy, a.buf + CTL_HEADER, len);
		copy[bit / 8] ^= (uint8_t)(1 << (bit % 8));
		if (ctl_reply_decode(copy, len, &r) == 0) {
			int err = kube_weftd_status(r.data, &d);
			assert_int_equal(err == 0, d.key[0] != '\0');
			kube_weftd_pod_network(r.data, &d);
			kube_weftd_targets(r.data, &d);
			(void)kube_weftd_result(&r);
			ctl_reply_free(&r);
		}
		free(copy);
	}
	answer_free(&a);
}

static void requests(void **state)
{
	static const struct {
		enum kube_fleet_act_type type;
		const char *cmd, *arg;
	} cases[] = {
		{KUBE_FLEET_PREFIX_SET, "prefix-set", "prefixes"},
		{KUBE_FLEET_NODE_DELETED, "node-deleted", "node"},
		{KUBE_FLEET_NODE_ADDED, "node-added", "node"},
		{KUBE_FLEET_CONNECT, "connect", "target"},
		{KUBE_FLEET_FORGET, "forget", "what"},
	};
	struct ctl_request rq;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kube_fleet_act a = {.type = cases[i].type, .text = "x"};
		assert_true(kube_weftd_request(&a, &rq));
		assert_string_equal(rq.cmd, cases[i].cmd);
		assert_string_equal(ctl_request_arg(&rq, cases[i].arg), "x");
	}
	struct kube_fleet_act none = {.type = KUBE_FLEET_PATCH_NODE, .text = "x"};
	assert_false(kube_weftd_request(&none, &rq));
	none.type = KUBE_FLEET_RELIST;
	assert_false(kube_weftd_request(&none, &rq));
}

static void results(void **state)
{
	struct ctl_reply r = {.ok = true};

	assert_int_equal(kube_weftd_result(NULL), KUBE_FLEET_FAILED);
	assert_int_equal(kube_weftd_result(&r), KUBE_FLEET_OK);
	r.ok = false;
	strcpy(r.error, "this weftd (0.1.0) has no command 'prefix-set'");
	assert_int_equal(kube_weftd_result(&r), KUBE_FLEET_UNKNOWN);
	strcpy(r.error, "outside the ranges");
	assert_int_equal(kube_weftd_result(&r), KUBE_FLEET_REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status),
		cmocka_unit_test(pod_network),
		cmocka_unit_test(targets),
		cmocka_unit_test(damaged),
		cmocka_unit_test(requests),
		cmocka_unit_test(results),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
