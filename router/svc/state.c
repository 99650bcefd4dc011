/* state.c - the state directory.
 *
 *	lock		held while weftd runs
 *	identity	the node's 32-byte seed, made at first start, never replaced
 *	epoch		start counter, incremented and fsynced before anything is published
 *	cluster		the cluster id, kept when the secret is rotated
 *	peers		known nodes, and where each was last seen
 *	claims		claimed blocks with their age, the orchestrator's prefixes
 *
 * While weftd runs, the last three are written by a thread of their own (writer.h).
 *
 * identity, epoch and cluster are needed: a torn one is set aside under a new name, and the daemon
 * says what that costs. Losing peers costs nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/buf.h"
#include "weft/err.h"
#include "daemon_int.h"
#include "file.h"
#include "own_svc.h"

#define STATE_FORMAT     1
#define STOP_PATIENCE    DUR_SEC(3) /* with a disk that takes no write */
#define SAVED_PEER_BYTES (32 + 1 + 16 + 2)

static void state_path(const struct daemon *d, const char *name, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%s", d->conf->state_dir, name);
}

/* Read a state file of @min..@max bytes. A bad one is set aside and reported as absent. 0, -ENOENT,
 * or what keeps us from reading it. */
static int read_state(struct daemon *d, const char *name, char **buf, size_t *len, size_t min,
	size_t max, const char *cost)
{
	char path[PATH_MAX], aside[PATH_MAX];
	uint16_t format;
	int e;

	state_path(d, name, path);
	e = file_state_read(path, name, STATE_FORMAT, &format, buf, len);
	if (e == 0 && *len >= min && *len <= max)
		return 0;
	if (e == 0) {
		free(*buf);
		*buf = NULL;
		e = ERR_CORRUPT;
	}
	if (e == ERR_VERSION) {
		log_error("state",
			"%s was written by a newer weftd; run that version, or remove the file "
			"(%s)",
			path, cost);
		return e;
	}
	if (e != ERR_CORRUPT && e != ERR_FOREIGN) {
		if (e != -ENOENT)
			log_error("state", "can't read %s: %s", path, err_str(e));
		return e;
	}
	if (file_set_aside(path, aside, sizeof(aside)) != 0) {
		/* A new one would be written over it, and what may be mended is lost. */
		log_error("state", "%s is damaged (%s) and can't be set aside: move it away (%s)",
			path, err_str(e), cost);
		return e;
	}
	daemon_warn(d, "%s was damaged (%s); set aside as %s: %s", path, err_str(e), aside, cost);
	return -ENOENT;
}

void state_set_aside(struct daemon *d, const char *path, const char *what, const char *cost)
{
	char aside[PATH_MAX];

	if (file_set_aside(path, aside, sizeof(aside)) != 0)
		aside[0] = '\0';
	daemon_warn(d, "%s %s%s%s: %s", path, what, aside[0] ? "; set aside as " : "", aside, cost);
}

static int write_state(struct daemon *d, const char *name, const void *buf, size_t len)
{
	char path[PATH_MAX];
	int e;

	state_path(d, name, path);
	e = file_state_write(path, name, STATE_FORMAT, buf, len);
	if (e)
		log_error("state", "can't write %s: %s", path, err_str(e));
	return e;
}

/* --- what is written while weftd runs --- */

static const char *const slot_names[WRITER_SLOTS] = {
	[WRITER_CLAIMS] = "claims",
	[WRITER_EPOCH] = "epoch",
	[WRITER_PEERS] = "peers",
};

/* A node whose epoch others know ahead (its file was lost, or its key is on two hosts) is heard again when it has
 * one above that. */
static void warn_epoch(struct daemon *d, const char *why)
{
	daemon_warn(d,
		"the start counter can't be written (%s): until it is, others don't believe what "
		"this node says, and may not route to it; make room on the disk of %s, or mend it",
		why, d->conf->state_dir);
}

static void epoch_saved(struct daemon *d, int err)
{
	if (err) { /* gossip asks again; at the start, weftd ends */
		if (d->gossip)
			warn_epoch(d, err_str(err));
		return;
	}
	d->epoch = d->epoch_saving;
	if (d->gossip)
		gossip_epoch_stored(d->gossip, d->epoch, loop_now());
}

