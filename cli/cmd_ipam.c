/* `weft status ipam`: ranges, then who owns what in them, then what is wanted and not there, then the
 * families in which no pod can get an address. */
#include "cli.h"

#include <inttypes.h>
#include <string.h>

#define TEXT 256

static void empty(struct out *o)
{
	out_cell(o, OUT_PLAIN, "%s", "");
}

static void range_row(struct out *o, const msgpack_object *r)
{
	uint64_t expired = ctl_get_u64(r, "expired"), free_blocks = ctl_get_u64(r, "free");
	char more[64] = "";

	out_cell(o, OUT_PLAIN, "%" PRIu64, ctl_get_u64(r, "vni"));
	cli_cell(o, r, "range");
	empty(o);
	out_cell(o, OUT_PLAIN, "%s", "range");
	out_cell(o, free_blocks ? OUT_GOOD : OUT_WARN, "%s", free_blocks ? "free" : "full");
	empty(o);
	if (expired)
		(void)snprintf(more, sizeof(more), " (%" PRIu64 " had an owner once)", expired);
	out_cell(o, OUT_PLAIN,
		"%" PRIu64 " of /%" PRIu64 ": %" PRIu64 " owned, %" PRIu64 " leased, %" PRIu64
		" free%s",
		ctl_get_u64(r, "size"), ctl_get_u64(r, "block_length"), ctl_get_u64(r, "owned"),
		ctl_get_u64(r, "leased"), free_blocks, more);
}

static const struct {
	const char *state, *shown;
	enum out_tone tone;
} states[] = {
	{"in_use", "in use", OUT_GOOD},
	{"waiting", "waiting", OUT_WARN},
	{"lost", "lost", OUT_BAD},
	{"refused", "refused", OUT_BAD},
	{"leased", "leased", OUT_WARN},
	{"expired", "expired", OUT_DIM},
};

/* @paused: leases stand still, since this node may be the one that is cut off. */
static void notes(struct out *o, const msgpack_object *p, const char *state, bool paused)
{
	char to[TEXT], device[TEXT], unit[OUT_UNIT];
	uint64_t left = ctl_get_u64(p, "left_ms");

	ctl_get_str(p, "to", to, sizeof(to));
	ctl_get_str(p, "device", device, sizeof(device));
	if (strcmp(state, "leased") == 0)
		out_cell(o, OUT_PLAIN, "its node is gone; %s left%s", out_duration(left, unit),
			paused ? ", standing still while so many are missing" : "");
	else if (strcmp(state, "waiting") == 0)
		out_cell(o, OUT_PLAIN, "in use in %s unless another owns it",
			out_duration(left, unit));
	else if (strcmp(state, "lost") == 0)
		out_cell(o, OUT_PLAIN, "%s%s", to[0] ? "to " : "to a stronger claim", to);
	else if (strcmp(state, "refused") == 0)
		out_cell(o, OUT_PLAIN, "can't be used here (weft status tells why); again in %s",
			out_duration(left, unit));
	else if (device[0])
		out_cell(o, OUT_PLAIN, "on %s", device);
	else
		empty(o);
}

static void prefix_row(struct out *o, const msgpack_object *p, bool paused)
{
	const msgpack_object *pods = ctl_get(p, "pods");
	char state[TEXT];
	size_t i = 0;

	out_cell(o, OUT_PLAIN, "%" PRIu64, ctl_get_u64(p, "vni"));
	cli_cell(o, p, "prefix");
	cli_cell(o, p, "node");
	cli_cell(o, p, "right");
	ctl_get_str(p, "state", state, sizeof(state));
	while (i < sizeof(states) / sizeof(states[0]) && strcmp(states[i].state, state) != 0)
		i++;
	if (i < sizeof(states) / sizeof(states[0]))
		out_cell(o, states[i].tone, "%s", states[i].shown);
	else
		out_cell(o, OUT_WARN, "%s", state);
	if (pods && pods->type == MSGPACK_OBJECT_MAP)
		out_cell(o, OUT_PLAIN, "%" PRIu64 "/%" PRIu64, ctl_get_u64(pods, "used"),
			ctl_get_u64(pods, "size"));
	else
		empty(o);
	notes(o, p, state, paused);
}

static void wanted_row(struct out *o, const msgpack_object *w)
{
	char state[TEXT], unit[OUT_UNIT];
	bool full = strcmp(ctl_get_str(w, "state", state, sizeof(state)), "exhausted") == 0;

	out_cell(o, OUT_PLAIN, "%" PRIu64, ctl_get_u64(w, "vni"));
	out_cell(o, OUT_PLAIN, "auto/%" PRIu64, ctl_get_u64(w, "length"));
	empty(o);
	out_cell(o, OUT_PLAIN, "%s", "claim");
	out_cell(o, full ? OUT_BAD : OUT_WARN, "%s", full ? "exhausted" : "waiting");
	empty(o);
	out_cell(o, OUT_PLAIN, "%s; again in %s",
		full ? "no range has room for it" : "for the mesh",
		out_duration(ctl_get_u64(w, "next_ms"), unit));
}

static void pods_row(struct out *o, const msgpack_object *p)
{
	if (!ctl_get_bool(p, "exhausted"))
		return;
	empty(o);
	out_cell(o, OUT_PLAIN, "IPv%" PRIu64, ctl_get_u64(p, "family"));
	empty(o);
	out_cell(o, OUT_PLAIN, "%s", "pods");
	out_cell(o, OUT_BAD, "%s", "exhausted");
	out_cell(o, OUT_PLAIN, "%" PRIu64 "/%" PRIu64, ctl_get_u64(p, "used"),
		ctl_get_u64(p, "size"));
	out_cell(o, OUT_PLAIN, "no address for another pod; %" PRIu64 " rest",
		ctl_get_u64(p, "resting"));
}

void render_ipam(struct out *o, const msgpack_object *data)
{
	static const char *const titles[] = {
		">VNI", "<PREFIX", "<NODE", "<RIGHT", "<STATE", ">PODS", "<NOTES"};
	const bool paused = ctl_get_bool(ctl_get(data, "leases"), "paused");
	const msgpack_object *item;

	out_table(o, titles, sizeof(titles) / sizeof(titles[0]));
	for (size_t i = 0; (item = cli_item(data, "ranges", i)) != NULL; i++)
		range_row(o, item);
	for (size_t i = 0; (item = cli_item(data, "prefixes", i)) != NULL; i++)
		prefix_row(o, item, paused);
	for (size_t i = 0; (item = cli_item(data, "wanted", i)) != NULL; i++)
		wanted_row(o, item);
	for (size_t i = 0; (item = cli_item(data, "pods", i)) != NULL; i++)
		pods_row(o, item);
}
