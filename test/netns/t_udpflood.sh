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

# What must not happen, by all nodes together: suspicions, deaths, ways found dead, other ways taken, so far.
alarms() {
	local n
	for n in $nodes; do
		json_at h$n "sum(d['counters']['membership'][k] for k in ('suspicions', 'deaths', 'false_alarms'))" report
		json_at h$n "sum(d['counters']['paths'][k] for k in ('deaths', 'returns', 'reroutes'))" report
	done
}

nodes=$(seq 8)
mesh_hosts 8
mesh_up 8
reaches 1 2 3 4 5 6 7 8
before=$(alarms)
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
for n in 3 4 5 6 7; do
	in_pod p1 ping -i 0.2 -w 9 -q 10.32.$n.2 >"$net_dir/ping-$n.log" &
	pids+=($!)
done
for p in "${pids[@]:0:8}"; do wait "$p" || fail "a sender failed"; done
for p in "${pids[@]:8}"; do wait "$p" || true; done # how many came is read below
for n in 3 4 5 6 7; do
	read -r asked answers < <(sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 \2/p' "$net_dir/ping-$n.log")
	echo "  p$n answered $answers of $asked calls of p1 while the flood went on"
	[ $((answers * 4)) -ge "$asked" ] || fail "hardly anything comes through the flood"
done
all=0
for n in $nodes; do
	echo "  p$n sent (datagrams, ns): $(cat "$net_dir/send-$n.log")"
	read -r count _ <"$net_dir/send-$n.log"
	[ "$count" -gt 10000 ] || fail "p$n sent no flood"
	all=$((all + count))
	! log_says h$n 'ended:' || fail "a session of h$n ended"
done
# As fast as it went, with no pause: 100,000 a second on two busy processors.
[ $all -gt 200000 ] || fail "$all datagrams in ten seconds are no flood"
came=0
for p in $(seq 8); do
	pid=$(ip netns pids "$(ns_of p$p)")
	kill -TERM $pid
	wait_for "the receiver to end" process_gone $pid
	read -r count _ <"$net_dir/recv-$p.log"
	came=$((came + count))
done
echo "  $all datagrams were sent, $came came"
[ $came -gt 100000 ] || fail "the flood did not go through the mesh"
[ "$(alarms)" = "$before" ] || fail "members were suspected or ways left: $(alarms | xargs), before $(xargs <<<"$before")"
for n in 2 3 4 5 6 7 8; do pings p1 10.32.$n.2 || pings p1 10.32.$n.2 || fail "p1 does not reach p$n any more"; done
all_agree 8 14 h1 h2 h3 h4 h5 h6 h7 h8 || fail "not all agree any more"
