#!/bin/bash
# t_simpeers.sh - a real daemon among 300 simulated nodes: it learns all of them from one seed, holds sessions with
# its neighbours alone, suspects nobody, and they know it; it stops and returns.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/paths.sh"
. "$root/test/netns/simpeers_lib.sh"
net_init simpeers "$(mktemp -d)"
trap net_end EXIT
[ -x "$build/test/sim/weft-sim-peers" ] || fail "weft-sim-peers is not built"
N=${N:-300}

knows_all() { json_at h1 "d['cluster']['up'] == $((N + 1)) and d['prefixes']['remote'] >= $N" status; }
calm() { json_at h1 "d['membership']['suspected'] == d['membership']['dead'] == d['membership']['deaths'] == 0" status; }
neighbours_linked() { json_at h1 "0 < d['membership']['neighbours_linked'] == d['membership']['neighbours'] <= 10" status; }

simpeers_net
simpeers_start "$N" 1
step "one daemon joins $N nodes"
simpeers_daemon
within 15 "it knows all of them" knows_all
within 15 "it has sessions with its neighbours" neighbours_linked
calm || fail "it suspects somebody: $(json_at h1 "d['membership']" status)"
routes=$(ip -n "$(ns_of h1)" route show table 679301 | grep -c '^10\.[0-9.]*/24 dev weft0')
[ "$routes" = "$N" ] || fail "only $routes routes in the kernel"

step "ten seconds later all is as it was"
t=$SECONDS
while [ $((SECONDS - t)) -lt 10 ]; do
	knows_all && calm || fail "it lost somebody: $(json_at h1 "d['membership']" status)"
	/usr/bin/python3 -c 'import time; time.sleep(0.5)'
done

step "it restarts"
weftd_stop h1 TERM
simpeers_daemon
within 15 "it knows all of them" knows_all
within 15 "it has sessions with its neighbours" neighbours_linked
calm || fail "it suspects somebody: $(json_at h1 "d['membership']" status)"
weftd_stop h1 TERM
simpeers_stop
tail -1 "$net_dir/sim.log"
