#!/bin/bash
# Three nodes, one seed: a full mesh that carries ICMP, UDP and TCP, IPv4 and IPv6 over IPv4 and IPv6;
# a second segment with the first one's addresses, apart from it; the control segment.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
net_init mesh "$(mktemp -d)"
trap net_end EXIT

# A pod of segment 2 with the addresses of segment 1's pod N. The host's end has none: a gateway by a
# permanent neighbour entry.
other_pod() { # HOST POD N
	local h=$1 p=$2 n=$3 mac
	ns_add "$p"
	ip link add eth0 netns "$(ns_of "$p")" mtu 1436 type veth peer name "eth-$p" netns "$(ns_of "$h")"
	mac=$(ip -n "$(ns_of "$h")" -j link show "eth-$p" | jq -r '.[0].address')
	ip -n "$(ns_of "$h")" link set "eth-$p" mtu 1436 up
	ip -n "$(ns_of "$p")" link set eth0 up
	ip -n "$(ns_of "$p")" addr add "10.32.$n.2/32" dev eth0
	ip -n "$(ns_of "$p")" addr add "fd32:0:0:$n::2/128" dev eth0 nodad
	ip -n "$(ns_of "$p")" neigh add 169.254.1.1 lladdr "$mac" dev eth0 nud permanent
	ip -n "$(ns_of "$p")" neigh add fe80::1 lladdr "$mac" dev eth0 nud permanent
	ip -n "$(ns_of "$p")" route add default via 169.254.1.1 dev eth0 onlink
	ip -n "$(ns_of "$p")" -6 route add default via fe80::1 dev eth0
}

carries() { # FROM TO N-OF-TO
	local a
	for a in "10.32.$3.2" "fd32:0:0:$3::2"; do
		in_pod "$1" ping -c 2 -i 0.2 -W 3 -q "$a" >/dev/null || fail "no ping from $1 to $a"
		udp_tcp_echo "$1" "$2" "$a" "hello $RANDOM" >/dev/null || fail "no echo from $1 at $a"
	done
}

all_endpoints() { # HOST PATTERN
	json_at "$1" "all(c['endpoint'].startswith('$2') for c in d['connections']) and len(d['connections']) == 2" status connections
}

mesh_hosts 3
for n in 1 2 3; do other_pod "h$n" "q$n" "$n"; done

segment2() { # N: the configuration of node N's second segment
	cat <<-END
	segments:
	  - vni: 2
	    ranges: [10.32.0.0/16, "fd32::/32"]
	    prefixes: ["10.32.$1.0/24@eth-q$1", "fd32:0:0:$1::/64@eth-q$1"]
	END
}

for outer in v4 v6; do
	step "over IP$outer"
	underlay_only $outer 3
	SEED=$(seed_on $outer)
	prefix=${SEED%1*}
	for n in 1 2 3; do
		mkdir -p "$net_dir/h$n"
		segment2 $n >"$net_dir/h$n/conf.yaml"
		node_start $n --config "$net_dir/h$n/conf.yaml"
	done
	wait_for "a full mesh" mesh_is_full 3 h1 h2 h3
	for n in 1 2 3; do
		wait_for "h$n's two connections over IP$outer" all_endpoints "h$n" "$prefix"
	done
	carries p1 p2 2
	carries p2 p3 3
	carries p3 p1 1

	step "segment 2 over IP$outer: the same addresses, other pods"
	carries q1 q2 2
	carries q3 q1 1
	# The same address and port in both segments: each caller hears its own segment's server.
	for s in p q; do
		in_pod ${s}2 /usr/bin/python3 -c "
import socket
s = socket.socket(socket.AF_INET6); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('::', 7300)); s.listen(); print('ready', flush=True)
for _ in range(2):
    c, _ = s.accept(); c.sendall(b'segment of ${s}2'); c.close()" >"$net_dir/who-$s" &
		wait_for "the server on ${s}2" grep -q ready "$net_dir/who-$s"
	done
	for s in p q; do
		for a in 10.32.2.2 fd32:0:0:2::2; do
			got=$(in_pod ${s}1 /usr/bin/python3 -c "
import socket
print(socket.create_connection(('$a', 7300), 10).recv(100).decode())")
			[ "$got" = "segment of ${s}2" ] || fail "${s}1 asked $a and was answered by: $got"
		done
	done
	wait
	# And what only one segment has isn't reached from the other.
	ip -n "$(ns_of p3)" addr replace 10.32.3.99/32 dev eth0
	not pings q1 10.32.3.99 || fail "segment 2 reached segment 1's pod"
	pings p1 10.32.3.99 || fail "segment 1's pod is away"

	step "control segment over IP$outer"
	for n in 1 2 3; do
		control[n]=$(json_at h$n "d['node']['control_address']" status)
		[ -n "${control[n]}" ] || fail "h$n has no control address"
	done
	udp_tcp_echo h1 h2 "${control[2]}" "control $RANDOM" >/dev/null || fail "no TCP over the control segment"
	udp_tcp_echo h3 h1 "${control[1]}" "control $RANDOM" >/dev/null || fail "no TCP over the control segment"
	for p in p1 q1; do
		for n in 1 2; do
			not pings $p "${control[n]}" || fail "pod $p reached h$n's control address"
		done
	done

	for n in 1 2 3; do
		weftd_stop h$n
		rm -rf "$net_dir/h$n/state"
	done
done
