/* link.c - links to other clusters: the state directory, sessions in realms, the link core's actions.
 *
 * State: one file link-NAME for each, 0600 and written by atomic rename: the invitation, and what was
 * last heard of the other cluster, both as invitations' text. A damaged one is set aside.
 *
 * A session in a link's realm never reaches gossip. Its peer is foreign (peers.h): it gets a control
 * address of its own cluster's, and is a gateway for what BGP says it leads to, nothing else. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "weft/err.h"
#include "bgp_svc.h"
#include "file.h"
#include "link_svc.h"
#include "priv.h"

#define FILE_KIND   "link"
#define FILE_FORMAT 1
#define FILE_PREFIX "link-"
#define FILE_MAX    (2 * LINK_INVITE_STRLEN + 64)
#define DIAL_FOR    DUR_SEC(4) /* the core dials again each 5 s */

/* --- the state directory --- */

static void path_of(const struct daemon *d, const char *name, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/" FILE_PREFIX "%s", d->conf->state_dir, name);
}

static int save(struct daemon *d, const struct link_entry *e)
{
	struct link_invite known = {.from = e->remote};
	char text[FILE_MAX], line[LINK_INVITE_STRLEN], path[PATH_MAX];
	int n, err;

	n = snprintf(text, sizeof(text), "invite %s\n", link_invite_fmt(&e->invite, line));
	if (e->remote.asn)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "remote %s\n",
			link_invite_fmt(&known, line));
	path_of(d, e->name, path);
	err = file_state_write(path, FILE_KIND, FILE_FORMAT, text, (size_t)n);
	explicit_bzero(text, sizeof(text));
	explicit_bzero(line, sizeof(line));
	if (err)
		daemon_warn(d, "can't write %s: %s", path, err_str(err));
	return err;
}

static int parse_file(struct daemon *d, char *text, struct link_entry *e)
{
	struct link_invite known;
	char *rest = text, *line;
	bool have = false;

	while ((line = strsep(&rest, "\n"))) {
		int err = 0;

		if (strncmp(line, "invite ", 7) == 0) {
			err = link_invite_parse(line + 7, &e->invite);
			have = !err;
		} else if (strncmp(line, "remote ", 7) == 0) {
			err = link_invite_parse(line + 7, &known);
			if (!err)
				e->remote = known.from;
		}
		if (err)
			return err;
	}
	if (!have)
		return ERR_MALFORMED;
	e->theirs = !cluster_id_eq(&e->invite.from.id, &d->cluster);
	if (e->theirs && e->remote.asn == 0)
		e->remote = e->invite.from;
	return 0;
}

static int load(struct daemon *d, const char *name, struct link_entry *e)
{
	char path[PATH_MAX], what[64], *text = NULL;
	uint16_t format;
	size_t len = 0;
	int err;

	memset(e, 0, sizeof(*e));
	snprintf(e->name, sizeof(e->name), "%s", name);
	path_of(d, name, path);
	err = file_state_read(path, FILE_KIND, FILE_FORMAT, &format, &text, &len);
	if (!err)
		err = parse_file(d, text, e);
	if (text)
		explicit_bzero(text, len);
	free(text);
	if (!err || err == ERR_NOMEM)
		return err;
	explicit_bzero(e, sizeof(*e));
	snprintf(what, sizeof(what), "is damaged (%s)", err_str(err));
	state_set_aside(d, path, what,
		"this node has no part in that link; weft cluster accept takes its invitation "
		"again");
	return err;
}

static struct link_entry *free_entry(struct link_svc *s)
{
	for (size_t i = 0; i < LIM_LINKS; i++)
		if (s->entries[i].number == 0) {
			s->entries[i].number = (uint32_t)i + 1;
			s->count++;
			return &s->entries[i];
		}
	return NULL;
}

static void drop_entry(struct link_svc *s, struct link_entry *e)
{
	explicit_bzero(e, sizeof(*e)); /* end() was called */
	s->count--;
}

