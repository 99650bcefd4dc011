#!/bin/bash
# cni.sh - how long ADD and DEL of weft-cni take, one at a time and PARALLEL (20) at a time, beside the reference
# plugins bridge and host-local, and beside the kernel's part alone, in the same run.
#
# ROUNDS (5), PODS (100), PARALLEL (20), FAMILIES (46; 4: IPv4 alone). QUICK=1: one short round. build=DIR. IMAGE_CNI: the
# weft-cni of the image (deploy/archives.cmake), which is measured beside the other.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
. "$root/deploy/setup.sh"
become_root "$@"
. "$root/test/netns/lib.sh"
[ "${QUICK:-0}" = 0 ] || : "${ROUNDS:=1}" "${PODS:=40}"
ROUNDS=${ROUNDS:-5} PODS=${PODS:-100} PARALLEL=${PARALLEL:-20} FAMILIES=${FAMILIES:-46}
[ -x /usr/lib/cni/bridge ] || { echo "containernetworking-plugins is not installed" >&2; exit 1; }
net_init cnibench "$(mktemp -d -p "${BENCH_DIR:-/dev/shm}")" # the address file is on a tmpfs in use, too
trap net_end EXIT
net_underlay h1
"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null
prefixes=(--cluster-range 10.32.0.0/16 --prefix 10.32.0.0/18)
[ "$FAMILIES" = 4 ] || prefixes+=(--cluster-range fd32::/32 --prefix fd32:0:0:1::/64)
weftd_start h1 "${prefixes[@]}"
nsenter "--net=/run/netns/$(ns_of h1)" /usr/bin/python3 -B "$root/test/bench/cni_bench.py" "$net_name" "$net_dir" \
	"${WEFT_CNI:-$build/cli/cni/weft-cni}" "$ROUNDS" "$PODS" "$PARALLEL" "$FAMILIES" "${IMAGE_CNI:-}"
