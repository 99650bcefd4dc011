#!/bin/bash
# TCP both ways at once and UDP of mixed sizes, segmented by the kernel too, come as they were sent.
# fallbacks: yes
# long: yes
# alone: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
net_init content "$(mktemp -d)"
trap net_end EXIT
mib=200
[ -z "${LONG:-}" ] || mib=20480

mesh_hosts 2
node_start 1
node_start 2
wait_for "a full mesh" mesh_is_full 2 h1 h2

step "TCP, $mib MiB both ways at once"
tcp_load p2 p1 10.32.2.2 1 $mib
step "TCP over IPv6, four flows"
tcp_load p1 p2 fd32:0:0:1::2 4 $((mib / 10))

# All drops that a node counts, of packets and in the kernel's queues.
drops_in_all() {
	local h n=0
	for h in h1 h2; do n=$((n + $(json_at $h "sum(d['traffic']['drops'].values())" status))); done
	echo $n
}

# 20,000 datagrams of each kind, both ways at once. A burst may overflow a queue of a slow machine; then
# no more are missing than drops were counted (DESIGN 5.11), and few.
for dest in 4 6; do
	if [ $dest = 4 ]; then a1=10.32.1.2 a2=10.32.2.2 max=1408; else a1=fd32:0:0:1::2 a2=fd32:0:0:2::2 max=1388; fi
	for how in "" gso; do
		step "UDP over IPv$dest ${how:+, segmented by the kernel}"
		before=$(drops_in_all)
		missing=0
		udp_recv_start p1 7200 1 60
		udp_recv_start p2 7200 1 60
		tool udpload p1 send $a2 7200 1 20000 8000 24 $max 11 $how >"$net_dir/send1.log" &
		s1=$!
		tool udpload p2 send $a1 7200 2 20000 8000 24 $max 12 $how >"$net_dir/send2.log" &
		s2=$!
		ended_well $s1 "$net_dir/send1.log" "sending from p1"
		ended_well $s2 "$net_dir/send2.log" "sending from p2"
		for p in p1 p2; do
			udp_recv_end $p 7200
			udp_whole "$udp_line" reordered doubled damaged
			missing=$((missing + $(value_of lost "$udp_line")))
		done
		counted=$(($(drops_in_all) - before))
		[ $missing -le $counted ] && [ $missing -le 400 ] ||
			fail "$missing datagrams are missing, $counted drops were counted"
	done
done
