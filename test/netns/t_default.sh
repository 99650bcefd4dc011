#!/bin/bash
# t_default.sh - promise 4.3: with 0.0.0.0/0, ::/0 and the underlay's own prefix learned and accepted, the tunnel
# stays up, also with rp_filter 1 everywhere; not accepted, they are shown as refused, with the remedy.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
net_init default "$(mktemp -d)"
trap net_end EXIT
# A session that its own routes swallow is dead after 3 s here.
tune=(--tune peer_timeout_ms=3000 --tune ping_interval_ms=500)
exits=(0.0.0.0/0 ::/0 192.0.2.0/24 2001:db8::/64)

mesh_hosts 3
# Outside: a host behind the switch, which knows the way back to the pods by the exit node.
in_host sw sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip -n "$(ns_of sw)" addr add 192.0.2.254/24 dev br0
ip -n "$(ns_of sw)" addr add 2001:db8::fe/64 dev br0 nodad
ip -n "$(ns_of sw)" addr add 203.0.113.1/32 dev lo
ip -n "$(ns_of sw)" addr add 2001:db8:0:1::1/128 dev lo nodad
ip -n "$(ns_of sw)" route add 10.32.0.0/16 via 192.0.2.1
ip -n "$(ns_of sw)" -6 route add fd32::/32 via 2001:db8::1
for h in h1 h2 h3; do
	in_host "$h" sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1 net.ipv4.conf.u0.rp_filter=1
	ip -n "$(ns_of "$h")" route add default via 192.0.2.254
	ip -n "$(ns_of "$h")" -6 route add default via 2001:db8::fe
done
node_start 1 "${tune[@]}" $(printf -- '--exit %s ' "${exits[@]}")
node_start 2 "${tune[@]}" --accept 0.0.0.0/0 --accept ::/0
node_start 3 "${tune[@]}"
wait_for "a full mesh" mesh_is_full 3 h1 h2 h3

step "accepted: h2 sends all of its pod's traffic through h1"
for p in "${exits[@]}"; do
	wait_for "$p to be in use on h2" json_at h2 "any(r['prefix'] == '$p' and r['kind'] == 'peer' and r['node'] == 'h1' for r in d['routes'])" status routes
	f=-4 && [[ $p = *:* ]] && f=-6
	shows "^(default|$p) dev weft0" ip -n "$(ns_of h2)" $f route show table 679301 || fail "$p is not in h2's table"
done
wait_for "p2 to reach the outside through h1" pings p2 203.0.113.1
wait_for "the same over IPv6" pings p2 2001:db8:0:1::1
in_pod p2 ping -c 1 -W 2 -t 3 203.0.113.1 >/dev/null || fail "it takes more than three hops"
wait_for "p2 to reach p1" pings p2 10.32.1.2
wait_for "h2's own packets to leave through h1 too" shows 'dev weft0' in_host h2 ip route get 203.0.113.1

step "the tunnel stays up: four times its timeout, under traffic"
wait_for "h2 to have both sessions" json_at h2 "sum(x['state'] == 'established' for x in d['connections']) == 2" status connections
before=$(json_at h2 "sorted((x['name'], x['state'], x['endpoint']) for x in d['connections'])" status connections)
t0=$SECONDS
while [ $((SECONDS - t0)) -lt 12 ]; do
	for p in 10.32.1.2 10.32.3.2 203.0.113.1 fd32:0:0:1::2; do
		pings p2 "$p" >/dev/null || fail "p2 lost $p after $((SECONDS - t0)) s"
	done
done
for h in h1 h2 h3; do
	not log_says "$h" "ended" || fail "a session of $h ended"
done
[ "$before" = "$(json_at h2 "sorted((x['name'], x['state'], x['endpoint']) for x in d['connections'])" status connections)" ] ||
	fail "the connections are not the same"

step "and it comes up again with those routes in the kernel (restart of both ends)"
weftd_stop h2 KILL
node_start 2 "${tune[@]}" --accept 0.0.0.0/0 --accept ::/0
wait_for "a full mesh" mesh_is_full 3 h1 h2 h3
wait_for "p2 to reach the outside" pings p2 203.0.113.1
weftd_stop h1 KILL
node_start 1 "${tune[@]}" $(printf -- '--exit %s ' "${exits[@]}")
wait_for "a full mesh" mesh_is_full 3 h1 h2 h3
wait_for "p2 to reach the outside" pings p2 203.0.113.1
wait_for "p2 to reach the outside over IPv6" pings p2 2001:db8:0:1::1

step "not accepted: h3 refuses them, and says how they would be allowed"
for p in "${exits[@]}"; do
	json_at h3 "any(r['prefix'] == '$p' and r['kind'] == 'refused' and '--accept $p' in r['why'] for r in d['routes'])" status routes ||
		fail "h3 does not tell why $p is refused"
done
shows '0\.0\.0\.0/0 +refused +h1 .*--accept 0\.0\.0\.0/0' weft_at h3 status routes || fail "the text does not tell it"
[ "$(json_at h3 "len(d['prefixes']['refused'])" status)" = 4 ] || fail "status does not list the refused"
shows '^(default|0\.0\.0\.0|192\.0\.2)' ip -n "$(ns_of h3)" route show table 679301 && fail "a refused prefix is in the kernel"
# h3's pod still goes its own way out: by h3's default route, where nobody knows the way back.
shows 'via 192.0.2.254 dev u0' in_host h3 ip route get 203.0.113.1 from 10.32.3.2 iif eth-p3 || fail "h3 sends its pod's traffic elsewhere"
