#!/bin/bash
# t_nodes.sh - what BIRD tells gateways, for nodes of the same cluster that no router speaks with: by the gateways' policy
# for nodes, as exits, where --accept lets it in; two gateways, one of which ends; answers by the other gateway; then
# aggregates alone, a default route of each family, whose gaps lead nowhere. The gateways' AS numbers are their own: the
# nodes know none.
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/paths.sh"
. "$root/test/interop/lib.sh"
command -v bird >/dev/null || { echo "BIRD is not installed"; exit 77; }
net_init nodes "$(mktemp -d)"
trap net_end EXIT

OUT4=198.51.100.0/24 OUT6=2001:db8:c::/64 C4=198.51.100.2 C6=2001:db8:c::2
mesh_hosts 4
bgp_router r 9
# gateway_conf N ASN LINE...: lines of the section.
gateway_conf() {
	local n=$1 asn=$2
	shift 2
	cat >"$net_dir/h$n.yaml" <<CONF
bgp:
  asn: $asn
  router-id: 192.0.2.$n
  listen: ["192.0.2.$n", "[2001:db8::$n]"]
  announce: {ranges: yes}
  peers:
  - {address: 192.0.2.9, asn: 64999, import: accept, export: accept}
  - {address: "2001:db8::9", asn: 64999, import: accept, export: accept}
$(printf '  %s\n' "$@")
CONF
}
# bird_conf PREFERRED: what answers are for goes to that gateway.
bird_conf() {
	local n
	bird_head 192.0.2.9
	cat <<CONF
protocol kernel { ipv4 { export where source = RTS_BGP; }; }
protocol kernel { ipv6 { export where source = RTS_BGP; }; }
protocol static nets4 {
	ipv4;
	route $OUT4 via "c0";
	route 203.0.113.0/24 blackhole;
	route 10.32.3.0/25 blackhole;
}
protocol static nets6 { ipv6; route $OUT6 via "c0"; }
CONF
	for n in 1 2; do
		cat <<CONF
protocol bgp w4_$n {
	local as 64999; neighbor 192.0.2.$n as 6451$n; connect retry time 2; error wait time 1, 2;
	ipv4 { import all; export where source = RTS_STATIC; next hop self; preference $([ "$n" = "$1" ] && echo 120 || echo 100); };
}
protocol bgp w6_$n {
	local as 64999; neighbor 2001:db8::$n as 6451$n; connect retry time 2; error wait time 1, 2;
	ipv6 { import all; export where source = RTS_STATIC; next hop self; preference $([ "$n" = "$1" ] && echo 120 || echo 100); };
}
CONF
	done
}
route_is() { json_at "$1" "next((r for r in d['routes'] if r['prefix'] == '$2'), {}).get('$3', '')" status routes; }
route_shows() { shows "$4" route_is "$1" "$2" "$3"; }
via() { route_shows "$1" "$2" node "^$3\$"; }
lacks() { [ -z "$(route_is "$1" "$2" kind)" ]; }
both() { pings "$1" $C4 && pings "$1" $C6; }
reached() { pings c "10.32.$1.2" && pings c "fd32:0:0:$1::2"; }

step "a gateway, and a node that accepts nothing: shown as refused, with the remedy"
gateway_conf 1 64511 "nodes: {export: [$OUT4, \"$OUT6\"]}"
bird_conf 1 >"$net_dir/r.bird"
bird_start r
weft_bgp 1
node_start 3
for a in 192.0.2.9 2001:db8::9; do wait_for "the session with $a" established h1 $a; done
within 20 "h3 hears of $OUT4" route_shows h3 $OUT4 why "--accept $OUT4"
within 20 "h3 hears of $OUT6" route_shows h3 $OUT6 why "--accept $OUT6"
pings p3 $C4 && fail "p3 reaches c without --accept"

