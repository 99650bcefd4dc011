/* tun.h - TUN queues: reads and writes with vnet header, offloads, steering. Opening is priv_tun_open's. */
#ifndef WEFT_TUN_H
#define WEFT_TUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <linux/virtio_net.h>
#include "pkt.h"

#define TUN_VNET_HDR ((size_t)10) /* sizeof(struct virtio_net_hdr), the kernel's default */
#define TUN_READ_MAX (TUN_VNET_HDR + PKT_MAX)

struct tun_offload {
	bool tso, uso;
};

/* Ask the device of @fd for the offloads in @want; *@got is what it took. Without TSO the kernel gives
 * whole packets of at most the MTU with complete sums. -errno: not even that was accepted. */
int tun_offload_set(int fd, struct tun_offload want, struct tun_offload *got);

/* Steer the device's queues by flow_hash() % @queues. -errno: the kernel's flow table stays. */
int tun_steer(int fd, unsigned queues);

/* Read one packet, vnet header first. Its length; 0: none waiting; -errno. */
ssize_t tun_read(int fd, uint8_t *buf, size_t size);
/* Write one packet or super-packet, iov[0] the vnet header. 0 or -errno. */
int tun_write(int fd, const struct iovec *iov, unsigned niov);

/* The one system call that only a real TUN answers, replaceable by tests that use socket pairs. */
struct tun_sys {
	int (*ioctl)(int fd, unsigned long request, void *arg);
};
extern struct tun_sys tun_sys;

/* Packets that the kernel dropped in front of the queues since the device was made (its tx_dropped);
 * 0 when there is no such device. */
uint64_t tun_kernel_drops(const char *ifname);

#endif
