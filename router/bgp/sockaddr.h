/* sockaddr.h - addresses between weft's form and the kernel's, and options that are one number. */
#ifndef WEFT_SOCKADDR_H
#define WEFT_SOCKADDR_H

#include <netinet/in.h>
#include <sys/socket.h>
#include "weft/addr.h"

union sockaddr_any {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_storage storage;
};

/* Its length. @ip is IPv4 or IPv6; @port in host order. */
socklen_t sockaddr_make(
	const struct ip *ip, uint16_t port, uint32_t scope, union sockaddr_any *out);
void sockaddr_read(const union sockaddr_any *a, struct ep *out);
/* The prefix of one address. */
static inline struct pfx sockaddr_host(const struct ip *ip)
{
	return (struct pfx){.ip = *ip, .len = (uint8_t)ip_bits(ip)};
}
/* 0 or -errno. */
int sockaddr_option(int fd, int level, int option, int value);

#endif