/* What a greeting says of us. */
static void describe(struct daemon *d, struct link_cluster *c)
{
	const struct segment *seg = segment_find(d, VNI_DEFAULT);

	memset(c, 0, sizeof(*c));
	c->id = d->cluster;
	c->asn = d->conf->bgp ? d->conf->bgp->asn : link_asn_of(&d->cluster);
	if (d->conf->has_cluster && node_name_ok(d->conf->cluster))
		snprintf(c->name, sizeof(c->name), "%s", d->conf->cluster);
	for (size_t i = 0; seg && i < seg->nranges && c->nranges < LINK_RANGES_MAX; i++)
		c->ranges[c->nranges++] = seg->ranges[i];
}

int link_svc_open(struct daemon *d)
{
	struct link_svc *s = calloc(1, sizeof(*s));
	const struct segment *seg = segment_find(d, VNI_DEFAULT);
	const struct dirent *f;
	DIR *dir;

	if (!s)
		return ERR_NOMEM;
	d->link = s;
	s->d = d;
	if (link_bgp_new(d) != 0 || link_cross_open(d) != 0 || link_exit_open(d) != 0)
		return ERR_NOMEM;
	link_ranges_load(d);
	if (d->conf->bgp && d->conf->bgp->asn == 0)
		d->conf->bgp->asn = link_asn_of(&d->cluster);
	describe(d, &s->self);
	s->off = !d->has_ipv6 || (seg && seg->nranges > LINK_RANGES_MAX);
	dir = opendir(d->conf->state_dir);
	while (dir && (f = readdir(dir))) {
		struct link_entry *e, got;

		if (strncmp(f->d_name, FILE_PREFIX, strlen(FILE_PREFIX)) != 0 ||
			!node_name_ok(f->d_name + strlen(FILE_PREFIX)) ||
			strstr(f->d_name, ".bad-") || strstr(f->d_name, ".tmp"))
			continue;
		if (load(d, f->d_name + strlen(FILE_PREFIX), &got) != 0)
			continue;
		e = free_entry(s);
		if (!e) {
			daemon_warn(d, "more than %d links: %s is left out", LIM_LINKS, got.name);
			continue;
		}
		got.number = e->number;
		*e = got;
		explicit_bzero(&got, sizeof(got));
	}
	if (dir)
		closedir(dir);
	if (s->off && (s->count || (d->conf->bgp && d->conf->bgp->nodes.line)))
		daemon_warn(d, "links to other clusters, and nodes' routes by BGP, are off: %s",
			d->has_ipv6 ? "this cluster has more ranges than a link can tell"
				    : "this host has no IPv6, which the control segment needs");
	return 0;
}

/* --- links to the cores --- */

/* The other cluster's ranges are closed until somebody leads there. */
static void ranges_of(struct daemon *d, const struct link_entry *e)
{
	for (size_t i = 0; i < e->remote.nranges; i++)
		rtab_link_range(d, VNI_DEFAULT, &e->remote.ranges[i]);
}

static int begin(struct daemon *d, struct link_entry *e, char *why)
{
	struct link_svc *s = d->link;
	struct link_def def = {.number = e->number, .remote = e->remote};
	struct secret_keys keys;
	int err;

	snprintf(def.name, sizeof(def.name), "%s", e->name);
	if (e->theirs) {
		def.neps = e->invite.neps;
		memcpy(def.eps, e->invite.eps, sizeof(def.eps));
	}
	secret_derive(&e->invite.secret, &keys);
	err = sess_realm_add(d->sess, e->number, &keys);
	explicit_bzero(&keys, sizeof(keys));
	if (err) {
		snprintf(why, LINK_WHY_MAX, "%s",
			err == ERR_FULL ? "there are as many cluster secrets and links as can be"
					: err_str(err));
		return err;
	}
	err = links_add(s->core, &def, why, loop_now());
	if (err) {
		(void)sess_realm_del(d->sess, e->number, loop_now());
	} else {
		link_bgp_add(d, e);
		link_cross_policies(d);
		ranges_of(d, e);
	}
	if (err && !why[0])
		snprintf(why, LINK_WHY_MAX, "%s",
			err == ERR_EXISTS ? "there is a link of that name" : err_str(err));
	return err;
}

