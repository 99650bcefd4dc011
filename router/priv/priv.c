/* priv.c - the privileged acts, carried out in this process.
 *
 * Parts: TUN devices (/dev/net/tun and two rtnetlink requests for the alias), BPF programs, sysctls
 * by an allow-list, and the nft program. Data in: names, numbers and a ruleset of weft's own
 * making. Data out: descriptors and errors. No state is kept between calls, so that a helper
 * process can serve the same five functions over a socket later.
 *
 * Bounds: a sysctl value is a short number; nft may run for NFT_SECS and its complaint is cut to
 * the caller's line. Failure: every function undoes what it began; a TUN that was made by a call
 * that then failed is gone again. */
#include "priv.h"

#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "weft/err.h"

#define VNET_HDR_BYTES 10
#define NFT_SECS       20

/* ---- two rtnetlink requests; libmnl belongs to router/nl, which stands above this folder ---- */

struct link_req {
	struct nlmsghdr nlh;
	struct ifinfomsg ifi;
	char attrs[128];
};

struct link_info {
	bool is_tun, is_ours;
	unsigned queues;
};

static void link_req_init(struct link_req *rq, uint16_t type, uint16_t flags)
{
	memset(rq, 0, sizeof(*rq));
	rq->nlh.nlmsg_len = NLMSG_LENGTH(sizeof(rq->ifi));
	rq->nlh.nlmsg_type = type;
	rq->nlh.nlmsg_flags = NLM_F_REQUEST | flags;
	rq->nlh.nlmsg_seq = 1;
	rq->ifi.ifi_family = AF_UNSPEC;
}

static void link_req_str(struct link_req *rq, uint16_t type, const char *s)
{
	size_t len = strlen(s) + 1;
	struct rtattr *a = (struct rtattr *)(void *)((char *)rq + NLMSG_ALIGN(rq->nlh.nlmsg_len));

	assert(NLMSG_ALIGN(rq->nlh.nlmsg_len) + RTA_SPACE(len) <= sizeof(*rq));
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), s, len);
	rq->nlh.nlmsg_len = (uint32_t)(NLMSG_ALIGN(rq->nlh.nlmsg_len) + RTA_SPACE(len));
}

/* Send one request and receive the one answer, which is a link or an acknowledgement. Returns the
 * answer's length or -errno. */
static int link_talk(struct link_req *rq, void *buf, size_t len)
{
	struct sockaddr_nl to = {.nl_family = AF_NETLINK};
	struct timeval limit = {.tv_sec = 5};
	const struct nlmsghdr *nlh = buf;
	ssize_t n;
	int err = 0, fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (sendto(fd, rq, rq->nlh.nlmsg_len, 0, (struct sockaddr *)&to, sizeof(to)) < 0) {
		err = -errno;
		goto out;
	}
	do
		n = recv(fd, buf, len, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		err = -errno;
		goto out;
	}
	if (!NLMSG_OK(nlh, (size_t)n)) {
		err = -EPROTO;
		goto out;
	}
	if (nlh->nlmsg_type == NLMSG_ERROR)
		err = nlh->nlmsg_len < NLMSG_LENGTH(sizeof(int)) ? -EPROTO
								 : *(const int *)NLMSG_DATA(nlh);
	if (err == 0)
		err = (int)n;
out:
	close(fd);
	return err;
}

static bool attr_is(const struct rtattr *a, const char *s)
{
	size_t n = strlen(s);

	return RTA_PAYLOAD(a) >= n && memcmp(RTA_DATA(a), s, n) == 0 &&
	       (RTA_PAYLOAD(a) == n || ((const char *)RTA_DATA(a))[n] == '\0');
}

static void info_parse(const struct rtattr *info, struct link_info *out)
{
	const struct rtattr *a = RTA_DATA(info), *d;
	int left = (int)RTA_PAYLOAD(info), dleft;

	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == IFLA_INFO_KIND)
			out->is_tun = attr_is(a, "tun");
		if ((a->rta_type & NLA_TYPE_MASK) != IFLA_INFO_DATA)
			continue;
		dleft = (int)RTA_PAYLOAD(a);
		for (d = RTA_DATA(a); RTA_OK(d, dleft); d = RTA_NEXT(d, dleft))
			if (d->rta_type == IFLA_TUN_NUM_QUEUES && RTA_PAYLOAD(d) >= 4)
				memcpy(&out->queues, RTA_DATA(d), 4);
	}
}

