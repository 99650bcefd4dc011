#!/bin/bash
# t_source.sh - promise 4.2: nobody speaks for another, and nothing arrives that isn't this node's; 4.3: the
# mesh doesn't swallow its own tunnel. Each refusal has its counter, and the right one.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
net_init source "$(mktemp -d)"
trap net_end EXIT

mesh_hosts 3
# h2 declares that it forwards to everywhere; h1 believes it. h2 knows a range that h1 doesn't.
in_host h1 sysctl -qw net.ipv4.conf.all.rp_filter=0
node_start 1 --accept 0.0.0.0/0 --accept ::/0
node_start 2 --exit 0.0.0.0/0 --exit ::/0 --cluster-range 10.33.0.0/16 --cluster-range fd33::/32
node_start 3 --prefix 10.32.9.0/24 --prefix fd32:0:0:9::/64
wait_for "a full mesh" mesh_is_full 3 h1 h2 h3
wait_for "pods to talk" pings p1 10.32.2.2

# counts HOST REASON COMMAND...: the command makes exactly that counter of the host grow, and no other refusal.
reasons=(bad_source bad_destination loop unowned)
counts() {
	local h=$1 reason=$2 r before=() i=0
	shift 2
	for r in "${reasons[@]}"; do before+=("$(drops_at "$h" "$r")"); done
	"$@" >/dev/null 2>&1 && fail "answered: $*"
	for r in "${reasons[@]}"; do
		if [ "$r" = "$reason" ]; then
			wait_for "$h to count $reason ($*)" grown "${before[$i]}" drops_at "$h" "$r"
		elif [ "$(drops_at "$h" "$r")" != "${before[$i]}" ]; then
			fail "$h counts $r for: $*"
		fi
		i=$((i + 1))
	done
	echo "$h counts $reason: $*"
}
from() { in_pod p1 ping -c 2 -i 0.2 -W 1 -I "$1" "$2"; }
add_addr() { ip -n "$(ns_of p1)" addr add "$1" dev eth0 "${@:2}"; }

step "p1 with addresses that aren't its host's"
add_addr 10.32.3.2/32
add_addr 203.0.113.9/32
add_addr 10.32.200.9/32
add_addr fd32:0:0:3::2/128 nodad
add_addr fd32:0:0:200::9/128 nodad
for src in 10.32.3.2 203.0.113.9 10.32.200.9; do counts h2 bad_source from "$src" 10.32.2.2; done
for src in fd32:0:0:3::2 fd32:0:0:200::9; do counts h2 bad_source from "$src" fd32:0:0:2::2; done
json_at h2 "any(x['name'] == 'h1' and x['drops'].get('bad_source', 0) >= 5 for x in d['connections'])" status connections ||
	fail "status connections does not tell for whom bad_source is counted"

step "destinations that aren't h2's: its own ranges are no exit"
counts h2 bad_destination from 10.32.1.2 10.33.0.5
counts h2 bad_destination from fd32:0:0:1::2 fd33::5

step "the endpoints that the tunnels stand on, through the mesh"
knock() { in_pod p1 bash -c "echo knock > /dev/udp/$1/6793" && false; }
counts h1 loop knock 192.0.2.2
counts h1 loop knock 192.0.2.3

step "addresses of own prefixes that nobody has"
for a in 10.32.3.2/32 203.0.113.9/32 10.32.200.9/32 fd32:0:0:3::2/128 fd32:0:0:200::9/128; do
	ip -n "$(ns_of p1)" addr del "$a" dev eth0
done
wait_for "10.32.1.77 (a device's prefix) to be unreachable from p2" unreachable p2 10.32.1.77
wait_for "10.32.9.50 (a prefix without device) to be unreachable from p1" unreachable p1 10.32.9.50
wait_for "10.32.9.50 to be unreachable from p3" unreachable p3 10.32.9.50
wait_for "fd32:0:0:9::50 to be unreachable from p1" unreachable p1 fd32:0:0:9::50
wait_for "10.32.200.9 (nobody's) to be unreachable" unreachable p1 10.32.200.9

pings p1 10.32.2.2 || fail "the mesh did not survive that"
