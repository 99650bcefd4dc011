# paths.sh - helpers for tests of paths and membership: meshes that stand, cuts on the underlay, and what status
# says of nodes and ways. Sourced after lib.sh.

# mesh_up N OPTION...: weftd on h1..hN of mesh_hosts, begun side by side; returns when all agree.
mesh_up() {
	local n=$1 k p pids=()
	shift
	for k in $(seq "$n"); do
		node_start "$k" "$@" &
		pids+=($!)
	done
	for p in "${pids[@]}"; do wait "$p" || return 1; done
	# shellcheck disable=SC2046
	wait_for "$n nodes to agree" all_agree "$n" "$((2 * n - 2))" $(seq -f h%g "$n")
}
# all_agree N PREFIXES HOST...: each is ready, sees N nodes up and none of them in doubt, and routes to at least
# PREFIXES of the others'.
all_agree() {
	local n=$1 p=$2 h
	shift 2
	for h in "$@"; do
		json_at "$h" "d['ready'] and d['cluster']['up'] == $n and d['membership']['suspected'] == d['membership']['dead'] == 0 and d['prefixes']['remote'] >= $p" status || return 1
	done
}
# all_see N HOST...: each sees N nodes up, itself included.
all_see() { local n=$1 h; shift; for h in "$@"; do json_at "$h" "d['cluster']['up'] == $n" status || return 1; done; }
# node_is HOST NODE PYTHON-EXPRESSION: over the node's entry p of status peers. all_say EXPRESSION NODE HOST...
node_is() { json_at "$1" "any(p['name'] == '$2' and $3 for p in d['peers'])" status peers; }
all_say() { local what=$1 node=$2 h; shift 2; for h in "$@"; do node_is "$h" "$node" "$what" || return 1; done; }
# Nobody was ever held dead or its death taken back, by any of HOST...
nobody_died() {
	local h
	for h in "$@"; do
		json_at "$h" "d['membership']['deaths'] == d['membership']['false_alarms'] == 0" status ||
			{ echo "$h: $(json_at "$h" "d['membership']" status)" >&2; return 1; }
	done
}
# reaches FROM TO...: the pod of host FROM (a number) reaches those of the others.
reaches() {
	local from=$1 to
	shift
	for to in "$@"; do pings "p$from" "10.32.$to.2" || wait_for "p$from to reach p$to" pings "p$from" "10.32.$to.2" || return 1; done
}

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
# Where the node's packets go to. endpoint_of HOST NODE
endpoint_of() { json_at "$1" "next((c['endpoint'] for c in d['connections'] if c['name'] == '$2' and c['state'] == 'established'), '')" status connections; }
endpoint_is() { [ "$(endpoint_of "$1" "$2")" = "$3" ]; }
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
# A ping each 50 ms until the test ends, so that the way is in use. keep_busy POD ADDRESS [PING-OPTION...]
keep_busy() {
	ip netns exec "$(ns_of "$1")" ping -i 0.05 -q "${@:3}" "$2" >/dev/null 2>&1 &
	busy_pid=$!
}
keep_busy_stop() { kill "$busy_pid" 2>/dev/null; wait "$busy_pid" 2>/dev/null || true; }
