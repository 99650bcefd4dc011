#!/bin/bash
# tunnel.sh - what the tunnel costs: plain veth, kernel VXLAN (not encrypted), weft with each suite, and those of
# other encrypted tunnels that are installed; two hosts joined directly, in both underlay modes: "super" (the veth passes super-packets whole) and "wire" (true size, as
# on a network card with GRO). Everything is measured RUNS times in turn, so that a machine whose speed drifts
# treats all alike; the table shows medians, the spread, and the ratio to VXLAN within the same round.
#
# RUNS (5), SECS of each transfer (4), MODES ("super wire"), SUITES, PEERS ("wireguard_go nebula tinc"), CC (cubic: what most hosts use, whatever this one's
# default is); QUICK=1: one short round. build=DIR.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
. "$root/deploy/setup.sh"
become_root "$@"
. "$root/test/netns/lib.sh"
[ "${QUICK:-0}" = 0 ] || : "${RUNS:=1}" "${SECS:=1}" "${STEPS:=4}" "${IDLE_SECS:=5}"
RUNS=${RUNS:-5} SECS=${SECS:-4} STEPS=${STEPS:-8} IDLE_SECS=${IDLE_SECS:-20} CC=${CC:-cubic}
udpgen=$build/test/udpgen
weftd=${WEFTD:-$build/router/weftd}
net_init bench "$(mktemp -d)"
trap bench_end EXIT
results=$net_dir/results
suites=${SUITES:-aes-256-gcm chacha20-poly1305}
. "$root/test/bench/lib/peers.bash"
peers=
for p in ${PEERS-wireguard_go nebula tinc}; do
	case $p in tinc) prog=tincd ;; *) prog=${p/_/-} ;; esac
	if command -v "$prog" >/dev/null; then peers+=" $p"; else echo "  no $prog here: left out" >&2; fi
done
bench_end() {
	peers_end
	net_end
}

hosts_up() {
	local h
	for h in h1 h2; do ns_add $h; done
	ip link add u0 netns "$(ns_of h1)" type veth peer name u0 netns "$(ns_of h2)"
	for h in h1 h2; do
		ip -n "$(ns_of $h)" addr add "192.0.2.${h#h}/24" dev u0
		ip -n "$(ns_of $h)" link set u0 up
	done
	wait_for "the link" pings h1 192.0.2.2
}

wire() {
	local h
	for h in h1 h2; do
		in_host $h ethtool -K u0 tso off gso on tx-udp-segmentation off tx-udp_tnl-segmentation off \
			tx-udp_tnl-csum-segmentation off gro on >/dev/null
	done
}

# --- the tunnels: up_X leaves $dst, an address of h2 through it ---
up_plain() { dst=192.0.2.2; }
down_plain() { :; }
up_vxlan() { vxlan_pair h1 h2; dst=198.18.0.2; }
down_vxlan() { local h; for h in h1 h2; do ip -n "$(ns_of $h)" link del vx0; done; }
up_weft() { # SUITE
	local n
	for n in 1 2; do
		weftd_start h$n --cluster-range 10.32.0.0/16 --prefix "10.32.$n.0/24" --peer 192.0.2.1 --suite "$1"
	done
	wait_for "the mesh" mesh_is_full 2 h1 h2
	[ "$(weft_suite h1)" = "$1" ] || fail "the suite in use is $(weft_suite h1)"
	dst=10.32.2.1
}
down_weft() {
	local h
	for h in h1 h2; do
		weftd_stop $h
		in_host $h "$weftd" --down >/dev/null
	done
}

