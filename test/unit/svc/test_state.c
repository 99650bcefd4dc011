/* The start counter on the disk: near its end, damaged, beyond what a node comes to. No file keeps a node from
 * starting, and none makes the counter wrap. And the nodes that a later run calls: whoever they were reached by.
 * wrap: daemon_warn peers_next peers_find gossip_node_next recall_next */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "weft/log.h"
#include "daemon_int.h"
#include "file.h"

void __wrap_daemon_warn(struct daemon *d, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
bool __wrap_peers_next(const struct daemon *dd, uint32_t *it, struct peer **out);
struct peer *__wrap_peers_find(const struct daemon *dd, const struct node_key *key);
bool __wrap_gossip_node_next(const struct gossip *g, size_t *it, struct gossip_node_info *out);
bool __wrap_recall_next(const struct daemon *dd, size_t *it, struct node_key *key, struct ep *ep);

#define NODES_MAX 16

static struct daemon *d;
static char path[PATH_MAX + 8], warned[512];
static unsigned warnings;

void __wrap_daemon_warn(struct daemon *dd, const char *fmt, ...)
{
	va_list ap;

	assert_ptr_equal(dd, d);
	va_start(ap, fmt);
	vsnprintf(warned, sizeof(warned), fmt, ap);
	va_end(ap);
	warnings++;
}

/* --- who is known: peers, nodes of the records --- */

static struct peer peers[NODES_MAX];
static struct gossip_node_info nodes[NODES_MAX];
static size_t npeers, nnodes;

bool __wrap_peers_next(const struct daemon *dd, uint32_t *it, struct peer **out)
{
	assert_ptr_equal(dd, d);
	if (*it == npeers)
		return false;
	*out = &peers[(*it)++];
	return true;
}

struct peer *__wrap_peers_find(const struct daemon *dd, const struct node_key *key)
{
	assert_ptr_equal(dd, d);
	for (size_t i = 0; i < npeers; i++)
		if (node_key_eq(&peers[i].key, key))
			return &peers[i];
	return NULL;
}

bool __wrap_gossip_node_next(const struct gossip *g, size_t *it, struct gossip_node_info *out)
{
	(void)g;
	if (*it == nnodes)
		return false;
	*out = nodes[(*it)++];
	return true;
}

bool __wrap_recall_next(const struct daemon *dd, size_t *it, struct node_key *key, struct ep *ep)
{
	(void)it;
	(void)key;
	(void)ep;
	assert_ptr_equal(dd, d);
	return false;
}

static struct node_key key_of(uint8_t k)
{
	return (struct node_key){.b = {k}};
}

static struct peer *linked(uint8_t k, const struct ep *at)
{
	struct peer *p = &peers[npeers++];

	*p = (struct peer){.key = key_of(k), .up = true};
	if (at)
		p->ep = *at;
	return p;
}

static struct gossip_node_info *member(uint8_t k, const struct ep *eps, size_t n)
{
	struct gossip_node_info *x = &nodes[nnodes++];

	*x = (struct gossip_node_info){.key = key_of(k), .up = true, .eps = eps, .neps = n};
	return x;
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	d = calloc(1, sizeof(*d));
	assert_non_null(d);
	d->conf = calloc(1, sizeof(*d->conf));
	assert_non_null(d->conf);
	snprintf(d->conf->state_dir, sizeof(d->conf->state_dir), "%s/weft-state-XXXXXX",
		tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(d->conf->state_dir));
	snprintf(path, sizeof(path), "%s/epoch", d->conf->state_dir);
	warnings = 0;
	warned[0] = '\0';
	npeers = nnodes = 0;
	return 0;
}

static int teardown(void **state)
{
	char aside[PATH_MAX + 16];

	(void)unlink(path);
	snprintf(aside, sizeof(aside), "%s/peers", d->conf->state_dir);
	(void)unlink(aside);
	free(d->saved_peers);
	for (int i = 1; i <= 8; i++) {
		snprintf(aside, sizeof(aside), "%s.bad-%d", path, i);
		(void)unlink(aside);
	}
	assert_int_equal(rmdir(d->conf->state_dir), 0);
	free(d->conf);
	free(d);
	return 0;
}

static void put(uint64_t epoch)
{
	uint8_t buf[8];
	struct wr w;

	wr_init(&w, buf, sizeof(buf));
	wr_u64(&w, epoch);
	assert_int_equal(file_state_write(path, "epoch", 1, buf, sizeof(buf)), 0);
}

static uint64_t get(void)
{
	uint16_t format;
	uint64_t epoch;
	char *buf;
	size_t len;
	struct rd r;

	assert_int_equal(file_state_read(path, "epoch", 1, &format, &buf, &len), 0);
	rd_init(&r, buf, len);
	epoch = rd_u64(&r);
	free(buf);
	return epoch;
}

static void starts_at(uint64_t epoch)
{
	assert_int_equal(state_next_epoch(d), 0);
	assert_int_equal(d->epoch, epoch);
	assert_int_equal(get(), epoch);
}

static void test_counts(void **state)
{
	starts_at(1);
	starts_at(2);
	assert_int_equal(state_jump_epoch(d, 40), 0);
	assert_int_equal(get(), 40);
	assert_int_equal(state_jump_epoch(d, 7), 0);
	assert_int_equal(d->epoch, 41);
	assert_int_equal(warnings, 0);
}

/* Up to the highest that others believe; then it begins again, and says so. */
static void test_end(void **state)
{
	put(LIM_EPOCH - 2);
	starts_at(LIM_EPOCH - 1);
	starts_at(LIM_EPOCH);
	assert_int_equal(warnings, 0);
	starts_at(1);
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(warned, "start counter"));
	assert_non_null(strstr(warned, "epoch.bad-1"));
	starts_at(2);
	assert_int_equal(warnings, 1);
}

