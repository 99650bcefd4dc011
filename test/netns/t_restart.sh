#!/bin/bash
# t_restart.sh - nodes that come and go in other ways than by a crash: a stop that is a restart, one that is not,
# another name and address, interfaces that come and go, a machine that was suspended, kill -9 at any instant, also while
# claims are written.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/paths.sh"
net_init restart "$(mktemp -d)"
trap net_end EXIT

has_route() { shows "^$2 dev weft0" ip -n "$(ns_of "$1")" route show table 679301; }
publishes() { json_at "$1" "any(p['name'] == '$2' and any(e.startswith('$3:') or e.startswith('[$3]:') for e in p['endpoints']) for p in d['peers'])" status peers; }
membership_of() { json_at "$1" "d['membership']['$2']" status; }
epoch_of() { json_at "$1" "d['node']['epoch']" status; }
key_of() { json_at "$1" "d['node']['key']" status; }
# The routes that go on a host from here on.
watch_routes() {
	ip netns exec "$(ns_of "$1")" ip monitor route >"$net_dir/$1/routes" &
	watcher_pids+=($!)
}
watcher_pids=()
watch_end() {
	local p
	for p in "${watcher_pids[@]}"; do kill "$p" 2>/dev/null || true; wait "$p" 2>/dev/null || true; done
	watcher_pids=()
}

mesh_hosts 4
for n in 1 2 3 4; do node_start $n; done
wait_for "a full mesh" mesh_is_full 4 h1 h2 h3 h4
for n in 1 2 4; do wait_for "p$n to reach p3" pings p$n 10.32.3.2; done

step "a stop by SIGTERM that is a restart: known at once, and no route is touched"
deaths=$(membership_of h1 deaths)
for n in 1 2 4; do watch_routes h$n; done
weftd_stop h3 TERM
within 2 "h1, h2 and h4 know that h3 stopped" all_say "not p['up'] and p['away'] and not p['left']" h3 h1 h2 h4
shows '^h3 .* away' weft_at h1 status peers || fail "status peers does not say away"
for n in 1 2 4; do
	has_route h$n 10.32.3.0/24 || fail "h$n withdrew the prefix of h3 at once"
	log_says h$n 'node h3 .* has stopped' || fail "h$n does not log it"
done
node_start 3
within 5 "h3 is up again" all_say "p['up'] and p['epoch'] == 2" h3 h1 h2 h4
for n in 1 2 4; do
	wait_for "p$n to reach p3" pings p$n 10.32.3.2
	not grep -q 'Deleted.*10\.32\.3\.0/24' "$net_dir/h$n/routes" || fail "a route flapped on h$n"
done
watch_end
[ "$(membership_of h1 deaths)" = "$deaths" ] || fail "h1 declared somebody dead"

step "a stop that is none: after its pause it is dead like others"
weftd_stop h3 TERM
within 2 "h1, h2 and h4 know that h3 stopped" all_say "p['away']" h3 h1 h2 h4
within 12 "its prefix is withdrawn everywhere" all_say "not p['up'] and not p['away'] and not p['left']" h3 h1 h2 h4
for n in 1 2 4; do
	wait_for "h$n to withdraw 10.32.3.0/24" not has_route h$n 10.32.3.0/24
	wait_for "p$n to hear that p3 is unreachable" unreachable p$n 10.32.3.2
done
[ "$(membership_of h1 dead)" = 1 ] || fail "h1 does not count it as dead"
# Who was not there hears of it.
weftd_stop h4 KILL
node_start 4
wait_for "h4 to be back" all_say "p['up']" h4 h1 h2
wait_for "h4 to hold h3 for dead" json_at h4 "d['membership']['dead'] == 1 and d['cluster']['up'] == 3" status
not has_route h4 10.32.3.0/24 || fail "h4 routes to h3"

step "it comes back with another name and another address"
ip -n "$(ns_of h3)" addr flush dev u0
ip -n "$(ns_of h3)" addr add 192.0.2.33/24 dev u0
ip -n "$(ns_of h3)" addr add 2001:db8::33/64 dev u0 nodad
NODE_NAME=other node_start 3
within 5 "all know it by its new name" all_say "p['up'] and p['epoch'] == 3" other h1 h2 h4
for h in h1 h2 h4; do
	wait_for "$h to know the new address" publishes $h other 192.0.2.33
	not publishes $h other 192.0.2.3 || fail "$h keeps the old address"
	node_is $h h3 True && fail "$h keeps the old name"
