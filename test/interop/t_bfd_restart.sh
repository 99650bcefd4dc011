#!/bin/bash
# t_bfd_restart.sh - BFD and graceful restart together (RFC 5882 4.3): with both on, BIRD 2 restarts whole, and FRR's
# bgpd while its bfdd lives on, with traffic running, of which nothing is lost; then weftd is stopped.
# A way that is cut while routes are kept: with FRR's C bit set they go at once, with BIRD's clear they stay for the
# restart time. Asserted are weft's table, the kernel's, and the others' view.
# KINDS (ebgp ibgp) chooses.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/lib.sh"
. "$root/test/interop/frr.sh"
command -v bird >/dev/null || { echo "BIRD is not installed"; exit 77; }
net_init bfdgr "$(mktemp -d)"
trap net_end EXIT
mesh_hosts 1
bgp_router r 9
them=192.0.2.9 pod=10.32.1.2

weft_conf() { # ASN
	{
		weft_head "announce: {pods: own}"
		echo "  - {address: $them, asn: $1, graceful-restart: yes, import: accept, export: accept, next-hop-self: yes,"
		echo "     bfd: {multihop: no, min-tx: 200, min-rx: 200, multiplier: 5}}"
	} >"$net_dir/h1.yaml"
}
bird_conf() { # ASN
	{
		bird_head 192.0.2.9
		cat <<CONF
graceful restart wait 30;
protocol kernel { persist; graceful restart; ipv4 { export all; }; }
protocol direct { interface "u0"; ipv4; }
protocol static nets4 { ipv4; route 198.51.100.0/24 via "c0"; }
protocol bfd { interface "u0" { min rx interval 200 ms; min tx interval 200 ms; multiplier 5; }; }
protocol bgp w {
	local $them as $1;
	neighbor 192.0.2.1 as 64512;
	direct;
	bfd graceful;
	graceful restart on;
	graceful restart time 30;
	connect retry time 1;
	error wait time 1, 2;
	ipv4 { import all; export where source = RTS_STATIC; next hop self; };
}
CONF
	} >"$net_dir/r.bird"
}
frr_conf() { # ASN
	cat >"$net_dir/r.frr" <<CONF
frr defaults datacenter
hostname r
log file $net_dir/frr/says
bfd
 profile fast
  transmit-interval 200
  receive-interval 200
  detect-multiplier 5
router bgp $1
 bgp router-id 192.0.2.9
 no bgp ebgp-requires-policy
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp graceful-restart restart-time 30
 neighbor 192.0.2.1 remote-as 64512
 neighbor 192.0.2.1 timers connect 1
 neighbor 192.0.2.1 timers 30 90
 neighbor 192.0.2.1 bfd profile fast
 neighbor 192.0.2.1 bfd check-control-plane-failure
$([ "$1" != 64512 ] || echo ' neighbor 192.0.2.1 disable-connected-check')
 address-family ipv4 unicast
  network 198.51.100.0/24
  neighbor 192.0.2.1 next-hop-self
 exit-address-family
CONF
}

bfd_of() { json_at h1 "next(n for n in d['neighbours'] if n['address'] == '$them')['bfd']['$1']" status bgp; }
bfd_is() { [ "$(bfd_of state)" = "$1" ]; }
settled() { established h1 $them && neighbour_is h1 $them graceful_restart ready; }
stale() { neighbour_at h1 $them stale; }
weft_has() { kernel_has h1 198.51.100.0/24 "via 192\.0\.2\.9"; }
away() { not established h1 $them; }
all_up() {
	wait_for "the session" settled
	wait_for "BFD" bfd_is Up
	wait_for "the learned route" weft_has
	wait_for "traffic" pings c $pod
}
# Both keep their carriers, and no frame passes.
cut() { ip -n "$(ns_of sw)" link set sw-r nomaster; }
mend() { ip -n "$(ns_of sw)" link set sw-r master br0; }
fresh() { # what was kept is told again, and BFD is there
	wait_for "the session" settled
	wait_for "the end of what is stale" not stale
	wait_for "BFD" bfd_is Up
	weft_has || fail "the route is gone"
}

