#!/bin/bash
# t_input.sh - a neighbour that says what it must not (test/netns/bgp_peer.py), to a weftd over TCP: prefixes that can't be
# routed, our own AS in the path, next hops of ours and nobody's, attributes that make a route a withdrawal (RFC 7606) and
# such that are left out, an UPDATE and a message that end the session; what weft does not speak, named with a remedy:
# confederations, EVPN, flowspec. Asserted is weft's word and count, the kernel's table, and what the neighbour is told.
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/lib.sh"
net_init input "$(mktemp -d)"
trap net_end EXIT
mesh_hosts 1
bgp_router r 9
them=192.0.2.9

cat >"$net_dir/h1.yaml" <<CONF
$(weft_head "announce: {pods: own}")
  - {address: $them, asn: 64999, passive: yes, import: accept, export: accept}
CONF
mkdir "$net_dir/r"

# Attributes (RFC 4271 4.3) and prefixes as they stand on the wire.
origin=40010100 path=40020602010000fde7 hop=400304c0000209
good=$origin$path$hop
first=203.0.113.0/24 first_hex=18cb0071
second=198.51.100.0/24 second_hex=18c63364
sent=0
tell() { # a line of bgp_peer.py, and back when it is sent
	printf '%s\n' "$@" >"$net_dir/r/new"
	mv "$net_dir/r/new" "$net_dir/r/$((++sent)).send"
	wait_for "it to be sent" test -e "$net_dir/r/$sent.sent"
}
in_kernel() { kernel_has h1 "$1" "via 192\.0\.2\.9"; }
count() { neighbour_at h1 $them "$1"; }
# stays PREFIX...: the session lives, with these routes.
stays() {
	local p
	established h1 $them || fail "the session ended: $(count last_error)"
	[ "$(count flaps)" = "$flaps" ] || fail "the session flapped: $(count last_error)"
	not grep -qE 'closed|notification' "$net_dir/r/said" || fail "it was told: $(tail -2 "$net_dir/r/said")"
	for p in "$@"; do in_kernel "$p" || fail "$p is gone"; done
}
fault_is() { count last_fault | grep -qiE -- "$1"; }
# counted FIELD LINE...: the lines, after which the count has grown by one.
counted() {
	local field=$1 n
	n=$(count "$field")
	shift
	tell "$@"
	wait_for "$field to grow" grown "$n" count "$field"
	[ "$(count "$field")" = $((n + 1)) ] || fail "$field: $(count "$field") after $n"
}

step "a session, and a route"
SEED="" weft_bgp 1
in_host r /usr/bin/python3 "$root/test/netns/bgp_peer.py" $them 192.0.2.1 64999 "$net_dir/r" >"$net_dir/r/out" 2>&1 </dev/null &
wait_for "the session" established h1 $them
wait_for "our route" grep -q '^update .*180a2001$' "$net_dir/r/said" # 10.32.1.0/24
tell "update $good $first_hex"
wait_for "its route" in_kernel $first
flaps=$(count flaps)

step "a prefix that can't be routed: ignored, what stands beside it is taken"
counted martians "update $good 087f$second_hex"
wait_for "the route beside it" in_kernel $second
kernel_lacks h1 127.0.0.0/8 || fail "127.0.0.0/8 is in the kernel"
not has_route h1 127.0.0.0/8 || fail "127.0.0.0/8 is a route"
fault_is "can't be routed" || fail "the word is $(count last_fault)"
stays $first

step "our own AS in the path: as good as withdrawn"
counted loops "update ${origin}40020a02020000fde70000fc00$hop $second_hex"
wait_for "the route to go" kernel_lacks h1 $second
stays $first

step "confederations are not spoken, in either kind of segment: as good as withdrawn, with a word that says what to do"
for bad in 3 4; do # AS_CONFED_SEQUENCE, AS_CONFED_SET of AS 64512
	counted treated_as_withdraw "update ${origin}40020c02010000fde70${bad}010000fc00$hop $second_hex"
	wait_for "the route to go" kernel_lacks h1 $second
	fault_is 'confederations \(RFC 5065\) are not spoken; let the neighbour' || fail "the word is $(count last_fault)"
	tell "update $good $second_hex"
	wait_for "the route" in_kernel $second