step "accepted: pods of h3 and hosts behind BIRD reach each other"
weftd_stop h3
node_start 3 --accept 198.51.0.0/16 --accept 2001:db8:c::/48
for p in $OUT4 $OUT6; do within 20 "h3 leads to $p by h1" via h3 $p h1; done
within 20 "BIRD has the range" bird_has r 10.32.0.0/16 'via 192\.0\.2\.1'
within 20 "p3 reaches c" both p3
within 20 "c reaches p3" reached 3
udp_tcp_echo p3 c $C4 "out-over-a-gateway"
udp_tcp_echo c p3 fd32:0:0:3::2 "in-over-a-gateway"
weft_at h3 status clusters
shows "exit: $OUT4 behind" weft_at h3 status clusters || fail "weft status clusters does not show the exit"
lacks h3 203.0.113.0/24 || fail "told in spite of the policy"
lacks h3 10.32.3.0/25 || fail "BIRD speaks for a pod's prefix"
both p1 || fail "p1 does not reach c"

step "a second gateway, preferred by policy; answers come by the first one"
gateway_conf 2 64512 "nodes: {export: near}" "policies:" "  near: [{match: {prefix: [$OUT4, \"$OUT6\"]}, set: {local-preference: 200}, then: accept}]"
weft_bgp 2
for a in 192.0.2.9 2001:db8::9; do wait_for "the session with $a" established h2 $a; done
for p in $OUT4 $OUT6; do within 20 "h3 leads to $p by h2" via h3 $p h2; done
within 20 "p3 reaches c" both p3
within 20 "c reaches p2, by h1" reached 2
both p2 || fail "p2 does not reach c"
bird_conf 2 >"$net_dir/r.bird"
birdc_at r configure >/dev/null
within 20 "BIRD prefers h2" shows 'via 192\.0\.2\.2' ip -n "$(ns_of r)" route show 10.32.0.0/16
within 20 "c reaches p1, by h2" reached 1
both p1 || fail "p1 does not reach c"

step "the preferred gateway is killed: the other one carries on"
weftd_stop h2 KILL
for p in $OUT4 $OUT6; do within 10 "h3 leads to $p by h1" via h3 $p h1; done
within 20 "p3 reaches c" both p3
within 20 "c reaches p3" reached 3

step "withdrawn by BIRD"
birdc_at r disable nets4 >/dev/null
within 10 "h3 has $OUT4 no more" lacks h3 $OUT4
via h3 $OUT6 h1 || fail "the other family is gone, too"
birdc_at r enable nets4 >/dev/null
within 20 "h3 leads there again" via h3 $OUT4 h1
within 20 "p3 reaches c" both p3

step "what a node declares goes before it, and BGP's is back when that goes"
declared() { json_at h3 "[r['node'] for r in d['routes'] if r['prefix'] == '$OUT4' and r['kind'] == 'peer']" status routes; }
node_start 2 --exit $OUT4
within 20 "h3 leads to $OUT4 by h2 alone" shows "^\\['h2'\\]" declared
weftd_stop h2
within 20 "h3 leads to $OUT4 by h1 alone" shows "^\\['h1'\\]" declared
within 20 "p3 reaches c" both p3

step "by reload: aggregates alone, a default route"
gateway_conf 1 64511 'nodes: {aggregates: [0.0.0.0/0, "::/0"]}'
weft_at h1 bgp reload >/dev/null
within 20 "h3 has $OUT4 no more" lacks h3 $OUT4
within 20 "the default is refused" route_shows h3 0.0.0.0/0 why "--accept 0.0.0.0/0"
weftd_stop h3
node_start 3 --accept 0.0.0.0/0 --accept ::/0
for p in 0.0.0.0/0 ::/0; do within 20 "h3 leads to $p by h1" via h3 $p h1; done
within 20 "p3 reaches c" both p3
within 20 "c reaches p3" reached 3
before=$(drops_at h1 bad_destination)
ip -n "$(ns_of h1)" route add 100.64.0.0/10 via 192.0.2.9
pings p3 100.64.5.5 && fail "an answer from nowhere"
within 10 "what no part covers ends at h1" eval '[ "$(drops_at h1 bad_destination)" -gt "$before" ]'
pings p3 10.32.1.2 || fail "p3 does not reach p1"
birdc_at r disable nets4 >/dev/null
within 10 "no part, no aggregate" lacks h3 0.0.0.0/0
birdc_at r enable nets4 >/dev/null
within 20 "h3 leads to the default again" via h3 0.0.0.0/0 h1

step "the words taken back"
gateway_conf 1 64511
weft_at h1 bgp reload >/dev/null
for p in 0.0.0.0/0 ::/0; do within 20 "h3 has $p no more" lacks h3 $p; done
pings p3 $C4 && fail "c is still reached"
echo "ok"
