#!/bin/bash
# t_peers.sh - peers that go silent, come back, restart, are forgotten; seeds that die. With the timeouts that
# are shipped: what is asserted is that it happens, within ten times the figure; the figure is printed.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
net_init peers "$(mktemp -d)"
trap net_end EXIT

has_route() { shows "^$2 dev weft0" ip -n "$(ns_of "$1")" route show table 679301; }
peer_is() { json_at "$1" "any(p['name'] == '$2' and p['up'] == $3 for p in d['peers'])" status peers; }
knows() { json_at "$1" "any(p['name'] == '$2' for p in d['peers'])" status peers; }
target_state() { json_at "$1" "any(t['text'] == '$2' and t['state'] == '$3' for t in d['targets'])" status targets; }
# within SECONDS WHAT COMMAND...: the event comes within ten times SECONDS; says how long it took.
within() {
	local secs=$1 what=$2 t0
	t0=$(now_ms)
	shift 2
	WAIT=$((secs * 10)) wait_for "$what" "$@"
	printf '   %-52s %6d ms (expected: %d s)\n' "$what" $(($(now_ms) - t0)) "$secs"
}

mesh_hosts 4

step "joining in any order: the seed (h1) comes last but one"
node_start 3
node_start 2
target_state h2 192.0.2.1 established && fail "h2 claims a session with a seed that is not there"
json_at h2 "d['ready'] == False and 'no peer answers' in d['not_ready'][0]" status || fail "h2 says it is ready"
node_start 1
wait_for "three nodes to find each other" mesh_is_full 3 h1 h2 h3
node_start 4
wait_for "four nodes to find each other" mesh_is_full 4 h1 h2 h3 h4
pings p3 10.32.4.2 || wait_for "p3 to reach p4, neither of them a seed" pings p3 10.32.4.2

step "a silent peer (stopped), and another (its link is cut), at once"
kill -STOP "$(cat "$net_dir/h3/pid")"
ip -n "$(ns_of sw)" link set sw-h4 down
within 15 "h1 notices that h3 is silent" peer_is h1 h3 False
within 15 "h2 notices that h3 is silent" peer_is h2 h3 False
within 15 "h1 notices that h4 is cut off" peer_is h1 h4 False
wait_for "h1 to withdraw 10.32.3.0/24" not has_route h1 10.32.3.0/24
wait_for "h1 to withdraw 10.32.4.0/24" not has_route h1 10.32.4.0/24
wait_for "p1 to hear that p3 is unreachable" unreachable p1 10.32.3.2
wait_for "the same for IPv6" unreachable p1 fd32:0:0:4::2
within 15 "h4 notices that it is alone" json_at h4 "d['peers']['up'] == 0" status
json_at h4 "d['ready'] == True" status || fail "a peer that goes away took h4's readiness with it"
pings p1 10.32.2.2 || fail "p1 and p2 suffered"
kill -CONT "$(cat "$net_dir/h3/pid")"
ip -n "$(ns_of sw)" link set sw-h4 up
within 15 "both return" mesh_is_full 4 h1 h2 h3 h4
wait_for "p1 to reach p3 again" pings p1 10.32.3.2
wait_for "p1 to reach p4 again" pings p1 10.32.4.2

step "a restart is found at once, by reset"
# The node that restarts has no seed and forgets whom it knew: only a reset can tell the others so soon.
weftd_stop h3 KILL
rm -f "$net_dir/h3/state/peers"
SEED='' node_start 3
within 5 "p1 reaches p3, restarted" pings p1 10.32.3.2
log_says h1 'restarted' || fail "h1 was not told of the restart"
wait_for "four nodes again" mesh_is_full 4 h1 h2 h3 h4
json_at h1 "any(p['name'] == 'h3' and p['epoch'] == 2 for p in d['peers'])" status peers || fail "h3's epoch did not grow"

step "the seed dies: the others go on, and take in who comes back"
weftd_stop h1 KILL
pings p2 10.32.3.2 || fail "p2 and p3 suffered at once"
within 15 "h2 notices" peer_is h2 h1 False
# An idle link between them may have led through h1: that is found with the first data.
pings p2 10.32.4.2 || WAIT=5 wait_for "p2 to reach p4" pings p2 10.32.4.2 || fail "p2 and p4 suffered"
# h4 restarts while its only seed is down: the peers that it knew last are enough.
weftd_stop h4 TERM
[ -s "$net_dir/h4/state/peers" ] || fail "h4 kept no peers"
node_start 4
within 5 "h4 finds h2 and h3 without its seed" mesh_is_full 3 h2 h3 h4
pings p4 10.32.3.2 || wait_for "p4 to reach p3" pings p4 10.32.3.2
node_start 1
within 15 "the seed comes back" mesh_is_full 4 h1 h2 h3 h4

step "connect and forget of a target"
weft_at h2 connect 192.0.2.77 >/dev/null
json_at h2 "any(t['text'] == '192.0.2.77' for t in d['targets'])" status targets || fail "the new target is not shown"
wait_for "the target's failure to be told" json_at h2 "any(t['text'] == '192.0.2.77' and 'no answer' in t['error'] for t in d['targets'])" status targets
shows 192.0.2.77 weft_at h2 status connections || fail "the dialling is not shown"
weft_at h2 forget 192.0.2.77 >/dev/null
not shows 192.0.2.77 weft_at h2 status targets || fail "the target is still there"
wait_for "the dialling to end" not shows 192.0.2.77 weft_at h2 status connections
weft_at h2 connect '[2001:db8::3]:6793' >/dev/null
wait_for "a target of a node that is connected to be established" target_state h2 '[2001:db8::3]:6793' established
weft_at h2 connect 'no such host' >/dev/null 2>&1 && fail "connect takes anything"
weft_at h2 forget nobody >"$net_dir/out" 2>&1 && fail "forget of nobody is fine"
grep -q 'no node or target is called nobody' "$net_dir/out" || fail "forget does not say what it lacks"

step "forget of a node that is gone, by name; and it may come back"
weftd_stop h4 KILL
wait_for "h1 and h2 to notice" peer_is h1 h4 False
wait_for "h2 to notice" peer_is h2 h4 False
wait_for "h3 to notice" peer_is h3 h4 False
weft_at h1 forget h4 >/dev/null # everybody hears of it
for h in h1 h2 h3; do wait_for "h4 to be forgotten by $h" not knows $h h4; done
node_start 4
within 15 "h4 joins again" mesh_is_full 4 h1 h2 h3 h4
