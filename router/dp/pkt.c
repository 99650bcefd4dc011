/* pkt.c - see pkt.h.
 *
 * Both directions of every packet pass here, so fields are read in place instead of through struct
 * rd: one comparison with the length stands in front of each group of reads, and no offset is used
 * that was not compared. */
#include "pkt.h"
#include "csum.h"
#include "weft/be.h"

#define EXT_HBH      0
#define EXT_ROUTING  43
#define EXT_FRAGMENT 44
#define EXT_AH       51
#define EXT_DSTOPTS  60
#define EXT_MOBILITY 135
#define EXT_HIP      139
#define EXT_SHIM6    140
#define EXT_MAX      8 /* a longer chain counts as not understood: nobody sends it, and it is work */

static int parse_v4(struct pkt_info *pi, const uint8_t *pkt, size_t len)
{
	uint32_t ihl, total;

	if (len < 20)
		return ERR_MALFORMED;
	ihl = (pkt[0] & 15u) * 4;
	total = be16_get(pkt + 2);
	if (ihl < 20 || total < ihl || total > len)
		return ERR_MALFORMED;
	pi->family = IP_V4;
	pi->tos = pkt[1];
	pi->len = total;
	pi->fragment = (be16_get(pkt + 6) & 0x3fff) != 0; /* offset or more fragments */
	pi->ttl = pkt[8];
	pi->proto = pkt[9];
	pi->src = pkt + 12;
	pi->dst = pkt + 16;
	pi->ext = ihl > 20;
	pi->l4_off = (uint16_t)ihl;
	return 0;
}

/* Step over the extension headers from @off on, the first of type @next. */
static void parse_ext(struct pkt_info *pi, const uint8_t *pkt, uint32_t off, uint8_t next)
{
	for (unsigned n = 0;; n++) {
		uint32_t bytes;

		switch (next) {
		case EXT_HBH:
		case EXT_DSTOPTS:
			pi->ext = true;
			if (n == EXT_MAX || pi->len - off < 8)
				goto unknown;
			bytes = (pkt[off + 1] + 1u) * 8;
			if (bytes > pi->len - off)
				goto unknown;
			next = pkt[off];
			off += bytes;
			continue;
		case EXT_FRAGMENT:
			pi->ext = true;
			pi->fragment = true;
			goto done;
		case EXT_ROUTING:
		case EXT_AH:
		case EXT_MOBILITY:
		case EXT_HIP:
		case EXT_SHIM6:
			pi->ext = true;
			goto unknown;
		default:
			goto done;
		}
	}
unknown:
	pi->ext_unknown = true;
done:
	pi->proto = next;
	pi->l4_off = (uint16_t)off;
}

static int parse_v6(struct pkt_info *pi, const uint8_t *pkt, size_t len)
{
	uint32_t total;

	if (len < 40)
		return ERR_MALFORMED;
	total = 40u + be16_get(pkt + 4);
	if (total > len || total > PKT_MAX)
		return ERR_MALFORMED;
	pi->family = IP_V6;
	pi->tos = (uint8_t)(pkt[0] << 4 | pkt[1] >> 4);
	pi->len = total;
	pi->ttl = pkt[7];
	pi->src = pkt + 8;
	pi->dst = pkt + 24;
	parse_ext(pi, pkt, 40, pkt[6]);
	return 0;
}

/* Ports, and whether a whole TCP or UDP header is there. */
static void parse_l4(struct pkt_info *pi)
{
	const uint8_t *l4 = pi->pkt + pi->l4_off;
	uint32_t have = pi->len - pi->l4_off, hdr;

	pi->payload_off = pi->l4_off;
	if (pi->fragment || pi->ext_unknown || have < 4)
		return;
	if (pi->proto != PKT_TCP && pi->proto != PKT_UDP && pi->proto != PKT_SCTP)
		return;
	pi->sport = be16_get(l4);
	pi->dport = be16_get(l4 + 2);
	pi->ports = true;
	if (pi->proto == PKT_TCP) {
		if (have < 20)
			return;
		hdr = (uint32_t)(l4[12] >> 4) * 4;
		if (hdr < 20 || hdr > have)
			return;
	} else if (pi->proto == PKT_UDP) {
		hdr = 8;
		if (have < hdr || be16_get(l4 + 4) < hdr || be16_get(l4 + 4) > have)
			return;
	} else {
		return;
	}
	pi->payload_off = (uint16_t)(pi->l4_off + hdr);
	pi->l4_ok = true;
}

int pkt_parse(struct pkt_info *pi, const uint8_t *pkt, size_t len)
{
	int err;

	*pi = (struct pkt_info){.pkt = pkt};
	if (len == 0)
		return ERR_MALFORMED;
	switch (pkt[0] >> 4) {
	case 4:
		err = parse_v4(pi, pkt, len);
		break;
	case 6:
		err = parse_v6(pi, pkt, len);
		break;
	default:
		return ERR_MALFORMED;
	}
	if (err)
		return err;
	parse_l4(pi);
	return 0;
}

bool pkt_may_partial(const struct pkt_info *pi)
{
	if (!pi->l4_ok)
		return false;
	return pi->proto == PKT_TCP || be16_get(pi->pkt + pi->l4_off + 4) == pi->len - pi->l4_off;
}

uint64_t pkt_pseudo(const struct pkt_info *pi)
{
	return pi->family == IP_V4 ? csum_pseudo4(pi->src, pi->dst, pi->proto)
				   : csum_pseudo6(pi->src, pi->dst, pi->proto);
}
