#!/bin/bash
# t_cells.sh - the table of docs/bgp.md, cell by cell: BIRD 2 and FRR, eBGP and iBGP, IPv4 and IPv6. In each:
# no session by another password, nor by packets with a TTL of 1; a session with MD5 and GTSM; routes and communities
# both ways; withdrawal from each side; a refresh asked by each side; several paths both ways; a restart of each side
# with traffic running; too many prefixes; BFD, and a way that is cut; over eBGP a role that doesn't fit. Asserted are
# the views of birdc and vtysh. The host h2 runs a BIRD of its own that gives weft two paths to tell, and FRR a second one.
# SPEAKERS (bird frr), KINDS (ebgp ibgp), FAMILIES (4 6) choose; SHORT is what runs at each change: FRR by eBGP over
# IPv4 and by iBGP over IPv6. What t_bird, t_bfd and t_restart do with BIRD runs beside it.
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/lib.sh"
. "$root/test/interop/frr.sh"
command -v bird >/dev/null || { echo "BIRD is not installed"; exit 77; }
net_init cells "$(mktemp -d)"
trap net_end EXIT
mesh_hosts 2
bgp_router r 9

# choose KIND FAMILY SPEAKER: addresses and prefixes of the cell.
choose() {
	asn=64999 hops=no
	[ "$1" = ebgp ] || asn=64512
	# To FRR an external neighbour with GTSM is some hops away.
	[ "$3 $1" != "frr ebgp" ] || hops=yes
	if [ "$2" = 4 ]; then
		af=ipv4 us=192.0.2.1 them=192.0.2.9 other=192.0.2.2 pod=10.32.1.2
		own=10.32.1.0/24 learned=198.51.100.0/24 two=203.0.113.0/24 back=198.18.7.0/24
		extra=(198.18.8.0/24 198.18.9.0/24)
	else
		af=ipv6 us=2001:db8::1 them=2001:db8::9 other=2001:db8::2 pod=fd32:0:0:1::2
		own=fd32:0:0:1::/64 learned=2001:db8:c::/64 two=2001:db8:d::/48 back=2001:db8:7::/48
		extra=(2001:db8:8::/48 2001:db8:9::/48)
	fi
}
weft_conf() { # KIND OURS-OR-NOT [ROLE]
	cat <<CONF
$(weft_head "announce: {pods: own}")
  - address: $them
    asn: $asn
    password: ${password:-sesame}
    ttl-security: yes
${bfd:+    bfd: {multihop: $hops, min-tx: 200, min-rx: 300, multiplier: 5\}}
    graceful-restart: yes
    add-path-receive: yes
    add-path-send: 4
    next-hop-self: yes
    max-prefixes: 4
    import: accept
    export: out
$([ "$1" = ibgp ] || echo "    role: ${3:-customer}")
  - {address: "$other", asn: 64998, add-path-receive: yes, import: accept, export: reject}
  policies:
    out:
    - rule: ours
      match: {prefix: "$own"}
$([ "$2" = accept ] && echo "      set: {add-communities: 64512:5}")
      then: $2
    - rule: rest
      match: {prefix: [0.0.0.0/0 le 32, "::/0 le 128"]}
      then: accept
CONF
}
# The BIRD of h2: two paths to $two for weft; to FRR on r one to $back.
other_conf() { # SPEAKER
	cat <<CONF
$(bird_head 192.0.2.2 h2)
protocol static s1 { $af { preference 101; }; route $two blackhole { bgp_community.add((64998,1)); }; }
protocol static s2 { $af { preference 102; }; route $two blackhole { bgp_community.add((64998,2)); }; }
protocol bgp w { local $other as 64998; neighbor $us as 64512; connect retry time 2;
  $af { import none; add paths tx; export where proto = "s1" || proto = "s2"; next hop self; }; }
CONF
	[ "$1" = frr ] || return 0
	cat <<CONF
protocol static s3 { $af; route $back blackhole { bgp_community.add((64998,3)); }; }
protocol bgp f { local $other as 64998; neighbor $them as $asn; connect retry time 2;
  $af { import none; export where proto = "s3"; next hop self; }; }
CONF
}

