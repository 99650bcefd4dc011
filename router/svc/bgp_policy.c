/* bgp_policy.c - route policy in the daemon.
 *
 * Data in: the book of policies that the configuration holds, the segment's ranges (no neighbour gets
 * to speak for them), the file of origins. Data out: the hooks of each neighbour.
 *
 * A reload reads the file again and takes from it the sets, the policies, what each neighbour's
 * import and export name, its password, and the origins; all routes are judged again from what is
 * stored. It is whole or not at all: the new book is ready before the old one goes, and passwords, which
 * the kernel may refuse, are set last before that.
 *
 * Failure: without a readable file of origins all validity is unknown, told in status and log; at a
 * reload the table there is stays. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "weft/wire.h"
#include "bgp_svc.h"
#include "file.h"
#include "link_svc.h"
#include "roa.h"

#define ROA_FILE_MAX (256u * 1024 * 1024)

/* The table of @path. 0, and *@out owned; an error with words in @why. */
static int read_origins(const char *path, struct roa **out, char *why, size_t why_len)
{
	char *text, said[ROA_WHY] = "";
	size_t len;
	int err = file_read(path, ROA_FILE_MAX, &text, &len);

	*out = NULL;
	if (err == 0) {
		err = roa_parse(text, len, out, said);
		free(text);
	}
	if (err)
		snprintf(why, why_len, "%s: %s", path, said[0] ? said : err_str(err));
	return err;
}

/* Make @c's book ready for use. */
static int close_book(const struct bgp_svc *s, const struct conf_bgp *c)
{
	const struct segment *seg = segment_find(s->d, VNI_DEFAULT);
	int err = 0;

	for (size_t i = 0; seg && i < seg->nranges && !err; i++)
		err = policy_book_guard(c->policies, &seg->ranges[i]);
	return err ? err : policy_book_close(c->policies, c->asn);
}

static void on_hangup(void *ctx, int signo)
{
	struct bgp_svc *s = ctx;
	char why[512];

	(void)signo;
	if (bgp_policy_reload(s->d, why, sizeof(why)) != 0)
		log_error("bgp", "nothing was taken over from the configuration: %s", why);
	else
		log_info("bgp", "the policies of the configuration file are in use");
}

int bgp_policy_open(struct bgp_svc *s)
{
	int err = close_book(s, s->conf);

	s->book = s->conf->policies;
	if (err)
		return err;
	if (s->conf->roa_file[0] && read_origins(s->conf->roa_file, &s->origins, s->origins_why,
					    sizeof(s->origins_why)) != 0)
		log_error("bgp", "no origins, so that the validity of all routes is unknown: %s",
			s->origins_why);
	policy_book_origins(s->book, s->origins);
	s->sighup = loop_signal_new(s->d->loop, SIGHUP, on_hangup, s);
	return s->sighup ? 0 : ERR_NOMEM;
}

/* Without a word in the configuration eBGP has no policy, so the core refuses (RFC 8212); iBGP takes
 * all but the ranges. */
void bgp_policy_hooks(struct bgp_svc *s, const struct conf_bgp_peer *c, struct bgp_policy *import,
	struct bgp_policy *export)
{
	struct policy *in = c->import.policy;

	if (!in && c->asn == s->conf->asn)
		in = policy_find(s->book, "accept");
	*import = in ? policy_hook(in, POLICY_IN) : (struct bgp_policy){NULL, NULL};
	*export = c->export.policy ? policy_hook(c->export.policy, POLICY_OUT)
				   : (struct bgp_policy){NULL, NULL};
}

/* --- reload --- */

static const struct conf_bgp_peer *find_peer(
	const struct conf_bgp *c, const struct conf_bgp_peer *old)
{
	for (size_t i = 0; i < c->npeers; i++)
		if (conf_bgp_same_peer(&c->peers[i], old))
			return &c->peers[i];
	return NULL;
}

/* Does what can't change without a restart stand as it stood? */
static bool same_neighbours(
	const struct bgp_svc *s, const struct conf_bgp *c, char *why, size_t why_len)
{
	if (c->asn != s->conf->asn) {
		snprintf(why, why_len, "bgp.asn is another; restart weftd for that");
		return false;
	}
	for (size_t i = 0; i < s->conf->npeers; i++) {
		const struct conf_bgp_peer *old = &s->conf->peers[i], *p = find_peer(c, old);
		char text[CONF_BGP_PEER_NAME];

		if (p && p->asn == old->asn)
			continue;
		snprintf(why, why_len, "the neighbour %s %s; restart weftd for that",
			conf_bgp_peer_name(old, text), p ? "has another asn" : "is gone");
		return false;
	}
	for (size_t i = 0; i < c->npeers; i++) {
		char text[CONF_BGP_PEER_NAME];

		if (find_peer(s->conf, &c->peers[i]))
			continue;
		snprintf(why, why_len, "the neighbour %s is new; restart weftd for that",
			conf_bgp_peer_name(&c->peers[i], text));
		return false;
	}
	return true;
}

