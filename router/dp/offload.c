/* offload.c - which offloads are used (DESIGN 5.13): each is tried on the machine and device at hand,
 * can be forced off, and has a fall-back; what is off and why is kept for `weft status`. */
#include <stdio.h>
#include <string.h>
#include "weft/err.h"
#include "weft/log.h"
#include "dp_int.h"

void offload_off(struct dp *dp, const char *what, const char *why)
{
	char *text = dp->offloads.why;
	size_t at = strlen(text), size = sizeof(dp->offloads.why);
	char line[128];

	snprintf(line, sizeof(line), "%s: %s", what, why);
	if (strstr(text, line))
		return; /* said already, for another segment */
	log_info("dp", "off: %s", line);
	snprintf(text + at, size - at, "%s%s", at ? "; " : "", line);
}

/* Test, unless it is forced off. */
static bool probe(
	struct dp *dp, bool forced_off, const char *what, bool (*test)(char *why, size_t size))
{
	char why[96];

	if (forced_off) {
		offload_off(dp, what, "forced off");
		return false;
	}
	if (test && !test(why, sizeof(why))) {
		offload_off(dp, what, why);
		return false;
	}
	return true;
}

void offload_probe(struct dp *dp)
{
	const struct dp_force *f = &dp->cfg.force;
	struct dp_offloads *o = &dp->offloads;

	dp->gso = o->udp_gso = probe(dp, f->no_udp_gso, "udp_gso", udp_probe_gso);
	dp->gro = o->udp_gro = probe(dp, f->no_udp_gro, "udp_gro", udp_probe_gro);
	dp->mmsg = o->mmsg = probe(dp, f->no_mmsg, "mmsg", NULL);
	o->csum_partial = probe(dp, f->no_csum_partial, "csum_partial", NULL);
	/* A super-packet's sum is partial by nature: with whole sums wanted there are none. */
	o->coalesce = probe(dp, f->no_coalesce || f->no_csum_partial, "coalesce", NULL);
	o->tun_tso = probe(dp, f->no_tun_offload, "tun_tso", NULL);
	o->tun_uso = o->tun_tso && probe(dp, f->no_uso, "tun_uso", NULL);
	o->tun_steering = probe(dp, f->no_tun_steering, "tun_steering", NULL);
	o->udp_steering = probe(dp, f->no_udp_steering, "udp_steering", NULL);
	o->provider = aead_provider_name(dp->cfg.provider);
	o->workers = dp->cfg.workers;
}

int offload_segment(struct dp *dp, struct segment *s)
{
	const struct dp_force *f = &dp->cfg.force;
	struct tun_offload want = {
		.tso = !f->no_tun_offload, .uso = !f->no_tun_offload && !f->no_uso};
	int err = tun_offload_set(s->fd[0], want, &s->offload);

	if (err < 0) {
		log_error("dp", "%s: takes no offload setting: %s", s->ifname, err_str(err));
		return err;
	}
	if (want.tso && !s->offload.tso) {
		dp->offloads.tun_tso = dp->offloads.tun_uso = false;
		offload_off(dp, "tun_tso", "refused by the TUN device");
	} else if (want.uso && !s->offload.uso) {
		dp->offloads.tun_uso = false;
		offload_off(dp, "tun_uso", "needs Linux 6.2");
	}
	if (s->queues > 1 && !f->no_tun_steering) {
		err = tun_steer(s->fd[0], s->queues);
		if (err < 0) {
			dp->offloads.tun_steering = false;
			offload_off(dp, "tun_steering", err_str(err));
		}
	}
	return 0;
}
