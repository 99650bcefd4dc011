/* tune.c - see tune.h. Three tables: times and limits of the session core (each may only go down),
 * and fall-backs of the data plane. In: the configuration's KEY=VALUE texts. Out: struct tune. A
 * value that can't be is refused with the key and what is allowed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "weft/err.h"
#include "tune.h"

static const struct {
	const char *key;
	size_t offset; /* of a dur_t in struct sess_tune */
} times_ms[] = {
	{"rekey_initiator_ms", offsetof(struct sess_tune, rekey_initiator)},
	{"rekey_responder_ms", offsetof(struct sess_tune, rekey_responder)},
	{"key_lifetime_ms", offsetof(struct sess_tune, key_lifetime)},
	{"previous_keep_ms", offsetof(struct sess_tune, previous_keep)},
	{"hs_retry_ms", offsetof(struct sess_tune, hs_retry)},
	{"hs_retry_max_ms", offsetof(struct sess_tune, hs_retry_max)},
	{"hs_state_life_ms", offsetof(struct sess_tune, hs_state_life)},
	{"time_window_ms", offsetof(struct sess_tune, time_window)},
	{"ping_interval_ms", offsetof(struct sess_tune, ping_interval)},
	{"peer_timeout_ms", offsetof(struct sess_tune, peer_timeout)},
	{"idle_expiry_ms", offsetof(struct sess_tune, idle_expiry)},
	{"unused_expiry_ms", offsetof(struct sess_tune, unused_expiry)},
	{"side_probe_interval_ms", offsetof(struct sess_tune, side_probe_interval)},
};

static const struct {
	const char *key;
	size_t offset; /* of a uint64_t[3] in struct sess_tune */
} blocks[] = {
	{"soft_blocks", offsetof(struct sess_tune, soft_blocks)},
	{"hard_blocks", offsetof(struct sess_tune, hard_blocks)},
	{"max_failed_opens", offsetof(struct sess_tune, max_failed_opens)},
};

static const struct {
	const char *name;
	size_t offset; /* of a bool in struct dp_force */
} fallbacks[] = {
	{"no_tun_offload", offsetof(struct dp_force, no_tun_offload)},
	{"no_uso", offsetof(struct dp_force, no_uso)},
	{"no_udp_gso", offsetof(struct dp_force, no_udp_gso)},
	{"no_udp_gro", offsetof(struct dp_force, no_udp_gro)},
	{"no_coalesce", offsetof(struct dp_force, no_coalesce)},
	{"no_tun_steering", offsetof(struct dp_force, no_tun_steering)},
	{"no_udp_steering", offsetof(struct dp_force, no_udp_steering)},
	{"no_mmsg", offsetof(struct dp_force, no_mmsg)},
	{"no_csum_partial", offsetof(struct dp_force, no_csum_partial)},
};

#define KEY_MAX       64                  /* bytes of a key, NUL included */
#define CLOCK_OFF_MAX INT64_C(3155760000) /* 100 years: as nanoseconds it fits 64 bits */

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static bool parse_number(const char *v, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(v, &end, 10);
	return errno == 0 && *v && !*end;
}

static int set_force(struct dp_force *f, const char *name)
{
	bool all = strcmp(name, "all") == 0, hit = all;

	for (size_t i = 0; i < COUNT(fallbacks); i++) {
		if (!all && strcmp(name, fallbacks[i].name) != 0)
			continue;
		*(bool *)((char *)f + fallbacks[i].offset) = true;
		hit = true;
	}
	return hit ? 0 : ERR_CONFIG;
}

static int set_provider(struct tune *t, const char *v)
{
	if (strcmp(v, "sodium") == 0)
		t->provider = AEAD_SODIUM;
	else if (strcmp(v, "ipsecmb") == 0)
		t->provider = AEAD_IPSECMB;
	else
		return ERR_CONFIG;
	return 0;
}

static int set_sess(struct sess_tune *s, const char *key, int64_t n)
{
	for (size_t i = 0; i < COUNT(times_ms); i++) {
		dur_t *d = (dur_t *)(void *)((char *)s + times_ms[i].offset);

		if (strcmp(key, times_ms[i].key) != 0)
			continue;
		if (n <= 0 || n > dur_ms(*d))
			return ERR_RANGE;
		*d = DUR_MS(n);
		return 0;
	}
	for (size_t i = 0; i < COUNT(blocks); i++) {
		uint64_t *b = (uint64_t *)(void *)((char *)s + blocks[i].offset);

		if (strcmp(key, blocks[i].key) != 0)
			continue;
		if (n <= 0)
			return ERR_RANGE;
		for (int suite = 1; suite <= 2; suite++)
			b[suite] = (uint64_t)n < b[suite] ? (uint64_t)n : b[suite];
		/* A key asks for its successor at the soft limit, which so lies at the hard one at
		 * the latest; whichever of the two is given first. */
		for (int suite = 1; suite <= 2; suite++)
			if (s->soft_blocks[suite] > s->hard_blocks[suite])
				s->soft_blocks[suite] = s->hard_blocks[suite];
		return 0;
	}
	return ERR_NOT_FOUND;
}

static int set_one(struct tune *t, const char *key, const char *value)
{
	int64_t n = 0;
	bool number = parse_number(value, &n);

	if (strcmp(key, "force") == 0)
		return set_force(&t->force, value);
	if (strcmp(key, "provider") == 0)
		return set_provider(t, value);
	if (!number)
		return ERR_CONFIG;
	if (strcmp(key, "cookies") == 0) {
		if (n != 0 && n != 1)
			return ERR_CONFIG;
		t->cookies = n != 0;
		return 0;
	}
	if (strcmp(key, "clock_offset_secs") == 0) {
		if (n < -CLOCK_OFF_MAX || n > CLOCK_OFF_MAX)
			return ERR_CONFIG;
		t->clock_offset_secs = n;
		return 0;
	}
	return set_sess(&t->sess, key, n);
}

int tune_load(const struct conf *conf, struct tune *out, char *err, size_t err_len)
{
	memset(out, 0, sizeof(*out));
	sess_tune_default(&out->sess);
	out->provider = AEAD_AUTO;
	out->force.no_csum_partial = conf->checksum_full;
	for (size_t i = 0; i < conf->ntune; i++) {
		const char *text = conf->tune[i], *eq = strchr(text, '=');
		char key[KEY_MAX];
		int e;

		if (!eq || (size_t)(eq - text) >= sizeof(key)) {
			snprintf(err, err_len, "--tune %s: allowed: KEY=VALUE", text);
			return ERR_CONFIG;
		}
		memcpy(key, text, (size_t)(eq - text));
		key[eq - text] = '\0';
		e = set_one(out, key, eq + 1);
		if (e) {
			snprintf(err, err_len, "--tune %s: %s", conf->tune[i],
				e == ERR_NOT_FOUND ? "no such key"
				: e == ERR_RANGE
					? "may only be made smaller than its default, and not 0"
					: "value not understood");
			return ERR_CONFIG;
		}
		out->nused++;
	}
	return 0;
}