/* The kernel's keys of what entry @i of the start's section stands for: a neighbour, or those of a range. */
static int set_password(struct bgp_svc *s, size_t i, const char *password)
{
	const struct conf_bgp_peer *p = &s->conf->peers[i];

	if (p->range.ip.family != IP_NONE)
		return bgpd_range_password(s->bgpd, (uint32_t)i, password);
	for (size_t k = 0; k < s->nneighbours; k++)
		if (s->neighbours[k].conf == p && s->neighbours[k].peer)
			return bgpd_peer_password(s->bgpd, s->neighbours[k].peer, password);
	return 0; /* nobody showed up on that interface yet */
}

/* Each changed password, without a reset (RFC 2385); when one can't be set, those before it are put back. */
static int change_passwords(struct bgp_svc *s, const struct conf_bgp *c, char *why, size_t why_len)
{
	char name[CONF_BGP_PEER_NAME];
	size_t i = 0;
	int err = 0;

	for (; i < s->conf->npeers && !err; i++) {
		const struct conf_bgp_peer *old = bgp_svc_conf_peer(s, &s->conf->peers[i]);
		const struct conf_bgp_peer *p = find_peer(c, old);

		if (strcmp(p->password, old->password) == 0)
			continue;
		err = set_password(s, i, p->password);
		if (err)
			snprintf(why, why_len, "the password of %s: %s%s",
				conf_bgp_peer_name(old, name), err_str(err),
				err == -ENOPROTOOPT ? "; this kernel has no TCP-MD5" : "");
	}
	while (err && i-- > 0) {
		const struct conf_bgp_peer *old = bgp_svc_conf_peer(s, &s->conf->peers[i]);

		if (strcmp(find_peer(c, old)->password, old->password) != 0)
			(void)set_password(s, i, old->password);
	}
	return err;
}

static void take_over(struct bgp_svc *s, struct conf_bgp *c, struct roa *origins)
{
	for (size_t i = 0; i < s->nneighbours; i++) {
		const struct bgp_neighbour *n = &s->neighbours[i];
		struct bgp_policy import, export;

		bgp_policy_hooks(s, find_peer(c, n->conf), &import, &export);
		/* No memory closes that session; with its next one all is judged anew. */
		(void)bgp_peer_repolicy(bgpd_core(s->bgpd), n->peer, &import, &export, loop_now());
	}
	conf_bgp_free(s->reloaded);
	roa_free(s->origins);
	s->reloaded = c;
	s->origins = origins;
	s->origins_why[0] = '\0';
}

int bgp_policy_reload(struct daemon *d, char *why, size_t why_len)
{
	struct bgp_svc *s = d->bgp;
	struct conf_bgp *c = NULL;
	struct roa *origins = NULL;
	char said[2048] = "";
	int err;

	if (!s || !d->conf->config_path[0]) {
		snprintf(why, why_len, "there is no configuration file with a section bgp");
		return ERR_STATE;
	}
	err = conf_load_bgp(d->conf->config_path, &c, said, sizeof(said));
	if (err) {
		snprintf(why, why_len, "%s", said);
		return err;
	}
	if (c->asn == 0)
		c->asn = link_asn_of(&d->cluster);
	err = ERR_CONFIG;
	if (!same_neighbours(s, c, why, why_len))
		goto fail;
	if (c->roa_file[0]) {
		err = read_origins(c->roa_file, &origins, why, why_len);
		if (err)
			goto fail;
	}
	err = close_book(s, c);
	if (err) {
		snprintf(why, why_len, "%s", err_str(err));
		goto fail;
	}
	err = change_passwords(s, c, why, why_len);
	if (err)
		goto fail;
	policy_book_succeed(c->policies, s->book);
	policy_book_origins(s->book, NULL); /* the configuration's own book outlives the table */
	s->book = c->policies;
	policy_book_origins(s->book, origins);
	take_over(s, c, origins);
	link_cross_policies(d);
	bgpd_kick(s->bgpd);
	return 0;
fail:
	roa_free(origins);
	conf_bgp_free(c);
	return err;
}

void bgp_policy_close(struct bgp_svc *s)
{
	loop_signal_free(s->sighup);
	conf_bgp_free(s->reloaded);
	roa_free(s->origins);
}
