/* The privileged acts, with the kernel as oracle, in network and mount namespaces of the test's
 * own. */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>
#include <cmocka.h>
#include "priv.h"
#include "weft/err.h"

static bool isolated;

#define NEED_ROOT                                                                                  \
	do {                                                                                       \
		if (!isolated) {                                                                   \
			print_message("needs root and namespaces: skipped\n");                     \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

/* What a command prints, cut to @len. */
static const char *sh(const char *cmd)
{
	static char out[8192];
	FILE *f = popen(cmd, "r");
	size_t n;

	assert_non_null(f);
	n = fread(out, 1, sizeof(out) - 1, f);
	out[n] = '\0';
	pclose(f);
	return out;
}

static void close_all(int *fds, unsigned n)
{
	while (n-- > 0)
		close(fds[n]);
}

static void tun_life(void **state)
{
	int fds[3], more[2];
	bool created = false;

	NEED_ROOT;
	assert_int_equal(priv_tun_queues("pt0"), ERR_NOT_FOUND);
	assert_int_equal(priv_tun_open("pt0", 3, fds, &created), 0);
	assert_true(created);
	assert_int_equal(priv_tun_queues("pt0"), 3);
	assert_non_null(strstr(sh("ip -d link show pt0"), "alias weft"));
	assert_non_null(strstr(sh("ip -d link show pt0"), "persist on"));
	assert_non_null(strstr(sh("ip -d link show pt0"), "vnet_hdr on"));
	for (int i = 0; i < 3; i++) {
		int hdr = 0;

		assert_int_equal(ioctl(fds[i], TUNGETVNETHDRSZ, &hdr), 0);
		assert_int_equal(hdr, 10);
		assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
	}
	/* A second opener gets queues of the same device. */
	assert_int_equal(priv_tun_open("pt0", 2, more, &created), 0);
	assert_false(created);
	assert_int_equal(priv_tun_queues("pt0"), 5);
	close_all(more, 2);
	close_all(fds, 3);
	assert_true(if_nametoindex("pt0") > 0);
	assert_int_equal(priv_tun_queues("pt0"), 0);
	assert_int_equal(priv_tun_open("pt0", 1, fds, &created), 0);
	assert_false(created);
	assert_int_equal(priv_tun_delete("pt0"), 0);
	assert_int_equal(if_nametoindex("pt0"), 0);
	assert_int_equal(priv_tun_delete("pt0"), ERR_NOT_FOUND);
	close(fds[0]);
}

static void tun_foreign(void **state)
{
	int fd;
	bool created;

	NEED_ROOT;
	sh("ip link add pv0 type veth peer name pv1; ip link set pv0 alias weft;"
	   "ip tuntap add mode tun name pt1; ip tuntap add mode tun name pt2;"
	   "ip link set pt2 alias weft");
	assert_int_equal(priv_tun_open("pv0", 1, &fd, &created), ERR_FOREIGN); /* alias, no TUN */
	assert_int_equal(priv_tun_open("pt1", 1, &fd, &created), ERR_FOREIGN); /* TUN, no alias */
	assert_int_equal(priv_tun_open("pt2", 1, &fd, &created), ERR_BUSY);    /* single queue */
	assert_int_equal(priv_tun_delete("pv0"), ERR_FOREIGN);
	assert_int_equal(priv_tun_delete("pt1"), ERR_FOREIGN);
	assert_true(if_nametoindex("pt1") > 0 && if_nametoindex("pv0") > 0);
	assert_int_equal(priv_tun_delete("pt2"), 0);
	sh("ip link del pv0; ip link del pt1");
}

static void tun_names(void **state)
{
	static const char *const bad[] = {
		"", ".", "..", "a/b", "weft%d", "a b", "sixteen-letters-", "a:b"};
	int fd = -1;
	bool created;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(priv_tun_open(bad[i], 1, &fd, &created), -EINVAL);
		assert_int_equal(priv_tun_delete(bad[i]), -EINVAL);
		assert_int_equal(priv_tun_queues(bad[i]), -EINVAL);
	}
}

/* The kernel allows 256 queues: asking for more fails, and a device made for it is gone again. */
static void tun_undone(void **state)
{
	static int fds[300];
	bool created;

	NEED_ROOT;
	assert_true(priv_tun_open("pt3", 300, fds, &created) < 0);
	assert_int_equal(if_nametoindex("pt3"), 0);
}

static void sysctl_list(void **state)
{
	static const char *const refused[] = {"kernel/panic", "net/ipv4/conf/../../core/somaxconn",
		"net/ipv4/conf//rp_filter", "net/ipv4/conf/a/b/rp_filter",
		"net/ipv4/conf/../rp_filter", "net/ipv4/ip_forward/",
		"net/ipv4/ip_forward_update_priority", "/net/ipv4/ip_forward",
		"net/ipv4/conf/lo/rp_filterx", "net/ipv4/conf/lo", "", "net/ipv4/conf/*"};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_int_equal(priv_sysctl(refused[i], "1"), ERR_REFUSED);
	assert_int_equal(priv_sysctl("net/ipv4/ip_forward", ""), ERR_REFUSED);
	assert_int_equal(priv_sysctl("net/ipv4/ip_forward", "1\n"), ERR_REFUSED);
	assert_int_equal(priv_sysctl("net/ipv4/ip_forward", "12345678901"), ERR_REFUSED);
	assert_int_equal(priv_sysctl("net/ipv4/conf/no-such/rp_filter", "0"), -ENOENT);
	NEED_ROOT;
	assert_int_equal(priv_sysctl("net/ipv4/conf/lo/rp_filter", "2"), 0);
	assert_string_equal(sh("cat /proc/sys/net/ipv4/conf/lo/rp_filter"), "2\n");
	assert_int_equal(priv_sysctl("net/ipv4/conf/lo/rp_filter", "2"), 0);
	assert_int_equal(priv_sysctl("net/ipv4/conf/lo/rp_filter", "0"), 0);
	assert_string_equal(sh("cat /proc/sys/net/ipv4/conf/lo/rp_filter"), "0\n");
}

static void bpf_load(void **state)
{
	const struct bpf_insn ret0[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd;

	assert_int_equal(priv_bpf_load(ret0, 0, BPF_PROG_TYPE_SOCKET_FILTER), -EINVAL);
	NEED_ROOT;
	fd = priv_bpf_load(ret0, 2, BPF_PROG_TYPE_SOCKET_FILTER);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	assert_true(priv_bpf_load(ret0, 1, BPF_PROG_TYPE_SOCKET_FILTER) < 0); /* no exit */
}

static void nft_load(void **state)
{
	char why[120];
	char *big;

	NEED_ROOT;
	if (strlen(sh("command -v nft")) == 0)
		skip();
	assert_int_equal(priv_nft_load("table inet pt { chain c { }\n}\n", why, sizeof(why)), 0);
	assert_string_equal(why, "");
	assert_non_null(strstr(sh("nft list tables"), "table inet pt"));
	/* One bad line: nothing of it stands. */
	assert_int_equal(
		priv_nft_load("table inet pt2 { }\nfrobnicate\n", why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "syntax error"));
	assert_null(strchr(why, '\n'));
	assert_null(strstr(sh("nft list tables"), "pt2"));
	/* More than a pipe holds, in and out. */
	big = malloc(1 << 20);
	assert_non_null(big);
	memset(big, 'x', (1 << 20) - 1);
	for (size_t i = 99; i < (1 << 20) - 1; i += 100)
		big[i] = '\n';
	big[(1 << 20) - 1] = '\0';
	assert_int_equal(priv_nft_load(big, why, sizeof(why)), -EINVAL);
	free(big);
	sh("nft delete table inet pt");
}

/* Last: hides the program for good, in this test's mount namespace. */
static void nft_absent(void **state)
{
	char why[120];

	NEED_ROOT;
	setenv("PATH", "relative::/nowhere", 1);
	for (int i = 0; i < 4; i++) {
		static const char *const at[] = {
			"/usr/local/sbin", "/usr/sbin", "/usr/bin", "/bin"};

		(void)!mount("none", at[i], "tmpfs", 0, NULL);
	}
	assert_int_equal(priv_nft_load("table inet pt { }", why, sizeof(why)), ERR_UNSUPPORTED);
	assert_string_equal(why, "no nft program");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tun_life),
		cmocka_unit_test(tun_foreign),
		cmocka_unit_test(tun_names),
		cmocka_unit_test(tun_undone),
		cmocka_unit_test(sysctl_list),
		cmocka_unit_test(bpf_load),
		cmocka_unit_test(nft_load),
		cmocka_unit_test(nft_absent),
	};

	isolated = geteuid() == 0 && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
		   mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
