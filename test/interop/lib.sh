# lib.sh - other speakers of BGP beside weftd, on the hosts of test/netns/lib.sh. Sourced after it.
#
# A router r beside the mesh: 192.0.2.R and 2001:db8::R on the underlay's switch, and behind it the host c
# at 198.51.100.2 and 2001:db8:c::2, which knows nothing but its way to r.

# bgp_router NAME N: a host NAME at number N of the underlay, with the host c behind it.
bgp_router() {
	local r=$1 n=$2
	ns_add "$r"
	ip link add u0 netns "$(ns_of "$r")" type veth peer name "sw-$r" netns "$(ns_of sw)"
	ip -n "$(ns_of sw)" link set "sw-$r" master br0 up
	ip -n "$(ns_of "$r")" addr add "192.0.2.$n/24" dev u0
	ip -n "$(ns_of "$r")" addr add "2001:db8::$n/64" dev u0 nodad
	ip -n "$(ns_of "$r")" link set u0 up
	in_host "$r" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	ns_add c
	ip link add c0 netns "$(ns_of "$r")" type veth peer name eth0 netns "$(ns_of c)"
	ip -n "$(ns_of "$r")" addr add 198.51.100.1/24 dev c0
	ip -n "$(ns_of "$r")" addr add 2001:db8:c::1/64 dev c0 nodad
	ip -n "$(ns_of "$r")" link set c0 up
	ip -n "$(ns_of c)" addr add 198.51.100.2/24 dev eth0
	ip -n "$(ns_of c)" addr add 2001:db8:c::2/64 dev eth0 nodad
	ip -n "$(ns_of c)" link set eth0 up
	ip -n "$(ns_of c)" route add default via 198.51.100.1
	ip -n "$(ns_of c)" -6 route add default via 2001:db8:c::1
}

# weft_bgp N OPTION...: weftd on hN as node_start, with $net_dir/hN.yaml.
weft_bgp() {
	local n=$1
	shift
	node_start "$n" --config "$net_dir/h$n.yaml" "$@"
}

# What weft says of its neighbour.
neighbour_at() { json_at "$1" "next(n for n in d['neighbours'] if n['address'] == '$2')['$3']" status bgp; }
neighbour_is() { [ "$(neighbour_at "$1" "$2" "$3")" = "$4" ]; }
established() { neighbour_is "$1" "$2" state Established; }
has_route() { json_at "$1" "any(r['prefix'] == '$2' and r['best'] for r in d['routes'])" status bgp routes "$2"; }
# The kernel's table of learned routes.
kernel_has() { # HOST PREFIX PATTERN
	local f=-4
	[[ $2 = *:* ]] && f=-6
	ip -n "$(ns_of "$1")" $f route show table 689301 exact "$2" | grep -qE -- "$3"
}
kernel_lacks() { ! kernel_has "$1" "$2" .; }

# --- BIRD ---
bird_start() { # HOST [OPTION...]: $net_dir/HOST.bird is its configuration
	in_host "$1" bird -c "$net_dir/$1.bird" -s "$net_dir/$1.birdctl" -P "$net_dir/$1.birdpid" "${@:2}" >"$net_dir/$1.birdlog" 2>&1 ||
		{ cat "$net_dir/$1.birdlog" >&2; return 1; }
}
birdc_at() { # HOST COMMAND...
	local h=$1
	shift
	birdc -s "$net_dir/$h.birdctl" "$@"
}
bird_up() { birdc_at "$1" show protocols "$2" | grep -q Established; }
bird_has() { birdc_at "$1" show route "$2" all | grep -qE -- "${3:-.*via|unreachable|blackhole}"; } # HOST PREFIX [PATTERN]
bird_lacks() { ! birdc_at "$1" show route "$2" 2>/dev/null | grep -q "$2"; }

# --- traffic from c, 50 packets a second ---
# traffic_start ADDRESS
traffic_start() {
	ip netns exec "$(ns_of c)" env --default-signal=INT ping -i 0.02 -q "$1" >"$net_dir/ping" 2>&1 &
	ping_pid=$!
}
traffic_lost_none() { # WHILE
	local sent got
	kill -INT "$ping_pid"
	wait "$ping_pid" || true
	read -r sent got < <(awk '/packets transmitted/ {print $1, $4}' "$net_dir/ping")
	echo "   $got of $sent packets came back"
	[ "$sent" -gt 5 ] && [ $((sent - got)) -le 1 ] || fail "packets were lost while $1"
}

# --- heads of configurations ---
# weft_head [KEY...]: the section bgp of h1 up to its list of peers; each KEY is a line of it.
weft_head() {
	printf 'bgp:\n  asn: 64512\n  router-id: 192.0.2.1\n  listen: [192.0.2.1, "[2001:db8::1]"]\n'
	[ $# = 0 ] || printf '  %s\n' "$@"
	echo "  peers:"
}
# bird_head ID [HOST]: what every configuration of BIRD begins with; HOST (r) names its log.
bird_head() {
	printf 'router id %s;\nlog "%s" all;\nprotocol device { }\n' "$1" "$net_dir/${2:-r}.says"
}
