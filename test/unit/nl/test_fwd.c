/* Other programs' firewalls: where weft's accept stands, that it stays, and that nothing is left of it.
 * nft and both iptables are the oracles. */
#include "nl_test.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <sys/socket.h>
#include "nl_xt.h"

#define ACCEPT_NFT "meta mark & 0x10000000 == 0x10000000 counter packets 0 bytes 0 accept comment"

/* Lines of @text that hold @part. */
static unsigned count(const char *text, const char *part)
{
	unsigned n = 0;

	for (; (text = strstr(text, part)) != NULL; text += strlen(part))
		n++;
	return n;
}

/* A node whose routes carry as much as its device: nothing of weft-out stands for them. */
static struct kern *wide_node(const struct kern_cfg *c)
{
	struct kern *k = node(c);
	struct pfx v4 = {P("10.2.0.0/16").ip, 16}, v6 = {P("fd00:a:2::/48").ip, 48};

	assert_int_equal(kern_route_add(k, 1, &v4, 0, NULL), 0);
	if (c->ipv6)
		assert_int_equal(kern_route_add(k, 1, &v6, 0, NULL), 0);
	sync_ok(k);
	return k;
}

/* Is @a in @text before @b? */
static void assert_order(const char *text, const char *a, const char *b)
{
	const char *pa = strstr(text, a), *pb = strstr(text, b);

	if (!pa || !pb || pa > pb)
		print_message("\"%s\" is not before \"%s\" in:\n%s\n", a, b, text);
	assert_true(pa && pb && pa < pb);
}

static const struct {
	const char *what, *ruleset;
	const char *after, *before; /* our accept stands between these; both NULL: there is none */
} firewalls[] = {
	{"policy drop, empty", "chain f { type filter hook forward priority 0; policy drop; }",
		"policy drop;", "}"},
	{"policy drop behind special cases",
		"chain f { type filter hook forward priority 0; policy drop;"
		" tcp dport 2222 drop; ct state established accept; }",
		"established", "}"},
	{"policy accept",
		"chain f { type filter hook forward priority 0; policy accept;"
		" tcp dport 2222 drop; }",
		NULL, NULL},
	{"a last rule that rejects",
		"chain f { type filter hook forward priority 10; ct state invalid drop;"
		" iifname \"lo\" accept; counter log prefix \"x\" reject; }",
		"\"lo\" accept", "reject"},
	{"a chain that ends in a reject",
		"chain z { iifname \"eth0\" accept; goto p; }"
		" chain p { tcp dport 22 accept; reject with icmpx admin-prohibited; }"
		" chain f { type filter hook forward priority 10; ct state invalid drop;"
		" jump z; counter; }",
		"invalid drop", "jump z"},
	{"a chain that comes back",
		"chain z { iifname \"eth0\" drop; return; drop; }"
		" chain f { type filter hook forward priority 0; jump z; }",
		NULL, NULL},
	{"an accept before the policy",
		"chain f { type filter hook forward priority 0; policy drop; counter accept; }",
		NULL, NULL},
	{"a chain that accepts before the drop",
		"chain z { accept; } chain f { type filter hook forward priority 0; goto z; }",
		NULL, NULL},
	{"not the forward hook", "chain f { type filter hook input priority 0; policy drop; }",
		NULL, NULL},
};

