/* nlx.c - netlink sockets: one request, dumps, batches.
 *
 * Data in: messages built by the nl_*.c files. Data out: replies, one by one, to callbacks. State: the
 * sequence number. The kernel works through everything in one send before that returns, so replies
 * wait in the receive buffer already; the receive timeout is a belt against a kernel that loses one.
 *
 * Bounds: a reply datagram holds at most NLX_BUF_BYTES (libmnl reports longer ones as ENOSPC, the
 * kernel sizes dumps by the receiver's buffer). Failure: EINTR is repeated, ENOBUFS means that replies
 * were lost: a dump starts over, a batch reports all its objects as unknown. */
#include "nlx.h"

#include <assert.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include "weft/err.h"

#define RCVBUF_BYTES  (8 * 1024 * 1024)
#define TALK_SECS     5
#define STALE_REPLIES 4096 /* replies to something older that are skipped before giving up */

const struct nlx_io nlx_io_kernel = {.send = mnl_socket_sendto, .recv = mnl_socket_recvfrom};

int nlx_open(struct nlx *x, int bus)
{
	struct timeval limit = {.tv_sec = TALK_SECS};
	int on = 1, bytes = RCVBUF_BYTES, fd, err;

	memset(x, 0, sizeof(*x));
	x->io = &nlx_io_kernel;
	x->buf = malloc(NLX_BUF_BYTES);
	if (!x->buf)
		return ERR_NOMEM;
	x->sock = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!x->sock || mnl_socket_bind(x->sock, 0, MNL_SOCKET_AUTOPID) < 0) {
		err = -errno;
		nlx_close(x);
		return err;
	}
	fd = mnl_socket_get_fd(x->sock);
	x->portid = mnl_socket_get_portid(x->sock);
	/* Each of these only makes things better; old kernels lack some. */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	mnl_socket_setsockopt(x->sock, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(x->sock, NETLINK_CAP_ACK, &on, sizeof(on));
	if (bus == NETLINK_ROUTE)
		mnl_socket_setsockopt(x->sock, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	return 0;
}

void nlx_close(struct nlx *x)
{
	if (x->sock)
		mnl_socket_close(x->sock);
	x->sock = NULL;
	free(x->buf);
	x->buf = NULL;
}

struct nlmsghdr *nlx_msg(void *buf, uint16_t type, uint16_t flags, size_t extra)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	if (extra > 0)
		mnl_nlmsg_put_extra_header(nlh, extra);
	return nlh;
}

/* mnl_nlmsg_ok() compares lengths as signed numbers: one above 2^31 passes, and the walk never ends. */
static bool msg_ok(const struct nlmsghdr *m, int left)
{
	return left >= (int)sizeof(*m) && m->nlmsg_len <= (unsigned)left && mnl_nlmsg_ok(m, left);
}

static int send_all(struct nlx *x, const void *buf, size_t len)
{
	ssize_t n;

	do
		n = x->io->send(x->sock, buf, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* One datagram into x->buf: its length or -errno. */
static int recv_one(struct nlx *x)
{
	ssize_t n;

	do
		n = x->io->recv(x->sock, x->buf, NLX_BUF_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? -ETIMEDOUT : -errno;
	return (int)n;
}

/* The attributes behind @skip bytes of payload. libmnl's own loop rounds the message's end up, and so
 * reads past a length that isn't a multiple of four. */
#define for_each_attr(a, nlh, skip)                                                                \
	for ((a) = mnl_nlmsg_get_payload_offset(nlh, skip);                                        \
		mnl_attr_ok(a, (int)((const char *)(nlh) + (nlh)->nlmsg_len - (const char *)(a))); \
		(a) = mnl_attr_next(a))

/* The words in an extended acknowledgement. */
static void said_from(const struct nlmsghdr *nlh, char *said)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	size_t skip = sizeof(*e);
	const struct nlattr *a;

	said[0] = '\0';
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED)) {
		if (e->msg.nlmsg_len < sizeof(e->msg) || e->msg.nlmsg_len > NLX_BUF_BYTES)
			return;
		skip += MNL_ALIGN(e->msg.nlmsg_len - sizeof(e->msg));
	}
	if (mnl_nlmsg_get_payload_len(nlh) < skip)
		return;
	for_each_attr(a, nlh, skip)
	{
		size_t n = mnl_attr_get_payload_len(a);

		if (mnl_attr_get_type(a) != NLMSGERR_ATTR_MSG)
			continue;
		if (n > NLX_SAID_BYTES - 1)
			n = NLX_SAID_BYTES - 1;
		memcpy(said, mnl_attr_get_payload(a), n);
		said[n] = '\0';
	}
}