/* What stands under the name? -ENODEV if nothing does. */
static int link_look(const char *ifname, struct link_info *out)
{
	_Alignas(struct nlmsghdr) char buf[16384];
	const struct nlmsghdr *nlh = (const void *)buf;
	const struct rtattr *a;
	struct link_req rq;
	int n, left;

	memset(out, 0, sizeof(*out));
	link_req_init(&rq, RTM_GETLINK, 0);
	link_req_str(&rq, IFLA_IFNAME, ifname);
	n = link_talk(&rq, buf, sizeof(buf));
	if (n < 0)
		return n;
	if (nlh->nlmsg_type != RTM_NEWLINK || nlh->nlmsg_len < NLMSG_LENGTH(sizeof(rq.ifi)))
		return -EPROTO;
	a = IFLA_RTA(NLMSG_DATA(nlh));
	left = (int)IFLA_PAYLOAD(nlh);
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == IFLA_IFALIAS)
			out->is_ours = attr_is(a, PRIV_TUN_ALIAS);
		if ((a->rta_type & NLA_TYPE_MASK) == IFLA_LINKINFO)
			info_parse(a, out);
	}
	return 0;
}

static int link_set_alias(const char *ifname, const char *alias)
{
	_Alignas(struct nlmsghdr) char buf[1024];
	struct link_req rq;
	int n;

	link_req_init(&rq, RTM_SETLINK, NLM_F_ACK);
	link_req_str(&rq, IFLA_IFNAME, ifname);
	link_req_str(&rq, IFLA_IFALIAS, alias);
	n = link_talk(&rq, buf, sizeof(buf));
	return n < 0 ? n : 0;
}

/* ---- TUN ---- */

static bool ifname_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= IFNAMSIZ || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (; *name; name++)
		/* '%' would make the kernel choose a number */
		if (*name == '/' || *name == ':' || *name == '%' || !isgraph((unsigned char)*name))
			return false;
	return true;
}

static int tun_attach(const char *ifname, int *out)
{
	struct ifreq ifr = {
		.ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE)};
	int err, hdr = VNET_HDR_BYTES;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	memcpy(ifr.ifr_name, ifname, strlen(ifname) + 1);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &hdr) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

int priv_tun_open(const char *ifname, unsigned n, int *fds, bool *created)
{
	struct link_info info;
	unsigned i = 0;
	int err;

	assert(n > 0);
	if (!ifname_ok(ifname))
		return -EINVAL;
	err = link_look(ifname, &info);
	if (err != 0 && err != -ENODEV)
		return err;
	*created = err == -ENODEV;
	if (!*created && (!info.is_tun || !info.is_ours))
		return ERR_FOREIGN;
	for (; i < n; i++) {
		err = tun_attach(ifname, &fds[i]);
		if (err != 0)
			goto fail;
		/* The alias comes before persistence: a crash in between leaves no device that
		 * nobody recognises as ours. */
		if (i == 0 && *created) {
			err = link_set_alias(ifname, PRIV_TUN_ALIAS);
			if (err == 0 && ioctl(fds[0], TUNSETPERSIST, 1) < 0)
				err = -errno;
			if (err != 0) {
				i++;
				goto fail;
			}
		}
	}
	return 0;
fail:
	if (i > 0 && *created)
		ioctl(fds[0], TUNSETPERSIST, 0);
	while (i-- > 0) {
		close(fds[i]);
		fds[i] = -1;
	}
	/* The kernel says EINVAL for a single-queue device and EBUSY when that one is in use. */
	if (!*created && (err == -EINVAL || err == -EBUSY))
		return ERR_BUSY;
	return err;
}

int priv_tun_queues(const char *ifname)
{
	struct link_info info;
	int err;

	if (!ifname_ok(ifname))
		return -EINVAL;
	err = link_look(ifname, &info);
	if (err != 0)
		return err == -ENODEV ? ERR_NOT_FOUND : err;
	if (!info.is_tun || !info.is_ours)
		return ERR_FOREIGN;
	return (int)info.queues;
}

