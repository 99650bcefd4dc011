#!/bin/bash
# t_clear.sh - promise 4.1: nothing inside the ranges leaves in clear. Pods talk all the time, to pods of other
# nodes and to addresses that nobody has, while their routers start, die, stop and lose their devices. Every
# host forwards, has a default route to the underlay's switch and masquerades, so that a leak would show.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
net_init clear "$(mktemp -d)"
trap net_end EXIT
hosts=(h1 h2 h3)
marker="in-clear-$RANDOM$RANDOM$RANDOM"
# Timeouts a third of the usual: the same events in a third of the time.
tune=(--tune peer_timeout_ms=4000 --tune ping_interval_ms=1000)

# A pod's or mesh address in an outer header (ARP included), or another tunnel's.
inner='net 10.32.0.0/16 or ip6 net fd32::/32 or ip proto 4 or ip proto 41'

captures_start() { # DIR
	local h
	mkdir -p "$net_dir/$1"
	for h in "${hosts[@]}"; do
		ip netns exec "$(ns_of "$h")" tcpdump -i u0 -B 16384 -U -s 0 --immediate-mode -w "$net_dir/$1/$h.pcap" 2>"$net_dir/$1/$h.tcpdump" &
		echo $! >"$net_dir/$1/$h.pid"
		wait_for "tcpdump on $h" grep -q "listening on" "$net_dir/$1/$h.tcpdump"
	done
}
captures_stop() { # DIR
	local h pid
	for h in "${hosts[@]}"; do
		pid=$(cat "$net_dir/$1/$h.pid")
		kill -TERM "$pid" 2>/dev/null || true
		wait_for "tcpdump to end" process_gone "$pid"
	done
}
# captures_clean DIR: true if nothing inner is in them. Two views: by address and by content.
captures_clean() {
	local h rc=0
	for h in "${hosts[@]}"; do
		if [ -n "$(tcpdump -nr "$net_dir/$1/$h.pcap" -c 1 "$inner" 2>/dev/null)" ] ||
			grep -aqF -- "$marker" "$net_dir/$1/$h.pcap"; then
			echo "on $h's underlay, in clear (the capture begins $(tcpdump -nr "$net_dir/$1/$h.pcap" -c 1 2>/dev/null | cut -c1-15)):"
			tcpdump -nr "$net_dir/$1/$h.pcap" -c 5 "$inner" 2>/dev/null
			rc=1
		fi
	done
	return $rc
}
capture_packets() { tcpdump -nr "$net_dir/$1/$2.pcap" 'udp port 6793' 2>/dev/null | wc -l; }

chatter() { # POD ADDRESS...
	local p=$1
	shift
	in_pod "$p" /usr/bin/python3 "$root/test/netns/chatter.py" "$marker" 300 "$@" >/dev/null 2>&1 &
}
has_route() { ip -n "$(ns_of "$1")" route show table all | grep -q "^$2 dev weft0"; }
talking() { pings p1 10.32.2.2 && pings p2 10.32.3.2 && pings p3 10.32.1.2 && pings p1 fd32:0:0:3::2; }

mesh_hosts 3
in_host sw sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip -n "$(ns_of sw)" addr add 192.0.2.254/24 dev br0
ip -n "$(ns_of sw)" addr add 2001:db8::fe/64 dev br0 nodad
for h in "${hosts[@]}"; do
	# Forwarding is off until weft turns it on: so the first packet that is let through must find the ranges.
	in_host "$h" sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
	# The pods provoke more answers than a host gives by default.
	in_host "$h" sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
	in_host "$h" sysctl -qw net.ipv4.icmp_msgs_per_sec=100000 net.ipv4.icmp_msgs_burst=10000 2>/dev/null || true
	ip -n "$(ns_of "$h")" route add default via 192.0.2.254
	ip -n "$(ns_of "$h")" -6 route add default via 2001:db8::fe
	in_host "$h" nft -f - <<-'NFT'
		table ip nat {
			chain postrouting {
				type nat hook postrouting priority srcnat; policy accept;
				oifname "u0" masquerade
			}
		}
		table ip6 nat {
			chain postrouting {
				type nat hook postrouting priority srcnat; policy accept;
				oifname "u0" masquerade
			}
		}
	NFT
done

captures_start run
# A window of a millisecond may pass between two packets of the pods: what is told about rules and ranges is
# looked at too.
for h in "${hosts[@]}"; do
	in_host "$h" stdbuf -oL ip -ts monitor rule route >"$net_dir/$h.monitor" 2>&1 &