/* The code in an NLMSG_ERROR: 0 or -errno. */
static int error_code(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*e) || e->error > 0)
		return ERR_MALFORMED;
	return e->error;
}

/* The code in an NLMSG_DONE. */
static int done_code(const struct nlmsghdr *nlh)
{
	int code = 0;

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(code))
		memcpy(&code, mnl_nlmsg_get_payload(nlh), sizeof(code));
	return code > 0 ? 0 : code;
}

static bool for_us(const struct nlx *x, const struct nlmsghdr *nlh, uint32_t seq)
{
	return nlh->nlmsg_seq == seq && (nlh->nlmsg_pid == x->portid || nlh->nlmsg_pid == 0);
}

/* Wait for the acknowledgement of @last; replies before it go to @fn. In a transaction the kernel tells
 * each message's error in order, and acknowledges the last one even when an earlier one has undone all. */
static int talk_wait(struct nlx *x, uint32_t first, uint32_t last, nlx_fn fn, void *ctx)
{
	int err, kept = 0, told = 0;

	for (unsigned stale = 0; stale < STALE_REPLIES; stale++) {
		int len = recv_one(x);
		const struct nlmsghdr *m = (const void *)x->buf;

		if (len < 0)
			return told != 0 ? told : len;
		for (; msg_ok(m, len); m = mnl_nlmsg_next(m, &len)) {
			if (m->nlmsg_seq - first > last - first || !for_us(x, m, m->nlmsg_seq))
				continue;
			if (m->nlmsg_type == NLMSG_ERROR) {
				err = error_code(m);
				if (err != 0 && err != ERR_MALFORMED && told == 0)
					said_from(m, x->said);
				if (told == 0)
					told = err;
				if (m->nlmsg_seq == last || (m->nlmsg_seq == first && err != 0))
					return told != 0 ? told : kept;
			}
			if (m->nlmsg_type >= NLMSG_MIN_TYPE && fn && kept == 0)
				kept = fn(ctx, m);
		}
	}
	return told != 0 ? told : -ETIMEDOUT;
}

int nlx_talk(struct nlx *x, struct nlmsghdr *nlh, nlx_fn fn, void *ctx)
{
	nlh->nlmsg_seq = ++x->seq;
	nlh->nlmsg_flags |= NLM_F_ACK;
	return nlx_talk_span(x, nlh, nlh->nlmsg_len, nlh->nlmsg_seq, nlh->nlmsg_seq, fn, ctx);
}

int nlx_talk_span(struct nlx *x, const void *buf, size_t len, uint32_t first, uint32_t last,
	nlx_fn fn, void *ctx)
{
	int err;

	x->said[0] = '\0';
	err = send_all(x, buf, len);
	return err != 0 ? err : talk_wait(x, first, last, fn, ctx);
}

int nlx_dump_begin(struct nlx *x, struct nlmsghdr *nlh)
{
	int err;

	x->said[0] = '\0';
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	/* A new number each time: what is left of a torn dump is not for us any more. */
	nlh->nlmsg_seq = ++x->seq;
	x->dump.seq = nlh->nlmsg_seq;
	x->dump.kept = 0;
	x->dump.torn = false;
	err = send_all(x, nlh, nlh->nlmsg_len);
	return err == -EBUSY ? -EAGAIN : err;
}

