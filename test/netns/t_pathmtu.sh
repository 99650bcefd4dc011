#!/bin/bash
# The path's MTU is found by probes alone: on the way stands a switch port that drops what is too large without
# a word. Its MTU goes down under traffic, 9000 to 1280; each payload size around the edge passes, what is
# larger gets a too-big, TCP goes on, and no outer packet is ever fragmented.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
. "$root/test/netns/paths.sh"
net_init pathmtu "$(mktemp -d)"
trap net_end EXIT

# What TCP may send at both ends of a connection that begins now: CALLER SERVER ADDRESS MOST
mss_fits() {
	local log="$net_dir/mss.log" pid most
	: >"$log"
	in_pod "$2" /usr/bin/python3 "$root/test/netns/mss.py" serve >>"$log" 2>&1 &
	pid=$!
	wait_for "the server" grep -q ready "$log"
	in_pod "$1" /usr/bin/python3 "$root/test/netns/mss.py" call "$3" >>"$log" || { cat "$log" >&2; return 1; }
	wait $pid
	most=$(sort -n "$log" | tail -1)
	[ "$(grep -c '^[0-9]' "$log")" = 2 ] && [ "$most" -le "$4" ] && [ "$most" -ge $(($4 - 12)) ] ||
		{ echo "MSS between $1 and $2:" >&2; cat "$log" >&2; return 1; }
}

port_mtu() {
	local h
	for h in 1 2; do ip -n "$(ns_of sw)" link set "sw-h$h" mtu "$1"; done
}

POD_MTU=9000 UNDERLAY_MTU=9000 mesh_hosts 2
underlay_only v4 2
wire_mode h1 h2 # super-packets would pass any port
echo_start p1 7001
echo_start p2 7001
node_start 1
node_start 2
wait_for "a full mesh" mesh_is_full 2 h1 h2
wait_for "p1 to reach p2" pings p1 10.32.2.2
keep_busy p1 10.32.2.2
capture_start h1
for outer in 9000 1500 1400 1280; do
	inner=$((outer - 64))
	v6=$((inner < 1280 ? 1280 : inner))
	step "the path carries $outer, $inner inside"
	port_mtu $outer
	within 10 "h1 knows" path_mtu_is h1 h2 $outer
	within 10 "h2 knows" path_mtu_is h2 h1 $outer
	for p in p1 p2; do
		ip -n "$(ns_of $p)" route flush cache
		ip -n "$(ns_of $p)" -6 route flush cache
	done
	if [ $outer -lt 9000 ]; then
		# Before any too-big could have told the pods. By IPv6 halves carry what is above the path.
		mss_fits p1 p2 10.32.2.2 $((inner - 40)) || fail "TCP over IPv4 begins with too large segments"
		mss_fits p2 p1 fd32:0:0:1::2 $((v6 - 60)) || fail "TCP over IPv6 begins with too large segments"
	fi
	for n in 1 2; do
		tool udpload p$n sweep "10.32.$((3 - n)).2" 7001 $((inner - 28 - 60)) $((inner - 28)) 8
		tool udpload p$n sweep "fd32:0:0:$((3 - n))::2" 7001 $((v6 - 48 - 60)) $((v6 - 48)) 8
	done
	in_pod p1 /usr/bin/python3 "$root/test/netns/bigsend.py" 10.32.2.2 7001 $inner
	in_pod p1 /usr/bin/python3 "$root/test/netns/bigsend.py" fd32:0:0:2::2 7001 $v6
	tcp_load p2 p1 10.32.2.2 1 4
	tcp_load p1 p2 fd32:0:0:1::2 1 4
done
json_at h1 "next(c['halves'] for c in d['connections'])" status connections || fail "status does not tell of halves"
json_at h1 "next(c['black_holes'] for c in d['connections']) >= 3" status connections || fail "black holes were not counted"
capture_stop
not capture_has_fragments || fail "outer fragments on the underlay"
not capture_has_inner || fail "inner packets in clear"
keep_busy_stop
