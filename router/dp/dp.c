/* dp.c - the data plane's control side: everything of dp.h.
 *
 * Parts: this file, tables.c, links.c, dpsend.c and offload.c run on the control thread; worker.c,
 * tx.c, txq.c, rx.c and rxrelay.c on the workers; udp.c and tun.c make the system calls; pkt, gso, csum,
 * coalesce, flow, ecn and relay are pure transforms.
 * Data in and out: see tx.c (TUN to socket) and rx.c (socket to TUN).
 *
 * Control to workers: tables (keys, segments, peers, FIBs) that are changed in place and read under
 * QSBR; what is taken out waits in dp->bin for a grace period, at the latest until the end of the
 * next dp_poll(), which a change asks for. The control thread is the only writer and never a
 * registered reader: it frees only where it holds no pointer of its own.
 * Workers to control: two bounded rings, one for datagrams that are control's business, one for
 * events, so that a flood of the former can't hide the latter; an eventfd wakes control. An event
 * that finds its ring full is told again by the next packet that causes it.
 *
 * Bounds: LIM_WORKERS, LIM_PEERS, LIM_SEGMENTS, LIM_CONTROL_QUEUE, LIM_PEER_BACKLOG_BYTES.
 * Failure: constructors release in reverse; a change that fails leaves the tables as they were. */
#include "dp.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include "weft/err.h"
#include "weft/log.h"
#include "dp_int.h"
#include "flow_bpf.h"

#define KEYS_MAX (LIM_PEERS * 8) /* four slots per peer, twice for keys on their way out */

/* ---- between workers and control ---- */

void dp_wake(struct dp *dp)
{
	const uint64_t one = 1;

	if (__atomic_load_n(&dp->woken, __ATOMIC_RELAXED) ||
		__atomic_exchange_n(&dp->woken, 1, __ATOMIC_ACQ_REL))
		return;
	/* An eventfd that can't take it is readable already. */
	if (write(dp->wakefd, &one, sizeof(one)) < 0)
		return;
}

bool dp_tell_datagram(struct dp *dp, const struct udp_in *in, const struct dp_way *back)
{
	struct ring *ring = in->len > WIRE_CONTROL_MAX ? dp->longs : dp->datagrams;
	struct note_datagram *n = ring_claim(ring);

	if (!n)
		return false;
	assert(in->len <= CTL_RX_BUF);
	n->from = in->from;
	n->local = in->local;
	n->back = back ? *back : (struct dp_way){.n = 0};
	n->len = (uint16_t)in->len;
	memcpy(n->buf, in->buf, in->len);
	ring_commit(ring, n);
	dp_wake(dp);
	return true;
}

bool dp_tell(struct dp *dp, enum note_kind kind, uint32_t which, const struct udp_in *in)
{
	struct note_event *n;

	n = ring_claim(dp->events);
	if (!n)
		return false;
	*n = (struct note_event){.kind = (uint8_t)kind, .which = which};
	if (in) {
		n->from = in->from;
		n->local = in->local;
	}
	ring_commit(dp->events, n);
	dp_wake(dp);
	return true;
}

void dp_tell_active(struct dp *dp, struct dppeer *p)
{
	if (!__atomic_exchange_n(&p->active, 1, __ATOMIC_RELAXED) &&
		!dp_tell(dp, NOTE_ACTIVE, p->handle, NULL))
		__atomic_store_n(&p->active, 0, __ATOMIC_RELAXED);
}

/* ---- life ---- */

static size_t buffer_bytes(const struct dp *dp, size_t per_ms)
{
	size_t ms = dp->cfg.queue_ms ? dp->cfg.queue_ms : 5, n = ms * per_ms;

	return n > (16u << 20) ? 16u << 20 : n;
}

static struct udp_opts sock_opts(const struct dp *dp, bool gro)
{
	return (struct udp_opts){
		.bind = dp->cfg.listen,
		.mark = dp->cfg.mark,
		.reuseport = true,
		.gro = gro,
		/* What a 10 Gb/s link brings, and what 4 Gb/s of our own takes away, in that time. */
		.rcvbuf = buffer_bytes(dp, 1250 * 1000),
		.sndbuf = buffer_bytes(dp, 500 * 1000),
	};
}

