#!/bin/bash
# Keys change each second, on a path with 20 ms of delay and 5 % reordering, at 10,000 packets/s: not one
# packet is lost by it. The path is shown lossless without weft first.
# long: yes
# alone: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
net_init rekey "$(mktemp -d)"
trap net_end EXIT
secs=20 rate=10000 seed=${SEED_OF_PATH:-$RANDOM}
[ -z "${LONG:-}" ] || secs=600

mesh_hosts 2
# The cable between the hosts is the forwarder, and packets are on it one by one.
for h in h1 h2; do
	ip -n "$(ns_of sw)" link set sw-$h nomaster
	in_host $h ethtool -K u0 tso off tx-udp-segmentation off >/dev/null
done
ip -n "$(ns_of sw)" link del br0
exec_in sw "$build/test/forwarder" sw-h1 sw-h2 --delay 20000 --reorder 5 --extra 5000 --seed "$seed" >"$net_dir/forwarder.log" 2>&1 &
forwarder=$!
echo "the path's seed is $seed"
wait_for "the forwarder" grep -q ready "$net_dir/forwarder.log"

# 200 bytes of payload are 15 blocks of 16 bytes: 150,000 blocks a second.
# A tenth of that goes the other way.
lost=0
run() { # ONE OTHER ADDRESS-OF-ONE ADDRESS-OF-OTHER SECONDS: sets lost
	local back
	udp_recv_start "$2" 7200 1 $(($5 + 30))
	udp_recv_start "$1" 7200 1 $(($5 + 30))
	tool udpload "$2" send "$3" 7200 2 $(($5 * rate / 10)) $((rate / 10)) 200 200 42 >"$net_dir/back.log" 2>&1 &
	back=$!
	tool udpload "$1" send "$4" 7200 1 $(($5 * rate)) $rate 200 200 41
	ended_well $back "$net_dir/back.log" "sending back"
	udp_recv_end "$1" 7200
	udp_whole "$udp_line" damaged doubled
	lost=$(value_of lost "$udp_line")
	udp_recv_end "$2" 7200
	udp_whole "$udp_line" damaged doubled
	lost=$((lost + $(value_of lost "$udp_line")))
	[ "$(value_of reordered "$udp_line")" -gt $(($5 * rate / 200)) ] || fail "the path did not reorder"
}

step "without weft"
wait_for "the hosts' path" pings h1 192.0.2.2 # neighbours are known from here on
run h1 h2 192.0.2.1 192.0.2.2 3
[ "$lost" = 0 ] || fail "the path itself lost $lost packets"

step "with weft, $secs s"
tune=(--tune rekey_initiator_ms=2000 --tune rekey_responder_ms=3000 --tune soft_blocks=150000)
node_start 1 "${tune[@]}"
node_start 2 "${tune[@]}"
wait_for "a full mesh" mesh_is_full 2 h1 h2
wait_for "the pods' path" pings p1 10.32.2.2

# What a queue dropped is told apart: it was lost by the machine's load, and it is counted.
overflow() {
	local h n=0
	for h in h1 h2; do
		n=$((n + $(json_at $h "sum(d['traffic']['drops'].get(r, 0) for r in ('kernel_rx', 'kernel_tun', 'backlog'))" status)))
	done
	echo $n
}
rekeys() { json_at h1 "d['counters']['session']['handshakes_done']" report; }
before=$(rekeys) full=$(overflow)
run p1 p2 10.32.1.2 10.32.2.2 "$secs"
over=$(($(overflow) - full))
done_=$(($(rekeys) - before))
echo "  $done_ handshakes, $lost lost, $over dropped by full queues"
[ $done_ -ge $((secs * 3 / 4)) ] || fail "only $done_ handshakes in $secs s"
[ "$lost" -le "$over" ] || fail "$lost packets were lost, $over of them by full queues"
[ "$over" -le $((secs * rate / 1000)) ] || fail "this machine is too slow for the test: $over dropped"
for h in h1 h2; do
	for why in no_session unknown_index key_limit bad_tag replay no_window send_error; do
		[ "$(drops_at $h $why)" = 0 ] || fail "$h dropped $(drops_at $h $why) packets as $why"
	done
done
kill -TERM $forwarder
wait $forwarder
line=$(tail -1 "$net_dir/forwarder.log")
echo "  the path: $line"
udp_whole "$line" dropped unsent overrun
