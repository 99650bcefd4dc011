/* bfd_int.h - what the files of the core share. */
#ifndef WEFT_BFD_INT_H
#define WEFT_BFD_INT_H

#include "bfd.h"
#include "bfd_wire.h"
#include "list.h"
#include "map.h"
#include "prng.h"
#include "timerq.h"

struct bfd_session;

/* Always queued, at FAR when off: so setting one never needs memory. */
struct bfd_timer {
	struct tq_node q;
	struct bfd_session *s;
};

/* What finds a session while the peer doesn't know our discriminator; compared as bytes. */
struct bfd_key {
	struct ip remote, local;
	uint32_t scope;
	uint32_t multihop;
};

/* Names of RFC 5880 6.8.1 stand beside the fields. */
struct bfd_session {
	struct list work; /* in b->work: something is to be told or sent */
	struct bfd_timer tx, detect;
	struct bfd_session_cfg cfg;
	struct bfd_key key;
	uint32_t id, remote_id; /* LocalDiscr, RemoteDiscr */
	enum bfd_state state;   /* SessionState */
	uint8_t remote_state;   /* RemoteSessionState */
	uint8_t diag;           /* LocalDiag */
	uint8_t remote_diag;
	uint8_t remote_mult;
	bool remote_cpi;
	/* DesiredMinTxInterval and RequiredMinRxInterval as we say them, and as they count: the two
	 * differ while a poll sequence runs (6.8.3). */
	uint32_t say_tx_us, say_rx_us, use_tx_us, use_rx_us;
	uint32_t remote_tx_us,
		remote_rx_us;   /* what the peer desires to send; RemoteMinRxInterval */
	uint32_t tx_us;         /* between packets, before jitter; 0: none are sent */
	bool poll, poll_again;  /* again: what is said changed while one ran */
	bool send, final;       /* a packet is due; an answer to a poll is due */
	bool tell, tell_failed; /* actions that wait */
	bool failed_cpi;
	uint8_t failed_diag;
	const char *refused, *tell_refused; /* "": nothing; NULL: nothing to tell */
	ts_t sent, heard, since;
	ts_t known;        /* when the peer that the session is with was heard last */
	ts_t failed_known; /* at the failure that waits to be told */
	uint64_t nrx, ntx, failures;
};

struct bfd {
	uint8_t seed[16];
	uint64_t counter; /* of discriminators given out */
	struct prng prng;
	struct map *by_id, *by_key; /* to struct bfd_session */
	struct timerq timers;
	struct list work;
	struct bfd_stats st;
};

/* bfd_session.c: the state machine. Each may put the session into the list of work. */
void bfd_session_begin(struct bfd *b, struct bfd_session *s, ts_t now);
void bfd_session_heard(struct bfd *b, struct bfd_session *s, const struct bfd_pkt *p, ts_t now);
void bfd_session_sent(struct bfd *b, struct bfd_session *s, ts_t now); /* the time to send came */
void bfd_session_expired(struct bfd *b, struct bfd_session *s, ts_t now);
void bfd_session_admin(struct bfd *b, struct bfd_session *s, bool down, ts_t now);
void bfd_session_retimed(struct bfd *b, struct bfd_session *s, ts_t now);
void bfd_session_refuse(struct bfd *b, struct bfd_session *s, const char *what); /* "": no more */
/* 6.8.4: how long the peer may be silent; 0: it said nothing yet. In microseconds. */
uint64_t bfd_session_detect_us(const struct bfd_session *s);

#endif
