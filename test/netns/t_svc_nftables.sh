#!/bin/bash
# Services with the rules of kube-proxy's nftables mode; cases as in t_svc_iptables.sh. For IPv6 kube-proxy was not told
# the pods' CIDR: then a host's own packets to services are weft's to give a source that peers take. With rp_filter 2.
# In the end --masquerade no.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/svc_lib.sh"
net_init svcn "$(mktemp -d)"
trap net_end EXIT

CIDR6=
svc_hosts
for h in h1 h2; do
	in_host $h sysctl -qw net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.default.rp_filter=2
	svc_rules $h nftables nft
	wait_for "$h to see the rules" json_at $h "d['kernel']['host_nat']" status
done
for f in 4 6; do
	step "services by IPv$f"
	svc_checks $f
	step "DNS by IPv$f"
	svc_dns $f 150
done
for h in h1 h2; do
	[ "$(drops_at $h bad_source)" = 0 ] || fail "$h refused packets of the other: bad_source"
done
json_at h1 "d['kernel']['masquerade']" status || fail "status doesn't tell of the masquerade"

step "--masquerade no"
weftd_stop h1
svc_node 1 --masquerade no
wait_for "a full mesh" mesh_is_full 2 h1 h2
json_at h1 "not d['kernel']['masquerade']" status || fail "status tells of a masquerade"
ip -n "$(ns_of ext)" route add 10.32.1.0/24 via 192.0.2.1
expect a1 192.0.2.3 8080 "ext $(pod_addr a1 4)" "a pod to the outside"
expect a1 "$(svc_addr 10 4)" 80 "b1 $(pod_addr a1 4)" "a pod to a service elsewhere"
