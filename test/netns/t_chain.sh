#!/bin/bash
# Four hosts in a row, on an underlay of 1280: the ends reach each other through two relays, with packets of
# each size around the edge, IPv6 ones of 1280 in two halves.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
. "$root/test/netns/paths.sh"
net_init chain "$(mktemp -d)"
trap net_end EXIT

route_mtu() { json_at "$1" "next(r['mtu'] for r in d['routes'] if r['prefix'] == '$2')" status routes; }
route_mtu_is() { [ "$(route_mtu "$1" "$2")" = "$3" ]; }

UNDERLAY_MTU=1280 mesh_hosts 4
for n in 1 2 3 4; do underlay_only v4 $n; done
cut_both 2 4
cut_both 2 3
cut_both 1 3
step "h2 - h1 - h4 - h3"
for n in 1 2 4; do node_start $n; done
SEED=192.0.2.4 node_start 3
echo_start p3 7001
within 20 "p2 reaches p3" pings p2 10.32.3.2
keep_busy p2 10.32.3.2
within 5 "h2's way" way_is h2 h3 "relay h1, h4"
within 5 "h3's way" way_is h3 h2 "relay h4, h1"
# 64 bytes of headers, and 48 for two relays.
within 10 "the MTU of h2's route to p3" route_mtu_is h2 10.32.3.0/24 1168
tool udpload p2 sweep 10.32.3.2 7001 $((1168 - 28 - 40)) $((1168 - 28)) 8
tool udpload p2 sweep fd32:0:0:3::2 7001 $((1280 - 48 - 40)) $((1280 - 48)) 8
in_pod p2 /usr/bin/python3 "$root/test/netns/bigsend.py" 10.32.3.2 7001 1168
tcp_load p3 p2 10.32.3.2 1 4
tcp_load p2 p3 fd32:0:0:2::2 1 4
for h in h1 h4; do
	json_at $h "d['traffic']['relay']['forwarded'] > 100" status || fail "$h forwarded nothing"
	json_at $h "d['traffic']['drops'].get('relay_bad', 0) == 0" status || fail "$h saw a route with a node twice"
done
keep_busy_stop