/* One message. 1: the dump goes on; else how it ended. */
static int dump_message(struct nlx *x, const struct nlmsghdr *m, nlx_fn fn, void *ctx)
{
	int code;

	if (!for_us(x, m, x->dump.seq))
		return 1;
	x->dump.torn |= m->nlmsg_flags & NLM_F_DUMP_INTR;
	if (m->nlmsg_type == NLMSG_ERROR) {
		said_from(m, x->said);
		code = error_code(m);
		return code == -EBUSY ? -EAGAIN : code; /* still at work on the dump before */
	}
	if (m->nlmsg_type == NLMSG_DONE) {
		code = done_code(m);
		if (x->dump.torn || code == -EINTR)
			return -EAGAIN;
		return code != 0 ? code : x->dump.kept;
	}
	if (m->nlmsg_type >= NLMSG_MIN_TYPE && x->dump.kept == 0 && !x->dump.torn)
		x->dump.kept = fn(ctx, m);
	return 1;
}

int nlx_dump_some(struct nlx *x, unsigned max, nlx_fn fn, void *ctx)
{
	for (; max > 0; max--) {
		int len = recv_one(x), err;
		const struct nlmsghdr *m = (const void *)x->buf;

		if (len < 0)
			return len == -ENOBUFS ? -EAGAIN : len;
		for (; msg_ok(m, len); m = mnl_nlmsg_next(m, &len)) {
			err = dump_message(x, m, fn, ctx);
			if (err != 1)
				return err;
		}
	}
	return 1;
}

int nlx_dump(struct nlx *x, struct nlmsghdr *nlh, void (*begin)(void *ctx), nlx_fn fn, void *ctx)
{
	int err = -EAGAIN;

	for (unsigned i = 0; i < NLX_DUMP_TRIES && err == -EAGAIN; i++) {
		if (begin)
			begin(ctx);
		err = nlx_dump_begin(x, nlh);
		if (err == 0)
			do
				err = nlx_dump_some(x, 1, fn, ctx);
			while (err == 1);
	}
	return err;
}

int nlx_walk(const void *buf, size_t len, nlx_fn fn, void *ctx)
{
	const struct nlmsghdr *m = buf;
	int left = (int)len, err;

	for (; msg_ok(m, left); m = mnl_nlmsg_next(m, &left)) {
		if (m->nlmsg_type < NLMSG_MIN_TYPE)
			continue;
		err = fn(ctx, m);
		if (err != 0)
			return err;
	}
	return left > 0 ? ERR_MALFORMED : 0;
}

int nlx_drain(struct nlx *x, unsigned max, nlx_fn fn, void *ctx)
{
	unsigned n = 0;

	while (n < max) {
		int len = recv_one(x);

		if (len == -ETIMEDOUT)
			break;
		if (len < 0)
			return len;
		n++;
		/* One strange message costs itself, not those behind it. */
		(void)nlx_walk(x->buf, (size_t)len, fn, ctx);
	}
	return (int)n;
}

/* ---- batches ---- */

struct nlx_batch *nlx_batch_new(struct nlx *x)
{
	struct nlx_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->out = malloc(NLX_BUF_BYTES);
	if (!b->out) {
		free(b);
		return NULL;
	}
	b->x = x;
	return b;
}

void nlx_batch_free(struct nlx_batch *b)
{
	if (!b)
		return;
	free(b->out);
	free(b);
}

/* The last message's length is known only when the next one begins. */
static size_t batch_len(const struct nlx_batch *b)
{
	return b->last ? (size_t)((char *)b->last - b->out) + MNL_ALIGN(b->last->nlmsg_len) : 0;
}

