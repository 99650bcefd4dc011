#!/bin/bash
# t_kernel.sh - what weft keeps in the kernel: put back when somebody takes or changes it, counted, and all taken
# away, with nothing else, by `weft down` and `weftd --down`, also when the state directory is lost.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
net_init kernel "$(mktemp -d)"
trap net_end EXIT
weftd=${WEFTD:-$build/router/weftd}

IP() { ip -n "$(ns_of h1)" "$@"; }
# Everything of weft's on h1, in a form that can be compared: no counters, no interface numbers.
ours() {
	local f
	for f in -4 -6; do
		IP $f rule
		IP $f route show table all proto 157
		IP -o $f addr show dev weft0
	done | sed -E 's/^[0-9]+: (weft|eth)/\1/; s/(valid|preferred)_lft .*//; s/ +$//' | sort
	IP link show dev weft0 | sed -nE 's/.*<.*\bUP\b.*mtu ([0-9]+).*/up, mtu \1/p'
	in_host h1 nft -s list table inet weft
	in_host h1 nft -s list table arp weft
}
# The host without weft. Sysctls that weft sets stay and aren't compared; nor do addresses' lifetimes.
host_dump() {
	local f
	for f in -4 -6; do
		IP $f rule
		IP $f route show table all
		IP -o $f addr
	done | sed -E 's/(valid|preferred)_lft .*//; s/ metric [0-9]+//; s/^[0-9]+: //; s/ pref medium//; s/ +$//' | grep -v '^$' | sort
	IP -br link | awk '{print $1}' | sort
	in_host h1 nft -s list ruleset
}
repaired() { json_at h1 "d['kernel']['repaired']" status; }
as_before() { diff <(ours 2>&1) "$net_dir/ours" >/dev/null; }
# put_back WHAT COMMAND...: the command, run on h1, changes something of weft's; all is as before, and counted.
put_back() {
	local what=$1 n
	shift
	n=$(repaired)
	"$@" || fail "can't $what"
	wait_for "weft to put back: $what" as_before || { diff <(ours 2>&1) "$net_dir/ours"; exit 1; }
	wait_for "weft to count it: $what" grown "$n" repaired
}

mesh_hosts 2
for h in h1 h2; do ip -n "$(ns_of $h)" route add default via 192.0.2.254; done
in_host h1 nft -f - <<'NFT'
table inet firewall {
	chain input {
		type filter hook input priority filter; policy accept;
		tcp dport 23 drop
	}
}
NFT
# Forwarding is what weft turns on and leaves on; with it the kernel has some routes more.
in_host h1 sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
IP rule add pref 5000 from 198.51.100.0/24 lookup 100
IP route add 198.51.100.0/24 dev u0 table 100
host_dump >"$net_dir/host"
node_start 1 --prefix 10.32.7.0/24@dev7 --prefix 10.32.8.0/24
node_start 2
wait_for "a full mesh" mesh_is_full 2 h1 h2
wait_for "the pods to talk" pings p1 10.32.2.2
ours >"$net_dir/ours"
grep -q 'unreachable 10.32.0.0/16' "$net_dir/ours" && grep -q 'notrack' "$net_dir/ours" || fail "h1 has not what it should"

step "each route is put back"
for f in -4 -6; do
	while read -r route; do
		# The control segment's own address route stands in its table; all of proto 157 are weft's.
		# shellcheck disable=SC2086 # words of a route
		put_back "remove route $route" IP $f route del $route
	done < <(IP $f route show table all proto 157 | sed -E 's/ (linkdown|dead|error [-0-9]+)//g; s/ pref medium//')
done

step "each rule is put back"
for f in -4 -6; do
	for pref in $(IP $f rule | sed -nE 's/^(679[0-9]):.*/\1/p' | sort -u); do
		put_back "remove IPv$f rule $pref" IP $f rule del pref "$pref"
	done
	put_back "flush the rules" bash -c "ip -n $(ns_of h1) $f rule flush; ip -n $(ns_of h1) $f rule add pref 32766 lookup main; [ x$f = x-6 ] || ip -n $(ns_of h1) rule add pref 32767 lookup default; [ x$f = x-6 ] || ip -n $(ns_of h1) rule add pref 5000 from 198.51.100.0/24 lookup 100"
done

step "addresses, link, MTU, tables"
put_back "remove the IPv4 address" IP addr del 10.32.1.1/32 dev weft0
put_back "remove the IPv6 address" IP addr del fd32:0:0:1::1/128 dev weft0
put_back "set the link down" IP link set weft0 down
put_back "change the MTU" IP link set weft0 mtu 1300
put_back "flush the table" IP route flush table 679301
put_back "replace a route" IP route replace blackhole 10.32.2.0/24 table 679301 metric 1024 proto 157
wait_for "pods to talk" pings p1 10.32.2.2

