#!/bin/bash
# bgp.sh - what full tables cost weft, BIRD, FRR and GoBGP: the time until a second peer has heard the last route,
# CPU time, memory, the time of a change and of a withdrawal of 100,000. One generator (bgpgen.c) for all; "self" is
# the generator speaking to itself, so that what it costs is seen. Cases: "one": 500,000 IPv4 and 100,000 IPv6 routes
# from one peer; "ten": 100,000 IPv4 routes from each of ten. Nobody puts routes into the kernel (KERNEL=1: weft,
# BIRD and FRR do). Rounds are taken in turn; the table shows medians and the spread. A speaker that fails, or takes
# longer than LIMIT for a phase, has a row that says so, and the next one is tried.
#
# RUNS (3), SPEAKERS ("self weft bird frr gobgp"), CASES ("one ten"), SETTLE (30 s before the memory is read), LIMIT
# (300 s); QUICK=1: one round, a tenth of the routes. WEFT_BUILD=DIR, WEFTD=PROGRAM.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
. "$root/deploy/setup.sh"
become_root "$@"
. "$root/test/netns/lib.sh"
[ "${QUICK:-0}" = 0 ] || : "${RUNS:=1}" "${SETTLE:=2}" "${SCALE:=10}"
RUNS=${RUNS:-3} SETTLE=${SETTLE:-30} SCALE=${SCALE:-1} KERNEL=${KERNEL:-0} LIMIT=${LIMIT:-300}
CASES=${CASES:-one ten} SPEAKERS=${SPEAKERS:-self weft bird frr gobgp}
gen=$build/test/bgpgen
[ -x "$gen" ] || { echo "no $gen: build the target bgpgen" >&2; exit 2; }
net_init bgpbench "$(mktemp -d)"
trap bench_end EXIT
results=$net_dir/results
pids=()
bench_end() {
	local p
	for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
	net_end
}

ns_add dut
ns_add gen
ip link add u0 netns "$(ns_of dut)" type veth peer name u0 netns "$(ns_of gen)"
ip -n "$(ns_of dut)" addr add 192.0.2.1/24 dev u0
ip -n "$(ns_of dut)" addr add 2001:db8::1/64 dev u0 nodad
ip -n "$(ns_of gen)" addr add 192.0.2.100/24 dev u0
for i in $(seq 101 110); do
	ip -n "$(ns_of gen)" addr add "192.0.2.$i/24" dev u0
	ip -n "$(ns_of gen)" addr add "2001:db8::$(printf %x "$i")/64" dev u0 nodad
done
for h in dut gen; do ip -n "$(ns_of $h)" link set u0 up; done
"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null

# run_dut LOG COMMAND...: in the foreground of a job of ours, so that the pid is its own.
run_dut() {
	ip netns exec "$(ns_of dut)" "${@:2}" >"$net_dir/$1.log" 2>&1 </dev/null &
	pids+=($!)
}
sources() { seq 101 $((100 + $1)); }

