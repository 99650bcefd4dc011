# paths.sh - helpers for tests of paths: cuts on the underlay, and what status says of ways. Sourced after lib.sh.

# cut A B: the nth host hB hears nothing of hA any more (one direction); mend A B.
cut() {
	in_host "h$2" nft -f - <<-EOF
		table inet cut$1 {
			chain in {
				type filter hook prerouting priority -400;
				ip saddr 192.0.2.$1 counter drop
				ip6 saddr 2001:db8::$1 counter drop
			}
		}
	EOF
}
mend() { in_host "h$2" nft delete table inet "cut$1"; }
cut_both() { cut "$1" "$2"; cut "$2" "$1"; }
mend_both() { mend "$1" "$2"; mend "$2" "$1"; }

# way HOST NODE: "direct", "relay NAME", "lost", or nothing.
way() {
	json_at "$1" "next((c['path'] for c in d['connections'] if c['name'] == '$2' and c['state'] == 'established'), '')" status connections
}
way_is() { [ "$(way "$1" "$2")" = "$3" ]; }
# path_mtu HOST NODE
path_mtu() {
	json_at "$1" "next((c['path_mtu'] for c in d['connections'] if c['name'] == '$2' and c['state'] == 'established' and not c['path_mtu_searching']), 0)" status connections
}
path_mtu_is() { [ "$(path_mtu "$1" "$2")" = "$3" ]; }
# within SECONDS WHAT COMMAND...: the event comes within ten times SECONDS; says how long it took.
within() {
	local secs=$1 what=$2 t0
	t0=$(now_ms)
	shift 2
	WAIT=$((secs * 10)) wait_for "$what" "$@"
	printf '   %-52s %6d ms (expected: %d s)\n' "$what" $(($(now_ms) - t0)) "$secs"
}
# A ping each 50 ms until the test ends, so that the way is in use. keep_busy POD ADDRESS
keep_busy() {
	ip netns exec "$(ns_of "$1")" ping -i 0.05 -q "$2" >/dev/null 2>&1 &
	busy_pid=$!
}
keep_busy_stop() { kill "$busy_pid" 2>/dev/null; wait "$busy_pid" 2>/dev/null || true; }
