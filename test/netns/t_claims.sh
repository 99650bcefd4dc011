#!/bin/bash
# t_claims.sh - prefixes that are claimed from the range: three nodes choose different blocks, pods in them
# talk, a restart keeps block and age, a dead node's block stays leased until it is forgotten, a full range is
# told, an orchestrator's list comes and goes, a torn or copied file costs a block and nothing else.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
net_init claims "$(mktemp -d)"
trap net_end EXIT

ipam() { json_at "$1" "$2" status ipam; }
# own HOST FAMILY: its claimed prefix in use, an error if there is none.
own() { ipam "$1" "[p['prefix'] for p in d['prefixes'] if p['self'] and p['right'] == 'claim' and p['state'] == 'in_use' and (':' in p['prefix']) == ($2 == 6)][0]"; }
has_own() { own "$1" 4 && own "$1" 6; }
since() { ipam "$1" "[p['since_unix_secs'] for p in d['prefixes'] if p['self']][0]"; }
# state_of HOST PREFIX STATE: HOST says so of the prefix.
state_of() { ipam "$1" "any(p['prefix'] == '$2' and p['state'] == '$3' for p in d['prefixes'])"; }
claim_start() { # N: two claims, the seeds are all three hosts
	local n=$1
	shift
	weftd_start "h$n" --cluster-range "${RANGE:-10.32.0.0/16}" --cluster-range fd32::/48 --prefix "auto/24@eth-p$n" \
		--prefix auto/64 --peer 192.0.2.1 --peer 192.0.2.2 --peer 192.0.2.3 "$@"
}
# pod N: a pod at the second address of hN's claimed IPv4 block.
pod_make() {
	local h=h$1 p=p$1 net
	net=$(own "$h" 4)
	net=${net%.0/24}
	ns_add "$p"
	ip link add eth0 netns "$(ns_of "$p")" mtu 1436 type veth peer name "eth-$p" netns "$(ns_of "$h")"
	ip -n "$(ns_of "$h")" addr add "$net.1/24" dev "eth-$p" noprefixroute
	ip -n "$(ns_of "$h")" link set "eth-$p" mtu 1436 up
	ip -n "$(ns_of "$p")" addr add "$net.2/24" dev eth0
	ip -n "$(ns_of "$p")" link set eth0 up
	ip -n "$(ns_of "$p")" route add default via "$net.1"
}
addr_of() { local n; n=$(own "$1" 4); echo "${n%.0/24}.2"; }

net_underlay h1 h2 h3
"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null

step "three nodes that start together choose different blocks"
for n in 1 2 3; do claim_start $n; done
for n in 1 2 3; do wait_for "h$n to use two blocks" has_own h$n; done
[ "$(for n in 1 2 3; do own h$n 4; done | sort -u | wc -l)" = 3 ] || fail "IPv4 blocks are shared"
[ "$(for n in 1 2 3; do own h$n 6; done | sort -u | wc -l)" = 3 ] || fail "IPv6 blocks are shared"
all_seen() { local n m; for n in 1 2 3; do for m in 1 2 3; do state_of h$n "$(own h$m 4)" in_use || return 1; done; done; }
wait_for "each to know all blocks" all_seen
ipam h1 "d['ranges'][0]['size'] == 256 and d['ranges'][0]['owned'] == 3 and d['ranges'][0]['free'] == 253" ||
	fail "the range is not counted right"

step "their mesh addresses stand, and pods in the blocks talk"
for n in 1 2 3; do pod_make $n; done
json_at h1 "d['node']['mesh_addresses'][0] == '$(own h1 4 | sed 's#\.0/24#.1#')'" status || fail "no mesh address of the block"
for n in 1 2 3; do for m in 1 2 3; do
	[ $n = $m ] || wait_for "p$n to reach p$m" pings p$n "$(addr_of h$m)"
done; done
weft_at h1 status ipam >"$net_dir/out"
cat "$net_dir/out"
grep -qE "10\.32\.0\.0/16 .*range .*256 of /24: 3 owned, 0 leased, 253 free" "$net_dir/out" || fail "no line of the range"
grep -qE "$(own h2 4) +h2 +claim +in use" "$net_dir/out" || fail "no line of h2's block"

step "a restart keeps the block and its age, after kill -9 too"
was4=$(own h2 4) was6=$(own h2 6) age=$(since h2)
weftd_stop h2
claim_start 2
[ "$(own h2 4)" = "$was4" ] && [ "$(own h2 6)" = "$was6" ] || fail "other blocks after a restart"
[ "$(since h2)" = "$age" ] || fail "another age after a restart"
kill -9 "$(cat "$net_dir/h2/pid")"
wait_for "h2 to be gone" not kill -0 "$(cat "$net_dir/h2/pid")"
claim_start 2
[ "$(own h2 4)" = "$was4" ] && [ "$(since h2)" = "$age" ] || fail "other blocks after kill -9"
wait_for "p1 to reach p2" pings p1 "$(addr_of h2)"