/* Find the port and family. Alone on the port: a second daemon would otherwise join our reuseport
 * group unseen and take a part of the traffic. */
static int claim_port(struct dp *dp)
{
	struct udp_opts o = sock_opts(dp, false);
	struct udp_sock s;
	int err;

	o.reuseport = false;
	err = udp_open(&s, &o);
	if (err < 0) {
		char text[EP_STRLEN];

		log_error("dp", "%s: %s", ep_fmt(&dp->cfg.listen, text), err_str(err));
		return err;
	}
	dp->port = udp_port(&s);
	if (dp->cfg.listen.ip.family == IP_V6 && !s.v6) {
		log_warn("dp", "no IPv6 on this host: outer traffic is IPv4 only");
		memset(&dp->cfg.listen.ip, 0, sizeof(dp->cfg.listen.ip));
		dp->cfg.listen.ip.family = IP_V4;
	}
	dp->cfg.listen.port = dp->port;
	udp_close(&s);
	return 0;
}

/* Worker w's own port: the first free one of lo + w, lo + w + workers, ... */
static void open_side(struct dp *dp, struct worker *w)
{
	struct udp_opts o = sock_opts(dp, dp->gro);
	unsigned port = dp->cfg.side_port_lo + w->number;

	o.reuseport = false;
	if (dp->cfg.side_port_lo == 0)
		return;
	for (; port <= dp->cfg.side_port_hi; port += dp->cfg.workers) {
		o.bind.port = (uint16_t)port;
		if (udp_open(&w->sock[TXQ_SIDE], &o) == 0) {
			dp->side_ports++;
			return;
		}
	}
	offload_off(dp, "source_ports", "too few free ones in the range");
}

static int open_worker(struct dp *dp, unsigned number)
{
	struct udp_opts o = sock_opts(dp, dp->gro);
	struct worker *w;
	int err = worker_new(dp, number, &w);

	if (err < 0)
		return err;
	dp->worker[dp->worker_count++] = w;
	err = udp_open(&w->sock[TXQ_MAIN], &o);
	if (err < 0)
		return err;
	err = worker_watch_sock(w, TXQ_MAIN, false);
	if (err < 0)
		return err;
	open_side(dp, w);
	return w->sock[TXQ_SIDE].fd < 0 ? 0 : worker_watch_sock(w, TXQ_SIDE, false);
}

/* Control's socket is the last of the group; only the filter sends anything to it. Without the filter
 * it is closed again, and workers pass control on.
 *
 * It asks for GRO like the workers', though it gets little: before a datagram is delivered, the kernel's
 * GRO looks for its socket to know whether it may be joined, with the packet at another place than the
 * filter expects, so that any socket of the group may be found, by a hash that differs from one network
 * namespace to the next. If that is one without GRO, no data of that peer is ever joined: less than half
 * the rate on a network card. */
static int open_control(struct dp *dp)
{
	struct sock_filter prog[FLOW_BPF_REUSEPORT_MAX];
	size_t count = flow_bpf_reuseport(prog, dp->cfg.workers);
	struct udp_opts o = sock_opts(dp, dp->gro);
	struct epoll_event e = {.events = EPOLLIN};
	int err;

	if (!dp->offloads.udp_steering)
		return 0;
	err = udp_open(&dp->control, &o);
	if (err < 0)
		return err;
	err = udp_steer(&dp->control, prog, count);
	if (err < 0) {
		udp_close(&dp->control);
		dp->offloads.udp_steering = false;
		offload_off(dp, "udp_steering", err_str(err));
		return 0;
	}
	return epoll_ctl(dp->epfd, EPOLL_CTL_ADD, dp->control.fd, &e) < 0 ? -errno : 0;
}

