#!/bin/bash
# Floods from outside: garbage, truncated, forged, replayed and oversized datagrams and handshakes. The
# daemon stays up, counts each by its reason, and carries the pods' traffic meanwhile; who lacks the secret
# hears nothing.
# alone: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
net_init flood "$(mktemp -d)"
trap net_end EXIT

mesh_hosts 3 # h3 is the outsider
for n in 1 2; do # on IPv4, where the captures' datagrams are looked for
	ip -n "$(ns_of h$n)" -6 addr flush dev u0 scope global
	in_host h$n ethtool -K u0 tx-udp-segmentation off >/dev/null
done
capture_start h1
node_start 1 --log-level info
node_start 2
wait_for "a full mesh" mesh_is_full 2 h1 h2
udp_recv_start p1 7200 1 30
tool udpload p2 send 10.32.1.2 7200 1 500 1000 24 1000 51
udp_recv_end p1 7200
udp_whole "$udp_line"
capture_stop
mv "$net_dir/capture.pcap" "$net_dir/recorded.pcap"

counter() { # NAME: of the session core
	json_at h1 "d['counters']['session']['$1']" report
}
pid=$(cat "$net_dir/h1/pid")
sessions=$(counter handshakes_done)

# flood KIND COUNTER...: nine of ten that were sent show in the counters named: D:x is a drop reason of
# the data plane, S:x a counter of the session core. (What the kernel's queue dropped is in kernel_rx.)
flood() {
	local kind=$1 c sent before=0 after=0 lost
	shift
	count() {
		local c n=0
		for c in "$@"; do
			case $c in
			D:*) n=$((n + $(drops_at h1 "${c#D:}"))) ;;
			S:*) n=$((n + $(counter "${c#S:}"))) ;;
			esac
		done
		echo $n
	}
	before=$(count "$@") lost=$(drops_at h1 kernel_rx)
	sent=$(in_host h3 /usr/bin/python3 "$root/test/netns/flood.py" "$kind" 192.0.2.1 1 \
		"$net_dir/recorded.pcap" 192.0.2.2)
	sleep 0.2 # what is under way
	after=$(count "$@") lost=$(($(drops_at h1 kernel_rx) - lost))
	echo "  $kind: $sent sent, $((after - before)) counted as $*, $lost lost in the kernel's queue"
	[ $((after - before)) -ge $(((sent - lost) * 9 / 10)) ] && [ $after -gt $before ] ||
		fail "$kind: $sent sent, $((after - before)) counted as $*"
	[ "$(cat "$net_dir/h1/pid")" = "$pid" ] && weftd_running h1 || fail "weftd died of $kind"
	pings p1 10.32.2.2 || pings p1 10.32.2.2 || fail "no ping after $kind"
}

step "floods, each with its reason"
# First: a third message is remembered for 21 s, then it is too old to be looked at.
inits=$(counter replayed_init) finals=$(counter replayed_final)
flood handshake S:handshake_init_rx S:handshake_final_rx D:control_queue
[ "$(counter replayed_init)" -gt "$inits" ] || fail "no replayed first message was counted"
[ "$(counter replayed_final)" -gt "$finals" ] || fail "no replayed third message was counted"
flood garbage D:bad_version D:malformed D:unknown_index S:bad_mac1 S:malformed S:bad_type
flood truncated D:malformed
flood version D:bad_version
flood type D:malformed
flood index D:unknown_index
flood oversized D:malformed D:unknown_index D:kernel_rx
flood init S:bad_mac1 D:control_queue
flood final S:bad_mac1 D:control_queue
flood forged D:bad_tag
flood lane D:bad_lane
flood replay D:replay S:replay D:control_queue
[ "$(counter handshakes_done)" = "$sessions" ] || fail "replayed handshakes made a session"

step "traffic during a flood"
for kind in garbage forged init; do
	in_host h3 /usr/bin/python3 "$root/test/netns/flood.py" $kind 192.0.2.1 4 "$net_dir/recorded.pcap" 192.0.2.2 >/dev/null &
	flooder=$!
	tcp_load p2 p1 10.32.2.2 2 20
	kill -0 $flooder 2>/dev/null || fail "the flood of $kind ended before the transfer"
	wait $flooder
done
mesh_is_full 2 h1 h2 || fail "the session is gone"
for h in h1 h2; do
	[ "$(json_at $h "d['connections'][0]['state']" status connections)" = established ] || fail "$h lost its peer"
done

step "another secret: silence"
mv "$net_dir/secret" "$net_dir/right"
"$build/cli/weft" key new --out "$net_dir/secret" >/dev/null
capture_start h3
before=$(counter bad_mac1)
ip -n "$(ns_of h3)" -6 addr flush dev u0 scope global
node_start 3
wait_for "its calls to be counted" grown $((before + 1)) counter bad_mac1
in_host h3 /usr/bin/python3 "$root/test/netns/flood.py" init 192.0.2.1 1 >/dev/null
in_host h3 /usr/bin/python3 "$root/test/netns/flood.py" final 192.0.2.1 1 >/dev/null
capture_stop
heard() { tcpdump -nr "$net_dir/capture.pcap" "$1" 2>/dev/null | wc -l; }
[ "$(heard 'dst host 192.0.2.1 and udp port 6793')" -gt 100 ] || fail "the capture missed the calls"
[ "$(heard 'src host 192.0.2.1 and not arp')" = 0 ] || fail "whoever lacks the secret was answered"
json_at h3 "d['connections'][0]['state'] in ('dialling', 'waiting')" status connections || fail "h3 has a session"
said=$(grep -c "192.0.2.3:.*secret" "$net_dir/h1/log" || true)
[ "$said" -ge 1 ] && [ "$said" -le 20 ] || fail "h1 said it $said times"
