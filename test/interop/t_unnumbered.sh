#!/bin/bash
# t_unnumbered.sh - a neighbour by interface: FRR and weft find each other's link-local addresses by router
# advertisements, speak over these, exchange IPv4 by IPv6 next hops (RFC 8950) and IPv6; traffic runs by
# them. Then FRR's address changes, and the link goes and comes. The same in short by iBGP, and with BIRD, which
# takes whoever comes from a link-local address, by eBGP and iBGP, with GTSM, which knows the link. Asserted are the views of
# vtysh and birdc.
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/lib.sh"
. "$root/test/interop/frr.sh"
[ -x /usr/lib/frr/bgpd ] || { echo "FRR is not installed"; exit 77; }
net_init unnum "$(mktemp -d)"
trap net_end EXIT
mesh_hosts 1
bgp_router r 9
# Nothing but link-local addresses between the two.
ip -n "$(ns_of r)" addr del 192.0.2.9/24 dev u0
ip -n "$(ns_of r)" addr del 2001:db8::9/64 dev u0

cat >"$net_dir/r.frr" <<CONF
frr defaults datacenter
hostname r
log file $net_dir/frr/says
interface u0
 no ipv6 nd suppress-ra
 ipv6 nd ra-interval 3
router bgp 64999
 bgp router-id 192.0.2.9
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor u0 interface remote-as 64512
 neighbor u0 timers connect 2
 address-family ipv4 unicast
  network 198.51.100.0/24
  neighbor u0 activate
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:c::/64
  neighbor u0 activate
 exit-address-family
CONF
cat >"$net_dir/h1.yaml" <<CONF
bgp:
  asn: 64512
  router-id: 192.0.2.1
  listen: "::"
  announce: {pods: own, ranges: yes}
  peers:
  - {interface: u0, asn: 64999, import: accept, export: accept}
CONF
first() { json_at h1 "d['neighbours'][0]['$1']" status bgp; }
up() { [ "$(first state)" = Established ]; }
ll_of() { ip -n "$(ns_of "$1")" -6 addr show dev u0 scope link | awk '/inet6/ {split($2, a, "/"); print a[1]}'; }
at_address() { [ "$(first address)" = "$1" ]; }
learned() { kernel_has h1 198.51.100.0/24 "via inet6 $1 dev u0" && kernel_has h1 2001:db8:c::/64 "via $1 dev u0"; }

step "nobody there: told so"
SEED="" weft_bgp 1
[ "$(first interface)" = u0 ] || fail "the interface is not shown"
[ "$(first address)" = "" ] || fail "there is an address, of whom?"

step "found, established, both families by the link-local next hop"
frr_start
wait_for "the session" up
at_address "$(ll_of r)" || fail "the address is $(first address)"
wait_for "FRR's view" eval "vty -c 'show bgp summary' | grep -qE '^u0 +4 +64512'"
wait_for "the learned routes" learned "$(ll_of r)"
for p in 10.32.1.0/24 10.32.0.0/16 fd32:0:0:1::/64; do wait_for "FRR to have $p" frr_has $p "$(ll_of h1)"; done
json_at h1 "d['neighbours'][0]['extended_next_hop']" status bgp || fail "RFC 8950 is not negotiated"

step "traffic"
for p in 10.32.1.2 fd32:0:0:1::2; do wait_for "c to reach $p" pings c $p; done
pings p1 198.51.100.2 || fail "p1 does not reach c"
shows 'u0' weft_at h1 status bgp || fail "the text does not show the interface"

step "the neighbour's address changes"
old=$(ll_of r)
ip -n "$(ns_of r)" addr add fe80::9/64 dev u0 nodad
ip -n "$(ns_of r)" addr del "$old/64" dev u0
WAIT=60 wait_for "weft to find the new address" at_address fe80::9
WAIT=60 wait_for "the session" up
WAIT=60 wait_for "the learned routes" learned fe80::9
wait_for "c to reach p1" pings c 10.32.1.2

