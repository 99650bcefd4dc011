# svc_lib.sh - for the services tests: two hosts with pods made by weft-cni, a machine outside, and the rules of
# kube-proxy on both hosts. Sourced behind lib.sh.
#
# Pods: a1 and a2 on h1, b1 on h2. Outside: ext, 192.0.2.3, which knows nothing of pods. On each of them, and on the
# hosts themselves, svc_talk.py serves 8080 and 53; it tells a caller who it is and whom it sees.
#
# Services (cluster IP, node port, endpoints), all of both families:
#	web	10.96.0.10 fd96::10	30080		   b1
#	kept	10.96.0.11 fd96::11	30081, Local	   b1
#	self	10.96.0.12 fd96::12			   a1, a pod that calls itself
#	both	10.96.0.13 fd96::13			   a1, b1
#	dns	10.96.0.53 fd96::53	UDP		   b1
#	node	10.96.0.14 fd96::14			   h2 itself: a pod on the host's network
#	none	10.96.0.15 fd96::15			   nobody
plugin=${WEFT_CNI:-$build/cli/cni/weft-cni}

# svc_plug VERB HOST POD
svc_plug() {
	local verb=$1 h=$2 p=$3
	echo "{\"cniVersion\":\"1.0.0\",\"name\":\"weft\",\"type\":\"weft-cni\",\"socket\":\"$net_dir/$h/run/weft.sock\",\"dataDir\":\"$net_dir/$h/run/cni\"}" |
		nsenter "--net=/run/netns/$(ns_of "$h")" env CNI_COMMAND="$verb" CNI_CONTAINERID="c-$p" \
			CNI_NETNS="/run/netns/$(ns_of "$p")" CNI_IFNAME=eth0 CNI_PATH=/opt/cni/bin "$plugin"
}

# pod_addr POD 4|6
pod_addr() { jq -r "[.ips[].address | select(contains(\":\") == $([ "$2" = 6 ] && echo true || echo false))][0]" "$net_dir/$1.json" | sed 's:/.*::'; }
# node_addr HOST 4|6: on the underlay. mesh_addr HOST 4|6.
node_addr() { [ "$2" = 4 ] && echo "192.0.2.${1#h}" || echo "2001:db8::${1#h}"; }
mesh_addr() { [ "$2" = 4 ] && echo "10.32.${1#h}.1" || echo "fd32:0:0:${1#h}::1"; }
ext_addr() { [ "$1" = 4 ] && echo 192.0.2.3 || echo 2001:db8::3; }
svc_addr() { [ "$2" = 4 ] && echo "10.96.0.$1" || echo "fd96::$1"; }

svc_node() { # N OPTION...
	local n=$1
	shift
	weftd_start "h$n" --cluster-range 10.32.0.0/16 --cluster-range fd32::/32 --prefix "10.32.$n.0/24" \
		--prefix "fd32:0:0:$n::/64" --peer "192.0.2.$((3 - n))" "$@"
}

svc_serve() { # NAMESPACE...
	local ns
	for ns in "$@"; do
		in_host "$ns" /usr/bin/python3 "$root/test/netns/svc_talk.py" serve "$ns" 8080 53 &
	done
	for ns in "$@"; do wait_for "the server on $ns" port_listens "$ns" 8080; done
}

# svc_hosts OPTION...: all of it but the rules; the options are weftd's.
svc_hosts() {
	local p
	net_underlay h1 h2 ext
	"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null
	# A node has a way out; services' addresses are in no range, so their packets need some route.
	for p in h1 h2; do
		ip -n "$(ns_of $p)" route add default via 192.0.2.3
		ip -n "$(ns_of $p)" -6 route add default via 2001:db8::3
	done
	svc_node 1 "$@"
	svc_node 2 "$@"
	wait_for "a full mesh" mesh_is_full 2 h1 h2
	for p in a1:h1 a2:h1 b1:h2; do
		ns_add "${p%:*}"
		svc_plug ADD "${p#*:}" "${p%:*}" >"$net_dir/${p%:*}.json" || { cat "$net_dir/${p%:*}.json"; return 1; }
	done
	svc_serve a1 b1 h1 h2 ext
	svc_spec >"$net_dir/services.json"
}

