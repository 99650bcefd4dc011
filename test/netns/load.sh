# load.sh - traffic whose content is judged (test/tools), between namespaces of lib.sh. Sourced after it.

tool() { local t=$1 h=$2; shift 2; in_host "$h" "$build/test/$t" "$@"; }
# For a background job: the job's pid is the program's own.
exec_in() { local h=$1; shift; exec ip netns exec "$(ns_of "$h")" "$@"; }

# Wait for a background process of ours and show what it said if it failed.
ended_well() { # PID LOG WHAT
	wait "$1" || { echo "$3 failed:" >&2; cat "$2" >&2; return 1; }
}

# tcp_load SERVER CALLER ADDRESS FLOWS MIB [PORT]: MIB MiB both ways at once in each flow, compared.
tcp_load() {
	local log="$net_dir/tcp-$1-${6:-7100}.log" pid
	rm -f "$log"
	tool tcpload "$1" serve "${6:-7100}" "$4" "$5" >"$log" 2>&1 &
	pid=$!
	wait_for "tcpload on $1" grep -q ready "$log"
	tool tcpload "$2" call "$3" "${6:-7100}" "$4" "$5" || { cat "$log" >&2; kill $pid 2>/dev/null; return 1; }
	ended_well $pid "$log" "tcpload on $1"
}

# udp_recv_start HOST PORT FLOWS SECONDS, then udp_recv_end HOST PORT: sets udp_line, what it counted.
udp_line=
udp_recv_start() {
	local f="$net_dir/udp-$1-$2"
	rm -f "$f.log"
	tool udpload "$1" recv "$2" "$3" "$4" >"$f.log" 2>&1 &
	echo $! >"$f.pid"
	wait_for "udpload on $1" grep -q ready "$f.log"
}
udp_recv_end() {
	local f="$net_dir/udp-$1-$2"
	ended_well "$(cat "$f.pid")" "$f.log" "udpload on $1" || return 1
	udp_line=$(grep '^got=' "$f.log")
	grep '^udpload:' "$f.log" || true
	echo "  $1: $udp_line"
}

# value_of KEY LINE: from a line of KEY=VALUE words.
value_of() { sed -n "s/.*\b$1=\([0-9.]*\).*/\1/p" <<<"$2"; }

# udp_whole LINE [KEY...]: none of lost, reordered, doubled, damaged (or the keys given) in it.
udp_whole() {
	local line=$1 k
	shift
	for k in "${@:-lost reordered doubled damaged}"; do
		for k in $k; do
			[ "$(value_of "$k" "$line")" = 0 ] || { echo "not whole: $line" >&2; return 1; }
		done
	done
}

# echo_start HOST PORT: a UDP echo until the cleanup.
echo_start() {
	tool udpload "$1" echo "$2" >"$net_dir/echo-$1-$2.log" 2>&1 &
	wait_for "the echo on $1" grep -q ready "$net_dir/echo-$1-$2.log"
}

# Fragments of outer packets in the capture: no such thing may exist (DESIGN 4.6).
capture_has_fragments() {
	[ -n "$(tcpdump -nr "$net_dir/capture.pcap" '(ip and ip[6:2] & 0x3fff != 0) or (ip6 and ip6[6] = 44)' 2>/dev/null | head -1)" ]
}

# The underlay of the first N hosts has addresses of one family: underlay_only v4|v6 N.
underlay_only() {
	local n h
	for n in $(seq "$2"); do
		h=$(ns_of "h$n")
		if [ "$1" = v4 ]; then
			ip -n "$h" -6 addr flush dev u0 scope global
			ip -n "$h" addr replace "192.0.2.$n/24" dev u0
		else
			ip -n "$h" -4 addr flush dev u0
			ip -n "$h" -6 addr replace "2001:db8::$n/64" dev u0 nodad
		fi
	done
}
# The seed on such an underlay, for node_start.
seed_on() { [ "$1" = v4 ] && echo 192.0.2.1 || echo '[2001:db8::1]'; }
