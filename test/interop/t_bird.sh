#!/bin/bash
# t_bird.sh - BIRD 2 beside a mesh of two nodes: eBGP over IPv4 and IPv6 with announcements, withdrawal,
# refresh, communities, default deny, and traffic from a host behind BIRD to pods of both nodes and back; then
# shutdown with a message, and what a crash leaves in the kernel. Asserted is BIRD's own view.
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/lib.sh"
command -v bird >/dev/null || { echo "BIRD is not installed"; exit 77; }
net_init bird "$(mktemp -d)"
trap net_end EXIT

mesh_hosts 2
bgp_router r 9
# c's networks are exits of h1, so that h2 sends what is for them to h1.
exits=(198.51.100.0/24 2001:db8:c::/64)

# Both families, each over its own address.
bird_conf() { # ASN OPTIONS FILTER
	cat <<CONF
$(bird_head 192.0.2.9)
protocol kernel { ipv4 { export all; }; }
protocol kernel { ipv6 { export all; }; }
protocol static nets4 {
	ipv4;
	route 198.51.100.0/24 via "c0";
	route 203.0.113.0/24 blackhole { bgp_community.add((64999,77)); };
}
protocol static nets6 { ipv6; route 2001:db8:c::/64 via "c0"; }
template bgp weft {
	local as $1;
	$2
}
protocol bgp w4 from weft {
	neighbor 192.0.2.1 as 64512;
	ipv4 { import all; export filter { $3 }; next hop self; };
}
protocol bgp w6 from weft {
	neighbor 2001:db8::1 as 64512;
	ipv6 { import all; export filter { $3 }; next hop self; };
}
CONF
}
weft_conf() { # ASN-OF-PEER, the peer's keys on standard input
	local keys
	keys=$(cat)
	cat <<CONF
bgp:
  asn: 64512
  router-id: 192.0.2.1
  listen: [192.0.2.1, "[2001:db8::1]"]
  announce:
    pods: all
    ranges: yes
    services: [10.96.0.0/12]
  peers:
  - address: 192.0.2.9
    asn: $1
$keys
  - address: 2001:db8::9
    asn: $1
$keys
CONF
}

step "eBGP: established, and nothing crosses without a policy (RFC 8212)"
weft_conf 64999 </dev/null >"$net_dir/h1.yaml"
bird_conf 64999 "" "accept;" >"$net_dir/r.bird"
weft_bgp 1 $(printf -- '--exit %s ' "${exits[@]}")
node_start 2 $(printf -- '--accept %s ' "${exits[@]}")
wait_for "the mesh" mesh_is_full 2 h1 h2
bird_start r
for a in 192.0.2.9 2001:db8::9; do wait_for "the session with $a" established h1 $a; done
wait_for "BIRD's view" bird_up r w4
wait_for "BIRD's routes to arrive" neighbour_is h1 192.0.2.9 received 2
neighbour_is h1 192.0.2.9 accepted 0 || fail "accepted without a policy"
neighbour_is h1 192.0.2.9 announced 0 || fail "announced without a policy"
kernel_lacks h1 198.51.100.0/24 || fail "a route that was not accepted is in the kernel"
bird_lacks r 10.32.1.0/24 || fail "BIRD has a route that no policy lets out"

step "with policies: announcements both ways, in BIRD's view and in the kernel"
weftd_stop h1
weft_conf 64999 >"$net_dir/h1.yaml" <<'CONF'
    import: accept
    export: accept
CONF
weft_bgp 1 $(printf -- '--exit %s ' "${exits[@]}")
for a in 192.0.2.9 2001:db8::9; do wait_for "the session with $a" established h1 $a; done
wait_for "the mesh" mesh_is_full 2 h1 h2
for p in 10.32.1.0/24 10.32.2.0/24 10.32.0.0/16 10.96.0.0/12; do
	wait_for "BIRD to have $p" bird_has r $p 'via 192\.0\.2\.1'
done
for p in fd32:0:0:1::/64 fd32:0:0:2::/64 fd32::/32; do
	wait_for "BIRD to have $p" bird_has r $p 'via 2001:db8::1'
done
bird_has r 10.32.2.0/24 'as_path: 64512$' || fail "the path is not ours alone"
bird_has r 10.32.0.0/16 'aggregator: 192\.0\.2\.1 AS64512' || fail "the aggregate has no aggregator"
wait_for "the learned route" kernel_has h1 198.51.100.0/24 'via 192\.0\.2\.9 dev u0'
wait_for "the learned route, IPv6" kernel_has h1 2001:db8:c::/64 'via 2001:db8::9 dev u0'
kernel_has h1 10.32.0.0/16 unreachable || fail "no unreachable route stands behind the aggregate"

