#!/bin/bash
# t_partition.sh - eight nodes fall apart into halves, by dropped packets: each half goes on alone, what it can't
# reach is unreachable and nothing leaves in clear; a node of each half restarts with another prefix meanwhile;
# when the network heals, all agree again, with nobody called and no seed.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
. "$root/test/netns/paths.sh"
net_init partition "$(mktemp -d)"
trap net_end EXIT
A=(h1 h2 h3 h4) B=(h5 h6 h7 h8)

# Each host hears nothing from the other half.
part() {
	local n v4 v6
	for n in 1 2 3 4 5 6 7 8; do
		if [ $n -le 4 ]; then v4=192.0.2.5-192.0.2.8 v6=2001:db8::5-2001:db8::8
		else v4=192.0.2.1-192.0.2.4 v6=2001:db8::1-2001:db8::4; fi
		in_host h$n nft -f - <<-END
			table inet part {
				chain in {
					type filter hook prerouting priority -400;
					ip saddr $v4 drop
					ip6 saddr $v6 drop
				}
			}
		END
	done
}
heal() { local n; for n in 1 2 3 4 5 6 7 8; do in_host h$n nft delete table inet part; done; }
# routes_agree PREFIX NODE HOST...: each HOST routes the prefix to NODE.
routes_agree() {
	local p=$1 node=$2 h
	shift 2
	for h in "$@"; do
		json_at "$h" "any(r['prefix'] == '$p' and r['node'] == '$node' and r['kind'] == 'peer' for r in d['routes'])" status routes || return 1
	done
}
no_route() { local p=$1 h; shift; for h in "$@"; do json_at "$h" "not any(r['prefix'] == '$p' for r in d['routes'])" status routes || return 1; done; }

mesh_hosts 8
step "eight nodes"
mesh_up 8
pings p1 10.32.8.2 || wait_for "p1 to reach p8" pings p1 10.32.8.2

step "halves"
capture_start h2
exec_in p2 ping -i 0.1 -q 10.32.7.2 >/dev/null 2>&1 &
pinging=$!
part
within 15 "the first half is alone" all_see 4 "${A[@]}"
within 15 "the second half is alone" all_see 4 "${B[@]}"
kill $pinging # the kernel tells one host a few times a second only
wait $pinging 2>/dev/null || true
wait_for "p2 to be told that p7 is unreachable" unreachable p2 10.32.7.2
wait_for "p6 to be told the same of p3" unreachable p6 fd32:0:0:3::2
for pair in "1 2" "3 4" "4 1" "5 6" "7 8" "8 5"; do
	set -- $pair
	pings p$1 10.32.$2.2 || wait_for "p$1 to reach p$2" pings p$1 10.32.$2.2
done
capture_stop
[ "$(capture_count)" -gt 20 ] || fail "the capture is too short: $(capture_count)"
not capture_has_inner || fail "inner packets in clear"
json_at h1 "d['ready']" status || fail "h1 is not ready any more"

step "each half changes something"
for n in 4 8; do
	weftd_stop h$n
	SEED='' weftd_start h$n --cluster-range 10.32.0.0/16 --cluster-range fd32::/32 --prefix "10.32.$((n + 100)).0/24@eth-p$n"
done
wait_for "the first half to know" routes_agree 10.32.104.0/24 h4 h1 h2 h3
wait_for "the second half to know" routes_agree 10.32.108.0/24 h8 h5 h6 h7

step "it heals"
heal
within 10 "all know all" all_see 8 "${A[@]}" "${B[@]}"
within 10 "what changed in the first half" routes_agree 10.32.104.0/24 h4 h5 h6 h7 h8
within 10 "what changed in the second half" routes_agree 10.32.108.0/24 h8 h1 h2 h3 h4
within 10 "and what was withdrawn in both" no_route 10.32.4.0/24 "${A[@]}" "${B[@]}"
no_route 10.32.8.0/24 "${A[@]}" "${B[@]}" || wait_for "10.32.8.0/24 to go" no_route 10.32.8.0/24 "${A[@]}" "${B[@]}"
for pair in "1 5" "7 2" "3 6" "6 1"; do
	set -- $pair
	pings p$1 10.32.$2.2 || wait_for "p$1 to reach p$2" pings p$1 10.32.$2.2
done