static void places(void **state)
{
	static const char *const families[] = {"ip", "ip6", "inet"};
	struct kern_cfg c = cfg();
	struct kern *k;
	const char *text;

	NEED_ROOT;
	k = wide_node(&c);
	sync_ok(k);
	for (size_t i = 0; i < 3 * sizeof(firewalls) / sizeof(firewalls[0]); i++) {
		const char *family = families[i % 3];

		if (strstr(firewalls[i / 3].ruleset, "icmpx") && strcmp(family, "inet") != 0)
			continue;
		run("echo 'table %s theirs { %s }' | sed 's/}/;}\\n/g' | nft -f -", family,
			firewalls[i / 3].ruleset);
		settle(k, 50);
		text = sh("nft list table %s theirs", family);
		if (!firewalls[i / 3].after) {
			if (count(text, "weft:") != 0)
				print_message("%s: %s\n", firewalls[i / 3].what, text);
			assert_int_equal(count(text, "weft:"), 0);
			assert_hasnt(sh("nft list tables"), "weft-out");
			assert_int_equal(stats(k).accepts, 0);
		} else {
			assert_int_equal(count(text, "weft:"), 1);
			text = strstr(text, "chain f");
			assert_order(text, firewalls[i / 3].after, ACCEPT_NFT);
			assert_order(text, ACCEPT_NFT, firewalls[i / 3].before);
			assert_has(sh("nft list table inet weft-out"), "chain allow");
			assert_int_equal(stats(k).accepts, 1);
		}
		assert_string_equal(stats(k).accepts_why, "");
		run("nft delete table %s theirs", family);
		settle(k, 50);
		assert_hasnt(sh("nft list tables"), "weft-out");
	}
	assert_int_equal(stats(k).repaired, 0);
	kern_close(k);
}

static void put_back(void **state)
{
	struct kern_cfg c = cfg();
	struct kern *k;
	const char *text;

	NEED_ROOT;
	run("iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -s 192.0.2.7 -j REJECT");
	k = wide_node(&c);
	settle(k, 100);
	text = sh("iptables-nft -S FORWARD");
	assert_has(text, "-j REJECT --reject-with icmp-port-unreachable\n-A FORWARD -m mark --mark "
			 "0x10000000/0x10000000 -m comment --comment \"weft: ");
	/* Flushed, rewritten, put before by a catch-all, doubled. */
	run("iptables-nft -F FORWARD");
	settle(k, 100);
	assert_int_equal(count(sh("iptables-nft -S FORWARD"), "weft:"), 1);
	assert_int_equal(stats(k).repaired, 1);
	run("iptables-nft -I FORWARD -m comment --comment 'no more' -j REJECT");
	settle(k, 100);
	assert_order(sh("iptables-nft -S FORWARD"), "weft:", "no more");
	run("iptables-nft-save >/run/saved; iptables-nft-restore </run/saved");
	settle(k, 100);
	text = sh("iptables-nft -S FORWARD");
	assert_int_equal(count(text, "weft:"), 1);
	assert_order(text, "weft:", "no more");
	run("nft insert rule ip filter FORWARD accept comment '\"weft: forwarded for pods and "
	    "the mesh, mark 1\"'");
	settle(k, 100);
	assert_int_equal(count(sh("iptables-nft -S FORWARD"), "weft:"), 1);
	/* The next process adopts it; without need for it, it goes. */
	kern_close(k);
	k = wide_node(&c);
	settle(k, 100);
	assert_int_equal(stats(k).repaired, 0);
	assert_int_equal(stats(k).accepts, 1);
	assert_int_equal(count(sh("iptables-nft -S FORWARD"), "weft:"), 1);
	run("iptables-nft -F; iptables-nft -P FORWARD ACCEPT");
	settle(k, 600);
	assert_hasnt(sh("nft list ruleset"), "weft:");
	kern_close(k);
	assert_true(kern_down(NULL, NULL) > 0);
	assert_hasnt(sh("nft list ruleset"), "weft");
}

/* A firewall that is rewritten all the time costs a look each half second, not one for each rule. */
static void rewritten(void **state)
{
	struct kern_cfg c = cfg();
	struct kern *k;
	uint64_t looks;
	ts_t begun;

	NEED_ROOT;
	run("iptables-nft -P FORWARD DROP; iptables-nft -N OTHER");
	k = wide_node(&c);
	settle(k, 100);
	looks = k->fwd.looks;
	begun = now_ts();
	for (unsigned i = 0; i < 100; i++) {
		run("iptables-nft -A OTHER -s 192.0.2.%u -j DROP", i);
		kern_event(k, now_ts());
		if (ts_due(kern_deadline(k), now_ts()))
			sync_ok(k);
	}
	settle(k, 100);
	assert_true(k->fwd.looks > looks);
	assert_true((int64_t)(k->fwd.looks - looks) <= dur_ms(ts_sub(now_ts(), begun)) / 500 + 1);
	assert_int_equal(stats(k).repaired, 0);
	kern_close(k);
}

