# lib.sh - hosts and pods as network namespaces, real daemons on them. Sourced.
#
# net_init NAME DIR first. All namespaces are called weft-NAME-PID-HOST, all files are below DIR, so that
# tests, also two runs of the same one, can stand side by side and a cleanup touches nothing else. Whose
# assertions don't bear others on the same processors has the line "# alone: yes" in its head. Tests wait for conditions
# (wait_for) and never sleep for luck. Underlay: 192.0.2.0/24 and 2001:db8::/64 (documentation
# addresses), inside the namespaces only.

net_name=
net_dir=
net_pids=()

# net_init NAME DIR [fixed]: fixed leaves the PID out of the names, so that a later call finds them.
net_init() {
	local ns pid
	net_name=$1-$$
	[ "${3:-}" != fixed ] || net_name=$1
	net_dir=$2
	mkdir -p "$net_dir"
	set -E # functions, too
	# Who returns 1 has said why, as wait_for does.
	trap '[ "$BASH_COMMAND" = "return 1" ] || net_why "line $LINENO of ${BASH_SOURCE[0]##*/}: $BASH_COMMAND"' ERR
	export XTABLES_LOCKFILE=$net_dir/xtables.lock # the older iptables has one for all namespaces
	# What a run that was killed left behind: namespaces of a process that is gone, in which nothing runs.
	for ns in $(ip netns list 2>/dev/null | awk '{print $1}' | grep -E "^weft-$1-[0-9]+-" || true); do
		pid=${ns#"weft-$1-"} pid=${pid%%-*}
		[ -d "/proc/$pid" ] || [ -n "$(ip netns pids "$ns" 2>/dev/null)" ] || ip netns del "$ns" 2>/dev/null || true
	done
}

# What went wrong last, for the end of the output: a long one is cut before the logs.
net_why() { echo "$*" >"$net_dir/why" 2>/dev/null || true; }

ns_of() { echo "weft-$net_name-$1"; }
in_host() { local h=$1; shift; ip netns exec "$(ns_of "$h")" "$@"; }
in_pod() { in_host "$@"; }

# Every process inside our namespaces was started by us.
net_cleanup() {
	local ns pids p deadline
	for ns in $(ip netns list 2>/dev/null | awk '{print $1}' | grep "^weft-$net_name-" || true); do
		pids=$(ip netns pids "$ns" 2>/dev/null || true)
		for p in $pids; do kill "$p" 2>/dev/null || true; done
		deadline=$((SECONDS + 3))
		while [ -n "$(ip netns pids "$ns" 2>/dev/null)" ] && [ $SECONDS -lt $deadline ]; do sleep 0.05; done
		for p in $(ip netns pids "$ns" 2>/dev/null || true); do kill -9 "$p" 2>/dev/null || true; done
		ip netns del "$ns" 2>/dev/null || true
	done
	for ns in $(awk -v dir="$net_dir/" 'index($2, dir) == 1 {print $2}' /proc/mounts); do umount "$ns" || true; done
	[ -n "$net_dir" ] && [ "${NET_KEEP_FILES:-no}" = no ] && rm -rf "$net_dir"
	return 0
}

# wait_for WHAT CONDITION...: until the command succeeds, at most WAIT seconds (30).
wait_for() {
	local what=$1 deadline=$((SECONDS + ${WAIT:-30}))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $deadline ]; then
			echo "waited ${WAIT:-30} s in vain for $what ($*)" >&2
			net_why "waited ${WAIT:-30} s in vain for $what ($*)"
			return 1
		fi
		sleep 0.05
	done
}

ns_add() {
	ip netns add "$(ns_of "$1")"
	ip -n "$(ns_of "$1")" link set lo up
	in_host "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv4.ping_group_range="0 2147483647" 2>/dev/null || true
}

