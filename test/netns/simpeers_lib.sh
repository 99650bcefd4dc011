# simpeers_lib.sh - one real daemon on h1, all others of its cluster played by weft-sim-peers in a namespace of its
# own. Sourced after lib.sh. docs/simulator.md tells how.

# simpeers_net: the two namespaces and what is between them.
simpeers_net() {
	ns_add sim
	ns_add h1
	ip link add u0 netns "$(ns_of h1)" type veth peer name u0 netns "$(ns_of sim)"
	ip -n "$(ns_of sim)" addr add 192.0.2.1/24 dev u0
	ip -n "$(ns_of h1)" addr add 192.0.2.2/24 dev u0
	ip -n "$(ns_of sim)" link set u0 up
	ip -n "$(ns_of h1)" link set u0 up
	ip -n "$(ns_of sim)" route add local 100.64.0.0/10 dev lo
	ip -n "$(ns_of h1)" route add 100.64.0.0/10 via 192.0.2.1
}

# simpeers_start NODES SEED [OPTION...]: returns when they stand; the secret is the daemon's.
simpeers_start() {
	local n=$1 seed=$2
	shift 2
	: >"$net_dir/sim.log" # of an earlier one
	ip netns exec "$(ns_of sim)" "$build/test/sim/weft-sim-peers" --nodes "$n" --seed "$seed" \
		--secret-file "$net_dir/secret" "$@" >"$net_dir/sim.log" 2>&1 &
	simpeers_pid=$!
	WAIT=${SIMPEERS_WAIT:-300} wait_for "$n simulated nodes" simpeers_ready_or_died
	kill -0 $simpeers_pid 2>/dev/null || { cat "$net_dir/sim.log" >&2; return 1; }
}
simpeers_ready_or_died() { grep -q '^ready' "$net_dir/sim.log" || ! kill -0 "$simpeers_pid" 2>/dev/null; }
simpeers_stop() {
	kill -TERM "$simpeers_pid" 2>/dev/null || true
	wait "$simpeers_pid" || { cat "$net_dir/sim.log" >&2; return 1; }
}

# simpeers_daemon [OPTION...]: the real one, whose seed is the first of them.
simpeers_daemon() {
	weftd_start h1 --cluster-range 10.0.0.0/8 --prefix 10.250.0.0/24 --peer 100.64.0.1 "$@"
}
