#!/bin/bash
# Pods send UDP as fast as they can, from every node to another: no member is suspected for it, no session ends,
# no way is left for another, and what else goes through the mesh still does.
# alone: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
. "$root/test/netns/paths.sh"
net_init udpflood "$(mktemp -d)"
trap net_end EXIT

# How often a member was suspected so far, by any node.
suspicions() {
	local n sum=0
	for n in $nodes; do sum=$((sum + $(json_at h$n "d['counters']['membership']['suspicions']" report))); done
	echo $sum
}

nodes=$(seq 8)
mesh_hosts 8
mesh_up 8
reaches 1 2 3 4 5 6 7 8
before=$(suspicions)
step "ten seconds at full rate, from each of eight nodes"
pids=()
for n in $nodes; do
	to=$((n % 8 + 1))
	in_pod p$to "$build/test/udpgen" recv 10.32.$to.2 7300 >"$net_dir/recv-$to.log" 2>&1 &
	wait_for "the receiver" shows 7300 in_pod p$to ss -Hlun
done
for n in $nodes; do
	to=$((n % 8 + 1))
	in_pod p$n "$build/test/udpgen" send 10.32.$to.2 7300 1300 0 10 >"$net_dir/send-$n.log" 2>&1 &
	pids+=($!)
done
# Meanwhile answers come of those whose flood is another's.
through=0
for n in 3 4 5 6 7; do
	wait_for "p1 to reach p$n" pings p1 10.32.$n.2
	! kill -0 "${pids[0]}" 2>/dev/null || through=$((through + 1))
done
echo "  p1 reached $through others while the flood went on"
[ $through -ge 1 ] || fail "nothing came through the flood"
for p in "${pids[@]}"; do wait "$p" || fail "a sender failed"; done
for n in $nodes; do
	echo "  p$n sent (datagrams, ns): $(cat "$net_dir/send-$n.log")"
	read -r count _ <"$net_dir/send-$n.log"
	[ "$count" -gt 10000 ] || fail "that was no flood"
	! log_says h$n 'is down' || fail "h$n took a node for dead"
	! log_says h$n 'ended:' || fail "a session of h$n ended"
	! log_says h$n ': lost' || fail "h$n lost its way"
done
n=$(($(suspicions) - before))
[ $n = 0 ] || fail "members were suspected $n times"
for n in 2 3 4 5 6 7 8; do pings p1 10.32.$n.2 || pings p1 10.32.$n.2 || fail "p1 does not reach p$n any more"; done
all_agree 8 14 h1 h2 h3 h4 h5 h6 h7 h8 || fail "not all agree any more"