static unsigned fail_in; /* the nth system call from now fails */
static int fail_with;

static bool fails(void)
{
	errno = fail_with;
	return fail_in > 0 && --fail_in == 0;
}

static ssize_t bad_send(const struct mnl_socket *s, const void *buf, size_t len)
{
	return fails() ? -1 : mnl_socket_sendto(s, buf, len);
}

static ssize_t bad_recv(const struct mnl_socket *s, void *buf, size_t len)
{
	return fails() ? -1 : mnl_socket_recvfrom(s, buf, len);
}

/* Each system call of a look and a repair failing in turn: told, and made good later. */
static void calls_fail(void **state)
{
	static const struct nlx_io io = {.send = bad_send, .recv = bad_recv};
	static const int with[] = {EIO, ENOBUFS, ENOMEM};
	struct kern_cfg c = cfg();
	bool reached = true;
	struct kern *k;

	NEED_ROOT;
	c.masquerade = KERN_MASQ_PODS;
	run("iptables-nft -P FORWARD DROP; iptables-nft -N Z; iptables-nft -A FORWARD -j Z");
	k = wide_node(&c);
	settle(k, 50);
	k->nf.io = &io;
	for (unsigned nth = 1; reached; nth++) {
		run("iptables-nft -D FORWARD 2; nft flush table inet weft-out");
		k->out_dirty = k->fwd.look = true;
		k->fwd.next = (ts_t){0};
		k->out_retry = TS_NEVER;
		fail_with = with[nth % 3];
		fail_in = nth;
		kern_fwd_sync(k);
		kern_out_sync(k);
		reached = fail_in == 0;
		fail_in = 0;
		assert_true(nth < 60);
		k->out_dirty = k->fwd.look = true;
		k->fwd.next = (ts_t){0};
		k->out_retry = TS_NEVER;
		/* Answers to what failed may still be on their way. */
		kern_fwd_sync(k);
		kern_out_sync(k);
		assert_int_equal(count(sh("iptables-nft -S FORWARD"), "weft:"), 1);
		assert_has(sh("nft list table inet weft-out"), "10.1.0.0/16 masquerade");
		assert_string_equal(stats(k).accepts_why, "");
		assert_string_equal(stats(k).out_why, "");
	}
	kern_close(k);
}

static void heard(void *ctx, const char *what)
{
	char *all = ctx;

	strncat(all, what, 4000 - strlen(all));
	strcat(all, "\n");
}

static void owned(void **state)
{
	struct kern_cfg c = cfg();
	struct kern *k;

	NEED_ROOT;
	/* A table whose owner lets nobody in: an open nft that holds its socket. */
	run("mkfifo /run/in; (nft -i </run/in >/run/out 2>&1 & echo $! >/run/nft.pid);"
	    "exec 9>/run/in; echo 'add table inet fw { flags owner; }; add chain inet fw f { type "
	    "filter hook forward priority 0; policy drop; }' >&9; (sleep 3; kill $(cat "
	    "/run/nft.pid)) 9>&9 >/dev/null 2>&1 & "
	    "for i in $(seq 100); do nft list tables | grep -q 'inet fw' && break; sleep 0.02; "
	    "done");
	if (!strstr(sh("nft list ruleset"), "flags owner"))
		skip();
	k = wide_node(&c);
	settle(k, 50);
	assert_has(stats(k).accepts_why, "chain f");
	assert_has(stats(k).accepts_why, "owner");
	assert_int_equal(stats(k).accepts, 0);
	kern_close(k);
}

/* ---- the older iptables ---- */

static bool legacy(void)
{
	return strstr(sh("iptables-legacy -L 2>&1"), "Chain FORWARD") != NULL &&
	       strstr(sh("ip6tables-legacy -L 2>&1"), "Chain FORWARD") != NULL;
}