static int open_events(struct dp *dp)
{
	struct epoll_event e = {.events = EPOLLIN};

	dp->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (dp->epfd < 0)
		return -errno;
	dp->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (dp->wakefd < 0)
		return -errno;
	return epoll_ctl(dp->epfd, EPOLL_CTL_ADD, dp->wakefd, &e) < 0 ? -errno : 0;
}

static void endpoint_retire(void *ctx, void *mem)
{
	struct dp *dp = ctx;

	rcu_defer(&dp->bin, free, mem);
}

static int make_tables(struct dp *dp)
{
	int err = idx_init(&dp->keys, &dp->bin, KEYS_MAX);

	if (err < 0)
		return err;
	err = idx_init(&dp->segments, &dp->bin, LIM_SEGMENTS);
	if (err < 0)
		return err;
	err = idx_init(&dp->labels, &dp->bin, LIM_PEERS);
	if (err < 0)
		return err;
	dp->nobody = dppeer_slots_new(dp->cfg.workers + 1);
	dp->endpoints = lpm_new(endpoint_retire, dp);
	dp->datagrams =
		ring_new(LIM_CONTROL_QUEUE, sizeof(struct note_datagram) + WIRE_CONTROL_MAX);
	dp->longs = ring_new(LIM_PROBE_QUEUE, sizeof(struct note_datagram) + CTL_RX_BUF);
	dp->events = ring_new(EVENT_RING, sizeof(struct note_event));
	if (!dp->nobody || !dp->endpoints || !dp->datagrams || !dp->longs || !dp->events)
		return ERR_NOMEM;
	return winpool_fill(&dp->windows) == 0 ? ERR_NOMEM : 0;
}

int dp_new(const struct dp_cfg *cfg, struct dp **out)
{
	size_t size = (sizeof(struct dp) + 63) & ~(size_t)63;
	struct dp *dp;
	int err;

	if (cfg->workers < 1 || cfg->workers > LIM_WORKERS || cfg->side_port_lo > cfg->side_port_hi)
		return ERR_RANGE;
	err = aead_init();
	if (err < 0)
		return err;
	dp = aligned_alloc(64, size);
	if (!dp)
		return ERR_NOMEM;
	memset(dp, 0, size);
	dp->cfg = *cfg;
	dp->wakefd = dp->epfd = dp->control.fd = -1;
	dp->fib_generation = 1; /* an empty cache holds 0 */
	dp->next_uid = 1;
	list_init(&dp->active);
	err = make_tables(dp);
	if (err < 0)
		goto fail;
	err = claim_port(dp);
	if (err < 0)
		goto fail;
	dp->ports[dp->port / 32] |= UINT32_C(1) << (dp->port % 32);
	offload_probe(dp);
	err = open_events(dp);
	for (unsigned i = 0; i < cfg->workers && err == 0; i++)
		err = open_worker(dp, i);
	if (err == 0)
		err = open_control(dp);
	if (err == 0)
		err = rx_init(&dp->rx, dp, cfg->workers, &dp->c, RX_BUF, UDP_RECV_BURST);
	if (err < 0) {
		log_error("dp", "can't open the outer sockets: %s", err_str(err));
		goto fail;
	}
	dp->offloads.side_ports = dp->side_ports;
	*out = dp;
	return 0;
fail:
	dp_free(dp);
	return err;
}

int dp_start(struct dp *dp)
{
	if (dp->started)
		return ERR_STATE;
	for (unsigned i = 0; i < dp->worker_count; i++) {
		int err = worker_start(dp->worker[i]);

		if (err == 0)
			continue;
		log_error("dp", "can't start worker %u: %s", i, err_str(err));
		while (i-- > 0)
			worker_stop(dp->worker[i]);
		return err;
	}
	dp->started = true;
	return 0;
}

static void segment_release(void *mem)
{
	struct segment *s = mem;

	fib_free(s->fib);
	for (unsigned i = 0; i < s->queues; i++)
		close(s->fd[i]);
	free(s);
}