static void end(struct daemon *d, struct link_entry *e)
{
	link_bgp_del(d, e);
	(void)links_del(d->link->core, e->number);
	(void)sess_realm_del(d->sess, e->number, loop_now());
}

int link_svc_start(struct daemon *d)
{
	struct link_svc *s = d->link;
	char why[LINK_WHY_MAX];

	s->core = links_new(&d->id.pub, &s->self, loop_now());
	if (!s->core)
		return ERR_NOMEM;
	link_ranges_close(d);
	for (size_t i = 0; i < LIM_LINKS && !s->off; i++)
		if (s->entries[i].number && begin(d, &s->entries[i], why) != 0)
			daemon_warn(d, "link %s is off: %s", s->entries[i].name, why);
	s->sync = true;
	return 0;
}

void link_svc_stop(struct daemon *d)
{
	if (!d->link)
		return;
	link_bgp_close(d->link);
	links_free(d->link->core);
	d->link->core = NULL;
}

void link_svc_close(struct daemon *d)
{
	struct link_svc *s = d->link;

	if (!s)
		return;
	link_cross_close(d);
	link_exit_close(d);
	lbgp_free(s->lbgp);
	explicit_bzero(s, sizeof(*s));
	free(s);
	d->link = NULL;
}

static struct link_entry *entry_at(struct link_svc *s, uint32_t number)
{
	for (size_t i = 0; i < LIM_LINKS; i++)
		if (s->entries[i].number && s->entries[i].number == number)
			return &s->entries[i];
	return NULL;
}

/* --- sessions --- */

void link_svc_up(struct daemon *d, const struct sess_act *a)
{
	if (d->link->core)
		links_session_up(d->link->core, a->realm, &a->key, loop_now());
}

/* Neither control address nor right to speak for anybody. */
static void forget_peer(struct daemon *d, const struct node_key *key)
{
	struct peer *p = peers_find(d, key);

	if (!p || !p->foreign)
		return;
	(void)dp_peer_links(d->dp, p->handle, 0);
	rtab_control(d, key, false);
}

/* At a clean stop sessions end after the core. */
void link_svc_down(struct daemon *d, const struct sess_act *a)
{
	if (d->link->core)
		links_session_down(d->link->core, a->realm, &a->key, loop_now());
}

void link_svc_recv(struct daemon *d, const struct sess_act *a)
{
	static struct log_limit limit;
	char key[NODE_KEY_SHORT + 1];
	int err;

	if (!d->link->core)
		return;
	err = links_recv(d->link->core, a->realm, &a->key, a->buf + 1, a->len - 1, loop_now());
	if (err && err != ERR_STALE && err != ERR_CONFLICT)
		log_limited(&limit, loop_now().ns, LOG_LVL_WARN, "link",
			"a message of gateway %s is dropped: %s", node_key_fmt_short(&a->key, key),
			err_str(err));
}

/* --- actions of the link core --- */

static void on_send(struct daemon *d, struct link_entry *e, const struct link_act *a)
{
	uint32_t peer = sess_peer_find(d->sess, &a->key);

	(void)e;
	if (peer)
		(void)sess_send(d->sess, peer, WIRE_CTL_LINK, a->buf, a->len, loop_now());
}

static void on_dial(struct daemon *d, struct link_entry *e, const struct link_act *a)
{
	static const struct node_key none;

	(void)sess_realm_connect(d->sess, e->number, &a->ep,
		node_key_eq(&a->key, &none) ? NULL : &a->key, ts_add(loop_now(), DIAL_FOR),
		loop_now());
}