static const struct {
	const char *rules; /* separated by ; */
	const char *want;  /* of iptables -S FORWARD, X for our accept */
} old[] = {
	{"-P FORWARD DROP", "-P FORWARD DROP\nX"},
	{"-P FORWARD DROP;-A FORWARD -i eth0 -j DROP",
		"-P FORWARD DROP\n-A FORWARD -i eth0 -j DROP\nX"},
	{"-A FORWARD -i eth0 -j DROP", "-P FORWARD ACCEPT\n-A FORWARD -i eth0 -j DROP\n"},
	{"-N A;-N B;-A B -p tcp -j ACCEPT;-A B -j DROP;-A A -j RETURN;-A A -j DROP;-A FORWARD -j "
	 "A;-A FORWARD -g B;-A FORWARD -i eth1;-A FORWARD -j B",
		"-P FORWARD ACCEPT\n-A FORWARD -j A\nX-A FORWARD -g B\n-A FORWARD -i eth1\n-A "
		"FORWARD -j B\n"},
	{"-P FORWARD DROP;-A FORWARD;-A FORWARD -m comment --comment hi -j ACCEPT",
		"-P FORWARD DROP\n-A FORWARD\n-A FORWARD -m comment --comment hi -j ACCEPT\n"},
	{"-A FORWARD -m comment --comment last -j REJECT",
		"-P FORWARD ACCEPT\nX-A FORWARD -m comment --comment last -j REJECT"},
};

static void older(void **state)
{
	static const char *const tools[] = {"iptables-legacy", "ip6tables-legacy"};
	struct nl_xt_view v;
	char want[1024];

	NEED_ROOT;
	if (!legacy())
		skip();
	for (size_t i = 0; i < 2 * sizeof(old) / sizeof(old[0]); i++) {
		const char *tool = tools[i % 2], *x = strchr(old[i / 2].want, 'X'), *all;
		bool v6 = i % 2;

		run("%s -F; %s -X; %s -P FORWARD ACCEPT", tool, tool, tool);
		run("IFS=';'; for r in '%s'; do unset IFS; for q in \"$r\"; do echo \"$q\"; done; "
		    "done | tr ';' '\\n' | while read -r r; do eval %s $r; done",
			old[i / 2].rules, tool);
		run("%s -A INPUT -s %s -j DROP; %s -Z", tool, v6 ? "fd00::1" : "192.0.2.7", tool);
		all = sh("%s-save -c | grep -v '^#'", tool);
		assert_int_equal(nl_xt_look(v6, MARK, MARK, &v), 0);
		assert_true(v.there);
		assert_int_equal(v.needed, x != NULL);
		assert_false(v.stands);
		assert_int_equal(nl_xt_set(v6, MARK, MARK), 0);
		snprintf(want, sizeof(want), "%.*s%s%s", x ? (int)(x - old[i / 2].want) : 1000,
			old[i / 2].want,
			x ? "-A FORWARD -m mark --mark 0x10000000/0x10000000 -m comment "
			    "--comment \"weft: forwarded for pods and the mesh, mark "
			    "0x10000000/0x10000000\" -j ACCEPT\n"
			  : "",
			x ? x + 1 : "");
		if (!strstr(sh("%s -S FORWARD", tool), want))
			print_message("%s: want\n%s\nhave\n%s\n", old[i / 2].rules, want,
				sh("%s -S FORWARD", tool));
		assert_has(sh("%s -S FORWARD", tool), want);
		assert_int_equal(nl_xt_look(v6, MARK, MARK, &v), 0);
		assert_int_equal(v.stands, x != NULL);
		/* Another mark takes its place; removed, the rest is as it was, counters too. */
		assert_int_equal(nl_xt_set(v6, 0x20000000, 0x20000000), 0);
		assert_int_equal(count(sh("%s -S", tool), "weft:"), x != NULL);
		assert_int_equal(nl_xt_set(v6, 0, 0), 0);
		assert_string_equal(all, sh("%s-save -c | grep -v '^#'", tool));
	}
}

