/* daemon.c - start and stop. The ladder goes up in this order, and comes down in reverse:
 *
 *	state directory and lock -> secret, identity, cluster -> kernel side and checks against the
 *	host -> epoch (fsynced before anything is published) -> data plane -> segments
 *	(unreachable ranges first) -> cores -> control socket, HTTP -> ready
 *
 * A clean stop and a crash leave the kernel's state as it is: persistent devices, unreachable
 * ranges (promise 4.1). Only `weft down` and `weftd --down` take it away. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "weft/err.h"
#include "bgp_svc.h"
#include "daemon.h"
#include "daemon_int.h"
#include "link_svc.h"
#include "own_svc.h"

void daemon_stop(struct daemon *d)
{
	loop_stop(d->loop);
}

/* The one that makes room: the oldest of the kind that has most, so that many of one kind don't push out
 * what else there is to tell. */
static struct warning *warning_to_drop(struct daemon *d)
{
	struct warning *w = NULL;
	size_t most = 0;

	for (size_t i = 0; i < d->nwarnings; i++) {
		struct warning *v = &d->warnings[i];
		size_t same = 0;

		for (size_t k = 0; k < d->nwarnings; k++)
			same += d->warnings[k].kind == v->kind;
		if (same > most || (same == most && ts_before(v->last, w->last))) {
			w = v;
			most = same;
		}
	}
	return w;
}

__attribute__((format(printf, 3, 0))) static void warn(
	struct daemon *d, struct log_limit *limit, const char *fmt, va_list ap)
{
	struct warning *w = NULL;
	char text[sizeof(w->text)];

	vsnprintf(text, sizeof(text), fmt, ap);
	for (size_t i = 0; i < d->nwarnings; i++)
		if (strcmp(d->warnings[i].text, text) == 0)
			w = &d->warnings[i];
	if (!w) {
		w = d->nwarnings < MAX_WARNINGS ? &d->warnings[d->nwarnings++] : warning_to_drop(d);
		w->kind = fmt;
		snprintf(w->text, sizeof(w->text), "%s", text);
	}
	w->last = loop_now();
	log_limited(limit, w->last.ns, LOG_LVL_WARN, "weftd", "%s", text);
}

void daemon_warn(struct daemon *d, const char *fmt, ...)
{
	static struct log_limit limit;
	va_list ap;

	va_start(ap, fmt);
	warn(d, &limit, fmt, ap);
	va_end(ap);
}

void daemon_warn_limited(struct daemon *d, struct log_limit *limit, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	warn(d, limit, fmt, ap);
	va_end(ap);
}

bool daemon_ready(struct daemon *d, void (*fn)(void *ctx, const char *why), void *ctx)
{
	char text[320];
	bool ready = true;

	if (!d->kernel_ok) {
		snprintf(text, sizeof(text), "kernel state is not as it should be: %.250s",
			d->kernel_why[0] ? d->kernel_why : "see the log");
		if (fn)
			fn(ctx, text);
		ready = false;
	}
	/* Once ready, a peer that goes away does not take readiness with it (promise 4.5). */
	if (!d->was_ready && dial_pending(d)) {
		if (fn)
			fn(ctx, "no peer answers yet (weft status targets tells more)");
		ready = false;
	}
	if (!d->was_ready && own_svc_waits(d)) {
		if (fn)
			fn(ctx, "a prefix is still to be claimed (weft status ipam tells more)");
		ready = false;
	}
	if (ready)
		d->was_ready = true;
	return ready;
}

static void on_signal(void *ctx, int signo)
{
	struct daemon *d = ctx;

	log_info("weftd", "%s: stopping", strsignal(signo));
	daemon_stop(d);
}

