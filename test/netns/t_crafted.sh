#!/bin/bash
# Packets made by hand cross the mesh byte for byte: unknown protocols, tunnels, fragments, options, wrong and
# absent checksums; ICMP errors come back; ECN by RFC 6040.
# fallbacks: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/load.sh"
net_init crafted "$(mktemp -d)"
trap net_end EXIT

mesh_hosts 2
# Every router answers each error here; the kernel's limits are not what is tested.
for h in h1 h2; do in_host $h sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0; done
for p in p1 p2; do in_host $p sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0; done
# Super-packets are taken apart, and their sums made, by h2's kernel before the pod sees them.
in_host h2 ethtool -K eth-p2 tx off tso off gso off tx-udp-segmentation off >/dev/null
# The pods' own answers to half-made TCP packets would only be noise.
in_pod p2 nft -f - <<'END'
table inet quiet {
	chain out {
		type filter hook output priority 0
		tcp flags rst drop
	}
}
END
node_start 1
node_start 2
wait_for "a full mesh" mesh_is_full 2 h1 h2
pings p1 10.32.2.2
pings p1 fd32:0:0:2::2
/usr/bin/python3 "$root/test/netns/craft.py" "$(ns_of h1)" "$(ns_of p1)" "$(ns_of h2)" "$(ns_of p2)"
# Of sixteen cases one is dropped, in each family.
[ "$(drops_at h2 ecn)" = 2 ] || fail "h2 counted $(drops_at h2 ecn) drops of reason ecn, not 2"
