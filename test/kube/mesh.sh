#!/bin/bash
# mesh.sh: two hosts with weftd and weft-kube, see mesh.py. Each host is a network namespace. $build: the build directory.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
build=$(readlink -f "${build:-$here/../../build}")
[ -x "$build/router/kube/weft-kube" ] || { echo "weft-kube was not built (libcurl)"; exit 77; }
h0=weft-kube-$$-h0 h1=weft-kube-$$-h1
trap 'for n in $h0 $h1; do ip netns del "$n" 2>/dev/null || true; done' EXIT
for n in $h0 $h1; do
	ip netns add "$n"
	ip -n "$n" link set lo up
done
ip -n $h0 link add eth0 type veth peer name eth0 netns $h1
for i in 0 1; do
	ip -n "weft-kube-$$-h$i" addr add 192.0.2.$((i + 1))/24 dev eth0
	ip -n "weft-kube-$$-h$i" link set eth0 up
done
ip netns exec $h0 python3 "$here/mesh.py" "$build" $h1