/* Tell systemd (sd_notify's protocol): Type=notify units are started when the ladder is up. */
static void notify_systemd(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (len == 0 || len >= sizeof(sa.sun_path))
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	memcpy(sa.sun_path, path, len);
	if (sa.sun_path[0] == '@')
		sa.sun_path[0] = '\0';
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL,
		(const struct sockaddr *)(const void *)&sa,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

static int open_dp(struct daemon *d)
{
	const struct conf *c = d->conf;
	struct dp_cfg cfg = {
		.workers = d->workers,
		.listen = c->listen,
		.mark = c->mark,
		.side_port_lo = c->side_port_lo,
		.side_port_hi = c->side_port_hi,
		.dscp = c->dscp,
		.provider = d->tune.provider,
		.force = d->tune.force,
		.queue_ms = 5,
		.label = dp_label(&d->id.pub),
		.relay = c->relay,
	};
	char text[EP_STRLEN];
	int e = dp_new(&cfg, &d->dp);

	if (e)
		log_error("weftd", "can't open UDP on %s: %s%s", ep_fmt(&c->listen, text),
			err_str(e),
			e == -EADDRINUSE
				? "; another program has the port: choose another with --listen"
				: "");
	return e;
}

/* What can be known without touching the kernel's state. */
static int prepare(struct daemon *d)
{
	char err[256];
	uint64_t seed = 0;
	int e = tune_load(d->conf, &d->tune, err, sizeof(err));

	if (e) {
		log_error("weftd", "%s", err);
		return e;
	}
	e = aead_init();
	if (e) {
		log_error("weftd", "libsodium does not start: %s", err_str(e));
		return e;
	}
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return -errno;
	prng_seed(&d->prng, seed);
	d->lock_fd = -1;
	d->started = loop_now();
	d->has_ipv6 = kern_has_ipv6();
	if (!d->has_ipv6)
		daemon_warn(d, "this host has no IPv6: weft goes on with IPv4 alone");
	d->workers = d->conf->workers;
	if (d->workers == 0) {
		long n = sysconf(_SC_NPROCESSORS_ONLN);

		d->workers = n < 1 ? 1 : n > LIM_WORKERS ? LIM_WORKERS : (unsigned)n;
	}
	/* --check looks at what it was given. */
	return d->conf->check && !d->conf->secret_file[0] ? 0 : state_load_secrets(d);
}

static int open_kernel(struct daemon *d)
{
	struct kern_cfg cfg = {
		.mark = d->conf->mark,
		.mark_mask = d->conf->mark_mask,
		.port = d->conf->listen.port,
		.side_port_lo = d->conf->side_port_lo,
		.side_port_hi = d->conf->side_port_hi,
		.notrack = true,
		.ipv6 = d->has_ipv6,
		.masquerade = d->conf->masquerade == CONF_MASQ_PODS  ? KERN_MASQ_PODS
			      : d->conf->masquerade == CONF_MASQ_YES ? KERN_MASQ_ALL
								     : KERN_MASQ_NONE,
		.learned = d->conf->bgp != NULL,
	};
	int e = kern_open(&cfg, &d->kern);

	if (e) {
		log_error("weftd", "can't reach the kernel's routing: %s", err_str(e));
		return e;
	}
	e = segments_build(d);
	return e ? e : segments_check(d);
}

static int open_dialer(struct daemon *d)
{
	int e = dial_new(d, &d->dialer);

	for (size_t i = 0; i < d->conf->npeers && !e; i++) {
		char err[400] = "";

		if (dial_add_target(d, d->conf->peers[i].text, err, sizeof(err)) != 0) {
			log_error("weftd", "--%s", err);
			e = ERR_CONFIG;
		}
	}
	return e;
}

static int start(struct daemon *d)
{
	int e;

	d->loop = loop_new();
	if (!d->loop)
		return ERR_NOMEM;
	e = peers_new(d, &d->peers);
	if (e)
		return e;
	if ((e = state_open(d)) || (e = state_load_identity(d)) || (e = state_load_cluster(d)) ||
		(e = open_kernel(d)) || (e = own_svc_open(d)) || (e = link_svc_open(d)) ||
		(e = state_next_epoch(d)) || (e = open_dp(d)) || (e = ctl_srv_new(d, &d->ctl)) ||
		(e = metrics_start(d)) || (e = open_dialer(d)) || (e = recall_new(d, &d->recall)) ||
		(e = segments_up(d)) || (e = dp_start(d->dp)) || (e = rtab_new(d, &d->rtab)) ||
		(e = mesh_start(d)) || (e = bgp_svc_start(d)))
		return e;
	d->sigterm = loop_signal_new(d->loop, SIGTERM, on_signal, d);
	d->sigint = loop_signal_new(d->loop, SIGINT, on_signal, d);
	if (!d->sigterm || !d->sigint)
		return ERR_NOMEM;
	/* Nobody knows us before that. */
	e = state_writer_start(d);
	if (e)
		return e;
	mesh_drain(d);
	return 0;
}

static void log_removed(void *ctx, const char *what)
{
	(void)ctx;
	log_info("weftd", "removed %s", what);
}

/* False: a thread stands in a system call that writes, so that the process can't end by itself. */
static bool stop(struct daemon *d)
{
	bool written;

	metrics_stop(d);
	ctl_srv_free(d->ctl);
	bgp_svc_stop(d);
	if (d->sess)
		mesh_stop(d);
	if (d->dialer)
		dial_free(d->dialer);
	recall_free(d->recall);
	own_svc_close(d);
	written = state_writer_stop(d) == 0;
	link_svc_close(d);
	rtab_free(d->rtab);
	peers_free(d->peers);
	dp_free(d->dp);
	kern_close(d->kern);
	if (d->remove_all)
		(void)kern_down(log_removed, NULL);
	loop_signal_free(d->sigterm);
	loop_signal_free(d->sigint);
	loop_free(d->loop);
	for (size_t i = 0; i < d->nsegments; i++) {
		free(d->segments[i].ranges);
		free(d->segments[i].prefixes);
	}
	free(d->saved_peers);
	identity_wipe(&d->id);
	explicit_bzero(d->secrets, sizeof(d->secrets));
	/* A rename to come would put the old file in the place of what the next weftd has written. */
	if (d->lock_fd >= 0 && written)
		close(d->lock_fd);
	return written;
}

static struct daemon *daemon_new(struct conf *conf)
{
	struct daemon *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->conf = conf;
	d->lock_fd = -1;
	log_set_level(conf->log_level);
	return d;
}

int daemon_run(struct conf *conf)
{
	struct daemon *d = daemon_new(conf);
	char abbrev[NODE_KEY_SHORT + 1], cluster[CLUSTER_ID_STRLEN];
	bool written;
	int e;

	if (!d)
		return 1;
	(void)signal(SIGPIPE, SIG_IGN);
	/* "Read your files again" must not end a daemon that has nothing to read again. */
	(void)signal(SIGHUP, SIG_IGN);
	/* Keys stay out of core dumps. */
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	e = prepare(d);
	if (!e)
		e = start(d);
	if (!e) {
		log_info("weftd", "weftd %s: node %s (%s), cluster %s, UDP port %u, %u worker%s",
			WEFT_VERSION, conf->name, node_key_fmt_short(&d->id.pub, abbrev),
			cluster_id_fmt(&d->cluster, cluster), dp_port(d->dp), d->workers,
			d->workers == 1 ? "" : "s");
		notify_systemd("READY=1");
		(void)loop_prompt(); /* not before the workers are there, whose slices shall be long */
		e = loop_run(d->loop);
		notify_systemd("STOPPING=1");
	}
	written = stop(d);
	free(d);
	if (!e)
		log_info("weftd", "stopped");
	if (!written)
		_exit(e ? 1 : 0); /* what else exit() does may need what that thread holds */
	return e ? 1 : 0;
}

int daemon_check(struct conf *conf)
{
	struct daemon *d = daemon_new(conf);
	int e;

	if (!d)
		return 1;
	e = prepare(d);
	if (!e)
		e = open_kernel(d);
	if (!e)
		log_info(
			"weftd", "configuration%s and host are fit", d->nsecrets ? ", secret" : "");
	(void)stop(d);
	free(d);
	return e ? 1 : 0;
}

static void print_removed(void *ctx, const char *what)
{
	(void)ctx;
	printf("removed %s\n", what);
}

int daemon_down(void)
{
	int n = kern_down(print_removed, NULL);

	if (n < 0) {
		fprintf(stderr, "weftd: --down: %s\n", err_str(n));
		return 1;
	}
	if (n == 0)
		printf("nothing of weft was left\n");
	return 0;
}
