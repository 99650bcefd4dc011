#!/bin/bash
# run.sh [SET...]: sets up what the tests need, builds, runs. Sets:
#	short	what runs at each change (the default): lint unit sanitizers sim netns interop-short kube fuzz-smoke demo
#	lint unit sanitizers clang sim netns fallbacks interop interop-short kube demo
#	fuzz	each target FUZZ_SECS (600) of CPU time	 fuzz-smoke  the corpus and 4 s each
#	bench	test/bench/*.sh, figures to stdout	 long	     sweeps, ten-minute transfers, fuzz
# ONLY=PATTERN runs the netns tests and fuzz targets whose name matches. WEFT_BUILD: the build directory (build).
# Prints a line per test, the output of those that fail, and "N passed, N failed" last.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
. "$root/deploy/setup.sh"
become_root "$@"

passed=0 failed=0 skipped=0 failures=()
results=$(mktemp -d)
export WEFT_VECTORS=${WEFT_VECTORS:-$root/../shared/vectors}

# run_one NAME COMMAND...: the exit status decides; 77 is a skip that says why.
run_one() {
	local name=$1 log="$results/${1//\//_}.log" t0=$SECONDS rc=0
	shift
	timeout --kill-after=20 "${TEST_TIMEOUT:-600}" "$@" >"$log" 2>&1 </dev/null || rc=$?
	case $rc in
	0) passed=$((passed + 1)); printf 'ok      %-40s %3d s\n' "$name" $((SECONDS - t0)) ;;
	77) skipped=$((skipped + 1)); printf 'skipped %-40s %s\n' "$name" "$(tail -1 "$log")" ;;
	*)
		failed=$((failed + 1)); failures+=("$name")
		printf 'FAILED  %-40s %3d s (status %d)\n' "$name" $((SECONDS - t0)) $rc
		tail -60 "$log" | sed 's/^/    | /'
		;;
	esac
}

# ctest_in DIR LABEL: each test counts as one of ours.
ctest_in() {
	local dir=$1 label=$2 tag=$3 line name
	while read -r name; do
		run_one "$tag/$name" ctest --test-dir "$dir" -R "^$name\$" --output-on-failure --no-tests=error
	done < <(ctest --test-dir "$dir" -N -L "$label" | sed -n 's/^ *Test *#[0-9]*: //p')
}

set_lint() {
	run_one lint/layers "$root/test/lint/layers.sh"
	run_one lint/format "$root/test/lint/format.sh"
	run_one lint/docs "$root/test/lint/docs.sh"
}
set_unit() {
	build_tree "$build"
	ctest_in "$build" unit unit
}
set_sanitizers() {
	build_tree "$build-asan" -DWEFT_ASAN=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo
	ctest_in "$build-asan" unit asan
	ctest_in "$build-asan" sim asan
	build_tree "$build-tsan" -DWEFT_TSAN=ON
	local t
	for t in $(ctest --test-dir "$build-tsan" -N -L unit -R '^(dp|base)/' | sed -n 's/^ *Test *#[0-9]*: //p'); do
		run_one "tsan/$t" ctest --test-dir "$build-tsan" -R "^$t\$" --output-on-failure --no-tests=error
	done
}
set_clang() {
	install_packages clang
	run_one build/clang bash -c ". '$root/deploy/setup.sh'; root='$root'; build_tree '$build-clang' -DCMAKE_C_COMPILER=clang"
}
set_sim() {
	build_tree "$build"
	ctest_in "$build" sim sim
}
netns_set() { # TAG
	local t name
	for t in "$root"/test/netns/t_*.sh; do
		name=$(basename "$t" .sh)
		[[ $name =~ ${ONLY:-.} ]] || continue
		run_one "$1/${name#t_}" "$t"
	done
}
set_netns() {
	build_tree "$build"
	export build
	netns_set netns
}
# The packet tests once more with every offload forced off.
set_fallbacks() {
	build_tree "$build"
	export build WEFTD_EXTRA="--tune force=all --tune provider=sodium"
	local t name
	for t in $(grep -l '^# fallbacks: yes' "$root"/test/netns/t_*.sh); do
		name=$(basename "$t" .sh)
		run_one "fallbacks/${name#t_}" "$t"
	done
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
set_demo() { run_one demo "$root/deploy/demo.sh"; }
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
interop_set() { # PATTERN: the tests in whose text it stands
	local t name
	for t in $(grep -l -- "$1" "$root"/test/interop/t_*.sh); do
		name=$(basename "$t" .sh)
		[[ $name =~ ${ONLY:-.} ]] || continue
		run_one "interop/${name#t_}" "$t"
	done
}
# podman with its CNI back end, and the reference plugins that are chained with weft-cni.
container_packages=(podman containerd runc containernetworking-plugins iptables busybox-static curl)
set_interop() {
	install_packages bird2 frr "${container_packages[@]}"
	build_tree "$build"
	export build
	interop_set .
}
# What is short enough to run at each change.
set_interop-short() {
	install_packages bird2 "${container_packages[@]}"
	build_tree "$build"
	export build
	interop_set '^# short: yes'
}
set_bench() {
	install_packages iperf3 ethtool wireguard-go wireguard-tools nebula tinc containernetworking-plugins bird2 frr gobgpd # what weft is compared with
	build_tree "$build"
	export build
	local b
	for b in "$root"/test/bench/*.sh; do "$b"; done
}
set_long() {
	build_tree "$build"
	export build LONG=1
	local t
	for t in $(grep -l '^# long: yes' "$root"/test/netns/t_*.sh); do
		TEST_TIMEOUT=3600 run_one "long/$(basename "$t" .sh)" "$t"
	done
	install_packages openssl python3-yaml mmdebstrap "${container_packages[@]}"
	TEST_TIMEOUT=3600 run_one long/container "$root/test/kube/container.sh"
	unset LONG
	WEFT_SIM_SEEDS=1-1000 WEFT_SIM_JOURNAL="$build/sweep.txt" TEST_TIMEOUT=43200 \
		run_one long/sim-sweep "$build/test/sim/test_sim_each"
	set_fuzz
}
set_short() {
	set_lint; set_unit; set_clang; set_sanitizers; set_sim; set_netns; set_interop-short; set_fallbacks; set_kube; set_fuzz-smoke; set_demo
}

install_packages "${build_packages[@]}" "${run_packages[@]}" tcpdump iperf3 ethtool jq socat iptables clang-format
[ $# -gt 0 ] || set -- short
for s in "$@"; do
	declare -F "set_$s" >/dev/null || { echo "$0: no set '$s'; see the head of the file" >&2; exit 2; }
	"set_$s"
done

[ ${#failures[@]} = 0 ] || printf 'failed: %s\n' "${failures[*]}"
echo "$passed passed, $failed failed, $skipped skipped"
rm -rf "$results"
[ $failed = 0 ] && [ $passed -gt 0 ]