static void test_beyond(void **state)
{
	const uint64_t far[] = {LIM_EPOCH + 1, UINT64_MAX - 1, UINT64_MAX};

	for (unsigned i = 0; i < 3; i++) {
		put(far[i]);
		starts_at(1);
		assert_int_equal(warnings, i + 1);
		/* Nobody asks for these, and if: what is there stays. */
		assert_int_equal(state_jump_epoch(d, far[i]), ERR_RANGE);
		assert_int_equal(get(), 1);
	}
	assert_int_equal(state_jump_epoch(d, LIM_EPOCH), 0);
	assert_int_equal(get(), LIM_EPOCH);
	assert_int_equal(state_jump_epoch(d, 9), ERR_RANGE);
	/* Of what was set aside as bad, the jump is counted from the start. */
	put(UINT64_MAX);
	starts_at(1);
	assert_int_equal(state_jump_epoch(d, 9), 0);
	assert_int_equal(get(), 9);
}

static void test_torn(void **state)
{
	FILE *f;

	put(5);
	f = fopen(path, "r+");
	assert_non_null(f);
	assert_int_equal(fseek(f, -1, SEEK_END), 0);
	assert_int_not_equal(fputc(0x55, f), EOF);
	assert_int_equal(fclose(f), 0);
	starts_at(1);
	assert_int_equal(warnings, 1);
}

/* --- known nodes --- */

static struct {
	uint8_t k;
	struct ep ep;
} loaded[NODES_MAX];
static size_t nloaded;

static void on_loaded(struct daemon *dd, const struct node_key *key, const struct ep *ep)
{
	assert_ptr_equal(dd, d);
	assert_in_range(nloaded, 0, NODES_MAX - 1);
	loaded[nloaded].k = key->b[0];
	loaded[nloaded++].ep = *ep;
}

static void loads(size_t i, uint8_t k, const struct ep *ep)
{
	assert_in_range(i, 0, nloaded - 1);
	assert_int_equal(loaded[i].k, k);
	assert_true(ep_eq(&loaded[i].ep, ep));
}

/* Whom this node has a session with first, where it was seen; of a session through a relay, which was seen
 * nowhere, and of whom there is none with, what the node says of itself. */
static void test_known(void **state)
{
	const struct ep seen = {{{192, 0, 2, 1}, IP_V4}, 6793, 0};
	const struct ep local = {{{0xfe, 0x80, [15] = 1}, IP_V6}, 6793, 2};
	const struct ep said[] = {
		{{{0xfe, 0x80, [15] = 2}, IP_V6}, 6793, 2},
		{{{0x20, 1, 0xd, 0xb8, [15] = 2}, IP_V6}, 6793, 0},
		{{{192, 0, 2, 2}, IP_V4}, 6793, 0},
	};

	linked(1, &seen);
	linked(2, NULL);
	linked(3, &local);
	linked(4, &seen)->foreign = true;
	linked(5, &seen)->up = false;
	linked(6, NULL); /* and says of itself nothing that would help */
	member(1, said, 3);
	member(2, said, 3);
	member(3, said, 3);
	member(5, said, 3);
	member(6, said, 1);
	member(7, said, 3)->self = true;
	member(8, said, 3)->left = true;
	member(9, said, 3);
	assert_int_equal(state_save_peers(d), 0);
	nloaded = 0;
	state_load_peers(d, on_loaded);
	assert_int_equal(nloaded, 5);
	loads(0, 1, &seen);
	loads(1, 2, &said[2]);
	loads(2, 3, &said[2]);
	loads(3, 5, &said[2]);
	loads(4, 9, &said[2]);
	/* With IPv6 here the first that can be sent to is another. */
	d->has_ipv6 = true;
	nnodes = 2;
	assert_int_equal(state_save_peers(d), 0);
	nloaded = 0;
	state_load_peers(d, on_loaded);
	assert_int_equal(nloaded, 2);
	loads(0, 1, &seen);
	loads(1, 2, &said[1]);
	assert_int_equal(warnings, 0);
}

#define FRESH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(test_counts),
		FRESH(test_end),
		FRESH(test_beyond),
		FRESH(test_torn),
		FRESH(test_known),
	};

	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