int priv_tun_delete(const char *ifname)
{
	_Alignas(struct nlmsghdr) char buf[1024];
	struct link_info info;
	struct link_req rq;
	int err;

	if (!ifname_ok(ifname))
		return -EINVAL;
	err = link_look(ifname, &info);
	if (err != 0)
		return err == -ENODEV ? ERR_NOT_FOUND : err;
	if (!info.is_tun || !info.is_ours)
		return ERR_FOREIGN;
	link_req_init(&rq, RTM_DELLINK, NLM_F_ACK);
	link_req_str(&rq, IFLA_IFNAME, ifname);
	err = link_talk(&rq, buf, sizeof(buf));
	return err < 0 ? err : 0;
}

/* ---- BPF ---- */

int priv_bpf_load(const void *insns, size_t count, int prog_type)
{
	static const char license[] = "Apache-2.0";
	union bpf_attr attr;
	long fd;

	if (count == 0 || count > 4096)
		return -EINVAL;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = (uint32_t)prog_type;
	attr.insns = (uint64_t)(uintptr_t)insns;
	attr.insn_cnt = (uint32_t)count;
	attr.license = (uint64_t)(uintptr_t)license;
	fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)); /* sets close-on-exec itself */
	return fd < 0 ? -errno : (int)fd;
}

/* ---- sysctl ---- */

/* '*' stands for one path component: a device, "all" or "default". */
static const char *const sysctl_allowed[] = {
	"net/ipv4/ip_forward",
	"net/ipv4/conf/*/forwarding",
	"net/ipv4/conf/*/rp_filter",
	"net/ipv4/conf/*/src_valid_mark",
	"net/ipv4/conf/*/send_redirects",
	"net/ipv4/conf/*/accept_redirects",
	"net/ipv4/conf/*/ignore_routes_with_linkdown",
	"net/ipv6/conf/*/forwarding",
	"net/ipv6/conf/*/accept_ra",
	"net/ipv6/conf/*/accept_redirects",
	"net/ipv6/conf/*/addr_gen_mode",
	"net/ipv6/conf/*/router_solicitations",
	"net/ipv6/conf/*/disable_ipv6",
	"net/ipv6/conf/*/ignore_routes_with_linkdown",
};

static bool path_matches(const char *pattern, const char *path)
{
	const char *from = path;

	for (; *pattern && *pattern != '*'; pattern++, path++)
		if (*pattern != *path)
			return false;
	if (*pattern == '\0')
		return *path == '\0';
	from = path;
	while (*path && *path != '/')
		path++;
	if (path == from || from[0] == '.')
		return false; /* "..", and no device of ours is hidden */
	return strcmp(pattern + 1, path) == 0;
}

static bool sysctl_ok(const char *path, const char *value)
{
	size_t n = strlen(value);

	if (n == 0 || n > 10 || strspn(value, "0123456789") != n)
		return false;
	for (size_t i = 0; i < sizeof(sysctl_allowed) / sizeof(sysctl_allowed[0]); i++)
		if (path_matches(sysctl_allowed[i], path))
			return true;
	return false;
}