# CIDR4, CIDR6: what kube-proxy is told of the pods' CIDR; "" if it isn't.
svc_spec() {
	local end4 end6
	end() { # NODE POD PORT
		if [ "$2" = "$1" ]; then end4=$(node_addr "$1" 4) end6=$(node_addr "$1" 6); else
			end4=$(pod_addr "$2" 4) end6=$(pod_addr "$2" 6)
		fi
		echo "{\"node\": \"$1\", \"port\": $3, \"4\": \"$end4\", \"6\": \"$end6\"}"
	}
	one() { # NAME PROTO PORT LAST NODE-PORT LOCAL ENDPOINTS
		echo "{\"name\": \"test/$1\", \"proto\": \"$2\", \"port\": $3, \"4\": \"10.96.0.$4\", \"6\": \"fd96::$4\", \"node_port\": $5, \"local\": $6, \"endpoints\": [$7]}"
	}
	cat <<-X
		{"cidr": {"4": "${CIDR4-10.32.0.0/16}", "6": "${CIDR6-fd32::/32}"},
		 "nodes": {"h1": {"4": "192.0.2.1", "6": "2001:db8::1"}, "h2": {"4": "192.0.2.2", "6": "2001:db8::2"}},
		 "services": [
		$(one web tcp 80 10 30080 false "$(end h2 b1 8080)"),
		$(one kept tcp 80 11 30081 true "$(end h2 b1 8080)"),
		$(one self tcp 80 12 0 false "$(end h1 a1 8080)"),
		$(one both tcp 80 13 0 false "$(end h1 a1 8080), $(end h2 b1 8080)"),
		$(one node tcp 80 14 0 false "$(end h2 h2 8080)"),
		$(one none tcp 80 15 0 false ""),
		$(one dns udp 53 53 0 false "$(end h2 b1 53)")]}
	X
}

# svc_rules HOST MODE TOOL: TOOL is iptables-nft, iptables-legacy or nft.
svc_rules() {
	local f six
	for f in 4 6; do
		/usr/bin/python3 "$root/test/netns/kube_rules.py" "$2" $f "$1" "$net_dir/services.json" >"$net_dir/$1/rules$f"
		six=$([ $f = 4 ] || echo 6)
		if [ "$2" = nftables ]; then
			in_host "$1" nft -f "$net_dir/$1/rules$f"
		else
			in_host "$1" "ip${six}tables-${3#iptables-}-restore" --noflush <"$net_dir/$1/rules$f"
		fi
	done
}

talk_at() { in_host "$1" /usr/bin/python3 "$root/test/netns/svc_talk.py" "${@:2}"; }
# told FROM ADDRESS PORT [SECONDS]: what a server there says.
told() { talk_at "$1" who "${@:2}"; }
# silent FROM ADDRESS PORT WHAT: nothing comes back, not even a refusal.
silent() {
	local rc=0
	told "$1" "$2" "$3" 0.7 >/dev/null || rc=$?
	[ $rc = 2 ] || fail "$4: $1 to $2 port $3: not silent ($rc)"
}
# refused FROM ADDRESS PORT WHAT
refused() {
	local rc=0
	told "$1" "$2" "$3" >/dev/null || rc=$?
	[ $rc = 1 ] || fail "$4: $1 to $2 port $3: not refused ($rc)"
}
# expect FROM ADDRESS PORT "SERVER SEEN" WHAT
expect() {
	local got
	got=$(told "$1" "$2" "$3") || true
	[ "$got" = "$4" ] || fail "$5: $1 to $2 port $3: told '$got' instead of '$4'"
}
# The sum over processors of a column of this host's connection tracking statistics.
ct_count() {
	in_host "$1" /usr/bin/python3 -c "
rows = [l.split() for l in open('/proc/net/stat/nf_conntrack')]
i = rows[0].index('$2')
print(sum(int(r[i], 16) for r in rows[1:]))"
}

