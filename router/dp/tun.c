/* tun.c - see tun.h. */
#include "tun.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <linux/bpf.h>
#include "compat.h"
#include "flow_bpf.h"
#include "priv.h"

_Static_assert(sizeof(struct virtio_net_hdr) == 10, "the TUN's default vnet header");

static int sys_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg);
}

struct tun_sys tun_sys = {.ioctl = sys_ioctl};

static bool accepts(int fd, unsigned flags)
{
	return tun_sys.ioctl(fd, TUNSETOFFLOAD, (void *)(uintptr_t)flags) == 0;
}

int tun_offload_set(int fd, struct tun_offload want, struct tun_offload *got)
{
	const unsigned tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

	*got = (struct tun_offload){false, false};
	if (want.tso && want.uso && accepts(fd, tso | TUN_F_USO4 | TUN_F_USO6)) {
		*got = (struct tun_offload){true, true};
		return 0;
	}
	if (want.tso && accepts(fd, tso)) {
		got->tso = true;
		return 0;
	}
	return accepts(fd, 0) ? 0 : -errno;
}

int tun_steer(int fd, unsigned queues)
{
	struct bpf_insn insns[FLOW_BPF_TUN_MAX];
	size_t count = flow_bpf_tun(insns, queues);
	int err = 0, prog = priv_bpf_load(insns, count, BPF_PROG_TYPE_SOCKET_FILTER);

	if (prog < 0)
		return prog;
	if (tun_sys.ioctl(fd, TUNSETSTEERINGEBPF, &prog) < 0)
		err = -errno;
	close(prog); /* the device holds it */
	return err;
}

ssize_t tun_read(int fd, uint8_t *buf, size_t size)
{
	ssize_t n = read(fd, buf, size);

	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

int tun_write(int fd, const struct iovec *iov, unsigned niov)
{
	return writev(fd, iov, (int)niov) < 0 ? -errno : 0;
}

/* /proc/self/net/dev follows the network namespace; /sys/class/net follows the mount. */
uint64_t tun_kernel_drops(const char *ifname)
{
	FILE *f = fopen("/proc/self/net/dev", "re");
	unsigned long long dropped = 0;
	char line[512];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		char *name = line + strspn(line, " "), *colon = strchr(name, ':');

		if (!colon)
			continue;
		*colon = '\0';
		/* Eight fields of receive, then bytes, packets, errors, drops of transmit. */
		if (strcmp(name, ifname) == 0) {
			(void)sscanf(colon + 1, "%*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %llu",
				&dropped);
			break;
		}
	}
	fclose(f);
	return dropped;
}