done
for n in 1 2 3; do
	# Other pods, an unassigned address of an own prefix, of another's, of nobody's.
	chatter "p$n" 10.32.1.2 10.32.2.2 10.32.3.2 10.32.$n.77 10.32.200.9 \
		fd32:0:0:1::2 fd32:0:0:2::2 fd32:0:0:3::2 fd32:0:0:$n::77 fd32:0:0:200::9
done

step "start of three nodes, one after the other, under traffic"
for n in 1 2 3; do node_start $n "${tune[@]}"; done
wait_for "a full mesh" mesh_is_full 3 "${hosts[@]}"
wait_for "pods to talk" talking

step "kill -9 of h3: its pods get no answer or 'unreachable', the others withdraw it"
weftd_stop h3 KILL
wait_for "h3 to answer p3 'unreachable'" unreachable p3 10.32.1.2
wait_for "the same for IPv6" unreachable p3 fd32:0:0:1::2
wait_for "h1 to withdraw h3's prefix" not has_route h1 10.32.3.0/24
wait_for "p1 to hear that p3 is unreachable" unreachable p1 10.32.3.2
node_start 3 "${tune[@]}"
wait_for "a full mesh" mesh_is_full 3 "${hosts[@]}"
wait_for "pods to talk" talking

step "clean stop of h2, and restart"
weftd_stop h2 TERM
wait_for "h2 to answer p2 'unreachable'" unreachable p2 10.32.1.2
wait_for "h1 to withdraw h2's prefix" not has_route h1 10.32.2.0/24
node_start 2 "${tune[@]}"
wait_for "a full mesh" mesh_is_full 3 "${hosts[@]}"

step "the pod's link goes down and up"
ip -n "$(ns_of h1)" link set eth-p1 down
wait_for "p2 to hear that p1 is unreachable" unreachable p2 10.32.1.2
ip -n "$(ns_of h1)" link set eth-p1 up
ip -n "$(ns_of h1)" addr add fd32:0:0:1::1/64 dev eth-p1 nodad noprefixroute 2>/dev/null || true
wait_for "pods to talk" talking

step "somebody deletes the TUN"
ip -n "$(ns_of h1)" link del weft0
wait_for "weft0 to come back" ip -n "$(ns_of h1)" link show weft0
wait_for "pods to talk" talking
# And while nobody is there to put it back.
weftd_stop h1 KILL
ip -n "$(ns_of h1)" link del weft0
wait_for "p1 to be told, weftd dead and weft0 deleted" unreachable p1 10.32.2.2
wait_for "the same for IPv6" unreachable p1 fd32:0:0:2::2
node_start 1 "${tune[@]}"
wait_for "a full mesh" mesh_is_full 3 "${hosts[@]}"
wait_for "pods to talk" talking

captures_stop run
for h in "${hosts[@]}"; do
	grep -q '10.32.2.0/24\|10.32.3.0/24' "$net_dir/$h.monitor" || fail "the monitor on $h saw nothing"
	if grep -E 'Deleted.*(lookup 679301|unreachable (10\.32\.0\.0/16|fd32::/32))' "$net_dir/$h.monitor"; then
		fail "$h was without a rule or a range for a moment"
	fi
done
captures_clean run || fail "an inner packet left in clear"
for h in "${hosts[@]}"; do
	[ "$(capture_packets run "$h")" -gt 1000 ] || fail "$h's capture holds too little to prove anything"
done
echo "nothing in clear among $(capture_packets run h1) packets of h1"

step "a planted leak is seen: without routes and rules, weftd held"
captures_start leak
kill -STOP "$(cat "$net_dir/h1/pid")"
for f in -4 -6; do
	for pref in 6790 6791 6792 6793 6794 6795; do
		while ip -n "$(ns_of h1)" "$f" rule del pref "$pref" 2>/dev/null; do :; done
	done
done
leaked() { [ -n "$(tcpdump -nr "$net_dir/leak/h1.pcap" -c 1 "$inner" 2>/dev/null)" ]; }
wait_for "the leak" leaked
grep -q 'Deleted.*lookup 679301' "$net_dir/h1.monitor" || fail "the monitor does not show rules that go"
kill -CONT "$(cat "$net_dir/h1/pid")"
captures_stop leak
captures_clean leak >/dev/null && fail "the checker did not see a leak that was planted"
echo "the checker saw it"
