#!/bin/bash
# t_chain.sh - weft-cni in one chain with the reference plugins, at 0.3.1, 0.4.0 and 1.0.0: loopback before it,
# tuning, bandwidth, portmap and firewall behind; what they do works, CHECK sees the whole, DEL leaves nothing.
# GC and STATUS (1.1.0) by a runner of the project's own. The cases are in chain_suite.py.
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
command -v iptables >/dev/null || { echo "iptables is not installed"; exit 77; }
[ -x /usr/lib/cni/portmap ] || { echo "containernetworking-plugins is not installed"; exit 77; }
net_init cnichain "$(mktemp -d)"
trap net_end EXIT
net_underlay h1 h2
"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null
# The reference plugins' chains and bridges of a first use stay; they are no part of what is compared.
for f in 4 6; do
	t=iptables; [ $f = 4 ] || t=ip6tables
	in_host h1 $t -t nat -L >/dev/null
done
weftd_start h1 --cluster-range 10.32.0.0/16 --cluster-range fd32::/32 --prefix 10.32.1.0/24 --prefix fd32:0:0:1::/64
/usr/bin/python3 -B "$root/test/interop/chain_suite.py" "$net_name" "$net_dir" "${WEFT_CNI:-$build/cli/cni/weft-cni}"