void dp_free(struct dp *dp)
{
	if (!dp)
		return;
	for (unsigned i = 0; dp->started && i < dp->worker_count; i++)
		worker_stop(dp->worker[i]);
	/* No readers are left; the usual ways still leave everything in order. */
	for (unsigned h = 0; h < dp->peer_top; h++)
		dp_peer_del(dp, h);
	for (unsigned i = 0; i < LIM_SEGMENTS; i++) {
		if (dp->segment[i])
			dp_segment_del(dp, dp->segment[i]->vni);
	}
	rcu_empty(&dp->bin);
	for (unsigned i = dp->worker_count; i-- > 0;)
		worker_free(dp->worker[i]);
	rx_fini(&dp->rx);
	udp_close(&dp->control);
	if (dp->wakefd >= 0)
		close(dp->wakefd);
	if (dp->epfd >= 0)
		close(dp->epfd);
	winpool_fini(&dp->windows);
	ring_free(dp->events);
	ring_free(dp->longs);
	ring_free(dp->datagrams);
	lpm_free(dp->endpoints);
	idx_fini(&dp->labels);
	idx_fini(&dp->segments);
	idx_fini(&dp->keys);
	free(dp->nobody);
	free(dp);
}

uint16_t dp_port(const struct dp *dp)
{
	return dp->port;
}

bool dp_has_ipv6(const struct dp *dp)
{
	return dp->worker[0]->sock[TXQ_MAIN].v6;
}

/* ---- segments ---- */

static void close_all(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
}

static void fib_changed(struct dp *dp)
{
	__atomic_fetch_add(&dp->fib_generation, 1, __ATOMIC_RELEASE);
}

static int segment_new(
	struct dp *dp, uint32_t vni, const char *ifname, const int *fds, struct segment **out)
{
	unsigned n = dp->cfg.workers;
	struct segment *s = calloc(1, sizeof(*s) + n * sizeof(s->fd[0]));

	if (!s)
		return ERR_NOMEM;
	s->fib = fib_new(&dp->bin, &dp->fib_generation);
	if (!s->fib) {
		free(s);
		return ERR_NOMEM;
	}
	s->vni = vni;
	strncpy(s->ifname, ifname, sizeof(s->ifname) - 1);
	s->queues = n;
	memcpy(s->fd, fds, n * sizeof(fds[0]));
	s->drops_before = tun_kernel_drops(s->ifname);
	*out = s;
	return 0;
}

int dp_segment_add(struct dp *dp, uint32_t vni, const char *ifname, const int *fds, unsigned mtu)
{
	struct segment *s = NULL;
	unsigned slot = 0;
	int err;

	while (slot < LIM_SEGMENTS && dp->segment[slot])
		slot++;
	if (vni > VNI_MAX)
		err = ERR_RANGE;
	else if (slot == LIM_SEGMENTS)
		err = ERR_FULL;
	else
		err = segment_new(dp, vni, ifname, fds, &s);
	if (err < 0) {
		close_all(fds, dp->cfg.workers);
		return err;
	}
	s->slot = slot;
	s->mtu = mtu;
	err = offload_segment(dp, s);
	if (err == 0)
		err = idx_put(&dp->segments, vni, s);
	if (err < 0) {
		segment_release(s);
		return err;
	}
	rcu_set(&dp->segment[slot], s);
	fib_changed(dp);
	for (unsigned i = 0; i < dp->worker_count && err == 0; i++)
		err = worker_watch(dp->worker[i], s);
	if (err < 0)
		dp_segment_del(dp, vni);
	return err;
}

int dp_segment_mtu(struct dp *dp, uint32_t vni, unsigned mtu)
{
	struct segment *s = idx_get(&dp->segments, vni);

	if (!s)
		return ERR_NOT_FOUND;
	__atomic_store_n(&s->mtu, mtu, __ATOMIC_RELAXED);
	return 0;
}

