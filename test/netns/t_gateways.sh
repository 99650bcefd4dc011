#!/bin/bash
# t_gateways.sh - two clusters linked by two gateways each: all four find each other by one invitation; when a
# gateway dies under the traffic of four sending nodes its neighbours leave it within a second, on the side of the
# senders as on the other, in both families, and it is used again when it is back. KILLS=N: so many of each kind, and a
# summary.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/paths.sh"
net_init gateways "$(mktemp -d)"
trap net_end EXIT

clusters() { json_at "$1" "$2" status clusters; }
gateways_up() { clusters "$1" "[g['bgp'] for l in d['links'] for g in l['gateways']].count('Established') == $2"; }
gateway_of() { clusters "$1" "next(p['gateway'] for p in d['prefixes'] if p['prefix'] == '$2')"; }
leads_by() { [ "$(gateway_of "$1" "$2")" = "$3" ]; } # HOST PREFIX KEY
short() { json_at "$1" "d['node']['short']" status; }

cluster_start() { # NAME HOST POD N RANGE RANGE6 SEED
	cp "$net_dir/$1" "$net_dir/secret"
	weftd_start "$2" --cluster "$1" --cluster-range "$5" --cluster-range "$6" --prefix "10.32.$4.0/24@eth-$3" \
		--prefix "fd32:0:0:$4::/64@eth-$3" --peer "$7"
}
east() { cluster_start east "h$1" "p$1" "$1" 10.32.0.0/20 fd32::/60 192.0.2.1; }
west() { cluster_start west "h$1" "p$1" "$((12 + $1))" 10.32.16.0/20 fd32:0:0:10::/60 192.0.2.4; }

# East: gateways h1 and h2, members h3, h7, h8 and h9, which send. West: gateways h4 and h5, member h6.
senders=(3 7 8 9)
net_underlay h1 h2 h3 h4 h5 h6 h7 h8 h9
for n in 1 2 "${senders[@]}"; do net_pod h$n p$n $n; done
for n in 4 5 6; do net_pod h$n p$n $((12 + n)); done
for c in east west; do "$build/cli/weft" key new --out "$net_dir/$c" >/dev/null; done
for n in 1 2 "${senders[@]}"; do east $n; done
for n in 4 5 6; do west $n; done

step "one invitation, four gateways"
weft_at h1 cluster link >"$net_dir/invitation"
for h in h2 h4 h5; do weft_at $h cluster accept - <"$net_dir/invitation"; done
for h in h1 h2 h4 h5; do within 20 "$h speaks with both gateways of the other side" gateways_up $h 2; done
p6_answers() { pings "$1" 10.32.18.2 && pings "$1" fd32:0:0:18::2; }
for n in "${senders[@]}"; do within 20 "p$n reaches p6" p6_answers p$n; done
udp_tcp_echo p3 p6 10.32.18.2 "by-two-gateways"
udp_tcp_echo p3 p6 fd32:0:0:18::2 "by-two-gateways"

# The longest time between two answers, in ms, of a ping each 10 ms in the file.
longest_gap() { /usr/bin/python3 -c "
import re, sys
t = [float(m.group(1)) for m in re.finditer(r'^\[([0-9.]+)\] \d+ bytes from', open('$1').read(), re.M)]
print(int(max(b - a for a, b in zip(t, t[1:])) * 1000))"; }

# The longest time in which nothing of the stream in the receiver's file arrived, in ms: whole intervals of 100 ms.
longest_stall() { /usr/bin/python3 -c "
import json
d = json.load(open('$1'))
if 'error' in d: raise SystemExit('iperf3: ' + d['error'])
worst = run = 0
for i in d['intervals']:
    run = 0 if i['sum']['bytes'] else run + 1
    worst = max(worst, run)
print(worst * 100)"; }
receives() { in_pod p6 ss -Htn state established "sport = :$1" | grep -q .; }

# An address of the pod that pN speaks with. target N FAMILY
target() {
	case $1$2 in
	64) echo 10.32.3.2 ;; 66) echo fd32:0:0:3::2 ;;
	*4) echo 10.32.18.2 ;; *6) echo fd32:0:0:18::2 ;;
	esac
}
# Half of the streams are IPv6.
stream_family() { [ "$1" -ge 8 ] && echo 6 || echo 4; }
one_gateway() { [ "$(gateway_of "$1" "$2")" = "$(gateway_of "$1" "$3")" ]; } # HOST PREFIX PREFIX

