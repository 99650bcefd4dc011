/* bfdd.h - the driver of the BFD core: sockets, a thread, and who hears of states.
 *
 * It owns the core and runs it on a thread of its own, so that whatever the loop is busy with, a full
 * table of BGP above all, neither makes this host look dead nor has it declare others dead. States are
 * told in the loop. All functions are of the loop's thread. */
#ifndef WEFT_BFDD_H
#define WEFT_BFDD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "bfd.h"
#include "loop.h"

struct bfdd;

struct bfdd_ops {
	/* Called in the loop: the newest state of a session; failed: it did since the last call, and
	 * diag and remote_cpi are then of that failure. @a is valid until the return. Sessions may not
	 * be added or ended from it. */
	void (*state)(void *ctx, const struct bfd_act *a);
};

struct bfdd_cfg {
	struct loop *loop; /* kept; where states are told */
	uint8_t seed[16];  /* of the core: unguessable, since discriminators come from it */
	uint32_t mark;     /* of what is sent (SO_MARK); 0: none */
	const struct bfdd_ops *ops; /* kept */
	void *ctx;
};

/* Opens no socket yet. NULL: no memory, descriptor or thread. */
struct bfdd *bfdd_new(const struct bfdd_cfg *cfg);
/* Tells every peer that BFD ends here and that this is no failure (AdminDown), and closes. NULL is
 * fine. */
void bfdd_free(struct bfdd *d);

/* Begin a session; *@id names it. The errors of bfd_add; ERR_NOMEM; -errno of a socket: -EADDRINUSE
 * when another program has the port. @why (of @why_len bytes) gets words. */
int bfdd_add(
	struct bfdd *d, const struct bfd_session_cfg *cfg, uint32_t *id, char *why, size_t why_len);
/* With a last word, as in bfdd_free(). ERR_NOT_FOUND. */
int bfdd_del(struct bfdd *d, uint32_t id);
/* bfd_admin() and bfd_retime(), carried out. */
int bfdd_admin(struct bfdd *d, uint32_t id, bool down);
int bfdd_retime(struct bfdd *d, uint32_t id, uint32_t min_tx_us, uint32_t min_rx_us, uint8_t mult);

/* As bfd_get() and bfd_stats(). What out->cfg points to stays as long as the session. */
int bfdd_get(struct bfdd *d, uint32_t id, struct bfd_info *out);
void bfdd_core_stats(struct bfdd *d, struct bfd_stats *out);

struct bfdd_stats {
	uint64_t send_errors; /* packets that the kernel didn't take */
	uint64_t recv_errors;
	uint64_t late_max_us; /* by how much the thread was late with it at the worst */
};
void bfdd_stats(struct bfdd *d, struct bfdd_stats *out);

#endif
