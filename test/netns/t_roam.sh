#!/bin/bash
# Endpoint change under load: a host's only underlay address is replaced while TCP flows both ways; nothing of
# it is lost, and the flow goes on. Eight hosts.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
. "$root/test/netns/paths.sh"
net_init roam "$(mktemp -d)"
trap net_end EXIT

# rebase OLD NEW: h2's address.
rebase() {
	ip -n "$(ns_of h2)" addr add "192.0.2.$2/24" dev u0
	ip -n "$(ns_of h2)" addr del "192.0.2.$1/24" dev u0
}
# seconds_since LINE COUNT: iperf3 told of so many seconds behind that line of its log in which something came, each way.
seconds_since() {
	local way
	for way in TX-C RX-C; do
		[ "$(tail -n "+$1" "$net_dir/iperf.log" | grep "$way.*bits/sec" | grep -vc ' 0.00 bits/sec')" -ge "$2" ] || return 1
	done
}

mesh_hosts 8
underlay_only v4 8
in_host h2 sysctl -qw net.ipv4.conf.all.promote_secondaries=1 net.ipv4.conf.u0.promote_secondaries=1
mesh_up 8
wait_for "p2 to reach p1" pings p2 10.32.1.2
in_pod p1 iperf3 -s -1 >"$net_dir/iperf-s.log" 2>&1 &
wait_for "iperf3" port_listens p1 5201
step "an address is replaced under iperf3"
exec_in p2 iperf3 -c 10.32.1.2 -t 600 -i 1 --forceflush --bidir >"$net_dir/iperf.log" 2>&1 &
iperf=$!
wait_for "traffic" seconds_since 1 2
in_pod p1 ss -Htn state established 'sport = :5201' | grep -q 10.32.2.2 || fail "that is no TCP"
sessions=$(json_at h1 "d['counters']['session']['handshakes_done']" report)
rebase 2 102
within 10 "h1 follows h2 to its new address" endpoint_is h1 h2 192.0.2.102:6793
within 5 "p1 reaches p2" pings p1 10.32.2.2
rebase 102 202
within 10 "and to the next" endpoint_is h1 h2 192.0.2.202:6793
within 5 "p1 reaches p2" pings p1 10.32.2.2
line=$(wc -l <"$net_dir/iperf.log")
WAIT=60 wait_for "the flow to go on for five seconds" seconds_since $((line + 1)) 5 || { tail "$net_dir/iperf.log" >&2; fail "the flow did not go on"; }
kill -0 $iperf || fail "iperf3 broke"
kill $iperf
tail -2 "$net_dir/iperf.log" | sed 's/^/   /'
[ "$(json_at h1 "d['counters']['session']['handshakes_done']" report)" -le $((sessions + 1)) ] || fail "the session was made anew"
step "all others go on with h2, and nobody was held dead for it"
for n in 3 4 5 6 7 8; do
	reaches $n 2
	reaches 2 $n
done
wait_for "all to agree" all_agree 8 14 h1 h2 h3 h4 h5 h6 h7 h8
nobody_died h1 h2 h3 h4 h5 h6 h7 h8 || fail "somebody was held dead"
