#!/bin/bash
# demo.sh [--keep]: three hosts with a pod each on one machine, joined by weft. Installs what it needs,
# builds, shows the main job, cleans up. --keep leaves the hosts up for playing and says how.
#
# The hosts are network namespaces on an underlay of their own: nothing of this machine is touched.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
. "$root/deploy/setup.sh"

keep=no
for a in "$@"; do
	case $a in
	--keep) keep=yes ;;
	--down) keep=down ;;
	*) echo "usage: $0 [--keep | --down]" >&2; exit 2 ;;
	esac
done
become_root "$@"

. "$root/test/netns/lib.sh"
net_init demo "/tmp/weft-demo" fixed
if [ $keep = down ]; then
	net_cleanup
	echo "the demo's hosts are gone"
	exit 0
fi
[ $keep = yes ] || trap net_cleanup EXIT
step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

step "1/6 packages and build"
install_packages "${build_packages[@]}" "${run_packages[@]}" tcpdump iperf3
build_tree "$build" -- weftd weft
echo "built: $build/router/weftd, $build/cli/weft"

step "2/6 three hosts on an underlay, a pod on each"
net_cleanup
net_init demo "/tmp/weft-demo" fixed
net_underlay h1 h2 h3
for n in 1 2 3; do net_pod "h$n" "p$n" "$n"; done
echo "hosts h1 h2 h3 at 192.0.2.1-3; pods p1 p2 p3 at 10.32.1-3.2 and fd32:0:0:1-3::2"

step "3/6 one secret, three weftd, one seed"
"$build/cli/weft" key new --out "$net_dir/secret" >/dev/null
capture_start h2
for n in 1 2 3; do
	# Every node is started alike; only its prefixes differ. The seed is h1.
	weftd_start "h$n" --cluster-range 10.32.0.0/16 --cluster-range fd32::/32 \
		--prefix "10.32.$n.0/24@eth-p$n" --prefix "fd32:0:0:$n::/64@eth-p$n" --peer 192.0.2.1
done
wait_for "a full mesh" mesh_is_full 3 h1 h2 h3
echo "three nodes form a full mesh"

step "4/6 pods reach each other"
in_pod p1 ping -c 2 -W 3 -q 10.32.2.2 | sed -n 's/^/  ICMP  p1 to p2:  /;/packets/p'
in_pod p3 ping -6 -c 2 -W 3 -q fd32:0:0:1::2 | sed -n 's/^/  IPv6  p3 to p1:  /;/packets/p'
secret_text="a message in clear $RANDOM$RANDOM"
udp_tcp_echo p2 p1 10.32.1.2 "$secret_text"
capture_stop h2
if capture_has "$secret_text" || capture_has_inner; then
	die "the capture on the underlay holds pod traffic in clear"
fi
echo "  capture on h2's underlay: $(capture_count) packets, all to or from UDP port 6793; no pod packet in clear"

step "5/6 weft status, on h1"
weft_at h1 status
echo
weft_at h1 status connections

step "6/6 throughput, one TCP stream, p1 to p2"
in_pod p2 iperf3 -s -1 -D --logfile /dev/null -I "$net_dir/iperf3.pid"
wait_for "iperf3 to listen" port_listens p2 5201
weft_rate=$(iperf_rate p1 10.32.2.2)
vxlan_pair h1 h2
in_host h2 iperf3 -s -1 -D --logfile /dev/null -I "$net_dir/iperf3.pid"
wait_for "iperf3 to listen" host_port_listens h2 5201
vxlan_rate=$(iperf_rate_host h1 198.18.0.2)
echo "  weft, $(weft_suite h1):  $weft_rate Gbit/s"
echo "  kernel VXLAN, not encrypted:    $vxlan_rate Gbit/s"

if [ $keep = yes ]; then
	cat <<-EOF

	The hosts stay up. Try:
	  ip netns exec $(ns_of h1) $build/cli/weft --socket $net_dir/h1/run/weft.sock status peers
	  ip netns exec $(ns_of p1) ping 10.32.3.2
	Take them away with:  $0 --down
	EOF
else
	printf '\nDone; everything is cleaned up. %s --keep leaves it up for playing.\n' "deploy/demo.sh"
fi
