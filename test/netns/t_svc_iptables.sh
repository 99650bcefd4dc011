#!/bin/bash
# Services with the rules of kube-proxy's iptables mode, by both families: cluster IP, node port, hairpin, host, pods
# on the host's network, outside, DNS under load. With rp_filter 1 wherever weft leaves it to the host.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/svc_lib.sh"
net_init svci "$(mktemp -d)"
trap net_end EXIT

svc_hosts
step "without a service: the masquerade alone"
wait_for "the masquerade with random ports" shows 'masquerade fully-random' in_host h1 nft list table inet weft-out
for f in 4 6; do
	expect a1 "$(ext_addr $f)" 8080 "ext $(node_addr h1 $f)" "a pod to the outside"
	expect a1 "$(pod_addr b1 $f)" 8080 "b1 $(pod_addr a1 $f)" "a pod to a pod elsewhere"
	expect a2 "$(pod_addr a1 $f)" 8080 "a1 $(pod_addr a2 $f)" "a pod to a pod of its host"
	expect a1 "$(mesh_addr h2 $f)" 8080 "h2 $(pod_addr a1 $f)" "a pod to another host's mesh address"
done
for h in h1 h2; do
	in_host $h sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1 net.ipv4.conf.u0.rp_filter=1
	svc_rules $h iptables iptables-nft
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