static void peers_saved(struct daemon *d, int err)
{
	if (!err)
		return;
	free(d->saved_peers); /* differs from any list: written at the next look */
	d->saved_peers = NULL;
	d->saved_peers_len = 0;
}

static void (*const slot_saved[WRITER_SLOTS])(struct daemon *d, int err) = {
	[WRITER_CLAIMS] = own_svc_saved,
	[WRITER_EPOCH] = epoch_saved,
	[WRITER_PEERS] = peers_saved,
};

/* @path is in the state directory, or not (@err). */
static int saved(struct daemon *d, enum writer_slot slot, const char *path, int err)
{
	if (err)
		log_error("state", "can't write %s: %s", path, err_str(err));
	slot_saved[slot](d, err);
	return err;
}

static void on_saved(void *ctx, enum writer_slot slot, int err)
{
	struct daemon *d = ctx;
	char path[PATH_MAX];

	state_path(d, slot_names[slot], path);
	(void)saved(d, slot, path, err);
	mesh_drain(d);
}

/* Written by the thread where there is one, else before this returns; slot_saved[] gets to know how that
 * went. 0, or that it didn't go well so far. */
static int save(struct daemon *d, enum writer_slot slot, const void *buf, size_t len)
{
	const char *name = slot_names[slot];
	char path[PATH_MAX];
	int e;

	state_path(d, name, path);
	if (!d->writer)
		return saved(d, slot, path, file_state_write(path, name, STATE_FORMAT, buf, len));
	e = writer_put(d->writer, slot, path, name, STATE_FORMAT, buf, len);
	return e ? saved(d, slot, path, e) : 0;
}

int state_writer_start(struct daemon *d)
{
	return writer_new(d->loop, on_saved, d, &d->writer);
}

int state_writer_stop(struct daemon *d)
{
	int e = writer_free(d->writer, STOP_PATIENCE);

	d->writer = NULL;
	if (e)
		log_warn("state",
			"the disk of %s takes too long: what was to be written last is lost, the "
			"files from before stand",
			d->conf->state_dir);
	return e;
}

int state_open(struct daemon *d)
{
	char path[PATH_MAX];
	pid_t holder = 0;
	int e;

	e = file_mkdir(d->conf->state_dir, 0700);
	if (e) {
		log_error("state", "can't make --state-dir %s: %s", d->conf->state_dir, err_str(e));
		return e;
	}
	e = file_mkdir(d->conf->run_dir, 0755);
	if (e) {
		log_error("state", "can't make --run-dir %s: %s", d->conf->run_dir, err_str(e));
		return e;
	}
	state_path(d, "lock", path);
	d->lock_fd = file_lock(path, &holder);
	if (d->lock_fd >= 0)
		return 0;
	e = d->lock_fd;
	if (e == ERR_BUSY)
		log_error("state",
			"another weftd (pid %d) runs on %s; stop it, or give this one its own "
			"--state-dir",
			(int)holder, d->conf->state_dir);
	else
		log_error("state", "can't lock %s: %s", path, err_str(e));
	return e;
}

/* One secret a line; '#' starts a comment line. We call with the first (rotation, DESIGN 6.3). */
static int parse_secrets(struct daemon *d, char *text)
{
	const char *path = d->conf->secret_file;
	struct secret s, first;
	unsigned line = 0;
	char *p;
	int e = 0;

	/* strsep, unlike strtok, gives empty lines too: the numbers are those of an editor. */
	while (!e && (p = strsep(&text, "\n")) != NULL) {
		line++;
		p += strspn(p, " \t\r");
		if (*p == '\0' || *p == '#')
			continue;
		if (d->nsecrets == LIM_SECRETS) {
			log_error("state", "%s: more than %d secrets", path, LIM_SECRETS);
			e = ERR_FULL;
			break;
		}
		e = secret_parse(p, &s);
		if (e) {
			log_error("state", "%s: line %u is %s; make a secret with: weft key new",
				path, line,
				e == ERR_CORRUPT ? "a mistyped secret (its check bytes disagree)"
						 : "not a weft secret");
			break;
		}
		if (d->nsecrets == 0)
			first = s;
		secret_derive(&s, &d->secrets[d->nsecrets++]);
	}
	if (!e && d->nsecrets == 0) {
		log_error("state", "%s holds no secret; make one with: weft key new", path);
		e = ERR_CONFIG;
	}
	if (!e)
		secret_cluster_id(&first, &d->cluster);
	explicit_bzero(&s, sizeof(s));
	explicit_bzero(&first, sizeof(first));
	return e;
}

