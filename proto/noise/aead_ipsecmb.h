/* aead_ipsecmb.h - libipsec-mb behind aead.h; nobody but aead.c includes this. All functions are
 * there without WEFT_HAVE_IPSECMB too: then ipsecmb_init() says no. */
#ifndef WEFT_AEAD_IPSECMB_H
#define WEFT_AEAD_IPSECMB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "weft/wire.h"

/* Probe the CPU and self-test, once. 0; ERR_UNSUPPORTED: not built in, or not for this CPU. */
int ipsecmb_init(void);
/* Bytes of an expanded key of @suite. */
size_t ipsecmb_key_size(enum wire_suite suite);
/* Expand @key into @x, which is 64-byte aligned. */
void ipsecmb_expand(enum wire_suite suite, void *x, const uint8_t key[32]);
/* As aead_seal(), with an expanded key. */
void ipsecmb_seal(enum wire_suite suite, const void *x, const uint8_t nonce[12], const uint8_t *aad,
	size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst, uint8_t tag[16]);
/* Decrypt without judging: writes the tag that the text should have to @tag. */
void ipsecmb_open(enum wire_suite suite, const void *x, const uint8_t nonce[12], const uint8_t *aad,
	size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst, uint8_t tag[16]);

#endif
