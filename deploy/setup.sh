# setup.sh - sourced by deploy/demo.sh and test/run.sh: become root, install what is missing, build.
# Needs $root (the source tree). Sets $build (default: $root/build, WEFT_BUILD overrides).

die() { echo "$0: $*" >&2; exit 1; }

# Run the calling script again as root, with its arguments.
become_root() {
	[ "$(id -u)" = 0 ] && return
	command -v sudo >/dev/null || die "needs root (network namespaces); run it as root"
	exec sudo --preserve-env=WEFT_BUILD,WEFT_VECTORS,CI "$0" "$@"
}

# install_packages PACKAGE...: those that dpkg does not know as installed.
install_packages() {
	local missing=() p
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
	done
	[ ${#missing[@]} = 0 ] && return
	command -v apt-get >/dev/null || die "needs apt-get to install: ${missing[*]}"
	echo "installing: ${missing[*]}"
	local log
	log=$(mktemp)
	export DEBIAN_FRONTEND=noninteractive
	if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
		tail -20 "$log" >&2
		die "apt-get could not install: ${missing[*]}"
	fi
	rm -f "$log"
}

build_packages=(gcc libc6-dev cmake ninja-build pkg-config libsodium-dev libmnl-dev libevent-dev libmsgpack-dev
	libyaml-dev libjansson-dev libcurl4-openssl-dev liburcu-dev libcmocka-dev linux-libc-dev)
# libipsec-mb exists for x86-64 only; without it libsodium does the work.
[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] && build_packages+=(libipsec-mb-dev)
run_packages=(iproute2 iputils-ping nftables procps python3)

# How far a build is, on a terminal.
build_progress() {
	local line
	[ -t 1 ] || { cat >/dev/null; return; }
	while IFS= read -r line; do
		[[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] && printf '\r  building %d of %d' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
	done
	printf '\r\033[K'
}

# build_tree DIR [CMAKE-OPTION...] [-- TARGET...]: by ccache where it is installed.
build_tree() {
	local dir=$1 log options=() targets=()
	shift
	! command -v ccache >/dev/null || options+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache)
	while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
	[ $# -lt 2 ] || { shift; targets=(--target "$@"); }
	log=$(mktemp)
	if ! { cmake -G Ninja -S "$root" -B "$dir" "${options[@]}" && cmake --build "$dir" "${targets[@]}"; } 2>&1 | tee "$log" | build_progress; then
		grep -E 'error|warning|FAILED|CMake Error' -A3 "$log" | head -60 >&2 || true
		tail -5 "$log" >&2
		die "the build in $dir failed"
	fi
	rm -f "$log"
}

build=${WEFT_BUILD:-$root/build}
