#!/bin/bash
# t_bfd.sh - BFD with BIRD 2 and with FRR's bfdd: sessions over one hop (IPv4 and IPv6) and over several
# (iBGP), intervals as agreed, a way that is cut without a word, administrative down at either end,
# authentication refused. Asserted are the views of birdc and vtysh, and what becomes of the BGP sessions.
# The hold time is 90 s, so nothing but BFD ends a session here. Intervals leave a busy machine room.
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/lib.sh"
. "$root/test/interop/frr.sh"
command -v bird >/dev/null || { echo "BIRD is not installed"; exit 77; }
net_init bfd "$(mktemp -d)"
trap net_end EXIT
mesh_hosts 1
bgp_router r 9
peers=(192.0.2.9 2001:db8::9)

weft_conf() { # ASN-OF-PEER, the keys of bfd on standard input
	local a keys
	keys=$(cat)
	echo "bgp: {asn: 64512, router-id: 192.0.2.1, listen: [192.0.2.1, \"[2001:db8::1]\"], peers: ["
	for a in "${peers[@]}"; do echo "  {address: \"$a\", asn: $1, import: accept, export: accept, bfd: $keys},"; done
	echo "]}"
}
bird_conf() { # ASN BGP-OPTIONS INTERFACE-OPTIONS
	cat <<CONF
$(bird_head 192.0.2.9)
protocol kernel { ipv4 { export all; }; }
protocol static nets4 { ipv4; route 198.51.100.0/24 via "c0"; }
protocol static nets6 { ipv6; route 2001:db8:c::/64 via "c0"; }
protocol bfd bfd1 {
	interface "u0" { min rx interval 150 ms; min tx interval 250 ms; idle tx interval 1 s; multiplier 5; $3 };
	multihop { min rx interval 250 ms; min tx interval 250 ms; multiplier 5; };
}
template bgp weft { hold time 90; bfd on; connect retry time 2; error wait time 1, 2; $2 }
protocol bgp w4 from weft { local 192.0.2.9 as $1; neighbor 192.0.2.1 as 64512; ipv4 { import all; export all; next hop self; }; }
protocol bgp w6 from weft { local 2001:db8::9 as $1; neighbor 2001:db8::1 as 64512; ipv6 { import all; export all; next hop self; }; }
CONF
}
bfd_at() { json_at h1 "next(n for n in d['neighbours'] if n['address'] == '$1')['bfd']['$2']" status bgp; }
bfd_is() { [ "$(bfd_at "$1" "$2")" = "$3" ]; }
bird_bfd() { birdc_at r show bfd sessions | grep -E "^$1 +u0 +$2 " || birdc_at r show bfd sessions | grep -E "^$1 +--- +$2 "; }
not_established() { ! established h1 "$1"; }
all_up() { # NAME
	local a
	for a in "${peers[@]}"; do
		wait_for "the session with $a" established h1 "$a"
		wait_for "BFD with $a" bfd_is "$a" state Up
	done
}
# The switch forgets r's port: both keep their carriers, and no frame passes.
cut() { ip -n "$(ns_of sw)" link set sw-r nomaster; }
mend() { ip -n "$(ns_of sw)" link set sw-r master br0; }
# fails_fast MS: a cut ends all sessions, by BFD, in ten times that; the figure is printed.
fails_fast() {
	local t0 a
	t0=$(now_ms)
	cut
	for a in "${peers[@]}"; do WAIT=30 wait_for "the session with $a to end" not_established "$a"; done
	echo "   both sessions ended $(($(now_ms) - t0)) ms after the cut; $1 ms are agreed"
	[ $(($(now_ms) - t0)) -lt $(($1 * 10)) ] || fail "that took long"
	kernel_lacks h1 198.51.100.0/24 || fail "the route is still in the kernel"
	for a in "${peers[@]}"; do
		bfd_is "$a" diagnostic "the neighbour is silent" || fail "the diagnostic is $(bfd_at "$a" diagnostic)"
		bfd_is "$a" failures 1 || fail "$(bfd_at "$a" failures) failures"
		neighbour_at h1 "$a" last_error | grep -qi bfd || fail "the error is $(neighbour_at h1 "$a" last_error)"
	done
}

step "BIRD, one hop: up in both views, at the slower of both wishes"
weft_conf 64999 <<<'{min-tx: 200, min-rx: 300, multiplier: 5}' >"$net_dir/h1.yaml"
bird_conf 64999 "" "" >"$net_dir/r.bird"
bird_start r
weft_bgp 1
all_up
wait_for "the learned route" kernel_has h1 198.51.100.0/24 'via 192\.0\.2\.9'
for a in 192.0.2.1 2001:db8::1; do wait_for "BIRD's view of $a" bird_bfd $a Up; done
# We send each max(200, 150), BIRD each max(250, 300); detection is five times that.
for a in "${peers[@]}"; do
	wait_for "what we send to $a" bfd_is "$a" interval_us 200000
	wait_for "what we expect of $a" bfd_is "$a" detection_us 1500000
	! bfd_at "$a" multihop || fail "over several hops"
done
bird_bfd 192.0.2.1 Up | grep -qE '0\.[0-9]+ +1\.000' || fail "BIRD's figures: $(bird_bfd 192.0.2.1 Up)"
shows 'Established.* Up ' weft_at h1 status bgp || fail "the text does not show it"