int priv_sysctl(const char *path, const char *value)
{
	char full[256], now[16];
	ssize_t n;
	int fd, err = 0;

	if (!sysctl_ok(path, value))
		return ERR_REFUSED;
	if (strlen(path) >= sizeof(full) - sizeof("/host/proc/sys/"))
		return ERR_REFUSED;
	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	/* What stands there already needs no write: in containers /proc/sys is often read-only, and
	 * writing ip_forward resets other settings even if it does not change. */
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	n = read(fd, now, sizeof(now) - 1);
	close(fd);
	if (n > 0) {
		now[n] = '\0';
		now[strcspn(now, "\n")] = '\0';
		if (strcmp(now, value) == 0)
			return 0;
	}
	fd = open(full, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == EROFS) {
		/* A pod that is not privileged has the host's own net/ mounted here, and nothing else. */
		snprintf(full, sizeof(full), "/host/proc/sys/%s", path);
		fd = open(full, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			errno = EROFS;
	}
	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* ---- nft ---- */

static bool nft_find(char *out, size_t len)
{
	static const char usual[] = "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin";
	const char *env = getenv("PATH");
	const char *lists[] = {env ? env : "", usual};

	for (size_t i = 0; i < 2; i++)
		for (const char *p = lists[i]; *p;) {
			size_t n = strcspn(p, ":");

			/* Only absolute directories: the daemon runs as root. */
			if (n > 0 && *p == '/' &&
				snprintf(out, len, "%.*s/nft", (int)n, p) < (int)len &&
				access(out, X_OK) == 0)
				return true;
			p += n + (p[n] == ':');
		}
	return false;
}

static int64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Read until the writers are gone, keep the first @len - 1 bytes. -ETIMEDOUT. */
static int read_until_eof(int fd, char *out, size_t len, int64_t deadline_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char waste[512];
	size_t have = 0;

	for (;;) {
		int64_t left = deadline_ms - clock_ms();
		ssize_t n;
		int r = left <= 0 ? 0 : poll(&p, 1, (int)left);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0) {
			out[have] = '\0';
			return r < 0 ? -errno : -ETIMEDOUT;
		}
		n = read(fd, waste, sizeof(waste));
		if (n <= 0)
			break;
		if ((size_t)n > len - 1 - have)
			n = (ssize_t)(len - 1 - have);
		memcpy(out + have, waste, (size_t)n);
		have += (size_t)n;
	}
	out[have] = '\0';
	return 0;
}

static int nft_spawn(const char *program, int in, int errs, pid_t *pid)
{
	char *argv[] = {(char[]){"nft"}, (char[]){"-f"}, (char[]){"-"}, NULL};
	char *envp[] = {(char[]){"LC_ALL=C"}, NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, dfl;
	int err;

	if (posix_spawn_file_actions_init(&fa) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&at) != 0) {
		posix_spawn_file_actions_destroy(&fa);
		return -ENOMEM;
	}
	sigemptyset(&none);
	sigemptyset(&dfl);
	sigaddset(&dfl, SIGPIPE);
	posix_spawnattr_setsigmask(&at, &none);
	posix_spawnattr_setsigdefault(&at, &dfl);
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawn_file_actions_adddup2(&fa, in, 0);
	posix_spawn_file_actions_adddup2(&fa, errs, 1);
	posix_spawn_file_actions_adddup2(&fa, errs, 2);
	err = -posix_spawn(pid, program, &fa, &at, argv, envp);
	posix_spawnattr_destroy(&at);
	posix_spawn_file_actions_destroy(&fa);
	return err;
}

static int nft_wait(pid_t pid)
{
	int status;
	pid_t r;

	do
		r = waitpid(pid, &status, 0);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EINVAL;
}

static int write_all(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int priv_nft_load(const char *ruleset, char *why, size_t why_len)
{
	char program[256], said[512] = "";
	int mem = -1, pipes[2] = {-1, -1}, err, late;
	pid_t pid;

	if (why_len > 0)
		why[0] = '\0';
	if (!nft_find(program, sizeof(program))) {
		snprintf(why, why_len, "no nft program");
		return ERR_UNSUPPORTED;
	}
	/* A memory file as standard input: nft can't block on us, nor we on it. */
	mem = memfd_create("weft-nft", MFD_CLOEXEC);
	if (mem < 0 || pipe2(pipes, O_CLOEXEC) < 0) {
		err = -errno;
		goto out;
	}
	err = write_all(mem, ruleset, strlen(ruleset));
	if (err != 0)
		goto out;
	if (lseek(mem, 0, SEEK_SET) < 0) {
		err = -errno;
		goto out;
	}
	err = nft_spawn(program, mem, pipes[1], &pid);
	if (err != 0)
		goto out;
	close(pipes[1]);
	pipes[1] = -1;
	late = read_until_eof(pipes[0], said, sizeof(said), clock_ms() + NFT_SECS * 1000);
	if (late != 0)
		kill(pid, SIGKILL);
	err = nft_wait(pid);
	if (late != 0)
		err = late;
out:
	if (err != 0) {
		said[strcspn(said, "\n")] = '\0';
		snprintf(why, why_len, "nft: %s", said[0] ? said : err_str(err));
	}
	if (pipes[0] >= 0)
		close(pipes[0]);
	if (pipes[1] >= 0)
		close(pipes[1]);
	if (mem >= 0)
		close(mem);
	return err;
}