for kind in ${KINDS:-ebgp ibgp}; do
	asn=64999
	[ $kind = ebgp ] || asn=64512
	weft_conf $asn
	bird_conf $asn

	step "BIRD, $kind: it restarts, BFD with it; its routes stay, and no packet is lost"
	SEED="" weft_bgp 1
	bird_start r
	all_up
	for round in 1 2 3; do
		traffic_start "$pod"
		birdc_at r graceful restart >/dev/null
		wait_for "BIRD to end" not test -e "$net_dir/r.birdctl"
		wait_for "the session to end" away
		# At once, after a while, and when BFD has missed it.
		[ $round = 1 ] || sleep 0.$((round * 2))
		[ $round != 3 ] || wait_for "BFD to miss it" bfd_is Down
		bird_start r -R
		fresh
		# Its former BFD session may be missed only now.
		sleep 1.5
		fresh
		traffic_lost_none "BIRD restarted"
	done

	step "BIRD, $kind: cut while it is away: C bit clear, the routes stay for its restart time"
	birdc_at r graceful restart >/dev/null
	wait_for "BIRD to end" not test -e "$net_dir/r.birdctl"
	wait_for "the session to end" away
	wait_for "BFD to miss it" bfd_is Down
	stale || fail "nothing is kept"
	weft_has || fail "the route went with BFD"
	WAIT=60 wait_for "the route to go when its time is over" kernel_lacks h1 198.51.100.0/24
	bird_start r
	all_up

	step "BIRD, $kind: weftd is stopped with a word to BFD: BIRD keeps our route"
	traffic_start "$pod"
	weftd_stop h1
	bird_has r 10.32.1.0/24 via || fail "BIRD has dropped our route"
	SEED="" weft_bgp 1
	all_up
	bird_has r 10.32.1.0/24 via || fail "BIRD has dropped our route after all"
	traffic_lost_none "weftd was away"
	weftd_stop h1
	birdc_at r down >/dev/null
	wait_for "BIRD to end" not test -e "$net_dir/r.birdctl"
	ip -n "$(ns_of r)" route flush proto bird 2>/dev/null || true

	[ -x /usr/lib/frr/bfdd ] || { echo "FRR is not installed: BIRD alone was asked"; continue; }
	# FRR 8.4's bfdd drops the session of a bgpd that is gone, and its next bgpd makes a new one, twice: where the second
	# time comes after its BGP session, BFD ends that as well, and what is stale a second time has to go (RFC 4724 4.2).
	step "FRR, $kind: bgpd restarts and bfdd does not: the routes stay, no packet is lost while BFD ends no session"
	frr_conf $asn
	rm -rf "$net_dir/frr"
	frr_start zebra bfdd bgpd
	SEED="" weft_bgp 1
	all_up
	wait_for "our route" frr_has 10.32.1.0/24 best
	failures=$(bfd_of failures) flaps=$(neighbour_at h1 $them flaps)
	traffic_start "$pod"
	kill -KILL "$(cat "$net_dir/frr/bgpd.pid")"
	wait_for "bgpd to end" process_gone "$(cat "$net_dir/frr/bgpd.pid")"
	wait_for "the session to end" away
	weft_has || fail "the route went"
	frr_start bgpd
	for _ in 1 2; do
		wait_for "the session" settled
		wait_for "the end of what is stale" not stale
		wait_for "BFD" bfd_is Up
		sleep 1.5 # a former BFD session may be missed only now
	done
	echo "   BFD failed $(($(bfd_of failures) - failures)) times meanwhile"
	if [ "$(neighbour_at h1 $them flaps)" = $((flaps + 1)) ]; then
		weft_has || fail "the route is gone"
		traffic_lost_none "FRR's bgpd restarted"
	else
		log_says h1 'Idle: BFD: down' || fail "the session ended twice, but not by BFD"
		echo "   and ended the new session, too: the route goes and comes"
		wait_for "the route" weft_has
		kill -INT "$ping_pid"
		wait "$ping_pid" || true
	fi
	wait_for "traffic" pings c "$pod"

	# Its bfdd would say that the session is over: it is stopped, so that nothing is heard.
	step "FRR, $kind: cut while bgpd is away"
	failures=$(bfd_of failures)
	kill -STOP "$(cat "$net_dir/frr/bfdd.pid")"
	kill -KILL "$(cat "$net_dir/frr/bgpd.pid")"
	wait_for "the session to end" away
	cut
	wait_for "BFD to miss it" eval "bfd_is Down || [ \$(bfd_of failures) -gt $failures ]"
	if bfd_of peer_control_independent; then
		wait_for "the route to go at once (C bit set)" kernel_lacks h1 198.51.100.0/24
		echo "   the C bit was set: gone"
	else
		weft_has || fail "the route went with BFD, with the C bit clear"
		echo "   the C bit was clear: kept"
	fi
	mend
	kill -CONT "$(cat "$net_dir/frr/bfdd.pid")"
	frr_daemons=(zebra bfdd)
	frr_stop
	weftd_stop h1
	in_host h1 "$build/router/weftd" --down >/dev/null 2>&1 || true
done