# --- BIRD ---
bird_conf() { # KIND
	cat <<CONF
router id 192.0.2.9;
log "$net_dir/r.says" all;
graceful restart wait 30;
protocol device { }
protocol kernel { persist; graceful restart; $af { export all; }; }
protocol static nets { $af; route $learned via "c0" { bgp_community.add((64999,77)); }; }
protocol static b1 { $af { preference 101; }; route $back blackhole { bgp_community.add((64999,1)); }; }
protocol static b2 { $af { preference 102; }; route $back blackhole { bgp_community.add((64999,2)); }; }
protocol static more { disabled; $af; $(printf 'route %s blackhole; ' "${extra[@]}") }
protocol bfd { interface "u0" { min rx interval 200 ms; min tx interval 200 ms; multiplier 5; }; }
protocol bgp w {
	local $them as $asn;
	neighbor $us as 64512;
	direct;
	password "sesame";
	ttl security on;
	bfd on;
	graceful restart on;
	graceful restart time 60;
	connect retry time 2;
	error wait time 1, 2;
	$([ "$1" = ibgp ] || echo 'local role provider;')
	$af { import all; add paths on; export where source = RTS_STATIC; next hop self; };
}
CONF
}
bird_begin() { bird_conf "$1" >"$net_dir/r.bird"; : >"$net_dir/r.says"; bird_start r; }
bird_end() {
	birdc_at r down >/dev/null
	wait_for "BIRD to end" not test -e "$net_dir/r.birdctl"
}
bird_restart() {
	birdc_at r graceful restart >/dev/null
	wait_for "BIRD to end" not test -e "$net_dir/r.birdctl"
	wait_for "the session to end" not established h1 "$them"
	bird_start r -R
}
bird_is_up() { bird_up r w; }
bird_got() { bird_has r "$1" "$2"; }
bird_misses() { bird_lacks r "$1"; }
bird_paths() { [ "$(birdc_at r show route "$two" all | grep -c 'BGP.community: (64998,')" = "$1" ]; }
bird_bfd_is() { birdc_at r show bfd sessions | grep -qE "^$us +u0 +$1 "; }
bird_withdraw() { birdc_at r disable nets >/dev/null; }
bird_announce() { birdc_at r enable nets >/dev/null; }
bird_more() { birdc_at r enable more >/dev/null; }
bird_less() { birdc_at r disable more >/dev/null; }
bird_asks() { birdc_at r reload in w >/dev/null; }
bird_told_max() { grep -qi 'Maximum number of prefixes' "$net_dir/r.says"; }
bird_kept() { bird_got "$own" via && ! grep -E 'graceful restart.*(timeout|failed)' "$net_dir/r.says" >&2; }
bird_comm='64512,5'

# --- FRR ---
frr_conf() { # KIND
	cat <<CONF
frr defaults datacenter
hostname r
log file $net_dir/frr/says
bgp as-path access-list weft permit 64512
route-map tag permit 10
 set community 64999:77
route-map none deny 10
route-map out deny 5
 match as-path weft
route-map out permit 10
bfd
 profile fast
  transmit-interval 200
  receive-interval 200
  detect-multiplier 5
router bgp $asn
 bgp router-id 192.0.2.9
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 no bgp network import-check
 bgp graceful-restart
 bgp graceful-restart preserve-fw-state
 bgp graceful-restart restart-time 60
 neighbor $us remote-as 64512
 neighbor $us password sesame
 neighbor $us timers connect 2
 neighbor $us timers 30 90
 neighbor $us ttl-security hops 1
 neighbor $us bfd profile fast
$([ "$1" = ibgp ] || echo " neighbor $us local-role provider")
 neighbor $other remote-as 64998
 neighbor $other timers connect 2
 address-family $af unicast
  network $learned route-map tag
  network $back route-map tag
  neighbor $us activate
  neighbor $us send-community both
  neighbor $us addpath-tx-all-paths
  neighbor $us next-hop-self
  neighbor $us route-map out out
  neighbor $other activate
  neighbor $other route-map none out
 exit-address-family
CONF
}
frr_begin() { frr_conf "$1" >"$net_dir/r.frr"; rm -rf "$net_dir/frr"; frr_start zebra bfdd bgpd; }
frr_end() { frr_daemons=(zebra bfdd bgpd); frr_stop; }
frr_restart() {
	kill -KILL "$(cat "$net_dir/frr/bgpd.pid")"
	wait_for "bgpd to end" process_gone "$(cat "$net_dir/frr/bgpd.pid")"
	wait_for "the session to end" not established h1 "$them"
	frr_start bgpd
}
frr_is_up() { frr_up "$us"; }
frr_got() { frr_has "$1" "${2/#via/best}"; }
frr_misses() { frr_lacks "$1"; }
frr_paths() { frr_has "$two" "Paths: \($1 available"; }
frr_bfd_is() { vty -c 'show bfd peers json' | jq -e --arg p "$us" --arg s "$1" 'any(.[]; .peer == $p and .status == $s)' >/dev/null; }
frr_bgp() { vty -c 'configure terminal' -c "router bgp $asn" -c "address-family $af unicast" "$@" >/dev/null; }
frr_withdraw() { frr_bgp -c "no network $learned"; }
frr_announce() { frr_bgp -c "network $learned route-map tag"; }
frr_less() { local p; for p in "${extra[@]}"; do frr_bgp -c "no network $p"; done; }
frr_asks() { vty -c "clear bgp $af unicast $us in" >/dev/null; }
frr_told_max() { vty -c "show bgp neighbors $us" | grep -qi 'Maximum Number of Prefixes'; }
frr_kept() { frr_got "$own" via; }
frr_comm='64512:5'
frr_more() { local p; for p in "${extra[@]}"; do frr_bgp -c "network $p"; done; }

