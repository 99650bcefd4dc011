#!/bin/bash
# t_widest.sh - a host with two interfaces, of 1500 and of 9000, h1: h2 is behind the wide one alone, h3 behind the
# narrow one. Pods get what the widest interface carries that the mesh runs over, wherever the default route
# leads; it is known from the seeds or from an earlier run before any session stands, else from the first session
# by it, and status tells which pods lag. Peers behind the narrow one get the difference by their routes.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
. "$root/test/netns/paths.sh"
net_init widest "$(mktemp -d)"
trap net_end EXIT

mesh_mtu_is() { json_at h1 "d['pod_mtu']['mesh'] == d['offloads']['mtu'] == $1" status; }
device_mtu_is() { [ "$(ip -n "$(ns_of h1)" -j link show dev weft0 | jq '.[0].mtu')" = "$1" ]; }
# lags MTU...: the pods' devices with less than the mesh's, by their MTU.
lags() { json_at h1 "[x['mtu'] for x in d['pod_mtu']['devices'] if x['device'] == 'eth-p1'] == [$*]" status; }
# What the kernel's route to the pods of hN says, or the device. route_mtu_is N MTU
route_mtu_is() {
	local m
	m=$(ip -n "$(ns_of h1)" route show table 679301 "10.32.$1.0/24" | grep -o 'mtu [0-9]*') || # or the device's
		m=$(ip -n "$(ns_of h1)" -o link show weft0 | grep -o 'mtu [0-9]*')
	[ "$m" = "mtu $2" ]
}
pod_mtu() { ip -n "$(ns_of "p$1")" link set eth0 mtu "$2"; ip -n "$(ns_of "h$1")" link set "eth-p$1" mtu "$2"; }
# Payloads up to what the path carries pass between p1 and the pod of hN. carries N OUTER
carries() {
	keep_busy p1 "10.32.$1.2"
	within 10 "h1 knows of $2 to h$1" path_mtu_is h1 "h$1" "$2"
	wait_for "the route to have it" route_mtu_is "$1" $(($2 - 64))
	keep_busy_stop
	tool udpload p1 sweep "10.32.$1.2" 7001 $(($2 - 64 - 28 - 10)) $(($2 - 64 - 28)) 8
	in_pod p1 /usr/bin/python3 "$root/test/netns/bigsend.py" "10.32.$1.2" 7001 $(($2 - 64))
}
# A node that has never run, after all who knew an earlier one were stopped. fresh N OPTION...
fresh() { rm -rf "$net_dir/h$1/state"; node_start "$@"; }
narrow_default() { ip -n "$(ns_of h1)" route replace default via 192.0.2.254; }

mesh_hosts 3
h1=$(ns_of h1) h2=$(ns_of h2)
ip link add u1 netns "$h1" mtu 9000 type veth peer name u1 netns "$h2" mtu 9000
ip -n "$h1" addr add 203.0.113.1/24 dev u1
ip -n "$h2" addr add 203.0.113.2/24 dev u1
for h in "$h1" "$h2"; do ip -n "$h" link set u1 up; done
ip -n "$h2" addr flush dev u0
underlay_only v4 1
underlay_only v4 3
ip -n "$h2" addr flush dev u0
wire_mode h1 h3
for n in 1 2 3; do echo_start p$n 7001; done
for n in 2 3; do pod_mtu $n 8936; done

step "the default route by 1500, a seed behind 9000: known before any session"
narrow_default
SEED=203.0.113.2 fresh 1
json_at h1 "d['peers']['up'] == 0" status || fail "h1 has a session already"
mesh_mtu_is 8936 && device_mtu_is 8936 || fail "the mesh has $(json_at h1 "d['pod_mtu']" status)"
lags 1436 || fail "status does not name the pod that has less"
SEED=203.0.113.1 fresh 2
fresh 3
wait_for "three nodes to agree" all_agree 3 4 h1 h2 h3
pod_mtu 1 8936
lags || fail "a pod that has what the mesh carries is told of"
carries 2 9000
carries 3 1500

step "no seed: by the first session over the wide interface; what has less keeps it by its route"
for n in 1 2 3; do weftd_stop h$n; done
SEED='' fresh 1
mesh_mtu_is 1436 || fail "the mesh has $(json_at h1 "d['pod_mtu']" status)"
pod_mtu 1 1436
fresh 3
wait_for "h1 and h3 to agree" all_agree 2 2 h1 h3
carries 3 1500
lags || fail "pods lag behind nothing"
SEED=203.0.113.1 fresh 2
wait_for "three nodes to agree" all_agree 3 4 h1 h2 h3
mesh_mtu_is 8936 || fail "the mesh has $(json_at h1 "d['pod_mtu']" status) with a session by the wide interface"
wait_for "the device to follow" device_mtu_is 8936
lags 1436 || fail "status does not name the pod that was made before"
wait_for "the route to h3 to have what its path carries" route_mtu_is 3 1436
pod_mtu 1 8936
carries 2 9000
carries 3 1500

step "a restart without seed, and everybody down: by the nodes that it knew"
for n in 2 3 1; do weftd_stop h$n; done
SEED='' node_start 1
json_at h1 "d['peers']['up'] == 0" status || fail "h1 has a session already"
mesh_mtu_is 8936 && device_mtu_is 8936 || fail "the mesh has $(json_at h1 "d['pod_mtu']" status)"

step "the wide interface goes, and comes back"
ip -n "$h1" link set u1 down
wait_for "the mesh to follow" mesh_mtu_is 1436
wait_for "the device to follow" device_mtu_is 1436
ip -n "$h1" link set u1 up
wait_for "the mesh to follow" mesh_mtu_is 8936
weftd_stop h1

step "the reverse: the default route by 9000, the mesh by 1500"
ip -n "$h1" route replace default via 203.0.113.2
SEED=192.0.2.3 fresh 1
SEED='' fresh 3
wait_for "h1 and h3 to agree" all_agree 2 2 h1 h3
mesh_mtu_is 8936 || fail "who may be reached by the default route would have less: $(json_at h1 "d['pod_mtu']" status)"
carries 3 1500
for n in 1 3; do weftd_stop h$n; done

step "the default route by a tunnel of 1420, the mesh by 1500"
ip -n "$h1" link set u1 mtu 1420
SEED='' fresh 3
SEED=192.0.2.3 fresh 1
mesh_mtu_is 1436 && device_mtu_is 1436 || fail "the mesh has $(json_at h1 "d['pod_mtu']" status)"
wait_for "h1 and h3 to agree" all_agree 2 2 h1 h3
carries 3 1500