# net_underlay HOST...: a switch (a namespace with a bridge) and the hosts on it; the nth host is
# 192.0.2.n and 2001:db8::n. UNDERLAY_MTU (1500).
net_underlay() {
	local h n=0 mtu=${UNDERLAY_MTU:-1500}
	ns_add sw
	ip -n "$(ns_of sw)" link add br0 mtu "$mtu" type bridge
	ip -n "$(ns_of sw)" link set br0 up
	for h in "$@"; do
		n=$((n + 1))
		ns_add "$h"
		ip link add u0 netns "$(ns_of "$h")" mtu "$mtu" type veth peer name "sw-$h" netns "$(ns_of sw)"
		ip -n "$(ns_of sw)" link set "sw-$h" mtu "$mtu" master br0 up
		ip -n "$(ns_of "$h")" addr add "192.0.2.$n/24" dev u0
		ip -n "$(ns_of "$h")" addr add "2001:db8::$n/64" dev u0 nodad
		ip -n "$(ns_of "$h")" link set u0 up
	done
}

# wire_mode HOST...: packets cross the underlay at their true size, as on a network card with GRO.
wire_mode() {
	local h
	for h in "$@"; do
		in_host "$h" ethtool -K u0 tso off gso on tx-udp-segmentation off tx-udp_tnl-segmentation off \
			tx-udp_tnl-csum-segmentation off gro on >/dev/null
		ip netns exec "$(ns_of sw)" ethtool -K "sw-$h" tso off gso on tx-udp-segmentation off gro on >/dev/null
	done
}

# net_pod HOST POD N: a pod at 10.32.N.2 and fd32:0:0:N::2, by a routed veth eth-POD on its host.
net_pod() {
	local h=$1 p=$2 n=$3 mtu=${POD_MTU:-1436}
	ns_add "$p"
	ip link add eth0 netns "$(ns_of "$p")" mtu "$mtu" type veth peer name "eth-$p" netns "$(ns_of "$h")"
	ip -n "$(ns_of "$h")" link set "eth-$p" mtu "$mtu" up
	ip -n "$(ns_of "$h")" addr add "10.32.$n.1/24" dev "eth-$p" noprefixroute
	ip -n "$(ns_of "$h")" addr add "fd32:0:0:$n::1/64" dev "eth-$p" nodad noprefixroute
	ip -n "$(ns_of "$p")" addr add "10.32.$n.2/24" dev eth0
	ip -n "$(ns_of "$p")" addr add "fd32:0:0:$n::2/64" dev eth0 nodad
	ip -n "$(ns_of "$p")" link set eth0 up
	ip -n "$(ns_of "$p")" route add default via "10.32.$n.1"
	ip -n "$(ns_of "$p")" -6 route add default via "fd32:0:0:$n::1"
}

# weftd_start HOST OPTION...: the secret is $net_dir/secret, the name NODE_NAME (HOST). Returns when its
# socket answers.
weftd_start() {
	local h=$1
	shift
	mkdir -p "$net_dir/$h"
	: >>"$net_dir/$h/log"
	setsid ip netns exec "$(ns_of "$h")" "${WEFTD:-$build/router/weftd}" --name "${NODE_NAME:-$h}" --secret-file "$net_dir/secret" \
		--state-dir "$net_dir/$h/state" --run-dir "$net_dir/$h/run" "$@" ${WEFTD_EXTRA:-} \
		>>"$net_dir/$h/log" 2>&1 </dev/null &
	echo $! >"$net_dir/$h/pid"
	disown
	wait_for "weftd on $h" weftd_answers_or_died "$h" || { weftd_log "$h"; return 1; }
	weftd_running "$h" || { weftd_log "$h"; return 1; }
}

# ctl_request HOST CMD KEY VALUE: what an orchestrator asks of the socket.
ctl_request() {
	/usr/bin/python3 - "$net_dir/$1/run/weft.sock" "$2" "$3" "$4" <<-'PY'
		import socket, struct, sys
		def text(s): return b'\xd9' + bytes([len(s)]) + s.encode()
		path, cmd, key, value = sys.argv[1:]
		body = b'\x83' + text('v') + b'\x01' + text('cmd') + text(cmd) + text('args') + b'\x81' + text(key) + text(value)
		s = socket.socket(socket.AF_UNIX)
		s.connect(path)
		s.sendall(struct.pack('>I', len(body)) + body)
		b = b''
		while len(b) < 4 or len(b) < 4 + struct.unpack('>I', b[:4])[0]: b += s.recv(65536)
		print(b[4:].decode('latin1'))
		sys.exit(0 if b'ok\xc3' in b else 1)
	PY
}

