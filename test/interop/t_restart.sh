#!/bin/bash
# t_restart.sh - graceful restart (RFC 4724) beside BIRD 2, with traffic running between a host behind BIRD
# and a pod, of which no packet may be lost: BIRD restarts and weft keeps its routes; weftd is killed, and
# stopped, and BIRD keeps ours; what was not announced again goes; `weft down` takes all with it at once.
# Then BIRD restarts too late, and without what it needs. Asserted is BIRD's own view.
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/lib.sh"
command -v bird >/dev/null || { echo "BIRD is not installed"; exit 77; }
net_init restart "$(mktemp -d)"
trap net_end EXIT
mesh_hosts 1
bgp_router r 9

# bird_conf [PREFIX]: PREFIX is announced too.
bird_conf() {
	cat <<CONF
router id 192.0.2.9;
log "$net_dir/r.says" all;
graceful restart wait 30;
protocol device { }
protocol kernel { persist; graceful restart; ipv4 { export all; }; }
protocol kernel { persist; graceful restart; ipv6 { export all; }; }
protocol static nets4 { ipv4; route 198.51.100.0/24 via "c0"; ${1:+route $1 blackhole;} }
protocol static nets6 { ipv6; route 2001:db8:c::/64 via "c0"; }
template bgp weft {
	local as 64999;
	graceful restart on;
	graceful restart time 20;
	connect retry time 2;
	error wait time 1, 2;
}
protocol bgp w4 from weft {
	neighbor 192.0.2.1 as 64512;
	ipv4 { import all; export where source = RTS_STATIC; next hop self; };
}
protocol bgp w6 from weft {
	neighbor 2001:db8::1 as 64512;
	ipv6 { import all; export where source = RTS_STATIC; next hop self; };
}
CONF
}
cat >"$net_dir/h1.yaml" <<CONF
$(weft_head "announce: {pods: own, ranges: yes}")
  - {address: 192.0.2.9, asn: 64999, graceful-restart: yes, import: accept, export: accept}
  - {address: 2001:db8::9, asn: 64999, graceful-restart: yes, import: accept, export: accept}
CONF
bird_conf 203.0.113.0/24 >"$net_dir/r.bird"
peers=(192.0.2.9 2001:db8::9)
both_up() { for a in "${peers[@]}"; do established h1 $a || return 1; done; }
none_up() { for a in "${peers[@]}"; do not established h1 $a || return 1; done; }
settled() { both_up && for a in "${peers[@]}"; do neighbour_is h1 $a graceful_restart ready || return 1; done; }
weft_has() { kernel_has h1 198.51.100.0/24 'via 192\.0\.2\.9' && kernel_has h1 2001:db8:c::/64 'via 2001:db8::9'; }
bird_recovered() { ! birdc_at r show status | grep -q "in progress"; }
# Not before BIRD has our End-of-RIB: who restarts a second time without it loses its routes (RFC 4724
# section 4.2: what is still stale is deleted then), and `show route` doesn't tell what is stale.
bird_fresh() { ! birdc_at r show protocols all | grep -q "Neighbor graceful restart active"; }
bird_has_ours() { bird_has r 10.32.1.0/24 via && bird_has r fd32:0:0:1::/64 via; }

# Traffic in both families, 100 packets a second each; how many were lost, when it ends.
traffic_start() {
	ip netns exec "$(ns_of c)" env --default-signal=INT ping -i 0.01 -q 10.32.1.2 >"$net_dir/ping4" 2>&1 &
	echo $! >"$net_dir/ping4.pid"
	ip netns exec "$(ns_of c)" env --default-signal=INT ping -i 0.01 -q fd32:0:0:1::2 >"$net_dir/ping6" 2>&1 &
	echo $! >"$net_dir/ping6.pid"
}
traffic_lost_none() { # WHILE
	local f sent got
	for f in 4 6; do
		kill -INT "$(cat "$net_dir/ping$f.pid")"
		wait "$(cat "$net_dir/ping$f.pid")" || true
		read -r sent got < <(awk '/packets transmitted/ {print $1, $4}' "$net_dir/ping$f")
		echo "  IPv$f: $got of $sent packets came back"
		# The last one may be on its way when ping is stopped.
		[ "$sent" -gt 5 ] && [ $((sent - got)) -le 1 ] || fail "packets were lost while $1"
	done
}

SEED="" weft_bgp 1
bird_start r
wait_for "both sessions" settled
wait_for "weft's routes" weft_has
wait_for "BIRD's routes" bird_has_ours
wait_for "traffic, IPv4" pings c 10.32.1.2
wait_for "traffic, IPv6" pings c fd32:0:0:1::2
birdc_at r show protocols all w4 | grep -q 'Graceful restart' || fail "BIRD sees no capability"

step "BIRD restarts: its routes stay, stale, until it has told them again"
traffic_start
birdc_at r graceful restart >/dev/null
wait_for "BIRD to end" not test -e "$net_dir/r.birdctl"
wait_for "the sessions to end" none_up
neighbour_is h1 192.0.2.9 graceful_restart "" || fail "a peer that is away has no capability"
json_at h1 "all(n['stale'] for n in d['neighbours'])" status bgp || fail "the routes are not marked as stale"
weft_has || fail "the routes of a restarting peer were taken away"
bird_conf >"$net_dir/r.bird" # without 203.0.113.0/24
bird_start r -R
wait_for "both sessions" settled
wait_for "the end of what is stale" json_at h1 "not any(n['stale'] for n in d['neighbours'])" status bgp
weft_has || fail "a route that was told again was taken away"
kernel_lacks h1 203.0.113.0/24 || fail "a route that was not told again is still there"
wait_for "BIRD's recovery" bird_recovered
traffic_lost_none "BIRD restarted"

for how in KILL TERM; do
	step "weftd ends by SIG$how: BIRD keeps our routes, the kernel keeps BIRD's; the next one takes over"
	traffic_start
	: >"$net_dir/r.says"
	weftd_stop h1 $how
	bird_has_ours || fail "BIRD has dropped our routes: $(tail -n 4 "$net_dir/r.says")"
	weft_has || fail "the kernel has dropped BIRD's routes"
	SEED="" weft_bgp 1
	wait_for "both sessions" settled
	wait_for "BIRD to have them anew" bird_fresh
	bird_has_ours || fail "BIRD has dropped our routes after all"
	weft_has || fail "the kernel has dropped BIRD's routes after all"
	traffic_lost_none "weftd was away"
	not grep -qE 'w[46]: .*(Stale|removed)' "$net_dir/r.says" || fail "BIRD says so"
done

step "shutdown by the operator is no restart: BIRD forgets at once"
weft_at h1 bgp shutdown 192.0.2.9 --message "for good" >/dev/null
wait_for "BIRD to lose the route" bird_lacks r 10.32.1.0/24
kernel_lacks h1 198.51.100.0/24 || fail "its routes are still in the kernel"
weft_at h1 bgp start 192.0.2.9 >/dev/null
wait_for "both sessions" settled
wait_for "weft's routes" weft_has

step "BIRD is killed and stays away longer than the 20 s it asked for"
kill -KILL "$(cat "$net_dir/r.birdpid")"
rm -f "$net_dir/r.birdctl"
wait_for "the sessions to end" none_up
weft_has || fail "the routes went at once"
WAIT=60 wait_for "the routes to go" kernel_lacks h1 198.51.100.0/24

step "down: everything goes, and BIRD is told"
bird_start r
wait_for "both sessions" settled
wait_for "BIRD's routes" bird_has_ours
weft_at h1 down >/dev/null
wait_for "BIRD to lose the route" bird_lacks r 10.32.1.0/24