int state_load_secrets(struct daemon *d)
{
	char *text = NULL;
	size_t len = 0;
	int e = file_read(d->conf->secret_file, 64 * 1024, &text, &len);

	if (e) {
		log_error("state", "can't read --secret-file %s: %s", d->conf->secret_file,
			err_str(e));
		return e;
	}
	e = parse_secrets(d, text);
	explicit_bzero(text, len);
	free(text);
	return e;
}

int state_load_identity(struct daemon *d)
{
	char *buf = NULL;
	size_t len = 0;
	int e = read_state(d, "identity", &buf, &len, 32, 32,
		"this node comes up as a new one, its old key is lost");

	if (e == 0) {
		identity_from_seed((const uint8_t *)buf, &d->id);
		explicit_bzero(buf, len);
		free(buf);
		return 0;
	}
	if (e != -ENOENT)
		return e;
	identity_generate(&d->id);
	return write_state(d, "identity", d->id.seed, 32);
}

/* The configured cluster: an id as shown in status, or any name, which is hashed. */
static void cluster_from_conf(const char *text, struct cluster_id *out)
{
	if (cluster_id_parse(text, out) != 0)
		key_cluster_of_name(text, out);
}

int state_load_cluster(struct daemon *d)
{
	struct cluster_id want = d->cluster; /* derived from the first secret */
	char have_text[CLUSTER_ID_STRLEN];
	char *buf = NULL;
	size_t len = 0;
	int e;

	if (d->conf->has_cluster)
		cluster_from_conf(d->conf->cluster, &want);
	e = read_state(d, "cluster", &buf, &len, 16, 16, "the cluster id is derived anew");
	if (e == 0) {
		memcpy(d->cluster.b, buf, 16);
		free(buf);
		if (!d->conf->has_cluster || cluster_id_eq(&want, &d->cluster))
			return 0;
		log_error("state",
			"--cluster %s: this node's state belongs to cluster %s; to move the node, "
			"stop it, run "
			"weftd --down and remove %s",
			d->conf->cluster, cluster_id_fmt(&d->cluster, have_text),
			d->conf->state_dir);
		return ERR_CONFIG;
	}
	if (e != -ENOENT)
		return e;
	d->cluster = want;
	return write_state(d, "cluster", d->cluster.b, 16);
}

static int save_epoch(struct daemon *d, uint64_t epoch)
{
	uint8_t out[8];
	struct wr w;

	wr_init(&w, out, sizeof(out));
	wr_u64(&w, epoch);
	d->epoch_saving = epoch;
	return save(d, WRITER_EPOCH, out, sizeof(out));
}

int state_next_epoch(struct daemon *d)
{
	char path[PATH_MAX], *buf = NULL;
	size_t len = 0;
	uint64_t epoch = 0;
	struct rd r;
	int e = read_state(d, "epoch", &buf, &len, 8, 8,
		"the start counter begins again; peers tell us where it stood");

	if (e == 0) {
		rd_init(&r, buf, len);
		epoch = rd_u64(&r);
		free(buf);
	} else if (e != -ENOENT) {
		return e;
	}
	if (epoch >= LIM_EPOCH) {
		state_path(d, "epoch", path);
		state_set_aside(d, path, "holds a start counter that no node comes to",
			"it begins again; peers tell us where it stood");
		epoch = 0;
	}
	return save_epoch(d, epoch + 1);
}

int state_jump_epoch(struct daemon *d, uint64_t at_least)
{
	uint64_t epoch = d->epoch < at_least ? at_least : d->epoch + 1;

	if (epoch > LIM_EPOCH)
		return ERR_RANGE;
	if (d->writer && writer_busy(d->writer, WRITER_EPOCH)) {
		/* Asked for again, since it isn't there after so long. */
		if (at_least <= d->epoch_saving)
			warn_epoch(d, "the disk takes long");
		return ERR_BUSY;
	}
	return save_epoch(d, epoch);
}

int state_save_claims(struct daemon *d, const uint8_t *buf, size_t len)
{
	return save(d, WRITER_CLAIMS, buf, len);
}

