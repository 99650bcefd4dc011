/* record.c - the frame of a record: taken apart, signed, verified, named. See record.h for the
 * layout.
 *
 * In: bytes from anyone. Out: a view with pointers into these bytes. No state. Bounds: a record is
 * at most LIM_RECORD_BYTES long, whatever its length field says. Failure: an error code, and
 * nothing of the record may then be used. Bodies are in record_wire.c. */
#include "record.h"
#include <assert.h>
#include <string.h>
#include <sodium.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "key.h"

int record_parse(const uint8_t *buf, size_t len, struct record *out)
{
	struct rd r;
	size_t total;

	memset(out, 0, sizeof(*out));
	rd_init(&r, buf, len);
	uint8_t version = rd_u8(&r);
	out->type = rd_u8(&r);
	total = rd_u16(&r);
	if (rd_bad(&r))
		return ERR_TRUNCATED;
	if (version != RECORD_VERSION)
		return ERR_VERSION;
	if (total < RECORD_MIN || total > LIM_RECORD_BYTES)
		return ERR_MALFORMED;
	if (total > len)
		return ERR_TRUNCATED;
	out->flags = rd_u16(&r);
	out->sub = rd_u16(&r);
	out->epoch = rd_u64(&r);
	out->seq = rd_u64(&r);
	rd_copy(&r, out->cluster.b, sizeof(out->cluster.b));
	rd_copy(&r, out->node.b, sizeof(out->node.b));
	out->body_len = total - RECORD_MIN;
	out->body = rd_take(&r, out->body_len);
	if (rd_bad(&r))
		return ERR_TRUNCATED;
	/* A node counts its starts from 1, so 0 can stand for "none seen" everywhere. */
	if (out->epoch == 0)
		return ERR_MALFORMED;
	out->raw = buf;
	out->len = total;
	out->key = record_key_hash(&out->node, out->type, out->sub);
	return (int)total;
}

int record_verify(const struct record *r)
{
	size_t signed_len = r->len - RECORD_SIG;

	return key_verify(&r->node, RECORD_LABEL, r->raw, signed_len, r->raw + signed_len);
}

int record_sign(const struct identity *id, const struct record *r, uint8_t *out)
{
	size_t signed_len = RECORD_HDR + r->body_len;
	struct wr w;

	if (r->body_len > RECORD_BODY_MAX)
		return ERR_RANGE;
	wr_init(&w, out, LIM_RECORD_BYTES);
	wr_u8(&w, RECORD_VERSION);
	wr_u8(&w, r->type);
	wr_u16(&w, (uint16_t)(signed_len + RECORD_SIG));
	wr_u16(&w, r->flags);
	wr_u16(&w, r->sub);
	wr_u64(&w, r->epoch);
	wr_u64(&w, r->seq);
	wr_copy(&w, r->cluster.b, sizeof(r->cluster.b));
	wr_copy(&w, id->pub.b, sizeof(id->pub.b));
	wr_copy(&w, r->body, r->body_len);
	assert(!wr_bad(&w) && wr_len(&w) == signed_len);
	key_sign(id, RECORD_LABEL, out, signed_len, out + signed_len);
	return (int)(signed_len + RECORD_SIG);
}

bool record_understood(const struct record *r)
{
	return !(r->flags & RECORD_F_CRITICAL) &&
	       (r->type == RECORD_NODE || r->type == RECORD_ENDPOINTS ||
		       r->type == RECORD_PREFIXES || r->type == RECORD_FORGET);
}

int record_version_cmp(uint64_t a_epoch, uint64_t a_seq, uint64_t b_epoch, uint64_t b_seq)
{
	if (a_epoch != b_epoch)
		return a_epoch < b_epoch ? -1 : 1;
	if (a_seq != b_seq)
		return a_seq < b_seq ? -1 : 1;
	return 0;
}

uint64_t record_key_hash(const struct node_key *node, uint8_t type, uint16_t sub)
{
	uint8_t in[sizeof(node->b) + 3], out[crypto_generichash_BYTES_MIN];
	struct wr w;
	struct rd r;

	wr_init(&w, in, sizeof(in));
	wr_copy(&w, node->b, sizeof(node->b));
	wr_u8(&w, type);
	wr_u16(&w, sub);
	crypto_generichash(out, sizeof(out), in, sizeof(in), NULL, 0);
	rd_init(&r, out, sizeof(out));
	return rd_u64(&r);
}

void record_hash(const uint8_t *raw, size_t len, uint8_t out[16])
{
	crypto_generichash(out, 16, raw, len, NULL, 0);
}
