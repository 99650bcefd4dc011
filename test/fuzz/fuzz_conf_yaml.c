/* Any bytes as a configuration file: an answer, a message exactly when it is refused, nothing leaked;
 * route policies that were taken can be closed and judge routes the same way each time. */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "bgp_attr.h"
#include "conf.h"
#include "conf_bgp.h"
#include "weft/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const uint8_t path[] = {2, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 0, 0, 0, 3, 0, 0, 0, 4};
static const uint8_t comms[] = {0, 1, 0, 1, 0xff, 0xff, 0xff, 1};
static const uint8_t exts[] = {0, 2, 0, 1, 0, 0, 0, 2};

static void count(void *ctx, const struct policy_step *s)
{
	assert(s->holds ? s->verdict && s->change : s->failed && s->failed[0]);
	++*(unsigned *)ctx;
}

static void judge(struct policy *p, const char *prefix)
{
	struct bgp_attrs a = {.has = BGP_HAS_AS_PATH,
		.as_path = {path, sizeof(path)},
		.communities = {comms, sizeof(comms)},
		.ext_communities = {exts, sizeof(exts)}};
	static struct bgp_edit e;
	struct bgp_nlri n = {0};
	struct bgp_route r = {.peer = 1, .peer_as = 1, .ebgp = true, .nlri = &n, .attrs = &e.a};

	assert(pfx_parse(prefix, &n.pfx) == 0);
	for (unsigned d = 0; d < 2; d++) {
		struct bgp_policy hook = policy_hook(p, (enum policy_dir)d);
		unsigned steps = 0;
		enum bgp_verdict v;
		bool full;

		bgp_edit_init(&e, &a);
		v = hook.ops->apply(hook.ctx, &r, &e);
		full = e.overflow;
		bgp_edit_init(&e, &a);
		assert(policy_explain(p, (enum policy_dir)d, &r, &e, count, &steps) == v);
		assert(steps > 0 && e.overflow == full);
	}
}

static void judge_all(struct conf_bgp *b)
{
	const struct policy *walked;
	struct policy_info i;
	size_t it = 0;
	struct pfx guard = {.ip = ip_v4(0x0a200000), .len = 16};

	assert(policy_book_guard(b->policies, &guard) == 0);
	assert(policy_book_close(b->policies, b->asn) == 0);
	while (policy_next(b->policies, &it, &i, &walked)) {
		struct policy *p = policy_find(b->policies, i.name);

		assert(p);
		judge(p, "10.32.1.0/24");
		judge(p, "10.0.0.0/8");
		judge(p, "fd00::/64");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char err[300];
	struct conf c;
	int got = conf_parse_yaml("fuzz", (const char *)data, len, &c, err, sizeof(err));

	assert(got == 0 || got == ERR_CONFIG);
	assert((got == 0) == (err[0] == '\0'));
	for (const char *p = err; *p; p++)
		assert((unsigned char)*p >= ' ' || *p == '\n');
	if (got == 0) {
		for (size_t i = 0; i < c.nprefixes; i++)
			assert(c.nranges > 0 && memchr(c.prefixes[i].device, 0, 16));
		if (c.bgp)
			judge_all(c.bgp);
		conf_free(&c);
	}
	return 0;
}
