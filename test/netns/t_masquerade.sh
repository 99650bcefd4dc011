#!/bin/bash
# t_masquerade.sh - promise 4.1's last sentence: a masquerade rule of the host's own that matches pods' sources
# (nftables, and the older iptables where it is there) doesn't touch what stays inside the ranges, and goes on
# doing its work for all else. Without such a rule weft keeps no nat chain.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
net_init masq "$(mktemp -d)"
trap net_end EXIT

# who HOST: a server in that namespace that tells each caller its address. asks NS ADDRESS: what it was told.
who() {
	in_host "$1" /usr/bin/python3 -c "
import socket, threading
s = socket.create_server(('::', 7070), family=socket.AF_INET6, dualstack_ipv6=True, backlog=16)
while True:
    c, a = s.accept()
    c.sendall((a[0].removeprefix('::ffff:') + '\n').encode())
    c.close()" &
	wait_for "the server on $1" port_listens "$1" 7070
}
asks() {
	in_host "$1" /usr/bin/python3 -c "
import socket, sys
print(socket.create_connection((sys.argv[1], 7070), 5).makefile().read().strip())" "$2"
}
nat_chain() { shows 'type nat' in_host h1 nft list table inet weft; }
tells() { [ "$(asks "$1" "$2")" = "$3" ] || fail "$2 saw $(asks "$1" "$2") instead of $3"; }
kept() {
	tells p1 10.32.2.2 10.32.1.2
	tells p1 fd32:0:0:2::2 fd32:0:0:1::2
	tells h1 10.32.2.2 10.32.1.1
}

mesh_hosts 2
node_start 1
node_start 2
wait_for "a full mesh" mesh_is_full 2 h1 h2
who p2
who h2

step "no rules: no nat chain"
kept
nat_chain && fail "a nat chain without need"

step "nftables: a rule that masquerades all that pods send"
in_host h1 nft -f - <<'X'
table inet theirs {
	chain post {
		type nat hook postrouting priority srcnat
		ip saddr 10.32.1.0/24 masquerade
		ip6 saddr fd32:0:0:1::/64 masquerade
	}
}
X
wait_for "the chain against it" nat_chain
kept
tells p1 192.0.2.2 192.0.2.1 # outside of the mesh: their rule works
json_at h1 "d['kernel']['host_nat']" status || fail "status doesn't tell"
in_host h1 nft delete table inet theirs
wait_for "the chain to go" not nat_chain

if in_host h1 iptables-legacy -t nat -A POSTROUTING -s 10.32.1.0/24 -j MASQUERADE 2>/dev/null; then
	step "the older iptables, which tells nobody"
	wait_for "the chain against it" nat_chain
	kept
	tells p1 192.0.2.2 192.0.2.1
fi

step "a start with the rule already there"
weftd_stop h1
in_host h1 "$build/router/weftd" --down >/dev/null
nat_chain && fail "the chain outlived --down"
in_host h1 nft -f - <<'X'
table ip theirs {
	chain post {
		type nat hook postrouting priority srcnat
		ip saddr 10.32.0.0/16 masquerade
	}
}
X
node_start 1
wait_for "a full mesh" mesh_is_full 2 h1 h2
wait_for "the chain against it" nat_chain
tells p1 10.32.2.2 10.32.1.2
