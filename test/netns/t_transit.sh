#!/bin/bash
# t_transit.sh - three clusters in a chain, east - mid - west: without a word nothing goes through mid; by policy it
# does, over one gateway of mid and over two, and the policy taken back closes it again. A direct link beside it is
# left for the way through mid when it fails, and taken again when it works. West, whose outside neighbour speaks for
# parts of east and mid, is not believed, nor a gateway of west that itself tells mid of mid's own ranges. A range that was
# heard of once stays closed: while no gateway leads there, after a restart of weftd, on members too, masquerade or not.
# Each family has its ranges; pods are reached, or not, in both.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/paths.sh"
net_init transit "$(mktemp -d)"
trap net_end EXIT

EAST=10.32.0.0/20 MID=10.32.16.0/20 WEST=10.32.32.0/20
EAST6=fd32::/60 MID6=fd32:0:0:10::/60 WEST6=fd32:0:0:30::/60

clusters() { json_at "$1" "$2" status clusters; }
linked() { clusters "$1" "[l['state'] for l in d['links']] == ['up'] * $2"; }
# each_of HOST EXPRESSION PREFIX...: over the entry p of each prefix.
each_of() {
	local h=$1 what=$2
	shift 2
	clusters "$h" "all(any(p['prefix'] == q and ($what) for p in d['prefixes']) for q in '$*'.split())"
}
behind() { each_of "$1" "p['gateway']" "${@:2}"; }
closed() { each_of "$1" "not p['gateway']" "${@:2}"; }
knows() { clusters "$1" "any(p['prefix'] in '${*:2}'.split() for p in d['prefixes'])"; } # one of PREFIX...
established() { clusters "$1" "any(g['bgp'] == 'Established' for l in d['links'] if l['link'] == '$2' for g in l['gateways'])"; }
path_len() { each_of "$1" "len(p['path'].split()) == $2" "${@:3}"; } # HOST LENGTH PREFIX...

cluster_start() { # NAME N NET RANGE RANGE6 SEED
	cp "$net_dir/$1" "$net_dir/secret"
	weftd_start "h$2" --cluster "$1" --cluster-range "$4" --cluster-range "$5" --prefix "10.32.$3.0/24@eth-p$2" \
		--prefix "fd32:0:0:$3::/64@eth-p$2" --peer "192.0.2.$6" --config "$net_dir/h$2.yaml"
}
start() { # N
	case $1 in
	1) cluster_start east 1 1 $EAST $EAST6 1 ;;
	2) cluster_start east 2 2 $EAST $EAST6 1 ;;
	3) cluster_start mid 3 17 $MID $MID6 3 ;;
	4) cluster_start mid 4 18 $MID $MID6 3 ;;
	5) cluster_start west 5 33 $WEST $WEST6 5 ;;
	6) cluster_start west 6 34 $WEST $WEST6 5 ;;
	esac
}
# The pod of NET is reached in both families, in neither.
reaches() { pings "$1" "10.32.$2.2" && pings "$1" "fd32:0:0:$2::2"; }
reaches_none() { not pings "$1" "10.32.$2.2" && not pings "$1" "fd32:0:0:$2::2"; }
reload() { weft_at "$1" bgp reload >/dev/null; }

# What each end takes from mid: mid's own ranges, and the other end's through it.
end_conf() { # OTHER-RANGE OTHER-RANGE6
	cat <<CONF
bgp:
  policies:
    by-mid:
    - {match: {cluster: "link:mid"}, then: accept}
    - {match: {prefix: [$1, "$2"], as-path: "^. .$"}, set: {local-preference: 50}, then: accept}
  clusters:
  - {cluster: mid, import: by-mid}
CONF
}
# West's gateway has a neighbour on h7, and would tell mid all that it hears from there.
west_conf() {
	cat <<CONF
bgp:
  asn: 4200000005
  router-id: 192.0.2.5
  listen: 192.0.2.5
  peers:
  - {address: 192.0.2.7, asn: 64999, passive: yes, import: accept, export: reject}
  policies:
    by-mid:
    - {match: {cluster: "link:mid"}, then: accept}
    - {match: {prefix: [$EAST, "$EAST6"], as-path: "^. .$"}, set: {local-preference: 50}, then: accept}
    told: [{match: {learned: [own, crossed]}, then: accept}]
  clusters:
  - {cluster: mid, import: by-mid, export: told, outside: yes}
CONF
}
mid_conf() { # POLICY-OF-EXPORT
	cat <<CONF
bgp:
  policies:
    own: [{match: {learned: own}, then: accept}]
    all:
    - {match: {learned: own}, then: accept}
    - {match: {cluster: ["link:east", "link:west", 4200000000-4294967294]}, then: accept}
  clusters:
  - {cluster: east, export: $1}
  - {cluster: west, export: $1, import: accept}
CONF
}

