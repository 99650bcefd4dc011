#!/bin/bash
# Pods that come and go, 20 at a time, with GC in between, leave nothing: no address, interface, route, rule,
# neighbour or file. 200 pairs; LONG=1: 10,000.
# long: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
net_init churn "$(mktemp -d)"
trap net_end EXIT
export WEFT=${WEFT:-$build/cli/weft}
pairs=${PAIRS:-200}
[ "${LONG:-0}" = 0 ] || pairs=10000
net_underlay h1
"$WEFT" key new --out "$net_dir/secret" >/dev/null
# Room enough that no address has to be given again before it has rested.
weftd_start h1 --cluster-range 10.32.0.0/16 --cluster-range fd32::/32 --prefix 10.32.0.0/17 --prefix fd32:0:0:1::/64
step "$pairs pairs"
nsenter "--net=/run/netns/$(ns_of h1)" /usr/bin/python3 -B "$root/test/netns/cni_churn.py" "$net_name" "$net_dir" \
	"${WEFT_CNI:-$build/cli/cni/weft-cni}" "$pairs" 20
