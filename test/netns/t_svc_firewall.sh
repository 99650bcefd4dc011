#!/bin/bash
# Hosts with firewalls of their own that drop forwarded packets, as docker (iptables-nft and the older iptables) and
# firewalld (nftables) make them, beside kube-proxy's rules: pods, services and node ports pass, by one marked accept in
# each place, which is put back when it is flushed. What the host refuses by name stays refused, and nobody outside
# begins a connection to a pod that no service leads to. weft --down leaves none of it.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/svc_lib.sh"
net_init svcf "$(mktemp -d)"
trap net_end EXIT

# docker_rules HOST TOOL: what docker's daemon makes at its start. Everything before stays.
docker_rules() {
	local nat4 f
	nat4="*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT"
	for f in "" 6; do
		in_host "$1" "ip${f}tables-$2-restore" --noflush <<-X
			*filter
			:FORWARD DROP [0:0]
			:DOCKER - [0:0]
			:DOCKER-ISOLATION-STAGE-1 - [0:0]
			:DOCKER-ISOLATION-STAGE-2 - [0:0]
			:DOCKER-USER - [0:0]
			-A FORWARD -j DOCKER-USER
			-A FORWARD -j DOCKER-ISOLATION-STAGE-1
			-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
			-A FORWARD -o docker0 -j DOCKER
			-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
			-A FORWARD -i docker0 -o docker0 -j ACCEPT
			-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
			-A DOCKER-ISOLATION-STAGE-1 -j RETURN
			-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
			-A DOCKER-ISOLATION-STAGE-2 -j RETURN
			-A DOCKER-USER -j RETURN
			COMMIT
			$([ -n "$f" ] || echo "$nat4")
		X
	done
}
# firewalld_rules HOST: its forward chains, with the underlay and all else in a zone that rejects.
firewalld_rules() {
	in_host "$1" nft -f - <<-X
		table inet firewalld {
			chain filter_FORWARD {
				type filter hook forward priority filter + 10; policy accept;
				ct state { established, related } accept
				ct status dnat accept
				iifname "lo" accept
				ct state invalid drop
				ip6 daddr { ::/96, ::ffff:0.0.0.0/96 } reject with icmpv6 type addr-unreachable
				jump filter_FORWARD_ZONES
				reject with icmpx type admin-prohibited
			}
			chain filter_FORWARD_ZONES {
				iifname "u0" goto filter_FWD_public
				goto filter_FWD_public
			}
			chain filter_FWD_public {
				jump filter_FWD_public_pre
				jump filter_FWD_public_allow
				reject with icmpx type admin-prohibited
			}
			chain filter_FWD_public_pre {
			}
			chain filter_FWD_public_allow {
			}
		}
	X
}
ours() { # HOST: how many accepts of weft's there are, with the count that status has
	local n
	n=$({ in_host "$1" nft -s list ruleset; in_host "$1" iptables-legacy -S; in_host "$1" ip6tables-legacy -S; } 2>/dev/null |
		grep -c 'weft: forwarded' || true)
	json_at "$1" "d['kernel']['accepts'] == $n and not d['kernel']['accepts_why']" status && echo "$n"
}
ours_are() { [ "$(ours "$1")" = "$2" ]; }
allowed() { # FAMILY
	local f=$1 a1 b1
	a1=$(pod_addr a1 "$f") b1=$(pod_addr b1 "$f")
	expect a1 "$b1" 8080 "b1 $a1" "a pod to a pod elsewhere"
	expect a2 "$a1" 8080 "a1 $(pod_addr a2 "$f")" "a pod to a pod of its host"
	expect a1 "$(svc_addr 10 "$f")" 80 "b1 $a1" "a pod to a service elsewhere"
	expect h1 "$(svc_addr 10 "$f")" 80 "b1 $(mesh_addr h1 "$f")" "a host to a service elsewhere"
	expect ext "$(node_addr h1 "$f")" 30080 "b1 $(mesh_addr h1 "$f")" "outside to a node port, Cluster"
	expect ext "$(node_addr h2 "$f")" 30081 "b1 $(ext_addr "$f")" "outside to a node port, Local"
	expect a1 "$(ext_addr "$f")" 8080 "ext $(node_addr h1 "$f")" "a pod to the outside"
	refused a1 "$(svc_addr 15 "$f")" 80 "a service without endpoints"
}

