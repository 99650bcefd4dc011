#!/bin/bash
# A partial mesh of eight: two hosts that can reach one alone reach each other, and all others, through that one,
# which can't read what it carries; the direct way is taken when it works, left when it dies in one direction or both, and taken again.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/netns/paths.sh"
net_init relay "$(mktemp -d)"
trap net_end EXIT

echo_both() { udp_tcp_echo p2 p3 10.32.3.2 "$1" && udp_tcp_echo p3 p2 fd32:0:0:2::2 "$1"; }

mesh_hosts 8
step "never connected directly: h2 and h3, by h1"
cut_both 2 3
for n in 4 5 6 7 8; do
	cut_both 2 $n
	cut_both 3 $n
done
for n in 1 2 3 4 5 6 7 8; do node_start $n; done
within 20 "p2 reaches p3" pings p2 10.32.3.2
within 20 "p3 reaches p2 over IPv6" pings p3 fd32:0:0:2::2
way_is h2 h3 "relay h1" || fail "h2's way to h3 is '$(way h2 h3)'"
way_is h3 h2 "relay h1" || fail "h3's way to h2 is '$(way h3 h2)'"
shows 'relay h1' weft_at h2 status connections || fail "status connections does not say so"

for n in 4 5 6 7 8; do
	within 20 "p$n reaches p2" pings p$n 10.32.2.2
	within 20 "p3 reaches p$n" pings p3 10.32.$n.2
done
for h in h1 h2 h3 h4 h8; do
	wait_for "$h to see all" json_at $h "d['cluster']['up'] == 8 and d['membership']['dead'] == 0" status
done

step "the relay can't read"
# Each datagram a packet of its own, on the way in and on the way out.
for h in h1 h2 h3; do in_host $h ethtool -K u0 tx-udp-segmentation off gro off >/dev/null; done
capture_start h1
echo_both "a-word-that-no-relay-may-read"
capture_stop
[ "$(capture_count)" -gt 20 ] || fail "the capture is too short: $(capture_count)"
not capture_has a-word-that-no-relay-may-read || fail "the relay can read"
not capture_has_inner || fail "inner packets in clear"
/usr/bin/python3 "$root/test/netns/relay_legs.py" "$net_dir/capture.pcap" 192.0.2.1 2001:db8::1 ||
	fail "what h1 sends on is not what came to it"
for h in h1 h2 h3; do in_host $h ethtool -K u0 tx-udp-segmentation on >/dev/null; done
json_at h1 "d['traffic']['relay']['forwarded'] > 20" status || fail "h1 forwarded nothing"

step "the direct way heals"
keep_busy p2 10.32.3.2
mend_both 2 3
within 60 "h2 is direct" way_is h2 h3 direct
within 60 "h3 is direct" way_is h3 h2 direct
echo_both direct

step "it dies under traffic"
cut_both 2 3
within 5 "h2 is relayed" way_is h2 h3 "relay h1"
within 5 "h3 is relayed" way_is h3 h2 "relay h1"
within 1 "p2 reaches p3" pings p2 10.32.3.2
echo_both relayed
mend_both 2 3
within 60 "h2 is direct again" way_is h2 h3 direct
within 60 "h3 is direct again" way_is h3 h2 direct

step "a one-way black hole: what h2 sends does not arrive"
cut 2 3
within 5 "h2 leaves the direct way" way_is h2 h3 "relay h1"
within 1 "p2 reaches p3" pings p2 10.32.3.2
within 1 "p3 reaches p2" pings p3 10.32.2.2
mend 2 3
within 60 "h2 comes back" way_is h2 h3 direct
keep_busy_stop

step "a node that does not relay is not used"
cut_both 2 3
weftd_stop h1
node_start 1 --relay no
wait_for "h2 to find h1" way_is h2 h1 direct
wait_for "h3 to find h1" way_is h3 h1 direct
wait_for "h2 to have no way to h3" not pings p2 10.32.3.2
WAIT=10 wait_for "p2 to reach p3 through it" pings p2 10.32.3.2 2>/dev/null && fail "h1 relays, though it was told not to"
json_at h1 "d['traffic']['relay']['forwarded'] == 0" status || fail "h1 forwards"
