#!/bin/bash
# Eight hosts, two of them (h2, h3) behind routers that let nothing in but answers: with NAT, and without. All know
# h1 alone at first. h2 and h3 open towards each other at the same time when a common peer says so; where their NATs
# choose ports that nobody can foretell, one relays. The six on the open network reach both, and are reached. A mapping
# that ends soon is kept while nobody has anything to say.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/paths.sh"
net_init nat "$(mktemp -d)"
trap net_end EXIT

# behind N: host hN at 198.51.10N.2, behind router rN, which is 192.0.2.N on the underlay.
behind() {
	local n=$1
	ns_add "h$n"
	ip link add u0 netns "$(ns_of "h$n")" type veth peer name i0 netns "$(ns_of "r$n")"
	ip -n "$(ns_of "r$n")" addr add "198.51.10$n.1/24" dev i0
	ip -n "$(ns_of "r$n")" link set i0 up
	ip -n "$(ns_of "h$n")" addr add "198.51.10$n.2/24" dev u0
	ip -n "$(ns_of "h$n")" link set u0 up
	ip -n "$(ns_of "h$n")" route add default via "198.51.10$n.1"
	in_host "r$n" sysctl -qw net.ipv4.ip_forward=1
	net_pod "h$n" "p$n" "$n"
}
# router N KIND: nat, random (ports that nobody can foretell), firewall.
router() {
	local rule=
	case $2 in
	nat) rule='oifname u0 masquerade' ;;
	random) rule='oifname u0 masquerade fully-random' ;;
	esac
	in_host "r$1" nft -f - <<-EOF
		flush ruleset
		table ip edge {
			chain forward { type filter hook forward priority 0; iifname u0 ct state new counter drop; }
			chain input { type filter hook input priority 0; iifname u0 ct state new meta l4proto udp counter drop; }
			chain post { type nat hook postrouting priority 100; $rule; }
		}
	EOF
	# What it translated before is forgotten when the interface goes down; so are its routes.
	ip -n "$(ns_of "r$1")" link set u0 down
	ip -n "$(ns_of "r$1")" link set u0 up
	[ "$2" != firewall ] || ip -n "$(ns_of "r$1")" route replace "198.51.10$((5 - $1)).0/24" via "192.0.2.$((5 - $1))"
}
endpoint_of() { json_at "$1" "next((c['endpoint'] for c in d['connections'] if c['name'] == '$2' and c['state'] == 'established'), '')" status connections; }
# Who arranged a simultaneous open, in all.
arranged() {
	local h n=0
	for h in "${open[@]}"; do n=$((n + $(counter $h punches_arranged))); done
	echo $n
}
counter() { json_at "$1" "d['counters']['paths']['$2']" report; }
restart() {
	local n
	for n in 1 2 3 4 5 6 7 8; do [ ! -e "$net_dir/h$n/pid" ] || weftd_stop "h$n" KILL; done
	rm -rf "$net_dir"/h?/state
	mesh_up 8
}
# The six reach the two behind routers, who call them or are called by a word of a common peer; and back.
all_reach() {
	local n
	for n in 1 4 5 6 7 8; do
		reaches $n 2 3
		reaches 2 $n
		reaches 3 $n
	done
	nobody_died "${all[@]}" || fail "somebody was held dead"
}
# opened KIND: h2 and h3 find a direct way.
opened() {
	router 2 "$1"
	router 3 "$1"
	restart
	within 20 "p2 reaches p3" pings p2 10.32.3.2
	keep_busy p2 10.32.3.2
	within 60 "h2 is direct" way_is h2 h3 direct
	within 60 "h3 is direct" way_is h3 h2 direct
	udp_tcp_echo p2 p3 10.32.3.2 "behind-$1"
	keep_busy_stop
}

open=(h1 h4 h5 h6 h7 h8) all=(h1 h2 h3 h4 h5 h6 h7 h8)
net_underlay h1 r2 r3 h4 h5 h6 h7 h8
for h in "${open[@]}"; do
	ip -n "$(ns_of $h)" -6 addr flush dev u0 scope global
	net_pod $h p${h#h} ${h#h}
done
behind 2
behind 3
"$build/cli/weft" key new --out "$net_dir/secret" >/dev/null

step "two NATs"
opened nat
[ "$(arranged)" -ge 1 ] || fail "nobody arranged anything"
[ "$(endpoint_of h2 h3)" = 192.0.2.3:6793 ] || fail "h2 sees h3 at $(endpoint_of h2 h3)"
[ "$(endpoint_of h3 h2)" = 192.0.2.2:6793 ] || fail "h3 sees h2 at $(endpoint_of h3 h2)"
for h in h2 h3; do
	json_at $h "d['counters']['paths']['nat'] == 'steady'" report || fail "$h does not know that it is behind a NAT"
done
all_reach

step "idle for three lives of a mapping: what h2 and h3 send now and then keeps it"
mapping_secs=${MAPPING_SECS:-8} # pings of a session come each 3 s
for r in r2 r3; do
	in_host $r sysctl -qw net.netfilter.nf_conntrack_udp_timeout=$mapping_secs net.netfilter.nf_conntrack_udp_timeout_stream=$mapping_secs
done
# What came to router N for which it has no mapping, datagrams.
strangers() { in_host "r$1" nft list chain ip edge input | sed -n 's/.* packets \([0-9]*\) .*/\1/p'; }
ways() { for h in h2 h3; do json_at $h "[d['counters']['paths'][k] for k in ('deaths', 'returns', 'reroutes')]" report; done; }
had=$(ways; strangers 2; strangers 3) idle_until=$((SECONDS + 3 * 8 + 1))
idled() { [ $SECONDS -ge $idle_until ]; }
wait_for "three lives to pass" idled
pings p3 10.32.2.2 || fail "p3 does not reach p2 at once"
pings p2 10.32.3.2 || fail "p2 does not reach p3 at once"
way_is h2 h3 direct && way_is h3 h2 direct || fail "the way is '$(way h2 h3)', '$(way h3 h2)' now"
[ "$(ways; strangers 2; strangers 3)" = "$had" ] || fail "a mapping or a way was lost meanwhile: $(ways | xargs), $(strangers 2) and $(strangers 3); before $(xargs <<<"$had")"
# Nothing else keeps it: whose node is gone can't be reached through it for long.
weftd_stop h2 KILL
wait_for "h2's mappings to end" grown "$(strangers 2)" strangers 2

step "NATs with ports that nobody can foretell"
router 2 random
router 3 random
restart
within 20 "p2 reaches p3" pings p2 10.32.3.2
[[ "$(way h2 h3)" == "relay h"[145678] ]] || fail "h2's way to h3 is '$(way h2 h3)'"
[[ "$(way h3 h2)" == "relay h"[145678] ]] || fail "h3's way to h2 is '$(way h3 h2)'"
udp_tcp_echo p3 p2 10.32.2.2 "behind-random"
all_reach

step "stateful firewalls without NAT"
for h in "${open[@]}"; do
	for n in 2 3; do ip -n "$(ns_of $h)" route add 198.51.10$n.0/24 via 192.0.2.$n; done
done
opened firewall
[ "$(endpoint_of h2 h3)" = 198.51.103.2:6793 ] || fail "h2 sees h3 at $(endpoint_of h2 h3)"
json_at h2 "d['counters']['paths']['nat'] != 'steady'" report || fail "h2 takes the firewall for a NAT"
all_reach