static void older_driven(void **state)
{
	struct kern_cfg c = cfg();
	char all[4096] = "";
	struct nl_xt_view v;
	struct kern *k;

	NEED_ROOT;
	if (!legacy())
		skip();
	run("iptables-legacy -P FORWARD DROP; iptables-legacy -A FORWARD -s 192.0.2.7 -j ACCEPT;"
	    "ip addr add 192.0.2.7/32 dev lo; ping -c 2 -i 0.2 192.0.2.7");
	k = wide_node(&c);
	settle(k, 50);
	assert_int_equal(count(sh("iptables-legacy -S FORWARD"), "weft:"), 1);
	assert_int_equal(stats(k).accepts, 1);
	assert_has(sh("nft list table inet weft-out"), "chain allow");
	/* Nobody tells: it is looked at when asked. */
	run("iptables-legacy -F FORWARD");
	assert_true(kern_nat_look(k));
	sync_ok(k);
	settle(k, 600);
	assert_int_equal(count(sh("iptables-legacy -S FORWARD"), "weft:"), 1);
	assert_int_equal(stats(k).repaired, 1);
	/* While somebody holds the lock it is left alone, then done. */
	run("iptables-legacy -F FORWARD; flock /run/xtables.lock sleep 1 >/dev/null 2>&1 & sleep "
	    "0.2");
	assert_true(kern_nat_look(k));
	sync_ok(k);
	assert_int_equal(nl_xt_look(false, MARK, MARK, &v), 0);
	assert_int_equal(v.ours, 0);
	settle(k, 2000);
	assert_int_equal(count(sh("iptables-legacy -S FORWARD"), "weft:"), 1);
	kern_close(k);
	assert_true(kern_down(heard, all) > 0);
	assert_has(all, "accept in iptables' FORWARD");
	assert_hasnt(sh("iptables-legacy -S"), "weft");
}

/* The table is exchanged whole, and so does iptables: neither undoes the other's work. */
static void older_at_once(void **state)
{
	struct nl_xt_view v;
	unsigned done = 0;

	NEED_ROOT;
	if (!legacy())
		skip();
	run("iptables-legacy -P FORWARD DROP; (for i in $(seq 60); do iptables-legacy -w -A INPUT "
	    "-s "
	    "192.0.2.$i -j DROP; done; touch /run/done) >/dev/null 2>&1 &");
	while (access("/run/done", F_OK) != 0) {
		int err = nl_xt_set(false, done % 2 ? 0 : MARK, MARK);

		assert_true(err == 0 || err == -EAGAIN);
		done += err == 0;
	}
	assert_true(done > 10);
	assert_int_equal(nl_xt_set(false, MARK, MARK), 0);
	assert_int_equal(nl_xt_look(false, MARK, MARK, &v), 0);
	assert_true(v.stands);
	assert_int_equal(count(sh("iptables-legacy -S INPUT"), "-j DROP"), 60);
}

/* A table from the kernel, cut short and with every byte flipped: refused or read, never beyond its
 * bounds (the address sanitizer looks). */
static void older_foreign(void **state)
{
	struct nl_xt t, bad;
	struct nl_xt_new n;
	struct nl_xt_view v;
	uint32_t before;
	uint8_t *copy;
	int fd;

	NEED_ROOT;
	if (!legacy())
		skip();
	run("iptables-legacy -N A; iptables-legacy -A A -p tcp -m comment --comment x -j REJECT;"
	    "iptables-legacy -A FORWARD -j A; iptables-legacy -P FORWARD DROP");
	assert_int_equal(nl_xt_set(false, MARK, MARK), 0);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(nl_xt_read(fd, false, &t), 0);
	assert_int_equal(nl_xt_view_of(&t, MARK, MARK, &v, &before), 0);
	assert_true(v.stands);
	for (uint32_t len = 0; len < t.size; len++) {
		copy = malloc(len + 1);
		assert_non_null(copy);
		memcpy(copy, t.block, len);
		bad = t;
		bad.block = copy;
		bad.size = len;
		assert_int_equal(nl_xt_edit(&bad, MARK, MARK, &n), ERR_MALFORMED);
		free(copy);
	}
	copy = malloc(t.size);
	assert_non_null(copy);
	bad = t;
	bad.block = copy;
	for (uint32_t bit = 0; bit < t.size * 8; bit++) {
		memcpy(copy, t.block, t.size);
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (nl_xt_edit(&bad, MARK, MARK, &n) == 0)
			nl_xt_new_free(&n);
	}
	/* nth allocation */
	memcpy(copy, t.block, t.size);
	for (unsigned nth = 1; nth <= 2; nth++) {
		fault_arm(nth);
		assert_int_equal(nl_xt_edit(&bad, MARK, MARK, &n), ERR_NOMEM);
		(void)fault_disarm();
	}
	free(copy);
	nl_xt_free(&t);
	close(fd);
}

