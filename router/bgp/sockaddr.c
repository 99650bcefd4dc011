/* sockaddr.c - see the header. */
#include "sockaddr.h"

#include <errno.h>
#include <string.h>

socklen_t sockaddr_make(const struct ip *ip, uint16_t port, uint32_t scope, union sockaddr_any *out)
{
	memset(out, 0, sizeof(*out));
	if (ip->family == IP_V4) {
		out->in.sin_family = AF_INET;
		out->in.sin_port = htons(port);
		memcpy(&out->in.sin_addr, ip->b, 4);
		return sizeof(out->in);
	}
	out->in6.sin6_family = AF_INET6;
	out->in6.sin6_port = htons(port);
	out->in6.sin6_scope_id = scope;
	memcpy(&out->in6.sin6_addr, ip->b, 16);
	return sizeof(out->in6);
}

void sockaddr_read(const union sockaddr_any *a, struct ep *out)
{
	memset(out, 0, sizeof(*out));
	if (a->sa.sa_family == AF_INET) {
		out->ip = ip_v4_bytes((const uint8_t *)&a->in.sin_addr);
		out->port = ntohs(a->in.sin_port);
		return;
	}
	out->ip = ip_v6_bytes((const uint8_t *)&a->in6.sin6_addr);
	out->port = ntohs(a->in6.sin6_port);
	out->scope = a->in6.sin6_scope_id;
}

int sockaddr_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0 ? 0 : -errno;
}