static void on_up(struct daemon *d, struct link_entry *e, const struct link_act *a)
{
	char key[NODE_KEY_SHORT + 1];
	struct peer *p = peers_find(d, &a->key);

	if (!p)
		return;
	p->foreign = true;
	p->cluster = a->remote->id;
	(void)dp_peer_links(d->dp, p->handle, 1u << e->number);
	rtab_control(d, &a->key, true); /* BGP begins within a second, when that stands */
	log_info("link", "link %s: gateway %s of cluster %s (AS %u) is up", e->name,
		node_key_fmt_short(&a->key, key),
		a->remote->name[0] ? a->remote->name : "without a name", a->remote->asn);
}

static void on_down(struct daemon *d, struct link_entry *e, const struct link_act *a)
{
	char key[NODE_KEY_SHORT + 1];

	forget_peer(d, &a->key);
	d->link->sync = true;
	log_info("link", "link %s: gateway %s is down%s%s", e->name,
		node_key_fmt_short(&a->key, key), a->text[0] ? ": " : "", a->text);
	if (a->text[0])
		daemon_warn(d, "link %s is refused: %s", e->name, a->text);
}

static void on_learned(struct daemon *d, struct link_entry *e, const struct link_act *a)
{
	uint32_t before = e->remote.asn;

	e->remote = *a->remote;
	link_bgp_learned(d, e, before);
	link_cross_policies(d);
	ranges_of(d, e);
	(void)save(d, e);
}

static void on_refused(struct daemon *d, struct link_entry *e, const struct link_act *a)
{
	daemon_warn(d, "link %s: the other cluster refuses us: %s", e->name, a->text);
}

static void (*const handlers[])(
	struct daemon *d, struct link_entry *e, const struct link_act *a) = {
	[LINK_SEND] = on_send,
	[LINK_DIAL] = on_dial,
	[LINK_UP] = on_up,
	[LINK_DOWN] = on_down,
	[LINK_LEARNED] = on_learned,
	[LINK_REFUSED] = on_refused,
};

bool link_svc_drain(struct daemon *d)
{
	struct link_svc *s = d->link;
	struct link_act a;
	bool any = false;

	if (!s || !s->core)
		return false;
	while (links_next(s->core, &a)) {
		struct link_entry *e = entry_at(s, a.link);

		any = true;
		if (e && (size_t)a.type < sizeof(handlers) / sizeof(handlers[0]) &&
			handlers[a.type])
			handlers[a.type](d, e, &a);
	}
	if (s->sync) {
		s->sync = false;
		link_bgp_sync(d);
	}
	return link_cross_drain(d) || any;
}

void link_svc_way_changed(struct daemon *d)
{
	if (d->link && lbgp_count(d->link->lbgp) > 0)
		d->link->sync = true;
}

void link_svc_tick(struct daemon *d, ts_t now)
{
	if (d->link && d->link->core)
		links_tick(d->link->core, now);
}

ts_t link_svc_deadline(const struct daemon *d)
{
	return d->link && d->link->core ? links_deadline(d->link->core) : TS_NEVER;
}

/* --- what we are, as it changes --- */

static void add_gateway(struct link_gateway *g, size_t *n, const struct gossip_node_info *info)
{
	if (*n == LINK_GATEWAYS_MAX || info->neps == 0)
		return;
	g[*n] = (struct link_gateway){.key = info->key};
	for (size_t i = 0; i < info->neps && g[*n].neps < LINK_GW_EPS_MAX; i++)
		if (info->eps[i].scope == 0)
			g[*n].eps[g[*n].neps++] = info->eps[i];
	(*n)++;
}

bool link_svc_is_gateway(const struct daemon *d)
{
	const struct link_svc *s = d->link;

	return !s->off && (s->count || (d->bgp && bgp_svc_conf(d->bgp)->nodes.line));
}

/* A gateway forwards from the mesh's device to the same, and the kernel would tell senders that there is
 * a shorter way. The switch of all devices outdoes the device's own. */
