/* radv.h - who is at the other end of a link: routers found by router advertisements (RFC 4861), and
 * told of us by the same. For BGP neighbours that are configured by interface and not by address.
 *
 * What is sent says nothing but "here is a router" (lifetime 0, no prefix, so that no host takes it for
 * a way out), to all nodes of the link: three times in quick succession, then every 10 s, and when
 * asked. One thread. */
#ifndef WEFT_RADV_H
#define WEFT_RADV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "loop.h"

struct radv;

#define RADV_LINKS_MAX 64
#define RADV_NAME_MAX  16 /* IFNAMSIZ */

/* A router's advertisement came over the link @name: its link-local address with the link as scope.
 * Called for each one. */
typedef void (*radv_fn)(void *ctx, const char *name, const struct ep *router);

/* Opens a raw socket (CAP_NET_RAW). ERR_NOMEM, -errno. Returns owned. */
int radv_open(struct loop *loop, radv_fn fn, void *ctx, struct radv **out);
/* Look after the link @name from now on; it need not exist yet. ERR_FULL, ERR_RANGE (its length). */
int radv_watch(struct radv *r, const char *name);
void radv_close(struct radv *r); /* NULL is fine */

enum radv_kind { RADV_OTHER, RADV_ADVERT, RADV_SOLICIT };
/* What is the ICMPv6 message at @buf, which came from @from with @hop_limit? RADV_OTHER: nothing of
 * ours, or not as RFC 4861 6.1 wants it. */
enum radv_kind radv_judge(const uint8_t *buf, size_t len, const struct ip *from, int hop_limit);

#endif
