/* bfd_sock.h - the UDP sockets of BFD (RFC 5881 4, 5883 5). All are non-blocking and close-on-exec. */
#ifndef WEFT_BFD_SOCK_H
#define WEFT_BFD_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bfd.h"
#include "weft/addr.h"

#define BFD_PORT_ONE_HOP   3784
#define BFD_PORT_MULTI_HOP 4784
/* Where packets come from: the same port for all of a session, each session another one. */
#define BFD_SOURCE_FIRST   49152
#define BFD_SOURCE_LAST    65535

/* Each returns a descriptor, owned, or -errno. */

/* Listen on every address of @family. On the port of one hop the kernel drops what has not BFD_TTL, so
 * that nobody beyond the link costs us a system call. */
int bfd_sock_listen(enum ip_family family, bool multihop);
/* For sending from @local (IP_NONE: the kernel's choice for each packet) to addresses of @family;
 * @mark: SO_MARK, 0 for none. -EADDRINUSE: @port is taken. */
int bfd_sock_sender(enum ip_family family, const struct ip *local, uint16_t port, uint32_t mark);

/* The next packet of a listener and how it came (from->multihop is left alone): its length, as much as
 * @cap; -EAGAIN: there is none. -errno; -EPROTO: the kernel did not say where it came from. */
int bfd_sock_recv(int fd, uint8_t *buf, size_t cap, struct bfd_from *from);
/* 0 or -errno. */
int bfd_sock_send(int fd, const struct ep *to, const uint8_t *buf, size_t len);

#endif