svc_hosts
ip -n "$(ns_of ext)" route add 10.32.1.0/24 via 192.0.2.1
for h in h1 h2; do svc_rules $h iptables iptables-nft; done
ours_are h1 0 || fail "an accept without need"
expect ext "$(pod_addr a1 4)" 8080 "a1 192.0.2.3" "outside to a pod, without a firewall"

step "docker, iptables-nft"
for h in h1 h2; do docker_rules $h nft; done
for h in h1 h2; do wait_for "an accept on $h for both families" ours_are $h 2; done
for f in 4 6; do allowed $f; done
silent ext "$(pod_addr a1 4)" 8080 "outside to a pod"
in_host h1 iptables-nft -I DOCKER-USER -s "$(pod_addr a2 4)" -j DROP
silent a2 "$(pod_addr b1 4)" 8080 "a pod that the host refuses by name"
expect a1 "$(pod_addr b1 4)" 8080 "b1 $(pod_addr a1 4)" "another pod"
in_host h1 iptables-nft-save >"$net_dir/saved" 2>/dev/null # other programs' tools understand the rule
grep -q -- '--comment "weft: forwarded' "$net_dir/saved" || fail "iptables doesn't show the accept"
in_host h1 iptables-nft -F FORWARD
wait_for "the accept to come back" ours_are h1 2
expect a1 "$(pod_addr b1 4)" 8080 "b1 $(pod_addr a1 4)" "a pod to a pod elsewhere" # the flush took kube-proxy's, too
for h in h1 h2; do
	in_host $h nft flush ruleset
	svc_rules $h iptables iptables-nft
done
for h in h1 h2; do wait_for "the accepts to go" ours_are $h 0; done
not shows 'hook forward' in_host h1 nft list table inet weft-out || fail "marks without need"

step "firewalld"
for h in h1 h2; do firewalld_rules $h; done
for h in h1 h2; do wait_for "an accept on $h" ours_are $h 1; done
for f in 4 6; do allowed $f; done
refused ext "$(pod_addr a1 4)" 8080 "outside to a pod"
in_host h1 nft delete table inet firewalld
firewalld_rules h1
wait_for "the accept to come back after a reload" ours_are h1 1
allowed 4
for h in h1 h2; do in_host $h nft flush ruleset; done
for h in h1 h2; do wait_for "the accepts to go" ours_are $h 0; done

if in_host h1 iptables-legacy -L >/dev/null 2>&1; then
	step "docker and kube-proxy, the older iptables, there before weftd"
	for h in h1 h2; do
		docker_rules $h legacy
		svc_rules $h iptables iptables-legacy
		weftd_stop $h # the older iptables tells nobody; a start looks at once
	done
	for n in 1 2; do svc_node $n; done
	wait_for "a full mesh" mesh_is_full 2 h1 h2
	for h in h1 h2; do wait_for "an accept on $h for both families" ours_are $h 2; done
	for f in 4 6; do allowed $f; done
	silent ext "$(pod_addr a1 4)" 8080 "outside to a pod"
fi

step "removal"
for p in a1:h1 a2:h1 b1:h2; do svc_plug DEL "${p#*:}" "${p%:*}"; done
firewalld_rules h1
weft_at h1 down >/dev/null
weftd_stop h2 KILL
in_host h2 "$build/router/weftd" --down >/dev/null
for h in h1 h2; do
	left=$({ in_host $h nft list ruleset; in_host $h iptables-legacy-save; in_host $h ip6tables-legacy-save; } 2>/dev/null |
		grep weft || true)
	[ -z "$left" ] || fail "left on $h: $left"
done
