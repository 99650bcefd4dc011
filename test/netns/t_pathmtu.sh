#!/bin/bash
# Eight hosts on an underlay of 9000, 1500, 1400 and 1280, two of each: what their interfaces carry they know; that
# another's carries less, probes alone find, since the switch drops what is too large without a word. Between each
# two kinds each payload size around the edge passes, what is larger gets a too-big, TCP goes on, and no outer packet
# is ever fragmented. Then it changes under traffic: on the way, 9000 to 1280, with nobody told; and at the
# interfaces, up and down. What ICMP says of the underlay counts for nothing. Two more hosts, a mesh of their own, do
# the same over IPv6.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
. "$root/test/netns/paths.sh"
net_init pathmtu "$(mktemp -d)"
trap net_end EXIT

# What TCP may send at both ends of a connection that begins now: CALLER SERVER ADDRESS MOST
mss_fits() {
	local log="$net_dir/mss.log" pid most
	: >"$log"
	in_pod "$2" /usr/bin/python3 "$root/test/netns/mss.py" serve >>"$log" 2>&1 &
	pid=$!
	wait_for "the server" grep -q ready "$log"
	in_pod "$1" /usr/bin/python3 "$root/test/netns/mss.py" call "$3" >>"$log" || { cat "$log" >&2; return 1; }
	wait $pid
	most=$(sort -n "$log" | tail -1)
	[ "$(grep -c '^[0-9]' "$log")" = 2 ] && [ "$most" -le "$4" ] && [ "$most" -ge $(($4 - 12)) ] ||
		{ echo "MSS between $1 and $2:" >&2; cat "$log" >&2; return 1; }
}

# What the switch passes to and from these hosts, numbers: port_mtu MTU HOST...; if_mtu: at the interface too.
port_mtu() { local m=$1 n; shift; for n in "$@"; do ip -n "$(ns_of sw)" link set "sw-h$n" mtu "$m"; done; }
if_mtu() { local m=$1 n; port_mtu "$@"; shift; for n in "$@"; do ip -n "$(ns_of h$n)" link set u0 mtu "$m"; done; }
forget_paths() {
	local n
	for n in "$@"; do
		ip -n "$(ns_of p$n)" route flush cache
		ip -n "$(ns_of p$n)" -6 route flush cache
	done
}
# Inside: what IPv4 and IPv6 packets may have on a path of so many bytes. By IPv6 halves carry what is above it.
around=64 # of it is weft's; 84 over IPv6
inner4() { echo $(($1 - around)); }
inner6() { echo $(($1 - around < 1280 ? 1280 : $1 - around)); }
# sizes A B OUTER: both ways and families, every payload of the 61 sizes up to the edge comes back whole.
sizes() {
	local from=$1 to=$2 v4 v6 k
	v4=$(inner4 "$3") v6=$(inner6 "$3")
	for k in 1 2; do
		tool udpload p$from sweep "10.32.$to.2" 7001 $((v4 - 28 - 60)) $((v4 - 28)) 8
		tool udpload p$from sweep "fd32:0:0:$to::2" 7001 $((v6 - 48 - 60)) $((v6 - 48)) 8
		from=$2 to=$1
	done
}
# too_big A B OUTER: what is larger is refused, with the right size; without DF it arrives in fragments, inside.
too_big() {
	in_pod p$1 /usr/bin/python3 "$root/test/netns/bigsend.py" 10.32.$2.2 7001 "$(inner4 "$3")"
	in_pod p$1 /usr/bin/python3 "$root/test/netns/bigsend.py" fd32:0:0:$2::2 7001 "$(inner6 "$3")"
}
tcp_both() { tcp_load p$2 p$1 10.32.$2.2 1 4; tcp_load p$1 p$2 fd32:0:0:$1::2 1 4; }
# The kernel's route, by which forwarded SYNs are judged, has it. route_has A B OUTER
route_has() {
	local m
	m=$(ip -n "$(ns_of h$1)" route show table 679301 "10.32.$2.0/24" | grep -o 'mtu [0-9]*') || # or the device's
		m=$(ip -n "$(ns_of h$1)" -o link show weft0 | grep -o 'mtu [0-9]*')
	[ "$m" = "mtu $(inner4 "$3")" ]
}
# known A B OUTER: both have found it.
known() {
	within 10 "h$1 knows of $3 to h$2" path_mtu_is h$1 h$2 $3
	within 10 "h$2 knows it too" path_mtu_is h$2 h$1 $3
	wait_for "h$1's route to have it" route_has $1 $2 $3
	wait_for "h$2's route to have it" route_has $2 $1 $3
}

POD_MTU=9000 UNDERLAY_MTU=9000 mesh_hosts 10
underlay_only v4 8
for n in 9 10; do ip -n "$(ns_of h$n)" -4 addr flush dev u0; done
wire_mode h1 h2 h3 h4 h5 h6 h7 h8 h9 h10 # super-packets would pass any port
if_mtu 1500 3 4
if_mtu 1400 5 6
if_mtu 1280 7 8
if_mtu 1500 9 10
for n in 1 2 3 4 5 6 7 8 9 10; do echo_start p$n 7001; done
mesh_up 8
capture_start sw br0 128 # all that the switch forwards; the headers are enough