/* ---- masquerade ---- */

static void masquerade(void **state)
{
	struct kern_cfg c = cfg();
	struct kern *k;
	struct pfx p = P("10.3.0.0/16");
	const char *text;

	NEED_ROOT;
	c.masquerade = KERN_MASQ_PODS;
	run("nft add table inet weft-out");
	k = wide_node(&c);
	settle(k, 50);
	text = sh("nft list table inet weft-out");
	assert_has(text, "type nat hook postrouting priority srcnat + 1; policy accept;");
	assert_has(text, "ip saddr 10.1.0.0/16 masquerade fully-random");
	assert_has(text, "ip6 saddr fd00:a:1::/48 masquerade fully-random");
	assert_has(text, "ip daddr 10.0.0.0/8 return");
	assert_has(text, "ip6 daddr fd00:a::/32 return");
	assert_has(text, "oifname \"weft0\" goto into-mesh");
	assert_has(text, "fib saddr type local masquerade");
	assert_order(text, "ip daddr 10.0.0.0/8 return", "10.1.0.0/16 masquerade");
	assert_hasnt(text, "chain allow");
	assert_true(stats(k).masquerade);
	assert_false(stats(k).nat); /* the host's own, that is */
	/* It follows the prefixes; those bound to a device are somebody else's business. */
	assert_int_equal(kern_local_add(k, 1, &p, NULL), 0);
	assert_int_equal(kern_local_add(k, 1, &(struct pfx){P("10.4.0.0/16").ip, 16}, "eth9"), 0);
	sync_ok(k);
	text = sh("nft list table inet weft-out");
	assert_has(text, "ip saddr 10.3.0.0/16 masquerade fully-random");
	assert_hasnt(text, "ip saddr 10.4.0.0/16 masquerade");
	assert_int_equal(kern_local_del(k, 1, &p), 0);
	sync_ok(k);
	assert_hasnt(sh("nft list table inet weft-out"), "10.3.0.0/16 masquerade");
	settle(k, 100);
	assert_int_equal(stats(k).repaired, 0);
	run("nft flush chain inet weft-out outside");
	settle(k, 100);
	assert_has(sh("nft list table inet weft-out"), "ip saddr 10.1.0.0/16 masquerade");
	run("nft delete table inet weft-out");
	settle(k, 100);
	assert_has(sh("nft list table inet weft-out"), "ip saddr 10.1.0.0/16 masquerade");
	assert_int_equal(stats(k).repaired, 2);
	kern_close(k);
	tidy(NULL);
	/* All ranges; then none: what stood there goes. */
	c.masquerade = KERN_MASQ_ALL;
	k = wide_node(&c);
	settle(k, 50);
	assert_has(sh("nft list table inet weft-out"), "ip saddr 10.0.0.0/8 masquerade");
	kern_close(k);
	tidy(NULL);
	c.masquerade = KERN_MASQ_NONE;
	k = wide_node(&c);
	settle(k, 50);
	assert_hasnt(sh("nft list tables"), "weft-out");
	assert_false(stats(k).masquerade);
	kern_close(k);
	assert_true(kern_down(NULL, NULL) > 0);
}

/* ---- the segment size of TCP ---- */