# HOST's state directory is an empty file system of SIZE from now on, which net_cleanup unmounts. small_state HOST SIZE
small_state() {
	rm -rf "$net_dir/$1/state"
	mkdir "$net_dir/$1/state"
	mount -t tmpfs -o size="$2" tmpfs "$net_dir/$1/state"
}

weftd_log() { echo "--- log of $1" >&2; tail -"${2:-30}" "$net_dir/$1/log" >&2; }
weftd_running() { ! process_gone "$(cat "$net_dir/$1/pid")"; }
weftd_answers_or_died() { weft_at "$1" status targets >/dev/null || ! weftd_running "$1"; }

# weftd_stop HOST [SIGNAL]: and wait until it is gone; by TERM it has to come to its end by itself.
weftd_stop() {
	local pid
	pid=$(cat "$net_dir/$1/pid")
	kill "-${2:-TERM}" "$pid" 2>/dev/null || true
	wait_for "weftd on $1 to end" process_gone "$pid"
	[ "${2:-TERM}" != TERM ] || tail -1 "$net_dir/$1/log" | grep -q 'weftd: stopped$' ||
		{ echo "weftd on $1 did not end cleanly" >&2; weftd_log "$1"; return 1; }
}
# Or only waits to be looked at by whoever started it: dead, and all its threads with it.
process_gone() {
	! awk '$1 == "State:" && $2 !~ /[ZX]/ || $1 == "Threads:" && $2 > 1 {alive = 1} END {exit !alive}' \
		"/proc/$1/status" 2>/dev/null
}

weft_at() {
	local h=$1
	shift
	"${WEFT:-$build/cli/weft}" --socket "$net_dir/$h/run/weft.sock" "$@"
}

# json_at HOST PYTHON-EXPRESSION VERB...: the expression over the reply d; true or a value is printed.
json_at() {
	local h=$1 expr=$2
	shift 2
	# Its exit code may tell that the answer is bad (not ready); the expression decides.
	{ weft_at "$h" -o json "$@" || true; } | /usr/bin/python3 -c "
import json, sys
d = json.load(sys.stdin)
r = $expr
if r is True or r is False: sys.exit(0 if r else 1)
print(r)"
}

# mesh_is_full N HOST...: each host is ready and has sessions and routes to the N-1 others.
mesh_is_full() {
	local n=$1 h
	shift
	for h in "$@"; do
		json_at "$h" "d['ready'] and d['peers']['up'] == $((n - 1)) and d['cluster']['up'] == $n and d['prefixes']['remote'] >= $((n - 1))" status || return 1
	done
}

drops_at() { json_at "$1" "d['traffic']['drops'].get('$2', 0)" status; }

# --- captures on the underlay ---
# capture_start HOST [INTERFACE [BYTES]]: of each packet (all)
capture_start() {
	rm -f "$net_dir/capture.pcap"
	ip netns exec "$(ns_of "$1")" tcpdump -i "${2:-u0}" -U -s "${3:-0}" --immediate-mode -w "$net_dir/capture.pcap" 2>"$net_dir/tcpdump.log" &
	echo $! >"$net_dir/tcpdump.pid"
	wait_for "tcpdump" grep -q "listening on" "$net_dir/tcpdump.log"
}
capture_stop() {
	local pid
	pid=$(cat "$net_dir/tcpdump.pid")
	kill -TERM "$pid" 2>/dev/null || true
	wait_for "tcpdump to end" process_gone "$pid"
}
capture_count() { tcpdump -r "$net_dir/capture.pcap" 2>/dev/null | wc -l; }
capture_has() { grep -aqF -- "$1" "$net_dir/capture.pcap"; }
# Any packet on the underlay with a pod or mesh address in its (outer) header, or carried in the open by
# another tunnel?
capture_has_inner() {
	[ -n "$(tcpdump -nr "$net_dir/capture.pcap" 'net 10.32.0.0/16 or ip6 net fd32::/32 or ip proto 4 or ip proto 41' 2>/dev/null)" ]
}

