/* The widest interface that the mesh runs over: which interfaces count, from when, and until when.
 * wrap: kern_underlay kern_interface_mtu kern_widest recall_next peers_next segments_mtu paths_mtu */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "weft/err.h"
#include "daemon_int.h"

int __wrap_kern_underlay(struct kern *k, const struct ip *to, unsigned *mtu, char *ifname);
int __wrap_kern_interface_mtu(struct kern *k, const char *ifname, unsigned *mtu);
int __wrap_kern_widest(
	struct kern *k, const char *const *others, size_t n, unsigned *mtu, char *ifname);
bool __wrap_recall_next(const struct daemon *dd, size_t *it, struct node_key *key, struct ep *ep);
bool __wrap_peers_next(const struct daemon *dd, uint32_t *it, struct peer **out);
void __wrap_segments_mtu(struct daemon *dd);
void __wrap_paths_mtu(struct daemon *dd);

/* The host: eth0 leads to 198.51.100.0/24, eth1 to 192.0.2.0/24, eth2 to 203.0.113.0/24. */
struct iface {
	const char *name;
	uint8_t net; /* the first byte of what it leads to */
	unsigned mtu;
	bool up;
};
static struct iface ifaces[3];
static const char *default_if; /* NULL: no such route */
static bool dumb;              /* the kernel says nothing at all */

static struct daemon *d;
static struct conf_peer seeds[2];
static struct peer peers[2];
static size_t npeers;
static struct ep recalled;
static unsigned told;

static int answer(const struct iface *i, unsigned *mtu, char *ifname)
{
	if (dumb || !i->up)
		return ERR_NOT_FOUND;
	*mtu = i->mtu;
	if (ifname)
		strcpy(ifname, i->name);
	return 0;
}

int __wrap_kern_underlay(struct kern *k, const struct ip *to, unsigned *mtu, char *ifname)
{
	(void)k;
	for (size_t i = 0; i < 3; i++)
		if (to->family == IP_NONE ? default_if && !strcmp(default_if, ifaces[i].name)
					  : ifaces[i].net == to->b[0])
			return answer(&ifaces[i], mtu, ifname);
	return ERR_NOT_FOUND;
}

int __wrap_kern_interface_mtu(struct kern *k, const char *ifname, unsigned *mtu)
{
	(void)k;
	for (size_t i = 0; i < 3; i++)
		if (strcmp(ifaces[i].name, ifname) == 0)
			return answer(&ifaces[i], mtu, NULL);
	return ERR_NOT_FOUND;
}

int __wrap_kern_widest(
	struct kern *k, const char *const *others, size_t n, unsigned *mtu, char *ifname)
{
	(void)k;
	assert_int_equal(n, 3);
	assert_string_equal(others[0], "weft0");
	assert_string_equal(others[1], "pod0");
	assert_string_equal(others[2], "claimed0");
	return answer(&ifaces[2], mtu, ifname);
}

bool __wrap_recall_next(const struct daemon *dd, size_t *it, struct node_key *key, struct ep *ep)
{
	(void)dd;
	(void)key;
	*ep = recalled;
	return (*it)++ == 0 && recalled.ip.family != IP_NONE;
}

bool __wrap_peers_next(const struct daemon *dd, uint32_t *it, struct peer **out)
{
	(void)dd;
	if (*it == npeers)
		return false;
	*out = &peers[(*it)++];
	return true;
}

void __wrap_segments_mtu(struct daemon *dd)
{
	assert_ptr_equal(dd, d);
	told++;
}

void __wrap_paths_mtu(struct daemon *dd)
{
	assert_ptr_equal(dd, d);
	told++;
}

static struct ep at(const char *text)
{
	struct ep ep;

	assert_int_equal(ep_parse(text, WIRE_DEFAULT_PORT, &ep), 0);
	return ep;
}

static int setup(void **state)
{
	static struct conf conf;
	static struct conf_prefix own[2];

	(void)state;
	memcpy(ifaces,
		(struct iface[]){{"eth0", 198, 1500, true}, {"eth1", 192, 9000, true},
			{"eth2", 203, 4000, true}},
		sizeof(ifaces));
	default_if = "eth0";
	dumb = false;
	npeers = 0;
	told = 0;
	recalled = (struct ep){0};
	d = calloc(1, sizeof(*d));
	assert_non_null(d);
	memset(&conf, 0, sizeof(conf));
	conf.listen = at("[::]:6793");
	conf.peers = seeds;
	conf.prefixes = &own[1];
	conf.nprefixes = 1;
	strcpy(own[0].device, "pod0");
	strcpy(own[1].device, "claimed0");
	d->conf = &conf;
	d->nsegments = 1;
	strcpy(d->segments[0].tun, "weft0");
	d->segments[0].prefixes = &own[0];
	d->segments[0].nprefixes = 1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(d);
	return 0;
}