done
for n in 1 2 4; do wait_for "p$n to reach p3" pings p$n 10.32.3.2; done

step "the interfaces of a running node change"
ip -n "$(ns_of h2)" addr add 192.0.2.22/24 dev u0
within 2 "an address that comes is published" publishes h1 h2 192.0.2.22
ip link add u1 netns "$(ns_of h2)" type veth peer name sw-h2b netns "$(ns_of sw)"
ip -n "$(ns_of sw)" link set sw-h2b master br0 up
ip -n "$(ns_of h2)" link set u1 up
ip -n "$(ns_of h2)" addr add 192.0.2.222/32 dev u1
within 2 "so is that of a new interface" publishes h1 h2 192.0.2.222
ip -n "$(ns_of h2)" link del u1
not_published() { not publishes "$@"; }
within 2 "it goes with its interface" not_published h1 h2 192.0.2.222
# The first address goes, by which the others reach it; the second becomes the only one.
ip -n "$(ns_of h2)" addr del 192.0.2.2/24 dev u0
ip -n "$(ns_of h2)" addr replace 192.0.2.22/24 dev u0
ip -n "$(ns_of h2)" -6 addr flush dev u0 scope global
within 2 "p1 reaches p2 by what is left" pings p1 10.32.2.2
within 2 "p2 reaches p3" pings p2 10.32.3.2
within 5 "the address that went is published no more" not_published h1 h2 192.0.2.2
ip -n "$(ns_of h2)" addr add 192.0.2.2/24 dev u0
within 2 "and is again, when it is back" publishes h1 h2 192.0.2.2

step "a machine that is suspended for an hour"
weftd_stop h4 TERM
cat >"$net_dir/weftd-suspended" <<-X
	#!/bin/sh
	exec env LD_PRELOAD=$build/test/suspend.so SUSPEND_FILE=$net_dir/suspended ${WEFTD:-$build/router/weftd} "\$@"
X
chmod +x "$net_dir/weftd-suspended"
echo 0 >"$net_dir/suspended"
WEFTD=$net_dir/weftd-suspended node_start 4
epoch=$(epoch_of h4)
wait_for "h4 to be back" all_say "p['up']" h4 h1 h2
wait_for "p4 to reach p1" pings p4 10.32.1.2
kill -STOP "$(cat "$net_dir/h4/pid")"
within 15 "the others hold it dead" all_say "not p['up']" h4 h1 h2
echo 3600 >"$net_dir/suspended"
kill -CONT "$(cat "$net_dir/h4/pid")"
within 5 "h4 is back" all_say "p['up']" h4 h1 h2
within 5 "h4 sees all" json_at h4 "d['cluster']['up'] == 4" status
for n in 1 2 3; do wait_for "p4 to reach p$n" pings p4 10.32.$n.2; done
[ "$(epoch_of h4)" = "$epoch" ] || fail "h4 was not suspended, but restarted: epoch $(epoch_of h4)"
# Its hour has passed: what it says of itself is an hour older.
json_at h4 "d['uptime_ms'] > 3600000" status || fail "the hour does not count"
weftd_stop h4 TERM
node_start 4

step "kill -9 at any instant of a life"
key=$(key_of h3)
last=$(epoch_of h3)
weftd_stop h3 KILL
killed=0
for round in $(seq "${KILLS:-25}"); do
	setsid ip netns exec "$(ns_of h3)" "${WEFTD:-$build/router/weftd}" --name other --secret-file "$net_dir/secret" \
		--state-dir "$net_dir/h3/state" --run-dir "$net_dir/h3/run" --cluster-range 10.77.0.0/16 \
		--prefix auto/26 --peer 192.0.2.1 >>"$net_dir/h3/log" 2>&1 </dev/null &
	pid=$!
	/usr/bin/python3 -c "import random, time; time.sleep(random.Random($round).random() * 0.6)"
	kill -KILL $pid
	killed=$((killed + 1))
	wait $pid 2>/dev/null || true
