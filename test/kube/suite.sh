#!/bin/bash
# suite.sh [CASE...]: weft-kube against an API server of the test's own, in a network namespace of its own.
# $build: the build directory.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
build=${build:-$here/../../build}
[ -x "$build/router/kube/weft-kube" ] || { echo "weft-kube was not built (libcurl)"; exit 77; }
exec unshare --net sh -c 'ip link set lo up && exec python3 "$@"' sh "$here/kube_suite.py" \
	"$build/router/kube/weft-kube" "$@"
