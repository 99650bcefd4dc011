/* libipsec-mb as an AEAD provider (x86-64, optional).
 *
 * Only its direct functions are used: one call, one packet, on the caller's thread. The manager
 * that alloc_mb_mgr() gives is a table of function pointers chosen for this CPU; the direct
 * functions read that table and touch nothing else in it, so one manager serves all threads. All
 * that changes during a packet stands in a context on the stack. Contexts hold key-stream and the
 * one-time Poly1305 key: they are wiped, which is 250 bytes a packet. */
#include "aead_ipsecmb.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>
#include "weft/err.h"

#ifdef WEFT_HAVE_IPSECMB
#include <intel-ipsec-mb.h>

static IMB_MGR *mgr;

struct chacha_key {
	_Alignas(64) uint8_t key[64]; /* 32 used; the library may load a whole line */
};

int ipsecmb_init(void)
{
	if (mgr != NULL)
		return 0;
	mgr = alloc_mb_mgr(0);
	if (mgr == NULL)
		return ERR_UNSUPPORTED;
	/* Without AES-NI the library would emulate it, slower than libsodium and not in constant
	 * time. */
	if ((mgr->features & IMB_CPUFLAGS_SSE) == IMB_CPUFLAGS_SSE) {
		init_mb_mgr_auto(mgr, NULL);
		if (imb_get_errno(mgr) == 0)
			return 0;
	}
	free_mb_mgr(mgr);
	mgr = NULL;
	return ERR_UNSUPPORTED;
}

size_t ipsecmb_key_size(enum wire_suite suite)
{
	return suite == WIRE_SUITE_AES_256_GCM ? sizeof(struct gcm_key_data)
					       : sizeof(struct chacha_key);
}

void ipsecmb_expand(enum wire_suite suite, void *x, const uint8_t key[32])
{
	struct chacha_key aligned = {0};

	assert((uintptr_t)x % 64 == 0);
	memcpy(aligned.key, key, 32);
	if (suite == WIRE_SUITE_AES_256_GCM)
		IMB_AES256_GCM_PRE(mgr, aligned.key, x);
	else
		memcpy(x, &aligned, sizeof(aligned));
	sodium_memzero(&aligned, sizeof(aligned));
}

static void chacha(bool seal, const struct chacha_key *x, const uint8_t nonce[12],
	const uint8_t *aad, size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst,
	uint8_t tag[16])
{
	_Alignas(64) struct chacha20_poly1305_context_data ctx;

	IMB_CHACHA20_POLY1305_INIT(mgr, x->key, &ctx, nonce, aad, aad_len);
	if (seal) {
		if (len > 0)
			IMB_CHACHA20_POLY1305_ENC_UPDATE(mgr, x->key, &ctx, dst, src, len);
		IMB_CHACHA20_POLY1305_ENC_FINALIZE(mgr, &ctx, tag, 16);
	} else {
		if (len > 0)
			IMB_CHACHA20_POLY1305_DEC_UPDATE(mgr, x->key, &ctx, dst, src, len);
		IMB_CHACHA20_POLY1305_DEC_FINALIZE(mgr, &ctx, tag, 16);
	}
	sodium_memzero(&ctx, sizeof(ctx));
}

/* The library refuses NULL even for nothing; it never reads through this. */
static const uint8_t nothing[1];

void ipsecmb_seal(enum wire_suite suite, const void *x, const uint8_t nonce[12], const uint8_t *aad,
	size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst, uint8_t tag[16])
{
	_Alignas(64) struct gcm_context_data ctx;
	uint8_t none[1];

	if (aad_len == 0)
		aad = nothing;
	if (suite != WIRE_SUITE_AES_256_GCM) {
		chacha(true, x, nonce, aad, aad_len, src, len, dst, tag);
		return;
	}
	if (len == 0) {
		src = nothing;
		dst = none;
	}
	IMB_AES256_GCM_ENC(mgr, x, &ctx, dst, src, len, nonce, aad, aad_len, tag, 16);
	sodium_memzero(&ctx, sizeof(ctx));
}

void ipsecmb_open(enum wire_suite suite, const void *x, const uint8_t nonce[12], const uint8_t *aad,
	size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst, uint8_t tag[16])
{
	_Alignas(64) struct gcm_context_data ctx;
	uint8_t none[1];

	if (aad_len == 0)
		aad = nothing;
	if (suite != WIRE_SUITE_AES_256_GCM) {
		chacha(false, x, nonce, aad, aad_len, src, len, dst, tag);
		return;
	}
	if (len == 0) {
		src = nothing;
		dst = none;
	}
	IMB_AES256_GCM_DEC(mgr, x, &ctx, dst, src, len, nonce, aad, aad_len, tag, 16);
	sodium_memzero(&ctx, sizeof(ctx));
}

#else

int ipsecmb_init(void)
{
	return ERR_UNSUPPORTED;
}

size_t ipsecmb_key_size(enum wire_suite suite)
{
	(void)suite;
	return 0;
}

/* Without the library no key of this provider exists (aead_new refuses), so none can come here. */
void ipsecmb_expand(enum wire_suite suite, void *x, const uint8_t key[32])
{
	(void)suite, (void)x, (void)key;
	assert(!"libipsec-mb is not built in");
}

void ipsecmb_seal(enum wire_suite suite, const void *x, const uint8_t nonce[12], const uint8_t *aad,
	size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst, uint8_t tag[16])
{
	(void)suite, (void)x, (void)nonce, (void)aad, (void)aad_len, (void)src, (void)len;
	(void)dst, (void)tag;
	assert(!"libipsec-mb is not built in");
}

void ipsecmb_open(enum wire_suite suite, const void *x, const uint8_t nonce[12], const uint8_t *aad,
	size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst, uint8_t tag[16])
{
	(void)suite, (void)x, (void)nonce, (void)aad, (void)aad_len, (void)src, (void)len;
	(void)dst, (void)tag;
	assert(!"libipsec-mb is not built in");
}

#endif
