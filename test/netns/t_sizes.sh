#!/bin/bash
# Every packet size from 1 byte of payload to the MTU, both ways, comes whole; what is larger gets a
# too-big; no outer packet is ever fragmented.
# fallbacks: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
net_init sizes "$(mktemp -d)"
trap net_end EXIT

POD_MTU=1500 mesh_hosts 2
echo_start p1 7001
echo_start p2 7001
for outer in v4 v6; do
	underlay_only $outer 2
	export SEED
	SEED=$(seed_on $outer)
	mtu=$((1500 - $([ $outer = v6 ] && echo 84 || echo 64)))
	# What the pods learned of smaller paths would hide the router's own answer.
	for p in p1 p2; do
		ip -n "$(ns_of $p)" route flush cache
		ip -n "$(ns_of $p)" -6 route flush cache
	done
	node_start 1
	node_start 2
	wait_for "a full mesh" mesh_is_full 2 h1 h2
	capture_start h1
	for n in 1 2; do
		step "sizes over IP$outer, from p$n"
		tool udpload p$n sweep "10.32.$((3 - n)).2" 7001 1 $((mtu - 28)) 32
		tool udpload p$n sweep "fd32:0:0:$((3 - n))::2" 7001 1 $((mtu - 48)) 32
	done
	step "too big over IP$outer"
	in_pod p1 /usr/bin/python3 "$root/test/netns/bigsend.py" 10.32.2.2 7001 $mtu
	in_pod p1 /usr/bin/python3 "$root/test/netns/bigsend.py" fd32:0:0:2::2 7001 $mtu
	tcp_load p2 p1 10.32.2.2 1 4
	tcp_load p1 p2 fd32:0:0:1::2 1 4
	capture_stop
	[ "$(capture_count)" -gt 4000 ] || fail "the capture is too short: $(capture_count)"
	not capture_has_fragments || fail "outer fragments on the underlay"
	not capture_has_inner || fail "inner packets in clear"
	weftd_stop h1
	weftd_stop h2
	rm -rf "$net_dir"/h?/state
done