# Every two kinds; between unequal ones the larger interface's host isn't told.
for pair in "1 2 9000" "3 4 1500" "5 6 1400" "7 8 1280" "1 3 1500" "2 5 1400" "1 7 1280" "4 6 1400" "3 8 1280" "5 7 1280"; do
	set -- $pair
	step "h$1 and h$2, $3 between them"
	reaches $1 $2
	keep_busy p$1 10.32.$2.2
	known $1 $2 $3
	if [ $3 -lt 9000 ]; then
		# Before any too-big could have told the pods.
		mss_fits p$1 p$2 10.32.$2.2 $(($(inner4 $3) - 40)) || fail "TCP over IPv4 begins with segments of other sizes: $(tr '\n' ' ' <"$net_dir/mss.log")"
		mss_fits p$2 p$1 fd32:0:0:$1::2 $(($(inner6 $3) - 60)) || fail "TCP over IPv6 begins with segments of other sizes: $(tr '\n' ' ' <"$net_dir/mss.log")"
	fi
	sizes $1 $2 $3
	too_big $1 $2 $3
	tcp_both $1 $2
	keep_busy_stop
done
holes=$(json_at h1 "next(c['black_holes'] for c in d['connections'] if c['name'] == 'h2')" status connections)

keep_busy p1 10.32.2.2
step "ICMP says that 576 bytes are the most between h1 and h2: anybody can say so, nobody believes it"
told() { in_host h1 nstat -asz IcmpInDestUnreachs | awk '/IcmpInDest/ {print $2}'; }
before=$(told)
in_host h8 /usr/bin/python3 "$root/test/netns/toobig.py" 192.0.2.1 192.0.2.2 576
wait_for "h1's kernel to have it" grown $((before + 9)) told
sizes 1 2 9000
path_mtu_is h1 h2 9000 || fail "h1 believes in $(path_mtu h1 h2)"
json_at h1 "next(c['black_holes'] for c in d['connections'] if c['name'] == 'h2') == $holes" status connections || fail "h1 looked for a smaller size"

for outer in 1500 1400 1280; do
	step "the path of h1 and h2 changes under traffic, to $outer, and nobody is told"
	port_mtu $outer 1 2
	known 1 2 $outer
	forget_paths 1 2
	mss_fits p1 p2 10.32.2.2 $(($(inner4 $outer) - 40)) || fail "TCP over IPv4 begins with segments of other sizes: $(tr '\n' ' ' <"$net_dir/mss.log")"
	mss_fits p2 p1 fd32:0:0:1::2 $(($(inner6 $outer) - 60)) || fail "TCP over IPv6 begins with segments of other sizes: $(tr '\n' ' ' <"$net_dir/mss.log")"
	sizes 1 2 $outer
	too_big 1 2 $outer
	tcp_both 1 2
done
json_at h1 "next(c['halves'] for c in d['connections'] if c['name'] == 'h2')" status connections || fail "status does not tell of halves"
json_at h1 "next(c['black_holes'] for c in d['connections'] if c['name'] == 'h2') >= $holes + 3" status connections || fail "black holes were not counted"
keep_busy_stop

# Large enough to fill the path whatever it is: what is under way when it changes must not be cut into pieces.
full=(-i 0.02 -s 8800)
keep_busy p3 10.32.4.2 "${full[@]}"
for outer in 9000 1400; do
	step "the interfaces of h3 and h4 change under traffic, to $outer"
	if_mtu $outer 3 4
	known 3 4 $outer
	forget_paths 3 4
	sizes 3 4 $outer
	too_big 3 4 $outer
	tcp_both 3 4
done
keep_busy_stop
wait_for "all to agree still" all_agree 8 14 h1 h2 h3 h4 h5 h6 h7 h8
nobody_died h1 h2 h3 h4 h5 h6 h7 h8 || fail "somebody was held dead"

step "over IPv6: 1500; on the way 1280, and nobody is told; at the interfaces 9000, then 1400"
around=84
for n in 9 10; do SEED='[2001:db8::9]' node_start $n; done
wait_for "h9 and h10 to agree" all_agree 2 2 h9 h10
keep_busy p9 10.32.10.2 "${full[@]}"
for change in "if_mtu 1500" "port_mtu 1280" "if_mtu 9000" "if_mtu 1400"; do
	$change 9 10
	known 9 10 "${change#* }"
	forget_paths 9 10
	sizes 9 10 "${change#* }"
	too_big 9 10 "${change#* }"
	tcp_both 9 10
done
keep_busy_stop
json_at h9 "all('[2001:db8::10]' in c['endpoint'] and c['black_holes'] > 0 for c in d['connections'])" status connections || fail "the connection of h9 and h10 is another"
nobody_died h9 h10 || fail "somebody was held dead"
capture_stop
[ "$(capture_count)" -gt 10000 ] || fail "the capture is too short: $(capture_count)"
not capture_has_fragments || fail "outer fragments on the underlay"
not capture_has_inner || fail "inner packets in clear"