static void be_gateway(struct daemon *d, bool on)
{
	struct link_svc *s = d->link;
	int err;

	d->features =
		on ? d->features | GOSSIP_F_GATEWAY : d->features & ~(uint64_t)GOSSIP_F_GATEWAY;
	gossip_set_features(d->gossip, d->features, loop_now());
	dp_gateway(d->dp, on);
	if (!on || s->quiet)
		return;
	err = priv_sysctl("net/ipv4/conf/all/send_redirects", "0");
	s->quiet = err == 0;
	if (err)
		daemon_warn(d, "can't set net.ipv4.conf.all.send_redirects to 0: %s", err_str(err));
}

/* Invitations of ours that ended before anybody took them up. */
static void drop_expired(struct daemon *d)
{
	const uint64_t now = loop_unix_ns() / 1000000000u;

	for (size_t i = 0; i < LIM_LINKS; i++) {
		const struct link_entry *e = &d->link->entries[i];
		char name[NODE_NAME_MAX + 1];

		if (!e->number || e->theirs || e->remote.asn || !e->invite.expires_unix ||
			now < e->invite.expires_unix)
			continue;
		snprintf(name, sizeof(name), "%s", e->name);
		log_info("link", "link %s: nobody took its invitation up in time", name);
		(void)link_svc_remove(d, name);
	}
}

void link_svc_second(struct daemon *d)
{
	struct link_svc *s = d->link;
	struct link_gateway gateways[LINK_GATEWAYS_MAX];
	struct gossip_node_info info;
	size_t n = 0, it = 0;

	if (!s || !s->core)
		return;
	drop_expired(d);
	memset(gateways, 0, sizeof(gateways));
	be_gateway(d, link_svc_is_gateway(d));
	if (gossip_node_get(d->gossip, &d->id.pub, &info) == 0)
		add_gateway(gateways, &n, &info);
	while (gossip_node_next(d->gossip, &it, &info)) {
		bool gateway = info.features & GOSSIP_F_GATEWAY;
		const struct peer *p;

		if (info.self || !info.up)
			continue;
		if (gateway)
			add_gateway(gateways, &n, &info);
		/* Our own gateways may speak for every cluster that is linked, while they are. */
		p = peers_find(d, &info.key);
		if (p)
			(void)dp_peer_links(d->dp, p->handle, gateway ? UINT32_MAX : 0);
	}
	describe(d, &s->self);
	links_self(s->core, &s->self, gateways, n, loop_now());
	link_bgp_look(d);
	link_bgp_sync(d);
	link_ranges_save(d);
}

/* --- the operator's words --- */

static bool name_taken(const struct link_svc *s, const char *name)
{
	for (size_t i = 0; i < LIM_LINKS; i++)
		if (s->entries[i].number && strcmp(s->entries[i].name, name) == 0)
			return true;
	return false;
}

/* @wish, or a name made of @base. */
static bool choose_name(
	const struct link_svc *s, const char *wish, const char *base, char out[NODE_NAME_MAX + 1])
{
	if (wish && wish[0]) {
		snprintf(out, NODE_NAME_MAX + 1, "%s", wish);
		return node_name_ok(wish) && !name_taken(s, out);
	}
	if (node_name_ok(base)) {
		snprintf(out, NODE_NAME_MAX + 1, "%s", base);
		if (!name_taken(s, out))
			return true;
	}
	for (unsigned i = 1; i <= LIM_LINKS; i++) {
		snprintf(out, NODE_NAME_MAX + 1, "link%u", i);
		if (!name_taken(s, out))
			return true;
	}
	return false;
}