step "traffic: the host behind BIRD reaches pods of both nodes, and they reach it"
for p in 10.32.1.2 10.32.2.2 fd32:0:0:1::2 fd32:0:0:2::2; do wait_for "c to reach $p" pings c $p; done
for p in p1 p2; do pings $p 198.51.100.2 || fail "$p does not reach c"; done
unreachable c 10.32.77.1 || fail "an address of the aggregate that nobody has is not told so"

step "communities are kept; a prefix inside the ranges is refused"
json_at h1 "any(r['communities'] == '64999:77' for r in d['routes'])" status bgp routes 203.0.113.0/24 ||
	fail "the community is lost"
shows '\* +203\.0\.113\.0/24 .*64999:77' weft_at h1 status bgp routes || fail "the text does not show it"
{ cat "$net_dir/r.bird"; echo 'protocol static bad { ipv4; route 10.32.2.128/25 blackhole; }'; } >"$net_dir/r.bad"
birdc_at r "configure \"$net_dir/r.bad\"" | grep -q Reconfigured || fail "BIRD takes no configuration"
wait_for "the bad prefix" neighbour_is h1 192.0.2.9 received 3
neighbour_is h1 192.0.2.9 accepted 2 || fail "a prefix of our own range is accepted"
birdc_at r "configure \"$net_dir/r.bird\"" >/dev/null

step "withdrawal: BIRD's side, and a node that leaves"
birdc_at r disable nets4 >/dev/null
wait_for "the routes to go" kernel_lacks h1 198.51.100.0/24
neighbour_is h1 192.0.2.9 received 0 || fail "weft still counts them"
birdc_at r enable nets4 >/dev/null
wait_for "the routes to come" kernel_has h1 198.51.100.0/24 'via 192\.0\.2\.9'
weft_at h2 down >/dev/null
wait_for "BIRD to lose h2's pods" bird_lacks r 10.32.2.0/24
bird_has r 10.32.0.0/16 via || fail "the aggregate went with one of its parts"
wait_for "weftd on h2 to end" not weftd_running h2
node_start 2 $(printf -- '--accept %s ' "${exits[@]}")
wait_for "BIRD to have them again" bird_has r 10.32.2.0/24 via

step "refresh, asked by each side"
before=$(birdc_at r show protocols all w4 | awk '/Import updates/ {print $3}')
birdc_at r reload in w4 >/dev/null
wait_for "weft to send all again" eval "[ \$(birdc_at r show protocols all w4 | awk '/Import updates/ {print \$3}') -gt $before ]"
rx=$(neighbour_at h1 192.0.2.9 rx_updates)
weft_at h1 bgp refresh 192.0.2.9 >/dev/null || fail "no refresh"
wait_for "BIRD to send all again" grown "$rx" neighbour_at h1 192.0.2.9 rx_updates

step "shutdown with a message; clear"
weft_at h1 bgp shutdown 192.0.2.9 --message "moving racks" >/dev/null
wait_for "BIRD to read it" grep -q 'moving racks' "$net_dir/r.says"
neighbour_is h1 192.0.2.9 state Shutdown || fail "the state is $(neighbour_at h1 192.0.2.9 state)"
kernel_lacks h1 198.51.100.0/24 || fail "its routes are in the kernel"
weft_at h1 bgp start 192.0.2.9 >/dev/null
wait_for "the session to come back" established h1 192.0.2.9
weft_at h1 bgp clear 192.0.2.9 >/dev/null
wait_for "the session to come back once more" established h1 192.0.2.9

step "a crash leaves the routes, the next weftd adopts them; down removes them"
wait_for "the learned route" kernel_has h1 198.51.100.0/24 'via 192\.0\.2\.9'
weftd_stop h1 KILL
kernel_has h1 198.51.100.0/24 'via 192\.0\.2\.9' || fail "the route went with weftd"
birdc_at r disable nets6 >/dev/null
weft_bgp 1 $(printf -- '--exit %s ' "${exits[@]}")
wait_for "the session to come back" established h1 192.0.2.9
kernel_has h1 198.51.100.0/24 'via 192\.0\.2\.9' || fail "the route was taken away at start"
WAIT=60 wait_for "what BIRD has no more to be swept" kernel_lacks h1 2001:db8:c::/64
weft_at h1 down >/dev/null
wait_for "the table to be empty" kernel_lacks h1 198.51.100.0/24
[ -z "$(ip -n "$(ns_of h1)" rule | grep 689301)" ] || fail "the rule is still there"