/* A look finds @mtu, and tells it if that is news. */
static void looks(unsigned mtu, const char *ifname)
{
	const bool news = d->underlay.mtu != mtu;

	told = 0;
	underlay_look(d);
	assert_int_equal(d->underlay.mtu, mtu);
	assert_string_equal(d->underlay.ifname, ifname);
	assert_int_equal(told, news ? 2 : 0);
}

static void session(const char *ep)
{
	peers[npeers++] = (struct peer){.up = true, .ep = at(ep)};
}

/* The interface of the default route alone is not what the mesh runs over. */
static void test_before_any_session(void **state)
{
	(void)state;
	looks(1500, "eth0");
	strcpy(seeds[0].text, "seed.example");
	strcpy(seeds[1].text, "203.0.113.5:7000");
	d->conf->npeers = 2;
	looks(4000, "eth2");
	recalled = at("192.0.2.5");
	looks(9000, "eth1");
}

static void test_listen(void **state)
{
	(void)state;
	d->conf->listen = at("192.0.2.1:6793");
	looks(9000, "eth1");
}

/* The default route by a narrow tunnel takes nothing from the sessions. */
static void test_narrow_default(void **state)
{
	(void)state;
	ifaces[0].mtu = 1420;
	ifaces[1].mtu = 1500;
	looks(1420, "eth0");
	session("192.0.2.2:6793");
	looks(1500, "eth1");
}

/* And by a wide one nothing from those that come later, who may be reached by it. */
static void test_wide_default(void **state)
{
	(void)state;
	default_if = "eth1";
	session("198.51.100.2:6793");
	looks(9000, "eth1");
}

/* At once when the session stands; the interface counts while it is up, with or without one. */
static void test_a_session(void **state)
{
	struct ep wide = at("192.0.2.2:6793"), narrow = at("198.51.100.2:6793"), none = {0};

	(void)state;
	looks(1500, "eth0");
	told = 0;
	underlay_used(d, &wide);
	assert_int_equal(d->underlay.mtu, 9000);
	assert_int_equal(told, 2);
	underlay_used(d, &narrow);
	underlay_used(d, &none);
	assert_int_equal(d->underlay.mtu, 9000);
	looks(9000, "eth1");
	ifaces[1].mtu = 1600;
	looks(1600, "eth1");
	ifaces[1].mtu = 8000;
	looks(8000, "eth1");
	ifaces[1].up = false;
	looks(1500, "eth0");
	ifaces[1].up = true;
	looks(1500, "eth0"); /* nobody uses it any more */
	session("192.0.2.2:6793");
	peers[0].up = false;
	looks(1500, "eth0");
	peers[0].up = true;
	looks(8000, "eth1");
}

/* Without a default route, seeds and sessions any interface that peers could reach will do, until they do. */
static void test_nothing_known(void **state)
{
	struct ep narrow = at("198.51.100.2:6793");

	(void)state;
	default_if = NULL;
	looks(4000, "eth2");
	ifaces[2].mtu = 5000;
	looks(5000, "eth2");
	underlay_used(d, &narrow); /* not less yet: the next session may be by a wide one */
	assert_int_equal(d->underlay.mtu, 5000);
	session("198.51.100.2:6793");
	looks(1500, "eth0");
}

static void test_a_kernel_that_says_nothing(void **state)
{
	(void)state;
	dumb = true;
	looks(1500, "");
	dumb = false;
	recalled = at("192.0.2.5");
	looks(9000, "eth1");
	dumb = true;
	looks(9000, "eth1");
}

/* No path has less than 1280, and none is proven to have more than 9216. */
static void test_limits(void **state)
{
	(void)state;
	ifaces[0].mtu = 576;
	looks(1280, "eth0");
	ifaces[0].mtu = 65520;
	looks(9216, "eth0");
}

#define FRESH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(test_before_any_session),
		FRESH(test_listen),
		FRESH(test_narrow_default),
		FRESH(test_wide_default),
		FRESH(test_a_session),
		FRESH(test_nothing_known),
		FRESH(test_a_kernel_that_says_nothing),
		FRESH(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