done
node_start 3
echo "   $killed lives"
not grep -qE 'damaged|set aside|makes no sense' "$net_dir/h3/log" || fail "a state file was torn"
[ "$(key_of h3)" = "$key" ] || fail "the key did not survive"
[ "$(epoch_of h3)" -gt "$last" ] || fail "the epoch fell from $last to $(epoch_of h3)"
wait_for "a full mesh" json_at h1 "d['cluster']['up'] == 4" status
for n in 1 2 4; do wait_for "p$n to reach p3" pings p$n 10.32.3.2; done
! ls "$net_dir/h3/state" | grep -q '\.bad-' || fail "something was set aside"

step "kill -9 while claims are written, on a disk that takes its time"
weftd_stop h3
ip -n "$(ns_of h3)" link del eth-p3 # its blocks are chosen from the range from now on
small_state h3 4m # a disk that others don't write to
cat >"$net_dir/weftd-slow" <<-X
	#!/bin/sh
	exec env LD_PRELOAD=$build/test/slow_disk.so SLOW_DISK_MS=80 ${WEFTD:-$build/router/weftd} "\$@"
X
chmod +x "$net_dir/weftd-slow"
life_begins() {
	cat "$net_dir/h3/log" >>"$net_dir/h3/before"
	: >"$net_dir/h3/log"
	WEFTD=$net_dir/weftd-slow NODE_NAME=killed weftd_start h3 --cluster-range 10.32.0.0/16 --cluster-range fd32::/32 \
		--prefix auto/24 --peer 192.0.2.1
}
# The claimed blocks that were put in service in this life, or were from its start on.
blocks() { sed -n 's/.*own: prefix \(10[^ ]*\) is in use (claimed).*/\1/p' "$net_dir/h3/log"; }
# What HOST knows of the orchestrator's lists of h3: their numbers, and how many prefixes of each.
lists() { json_at "$1" "' '.join(sorted({str(int(p['prefix'].split(':')[2], 16)) + '*' + str(sum(q['prefix'].split(':')[:3] == p['prefix'].split(':')[:3] for q in d['prefixes'])) for p in d['prefixes'] if p['node'] == 'killed' and p['right'] == 'orchestrator'}))" status ipam; }
has_block() { [ -n "$(blocks)" ]; }
has_list() { [ -n "$(lists h1)" ]; }
churn() { # PAUSE
	/usr/bin/python3 "$root/test/netns/claim_churn.py" "$net_dir/h3/run/weft.sock" $number "$1" >"$net_dir/number" &
	churn=$!
}
churn_ended() {
	wait $churn
	[ "$(cat "$net_dir/number")" -gt $((number + 3)) ] || fail "too few lists were taken: $number, $(cat "$net_dir/number")"
	number=$(cat "$net_dir/number")
}
number=256
life_begins
wait_for "h3 to use a block" has_block
churn 0
within 1 "h1 hears of lists that change faster than they are written" has_list
weftd_stop h3 KILL
churn_ended
life_begins
seed=${KILL_SEED:-$RANDOM} in_write=0 excused=0
echo "   KILL_SEED=$seed"
for round in $(seq "${LIVES:-3}"); do
	churn 0.4
	/usr/bin/python3 -c "import random, time; time.sleep(random.Random($seed + $round).uniform(2, 6))"
	list=$(lists h1)
	weftd_stop h3 KILL
	had=$(blocks) slow=no
	not log_says h3 'the disk takes long' || slow=yes
	churn_ended
	[ -n "$list" ] || fail "life $round: h1 heard of no list"
	[ ! -e "$net_dir/h3/state/claims.tmp" ] || in_write=$((in_write + 1))
	life_begins
	now=$(lists h3)
	[[ $now =~ ^[0-9]+\*4$ ]] || fail "life $round: the list is not whole: $now"
	# What is published has been written before, unless the disk takes too long, which is told.
	[ $slow = no ] || { excused=$((excused + 1)); continue; }
	[ "${now%\**}" -ge "${list%%\**}" ] || fail "life $round: list $now after others had $list"
	for block in $had; do
		grep -qxF "$block" <<<"$(blocks)" || fail "life $round: $block is lost: $(blocks)"
	done
done
echo "   ${LIVES:-3} lives, $in_write of them ended in a write, $excused on too slow a machine to tell more; $(wc -w <<<"$had") blocks, list $now"
not grep -qE 'damaged|set aside|makes no sense' "$net_dir/h3/before" "$net_dir/h3/log" || fail "a state file was torn"
! ls "$net_dir/h3/state" | grep -q '\.bad-' || fail "something was set aside"