step "cut without a word: the sessions end at once; both sides call it BFD"
fails_fast 1500
wait_for "BIRD's BFD to be down" bird_bfd 192.0.2.1 Down
wait_for "BIRD's session to be down" eval "birdc_at r show protocols all w4 | grep -qE 'BFD session down|Socket|BGP state: +(Idle|Active|Connect|OpenSent)'"
mend
all_up
wait_for "the learned route again" kernel_has h1 198.51.100.0/24 'via 192\.0\.2\.9'

step "BIRD's BFD goes away without a word (it has none for that): missed, and found again"
birdc_at r disable bfd1 >/dev/null
wait_for "the session to end" bfd_is 192.0.2.9 failures 2
birdc_at r enable bfd1 >/dev/null
all_up

step "a weftd that ends says AdminDown; one that is killed is missed"
weftd_stop h1 KILL
for a in 192.0.2.1 2001:db8::1; do wait_for "BIRD to miss $a" bird_bfd $a Down; done
weft_bgp 1
all_up
weftd_stop h1
wait_for "BIRD to hear it" bird_bfd 192.0.2.1 Down

step "authentication is refused with a word, and BGP lives without BFD"
bird_conf 64999 "" 'authentication meticulous keyed sha1; password "sesame";' >"$net_dir/r.bird"
birdc_at r configure >/dev/null
weft_bgp 1
wait_for "the session" established h1 192.0.2.9
wait_for "the word" eval "bfd_at 192.0.2.9 refused | grep -q authentication"
bfd_is 192.0.2.9 state Down || fail "BFD is $(bfd_at 192.0.2.9 state)"
log_says h1 'asks for authentication' || fail "the log does not tell"
weftd_stop h1

step "iBGP: over several hops, port 4784"
bird_conf 64512 "multihop;" "" >"$net_dir/r.bird"
birdc_at r configure >/dev/null
weft_conf 64512 <<<yes >"$net_dir/h1.yaml"
weft_bgp 1
all_up
bfd_at 192.0.2.9 multihop || fail "over one hop"
in_host h1 ss -Hlun 'sport = :4784' | grep -q . || fail "nobody listens on 4784"
wait_for "BIRD's view" bird_bfd 192.0.2.1 Up
wait_for "what we expect" bfd_is 192.0.2.9 detection_us 1500000
fails_fast 1500
mend
all_up
kill "$(cat "$net_dir/r.birdpid")"
weftd_stop h1

[ -x /usr/lib/frr/bfdd ] || { echo "FRR is not installed: BIRD alone was asked"; exit 77; }
step "FRR, one hop: up in its view"
cat >"$net_dir/r.frr" <<CONF
frr defaults datacenter
hostname r
log file $net_dir/frr/says
bfd
 profile fast
  transmit-interval 250
  receive-interval 250
  detect-multiplier 5
router bgp 64999
 bgp router-id 192.0.2.9
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 192.0.2.1 remote-as 64512
 neighbor 192.0.2.1 bfd profile fast
 neighbor 192.0.2.1 timers connect 2
 neighbor 192.0.2.1 timers 30 90
 neighbor 2001:db8::1 remote-as 64512
 neighbor 2001:db8::1 bfd profile fast
 neighbor 2001:db8::1 timers connect 2
 neighbor 2001:db8::1 timers 30 90
 address-family ipv4 unicast
  network 198.51.100.0/24
  no neighbor 2001:db8::1 activate
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:c::/64
  neighbor 2001:db8::1 activate
 exit-address-family
CONF
frr_bfd() { # ADDRESS STATUS
	vty -c "show bfd peer $1 json" | grep -q "\"status\":\"$2\""
}
weft_conf 64999 <<<'{min-tx: 200, min-rx: 200, multiplier: 5}' >"$net_dir/h1.yaml"
frr_start zebra bfdd bgpd
weft_bgp 1
all_up
for a in 192.0.2.1 2001:db8::1; do
	wait_for "FRR's view of $a" frr_bfd $a up
	wait_for "FRR's session with $a" frr_up $a
done
for a in "${peers[@]}"; do
	wait_for "what we expect of $a" bfd_is "$a" detection_us 1250000
	wait_for "what we send to $a" bfd_is "$a" interval_us 250000
done
wait_for "the learned route" kernel_has h1 198.51.100.0/24 'via 192\.0\.2\.9'

step "FRR: cut without a word"
fails_fast 1250
for a in 192.0.2.1 2001:db8::1; do wait_for "FRR to miss $a" frr_bfd $a down; done
wait_for "FRR's session to be down" eval "! frr_up 192.0.2.1"
mend
all_up

step "FRR: administrative down takes nothing down"
flaps=$(neighbour_at h1 192.0.2.9 flaps)
vty -c 'configure terminal' -c bfd -c 'profile fast' -c shutdown
wait_for "BFD to be down" bfd_is 192.0.2.9 state Down
bfd_is 192.0.2.9 peer_state AdminDown || fail "the peer's state is $(bfd_at 192.0.2.9 peer_state)"
bfd_is 192.0.2.9 failures 1 || fail "counted as a failure"
established h1 192.0.2.9 || fail "BGP ended"
[ "$(neighbour_at h1 192.0.2.9 flaps)" = "$flaps" ] || fail "the session flapped"
vty -c 'configure terminal' -c bfd -c 'profile fast' -c 'no shutdown'
all_up
frr_stop
