/* key.h - keys that live long: the cluster secret, a node's identity, and what is derived from
 * them. A library below the cores, not a core. libsodium; sodium_init() must have been called. */
#ifndef WEFT_KEY_H
#define WEFT_KEY_H

#include <stddef.h>
#include <stdint.h>
#include "weft/addr.h"
#include "weft/id.h"

/* Once per process, before anything else here: starts libsodium. 0 or ERR_UNSUPPORTED. */
int key_init(void);

/* The cluster secret: 32 random bytes. Its text form is one line, "weft1-" and lower-case base32 of
 * the secret followed by 4 bytes of its BLAKE2b hash, so that a password or a typo is refused
 * (a guessable secret would make MAC1 a dictionary oracle, DESIGN 6.3). */
struct secret {
	uint8_t b[32];
};
#define SECRET_STRLEN 65 /* "weft1-" + 58 characters + NUL */

void secret_generate(struct secret *out);
char *secret_fmt(const struct secret *s, char *out); /* SECRET_STRLEN */
/* Surrounding white space is skipped. ERR_MALFORMED: not the form; ERR_CORRUPT: the check bytes
 * disagree (a typo); the caller adds "make one with: weft key new". */
int secret_parse(const char *text, struct secret *out);

/* Labelled derivations of a secret (keyed BLAKE2b with a label each). */
struct secret_keys {
	uint8_t psk[32];    /* Noise psk3 */
	uint8_t mac1[32];   /* MAC1 of all handshake messages */
	uint8_t cookie[32]; /* seals cookie replies */
};
void secret_derive(const struct secret *s, struct secret_keys *out);
/* The cluster id that belongs to a first secret. */
void secret_cluster_id(const struct secret *s, struct cluster_id *out);

/* The cluster id of a configured cluster name (--cluster NAME). */
void key_cluster_of_name(const char *name, struct cluster_id *out);

/* A node's identity: one Ed25519 key pair, and the X25519 pair derived from it (DESIGN 6.1). */
struct identity {
	uint8_t seed[32]; /* the only thing that is stored */
	struct node_key pub;
	uint8_t ed_sk[64];
	uint8_t x_sk[32], x_pub[32];
	uint8_t reset_key[32]; /* makes our receiver indexes' reset tokens; survives restarts */
};
void identity_generate(struct identity *out);
void identity_from_seed(const uint8_t seed[32], struct identity *out);
void identity_wipe(struct identity *id);

/* The X25519 form of an Ed25519 public key. ERR_AUTH for a key that is not canonical, not on the
 * curve, or of small order. */
int key_x25519_of(const struct node_key *k, uint8_t out[32]);
/* Sign @len (at most KEY_SIGN_MAX) bytes at @msg under a domain label (ASCII, 1 to KEY_LABEL_MAX
 * characters): Ed25519 (RFC 8032) over label, zero byte, message. */
#define KEY_LABEL_MAX 16
#define KEY_SIGN_MAX  4096
void key_sign(const struct identity *id, const char *label, const uint8_t *msg, size_t len,
	uint8_t sig[64]);
/* 0 or ERR_AUTH (a message longer than KEY_SIGN_MAX too). Refuses keys that are not canonical or of
 * small order, and signatures that are not the only one of their kind (S not reduced). */
int key_verify(const struct node_key *k, const char *label, const uint8_t *msg, size_t len,
	const uint8_t sig[64]);
/* The node's address in the control segment (DESIGN 6.12): a ULA whose /48 comes from the cluster
 * id and whose lower 80 bits come from the node key. */
void key_control_addr(const struct cluster_id *c, const struct node_key *k, struct ip *out);
/* The /48 of the cluster's control segment. */
void key_control_prefix(const struct cluster_id *c, struct pfx *out);

#endif