# --- measuring ---
cpu_ticks() { awk '/^cpu /{print $2+$3+$4+$7+$8}' /proc/stat; }
per_sec=$(getconf CLK_TCK)
note() { echo "$mode $round $name $1 $2" >>"$results"; }
json_get() { /usr/bin/python3 -c "import json, sys; d = json.load(sys.stdin); print($1)"; }
server() {
	in_host h2 iperf3 -s -D --pidfile "$net_dir/iperf3.pid" --logfile /dev/null
	wait_for "iperf3" port_listens h2 5201
}
tcp() { # STREAMS METRIC
	local before after out
	before=$(cpu_ticks)
	out=$(in_host h1 iperf3 -c "$dst" -C "$CC" -t "$SECS" -P "$1" -J) || fail "iperf3 over $name: $out"
	after=$(cpu_ticks)
	note "$2" "$(json_get "d['end']['sum_received']['bits_per_second'] / 1e9" <<<"$out")"
	[ "$1" != 1 ] || note cpu "$(json_get "($after - $before) / $per_sec / (d['end']['sum_received']['bytes'] / 1e9)" <<<"$out")"
}
rtt() { # METRIC COUNT
	note "$1" "$(in_host h1 ping -q -i 0.01 -c "$2" "$dst" | awk -F/ '/^rtt/{print $5}')"
}
rtt_loaded() {
	local pid
	in_host h1 iperf3 -c "$dst" -C "$CC" -t $((SECS + 1)) >/dev/null 2>&1 &
	pid=$!
	wait_for "the load" shows ESTAB in_host h1 ss -Htn dport = :5201
	rtt rtt_load $((SECS * 80))
	wait $pid || true
}
# udp_try RATE: sets sent_pps and lost (per mille) of one try with 64-byte payloads.
udp_try() {
	local pid sent got ns
	ip netns exec "$(ns_of h2)" "$udpgen" recv "$dst" 7999 >"$net_dir/recv" &
	pid=$!
	wait_for "udpgen" shows ':7999' in_host h2 ss -Hlun
	read -r sent ns < <(in_host h1 "$udpgen" send "$dst" 7999 64 "$1" "$SECS")
	kill -TERM $pid
	wait $pid
	read -r got _ <"$net_dir/recv"
	read -r sent_pps got_pps lost < <(/usr/bin/python3 -c "
print(int($sent / ($ns / 1e9)), int($got / ($ns / 1e9)), round(max(0, $sent - $got) * 1000 / $sent, 2))")
}
# The highest rate that loses at most one in a thousand, by halving between none and all that gets through.
udp() {
	local lo=0 hi i rate best=0
	udp_try 0
	hi=$((got_pps * 11 / 10))
	rate=$hi
	for ((i = 0; i < STEPS; i++)); do
		udp_try "$rate"
		if /usr/bin/python3 -c "import sys; sys.exit(not ($lost <= 1))"; then
			[ "$got_pps" -le "$best" ] || best=$got_pps
			lo=$rate
			# The sender itself gives no more.
			[ "$sent_pps" -ge $((rate * 95 / 100)) ] || break
			[ "$rate" -lt "$hi" ] || hi=$((hi * 3 / 2))
		else
			hi=$rate
		fi
		rate=$(((lo + hi) / 2))
	done
	note udp64 "$((best / 1000))"
}
measure() { # TUNNEL [SUITE]
	name=$1${2:+-$2}
	"up_$1" ${2:+"$2"}
	wait_for "$dst to answer" pings h1 "$dst"
	server
	tcp 1 tcp1
	tcp 4 tcp4
	rtt rtt 100
	rtt_loaded
	udp
	kill "$(tr -d '\0' <"$net_dir/iperf3.pid")"
	wait_for "iperf3 to end" not port_listens h2 5201
	"down_$1"
	echo "  round $round, $mode, $name: tcp1 $(awk -v r="$round" -v n="$name" -v m="$mode" '$1==m && $2==r && $3==n && $4=="tcp1"{printf "%.2f", $5}' "$results") Gb/s" >&2
}

# --- memory and idle CPU with three peers ---
footprint() {
	local n pid before after rss
	for n in 1 2; do ip netns del "$(ns_of h$n)"; done
	rm -rf "$net_dir/secret" "$net_dir"/h[12]
	mesh_hosts 4
	for n in 1 2 3 4; do node_start "$n"; done
	wait_for "a full mesh of four" mesh_is_full 4 h1 h2 h3 h4
	in_pod p2 iperf3 -s -1 -D --pidfile "$net_dir/iperf3.pid" --logfile /dev/null
	wait_for "iperf3" port_listens p2 5201
	in_pod p1 iperf3 -c 10.32.2.2 -t 1 >/dev/null
	pid=$(cat "$net_dir/h1/pid")
	before=$(awk '{print $14 + $15}' "/proc/$pid/stat")
	sleep "$IDLE_SECS" # an interval to measure, not a wait for something
	after=$(awk '{print $14 + $15}' "/proc/$pid/stat")
	rss=$(awk '/^VmRSS/{print $2}' "/proc/$pid/status")
	awk -v r="$rss" -v t="$((after - before))" -v s="$IDLE_SECS" -v hz="$per_sec" 'BEGIN {
		printf "\nweftd with 3 peers, after traffic: RSS %.1f MiB, idle CPU %.2f %% of a core\n", r / 1024, 100 * t / hz / s }'
}

[ -x "$udpgen" ] || fail "no $udpgen: build first (test/run.sh bench does)"
hosts_up
"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null
for mode in ${MODES:-super wire}; do
	[ "$mode" = super ] || wire
	for ((round = 1; round <= RUNS; round++)); do
		measure plain
		measure vxlan
		for suite in $suites; do measure weft "$suite"; done
		for p in $peers; do measure "$p"; done
	done
done
/usr/bin/python3 "$root/test/bench/table.py" "$results"
footprint