bool nlx_batch_full(const struct nlx_batch *b)
{
	return b->count == NLX_BATCH_MSGS || batch_len(b) + NLX_MSG_BYTES > NLX_BUF_BYTES;
}

struct nlmsghdr *nlx_batch_add(
	struct nlx_batch *b, uint16_t type, uint16_t flags, size_t extra, void *obj)
{
	assert(!nlx_batch_full(b));
	b->last = nlx_msg(b->out + batch_len(b), type, flags, extra);
	b->last->nlmsg_seq = ++b->x->seq;
	b->obj[b->count] = obj;
	b->err[b->count++] = 0;
	return b->last;
}

static int batch_collect(struct nlx_batch *b, uint32_t seq0)
{
	unsigned stale = 0;

	for (;;) {
		int len = recv_one(b->x);
		const struct nlmsghdr *m = (const void *)b->x->buf;

		if (len < 0)
			return len;
		for (; msg_ok(m, len); m = mnl_nlmsg_next(m, &len)) {
			uint32_t i = m->nlmsg_seq - seq0;

			if (m->nlmsg_type != NLMSG_ERROR || i >= b->count ||
				!for_us(b->x, m, seq0 + i))
				continue;
			b->err[i] = error_code(m);
			if (b->err[i] != 0 && b->err[i] != ERR_MALFORMED && b->said[0] == '\0')
				said_from(m, b->said);
			if (i == b->count - 1)
				return 0;
		}
		if (++stale > STALE_REPLIES)
			return -ETIMEDOUT;
	}
}

int nlx_batch_run(struct nlx_batch *b, void (*done)(void *ctx, void *obj, int err), void *ctx)
{
	unsigned count = b->count;
	int err;

	if (count == 0)
		return 0;
	b->said[0] = '\0';
	b->last->nlmsg_flags |= NLM_F_ACK;
	err = send_all(b->x, b->out, batch_len(b));
	if (err == 0)
		err = batch_collect(b, b->last->nlmsg_seq - (count - 1));
	for (unsigned i = 0; i < count; i++)
		done(ctx, b->obj[i], err != 0 ? err : b->err[i]);
	b->count = 0;
	b->last = NULL;
	return err;
}

/* ---- attributes ---- */

static int attr_take(const struct nlattr *a, const struct nlx_policy *policy, size_t npolicy,
	const struct nlattr **tb, unsigned max)
{
	unsigned type = mnl_attr_get_type(a);

	for (size_t i = 0; i < npolicy; i++) {
		if (policy[i].type != type)
			continue;
		assert(type <= max);
		if (policy[i].kind == MNL_TYPE_BINARY) {
			if (policy[i].bytes != 0 && mnl_attr_get_payload_len(a) != policy[i].bytes)
				return ERR_MALFORMED;
		} else if (mnl_attr_validate(a, policy[i].kind) < 0) {
			return ERR_MALFORMED;
		}
		tb[type] = a;
	}
	return 0;
}

int nlx_attrs(const struct nlmsghdr *nlh, size_t extra, const struct nlx_policy *policy,
	size_t npolicy, const struct nlattr **tb, unsigned max)
{
	const struct nlattr *a;

	memset(tb, 0, (max + 1) * sizeof(*tb));
	if (mnl_nlmsg_get_payload_len(nlh) < MNL_ALIGN(extra))
		return ERR_MALFORMED;
	for_each_attr(a, nlh, extra)
	{
		int err = attr_take(a, policy, npolicy, tb, max);

		if (err != 0)
			return err;
	}
	return 0;
}

int nlx_attrs_nested(const struct nlattr *nest, const struct nlx_policy *policy, size_t npolicy,
	const struct nlattr **tb, unsigned max)
{
	const struct nlattr *a;

	memset(tb, 0, (max + 1) * sizeof(*tb));
	mnl_attr_for_each_nested(a, nest)
	{
		int err = attr_take(a, policy, npolicy, tb, max);

		if (err != 0)
			return err;
	}
	return 0;
}