# --- both ---
weft_has() { kernel_has h1 "$learned" "via $them"; }
settled() { established h1 "$them" && neighbour_is h1 "$them" graceful_restart ready; }
bfd_rx() { json_at h1 "next(n for n in d['neighbours'] if n['address'] == '$them')['bfd']['rx_packets']" status bgp; }
bfd_heard() { [ "$(bfd_rx)" -ge "$1" ]; }
bfd_is() { [ "$(json_at h1 "next(n for n in d['neighbours'] if n['address'] == '$them')['bfd']['state']" status bgp)" = "$1" ]; }
back_paths() { [ "$(json_at h1 "len([r for r in d['routes'] if r['neighbour'] == '$them'])" status bgp routes "$back")" = "$1" ]; }
reload() { # accept|reject
	weft_conf "$kind" "$1" >"$net_dir/h1.yaml"
	kill -HUP "$(cat "$net_dir/h1/pid")"
}

# A way that is cut without a word: the switch forgets r's port. The hold time is 90 s, so BFD alone ends the session in
# ten times the 1.5 s that are agreed.
cut_way() {
	local s=$1 t0
	# A failure counts for the session that BFD was heard in.
	wait_for "BFD to be heard in this session" bfd_heard $(($(bfd_rx) + 2))
	t0=$(now_ms)
	ip -n "$(ns_of sw)" link set sw-r nomaster
	wait_for "the session to end" not established h1 "$them"
	echo "   it ended $(($(now_ms) - t0)) ms after the cut; 1500 ms are agreed"
	[ $(($(now_ms) - t0)) -lt 15000 ] || fail "that took long"
	neighbour_at h1 "$them" last_error | grep -qi bfd || fail "the error is $(neighbour_at h1 "$them" last_error)"
	wait_for "it to miss us, too" "${s}_bfd_is" "$(bfd_word "$s" Down)"
	ip -n "$(ns_of sw)" link set sw-r master br0
	wait_for "the session again" settled
	wait_for "BFD again" bfd_is Up
	wait_for "BFD again in its view" "${s}_bfd_is" "$(bfd_word "$s" Up)"
}
bfd_word() { [ "$1" = bird ] && echo "$2" || echo "${2,,}"; }