# --- the speakers: up_X SOURCES leaves $pids ---
up_weft() {
	local i
	{
		echo "bgp:"
		echo "  asn: 65000"
		echo "  router-id: 192.0.2.1"
		echo "  listen: 192.0.2.1"
		[ "$KERNEL" = 1 ] || echo "  kernel: no"
		echo "  peers:"
		for i in $(sources "$1"); do
			echo "  - {address: 192.0.2.$i, asn: 65$i, passive: yes, families: [ipv4, ipv6], hold: 240, import: accept, export: reject}"
		done
		echo "  - {address: 192.0.2.100, asn: 65100, passive: yes, families: [ipv4, ipv6], hold: 240, next-hop: [192.0.2.1, \"2001:db8::1\"], import: reject, export: accept}"
	} >"$net_dir/weft.yaml"
	weftd_start dut --cluster-range 172.31.0.0/16 --config "$net_dir/weft.yaml" >&2
	pids=("$(cat "$net_dir/dut/pid")")
}
up_bird() {
	local i
	{
		echo 'router id 192.0.2.1; protocol device { }'
		[ "$KERNEL" = 0 ] || echo 'protocol kernel { ipv4 { export all; }; } protocol kernel { ipv6 { export all; }; }'
		echo 'template bgp t { local 192.0.2.1 as 65000; passive; hold time 240; }'
		for i in $(sources "$1"); do
			echo "protocol bgp s$i from t { neighbor 192.0.2.$i as 65$i; ipv4 { import all; export none; }; ipv6 { import all; export none; next hop address 2001:db8::1; }; }"
		done
		echo "protocol bgp l from t { neighbor 192.0.2.100 as 65100; ipv4 { import none; export all; }; ipv6 { import none; export all; next hop address 2001:db8::1; }; }"
	} >"$net_dir/bird.conf"
	run_dut bird bird -f -c "$net_dir/bird.conf" -s "$net_dir/bird.ctl" -P "$net_dir/bird.pid"
}
up_frr() {
	local i d=$net_dir/frr flags=()
	mkdir -p "$d"
	{
		echo "frr defaults datacenter"
		echo "route-map STOP deny 10"
		echo "route-map PASS permit 10"
		echo "router bgp 65000"
		echo " bgp router-id 192.0.2.1"
		for i in 100 $(sources "$1"); do
			echo " neighbor 192.0.2.$i remote-as 65$i"
			echo " neighbor 192.0.2.$i passive"
			echo " neighbor 192.0.2.$i timers 80 240"
		done
		for f in ipv4 ipv6; do
			echo " address-family $f unicast"
			for i in 100 $(sources "$1"); do
				echo "  neighbor 192.0.2.$i activate"
				[ "$i" = 100 ] && echo "  neighbor 192.0.2.$i route-map STOP in" || echo "  neighbor 192.0.2.$i route-map STOP out"
				[ "$i" = 100 ] && echo "  neighbor 192.0.2.$i route-map PASS out" || echo "  neighbor 192.0.2.$i route-map PASS in"
			done
			echo " exit-address-family"
		done
	} >"$d/frr.conf"
	chmod 711 "$net_dir"
	chown -R frr:frr "$d"
	# Zebra tells it of links, or no next hop would be valid.
	run_dut zebra /usr/lib/frr/zebra -f "$d/frr.conf" -z "$d/zserv" -i "$d/zebra.pid" --vty_socket "$d" -P 0
	wait_for "zebra" test -S "$d/zserv"
	[ "$KERNEL" = 1 ] || flags+=(--no_kernel)
	run_dut bgpd /usr/lib/frr/bgpd -f "$d/frr.conf" -z "$d/zserv" "${flags[@]}" -i "$d/bgpd.pid" --vty_socket "$d" -P 0
}
up_gobgp() {
	local i
	{
		echo '[global.config]'
		echo '  as = 65000'
		echo '  router-id = "192.0.2.1"'
		echo '[global.apply-policy.config]'
		echo '  export-policy-list = ["out"]'
		echo '  default-export-policy = "reject-route"'
		echo '[[defined-sets.neighbor-sets]]'
		echo '  neighbor-set-name = "listener"'
		echo '  neighbor-info-list = ["192.0.2.100/32"]'
		echo '[[policy-definitions]]'
		echo '  name = "out"'
		echo '  [[policy-definitions.statements]]'
		echo '    [policy-definitions.statements.conditions.match-neighbor-set]'
		echo '      neighbor-set = "listener"'
		echo '    [policy-definitions.statements.actions]'
		echo '      route-disposition = "accept-route"'
		for i in 100 $(sources "$1"); do
			echo '[[neighbors]]'
			echo '  [neighbors.config]'
			echo "    neighbor-address = \"192.0.2.$i\""
			echo "    peer-as = 65$i"
			echo '  [neighbors.transport.config]'
			echo '    passive-mode = true'
			for f in ipv4-unicast ipv6-unicast; do
				echo '  [[neighbors.afi-safis]]'
				echo '    [neighbors.afi-safis.config]'
				echo "      afi-safi-name = \"$f\""
			done
		done
	} >"$net_dir/gobgpd.toml"
	run_dut gobgp gobgpd -f "$net_dir/gobgpd.toml" --api-hosts "unix://$net_dir/gobgp.sock" -l warn
}
have() {
	case $1 in
	self | weft) true ;;
	bird) command -v bird >/dev/null ;;
	frr) [ -x /usr/lib/frr/bgpd ] ;;
	gobgp) command -v gobgpd >/dev/null ;;
	esac
}
down() {
	local p
	for p in "${pids[@]}"; do
		kill "$p" 2>/dev/null || true
		# GoBGP may not hear it for minutes.
		WAIT=10 wait_for "process $p to end" process_gone "$p" && continue
		kill -9 "$p" 2>/dev/null || true
		WAIT=60 wait_for "process $p to end" process_gone "$p" || true # its port is the next one's
	done
	pids=()
	[ "$KERNEL" = 0 ] || in_host dut sh -c 'for f in -4 -6; do for p in bgp bird 186 $(seq 100 200); do ip $f route flush table all proto $p; done; done' 2>/dev/null || true
}

# one CASE ROUND SPEAKER: never fails; what went wrong stands in the results.
one() {
	local case=$1 round=$2 who=$3 n=1 args out code=0 dut=192.0.2.1 joined
	case $case in
	one) args=(v4 $((500000 / SCALE)) v6 $((100000 / SCALE))) ;;
	ten) n=10 args=(v4 $((1000000 / SCALE)) v6 0) ;;
	esac
	rm -f "$net_dir"/*.log
	if [ "$who" = self ]; then
		[ $n = 1 ] || return 0
		dut=-
	elif ! "up_$who" $n; then
		echo "$case $round $who load !did not start"
		down
		return 0
	fi
	joined=$(IFS=,; echo "${pids[*]}")
	# All its phases and waits have bounds; the last belt is timeout's.
	out=$(in_host gen timeout -k 5 $((3 * LIMIT + SETTLE + 300)) "$gen" $dut 192.0.2.101 192.0.2.100 sources $n "${args[@]}" \
		churn $((100000 / SCALE)) settle "$SETTLE" limit "$LIMIT" pids "$joined" 2>"$net_dir/gen.log") || code=$?
	[ $code = 0 ] || tail -n 5 "$net_dir"/*.log >&2
	down
	sed -n "s/^\([a-z_]*\) \([0-9.>!].*\)\$/$case $round $who \1 \2/p" <<<"$out"
	[ $code = 0 ] || grep -q '^[a-z_]* [>!]' <<<"$out" || echo "$case $round $who load !the generator ended with status $code"
}

for r in $(seq "$RUNS"); do
	for c in $CASES; do
		for w in $SPEAKERS; do
			have "$w" || { [ "$r" != 1 ] || echo "  no $w here: left out" >&2; continue; }
			echo "  round $r: $c $w" >&2
			one "$c" "$r" "$w" >>"$results"
		done
	done
done
/usr/bin/python3 "$root/test/bench/bgp_table.py" "$results"
