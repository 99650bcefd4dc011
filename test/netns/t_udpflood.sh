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

member() { json_at "$1" "d['membership']['$2']" status; }

mesh_hosts 4
for n in 1 2 3 4; do node_start $n; done
wait_for "a full mesh" json_at h1 "d['cluster']['up'] == 4 and d['prefixes']['remote'] >= 6" status
for n in 2 3 4; do wait_for "p1 to reach p$n" pings p1 10.32.$n.2; done
step "ten seconds at full rate"
pids=()
for n in 1 2 3 4; do
	to=$((n % 4 + 1))
	in_pod p$to "$build/test/udpgen" recv 10.32.$to.2 7300 >"$net_dir/recv-$to.log" 2>&1 &
	wait_for "the receiver" shows 7300 in_pod p$to ss -Hlun
done
for n in 1 2 3 4; do
	to=$((n % 4 + 1))
	in_pod p$n "$build/test/udpgen" send 10.32.$to.2 7300 1300 0 10 >"$net_dir/send-$n.log" 2>&1 &
	pids+=($!)
done
worst=0
while kill -0 "${pids[0]}" 2>/dev/null; do
	for n in 1 2 3 4; do
		s=$(member h$n suspected)
		[ "$s" -le $worst ] || worst=$s
	done
done
for p in "${pids[@]}"; do wait "$p" || fail "a sender failed"; done
for n in 1 2 3 4; do
	echo "  p$n sent (datagrams, ns): $(cat "$net_dir/send-$n.log")"
	read -r count _ <"$net_dir/send-$n.log"
	[ "$count" -gt 10000 ] || fail "that was no flood"
	! log_says h$n 'is down' || fail "h$n took a node for dead"
	! log_says h$n 'ended:' || fail "a session of h$n ended"
	! log_says h$n ': lost' || fail "h$n lost its way"
done
[ $worst = 0 ] || fail "$worst members were suspected at a time"
for n in 2 3 4; do pings p1 10.32.$n.2 || pings p1 10.32.$n.2 || fail "p1 does not reach p$n any more"; done
