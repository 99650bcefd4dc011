/* gtsm.c - see the header.
 *
 * A program begins by taking what it looks at out of the packet: the TTL into X, the source, word by word,
 * into M[0] and what follows, the interface into M[4]. Loads of the packet are a call each for the kernel,
 * loads of M[] are not. Then each rule: compare, and go on to the next one unless all of it fits; else A is
 * the rule's TTL, and the end compares it with X. */
#include "gtsm.h"

#define MEM_SCOPE 4
#define PASS      UINT32_MAX /* bytes of the packet that are kept */
#define DROP      0
#define END_INSNS 4

enum { V4_TTL = 8, V4_SOURCE = 12, V6_HOPS = 7, V6_SOURCE = 8 };

struct prog {
	struct sock_filter *v;
	size_t n, cap;
};

/* What has no room is counted and not written. */
static void put(struct prog *p, unsigned code, uint32_t k)
{
	if (p->n < p->cap)
		p->v[p->n] = (struct sock_filter){.code = (uint16_t)code, .k = k};
	p->n++;
}

/* Goes on to the end of the rule (close_rule) if A is not @k. */
static void unless(struct prog *p, uint32_t k)
{
	put(p, BPF_JMP | BPF_JEQ | BPF_K, k);
}

static uint32_t word_of(const struct ip *ip, unsigned w)
{
	const uint8_t *b = ip->b + 4 * w;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static uint32_t net_off(unsigned at)
{
	return (uint32_t)(SKF_NET_OFF + (int)at);
}

static void begin(struct prog *p, bool v6, bool scopes, uint32_t tag)
{
	put(p, BPF_LD | BPF_IMM, tag);
	put(p, BPF_LD | BPF_B | BPF_ABS, net_off(v6 ? V6_HOPS : V4_TTL));
	put(p, BPF_MISC | BPF_TAX, 0);
	for (unsigned w = 0; w < (v6 ? 4u : 1u); w++) {
		put(p, BPF_LD | BPF_W | BPF_ABS, net_off((v6 ? V6_SOURCE : V4_SOURCE) + 4 * w));
		put(p, BPF_ST, w);
	}
	if (!scopes)
		return;
	/* A packet without interface ends the program with what is in A. */
	put(p, BPF_LD | BPF_IMM, PASS);
	put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_IFINDEX));
	put(p, BPF_ST, MEM_SCOPE);
}

/* Comparisons of the rule from @at on that fail lead behind it. */
static void close_rule(struct prog *p, size_t at)
{
	for (size_t i = at; i < p->n && i < p->cap; i++)
		if (p->v[i].code == (BPF_JMP | BPF_JEQ | BPF_K))
			p->v[i].jf = (uint8_t)(p->n - i - 1);
}

static void add_rule(struct prog *p, const struct gtsm_rule *r)
{
	size_t at = p->n;
	unsigned words = (r->from.len + 31u) / 32;

	if (r->scope) {
		put(p, BPF_LD | BPF_MEM, MEM_SCOPE);
		unless(p, r->scope);
	}
	/* The last word tells neighbours on a link apart. */
	for (unsigned w = words; w-- > 0;) {
		unsigned bits = r->from.len - 32 * w;
		uint32_t mask = bits >= 32 ? UINT32_MAX : ~(UINT32_MAX >> bits);

		put(p, BPF_LD | BPF_MEM, w);
		if (mask != UINT32_MAX)
			put(p, BPF_ALU | BPF_AND | BPF_K, mask);
		unless(p, word_of(&r->from.ip, w) & mask);
	}
	if (r->min_ttl) {
		put(p, BPF_LD | BPF_IMM, r->min_ttl);
		put(p, BPF_JMP | BPF_JA, 0); /* end() says whereto */
	} else {
		put(p, BPF_RET | BPF_K, PASS);
	}
	close_rule(p, at);
}

static void end(struct prog *p)
{
	size_t at = p->n + 1;

	put(p, BPF_RET | BPF_K, PASS);
	put(p, BPF_JMP | BPF_JGT | BPF_X, 0); /* what is asked for, against what it has */
	p->v[at].jf = 1;
	put(p, BPF_RET | BPF_K, DROP);
	put(p, BPF_RET | BPF_K, PASS);
	for (size_t i = 0; i < at; i++)
		if (p->v[i].code == (BPF_JMP | BPF_JA))
			p->v[i].k = (uint32_t)(at - i - 1);
}

static bool is_of(const struct gtsm_rule *r, bool v6)
{
	return r->from.ip.family == (v6 ? IP_V6 : IP_V4);
}

size_t gtsm_build(const struct gtsm_rule *rules, size_t n, bool v6, uint32_t tag,
	struct sock_filter *out, size_t cap, size_t *told)
{
	struct prog p = {.v = out, .cap = cap};
	bool scopes = false, drops = false;
	size_t i = 0;

	*told = n;
	for (size_t k = 0; k < n; k++) {
		scopes = scopes || (is_of(&rules[k], v6) && rules[k].scope);
		drops = drops || (is_of(&rules[k], v6) && rules[k].min_ttl);
	}
	if (!drops)
		return 0;
	begin(&p, v6, scopes, tag);
	for (; i < n; i++) {
		size_t before = p.n;

		if (!is_of(&rules[i], v6))
			continue;
		add_rule(&p, &rules[i]);
		if (p.n + END_INSNS > cap) {
			p.n = before;
			break;
		}
	}
	*told = i;
	if (p.n + END_INSNS > cap)
		return 0;
	end(&p);
	return p.n;
}

uint32_t gtsm_tag(const struct sock_filter *prog, size_t n)
{
	return n > 0 && prog[0].code == (BPF_LD | BPF_IMM) ? prog[0].k : 0;
}