# --- traffic ---
port_listens() { in_host "$1" ss -Hltn "sport = :$2" | grep -q .; }
host_port_listens() { port_listens "$@"; }
iperf_rate() {
	in_pod "$1" iperf3 -c "$2" -t "${3:-4}" -J | /usr/bin/python3 -c '
import json, sys
print("%.2f" % (json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"] / 1e9))'
}
iperf_rate_host() { iperf_rate "$@"; }

# vxlan_pair HOST HOST: kernel VXLAN between two hosts, 198.18.0.1 and .2, for comparison.
vxlan_pair() {
	local i=0 h
	for h in "$1" "$2"; do
		i=$((i + 1))
		ip -n "$(ns_of "$h")" link add vx0 type vxlan id 42 dev u0 dstport 4789 \
			local "192.0.2.${h#h}" remote "192.0.2.$([ $i = 1 ] && echo "${2#h}" || echo "${1#h}")"
		ip -n "$(ns_of "$h")" addr add "198.18.0.$i/24" dev vx0
		ip -n "$(ns_of "$h")" link set vx0 up
	done
}

weft_suite() { json_at "$1" "d['connections'][0]['suite']" status connections; }

# udp_tcp_echo SERVER-POD CLIENT-POD ADDRESS-OF-CLIENT TEXT: a small echo over UDP and over TCP, started in
# both directions: client's pod serves, server's pod calls.
udp_tcp_echo() {
	local caller=$1 server=$2 addr=$3 text=$4 proto pid
	for proto in tcp udp; do
		rm -f "$net_dir/echo-$proto.log"
		in_pod "$server" /usr/bin/python3 "$root/test/netns/echo.py" serve "$proto" 7007 >"$net_dir/echo-$proto.log" 2>&1 &
		pid=$!
		wait_for "the echo server" grep -q ready "$net_dir/echo-$proto.log" &&
			in_pod "$caller" /usr/bin/python3 "$root/test/netns/echo.py" call "$proto" "$addr" 7007 "$text" ||
			{ kill $pid 2>/dev/null; return 1; }
		wait $pid || return 1
		echo "  ${proto^^}   $caller to $server:  the message came back whole"
	done
}

# --- the usual mesh, and what tests say ---
# mesh_hosts N: hosts h1..hN with pods p1..pN, and a secret.
mesh_hosts() {
	local n hosts=()
	for n in $(seq "$1"); do hosts+=("h$n"); done
	net_underlay "${hosts[@]}"
	for n in $(seq "$1"); do net_pod "h$n" "p$n" "$n"; done
	"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null
}

# node_start N OPTION...: weftd on hN with its pod's prefixes. SEED (192.0.2.1), "" for none.
node_start() {
	local n=$1 seed=()
	shift
	[ -z "${SEED-192.0.2.1}" ] || seed=(--peer "${SEED-192.0.2.1}")
	weftd_start "h$n" --cluster-range 10.32.0.0/16 --cluster-range fd32::/32 \
		--prefix "10.32.$n.0/24@eth-p$n" --prefix "fd32:0:0:$n::/64@eth-p$n" "${seed[@]}" "$@"
}

pings() { in_pod "$1" ping -c 1 -W 1 -q "$2" >/dev/null; }
# The pod is told so, and doesn't just wait.
unreachable() { shows nreachable in_pod "$1" ping -c 1 -W 1 "$2"; }
# shows PATTERN COMMAND...: what the command prints, whatever its status, has a line that matches.
shows() { local pattern=$1; shift; grep -qE -- "$pattern" <<<"$("$@" 2>&1)"; }
not() { ! "$@"; }
step() { printf -- '-- %(%T)T %s\n' -1 "$*"; }
fail() { echo "FAIL: $*" >&2; net_why "FAIL: $*"; exit 1; }
log_says() { grep -q -- "$2" "$net_dir/$1/log"; }
# grown COUNT COMMAND...: the command prints more than COUNT.
grown() { local than=$1; shift; [ "$("$@")" -gt "$than" ]; }
now_ms() { date +%s%3N; }

# The EXIT trap of a test: on failure the end of every daemon's log, then the cleanup.
net_end() {
	local rc=$? l
	if [ $rc != 0 ] && [ $rc != 77 ]; then
		for l in "$net_dir"/*/log; do
			[ -e "$l" ] && { echo "--- $l"; tail -"${LOG_LINES:-25}" "$l"; } >&2
		done
		echo "--- $net_name: $(cat "$net_dir/why" 2>/dev/null)" >&2
	fi
	net_cleanup
	exit $rc
}
