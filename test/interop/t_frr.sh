#!/bin/bash
# t_frr.sh - FRR's bgpd and zebra beside a mesh of two nodes: eBGP over IPv4 and IPv6 with MD5 on one session
# and GTSM on the other, announcements both ways, traffic from a host behind FRR to pods of both nodes,
# communities, large communities, withdrawal, refresh, a soft reset; then iBGP. Asserted is vtysh's own view.
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/lib.sh"
. "$root/test/interop/frr.sh"
[ -x /usr/lib/frr/bgpd ] || { echo "FRR is not installed"; exit 77; }
net_init frr "$(mktemp -d)"
trap net_end EXIT
mesh_hosts 2
bgp_router r 9
exits=(198.51.100.0/24 2001:db8:c::/64)

frr_conf() { # ASN
	cat <<CONF
frr defaults datacenter
hostname r
log file $net_dir/frr/says
router bgp $1
 bgp router-id 192.0.2.9
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 192.0.2.1 remote-as 64512
 neighbor 192.0.2.1 password sesame
 neighbor 192.0.2.1 timers connect 2
 neighbor 2001:db8::1 remote-as 64512
 neighbor 2001:db8::1 timers connect 2
$([ "$1" = 64512 ] || echo ' neighbor 2001:db8::1 ttl-security hops 1')
 address-family ipv4 unicast
  network 198.51.100.0/24
  network 203.0.113.0/24 route-map tag
  neighbor 192.0.2.1 activate
  neighbor 192.0.2.1 send-community both
  neighbor 192.0.2.1 soft-reconfiguration inbound
  no neighbor 2001:db8::1 activate
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:c::/64
  neighbor 2001:db8::1 activate
  no neighbor 192.0.2.1 activate
 exit-address-family
route-map tag permit 10
 set community 64999:77
 set large-community 64999:1:2
CONF
}
weft_conf() { # ASN-OF-PEER
	cat <<CONF
$(weft_head "announce: {pods: all, ranges: yes}")
  - address: 192.0.2.9
    asn: $1
    password: sesame
    next-hop-self: yes
    import: [198.51.100.0/24, 203.0.113.0/24 le 32]
    export: accept
  - address: 2001:db8::9
    asn: $1
    next-hop-self: yes
    import: accept
    export: ["fd32::/32 le 64"]
CONF
	[ "$1" = 64512 ] || echo "    ttl-security: yes"
}
start() { # ASN
	weft_conf "$1" >"$net_dir/h1.yaml"
	frr_conf "$1" >"$net_dir/r.frr"
	frr_start
	weft_bgp 1 $(printf -- '--exit %s ' "${exits[@]}")
	for a in 192.0.2.9 2001:db8::9; do wait_for "the session with $a" established h1 $a; done
	for a in 192.0.2.1 2001:db8::1; do wait_for "FRR's view of $a" frr_up $a; done
}

step "eBGP with FRR: MD5 over IPv4, GTSM over IPv6"
node_start 2 $(printf -- '--accept %s ' "${exits[@]}")
start 64999
wait_for "the mesh" mesh_is_full 2 h1 h2
for p in 10.32.1.0/24 10.32.2.0/24 10.32.0.0/16; do wait_for "FRR to have $p" frr_has $p '192\.0\.2\.1 from 192\.0\.2\.1'; done
for p in fd32:0:0:1::/64 fd32:0:0:2::/64 fd32::/32; do wait_for "FRR to have $p" frr_has $p '2001:db8::1'; done
frr_has 10.32.2.0/24 '^ *64512$' || fail "the path is not ours alone"
frr_has 10.32.0.0/16 'aggregated by 64512 192\.0\.2\.1' || fail "the aggregate has no aggregator"
wait_for "the learned route" kernel_has h1 198.51.100.0/24 'via 192\.0\.2\.9'
wait_for "the learned route, IPv6" kernel_has h1 2001:db8:c::/64 'via 2001:db8::9'
wait_for "FRR's kernel to have it" shows '10\.32\.2\.0/24 .*via 192\.0\.2\.1' ip -n "$(ns_of r)" route

step "traffic: the host behind FRR reaches pods of both nodes, and they reach it"
for p in 10.32.1.2 10.32.2.2 fd32:0:0:1::2 fd32:0:0:2::2; do wait_for "c to reach $p" pings c $p; done
for p in p1 p2; do pings $p 198.51.100.2 || fail "$p does not reach c"; done

step "communities of both kinds are kept"
wait_for "the network with communities" kernel_has h1 203.0.113.0/24 'via 192\.0\.2\.9'
json_at h1 "any(r['communities'] == '64999:77 64999:1:2' for r in d['routes'])" status bgp routes 203.0.113.0/24 ||
	fail "communities: $(weft_at h1 status bgp routes 203.0.113.0/24)"

step "withdrawal: FRR's side, and a node that leaves"
vty -c 'configure terminal' -c 'router bgp 64999' -c 'address-family ipv4 unicast' -c 'no network 203.0.113.0/24'
wait_for "the route to go" kernel_lacks h1 203.0.113.0/24
vty -c 'configure terminal' -c 'router bgp 64999' -c 'address-family ipv4 unicast' -c 'network 203.0.113.0/24'
wait_for "the route to come" kernel_has h1 203.0.113.0/24 'via 192\.0\.2\.9'
weft_at h2 down >/dev/null
wait_for "FRR to lose h2's pods" frr_lacks 10.32.2.0/24
frr_has 10.32.0.0/16 best || fail "the aggregate went with one of its parts"

# FRR 8.4 counts a refresh but answers only once it has sent End-of-RIB, which it owes to speakers with
# graceful restart alone.
step "refresh, asked by each side"
weft_at h1 bgp refresh 192.0.2.9 >/dev/null || fail "no refresh"
wait_for "FRR to get the refresh" shows 'Route Refresh: +[0-9]+ +1$' vty -c 'show bgp neighbors 192.0.2.1'
tx=$(neighbour_at h1 2001:db8::9 tx_updates)
vty -c 'clear bgp ipv6 unicast 2001:db8::1 in'
wait_for "weft to send all again" grown "$tx" neighbour_at h1 2001:db8::9 tx_updates

step "shutdown with a message"
weft_at h1 bgp shutdown 192.0.2.9 --message "moving racks" >/dev/null
wait_for "FRR to read it" eval "vty -c 'show bgp neighbors 192.0.2.1 json' | grep -q 'moving racks'"
weft_at h1 bgp start 192.0.2.9 >/dev/null
wait_for "the session to come back" established h1 192.0.2.9

step "iBGP with FRR"
weftd_stop h1
frr_stop
start 64512
for a in 192.0.2.9 2001:db8::9; do neighbour_is h1 $a kind ibgp || fail "$a is not iBGP"; done
wait_for "FRR to have our pods" frr_has 10.32.1.0/24 'internal.*best'
wait_for "the learned route" kernel_has h1 198.51.100.0/24 'via 192\.0\.2\.9'
wait_for "the learned route, IPv6" kernel_has h1 2001:db8:c::/64 'via 2001:db8::9'
json_at h1 "all(r['local_pref'] == 100 and r['as_path'] == '' for r in d['routes'])" status bgp routes --neighbour 192.0.2.9 ||
	fail "the attributes are not those of iBGP"
wait_for "c to reach p1" pings c 10.32.1.2