net_underlay h1 h2 h3 h4 h5 h6 h7
for n in 1 2; do net_pod h$n p$n $n; done
for n in 3 4; do net_pod h$n p$n $((14 + n)); done
for n in 5 6; do net_pod h$n p$n $((28 + n)); done
for c in east mid west; do "$build/cli/weft" key new --out "$net_dir/$c" >/dev/null; done
for n in 1 2; do end_conf $WEST $WEST6 >"$net_dir/h$n.yaml"; done
west_conf >"$net_dir/h5.yaml"
{ end_conf $EAST $EAST6; echo "  asn: 4200000005"; } >"$net_dir/h6.yaml"
for n in 3 4; do mid_conf own >"$net_dir/h$n.yaml"; done

step "linked in a chain, transit off"
for n in 1 2 3 4 5 6; do start $n; done
weft_at h3 cluster link --name east >"$net_dir/to-east"
weft_at h3 cluster link --name west >"$net_dir/to-west"
weft_at h1 cluster accept - <"$net_dir/to-east" >/dev/null
weft_at h5 cluster accept - <"$net_dir/to-west" >/dev/null
for h in h2 h6; do within 20 "$h leads to mid" behind $h $MID $MID6; done
for r in $EAST $EAST6 $WEST $WEST6; do within 20 "h4 leads to $r" behind h4 $r; done
within 10 "p2 reaches p4" reaches p2 18
within 10 "p6 reaches p4" reaches p6 18
for h in h1 h2; do not knows $h $WEST $WEST6 || fail "$h heard of west, transit off"; done
for h in h5 h6; do not knows $h $EAST $EAST6 || fail "$h heard of east, transit off"; done
reaches_none p2 34 || fail "p6 is reached, transit off"

step "west speaks for a part of east, by its outside neighbour: refused, whatever policy says"
mkdir "$net_dir/h7"
in_host h7 /usr/bin/python3 "$root/test/netns/bgp_peer.py" 192.0.2.7 192.0.2.5 64999 "$net_dir/h7" >"$net_dir/h7/out" 2>&1 </dev/null &
within 10 "the neighbour's session" eval "grep -q established '$net_dir/h7/said'"
# 10.32.2.0/24, east's; 10.32.18.0/24, mid's, which h5 itself knows and keeps; 198.51.100.0/24 is nobody's.
echo "update 4001010040020602010000fde7400304c0000207 180a2002180a201218c63364" >"$net_dir/h7/one.new"
mv "$net_dir/h7/one.new" "$net_dir/h7/one.send"
refused() { clusters "$1" "next(l for l in d['links'] if l['link'] == 'west')['refused'].get('$2', 0) > 0"; }
within 10 "h3 refuses it as another's" refused h3 other-range
within 10 "what is nobody's arrives" knows h4 198.51.100.0/24
clusters h3 "next(l for l in d['links'] if l['link'] == 'west')['last_refused'] == '10.32.2.0/24'" || fail "the last one is not told"
shows '1 other-range; last 10.32.2.0/24 .other-range' weft_at h3 status clusters || fail "not in the table: $(weft_at h3 status clusters)"
for h in h1 h2 h3 h4; do
	not knows $h 10.32.2.0/24 || fail "$h believes west of a part of east"
	not knows $h 10.32.18.0/24 || fail "$h believes west of a part of mid"
done
for h in h1 h2; do not knows $h 198.51.100.0/24 || fail "$h heard it, transit off"; done
for h in h3 h4; do behind $h $EAST $EAST6 || fail "$h has lost east"; done
reaches p4 2 || fail "p4 does not reach p2"
reaches p2 18 || fail "p2 does not reach p4"
echo "update - - 180a2002180a201218c63364" >"$net_dir/h7/two.new"
mv "$net_dir/h7/two.new" "$net_dir/h7/two.send"
within 10 "what is withdrawn goes" not knows h4 198.51.100.0/24

step "transit by policy"
mid_conf all >"$net_dir/h3.yaml"
reload h3
for h in h1 h2; do within 20 "$h leads west" behind $h $WEST $WEST6; done
for h in h5 h6; do within 20 "$h leads east" behind $h $EAST $EAST6; done
path_len h2 2 $WEST $WEST6 || fail "the path is not the two clusters crossed"
path_len h2 1 $MID $MID6 || fail "mid is not one cluster away"
for h in h1 h2 h3; do
	weft_at $h status clusters
	weft_at $h -o json status clusters | /usr/bin/python3 "$root/test/netns/json_shape.py" status clusters || fail "$h: not as docs/json.md says"
