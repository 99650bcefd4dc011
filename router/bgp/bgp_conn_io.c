/* bgp_conn_io.c - one TCP connection: its events for the core, the core's bytes for it. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "weft/err.h"
#include "weft/log.h"
#include "bgpd_int.h"
#include "sockaddr.h"

#define CLOSING_TIME DUR_SEC(2)

struct bgpd_conn {
	struct bgpd *d;
	struct loop_io *io;
	struct list link; /* in closing */
	uint32_t id, peer;
	int fd;
	bool dialling, closing;
	const uint8_t *out; /* what the core offered and the kernel didn't take yet; its own */
	size_t out_len;
	ts_t give_up; /* of a closing one */
};

static struct bgpd_conn *find(const struct bgpd *d, uint32_t id)
{
	return map_get(d->conns, &id);
}

static void conn_free(struct bgpd_conn *c)
{
	struct bgpd *d = c->d;

	if (c->closing)
		d->nclosing--;
	else
		(void)map_del(d->conns, &c->id);
	list_del(&c->link);
	loop_io_free(c->io);
	close(c->fd);
	free(c);
}

/* It ended, failed, or never came up. */
static void conn_lost(struct bgpd_conn *c, int err)
{
	struct bgpd *d = c->d;
	uint32_t id = c->id;

	log_debug("bgp", "connection %u: %s", id, err ? err_str(err) : "the peer closed it");
	conn_free(c);
	(void)bgp_closed(d->core, id, loop_now());
}

/* Hand the kernel what was offered; what it leaves waits until the socket is writable. */
static void push(struct bgpd_conn *c)
{
	ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)) {
		if (loop_io_set(c->io, LOOP_READ | LOOP_WRITE) != 0)
			conn_lost(c, ERR_NOMEM);
		return;
	}
	if (n < 0) {
		conn_lost(c, -errno);
		return;
	}
	c->out = NULL;
	(void)bgp_written(c->d->core, c->id, (size_t)n, loop_now());
}

static void on_dialled(struct bgpd_conn *c)
{
	struct bgpd *d = c->d;
	struct ip local;
	int err = bgp_sock_result(c->fd);

	if (!err)
		err = bgp_sock_local(c->fd, &local);
	if (!err)
		err = loop_io_set(c->io, LOOP_READ);
	if (err) {
		conn_lost(c, err);
		return;
	}
	c->dialling = false;
	(void)bgp_connected(d->core, c->id, &local, loop_now());
}

static void on_readable(struct bgpd_conn *c)
{
	struct bgpd *d = c->d;
	ssize_t n = recv(c->fd, d->buf, sizeof(d->buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && !c->closing)
		(void)bgp_recv(d->core, c->id, d->buf, (size_t)n, loop_now());
	else if (n <= 0 && c->closing)
		conn_free(c);
	else if (n <= 0)
		conn_lost(c, n < 0 ? -errno : 0);
}

static void on_io(void *ctx, int events)
{
	struct bgpd_conn *c = ctx;
	struct bgpd *d = c->d;
	uint32_t id = c->id;
	bool closing = c->closing;

	if (c->dialling) {
		on_dialled(c);
	} else {
		if (events & LOOP_WRITE) {
			(void)loop_io_set(c->io, LOOP_READ);
			if (c->out)
				push(c);
		}
		/* push() may have ended it */
		if ((events & LOOP_READ) && (closing || find(d, id) == c))
			on_readable(c);
	}
	bgpd_kick(d);
}

int bgpd_conn_new(struct bgpd *d, uint32_t conn, uint32_t peer, int fd, bool dialling)
{
	struct bgpd_conn *c = calloc(1, sizeof(*c));

	if (!c)
		goto fail;
	*c = (struct bgpd_conn){.d = d, .id = conn, .peer = peer, .fd = fd, .dialling = dialling};
	list_init(&c->link);
	c->io = loop_io_new(d->loop, fd, dialling ? LOOP_WRITE : LOOP_READ, on_io, c);
	if (!c->io)
		goto fail;
	if (map_put(d->conns, &conn, c) != 0)
		goto fail;
	return 0;
fail:
	if (c)
		loop_io_free(c->io);
	free(c);
	close(fd);
	return ERR_NOMEM;
}

void bgpd_conn_send(struct bgpd *d, uint32_t conn, const uint8_t *buf, size_t len)
{
	struct bgpd_conn *c = find(d, conn);

	if (!c)
		return;
	assert(!c->dialling);
	c->out = buf;
	c->out_len = len;
	push(c);
}

void bgpd_conn_close(struct bgpd *d, uint32_t conn)
{
	struct bgpd_conn *c = find(d, conn);

	if (!c)
		return;
	c->out = NULL; /* the core takes it back */
	if (c->dialling || shutdown(c->fd, SHUT_WR) != 0 || loop_io_set(c->io, LOOP_READ) != 0) {
		conn_free(c);
		return;
	}
	if (d->nclosing == LIM_BGP_CLOSING)
		conn_free(list_entry(d->closing.next, struct bgpd_conn, link));
	(void)map_del(d->conns, &c->id);
	c->closing = true;
	c->give_up = ts_add(loop_now(), CLOSING_TIME);
	list_add_tail(&d->closing, &c->link);
	d->nclosing++;
}

int bgpd_conn_password(struct bgpd *d, uint32_t peer, const struct ip *remote, const char *password)
{
	const struct pfx whose = sockaddr_host(remote);
	size_t it = 0;
	void *v;
	int first = 0;

	while (map_next(d->conns, &it, NULL, &v)) {
		const struct bgpd_conn *c = v;

		if (c->peer == peer && !first)
			first = bgp_sock_password(c->fd, &whose, password);
	}
	return first;
}

ts_t bgpd_conn_deadline(const struct bgpd *d)
{
	return list_empty(&d->closing)
		       ? TS_NEVER
		       : list_entry(d->closing.next, struct bgpd_conn, link)->give_up;
}

void bgpd_conn_expire(struct bgpd *d, ts_t now)
{
	while (ts_due(bgpd_conn_deadline(d), now))
		conn_free(list_entry(d->closing.next, struct bgpd_conn, link));
}

void bgpd_conn_free_all(struct bgpd *d)
{
	size_t it = 0;
	void *v;

	while (!list_empty(&d->closing))
		conn_free(list_entry(d->closing.next, struct bgpd_conn, link));
	while (d->conns && map_next(d->conns, &it, NULL, &v))
		conn_free(v);
}