done
log_says h1 'confederations (RFC 5065) are not spoken' || fail "not in the log"
stays $first

step "a next hop that is ours, and one that is none: not used"
tell "update $good $second_hex"
wait_for "the route" in_kernel $second
for bad in c0000201 7f000001 00000000 e0000001; do
	tell "update $origin${path}400304$bad $second_hex"
	wait_for "the route by $bad to go" kernel_lacks h1 $second
	not has_route h1 $second || fail "a route by $bad is the best"
	tell "update $good $second_hex"
	wait_for "the route" in_kernel $second
done
stays $first

step "treat-as-withdraw: ORIGIN of 7, none at all, COMMUNITIES of three bytes"
for bad in "40010107$path$hop" "$path$hop" "${good}c00803000001"; do
	counted treated_as_withdraw "update $bad $second_hex"
	wait_for "the route to go" kernel_lacks h1 $second
	[ -n "$(count last_fault)" ] || fail "not told"
	tell "update $good $second_hex"
	wait_for "the route" in_kernel $second
done
stays $first

step "discard: ATOMIC_AGGREGATE of a byte, LOCAL_PREF from outside; the route is taken"
for bad in 40060100 40050400000fff; do
	tell "update - - $second_hex"
	wait_for "the route to go" kernel_lacks h1 $second
	n=$(count attributes_discarded)
	tell "update $good$bad $second_hex"
	wait_for "the route" in_kernel $second
	[ "$(count attributes_discarded)" -gt "$n" ] || fail "not counted"
done
json_at h1 "all(r.get('local_pref', 100) == 100 for r in d['routes'])" status bgp routes $second || fail "its LOCAL_PREF is used"
stays $first $second

said() { grep -c "^$1" "$net_dir/r/said"; }
# ends CODE SUBCODE TEXT LINE: it is told so, its routes go, and a new session is as good as the first.
ends() {
	local code=$1 subcode=$2 text=$3 sessions
	shift 3
	sessions=$(said established)
	touch "$net_dir/r/away"
	tell "$@"
	wait_for "the word to it" grep -q "^notification $code $subcode " "$net_dir/r/said"
	wait_for "weft's word" eval "count last_error | grep -qi -- '$text'"
	wait_for "the routes to go" kernel_lacks h1 $first
	shows "$them .*$text" weft_at h1 status bgp || fail "the table does not show it"
	rm "$net_dir/r/away"
	wait_for "a new session" grown "$sessions" said established
	tell "update $good $first_hex"
	wait_for "its route again" in_kernel $first
}
step "what ends the session: a prefix of 33 bits (3/10), an unknown message (1/3), an UPDATE longer than itself (3/1)"
ends 3 10 "invalid network field" "update $good 21cb00710080"
ends 1 3 "bad message type" "raw 9 -"
ends 3 1 "malformed attribute list" "raw 2 0000ffff40010100"

step "who offers nothing but EVPN, or flowspec, is told so (2/7), and weft's word says what to do"
# offers WORD FAMILY...
offers() {
	local text=$1 sessions
	shift
	sessions=$(said established)
	printf '%s\n' "$@" >"$net_dir/r/families"
	weft_at h1 bgp clear $them >/dev/null
	wait_for "weft's word" eval "count last_error | grep -qE -- '$text'"
	wait_for "the word to it" grep -q '^notification 2 7 010400010001' "$net_dir/r/said"
	log_says h1 "unsupported capability (2/7): ${text%% *}" || fail "not in the log"
	rm "$net_dir/r/families"
	wait_for "a session" grown "$sessions" said established
}
offers 'EVPN \(RFC 7432\) is not spoken; let the neighbour offer ipv4' "25 70"
offers 'flowspec \(RFC 8955\) is not spoken; let the neighbour offer ipv4' "1 133" "2 133"