step "status ipam tells how many addresses of a block pods have"
ns_add q1
echo "{\"cniVersion\":\"1.0.0\",\"name\":\"weft\",\"type\":\"weft-cni\",\"socket\":\"$net_dir/h1/run/weft.sock\",\"dataDir\":\"$net_dir/h1/run/cni\"}" |
	nsenter "--net=/run/netns/$(ns_of h1)" env CNI_COMMAND=ADD CNI_CONTAINERID=q1 CNI_NETNS="/run/netns/$(ns_of q1)" \
		CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin "${WEFT_CNI:-$build/cli/cni/weft-cni}" >"$net_dir/out" || { cat "$net_dir/out"; fail "ADD"; }
ipam h1 "[p['pods']['used'] for p in d['prefixes'] if p['prefix'] == '$(own h1 6)'] == [1]" || fail "the pod is not counted"
ipam h1 "[p['pods'] for p in d['prefixes'] if p['prefix'] == '$(own h1 4)'] == [None]" || fail "a device's block has no pods"

step "a dead node's block is leased, and free when it is forgotten"
weftd_stop h3
: >"$net_dir/h3/log"
last=$(ipam h1 "[p['prefix'] for p in d['prefixes'] if p['node'] == 'h3' and ':' not in p['prefix']][0]")
WAIT=60 wait_for "h1 to lease h3's block" state_of h1 "$last" leased
ipam h1 "d['ranges'][0]['leased'] == 1 and d['leases']['running'] == 1" || fail "the lease is not counted"
weft_at h1 status ipam | grep -qE "$last +h3 +claim +leased .*left" || fail "no line of the lease"
weft_at h1 forget h3 >/dev/null
freed() { ipam "$1" "d['ranges'][0]['owned'] == 2 and d['ranges'][0]['leased'] == 0"; }
wait_for "the block to be free" freed h1
wait_for "h2 to hear that it was forgotten" freed h2

step "a node that the orchestrator deleted loses its lease with its next outage; not if it is there after all"
back() { claim_start 2; wait_for "h2 to use its blocks" has_own h2; wait_for "h1 to know it" state_of h1 "$was4" in_use; }
was4=$(own h2 4)
ctl_request h1 node-deleted node h2 >/dev/null
state_of h1 "$was4" in_use || fail "a living node lost its block"
weftd_stop h2
wait_for "h2's lease to end" state_of h1 "$was4" expired
ipam h1 "d['leases']['missing'] == 0 and d['leases']['running'] == 0" || fail "a deleted node is waited for"
back
ctl_request h1 node-deleted node h2 >/dev/null
ctl_request h1 node-added node h2 >/dev/null
weftd_stop h2
wait_for "h2's block to be leased, since it is no deleted node" state_of h1 "$was4" leased
ctl_request h1 node-deleted node h2 >/dev/null
state_of h1 "$was4" expired || fail "the lease of a node that is down did not end at once"
back

step "an orchestrator's list comes, stays over a restart, and goes"
ctl_request h1 prefix-set prefixes 10.32.250.0/24,10.32.251.0/24 >/dev/null || fail "prefix-set was refused"
wait_for "h2 to hear of it" state_of h2 10.32.250.0/24 in_use
weftd_stop h1
claim_start 1
state_of h1 10.32.251.0/24 in_use || fail "the list did not outlive a restart"
not ctl_request h1 prefix-set prefixes 172.31.0.0/24 >/dev/null || fail "a prefix outside the ranges was taken"
ctl_request h1 prefix-set prefixes 10.32.251.0/24 >/dev/null
gone() { not state_of h2 10.32.250.0/24 in_use; }
wait_for "the other to go" gone

step "one of its prefixes whose addresses the host has itself is not announced; it is tried again, and announced then"
weftd_stop h1
ip -n "$(ns_of h1)" link add clash type bridge
ip -n "$(ns_of h1)" link set clash up
ip -n "$(ns_of h1)" route add 10.32.251.0/24 dev clash
claim_start 1
state_of h1 10.32.251.0/24 refused || fail "it is not told as refused"
weft_at h1 status ipam | grep -qE '10\.32\.251\.0/24 .*refused .*again in' || fail "no line of it"
shows 'prefix 10.32.251.0/24 can.t be used here: it overlaps' json_at h1 "'\n'.join(d['warnings'])" status || fail "no warning of it"
silent() { ipam h2 "all(p['prefix'] != '10.32.251.0/24' for p in d['prefixes'])"; }
wait_for "h2 to know of none" silent
ip -n "$(ns_of h1)" link del clash
WAIT=100 wait_for "h2 to know it again" state_of h2 10.32.251.0/24 in_use
state_of h1 10.32.251.0/24 in_use || fail "it is announced, and not in use"
ctl_request h1 prefix-set prefixes '' >/dev/null || fail "an empty list was refused"