done
capture_start h3
within 10 "p2 reaches p6" reaches p2 34
udp_tcp_echo p2 p6 10.32.34.2 "a-word-in-transit"
udp_tcp_echo p5 p1 10.32.1.2 "a-word-in-transit"
capture_stop
[ "$(capture_count)" -gt 20 ] || fail "the capture is too short"
not capture_has a-word-in-transit || fail "in clear on the underlay"
not capture_has_inner || fail "inner packets in clear"
# The pod's host, three gateways, and the far host.
in_pod p2 ping -c 1 -t 6 -W 2 -q 10.32.34.2 >/dev/null || fail "six hops are not enough"
not in_pod p2 ping -c 1 -t 4 -W 1 -q 10.32.34.2 >/dev/null || fail "the TTL does not fall at gateways"
not shows Redirect in_pod p2 ping -c 5 -i 0.1 -W 2 10.32.34.2 || fail "a gateway sends redirects"
for h in h1 h3 h5; do clusters $h "d['self']['bgp_error'] == ''" || fail "$h can't speak BGP"; done

step "a direct link fails, and mid is the detour"
weft_at h1 cluster link --name west >"$net_dir/direct"
weft_at h5 cluster accept --name east - <"$net_dir/direct" >/dev/null
within 20 "h2 leads west directly" path_len h2 1 $WEST $WEST6
within 20 "h6 leads east directly" path_len h6 1 $EAST $EAST6
keep_busy p2 10.32.34.2
for times in 1 2; do
	cut_both 1 5
	within 1 "h2 leads west by mid" path_len h2 2 $WEST $WEST6
	within 1 "h6 leads east by mid" path_len h6 2 $EAST $EAST6
	within 1 "p2 reaches p6" reaches p2 34
	clusters h1 "all(g['last_resort'] for l in d['links'] if l['link'] == 'west' for g in l['gateways'])" || fail "status does not tell"
	[ $times = 1 ] || within 15 "BGP has given the link up" not established h1 west
	mend_both 1 5
	within 10 "h2 leads west directly again" path_len h2 1 $WEST $WEST6
	within 10 "h6 leads east directly again" path_len h6 1 $EAST $EAST6
	reaches p2 34 || fail "p6 is not reached"
done
keep_busy_stop
weft_at h1 cluster unlink west >/dev/null
weft_at h5 cluster unlink east >/dev/null
within 10 "h2 leads west by mid" path_len h2 2 $WEST $WEST6
within 10 "h6 leads east by mid" path_len h6 2 $EAST $EAST6

step "over two gateways of mid"
mid_conf all >"$net_dir/h4.yaml"
reload h4
weft_at h4 cluster accept --name west - <"$net_dir/to-west" >/dev/null
within 20 "h4 is linked with west" linked h4 1
weft_at h3 cluster unlink west >/dev/null
within 20 "h2 leads west" behind h2 $WEST $WEST6
within 20 "h6 leads east" behind h6 $EAST $EAST6
within 20 "p2 reaches p6" reaches p2 34
udp_tcp_echo p2 p6 10.32.34.2 "by-four-gateways"
in_pod p2 ping -c 1 -t 7 -W 2 -q 10.32.34.2 >/dev/null || fail "seven hops are not enough"
not in_pod p2 ping -c 1 -t 5 -W 1 -q 10.32.34.2 >/dev/null || fail "h4 does not forward"

step "transit taken back"
mid_conf own >"$net_dir/h4.yaml"
reload h4
within 20 "h6 has east closed" closed h6 $EAST $EAST6
reaches_none p6 2 || fail "p2 is reached without transit"
mid_conf own >"$net_dir/h3.yaml"
reload h3
within 20 "h2 has west closed" closed h2 $WEST $WEST6
reaches_none p2 34 || fail "p6 is reached without transit"

step "closed ranges outlive weftd, and masquerade is kept off them"
in_host h2 nft -f - <<'X'
table inet theirs {
	chain post {
		type nat hook postrouting priority srcnat
		ip saddr 10.32.2.0/24 masquerade
	}
}
X
keeps() { shows "daddr $2 jump keep" in_host "$1" nft list table inet weft; }
within 10 "masquerade is kept off west" keeps h2 $WEST
keeps h2 $WEST6 || fail "masquerade is not kept off west's IPv6"
keeps h2 $MID || fail "masquerade is not kept off mid"
udp_tcp_echo p4 p2 10.32.2.2 "the-pod-itself" # from mid, past the rule
in_pod p4 ping -c 1 -W 2 -q 10.32.2.2 >/dev/null || fail "p4 does not reach p2"
no_way() { shows 'No route to host|unreachable' in_host "$1" ip route get "$2"; }
for how in KILL TERM; do
	weftd_stop h2 $how
	for a in 10.32.34.2 10.32.18.2 fd32:0:0:34::2 fd32:0:0:18::2; do within 10 "SIG$how: $a is unreachable while weftd is down" no_way h2 $a; done
	capture_start h2
	reaches_none p2 34 || fail "p6 answers"
	start 2 # nobody at west can answer; mid's gateway is heard of again in a while
	closed h2 $WEST $WEST6 || fail "SIG$how: west is not closed after the start"
	reaches_none p2 34 || fail "p6 answers"
	within 20 "h2 leads to mid again" behind h2 $MID $MID6
	capture_stop
	not capture_has_inner || fail "SIG$how: in clear"