int state_load_claims(struct daemon *d, struct owner *o)
{
	char path[PATH_MAX], *buf = NULL;
	size_t len = 0;
	int e = read_state(
		d, "claims", &buf, &len, 0, LIM_STATE_BYTES, "this node claims prefixes anew");

	if (e)
		return e == -ENOENT ? 0 : e;
	e = owner_restore(o, (const uint8_t *)buf, len, loop_now());
	free(buf);
	if (e == 0 || e == ERR_NOMEM)
		return e;
	state_path(d, "claims", path);
	state_set_aside(d, path,
		e == ERR_FOREIGN ? "is another node's, a copied disk?" : "makes no sense",
		"this node claims prefixes anew");
	return 0;
}

static bool save_peer(struct wr *w, const struct node_key *key, const struct ep *ep)
{
	if (wr_left(w) < SAVED_PEER_BYTES)
		return false;
	wr_copy(w, key->b, 32);
	wr_u8(w, ep->ip.family);
	wr_copy(w, ep->ip.b, 16);
	wr_u16(w, ep->port);
	return true;
}

/* The first endpoint of @n that this host can send to, or NULL. */
static const struct ep *endpoint_of(const struct daemon *d, const struct gossip_node_info *n)
{
	for (size_t i = 0; i < n->neps; i++)
		if (!n->eps[i].scope && (n->eps[i].ip.family == IP_V4 || d->has_ipv6))
			return &n->eps[i];
	return NULL;
}

/* Where @p was seen under its session, or NULL: one that came up through a relay was seen nowhere, and a
 * link-local address means nothing without the interface's number, which may be another's after a restart. */
static const struct ep *seen_at(const struct peer *p)
{
	return p->up && p->ep.ip.family != IP_NONE && !p->ep.scope ? &p->ep : NULL;
}

static void save_known(struct daemon *d, struct wr *w)
{
	struct gossip_node_info n;
	struct node_key key;
	struct peer *p;
	struct ep ep;
	uint32_t handle = 0;
	size_t it = 0;

	while (peers_next(d, &handle, &p))
		if (!p->foreign && seen_at(p) && !save_peer(w, &p->key, &p->ep))
			return;
	while (gossip_node_next(d->gossip, &it, &n)) {
		const struct ep *at = endpoint_of(d, &n);

		p = peers_find(d, &n.key);
		if (n.self || (n.left && !n.away) || !at || (p && (p->foreign || seen_at(p))))
			continue;
		if (!save_peer(w, &n.key, at))
			return;
	}
	it = 0;
	while (recall_next(d, &it, &key, &ep))
		if (!save_peer(w, &key, &ep))
			return;
}

int state_save_peers(struct daemon *d)
{
	uint8_t *buf = malloc(SAVED_PEERS_MAX * SAVED_PEER_BYTES);
	struct wr w;

	if (!buf)
		return ERR_NOMEM;
	wr_init(&w, buf, SAVED_PEERS_MAX * SAVED_PEER_BYTES);
	save_known(d, &w);
	/* An empty list would only lose what an earlier run knew. */
	if (wr_len(&w) == 0 || (wr_len(&w) == d->saved_peers_len &&
				       memcmp(buf, d->saved_peers, wr_len(&w)) == 0)) {
		free(buf);
		return 0;
	}
	free(d->saved_peers);
	d->saved_peers = buf;
	d->saved_peers_len = wr_len(&w);
	return save(d, WRITER_PEERS, buf, wr_len(&w));
}

void state_load_peers(struct daemon *d,
	void (*fn)(struct daemon *d, const struct node_key *k, const struct ep *ep))
{
	char *buf = NULL;
	size_t len = 0;
	struct rd r;

	if (read_state(d, "peers", &buf, &len, 0, SAVED_PEERS_MAX * SAVED_PEER_BYTES,
		    "peers are found by the seeds alone"))
		return;
	rd_init(&r, buf, len);
	while (rd_left(&r) >= SAVED_PEER_BYTES) {
		struct node_key k;
		struct ep ep = {0};

		rd_copy(&r, k.b, 32);
		ep.ip.family = rd_u8(&r);
		rd_copy(&r, ep.ip.b, 16);
		ep.port = rd_u16(&r);
		if ((ep.ip.family == IP_V4 || ep.ip.family == IP_V6) && ep.port)
			fn(d, &k, &ep);
	}
	free(buf);
}
