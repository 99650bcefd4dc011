/* bgpd_int.h - what the files of the driver share. */
#ifndef WEFT_BGPD_INT_H
#define WEFT_BGPD_INT_H

#include "bgp_sock.h"
#include "bgpd.h"
#include "gtsm.h"
#include "list.h"
#include "map.h"

#define BGPD_READ_BYTES (16 * 1024) /* in one turn: some 3 ms of work */

struct bgpd_peer {
	uint32_t id;
	struct ip remote;
	uint32_t scope; /* of a link-local one */
	uint8_t range;  /* one more than that of bgpd.ranges that it is of; 0: none */
	uint8_t hops;
	bool ttl_security, unmarked, ebgp;
	char password[BGPD_PASSWORD_MAX + 1];
};

struct bgpd_listener {
	struct bgpd *d;
	struct loop_io *io;
	int fd;
	bool v6;
	/* bgpd_gtsm.c: instructions that the kernel takes, as far as known; the tag of the filter that it
	 * has, 0: none; all rules have a place in that. */
	size_t room;
	uint32_t tag;
	bool whole;
};

struct bgpd {
	struct loop *loop;
	struct bgp *core;
	const struct bgpd_ops *ops;
	void *ctx;
	uint32_t vni, mark, local_as;
	struct bgpd_listener listeners[BGPD_LISTEN_MAX];
	size_t nlisten;
	struct bgpd_range_cfg *ranges; /* BGPD_RANGES_MAX; NULL: there are none */
	size_t nranges;
	bool reaping;
	uint32_t gtsm_tag; /* of the filters made last */
	struct bgpd_peer *peers;
	size_t npeers;
	struct map *conns;   /* number to struct bgpd_conn */
	struct list closing; /* of struct bgpd_conn, the oldest first */
	size_t nclosing;
	struct loop_timer *timer;
	ts_t accept_again; /* the listeners pause until then */
	bool busy, ending; /* ending: the ops hear nothing any more */
	struct bgpd_stats st;
	uint8_t buf[BGPD_READ_BYTES];
};

/* bgp_conn_io.c */
/* Takes @fd, closes it on failure: ERR_NOMEM. */
int bgpd_conn_new(struct bgpd *d, uint32_t conn, uint32_t peer, int fd, bool dialling);
/* Actions of the core; a number that is gone is harmless. */
void bgpd_conn_send(struct bgpd *d, uint32_t conn, const uint8_t *buf, size_t len);
void bgpd_conn_close(struct bgpd *d, uint32_t conn);
/* Give the connections of @peer another key: 0 or the first -errno. */
int bgpd_conn_password(
	struct bgpd *d, uint32_t peer, const struct ip *remote, const char *password);
/* When the oldest closing connection is given up; TS_NEVER: there is none. */
ts_t bgpd_conn_deadline(const struct bgpd *d);
void bgpd_conn_expire(struct bgpd *d, ts_t now);
void bgpd_conn_free_all(struct bgpd *d);

/* bgpd_gtsm.c */
/* The TTL that packets of a neighbour at most @hops (0: one) away have at least; 0: any. */
uint8_t bgpd_min_ttl(bool ttl_security, uint8_t hops);
/* Do the filters look different with @p and without? */
bool bgpd_gtsm_concerns(const struct bgpd *d, const struct bgpd_peer *p);
/* Make the filters anew, with @more (NULL: nobody), who is no peer yet. */
void bgpd_gtsm_update(struct bgpd *d, const struct bgpd_peer *more);
void bgpd_gtsm_drop(struct bgpd_listener *l); /* until the next update */
/* Was what the connection @fd of @l holds judged by the filter that @l has? Asked when IP_MINTTL is set:
 * what comes from now on is judged by that. */
bool bgpd_gtsm_trusts(const struct bgpd_listener *l, int fd);

#endif
