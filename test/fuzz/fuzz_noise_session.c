/* Two session cores over a network that the input drives: each pair of bytes is an event, an argument.
 * sessnet.h checks every action against the rules of session.h. */
#include "../unit/noise/sessnet.h"

struct script {
	const uint8_t *p, *end;
};

static uint8_t take(struct script *s)
{
	return s->p < s->end ? *s->p++ : 0;
}
/* One message is lost, cut, altered, doubled or comes from elsewhere, as the input says. */
static void mutate(struct net *net, struct net_msg *m)
{
	struct script *s = net->ctx;
	uint8_t how = take(s), arg = take(s);
	if (how < 16)
		m->len = arg % (m->len + 1);
	else if (how < 48)
		m->buf[(how * 256u + arg) % m->len] ^= (uint8_t)(1u << how % 8);
	else if (how < 64)
		m->src.port = arg;
	else if (how < 96)
		net_queue(net, m, DUR_MS(arg * 20));
}

static void event(struct net *net, uint8_t what, uint8_t arg)
{
	struct net_node *n = &net->n[what & 1], *other = &net->n[!(what & 1)];
	uint32_t h = net_handle(net, what & 1, !(what & 1));

	switch (what >> 1 & 15) {
	case 0:
		(void)sess_connect(n->s, &other->ep, arg & 1 ? &other->id.pub : NULL,
			ts_add(net->now, DUR_SEC(arg)), net->now);
		break;
	case 1:
		sess_cancel(n->s, &other->ep, net->now);
		if (arg)
			sess_disconnect(n->s, &other->id.pub, net->now);
		break;
	case 2:
		sess_key_limit(n->s, n->use[h], arg & 1, net->now);
		break;
	case 3:
		n->ep.port = arg + 1u;
		break;
	case 4:
		net_restart_node(net, what & 1);
		break;
	case 5:
		net_run(net, DUR_SEC(arg));
		break;
	default:
		(void)net_dp_send(net, n, other, arg);
		(void)net_send(net, what & 1, !(what & 1), arg);
	}
	net_drain(net, n);
	net_run(net, DUR_MS(arg));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct script s = {data, data + (len < 512 ? len : 512)};
	struct net *net = net_new(2, take(&s) & 1, 1);

	net->tap = mutate;
	net->ctx = &s;
	net_connect(net, 0, 1, true);
	for (uint8_t what; s.p < s.end; event(net, what, take(&s)))
		what = take(&s);
	net_free(net);
	return 0;
}
