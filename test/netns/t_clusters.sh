#!/bin/bash
# t_clusters.sh - two clusters, each with a gateway and a member, linked by an invitation: pods reach each other
# through both gateways, sealed on each leg; nobody else's words cross; what can't be linked is refused on both
# sides; after the link's end, and while it is down, nothing leaves in clear.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/paths.sh"
net_init clusters "$(mktemp -d)"
trap net_end EXIT

clusters() { json_at "$1" "$2" status clusters; }
gateways_up() { clusters "$1" "[g['state'] for l in d['links'] for g in l['gateways']].count('up') == $2"; }
behind() { clusters "$1" "any(p['prefix'] == '$2' and p['gateway'] for p in d['prefixes'])"; }
closed() { clusters "$1" "any(p['prefix'] == '$2' and not p['gateway'] for p in d['prefixes'])"; }
linked() { clusters "$1" "[l['state'] for l in d['links']] == ['up']"; }
dropped() { json_at "$1" "d['traffic']['drops'].get('$2', 0)" status; }

# east_start N / west_start N: range 10.32.0.0/20 and 10.32.16.0/20; the first of each is the seed.
cluster_start() { # NAME HOST POD NET RANGE RANGE6 SEED OPTION...
	local name=$1 h=$2 p=$3 n=$4 range=$5 range6=$6 seed=$7
	shift 7
	cp "$net_dir/$name" "$net_dir/secret"
	weftd_start "$h" --cluster "$name" --cluster-range "$range" --cluster-range "$range6" \
		--prefix "10.32.$n.0/24@eth-$p" --prefix "fd32:0:0:$n::/64@eth-$p" --peer "$seed" "$@"
}
east() { cluster_start east "h$1" "p$1" "$1" 10.32.0.0/20 fd32::/60 192.0.2.1 "${@:2}"; }
west() { cluster_start west "h$1" "p$1" "$((14 + $1))" "${RANGE:-10.32.16.0/20}" fd32:0:0:10::/60 192.0.2.3 "${@:2}"; }

net_underlay h1 h2 h3 h4
net_pod h1 p1 1
net_pod h2 p2 2
net_pod h3 p3 17
net_pod h4 p4 18
for c in east west; do "$build/cli/weft" key new --out "$net_dir/$c" >/dev/null; done

step "what overlaps is refused, on both sides, with both named"
east 1
RANGE=10.32.0.0/16 west 3
weft_at h1 cluster link --name west --expires 1h >"$net_dir/invitation"
shows 'range 10.32.0.0/16 of cluster west overlaps 10.32.0.0/20 of cluster east' \
	weft_at h3 cluster accept "$(cat "$net_dir/invitation")" || fail "an overlap is not refused"
weftd_stop h3
in_host h3 "$build/router/weftd" --down >/dev/null

step "an invitation that nobody takes up in time, and words that make no sense"
weft_at h1 cluster link --name gone --expires 1s >/dev/null
within 3 "it is gone" clusters h1 "all(l['link'] != 'gone' for l in d['links'])"
[ ! -e "$net_dir/h1/state/link-gone" ] || fail "its file is left"
shows 'takes a time like' weft_at h1 cluster link --expires soon || fail "a time that is none is taken"
shows 'there is no link nowhere' weft_at h1 cluster unlink nowhere || fail "a link that is none is removed"

step "linked"
east 2
west 3
west 4
shows 'lost or changed|no invitation' weft_at h3 cluster accept "$(head -c 60 "$net_dir/invitation")" || fail "a cut invitation is taken"
weft_at h3 cluster accept - <"$net_dir/invitation" | grep -q east || fail "not taken up as east"
within 10 "h1 is linked" linked h1
within 10 "h3 is linked" linked h3
for h in h1 h2; do within 15 "$h leads west" behind $h 10.32.16.0/20; done
for h in h3 h4; do within 15 "$h leads east" behind $h 10.32.0.0/20; done
weft_at h1 status clusters
weft_at h2 status clusters

step "member to member, by both gateways"
capture_start h1
within 10 "p2 reaches p4" pings p2 10.32.18.2
udp_tcp_echo p2 p4 10.32.18.2 "a-word-between-clusters"
udp_tcp_echo p4 p2 fd32:0:0:2::2 "a-word-between-clusters"
udp_tcp_echo p1 p3 10.32.17.2 "a-word-between-clusters"
udp_tcp_echo p3 p2 10.32.2.2 "a-word-between-clusters"
capture_stop
[ "$(capture_count)" -gt 20 ] || fail "the capture is too short"
not capture_has a-word-between-clusters || fail "in clear on the underlay"
not capture_has_inner || fail "inner packets in clear"
# The TTL falls at the pod's host, at each gateway and at the far host: two more than inside a cluster.
in_pod p2 ping -c 1 -t 5 -W 2 -q 10.32.18.2 >/dev/null || fail "five hops are not enough"
not shows Redirect in_pod p2 ping -c 10 -i 0.1 -W 2 10.32.18.2 || fail "a gateway sends redirects"
not in_pod p2 ping -c 1 -t 3 -W 1 -q 10.32.18.2 >/dev/null || fail "the TTL does not fall at gateways"

step "gossip does not cross"
for h in h1 h2; do json_at $h "len(d['peers'])" status peers | grep -qx 2 || fail "$h knows others than its cluster"; done
for h in h3 h4; do json_at $h "len(d['peers'])" status peers | grep -qx 2 || fail "$h knows others than its cluster"; done

step "a gateway's restart"
for how in KILL TERM; do
	weftd_stop h3 $how
	within 30 "SIG$how: h2 keeps west closed" closed h2 10.32.16.0/20
	not pings p2 10.32.18.2 || fail "p4 is reached without a gateway"
	west 3
	within 30 "h3 is linked again" linked h3
	within 20 "p2 reaches p4 again" pings p2 10.32.18.2
done

step "the link's end"
capture_start h1
weft_at h3 cluster unlink east
within 30 "h2 has west closed" closed h2 10.32.16.0/20
not pings p2 10.32.18.2 || fail "p4 is reached without a link"
not pings p4 10.32.2.2 || fail "p2 is reached without a link"
capture_stop
not capture_has_inner || fail "inner packets in clear after the link's end"
[ ! -e "$net_dir/h3/state/link-east" ] || fail "the link's file is left"

step "a damaged file of a link"
weftd_stop h1
[ "$(stat -c %a "$net_dir/h1/state/link-west")" = 600 ] || fail "others can read the link's secret"
truncate -s -3 "$net_dir/h1/state/link-west"
east 1
log_says h1 'link-west is damaged .* set aside as ' || fail "the damage is not told"
clusters h1 "d['links'] == [] and not d['self']['gateway']" || fail "a damaged link is in use"
weft_at h1 cluster accept - <"$net_dir/invitation" >/dev/null || fail "the invitation is not taken again"
echo "ok"