int dp_segment_del(struct dp *dp, uint32_t vni)
{
	struct segment *s = idx_del(&dp->segments, vni);

	if (!s)
		return ERR_NOT_FOUND;
	for (unsigned i = 0; i < dp->worker_count; i++)
		worker_unwatch(dp->worker[i], s);
	rcu_set(&dp->segment[s->slot], NULL);
	fib_changed(dp);
	rcu_defer(&dp->bin, segment_release, s);
	/* The caller may open the same device again: its queues must be free by then. */
	rcu_empty(&dp->bin);
	return 0;
}

/* ---- control traffic and events ---- */

int dp_event_fd(const struct dp *dp)
{
	return dp->epfd;
}

static void peer_activate(struct dp *dp, struct dppeer *p)
{
	__atomic_store_n(&p->active, 1, __ATOMIC_RELAXED);
	if (list_empty(&p->by_active))
		list_add_tail(&dp->active, &p->by_active);
}

static void give_event(
	struct dp *dp, const struct note_event *n, const struct dp_ops *ops, void *ctx)
{
	const struct dppeer *p;

	switch ((enum note_kind)n->kind) {
	case NOTE_CONFIRMED:
		ops->key_confirmed(ctx, n->which);
		break;
	case NOTE_SOFT:
	case NOTE_HARD:
		ops->key_limit(ctx, n->which, n->kind == NOTE_HARD);
		break;
	case NOTE_ROAM:
		ops->roam_hint(ctx, n->which, &n->from, &n->local);
		break;
	case NOTE_WANT:
		/* It may have come meanwhile, or the peer may be gone. */
		p = dp_peer_get(dp, n->which);
		if (ops->want_session && p && !(p->key && p->path))
			ops->want_session(ctx, n->which);
		break;
	case NOTE_ACTIVE:
		if (!dp_peer_get(dp, n->which))
			break;
		peer_activate(dp, dp->peer[n->which]);
		if (ops->link_active)
			ops->link_active(ctx, n->which);
		break;
	}
}

/* Give what waits longest in @ring to control. False: nothing waits. */
static bool give_datagram(struct ring *ring, const struct dp_ops *ops, void *ctx)
{
	struct note_datagram *d = ring_peek(ring);

	if (!d)
		return false;
	if (d->back.n == 0)
		ops->datagram(ctx, &d->from, &d->local, d->buf, d->len);
	else if (ops->relayed)
		ops->relayed(ctx, &d->back, d->buf, d->len);
	ring_done(ring);
	return true;
}

void dp_poll(struct dp *dp, unsigned budget, const struct dp_ops *ops, void *ctx)
{
	struct note_event *e;
	unsigned done = 0, from_socket = 0;
	uint64_t count;

	if (read(dp->wakefd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_warn("dp", "wake-up counter: %s", err_str(-errno));
	/* Before the rings are looked at: what is put in afterwards wakes again. */
	__atomic_exchange_n(&dp->woken, 0, __ATOMIC_ACQ_REL);
	if (__atomic_load_n(&dp->windows.left, __ATOMIC_RELAXED) < WINPOOL_SLOTS)
		(void)winpool_fill(&dp->windows);
	while ((e = ring_peek(dp->events)) != NULL) {
		struct note_event copy = *e;

		ring_done(dp->events);
		give_event(dp, &copy, ops, ctx);
	}
	/* Half of the budget for what workers passed on, the rest for the socket. */
	while (done < (budget + 1) / 2 && give_datagram(dp->longs, ops, ctx))
		done++;
	while (done < (budget + 1) / 2 && give_datagram(dp->datagrams, ops, ctx))
		done++;
	if (dp->control.fd >= 0 && done < budget) {
		dp->rx.now_ns = dp_now_ns();
		dp->rx.ops = ops;
		dp->rx.ops_ctx = ctx;
		from_socket = rx_turn(&dp->rx, &dp->control, budget - done);
		dp->rx.ops = NULL;
	}
	while (done + from_socket < budget && give_datagram(dp->datagrams, ops, ctx))
		done++;
	rcu_empty(&dp->bin);
	if (ring_peek(dp->datagrams) || ring_peek(dp->longs) || ring_peek(dp->events))
		dp_wake(dp);
}
