/* udp.h - the outer sockets. The only file pair of the data plane that calls the UDP socket API.
 *
 * A socket is IPv6 serving both families (IPv4 as mapped addresses), or IPv4 alone. Everything that
 * goes in or out beside the payload (TOS, segment size, the local address, the kernel's drop count)
 * travels in control messages. Sockets never block and never fragment (DESIGN 4.6). */
#ifndef WEFT_UDP_H
#define WEFT_UDP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include "weft/addr.h"

#define UDP_MAX_PAYLOAD 65507 /* of one send, segmented or not (IPv4: 65535 - 20 - 8) */
#define UDP_MAX_SEGS    64    /* segments of one send (UDP_MAX_SEGMENTS of older kernels) */
#define UDP_TOS_CONTROL 0xc0  /* CS6, RFC 4594 3.1 */

struct udp_sock {
	int fd; /* -1: none */
	bool v6;
	bool gro;
	uint32_t kernel_drops; /* the kernel's counter as last seen; the receiving thread */
};

struct udp_opts {
	struct ep bind; /* port 0: any */
	uint32_t mark;
	bool reuseport, gro;
	size_t rcvbuf, sndbuf; /* bytes; forced past the system's limit where allowed */
};

/* Open and bind. [::] falls back to 0.0.0.0 where the host has no IPv6. -errno: nothing is open. */
int udp_open(struct udp_sock *s, const struct udp_opts *o);
void udp_close(struct udp_sock *s);
/* The port it is bound to; 0 on failure. */
uint16_t udp_port(const struct udp_sock *s);
/* Steer the reuseport group of @s with a classic BPF program. -errno. */
int udp_steer(const struct udp_sock *s, const void *insns, size_t count);

/* A destination, ready for the kernel. */
struct udp_dest {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} to;
	socklen_t to_len;
	struct ip local; /* source address; IP_NONE: the kernel's choice */
};
/* ERR_UNSUPPORTED: an IPv6 destination on an IPv4 socket; ERR_RANGE: no address or port 0. */
int udp_dest_make(const struct udp_sock *s, const struct ep *to, const struct ip *local,
	struct udp_dest *out);

struct udp_out {
	const struct udp_dest *dest;
	const uint8_t *buf;
	size_t len;
	uint16_t seg; /* segment size, less than len; 0: one datagram */
	uint8_t tos;
};
#define UDP_SEND_BURST 64
/* Send @n (1..UDP_SEND_BURST) with as few system calls as possible (@mmsg: sendmmsg may be used).
 * Returns how many went out, at least one, or the -errno that stopped the first. */
int udp_send(const struct udp_sock *s, const struct udp_out *out, unsigned n, bool mmsg);

struct udp_in {
	uint8_t *buf;
	size_t len;
	uint16_t seg; /* cut at each multiple; 0: one datagram */
	uint8_t tos;
	bool truncated; /* larger than the buffer: the rest is lost */
	struct ep from;
	struct ip local; /* the address that was hit */
};
#define UDP_RECV_BURST 8
/* Receive up to @n (UDP_RECV_BURST) messages into consecutive buffers of @size bytes at @mem.
 * Returns how many (0: none waiting), or -errno. @lost grows by what the kernel has dropped. */
int udp_recv(struct udp_sock *s, uint8_t *mem, size_t size, unsigned n, bool mmsg,
	struct udp_in *in, uint64_t *lost);

/* The system calls, replaceable by tests that need errors which no kernel gives at will. */
struct udp_sys {
	ssize_t (*sendmsg)(int fd, const struct msghdr *m, int flags);
	int (*sendmmsg)(int fd, struct mmsghdr *m, unsigned n, int flags);
	int (*recvmmsg)(int fd, struct mmsghdr *m, unsigned n, int flags, struct timespec *t);
};
extern struct udp_sys udp_sys;

/* Self-tests over the loopback address (DESIGN 5.13): does one send arrive as segments, and do
 * segments arrive as one message? True where the loopback device is down but the socket options are
 * accepted: then the first real peer shows it. @why gets a few words if false. */
bool udp_probe_gso(char *why, size_t size);
bool udp_probe_gro(char *why, size_t size);

#endif