static void segment_size(void **state)
{
	static const char clamp[] = "tcp option maxseg size set rt mtu";
	struct kern_cfg c = cfg();
	struct kern *k;
	struct pfx narrow = P("10.7.0.0/24"), other = P("10.8.0.0/24"), wide = P("10.9.0.0/24");

	NEED_ROOT;
	c.masquerade = KERN_MASQ_NONE;
	k = wide_node(&c);
	assert_int_equal(kern_route_add(k, 1, &wide, 0, NULL), 0);
	settle(k, 50);
	assert_hasnt(sh("nft list tables"), "weft-out");
	/* With the first route that carries less than the device, both ways. */
	assert_int_equal(kern_route_add(k, 1, &narrow, 1280, NULL), 0);
	assert_int_equal(kern_route_add(k, 1, &other, 1300, NULL), 0);
	sync_ok(k);
	assert_int_equal(count(sh("nft list table inet weft-out"), clamp), 2);
	assert_has(sh("nft list table inet weft-out"), "oifname \"weft0\" tcp flags syn / syn,rst");
	assert_hasnt(sh("nft list table inet weft-out"), "chain outside");
	/* It is watched. */
	run("nft flush chain inet weft-out mss");
	settle(k, 100);
	assert_int_equal(count(sh("nft list table inet weft-out"), clamp), 2);
	assert_int_equal(stats(k).repaired, 1);
	/* With the last one it goes: made wide, or gone. */
	assert_int_equal(kern_route_add(k, 1, &narrow, 0, NULL), 0);
	sync_ok(k);
	assert_has(sh("nft list tables"), "weft-out");
	assert_int_equal(kern_route_del(k, 1, &other), 0);
	sync_ok(k);
	assert_hasnt(sh("nft list tables"), "weft-out");
	/* A device that carries less than before: pods' interfaces lag behind. */
	assert_int_equal(kern_segment_mtu(k, 1, 1280), 0);
	sync_ok(k);
	assert_int_equal(count(sh("nft list table inet weft-out"), clamp), 2);
	kern_close(k);
	assert_true(kern_down(NULL, NULL) > 0);
	assert_hasnt(sh("nft list tables"), "weft-out");
}

/* Who may begin a connection to a pod behind a firewall: with BGP everybody, else what was asked for or
 * redirected. Devices of other segments count as the mesh; the control segment's doesn't. */
static void who_is_let_through(void **state)
{
	struct kern_cfg c = cfg();
	struct kern *k;
	const char *text;

	NEED_ROOT;
	run("iptables-nft -P FORWARD DROP");
	for (int learned = 0; learned < 2; learned++) {
		c.learned = learned;
		k = wide_node(&c);
		tun("weft5");
		tun("weft0-c");
		assert_int_equal(kern_segment_add(k, 5, "weft5", 1400, NULL, 0), 0);
		assert_int_equal(kern_segment_add(k, 0, "weft0-c", 1400, NULL, 0), 0);
		settle(k, 600);
		text = sh("nft list table inet weft-out");
		assert_int_equal(count(text, "iifname"), 3);
		assert_has(text, "iifname \"wpod*\" meta mark set meta mark | 0x10000000");
		assert_has(text, "iifname \"weft5\"");
		assert_hasnt(text, "weft0-c");
		assert_int_equal(count(text, "oifname"), learned ? 3 : 6);
		assert_int_equal(count(text, "ct state established,related"), learned ? 0 : 3);
		assert_int_equal(count(text, "ct status dnat"), learned ? 0 : 3);
		kern_close(k);
		tidy(NULL);
		run("ip link del weft5; ip link del weft0-c");
	}
}