# What the kernel has refused on h1, by the name of its counter.
refused() { in_host h1 awk -v name="$1" '$1 == "TcpExt:" && !n {n = split($0, names); next}
	$1 == "TcpExt:" {for (i = 2; i <= n; i++) if (names[i] == name) print $i}' /proc/net/netstat; }
# no_session WHY COUNTER: while it refuses five more of the packets from r, and reads nothing of it.
no_session() {
	local n
	n=$(refused "$2")
	wait_for "packets to be refused, since $1" grown $((n + 4)) refused "$2"
	[ "$(neighbour_at h1 "$them" rx_messages)" = 0 ] && not established h1 "$them" || fail "it is heard, though $1"
	"${s}_misses" "$own" || fail "it has our route, though $1"
}
# r sends with a TTL of 1, whatever its speaker asks for.
ttl_one() {
	in_host r nft -f - <<-X
		table inet one {
			chain out { type filter hook output priority 0; $([ $af = ipv4 ] && echo ip ttl || echo ip6 hoplimit) set 1; }
		}
	X
}

cell() { # SPEAKER KIND FAMILY
	local s=$1 bfd="" tx rx
	kind=$2
	choose "$2" "$3" "$s"
	step "$s $kind $af: another password, then a TTL of 1: no session"
	password=open weft_conf "$kind" accept >"$net_dir/h1.yaml"
	other_conf "$s" >"$net_dir/h2.bird"
	SEED="" weft_bgp 1
	"${s}_begin" "$kind"
	bird_start h2
	no_session "the passwords differ" TCPMD5Failure
	ttl_one
	weftd_stop h1
	weft_conf "$kind" accept >"$net_dir/h1.yaml"
	SEED="" weft_bgp 1
	no_session "the TTL is 1" TCPMinTTLDrop
	in_host r nft delete table inet one

	step "$s $kind $af: up, with MD5 and GTSM"
	wait_for "the session" settled
	neighbour_is h1 "$them" kind "$kind" || fail "it is $(neighbour_at h1 "$them" kind)"
	wait_for "its view" "${s}_is_up"

	step "$s $kind $af: routes and communities both ways, several paths"
	wait_for "our route, with its community" "${s}_got" "$own" "${!comm}"
	wait_for "its route" weft_has
	json_at h1 "any('64999:77' in r['communities'] for r in d['routes'])" status bgp routes "$learned" || fail "the community is lost"
	wait_for "two paths in its view" "${s}_paths" 2
	wait_for "two paths of its own at weft" back_paths 2
	wait_for "traffic" pings c "$pod"

	step "$s $kind $af: withdrawal from each side, refresh asked by each"
	reload reject
	wait_for "our route to go" "${s}_misses" "$own"
	reload accept
	wait_for "our route to come" "${s}_got" "$own" "${!comm}"
	"${s}_withdraw"
	wait_for "its route to go" kernel_lacks h1 "$learned"
	"${s}_announce"
	wait_for "its route to come" weft_has
	tx=$(neighbour_at h1 "$them" tx_updates)
	"${s}_asks"
	wait_for "weft to tell all again" grown "$tx" neighbour_at h1 "$them" tx_updates
	rx=$(neighbour_at h1 "$them" rx_updates)
	weft_at h1 bgp refresh "$them" >/dev/null || fail "no refresh"
	wait_for "it to tell all again" grown "$rx" neighbour_at h1 "$them" rx_updates
	"${s}_got" "$own" "${!comm}" || fail "a refresh lost our route"

	step "$s $kind $af: it restarts, then weft is killed; traffic goes on"
	wait_for "traffic" pings c "$pod"
	traffic_start "$pod"
	"${s}_restart"
	wait_for "the session" settled
	wait_for "the end of what is stale" json_at h1 "not any(n['stale'] for n in d['neighbours'])" status bgp
	weft_has || fail "its route is gone"
	wait_for "our route" "${s}_got" "$own" via
	traffic_lost_none "$s restarted"
	traffic_start "$pod"
	: >"$net_dir/r.says"
	weftd_stop h1 KILL
	"${s}_kept" || fail "it has dropped our route"
	SEED="" weft_bgp 1
	wait_for "the session" settled
	"${s}_kept" || fail "it has dropped our route after all"
	weft_has || fail "its route is gone"
	traffic_lost_none "weftd was away"

	# It decides nothing before all neighbours have told their routes (RFC 4724 4.1).
	WAIT=70 wait_for "weft to decide again" has_route h1 "$learned"

	step "$s $kind $af: more prefixes than allowed"
	"${s}_more"
	wait_for "weft to tell it" eval "neighbour_at h1 '$them' last_error | grep -qi prefix"
	wait_for "it to be told" "${s}_told_max"
	wait_for "its routes to go" kernel_lacks h1 "$learned"
	"${s}_less"
	WAIT=60 wait_for "the session to come back" settled
	weftd_stop h1

	# Not before: a weftd that starts anew makes BFD anew too, which ends a session that is up already.
	step "$s $kind $af: BFD"
	bfd=yes
	weft_conf "$kind" accept >"$net_dir/h1.yaml"
	SEED="" weft_bgp 1
	wait_for "the session" settled
	wait_for "BFD" bfd_is Up
	wait_for "BFD in its view" "${s}_bfd_is" "$(bfd_word "$s" Up)"
	cut_way "$s"
	weftd_stop h1

	if [ "$kind" = ebgp ]; then
		step "$s $kind $af: a role that doesn't fit"
		weft_conf "$kind" accept peer >"$net_dir/h1.yaml"
		SEED="" weft_bgp 1
		wait_for "weft to tell it" eval "neighbour_at h1 '$them' last_error | grep -qi 'role mismatch'"
		for _ in $(seq 20); do
			not "${s}_is_up" || fail "it is established"
			sleep 0.1
		done
		weftd_stop h1
	fi
	"${s}_end"
	birdc_at h2 down >/dev/null
	wait_for "the BIRD of h2 to end" not test -e "$net_dir/h2.birdctl"
	ip -n "$(ns_of r)" route flush proto bird 2>/dev/null || true
	ip -n "$(ns_of r)" -6 route flush proto bird 2>/dev/null || true
	in_host h1 "$build/router/weftd" --down >/dev/null 2>&1 || true
}

if [ -n "${SHORT:-}" ]; then
	[ -x /usr/lib/frr/bgpd ] || { echo "FRR is not installed"; exit 77; }
	comm=frr_comm
	cell frr ebgp 4
	cell frr ibgp 6
	exit 0
fi
for s in ${SPEAKERS:-bird frr}; do
	[ "$s" != frr ] || [ -x /usr/lib/frr/bgpd ] || { echo "FRR is not installed: BIRD alone was asked"; continue; }
	comm=${s}_comm
	for k in ${KINDS:-ebgp ibgp}; do
		for f in ${FAMILIES:-4 6}; do cell "$s" "$k" "$f"; done
	done
done
