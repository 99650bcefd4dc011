#!/bin/bash
# run.sh [SET...]: sets up what the tests need, builds, runs. Sets:
#	short	what runs at each change (the default): lint unit sanitizers sim netns interop-short kube fallbacks
#		fuzz-smoke demo
#	lint unit sanitizers clang sim netns fallbacks interop interop-short kube demo
#	fuzz	each target FUZZ_SECS (600) of CPU time	 fuzz-smoke  the corpus and 4 s each
#	bench	test/bench/*.sh, figures to stdout	 long	     sweeps, the simulator's table (of TABLE_NODES, 1000, and
#		seeds TABLE_SEEDS, 1-3), ten-minute transfers, fuzz, a fresh machine
# ONLY=PATTERN runs the netns tests and fuzz targets whose name matches. WEFT_BUILD: the build directory (build).
# TEST_JOBS tests run side by side (as many as there are processors, at most 4); those with a line "# alone: yes"
# in their text run by themselves. Prints a line per test as it ends, the output of those that fail, and
# "N passed, N failed" last.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
. "$root/deploy/setup.sh"
become_root "$@"

passed=0 failed=0 skipped=0 failures=()
results=$(mktemp -d)
export WEFT_VECTORS=${WEFT_VECTORS:-$root/../shared/vectors}

# --- the pool ---
# A job writes "NUMBER STATUS SECONDS" to descriptor 9 when it has ended.
cpus=$(nproc)
jobs_max=${TEST_JOBS:-$((cpus < 4 ? cpus : 4))}
jobs_begun=0
declare -A job_name=()
mkfifo "$results/ended"
exec 9<>"$results/ended"

# Nothing that was started outlives this script.
jobs_kill() {
	local rc=$? n
	for n in "${!job_name[@]}"; do kill -TERM "$(cat "$results/$n.pid")" 2>/dev/null || true; done
	for n in "${!job_name[@]}"; do timeout 30 tail --pid="$(cat "$results/$n.pid")" -f /dev/null 2>/dev/null || true; done
	rm -rf "$results"
	exit $rc
}
trap jobs_kill EXIT
trap 'exit 130' INT TERM

