#!/bin/bash
# t_cross.sh - BIRD 2 beside one of two linked clusters: by policy what BIRD tells crosses the link, and what lies
# behind the link is told to BIRD, with the clusters crossed in the path; traffic both ways between a host behind
# BIRD and pods of the other cluster. What BIRD says of the ranges of either cluster, or of everything, does not
# cross; without the words nothing does.
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/paths.sh"
. "$root/test/interop/lib.sh"
command -v bird >/dev/null || { echo "BIRD is not installed"; exit 77; }
net_init cross "$(mktemp -d)"
trap net_end EXIT

EAST=10.32.0.0/20 MID=10.32.16.0/20
clusters() { json_at "$1" "$2" status clusters; }
behind() { clusters "$1" "any(p['prefix'] == '$2' and p['gateway'] for p in d['prefixes'])"; }
knows() { clusters "$1" "any(p['prefix'] == '$2' for p in d['prefixes'])"; }
refused() { clusters "$1" "d['links'][0]['refused']['$2'] > 0"; }
start() { # NAME N NET RANGE SEED
	cp "$net_dir/$1" "$net_dir/secret"
	weftd_start "h$2" --cluster "$1" --cluster-range "$4" --prefix "10.32.$3.0/24@eth-p$2" --peer "192.0.2.$5" \
		--config "$net_dir/h$2.yaml"
}
mid_conf() { # OUTSIDE CLUSTERS POLICY
	cat <<CONF
bgp:
  asn: 64512
  router-id: 192.0.2.3
  listen: 192.0.2.3
  announce: {ranges: yes, clusters: $2}
  policies:
    own: [{match: {learned: own}, then: accept}]
    all: [{match: {learned: [own, crossed]}, then: accept}]
  peers:
  - {address: 192.0.2.9, asn: 64999, import: accept, export: $3}
  clusters:
  - {cluster: east, export: $3, outside: $1}
CONF
}

net_underlay h1 h2 h3
net_pod h1 p1 1
net_pod h2 p2 2
net_pod h3 p3 17
bgp_router r 9
for c in east mid; do "$build/cli/weft" key new --out "$net_dir/$c" >/dev/null; done
for n in 1 2; do printf 'bgp:\n  clusters: [{cluster: mid, import: accept}]\n' >"$net_dir/h$n.yaml"; done
mid_conf yes yes own >"$net_dir/h3.yaml"
cat >"$net_dir/r.bird" <<CONF
router id 192.0.2.9;
protocol device { }
protocol kernel { ipv4 { export where source = RTS_BGP; }; }
protocol static nets {
	ipv4;
	route 198.51.100.0/24 via "c0";
	route 203.0.113.0/24 blackhole;
	route 0.0.0.0/0 blackhole;
	route 192.0.2.0/25 blackhole;
	route $EAST blackhole;
	route 10.32.2.0/24 blackhole;
	route 10.32.17.0/25 blackhole;
}
protocol bgp w4 {
	local as 64999;
	neighbor 192.0.2.3 as 64512;
	ipv4 { import all; export where source = RTS_STATIC; next hop self; };
}
CONF
bird_start r

step "linked, and BIRD beside mid; policy lets nothing through"
start east 1 1 $EAST 1
start east 2 2 $EAST 1
start mid 3 17 $MID 3
weft_at h3 cluster link --name east >"$net_dir/invitation"
weft_at h1 cluster accept - <"$net_dir/invitation" >/dev/null
within 20 "h2 leads to mid" behind h2 $MID
within 20 "BIRD is heard" established h3 192.0.2.9
within 20 "h3 has BIRD's routes" has_route h3 198.51.100.0/24
within 20 "BIRD has mid" bird_has r $MID
not knows h1 198.51.100.0/24 || fail "a route crossed without policy"
not shows 'BGP.as_path: 64512 [0-9]' birdc_at r show route $EAST all || fail "east was told without policy"
not pings p2 198.51.100.2 || fail "c is reached"

step "by policy both ways"
mid_conf yes yes all >"$net_dir/h3.yaml"
weft_at h3 bgp reload >/dev/null
for h in h1 h2; do within 20 "$h leads to what BIRD told" behind $h 198.51.100.0/24; done
clusters h2 "next(p for p in d['prefixes'] if p['prefix'] == '198.51.100.0/24')['path'] == '64512 64999'" || fail "the path is wrong"
within 20 "BIRD has east, behind mid" shows 'BGP.as_path: 64512 [0-9]+$' birdc_at r show route $EAST all
birdc_at r show route $EAST all
# BIRD's own one would win there.
sed -i "/route $(sed 's|/|\\/|' <<<$EAST)/d; /10.32.2.0/d" "$net_dir/r.bird"
birdc_at r configure >/dev/null
within 20 "c reaches p2" pings c 10.32.2.2
within 20 "p1 reaches c" pings p1 198.51.100.2
udp_tcp_echo p2 c 198.51.100.2 "over-link-and-rack"
udp_tcp_echo c p2 10.32.2.2 "over-rack-and-link"
weft_at h3 status clusters

step "what is not BIRD's to say does not cross"
for p in 0.0.0.0/0 10.32.2.0/24 10.32.17.0/25; do not knows h1 $p || fail "$p crossed"; done
within 10 "the underlay is refused by east" refused h1 underlay
not knows h1 192.0.2.0/25 || fail "the underlay crossed"
behind h2 $MID || fail "mid is lost"
pings p2 10.32.17.2 || fail "p2 does not reach p3"

step "withdrawn by BIRD: the prefix goes, it is not closed"
birdc_at r disable w4 >/dev/null
within 20 "h2 has it no more" not knows h2 198.51.100.0/24
not pings p2 198.51.100.2 || fail "c is still reached"
birdc_at r enable w4 >/dev/null
within 30 "h2 leads there again" behind h2 198.51.100.0/24
within 20 "p2 reaches c again" pings p2 198.51.100.2

step "the words taken back"
mid_conf no yes all >"$net_dir/h3.yaml"
weft_at h3 bgp reload >/dev/null
within 20 "h2 has it no more" not knows h2 198.51.100.0/24
weftd_stop h3
mid_conf no no all >"$net_dir/h3.yaml"
start mid 3 17 $MID 3
within 30 "BIRD has mid again" bird_has r $MID
within 20 "h2 leads to mid again" behind h2 $MID
not shows 'BGP.as_path: 64512 [0-9]' birdc_at r show route $EAST all || fail "east is told without the word"
echo "ok"