/* A node that only relays leaves firewalls alone, and takes away what it kept there before. */
static void nothing_to_carry(void **state)
{
	struct kern_cfg c = cfg();
	struct kern *k;

	NEED_ROOT;
	run("iptables-nft -P FORWARD DROP; ! iptables-legacy -L >/dev/null 2>&1 || iptables-legacy "
	    "-P "
	    "FORWARD DROP");
	k = wide_node(&c);
	settle(k, 50);
	assert_int_equal(count(sh("iptables-nft -S FORWARD"), "weft:"), 1);
	kern_close(k);
	tidy(NULL);
	k = open_kern(&c);
	tun("weft0-c");
	assert_int_equal(kern_segment_add(k, 0, "weft0-c", 1400, NULL, 0), 0);
	settle(k, 50);
	assert_hasnt(sh("nft list ruleset"), "weft:");
	assert_hasnt(sh("iptables-legacy -S 2>/dev/null"), "weft:");
	assert_int_equal(stats(k).accepts, 0);
	kern_close(k);
}

/* As many ranges as a configuration can have: one batch of more than a socket takes by itself. */
static void many_ranges(void **state)
{
	struct kern_cfg c = cfg();
	struct kern *k;
	const char *text;

	NEED_ROOT;
	c.masquerade = KERN_MASQ_ALL;
	k = wide_node(&c);
	for (unsigned i = 0; i < 512; i++) {
		struct pfx p = P(i % 2 ? "172.16.0.0/24" : "fd01::/64");

		p.ip.b[i % 2 ? 2 : 7] = (uint8_t)(i / 2);
		assert_int_equal(kern_range_add(k, 1, &p), 0);
	}
	sync_ok(k);
	text = sh("nft list table inet weft-out");
	assert_int_equal(count(text, "masquerade fully-random"), 514 + 1);
	assert_has(text, "ip daddr 172.16.255.0/24 return");
	assert_string_equal(stats(k).out_why, "");
	kern_close(k);
}

static void no_memory(void **state)
{
	struct kern_cfg c = cfg();
	struct kern *k;

	NEED_ROOT;
	c.masquerade = KERN_MASQ_ALL;
	run("iptables-nft -P FORWARD DROP; ! iptables-legacy -L >/dev/null 2>&1 || iptables-legacy "
	    "-P "
	    "FORWARD DROP");
	k = wide_node(&c);
	settle(k, 50);
	for (unsigned nth = 1; nth < 60; nth++) {
		k->out_dirty = k->out_changed = k->fwd.look = true;
		k->fwd.next = k->out_retry = TS_NEVER;
		k->fwd.next = (ts_t){0};
		run("iptables-nft -F FORWARD");
		fault_arm(nth);
		kern_fwd_sync(k);
		kern_out_sync(k);
		if (!fault_disarm())
			break;
	}
	k->out_dirty = k->out_changed = k->fwd.look = true;
	k->fwd.next = (ts_t){0};
	settle(k, 100);
	assert_int_equal(count(sh("iptables-nft -S FORWARD"), "weft:"), 1);
	assert_has(sh("nft list table inet weft-out"), "ip saddr 10.0.0.0/8 masquerade");
	assert_string_equal(stats(k).accepts_why, "");
	assert_string_equal(stats(k).out_why, "");
	kern_close(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(places, fresh, tidy),
		cmocka_unit_test_setup_teardown(put_back, fresh, tidy),
		cmocka_unit_test_setup_teardown(rewritten, fresh, tidy),
		cmocka_unit_test_setup_teardown(calls_fail, fresh, tidy),
		cmocka_unit_test_setup_teardown(owned, fresh, tidy),
		cmocka_unit_test_setup_teardown(older, fresh, tidy),
		cmocka_unit_test_setup_teardown(older_driven, fresh, tidy),
		cmocka_unit_test_setup_teardown(older_at_once, fresh, tidy),
		cmocka_unit_test_setup_teardown(older_foreign, fresh, tidy),
		cmocka_unit_test_setup_teardown(masquerade, fresh, tidy),
		cmocka_unit_test_setup_teardown(segment_size, fresh, tidy),
		cmocka_unit_test_setup_teardown(who_is_let_through, fresh, tidy),
		cmocka_unit_test_setup_teardown(nothing_to_carry, fresh, tidy),
		cmocka_unit_test_setup_teardown(many_ranges, fresh, tidy),
		cmocka_unit_test_setup_teardown(no_memory, fresh, tidy),
	};

	log_set_level(LOG_LVL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
