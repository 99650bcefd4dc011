#!/bin/bash
# t_sparse.sh - fourteen nodes, one seed: sessions with neighbours only; traffic to any other node makes one on
# demand and loses nothing; idle ones end; a node that is killed is dead everywhere, and returns; one that
# leaves is gone at once; a node finds the mesh by the peers that it knew when every seed is down.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
. "$root/test/netns/paths.sh"
net_init sparse "$(mktemp -d)"
trap net_end EXIT
N=14
hosts=()
for n in $(seq $N); do hosts+=("h$n"); done
# What only data needs ends after 6 s without, not 180; what nothing needs after 4 s, not 20.
start() { local n=$1; shift; node_start "$n" --workers 1 --tune idle_expiry_ms=6000 --tune unused_expiry_ms=4000 "$@"; }

sessions() { json_at "$1" "d['encryption']['sessions']" status; }
# Sessions are held with all neighbours, and with nobody else.
is_sparse() {
	json_at "$1" "d['membership']['neighbours_linked'] == d['membership']['neighbours'] == d['encryption']['sessions']" status
}
# link_is HOST NODE WHAT: what the session with it is for, "" for none.
link_is() { [ "$(json_at "$1" "next(p['link'] for p in d['peers'] if p['name'] == '$2')" status peers)" = "$3" ]; }
# strangers HOST: the nodes that it has no session with.
strangers() { json_at "$1" "' '.join(p['name'] for p in d['peers'] if p['up'] and not p['self'] and not p['link'])" status peers; }
others() { local h; for h in "${hosts[@]}"; do [ "$h" = "$1" ] || echo "$h"; done; }
# A pair without a session, both ways: sets from and to (numbers).
pick_strangers() {
	local h o
	for h in "${hosts[@]}"; do
		for o in $(strangers "$h"); do
			link_is "$o" "$h" "" || continue
			from=${h#h} to=${o#h}
			return 0
		done
	done
	return 1
}

mesh_hosts $N
step "$N nodes join through one seed"
t0=$(now_ms)
for n in $(seq $N); do start $n; done
wait_for "all to know all" all_see $N "${hosts[@]}"
printf '   all agree %d ms after the first start\n' $(($(now_ms) - t0))

step "sessions with neighbours, and with nobody else"
for h in "${hosts[@]}"; do wait_for "$h to hold neighbours only" is_sparse $h; done
total=0
for h in "${hosts[@]}"; do
	s=$(sessions $h)
	[ "$s" -le 10 ] && [ "$s" -lt $((N - 1)) ] || fail "$h holds $s sessions"
	total=$((total + s))
done
echo "   sessions: $total at $N nodes; of a full mesh: $((N * (N - 1)))"

step "traffic to a node without a session: it is made, nothing is lost, nothing goes in clear"
for round in 1 2 3; do
	pick_strangers || fail "everybody has a session with everybody"
	capture_start h$from
	udp_recv_start p$to 7200 1 20
	tool udpload p$from send 10.32.$to.2 7200 0 40 0 64 1200 $round >/dev/null
	udp_recv_end p$to 7200
	udp_whole "$udp_line"
	[ "$(value_of got "$udp_line")" = 40 ] || fail "of 40 datagrams arrived: $udp_line"
	link_is h$from h$to demand || fail "h$from does not say that the session is on demand"
	shows "h$to .*established +demand" weft_at h$from status connections || fail "nor does status connections"
	capture_stop
	not capture_has_inner || fail "inner packets in clear"
done

step "both begin at once"
pick_strangers || fail "no two strangers"
in_pod p$from ping -c 10 -i 0.1 -W 5 -q 10.32.$to.2 >"$net_dir/ping-1" &
one=$!
in_pod p$to ping -c 10 -i 0.1 -W 5 -q fd32:0:0:$from::2 >"$net_dir/ping-2" || true
wait $one || true
grep -q ' 0% packet loss' "$net_dir/ping-1" && grep -q ' 0% packet loss' "$net_dir/ping-2" ||
	fail "lost: $(grep -h loss "$net_dir"/ping-[12])"

step "idle, it ends; and is made again"
wait_for "it to count as idle, or to be gone" json_at h$from "all(p['link'] in ('idle', '') for p in d['peers'] if p['name'] == 'h$to')" status peers
wait_for "it to end" link_is h$from h$to ""
wait_for "it to end at the other side" link_is h$to h$from ""
pings p$from 10.32.$to.2 || fail "the second session on demand lost a packet"

step "from one node to all, in both families"
for n in $(seq 2 $N); do
	echo_start p$n 7001
	tool udpload p1 sweep 10.32.$n.2 7001 100 102 3 >/dev/null || fail "p1 to p$n"
	tool udpload p1 sweep fd32:0:0:$n::2 7001 100 102 3 >/dev/null || fail "p1 to p$n by IPv6"
done
[ "$(json_at h1 "sum(c for c in d['traffic']['drops'].values())" status)" = "$(drops_at h1 multicast)" ] ||
	echo "   drops on h1: $(json_at h1 "d['traffic']['drops']" status)"
for h in "${hosts[@]}"; do wait_for "$h to hold neighbours only again" is_sparse $h; done

step "kill -9: declared dead everywhere, unreachable; and it returns"
victim=7
rest=$(others h$victim)
weftd_stop h$victim KILL
within 15 "all others hold h$victim dead" all_say "not p['up'] and not p['left']" h$victim $rest
for n in 1 2 $N; do
	wait_for "p$n to be told that p$victim is unreachable" unreachable p$n 10.32.$victim.2
done
json_at h1 "d['membership']['dead'] == 1 and d['membership']['deaths'] >= 1 and d['membership']['false_alarms'] == 0" status ||
	fail "h1 counts otherwise: $(json_at h1 "d['membership']" status)"
all_see $((N - 1)) $rest || fail "somebody else is held dead"
start $victim
within 5 "h$victim is up everywhere" all_see $N "${hosts[@]}"
for n in 1 2 $N; do wait_for "p$n to reach p$victim" pings p$n 10.32.$victim.2; done

step "a graceful leave is told at once"
leaver=9
rest=$(others h$leaver)
weft_at h$leaver down >/dev/null
within 2 "all others know that h$leaver left" all_say "p['left'] and not p['up']" h$leaver $rest
wait_for "p3 to be told that p$leaver is unreachable" unreachable p3 10.32.$leaver.2
json_at h1 "d['membership']['dead'] == 0" status || fail "it counts as dead"

step "every seed down at start: the peers that were known last"
weftd_stop h5 TERM
weftd_stop h1 TERM
hosts=()
for n in $(seq 2 $N); do [ $n = $leaver ] || hosts+=("h$n"); done
start 5
within 15 "h5 is in the mesh again" all_see $((N - 2)) "${hosts[@]}"
pings p5 10.32.$N.2 || wait_for "p5 to reach p$N" pings p5 10.32.$N.2

step "every node down; one comes back, then another, without the seed"
for h in "${hosts[@]}"; do weftd_stop $h TERM; done
start 3
start 4
start 6
within 15 "three find each other" json_at h3 "d['cluster']['up'] == 3" status