step "more blocks when pods ask"
ctl_request h1 prefix-more family 4 >/dev/null || fail "prefix-more was refused"
two() { ipam h1 "sum(p['self'] and p['right'] == 'claim' and p['state'] == 'in_use' for p in d['prefixes']) == 3"; }
wait_for "a second IPv4 block" two

step "a full disk: claims go on, it is told, and the file is written as soon as there is room"
small_state h3 128k
claim_start 3
wait_for "h3 to use blocks" has_own h3
blocks() { ipam "$1" "' '.join(sorted(p['prefix'] for p in d['prefixes'] if p['self'] and p['right'] == 'claim' and p['state'] == 'in_use'))"; }
few=$(blocks h3)
sum() { sha256sum <"$net_dir/h3/state/claims"; }
before=$(sum)
dd if=/dev/zero of="$net_dir/h3/state/filler" bs=4k 2>/dev/null || true
ctl_request h3 prefix-more family 4 >/dev/null || fail "prefix-more was refused"
more() { [ "$(blocks h3 | wc -w)" = 3 ]; }
wait_for "h3 to use one more, written down or not" more
wait_for "the others to know it" state_of h1 "$(blocks h3 | tr ' ' '\n' | grep -vxF "${few// /$'\n'}")" in_use
log_says h3 "the claims can't be written (No space left" || fail "nothing is told of the full disk"
shows "the claims can't be written" json_at h3 "'\n'.join(d['warnings'])" status || fail "no warning of it"
[ "$(sum)" = "$before" ] || fail "the old file was touched"
rm "$net_dir/h3/state/filler"
written() { [ "$(sum)" != "$before" ]; }
WAIT=100 wait_for "the file to be written, which is tried each 10 s" written
many=$(blocks h3)
kill -9 "$(cat "$net_dir/h3/pid")"
wait_for "h3 to be gone" not kill -0 "$(cat "$net_dir/h3/pid")"
claim_start 3
wait_for "h3 to use blocks" has_own h3
[ "$(blocks h3)" = "$many" ] || fail "$(blocks h3) after a restart instead of $many"
weftd_stop h3
umount "$net_dir/h3/state"

step "a torn file of claims costs a block; one of another node's too"
weftd_stop h2
truncate -s 40 "$net_dir/h2/state/claims"
claim_start 2
log_says h2 "claims was damaged" || fail "nothing is told of the torn file"
wait_for "h2 to use blocks" has_own h2
weftd_stop h2
cp "$net_dir/h1/state/claims" "$net_dir/h2/state/claims"
claim_start 2
log_says h2 "is another node's, a copied disk" || fail "nothing is told of the copied file"
wait_for "h2 to use blocks" has_own h2
[ "$(own h2 4)" != "$(own h1 4)" ] || fail "the copy brought h1's block along"
for n in 1 2; do weftd_stop h$n; done

step "a range that is full is told, and a node that wants a block of it isn't ready"
rm -rf "$net_dir"/h?/state
export RANGE=10.33.0.0/23
for n in 1 2; do claim_start $n; done
for n in 1 2; do wait_for "h$n to use a block" own h$n 4; done
claim_start 3
exhausted() { ipam h3 "d['wanted'][0]['state'] == 'exhausted'"; }
wait_for "h3 to find no room" exhausted
json_at h3 "not d['ready'] and 'claimed' in d['not_ready'][0]" status || fail "h3 claims to be ready"
json_at h1 "d['ready']" status || fail "h1 is not ready"
shows 'no /24 is free' json_at h3 "'\n'.join(d['warnings'])" status || fail "no warning of it"
weft_at h3 status ipam | grep -qE 'auto/24 .*exhausted' || fail "status ipam does not tell"
in_host h3 curl -s http://127.0.0.1:6794/metrics | grep -qx 'weft_range_exhausted 1' || fail "no metric of it"
weft_at h1 forget h2 >/dev/null || true
weftd_stop h2
ctl_request h3 node-deleted node h2 >/dev/null
WAIT=60 wait_for "h3 to get the block of a deleted node" own h3 4
