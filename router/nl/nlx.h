/* nlx.h - netlink sockets: one request, dumps, batches. Over libmnl; inside router/nl only.
 *
 * A socket is used by one thread. Every reply is checked for length, sequence number and port before
 * a callback sees it. Interrupted dumps (NLM_F_DUMP_INTR) and lost replies (ENOBUFS) are repeated; the
 * callback hears of the new start. */
#ifndef WEFT_NLX_H
#define WEFT_NLX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <libmnl/libmnl.h>

#define NLX_BUF_BYTES  (64 * 1024) /* one send or receive */
#define NLX_MSG_BYTES  768         /* room that one message of a batch may need: 16 next hops */
#define NLX_BATCH_MSGS 1024        /* messages per send */
#define NLX_DUMP_TRIES 8           /* a table that changes all the time is given up on: -EAGAIN */
#define NLX_SAID_BYTES 96

/* The system calls, replaceable by tests. Return as mnl_socket_sendto and mnl_socket_recvfrom. */
struct nlx_io {
	ssize_t (*send)(const struct mnl_socket *s, const void *buf, size_t len);
	ssize_t (*recv)(const struct mnl_socket *s, void *buf, size_t len);
};
extern const struct nlx_io nlx_io_kernel;

struct nlx {
	struct mnl_socket *sock; /* NULL: not open */
	const struct nlx_io *io;
	uint32_t seq, portid;
	struct {
		uint32_t seq;
		int kept; /* the callback's error */
		bool torn;
	} dump;                    /* the one under way */
	char *buf;                 /* NLX_BUF_BYTES */
	char said[NLX_SAID_BYTES]; /* the kernel's words for the last error; empty: none */
};

/* Called per message. 0; an error ends the walk (the rest of a dump is drained) and is returned. */
typedef int (*nlx_fn)(void *ctx, const struct nlmsghdr *nlh);

/* @bus: NETLINK_ROUTE, NETLINK_NETFILTER. -errno, ERR_NOMEM; @x is then closed. */
int nlx_open(struct nlx *x, int bus);
void nlx_close(struct nlx *x); /* also fine on a closed or zeroed one */
/* Begin a message of @type at @buf with a zeroed header of @extra bytes. */
struct nlmsghdr *nlx_msg(void *buf, uint16_t type, uint16_t flags, size_t extra);
/* Send @nlh, give the replies to @fn (may be NULL), wait for the acknowledgement. 0; -errno as the
 * kernel said; -ETIMEDOUT; -ENOBUFS: the reply was lost, what happened is unknown. */
int nlx_talk(struct nlx *x, struct nlmsghdr *nlh, nlx_fn fn, void *ctx);
/* The same for several messages that stand ready at @buf, numbered @first to @last, of which the last asks
 * for an acknowledgement: the first error among them, or of the batch as a whole (told with @first). */
int nlx_talk_span(struct nlx *x, const void *buf, size_t len, uint32_t first, uint32_t last,
	nlx_fn fn, void *ctx);
/* Dump: @begin (may be NULL) is called before the first and again before each repeated try. */
int nlx_dump(struct nlx *x, struct nlmsghdr *nlh, void (*begin)(void *ctx), nlx_fn fn, void *ctx);
/* The same in portions: ask, then take at most @max datagrams at a time. 1: there is more; 0: that was all;
 * -EAGAIN: torn, or the dump before is not over: begin anew; the callback's error once all was taken;
 * -errno. A socket has one dump at a time, and nothing else meanwhile; closing it ends that too. */
int nlx_dump_begin(struct nlx *x, struct nlmsghdr *nlh);
int nlx_dump_some(struct nlx *x, unsigned max, nlx_fn fn, void *ctx);
/* Receive what a monitoring (non-blocking) socket holds, at most @max datagrams. Returns how many
 * there were, 0 at the end, -ENOBUFS when the kernel dropped some, -errno. */
int nlx_drain(struct nlx *x, unsigned max, nlx_fn fn, void *ctx);
/* Walk the messages of one datagram; ones that are cut off are ERR_MALFORMED. */
int nlx_walk(const void *buf, size_t len, nlx_fn fn, void *ctx);

/* A batch: messages gathered for one send, each with an object. Only the last asks for an
 * acknowledgement; the kernel reports errors of the others by itself, with their sequence number. */
struct nlx_batch {
	struct nlx *x;
	char *out; /* NLX_BUF_BYTES */
	size_t len;
	unsigned count;
	struct nlmsghdr *last;
	void *obj[NLX_BATCH_MSGS];
	int err[NLX_BATCH_MSGS];
	char said[NLX_SAID_BYTES]; /* of the first error */
};

struct nlx_batch *nlx_batch_new(struct nlx *x); /* NULL: no memory */
void nlx_batch_free(struct nlx_batch *b);
bool nlx_batch_full(const struct nlx_batch *b);
/* The next message, to be filled up to NLX_MSG_BYTES; @obj is handed to done. Not when full. */
struct nlmsghdr *nlx_batch_add(
	struct nlx_batch *b, uint16_t type, uint16_t flags, size_t extra, void *obj);
/* Send, and call @done for each object in order with 0 or the kernel's -errno. Empties the batch.
 * 0; -errno if the exchange itself failed: then every object hears that. */
int nlx_batch_run(struct nlx_batch *b, void (*done)(void *ctx, void *obj, int err), void *ctx);

/* What an attribute must look like to be taken. */
struct nlx_policy {
	uint16_t type;  /* attribute number */
	uint8_t kind;   /* enum mnl_attr_data_type */
	uint16_t bytes; /* MNL_TYPE_BINARY: exact length, 0: any */
};
/* Fill @tb[0..max] with the attributes of @nlh behind @extra bytes of header; those that the policy
 * does not list are left out. ERR_MALFORMED. */
int nlx_attrs(const struct nlmsghdr *nlh, size_t extra, const struct nlx_policy *policy,
	size_t npolicy, const struct nlattr **tb, unsigned max);
int nlx_attrs_nested(const struct nlattr *nest, const struct nlx_policy *policy, size_t npolicy,
	const struct nlattr **tb, unsigned max);

#endif