step "nft: its table deleted, emptied, the whole ruleset flushed (as firewalld's reload does)"
put_back "delete the nft table" in_host h1 nft delete table inet weft
put_back "flush the nft table" in_host h1 nft flush table inet weft
put_back "delete the arp table" in_host h1 nft delete table arp weft
put_back "flush the ruleset" in_host h1 nft flush ruleset
in_host h1 nft -f - <<'NFT'
table inet firewall {
	chain input {
		type filter hook input priority filter; policy accept;
		tcp dport 23 drop
	}
}
NFT
wait_for "pods to talk" pings p1 10.32.2.2

step "the device of a prefix comes, goes and comes"
unreachable p2 10.32.7.2 || wait_for "10.32.7.2 to be unreachable" unreachable p2 10.32.7.2
dev7_route() { shows '^10\.32\.7\.0/24 dev dev7' IP route show table 679301; }
for round in 1 2; do
	IP link add dev7 type veth peer name dev7p
	IP addr add 10.32.7.2/32 dev dev7
	dev7_route && fail "a route through a device that is down"
	IP link set dev7p up
	IP link set dev7 up
	wait_for "the route of dev7" dev7_route
	wait_for "p2 to reach 10.32.7.2" pings p2 10.32.7.2
	IP link del dev7
	wait_for "the route of dev7 to go" not dev7_route
	wait_for "10.32.7.2 to be unreachable" unreachable p2 10.32.7.2
done
as_before || { diff <(ours) "$net_dir/ours"; fail "not all is as it was"; }

step "the underlay's MTU changes in the middle"
mtu_is() { [ "$(ip -n "$(ns_of "$1")" -j link show dev weft0 | jq '.[0].mtu')" = "$2" ]; }
mtu_is h1 1436 || fail "the device's MTU is not 1436 at 1500"
IP link set u0 mtu 1400
wait_for "weft0 to have 1336" mtu_is h1 1336
json_at h1 "d['offloads']['mtu'] == 1336" status || fail "status tells another MTU"
wait_for "pods to talk" pings p1 10.32.2.2
in_pod p1 ping -c 1 -W 2 -M "do" -s 1308 10.32.2.2 >/dev/null || fail "1336 bytes don't pass"
shows 'mtu ?= ?1336|too long' in_pod p1 ping -c 2 -W 1 -M "do" -s 1309 10.32.2.2 || fail "1337 bytes: no word of the MTU"
IP link set u0 mtu 1500
wait_for "weft0 to have 1436 again" mtu_is h1 1436

step "weft down removes all of weft's and nothing else"
weft_at h1 down >/dev/null
wait_for "weftd to end" process_gone "$(cat "$net_dir/h1/pid")"
clean() {
	host_dump >"$net_dir/after"
	diff "$net_dir/host" "$net_dir/after" || fail "after $1 the host is not as it was"
	[ "$(in_host h1 "$weftd" --down)" = "nothing of weft was left" ] || fail "after $1 weftd --down still found something"
}
clean "weft down"
wait_for "h2 to see h1 leave" json_at h2 "any(p['name'] == 'h1' and not p['up'] and p['left'] for p in d['peers'])" status peers
rc=0
weft_at h1 down >"$net_dir/out" 2>&1 || rc=$?
[ $rc = 3 ] && grep -q 'weftd --down' "$net_dir/out" || fail "weft down without a daemon: status $rc, no word of weftd --down"

step "weftd --down, after a kill -9 and with the state directory lost"
node_start 1 --prefix 10.32.8.0/24
wait_for "a full mesh" mesh_is_full 2 h1 h2
weftd_stop h1 KILL
rm -rf "$net_dir/h1/state" "$net_dir/h1/run"
in_host h1 "$weftd" --down >"$net_dir/out"
for what in 'device weft0$' 'device weft0-c' 'IPv4 rule 6795' 'IPv6 rule 6795' 'route 10.32.0.0/16' 'route fd32::/32' 'nft table inet weft'; do
	grep -qE "^removed $what" "$net_dir/out" || fail "--down does not tell that it removed $what"
done
clean "weftd --down"

step "a host without IPv6: IPv4 goes on, with a word"
in_host h1 sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
weftd_start h1 --cluster-range 10.32.0.0/16 --cluster-range fd32::/32 --prefix 10.32.1.0/24@eth-p1 --peer 192.0.2.2
wait_for "a full mesh" mesh_is_full 2 h1 h2
wait_for "the pods to talk" pings p1 10.32.2.2
json_at h1 "any('no IPv6' in w for w in d['warnings'])" status || fail "no word of it in status"
log_says h1 'no IPv6' || fail "no word of it in the log"
json_at h1 "d['kernel']['errors'] == 0 and d['ready']" status || fail "errors without IPv6"
in_host h1 "$weftd" --version >/dev/null
weftd_stop h1
in_host h1 "$weftd" --down >/dev/null
shows '^679' IP rule && fail "rules are left"
exit 0