done
for h in h1 h2; do weftd_stop $h KILL; done
start 2 # without a gateway of its own: it can't hear of anything
closed h2 $MID $MID6 $WEST $WEST6 || fail "something is open"
for a in 10.32.34.2 10.32.18.2 fd32:0:0:34::2 fd32:0:0:18::2; do no_way h2 $a || fail "$a is not unreachable"; done

step "a damaged file of closed ranges"
[ "$(stat -c %a "$net_dir/h2/state/linked-ranges")" = 600 ] || fail "others can read it"
weftd_stop h2
cp -p "$net_dir/h2/state/linked-ranges" "$net_dir/good"
truncate -s -3 "$net_dir/h2/state/linked-ranges"
start 2
log_says h2 'linked-ranges is damaged .* set aside as ' || fail "the damage is not told"
not knows h2 $MID $MID6 || fail "a damaged file is in use"
weftd_stop h2
cp -p "$net_dir/good" "$net_dir/h2/state/linked-ranges"
start 2
closed h2 $MID $MID6 $WEST $WEST6 || fail "something is open"

step "until the operator says so"
shows 'no linked range' weft_at h2 cluster unlink 10.99.0.0/16 || fail "a range that is none is forgotten"
weft_at h2 cluster unlink $WEST
not knows h2 $WEST || fail "west is still closed"
knows h2 $WEST6 || fail "its other range went with it"
knows h2 $MID || fail "mid went with it"
start 1
within 20 "h2 leads to mid again" behind h2 $MID $MID6
shows 'a gateway leads to' weft_at h2 cluster unlink $MID || fail "a range in use is forgotten"
shows 'link .* leads to' weft_at h1 cluster unlink $MID || fail "a link's own range is forgotten"

step "a gateway of west tells mid of mid's own ranges: refused, counted and shown"
# weftd on h5 speaks BGP no more; another speaker has its address. The session with it carries VPN routes (RFC 4364, 4659) of
# the segment: the distinguisher 0:1, the target 4200000005:1.
control_of() { json_at "$1" "d['node']['control_address']" status; }
mkdir "$net_dir/h5/liar"
printf '%s\n' "1 128" "2 128" >"$net_dir/h5/liar/families"
in_host h5 nft -f - <<X
table inet liar {
	chain out {
		type filter hook output priority 0;
		ip6 daddr $(control_of h4) tcp dport 6795 meta mark != 17 drop
		ip6 daddr $(control_of h4) tcp sport 6795 drop
	}
}
X
in_host h5 /usr/bin/python3 "$root/test/netns/bgp_peer.py" "$(control_of h5)" "$(control_of h4)" 4200000005 "$net_dir/h5/liar" 6795 17 \
	>"$net_dir/h5/liar/out" 2>&1 </dev/null &
within 15 "the liar's session" eval "grep -q established '$net_dir/h5/liar/said'"
attrs=400101004002060201fa56ea05c010080202fa56ea050001 no_rd=0000000000000000 rd=0002000000000001 # and label 3
{ # AFI and SAFI, next hop, 10.32.18.0/24 and fd32:0:0:18::/64
	echo "update ${attrs}800e20000180"0c${no_rd}c000020500"70000031${rd}0a2012 -"
	echo "update ${attrs}800e31000280"18${no_rd}20010db800000000000000000000000500"98000031${rd}fd32000000000018 -"
} >"$net_dir/h5/liar/one.new"
mv "$net_dir/h5/liar/one.new" "$net_dir/h5/liar/one.send"
refused_own() { clusters h4 "next(l for l in d['links'] if l['link'] == 'west')['refused'].get('own-range', 0) == 2"; }
within 5 "h4 refuses both" refused_own
clusters h4 "next(l for l in d['links'] if l['link'] == 'west')['last_refused'] == 'fd32:0:0:18::/64'" || fail "the last one is not told"
shows '2 own-range.*last fd32:0:0:18::/64 .own-range' weft_at h4 status clusters || fail "not in the table: $(weft_at h4 status clusters)"
shows 'weft_link_routes_refused_total.*own-range.* 2$' in_host h4 curl -s http://127.0.0.1:6794/metrics || fail "not a metric"
established h4 west || fail "it cost the session"
for h in h1 h2 h3 h4; do not knows $h 10.32.18.0/24 fd32:0:0:18::/64 || fail "$h believes west of a part of mid"; done
reaches p2 18 || fail "p2 does not reach p4"
echo "ok"
