/* sim_keys.c - see sim_keys.h. */
#include "sim_keys.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include "aead.h"
#include "map.h"
#include "invariants.h"
#include "sim_plant.h"

static void free_key(struct sim_key *k)
{
	aead_free(k->tx);
	aead_free(k->rx);
	sodium_memzero(k, sizeof(*k));
	free(k);
}

static void plant_in_key(struct sim_node *n, struct sim_key *k)
{
	static struct sess_keys first;
	static bool have;

	if (n->s->cfg.plant == PLANT_KEY_TWICE && !have) {
		first = k->k;
		have = true;
	} else if (sim_planted(n, PLANT_KEY_TWICE) && have) {
		memcpy(k->k.tx, first.tx, sizeof(first.tx));
		have = false;
	}
	if (sim_planted(n, PLANT_KEY_WRONG))
		k->k.tx[0] ^= 1;
}

void sim_keys_add(struct sim_node *n, const struct sess_act *a)
{
	struct sim_slot *p = sim_node_peer(n, a->peer);
	struct sim_key *k = calloc(1, sizeof(*k));

	if (!k)
		abort();
	k->k = *a->keys;
	k->peer = a->peer;
	plant_in_key(n, k);
	check_key_add(n, a, k);
	if (map_put(n->keys, &k->k.local_index, k) != 0) {
		free_key(k);
		return;
	}
	p->key = a->key;
	p->keys++;
}

void sim_keys_use(struct sim_node *n, const struct sess_act *a)
{
	check_key_use(n, a);
	sim_node_peer(n, a->peer)->use = a->index;
}

void sim_keys_del(struct sim_node *n, const struct sess_act *a)
{
	struct sim_slot *p = sim_node_peer(n, a->peer);
	struct sim_key *k;

	if (sim_planted(n, PLANT_KEY_LEAK))
		return;
	check_key_del(n, a);
	k = map_del(n->keys, &a->index);
	if (!k)
		return;
	free_key(k);
	p->keys--;
	if (p->use == a->index)
		p->use = 0;
	/* A handshake that never came up leaves nothing behind. */
	if (p->keys == 0 && !p->up)
		memset(p, 0, sizeof(*p));
}

void sim_keys_free(struct sim_node *n)
{
	const void *key;
	void *value;
	size_t it = 0;

	while (n->keys && map_next(n->keys, &it, &key, &value))
		free_key(value);
	map_free(n->keys);
	n->keys = NULL;
}

struct sim_key *sim_keys_get(const struct sim_node *n, uint32_t index)
{
	return map_get(n->keys, &index);
}