# svc_checks FAMILY: each case of a cluster's services.
svc_checks() {
	local f=$1 a1 b1 got
	a1=$(pod_addr a1 "$f") b1=$(pod_addr b1 "$f")

	capture_start h1
	expect a1 "$b1" 8080 "b1 $a1" "a pod to a pod"
	expect a1 "$(svc_addr 10 "$f")" 80 "b1 $a1" "a pod to a service elsewhere"
	expect a1 "$(svc_addr 12 "$f")" 80 "a1 $(told_self "$f")" "a pod to itself by its service"
	expect h1 "$b1" 8080 "b1 $(mesh_addr h1 "$f")" "a host to a pod elsewhere"
	expect h1 "$(svc_addr 10 "$f")" 80 "b1 $(mesh_addr h1 "$f")" "a host to a service elsewhere"
	expect b1 "$(mesh_addr h1 "$f")" 8080 "h1 $b1" "a pod to a host's mesh address"
	expect a1 "$(mesh_addr h1 "$f")" 8080 "h1 $a1" "a pod to its own host's mesh address"
	[[ $(told h1 "$a1" 8080) = "a1 "* ]] || fail "a host to a pod of its own (a kubelet's probe)"
	[[ $(told h2 "$(svc_addr 10 "$f")" 80) = "b1 "* ]] || fail "a host to a service with a pod of its own"
	expect b1 "$(node_addr h2 "$f")" 8080 "h2 $b1" "a pod to its host"
	for got in 1 2 3 4; do told a1 "$(svc_addr 13 "$f")" 80; done >"$net_dir/both"
	[ "$(wc -l <"$net_dir/both")" = 4 ] || fail "a service with an endpoint here and one elsewhere"
	capture_stop
	! capture_has_inner || fail "inner packets in clear"
	talk_at a1 big "$(svc_addr 10 "$f")" 80 $((32 << 20)) >/dev/null ||
		fail "32 MiB by the service's address arrived otherwise"

	expect ext "$(node_addr h1 "$f")" 30080 "b1 $(mesh_addr h1 "$f")" "outside to a node port, Cluster"
	expect ext "$(node_addr h2 "$f")" 30081 "b1 $(ext_addr "$f")" "outside to a node port, Local: the source is kept"
	silent ext "$(node_addr h1 "$f")" 30081 "a node port with policy Local where no endpoint is"
	expect a1 "$(node_addr h1 "$f")" 30080 "b1 $(mesh_addr h1 "$f")" "a pod to its host's node port"
	expect a1 "$(node_addr h2 "$f")" 30081 "b1 $(node_addr h1 "$f")" "a pod to another host's node port, Local"
	expect a1 "$(svc_addr 14 "$f")" 80 "h2 $(node_addr h1 "$f")" "a pod to a pod on another host's network"
	expect b1 "$(svc_addr 14 "$f")" 80 "h2 $b1" "a pod to a pod on its host's network"
	expect a1 "$(ext_addr "$f")" 8080 "ext $(node_addr h1 "$f")" "a pod to the outside"
	expect b1 "$(node_addr h1 "$f")" 8080 "h1 $(node_addr h2 "$f")" "a pod to another host's underlay address"
	refused a1 "$(svc_addr 15 "$f")" 80 "a service without endpoints"
}
# Whom a1 sees when it calls itself: some address of its host, which the kernel picks for a device without one.
told_self() { told a1 "$(svc_addr 12 "$1")" 80 | sed 's/^a1 //'; }

# svc_dns FAMILY LOOKUPS: A and AAAA at once from one socket, to a server elsewhere; nothing lost, nothing late, and
# no clash in connection tracking on either host.
svc_dns() {
	local h before after ok late
	before=$(for h in h1 h2; do ct_count $h insert_failed; ct_count $h drop; done)
	read -r ok late < <(talk_at a1 dns "$(svc_addr 53 "$1")" 53 8 "$2")
	after=$(for h in h1 h2; do ct_count $h insert_failed; ct_count $h drop; done)
	echo "   $ok lookups answered, $late late; insert_failed and drop before and after:" $before / $after
	[ "$ok" = $((8 * $2)) ] || fail "$ok of $((8 * $2)) lookups were answered"
	[ "$before" = "$after" ] || fail "connection tracking lost packets"
}