# fail_over KIND HOST PREFIX PREFIX6: the gateway that HOST uses for both dies under a TCP stream and two pings of each
# sender to p6, one of each family, and two from there. TCP waits longer than the way is gone: it doubles its time between
# tries. Then it is back.
fail_over() {
	local kind=$1 h=$2 prefix=$3 used n f gap pids=() streams=() victim=
	wait_for "one gateway for both families" one_gateway "$h" "$prefix" "$4"
	used=$(gateway_of "$h" "$prefix")
	for n in 1 2 4 5; do [ "$(short h$n)" = "$used" ] && victim=h$n; done
	[ -n "${victim:-}" ] || fail "$used is no gateway"
	for n in "${senders[@]}" 6; do
		for f in 4 6; do
			in_pod p$n ping -D -i 0.01 "$(target $n $f)" >"$net_dir/ping$f-p$n" 2>&1 &
			pids+=($!)
		done
	done
	for n in "${senders[@]}"; do
		in_pod p6 iperf3 -s -1 -p 520$n -i 0.1 -J >"$net_dir/stream-$n" 2>&1 &
		streams+=($!)
		wait_for "iperf3" port_listens p6 520$n
		in_pod p$n iperf3 -c "$(target $n "$(stream_family $n)")" -p 520$n -b 20M -l 16K -t 10 >"$net_dir/send-$n" 2>&1 &
		streams+=($!)
	done
	for n in "${senders[@]}"; do wait_for "the stream of p$n" receives 520$n; done
	for f in 4 6; do wait_for "pings to run" grown 200 lines "$net_dir/ping$f-p3"; done
	echo "   kill $victim at $(date +%s.%3N)"
	weftd_stop "$victim" KILL
	for f in 4 6; do
		n=$(lines "$net_dir/ping$f-p3")
		wait_for "answers by the other gateway" grown $((n + 150)) lines "$net_dir/ping$f-p3"
	done
	wait "${streams[@]}" || { cat "$net_dir"/send-* >&2; fail "a stream broke"; }
	kill "${pids[@]}"
	wait "${pids[@]}" 2>/dev/null || true
	for n in "${senders[@]}" 6; do
		for f in 4 6; do
			gap=$(longest_gap "$net_dir/ping$f-p$n")
			echo "   p$n: longest gap $gap ms, IPv$f (expected: below 1000)"
			echo "$gap" >>"$net_dir/gap$f-$kind"
			[ "$gap" -lt 10000 ] || fail "p$n waited for $gap ms, IPv$f"
		done
	done
	for n in "${senders[@]}"; do
		gap=$(longest_stall "$net_dir/stream-$n")
		echo "   p$n: TCP stalled for $gap ms, IPv$(stream_family $n) (expected: below 1000)"
		echo "$gap" >>"$net_dir/stall-$kind"
		[ "$gap" -lt 10000 ] || fail "p$n's stream waited for $gap ms"
	done
	n=${victim#h}
	if [ "$n" -le 2 ]; then east "$n"; else west "$n"; fi
	for n in h1 h2 h4 h5; do within 20 "$n speaks with both gateways again" gateways_up $n 2; done
	for n in "${senders[@]}"; do within 2 "p$n reaches p6" p6_answers p$n; done
}
lines() { wc -l <"$1"; }
summary() { # KIND
	local what
	for what in gap4 gap6 stall; do
		sort -n "$net_dir/$what-$1" | awk -v what="$what" -v kind="$1" '{v[NR] = $1}
			END {printf "   %s, %s: %d values, median %d ms, worst %d ms\n", kind, what, NR, v[int((NR + 1) / 2)], v[NR]}'
	done
}

for _ in $(seq "${KILLS:-1}"); do
	step "the gateway of the senders dies under traffic"
	fail_over own h3 10.32.16.0/20 fd32:0:0:10::/60
	step "one of the other side dies"
	fail_over far h6 10.32.0.0/20 fd32::/60
done
summary own
summary far
echo "ok"
