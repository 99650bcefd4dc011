#!/bin/bash
# bgp_live.sh - how soon weftd answers, while nothing else goes on and while a full table comes in: from a
# neighbour's UPDATE until the kernel has the route, an answer over HTTP, and by how much BFD packets are late
# (bgp_live.py). The burst: 500,000 IPv4 routes from one peer to another, and into the kernel.
#
# SECS (10, of the quiet part), ROUTES (500000). WEFT_BUILD=DIR, WEFTD=PROGRAM.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
. "$root/deploy/setup.sh"
become_root "$@"
. "$root/test/netns/lib.sh"
SECS=${SECS:-10} ROUTES=${ROUTES:-500000}
[ "${QUICK:-0}" = 0 ] || SECS=3 ROUTES=50000
net_init bgplive "$(mktemp -d)"
trap net_end EXIT

ns_add dut
ns_add gen
ip link add u0 netns "$(ns_of dut)" type veth peer name u0 netns "$(ns_of gen)"
ip -n "$(ns_of dut)" addr add 192.0.2.1/24 dev u0
for i in 100 101 120; do ip -n "$(ns_of gen)" addr add "192.0.2.$i/24" dev u0; done
for h in dut gen; do ip -n "$(ns_of $h)" link set u0 up; ip -n "$(ns_of $h)" link set lo up; done
"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null
cat >"$net_dir/weft.yaml" <<CONF
bgp:
  asn: 65000
  router-id: 192.0.2.1
  listen: 192.0.2.1
  peers:
  - {address: 192.0.2.101, asn: 65101, passive: yes, hold: 240, import: accept, export: reject}
  - {address: 192.0.2.100, asn: 65100, passive: yes, hold: 240, import: reject, export: accept}
  - {address: 192.0.2.120, asn: 65120, passive: yes, hold: 240, import: accept, export: reject, bfd: {min-tx: 50, min-rx: 300, multiplier: 3}}
CONF
weftd_start dut --cluster-range 172.31.0.0/16 --config "$net_dir/weft.yaml" >&2
live() { # SECS [COMMAND...]
	/usr/bin/python3 "$root/test/bench/bgp_live.py" "$(ns_of dut)" "$(ns_of gen)" "$(cat "$net_dir/dut/pid")" "$@"
}
live "$SECS"
live 0 ip netns exec "$(ns_of gen)" "$build/test/bgpgen" 192.0.2.1 192.0.2.101 192.0.2.100 v4 "$ROUTES" settle 1