static int add(struct daemon *d, const char *wish, const char *base, const struct link_entry *made,
	const struct link_entry **out, char *why)
{
	struct link_svc *s = d->link;
	struct link_entry *e;
	uint32_t number;
	char name[NODE_NAME_MAX + 1];
	int err;

	if (s->off) {
		snprintf(why, LINK_WHY_MAX, "%s",
			d->has_ipv6 ? "this cluster has more ranges than a link can tell"
				    : "this host has no IPv6, which the control segment needs");
		return ERR_UNSUPPORTED;
	}
	if (!choose_name(s, wish, base, name)) {
		snprintf(why, LINK_WHY_MAX, "%s is the name of a link already, or no name", name);
		return ERR_EXISTS;
	}
	e = free_entry(s);
	if (!e) {
		snprintf(why, LINK_WHY_MAX, "this node has %d links, and can't have more",
			LIM_LINKS);
		return ERR_FULL;
	}
	number = e->number;
	*e = *made;
	e->number = number;
	snprintf(e->name, sizeof(e->name), "%s", name);
	err = begin(d, e, why);
	if (!err) {
		err = save(d, e);
		if (err) {
			snprintf(why, LINK_WHY_MAX, "it can't be kept in the state directory: %s",
				err_str(err));
			end(d, e);
		}
	}
	if (err) {
		drop_entry(s, e);
		return err;
	}
	*out = e;
	link_svc_second(d);
	mesh_drain(d);
	return 0;
}

int link_svc_invite(struct daemon *d, const char *name, uint64_t expires_unix,
	const struct link_entry **out, char *why)
{
	struct link_entry e = {.invite = {.from = d->link->self, .expires_unix = expires_unix}};
	struct gossip_node_info info;
	int err;

	why[0] = '\0';
	if (gossip_node_get(d->gossip, &d->id.pub, &info) == 0)
		for (size_t i = 0; i < info.neps && e.invite.neps < LINK_EPS_MAX; i++)
			if (info.eps[i].scope == 0)
				e.invite.eps[e.invite.neps++] = info.eps[i];
	if (e.invite.neps == 0) {
		snprintf(why, LINK_WHY_MAX, "this node has no address that another could call");
		return ERR_STATE;
	}
	secret_generate(&e.invite.secret);
	err = add(d, name, "", &e, out, why);
	explicit_bzero(&e, sizeof(e));
	return err;
}

int link_svc_accept(struct daemon *d, const char *name, const struct link_invite *v,
	const struct link_entry **out, char *why)
{
	struct link_entry e = {.invite = *v};
	int err;

	why[0] = '\0';
	if (v->expires_unix && loop_unix_ns() / 1000000000u >= v->expires_unix) {
		snprintf(why, LINK_WHY_MAX, "the invitation has ended");
		return ERR_STALE;
	}
	/* One of our own cluster's makes this node another gateway of that link. */
	e.theirs = !cluster_id_eq(&v->from.id, &d->cluster);
	if (e.theirs)
		e.remote = v->from;
	for (size_t i = 0; i < LIM_LINKS; i++)
		if (d->link->entries[i].number && memcmp(d->link->entries[i].invite.secret.b,
							  v->secret.b, sizeof(v->secret.b)) == 0) {
			snprintf(why, LINK_WHY_MAX, "link %s is of this invitation",
				d->link->entries[i].name);
			explicit_bzero(&e, sizeof(e));
			return ERR_EXISTS;
		}
	err = add(d, name, e.theirs ? v->from.name : "", &e, out, why);
	explicit_bzero(&e, sizeof(e));
	return err;
}

int link_svc_remove(struct daemon *d, const char *name)
{
	struct link_svc *s = d->link;
	char path[PATH_MAX];

	for (size_t i = 0; i < LIM_LINKS; i++) {
		struct link_entry *e = &s->entries[i];

		if (!e->number || strcmp(e->name, name) != 0)
			continue;
		path_of(d, name, path);
		if (unlink(path) < 0 && errno != ENOENT)
			return -errno;
		end(d, e);
		(void)link_svc_drain(d); /* while its entry is there to be named */
		drop_entry(s, e);
		link_svc_second(d);
		mesh_drain(d);
		return 0;
	}
	return ERR_NOT_FOUND;
}
