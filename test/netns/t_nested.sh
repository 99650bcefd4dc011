#!/bin/bash
# A tunnel inside the tunnel: kernel VXLAN between two pods (checksums at offset 70, or none), and a weft
# of the pods' own.
# fallbacks: yes
# alone: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
net_init nested "$(mktemp -d)"
trap net_end EXIT

mesh_hosts 2
node_start 1
node_start 2
wait_for "a full mesh" mesh_is_full 2 h1 h2

both_ways() { # ADDRESS-OF-P1 ADDRESS-OF-P2 MAX-PAYLOAD
	tcp_load p2 p1 "$2" 2 20
	udp_recv_start p1 7200 1 60
	udp_recv_start p2 7200 1 60
	tool udpload p1 send "$2" 7200 1 5000 5000 24 "$3" 21 >"$net_dir/send1.log" &
	s1=$!
	tool udpload p2 send "$1" 7200 2 5000 5000 24 "$3" 22 gso >"$net_dir/send2.log"
	ended_well $s1 "$net_dir/send1.log" "sending from p1"
	udp_recv_end p1 7200
	udp_whole "$udp_line"
	udp_recv_end p2 7200
	udp_whole "$udp_line"
}

# vxlan_between ADDRESS ADDRESS MTU OPTION...
vxlan_between() {
	local a=$1 b=$2 mtu=$3
	shift 3
	ip -n "$(ns_of p1)" link add vx9 mtu "$mtu" type vxlan id 9 dev eth0 dstport 4789 local "$a" remote "$b" "$@"
	ip -n "$(ns_of p2)" link add vx9 mtu "$mtu" type vxlan id 9 dev eth0 dstport 4789 local "$b" remote "$a" "$@"
	for n in 1 2; do
		ip -n "$(ns_of p$n)" addr add "172.30.0.$n/24" dev vx9
		ip -n "$(ns_of p$n)" addr add "fd99::$n/64" dev vx9 nodad
		ip -n "$(ns_of p$n)" link set vx9 up
	done
	wait_for "the inner VXLAN" pings p1 172.30.0.2
}

for sum in noudpcsum udpcsum; do
	step "VXLAN over IPv4 inside, $sum"
	vxlan_between 10.32.1.2 10.32.2.2 1386 $sum
	both_ways 172.30.0.1 172.30.0.2 1358
	both_ways fd99::1 fd99::2 1338
	for n in 1 2; do ip -n "$(ns_of p$n)" link del vx9; done
done
step "VXLAN over IPv6 inside"
vxlan_between fd32:0:0:1::2 fd32:0:0:2::2 1366 udp6zerocsumrx
both_ways 172.30.0.1 172.30.0.2 1338
for n in 1 2; do ip -n "$(ns_of p$n)" link del vx9; done

step "a weft inside"
for n in 1 2; do
	weftd_start p$n --cluster-range 10.99.0.0/16 --cluster-range fd99::/32 --tun weft9 \
		--prefix "10.99.$n.0/24" --prefix "fd99:0:0:$n::/64" --peer 10.32.1.2
done
wait_for "the inner mesh" mesh_is_full 2 p1 p2
both_ways 10.99.1.1 10.99.2.1 1344
both_ways fd99:0:0:1::1 fd99:0:0:2::1 1300
for h in h1 h2 p1 p2; do
	for why in bad_packet bad_tag bad_source bad_destination malformed; do
		[ "$(drops_at $h $why)" = 0 ] || fail "$h dropped as $why: $(drops_at $h $why)"
	done
done