step "by name: shutdown, start; weft down takes the routes away"
weft_at h1 bgp shutdown u0 >/dev/null
wait_for "the routes to go" kernel_lacks h1 198.51.100.0/24
weft_at h1 bgp start u0 >/dev/null
wait_for "the session" up
wait_for "the learned routes" learned fe80::9
weft_at h1 down >/dev/null
wait_for "the table to be empty" kernel_lacks h1 198.51.100.0/24

conf_as() { # ASN-OF-PEER
	cat >"$net_dir/h1.yaml" <<CONF
bgp:
  asn: 64512
  router-id: 192.0.2.1
  listen: "::"
  announce: {pods: own, ranges: yes}
  peers:
  - {interface: u0, asn: $1, next-hop-self: yes, ttl-security: ${gtsm:-no}, import: accept, export: accept}
CONF
}
# Does the kernel of h1 answer who connects from there? knock SOURCE HOPS
knock() {
	in_host r /usr/bin/python3 -c "
import socket
s, u0 = socket.socket(socket.AF_INET6), socket.if_nametoindex('u0')
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, $2)
s.settimeout(2)
s.bind(('$1', 0, 0, u0))
s.connect(('$(ll_of h1)', 179, 0, u0))" 2>/dev/null
}
both_learn() {
	wait_for "the session" up
	wait_for "the learned routes" learned "$(ll_of r)"
	for p in 10.32.1.2 fd32:0:0:1::2; do wait_for "c to reach $p" pings c $p; done
}
again() { # ASN-OF-PEER
	conf_as "$1"
	SEED="" weft_bgp 1
}

step "FRR by iBGP"
wait_for "weftd to end" not weftd_running h1
frr_stop
sed -i 's/^router bgp 64999/router bgp 64512/; s/no bgp ebgp-requires-policy/no bgp default ipv4-unicast/; /neighbor u0 activate/a\  neighbor u0 next-hop-self' "$net_dir/r.frr"
again 64512
frr_start
both_learn
[ "$(first kind)" = ibgp ] || fail "it is not iBGP"
for p in 10.32.1.0/24 fd32:0:0:1::/64; do wait_for "FRR to have $p" frr_has $p 'internal.*best'; done
frr_stop
weftd_stop h1

gtsm=yes
for asn in 64999 64512; do
	step "BIRD, AS $asn"
	cat >"$net_dir/r.bird" <<CONF
$(bird_head 192.0.2.9)
protocol kernel { ipv4 { export all; }; }
protocol kernel { ipv6 { export all; }; }
protocol static n4 { ipv4; route 198.51.100.0/24 via "c0"; }
protocol static n6 { ipv6; route 2001:db8:c::/64 via "c0"; }
protocol radv { interface "u0" { max ra interval 4; min ra interval 3; default lifetime 0; }; }
protocol bgp w {
	local as $asn;
	neighbor range fe80::/10 as 64512;
	interface "u0";
	direct;
	ttl security on;
	dynamic name "w";
	ipv4 { import all; export where source = RTS_STATIC; next hop self; extended next hop on; };
	ipv6 { import all; export where source = RTS_STATIC; next hop self; };
}
CONF
	again $asn
	bird_start r
	both_learn
	wait_for "BIRD's view" eval "birdc_at r show protocols | grep -E '^w[0-9]+ +BGP' | grep -q Established"
	for p in 10.32.1.0/24 fd32:0:0:1::/64; do wait_for "BIRD to have $p" bird_has r $p "via $(ll_of h1)"; done
	knock "$(ll_of r)" 255 || fail "who is near is not answered"
	not knock "$(ll_of r)" 254 || fail "who is farther away is answered"
	ip -n "$(ns_of r)" addr add fe80::77/64 dev u0 nodad
	knock fe80::77 254 || fail "nobody's address is not answered"
	ip -n "$(ns_of r)" addr del fe80::77/64 dev u0
	birdc_at r down >/dev/null
	wait_for "BIRD to end" not test -e "$net_dir/r.birdctl"
	weftd_stop h1
done
