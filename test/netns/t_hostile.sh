#!/bin/bash
# t_hostile.sh - a real daemon among simulated members, one of which lies, each time in another way: it stays up and goes
# on with all the others, its counters in the report and in /metrics rise, and its log and `weft status` name the
# liar, or what is wrong where there is none to name, with what to do. PROFILES: others than all.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/paths.sh"
. "$root/test/netns/simpeers_lib.sh"
net_init hostile "$(mktemp -d)"
trap net_end EXIT
[ -x "$build/test/sim/weft-sim-peers" ] || fail "weft-sim-peers is not built"
N=8
LOG_LINES=60

# counted GROUP.NAME: above 0 in the report, and the same name in /metrics.
counted() {
	json_at h1 "d['counters']['${1%.*}']['${1#*.}'] > 0" report || return 1
	in_host h1 curl -sf http://127.0.0.1:6794/metrics | grep -qE "^weft_${1%.*}\{what=\"${1#*.}\"\} [1-9]"
}
# said WORDS: the log has a line on the liar with these words, and status a warning.
said() { grep -qE -- "warn.*$1" "$net_dir/h1/log"; }
warned() { json_at h1 "any(__import__('re').search(r'''$1''', w) for w in d['warnings'])" status; }
# All but the liar are up, and have their routes.
honest_up() {
	json_at h1 "sum(p['up'] for p in d['peers'] if p['name'] not in ('', 'h1', '$liar')) >= $honest" status peers &&
		[ "$(ip -n "$(ns_of h1)" route show table 679301 | grep -cE "^10\.0\.[0-9]+\.0/24 dev weft0")" -ge "$honest" ]
}

# hostile PROFILE: the cluster with the liar, and the daemon in it. Sets liar, its name.
hostile() {
	step "$1"
	rm -rf "$net_dir/h1"
	simpeers_start $N 7 --faults "$1"
	liar=$(awk '$1 == "liar" {print $2}' "$net_dir/sim.log")
	[ -n "$liar" ] || fail "nobody lies"
	honest=$((N - 1))
	simpeers_daemon
	within 5 "it knows all others" honest_up
}
# and_on: it lives, all others are up and stay so for a while, and all ends well.
and_on() {
	local t=$SECONDS
	within 5 "all others are up" honest_up
	while [ $((SECONDS - t)) -lt 4 ]; do
		honest_up || fail "it lost an honest node: $(weft_at h1 status peers)"
		/usr/bin/python3 -c 'import time; time.sleep(0.3)'
	done
	weftd_running h1 || fail "it is gone"
	weftd_stop h1 TERM
	simpeers_stop
}
# named WITHIN WORDS COUNTER...: the line, with the liar's name, its key and address; and the counters.
named() {
	local secs=$1 words=$2 label=${2##*6793??} c
	shift 2
	within "$secs" "the log: ${label:0:42}" said "$words"
	warned "$words" || fail "no such warning in weft status: $(json_at h1 "d['warnings']" status)"
	for c in "$@"; do within 2 "$c counts" counted "$c"; done
}
at="\([a-z2-7]+, 100\.64\.0\.[0-9]+:6793\)"

forge() {
	named 5 "$liar $at tells on what has a false signature: refused\. Find out who" gossip.rx_forged
	named 5 "$liar $at tells on records of another cluster: refused\. Give each cluster" gossip.rx_foreign
	named 5 "$liar $at sends gossip that makes no sense: refused\. Give it this version" gossip.rx_bad
	named 5 "$liar $at tells of versions that no node comes to: refused\. Find out who" gossip.rx_future
	within 5 "old records are counted" counted gossip.rx_stale
	and_on
}
flood() {
	named 5 "$liar $at sends gossip that makes no sense: refused\. Give it this version" gossip.rx_bad
	many() { json_at h1 "d['counters']['gossip']['rx_bad'] >= 300" report; }
	within 10 "hundreds are counted" many
	n=$(grep -c "makes no sense" "$net_dir/h1/log")
	[ "$n" -le 8 ] || fail "$n lines in the log: not rate-limited"
	and_on
}
# The limit takes some twenty seconds to reach.
news() {
	named 40 "$liar \([^)]*\) publishes more than is heard: the rest comes late\. See in its log" gossip.rx_limited
	and_on
}
accuse() {
	named 5 "$liar $at tells on what has a false signature: refused\. Find out who" membership.rx_forged
	and_on
}
deaf() {
	named 20 "$liar \([^)]*\) suspects nodes that live: it is not believed for now\. See whether" membership.liars
	and_on
}
# n1 can't be reached directly, and the daemon has something for it.
swallow() {
	in_host sim nft -f - <<-EOF
		table inet cut {
			chain in {
				type filter hook prerouting priority -300
				ip saddr 192.0.2.2 ip daddr 100.64.0.2 drop
			}
		}
	EOF
	in_host h1 ping -i 0.2 -q 10.0.2.1 >/dev/null 2>&1 &
	ping_pid=$!
	named_in_log() { said "$liar as relay to (n1|[a-z2-7]+) carried nothing.*If that goes on"; }
	within 15 "the log names it: carried nothing" named_in_log
	within 2 "paths.relays_bad counts" counted paths.relays_bad
	kill $ping_pid
	wait $ping_pid 2>/dev/null || true
	in_host sim nft delete table inet cut
	and_on
}
greed() {
	named 10 "of node $liar \([a-z2-7]+\) isn't used: .* has the better claim.*Take it from one of the two" gossip.prefix_conflicts
	named 20 "$liar \([^)]*\) claims a whole cluster range, in which other nodes have prefixes: it isn't used"
	and_on
}
# The one whose key it is has two names, and two places.
clone() {
	named 20 "began anew again and again, or says two things at once: it crashes, or its key is on two hosts"
	again() { json_at h1 "d['counters']['gossip']['restless'] + d['counters']['gossip']['equivocations'] > 0" report; }
	within 2 "restless or equivocations counts" again
	honest=$((N - 2))
	and_on
}
lies() {
	named 10 "$liar $at tells on what has a false signature" gossip.rx_forged
	named 10 "$liar $at tells on records of another cluster" gossip.rx_foreign
	named 10 "$liar $at sends gossip that makes no sense" gossip.rx_bad
	named 10 "$liar $at tells of versions that no node comes to" gossip.rx_future
	named 20 "of node $liar \([a-z2-7]+\) isn't used"
	and_on
}

simpeers_net
for p in ${PROFILES:-forge flood news accuse deaf swallow greed clone lies}; do
	hostile $p
	$p
done
