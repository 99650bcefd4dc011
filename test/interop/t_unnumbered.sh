#!/bin/bash
# t_unnumbered.sh - a neighbour by interface: FRR and weft find each other's link-local addresses by router
# advertisements, speak over these, exchange IPv4 by IPv6 next hops (RFC 8950) and IPv6; traffic runs by
# them. Then FRR's address changes, and the link goes and comes. Asserted is vtysh's own view.
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
