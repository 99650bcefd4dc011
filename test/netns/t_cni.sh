#!/bin/bash
# The CNI plugin by its specification, over the real binary: each verb, version and error, kills, parallel
# calls, full pools and disks; the rule of ADD; and pods of two hosts that talk over the mesh by interfaces
# that it made. The cases are in cni_suite.py.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
net_init cni "$(mktemp -d)"
trap net_end EXIT
plugin=${WEFT_CNI:-$build/cli/cni/weft-cni}

suite() { /usr/bin/python3 "$root/test/netns/cni_suite.py" "$net_name" "$net_dir" "$plugin" "$1"; }
# cni_start N OPTION...: weftd on hN with prefixes that are bound to no device.
cni_start() {
	local n=$1
	shift
	weftd_start "h$n" --cluster-range 10.32.0.0/16 --cluster-range fd32::/32 "$@"
}
both() { echo --prefix "10.32.$1.0/24" --prefix "fd32:0:0:$1::/64"; }
pod_network() { # HOST: what the plugin is told
	PYTHONPATH=$root/test/kube /usr/bin/python3 -B -c "
import json, sys, fakeweftd
print(json.dumps(fakeweftd.ask(sys.argv[1], 'pod-network')['data']))" "$net_dir/$1/run/weft.sock"
}
linked() { pod_network "$1" | grep -q '"peers_linked": 1'; }
# plug VERB HOST POD: call the plugin there.
plug() {
	local verb=$1 h=$2 p=$3
	echo "{\"cniVersion\":\"1.0.0\",\"name\":\"weft\",\"type\":\"weft-cni\",\"socket\":\"$net_dir/$h/run/weft.sock\",\"dataDir\":\"$net_dir/$h/run/cni\"}" |
		nsenter "--net=/run/netns/$(ns_of "$h")" env CNI_COMMAND="$verb" CNI_CONTAINERID="c-$p" \
			CNI_NETNS="/run/netns/$(ns_of "$p")" CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin "$plugin"
}

net_underlay h1 h2
"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null

step "verbs, versions, errors"
cni_start 1 $(both 1)
suite verbs
step "GC, kills, parallel calls, full disk, weftd down"
suite life

step "a small pool"
cni_start 1 --prefix 10.32.1.0/29
suite small
weftd_stop h1
step "IPv6 alone"
cni_start 1 --prefix fd32:0:0:1::/64
suite six
weftd_stop h1
step "a node that claims"
# claiming_start RANGE: an earlier run's claims are gone.
claiming_start() {
	rm -rf "$net_dir/h1/state"
	weftd_start h1 --cluster-range "$1" --prefix auto/29
	wait_for "the first block" json_at h1 "d['prefixes'][0]['state'] == 'in_use'" status ipam
}
claiming_start 10.34.0.0/28
suite claiming
weftd_stop h1
claiming_start 10.35.0.0/16
suite claiming-much
weftd_stop h1
step "no prefix"
cni_start 1
suite no-prefix
weftd_stop h1

step "the rule of ADD: a seed that never answers"
cni_start 1 $(both 1) --peer 192.0.2.77
suite settling
weftd_stop h1

step "the rule of ADD: a peer that has yet to learn our prefixes"
cni_start 1
cni_start 2 $(both 2) --peer 192.0.2.1
wait_for "the link" linked h1
suite unknown
weftd_stop h1
cni_start 1 $(both 1) --peer 192.0.2.2

step "pods of two hosts"
for n in 1 2; do
	ns_add "c$n"
	plug ADD "h$n" "c$n" >"$net_dir/c$n.json"
done
a1=$(sed 's/.*"address":"\(10[0-9.]*\).*/\1/' "$net_dir/c1.json") a2=$(sed 's/.*"address":"\(10[0-9.]*\).*/\1/' "$net_dir/c2.json")
b1=$(sed 's/.*"address":"\(fd[0-9a-f:]*\).*/\1/' "$net_dir/c1.json") b2=$(sed 's/.*"address":"\(fd[0-9a-f:]*\).*/\1/' "$net_dir/c2.json")
capture_start h1
for pair in "c1 $a2" "c2 $a1" "c1 $b2" "c2 $b1"; do
	set -- $pair
	wait_for "ping from $1 to $2" pings "$1" "$2"
done
udp_tcp_echo c1 c2 "$a2" "over the mesh"
udp_tcp_echo c2 c1 "$b1" "over the mesh by IPv6"
in_host h1 ping -c1 -W2 -q "$a2" >/dev/null || fail "host to a pod of another host"
capture_stop
not capture_has_inner || fail "inner packets in clear"
not capture_has "over the mesh" || fail "content in clear"

step "a restart of weftd leaves pods alone; DEL leaves nothing"
weftd_stop h1 KILL
cni_start 1 $(both 1) --peer 192.0.2.2
wait_for "pods after a restart" pings c1 "$a2"
for n in 1 2; do plug DEL "h$n" "c$n"; done
in_host h1 ip -o link | grep -q wpod && fail "an interface is left"
not pings c1 "$a2" 2>/dev/null || fail "a pod that was removed still speaks"
