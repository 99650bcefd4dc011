#!/bin/bash
# What leaves at a plain interface carries right checksums, whichever way they travelled.
# fallbacks: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
net_init checksum "$(mktemp -d)"
trap net_end EXIT

mesh_hosts 2
node_start 1
node_start 2
wait_for "a full mesh" mesh_is_full 2 h1 h2

plain() { # POD N: neither end of the pod's veth does anything for the other
	in_pod "$1" ethtool -K eth0 rx off tx off tso off gso off gro off tx-udp-segmentation off >/dev/null
	in_host "h$2" ethtool -K "eth-$1" rx off tx off tso off gso off gro off tx-udp-segmentation off >/dev/null
}

# Only what comes from the other pod is judged: a pod's own packets are complete after its veth alone.
sums_at() { # POD COMMAND...
	local p=$1 pid
	shift
	rm -f "$net_dir/sums.log"
	exec_in "$p" tcpdump -i eth0 -Q in -U -s 0 -B 65536 --immediate-mode -w "$net_dir/sums.pcap" 2>"$net_dir/sums.log" &
	pid=$!
	wait_for "tcpdump" grep -q "listening on" "$net_dir/sums.log"
	"$@"
	kill -TERM $pid
	wait_for "tcpdump to end" process_gone $pid
	/usr/bin/python3 "$root/test/netns/sums.py" "$net_dir/sums.pcap" tcp4=500 udp4=500 tcp6=500 udp6=500
}

traffic() {
	local a2 s
	for a2 in 10.32.2.2 fd32:0:0:2::2; do
		tcp_load p2 p1 $a2 1 2
		udp_recv_start p2 7200 2 60
		tool udpload p1 send $a2 7200 1 1000 5000 24 1388 31 >"$net_dir/send1.log" &
		s=$!
		tool udpload p1 send $a2 7200 2 1000 5000 24 1388 32 ${gso-gso} >"$net_dir/send2.log"
		ended_well $s "$net_dir/send1.log" "sending from p1"
		udp_recv_end p2 7200
		udp_whole "$udp_line"
	done
}

plain p2 2
step "the sender's checksums are partial, its packets super-packets"
sums_at p2 traffic
step "the sender does it all by itself"
plain p1 1
sums_at p2 traffic
