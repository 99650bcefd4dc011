/* bgp_sock.h - the TCP sockets of BGP: the only place of this folder that opens them. All are
 * non-blocking and close-on-exec. */
#ifndef WEFT_BGP_SOCK_H
#define WEFT_BGP_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"

struct sock_filter;

/* What a connection with one peer needs. */
struct bgp_sock_cfg {
	uint32_t mark;        /* SO_MARK; 0: none */
	uint8_t ttl, min_ttl; /* min_ttl 0: not asked for (RFC 5082) */
	const char *password; /* RFC 2385; "" for none */
};

/* Each returns a descriptor, owned, or -errno. */
int bgp_sock_listen(const struct ep *at, uint32_t mark);
/* Begin to connect from @local (IP_NONE: the kernel's choice); writable when it is decided. */
int bgp_sock_dial(const struct ep *to, const struct ip *local, const struct bgp_sock_cfg *cfg);
/* -EAGAIN: nobody is waiting. */
int bgp_sock_accept(int listener, struct ep *remote, struct ip *local);

/* Set the options of a connection that was accepted. 0 or -errno. */
int bgp_sock_setup(int fd, const struct bgp_sock_cfg *cfg);
/* The key of the address, or of each address of the range, @whose on a listener or a connection; "" takes
 * it away, also if there was none. Of several that fit the kernel takes the longest. 0 or -errno;
 * -EAFNOSUPPORT: @fd is of the other family; a range needs Linux 4.13. */
int bgp_sock_password(int fd, const struct pfx *whose, const char *password);
/* Put the filter of @n instructions (gtsm.h) in place of the one that a socket has; 0: none. The kernel
 * copies it. 0 or -errno: -ENOENT, there was none to take away; -ENOMEM, too large for
 * net.core.optmem_max; the old one stays. */
int bgp_sock_filter(int fd, struct sock_filter *prog, size_t n);
/* Read it back into @prog, of @cap instructions: how many, 0 without a filter, or -errno. */
int bgp_sock_filter_get(int fd, struct sock_filter *prog, size_t cap);
/* Does the connection hold bytes that were not read yet? */
bool bgp_sock_has_bytes(int fd);
/* Our side's address of a connection. 0 or -errno. */
int bgp_sock_local(int fd, struct ip *out);
/* How a connection attempt ended: 0 or -errno. */
int bgp_sock_result(int fd);

#endif