# run_one NAME COMMAND...: as soon as there is room. The exit status decides; 77 is a skip that says why.
run_one() {
	local name=$1 n=$((jobs_begun += 1))
	shift
	while [ ${#job_name[@]} -ge "$jobs_max" ]; do job_end; done
	(
		trap - EXIT INT TERM
		t0=$SECONDS rc=0
		# Background jobs of a script ignore signals from the keyboard; tests send them to what they start.
		env --default-signal=INT,QUIT timeout --kill-after=20 "${TEST_TIMEOUT:-600}" "$@" \
			>"$results/$n.log" 2>&1 </dev/null 9>&- &
		echo $! >"$results/$n.pid"
		wait $! || rc=$?
		echo "$n $rc $((SECONDS - t0))" >&9
	) 2>/dev/null &
	job_name[$n]=$name
}

# job_end: waits until a job ends, and tells of it.
job_end() {
	local n rc secs name log why
	read -r -u 9 n rc secs
	name=${job_name[$n]} log="$results/$n.log"
	unset "job_name[$n]"
	case $rc in
	0) passed=$((passed + 1)); printf 'ok      %-40s %3d s\n' "$name" "$secs" ;;
	77) skipped=$((skipped + 1)); printf 'skipped %-40s %s\n' "$name" "$(tail -1 "$log")" ;;
	*)
		failed=$((failed + 1)) why=$(tail -1 "$log") # net_end's last word; of other tests, their own
		failures+=("$name: ${why:0:300}")
		printf 'FAILED  %-40s %3d s (status %d) %s\n' "$name" "$secs" "$rc" "${why:0:300}"
		tail -60 "$log" | sed 's/^/    | /'
		;;
	esac
	rm -f "$log"
}
jobs_drain() { while [ ${#job_name[@]} -gt 0 ]; do job_end; done; }

# ctest_in DIR TAG OPTION...: each test that ctest finds by the options counts as one of ours.
ctest_in() {
	local dir=$1 tag=$2 name where command list="$results/list"
	shift 2
	ctest --test-dir "$dir" --show-only=json-v1 "$@" | /usr/bin/python3 -c '
import json, shlex, sys
for t in json.load(sys.stdin)["tests"]:
    at = [p["value"] for p in t["properties"] if p["name"] == "WORKING_DIRECTORY"][0]
    print(t["name"], shlex.quote(at), shlex.join(t["command"]), sep="\t")' >"$list"
	[ -s "$list" ] || die "$dir has no tests for: $*"
	while IFS=$'\t' read -r name where command; do
		run_one "$tag/$name" bash -c "cd $where && exec $command"
	done <"$list"
}
# scripts TAG FILE...: those that ONLY names; half as many more side by side as processors, since they wait most of
# the time; in the end those that want to be alone.
scripts() {
	local tag=$1 t name alone=() jobs_max=$((jobs_max * 3 / 2))
	shift
	for t in "$@"; do
		name=$(basename "$t" .sh)
		[[ $name =~ ${ONLY:-.} ]] || continue
		if grep -q '^# alone: yes' "$t"; then alone+=("$t"); else run_one "$tag/${name#t_}" "$t"; fi
	done
	jobs_drain
	for t in "${alone[@]}"; do
		name=$(basename "$t" .sh)
		run_one "$tag/${name#t_}" "$t"
		jobs_drain
	done
}

set_lint() {
	run_one lint/layers "$root/test/lint/layers.sh"
	run_one lint/format "$root/test/lint/format.sh"
	run_one lint/docs "$root/test/lint/docs.sh"
}
set_unit() {
	build_tree "$build"
	ctest_in "$build" unit -L unit
}
set_sanitizers() {
	build_tree "$build-tsan" -DWEFT_TSAN=ON -- unit_base unit_dp test_bgpd_bfdd test_svc_writer
	ctest_in "$build-tsan" tsan -L unit -R "^(dp/|base/|bgpd/bfdd|svc/writer)"
	build_tree "$build-asan" -DWEFT_ASAN=ON
	ctest_in "$build-asan" asan -L 'unit|sim'
}
# In the short set the fuzzers' build is clang's word on everything.
set_clang() {
	install_packages clang
	build_tree "$build-clang" -DCMAKE_C_COMPILER=clang
	ctest_in "$build-clang" clang -L unit
}
set_sim() {
	build_tree "$build"
	ctest_in "$build" sim -L sim
}
set_netns() {
	build_tree "$build"
	export build
	jobs_drain
	scripts netns "$root"/test/netns/t_*.sh
}
# The packet tests once more with every offload forced off.
set_fallbacks() {
	build_tree "$build"
	export build
	jobs_drain
	export WEFTD_EXTRA="--tune force=all --tune provider=sodium"
	# shellcheck disable=SC2046
	scripts fallbacks $(grep -l '^# fallbacks: yes' "$root"/test/netns/t_*.sh)
	unset WEFTD_EXTRA
}
# weft-kube against an API server of the test's own; the manifests against the API's schema.
set_kube() {
	install_packages openssl python3-jsonschema python3-yaml
	build_tree "$build"
	export build
	run_one kube/suite "$root/test/kube/suite.sh"
	run_one kube/mesh "$root/test/kube/mesh.sh"
	run_one kube/manifests /usr/bin/python3 -W ignore "$root/test/kube/manifests.py" "$build/cli/weft"
}
# It builds by itself: not beside anything.
set_demo() {
	jobs_drain
	run_one demo "$root/deploy/demo.sh"
	jobs_drain
}
fuzz_build() {
	install_packages clang libclang-rt-14-dev llvm
	build_tree "$build-fuzz" -DCMAKE_C_COMPILER=clang -DWEFT_FUZZ=ON -DWEFT_TESTS=ON
}
fuzz_all() { # SECONDS
	local f name
	fuzz_build
	for f in "$build-fuzz"/test/fuzz_*; do
		[ -x "$f" ] && [ -f "$f" ] || continue
		name=$(basename "$f")
		[[ $name =~ ${ONLY:-.} ]] || continue
		mkdir -p "$results/corpus/$name" "$root/test/fuzz/corpus/$name"
		TEST_TIMEOUT=$(($1 * 20 + 60)) run_one "fuzz/${name#fuzz_}" "$root/test/fuzz/run.sh" "$1" "$f" \
			"$results/corpus/$name" "$root/test/fuzz/corpus/$name"
	done
}
set_fuzz-smoke() { fuzz_all 4; }
set_fuzz() { fuzz_all "${FUZZ_SECS:-600}"; }
# podman with its CNI back end, and the reference plugins that are chained with weft-cni.
container_packages=(podman containerd runc containernetworking-plugins iptables busybox-static curl)
set_interop() {
	install_packages bird2 bgpdump frr gobgpd openbgpd exabgp "${container_packages[@]}"
	build_tree "$build"
	export build
	jobs_drain
	scripts interop "$root"/test/interop/t_*.sh
}
# What is short enough to run at each change.
set_interop-short() {
	install_packages bird2 bgpdump frr "${container_packages[@]}"
	build_tree "$build"
	export build
	jobs_drain
	export SHORT=1
	# shellcheck disable=SC2046
	scripts interop $(grep -l '^# short: yes' "$root"/test/interop/t_*.sh)
	unset SHORT
}
set_bench() {
	install_packages iperf3 ethtool wireguard-go wireguard-tools nebula tinc containernetworking-plugins bird2 frr gobgpd # what weft is compared with
	build_tree "$build"
	export build
	jobs_drain
	local b
	for b in "$root"/test/bench/*.sh; do "$b"; done
}
# One at a time: each has the machine for itself.
set_long() {
	build_tree "$build"
	export build
	jobs_drain
	jobs_max=1
	local t
	for t in $(grep -l '^# long: yes' "$root"/test/netns/t_*.sh); do
		LONG=1 TEST_TIMEOUT=3600 run_one "long/$(basename "$t" .sh)" "$t"
	done
	install_packages openssl python3-yaml mmdebstrap "${container_packages[@]}"
	LONG=1 TEST_TIMEOUT=3600 run_one long/container "$root/test/kube/container.sh"
	TEST_TIMEOUT=7200 run_one long/fresh "$root/test/long/fresh.sh"
	WEFT_SIM_SEEDS=1-1000 WEFT_SIM_JOURNAL="$build/sweep.txt" TEST_TIMEOUT=43200 \
		run_one long/sim-sweep "$build/test/sim/test_sim_each"
	# The figures of docs/simulator.md, none above its reach; the table stays in the build directory.
	TEST_TIMEOUT=86400 run_one long/sim-table bash -o pipefail -c '"$1/test/sim/table.sh" "$2/test/sim/weft-sim" "$3" "$4" | tee "$2/table.md"' \
		sim-table "$root" "$build" "${TABLE_NODES:-1000}" "${TABLE_SEEDS:-1-3}"
	for t in line ring tree mesh; do
		TEST_TIMEOUT=3600 run_one "long/bgpsim-$t" "$build/test/sim/weft-bgpsim" --shape "$t" --transit some --seed 1-20 --every 2
	done
	set_fuzz
}
# What needs processors comes first, with builds and tests side by side; then what needs to be left in peace.
set_short() {
	set_lint; set_unit; set_sim; set_sanitizers; set_fuzz-smoke; set_netns; set_interop-short; set_fallbacks; set_kube; set_demo
}

install_packages "${build_packages[@]}" "${run_packages[@]}" tcpdump iperf3 ethtool jq iptables curl clang-format
[ $# -gt 0 ] || set -- short
for s in "$@"; do
	declare -F "set_$s" >/dev/null || { echo "$0: no set '$s'; see the head of the file" >&2; exit 2; }
	"set_$s"
done
jobs_drain

[ ${#failures[@]} = 0 ] || printf 'failed: %s\n' "${failures[@]}"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed -gt 0 ]
