#!/bin/bash
# tunnel.sh: plain veth, kernel VXLAN (not encrypted) and weft with each suite, in alternation, in one call.
# Two hosts in namespaces, joined by one veth pair, MTU 1500, in both underlay modes: "super" (the veth
# passes super-packets) and "wire" (packets cross at their true size, as on a network card with GRO).
#
# RUNS=5 SECS=4 (per TCP test) MODES="super wire" KINDS="plain vxlan aes chacha [wireguard]"; QUICK=1: one
# short run. Per run: TCP with 1 and 4 streams (Gbit/s), 64-byte UDP packets/s at no more than 0.1 % loss
# (search by halving, batching generator), ping idle and under TCP load (ms), CPU seconds of the whole
# machine per GB of the 1-stream test. Then RSS and idle CPU of a weftd with 3 peers. Prints medians with
# min-max, and ratios to VXLAN's median. Needs an idle machine: it says the load it began with.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
. "$root/deploy/setup.sh"
become_root "$@"
. "$root/test/netns/lib.sh"
if [ -n "${QUICK:-}" ]; then RUNS=1 SECS=1 STEPS=3; fi
RUNS=${RUNS:-5} SECS=${SECS:-4} STEPS=${STEPS:-7} MODES=${MODES:-super wire} KINDS=${KINDS:-plain vxlan aes chacha}
tools=$build/test
results=$(mktemp)
net_init bench "$(mktemp -d)"
trap 'net_cleanup; rm -f "$results"' EXIT

hosts_up() { # MODE
	local n
	net_cleanup
	net_init bench "$(mktemp -d)"
	ns_add h1; ns_add h2
	ip link add u0 netns "$(ns_of h1)" mtu 1500 type veth peer name u0 netns "$(ns_of h2)"
	for n in 1 2; do
		ip -n "$(ns_of "h$n")" addr add "192.0.2.$n/24" dev u0
		ip -n "$(ns_of "h$n")" link set u0 up
		[ "$1" = super ] || in_host "h$n" ethtool -K u0 tso off gso on tx-udp-segmentation off \
			tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off gro on >/dev/null
	done
}

weft_pair() { # SUITE
	local n
	"$build/cli/weft" key new --out "$net_dir/secret" >/dev/null
	for n in 1 2; do
		weftd_start "h$n" --cluster-range 10.32.0.0/16 --prefix "10.32.$n.0/24" --suite "$1" --peer 192.0.2.1 \
			--metrics off
	done
	wait_for "the two to meet" mesh_is_full 2 h1 h2
}

wireguard_pair() {
	local n
	for n in 1 2; do wg genkey >"$net_dir/k$n"; wg pubkey <"$net_dir/k$n" >"$net_dir/p$n"; done
	for n in 1 2; do
		ip netns exec "$(ns_of "h$n")" wireguard-go -f "wgb$n" >/dev/null 2>&1 &
		wait_for "wireguard-go" ip -n "$(ns_of "h$n")" link show "wgb$n"
		in_host "h$n" wg set "wgb$n" listen-port 51820 private-key "$net_dir/k$n" peer "$(cat "$net_dir/p$((3 - n))")" \
			endpoint "192.0.2.$((3 - n)):51820" allowed-ips 198.18.2.0/24
		ip -n "$(ns_of "h$n")" addr add "198.18.2.$n/24" dev "wgb$n"
		ip -n "$(ns_of "h$n")" link set "wgb$n" mtu 1420 up
	done
}

# start KIND MODE: sets $dst, the address of h2 that this kind is measured at.
start() {
	hosts_up "$2"
	case $1 in
	plain) dst=192.0.2.2 ;;
	vxlan) vxlan_pair h1 h2; dst=198.18.0.2 ;;
	aes) weft_pair aes-256-gcm; dst=10.32.2.1 ;;
	chacha) weft_pair chacha20-poly1305; dst=10.32.2.1 ;;
	wireguard) wireguard_pair; dst=198.18.2.2 ;;
	*) die "no kind $1" ;;
	esac
	wait_for "$1 to pass a ping" pings h1 "$dst"
}

busy_ticks() { awk '/^cpu /{print $2+$3+$4+$6+$7+$8+$9}' /proc/stat; }
tcp() { # STREAMS: Gbit/s, GB, in h1 to h2
	in_host h2 iperf3 -s -1 -D --logfile /dev/null
	wait_for "iperf3" port_listens h2 5201
	in_host h1 iperf3 -c "$dst" -t "$SECS" -P "$1" -J | jq -r '.end.sum_received | "\(.bits_per_second/1e9) \(.bytes/1e9)"'
}
# Does RATE pass with at most 0.1 % loss? Prints what arrived a second. The generator must have reached it.
pps_try() {
	local sent received
	in_host h2 "$tools/pps" recv 7100 10 >"$net_dir/pps" &
	local pid=$!
	wait_for "pps" grep -q ready "$net_dir/pps"
	sent=$(in_host h1 "$tools/pps" send "$dst" 7100 64 "$1" 1)
	wait $pid
	received=$(tail -1 "$net_dir/pps")
	/usr/bin/python3 - "$1" "$sent" "$received" <<-'P'
	import re, sys
	rate = float(sys.argv[1]); n = lambda s: float(re.search(r'=(\d+)', s).group(1))
	sent, got = n(sys.argv[2]), n(sys.argv[3])
	print('%d %s' % (got, 'ok' if sent >= 0.97 * rate and got >= 0.999 * sent else 'no'))
	P
}
pps_search() {
	local lo=0 hi=2000000 mid best=0 i got verdict
	for ((i = 0; i < STEPS; i++)); do
		mid=$(((lo + hi) / 2))
		read -r got verdict < <(pps_try "$mid")
		if [ "$verdict" = ok ]; then lo=$mid best=$got; else hi=$mid; fi
	done
	echo "$best"
}
rtt() { in_host h1 ping -q -c "${1:-100}" -i 0.005 "$dst" | awk -F/ '/rtt|round/{print $5}'; }

one() { # KIND MODE
	local kind=$1 mode=$2 t1 gb t4 a b cpu pps idle load ping
	start "$kind" "$mode"
	tcp 1 >/dev/null # warm up
	a=$(busy_ticks)
	read -r t1 gb < <(tcp 1)
	b=$(busy_ticks)
	cpu=$(awk -v t=$((b - a)) -v hz="$(getconf CLK_TCK)" -v gb="$gb" 'BEGIN{print t / hz / gb}')
	read -r t4 _ < <(tcp 4)
	pps=$(pps_search)
	idle=$(rtt)
	in_host h2 iperf3 -s -1 -D --logfile /dev/null
	wait_for "iperf3" port_listens h2 5201
	in_host h1 iperf3 -c "$dst" -t 2 >/dev/null 2>&1 &
	load=$!
	ping=$(rtt 200)
	wait $load
	echo "$mode $kind $t1 $t4 $pps $idle $ping $cpu" | tee -a "$results" >&2
}

footprint() {
	local n pid a b
	net_cleanup
	net_init bench "$(mktemp -d)"
	net_underlay h1 h2 h3 h4
	"$build/cli/weft" key new --out "$net_dir/secret" >/dev/null
	for n in 1 2 3 4; do
		weftd_start "h$n" --cluster-range 10.32.0.0/16 --prefix "10.32.$n.0/24" --peer 192.0.2.1
	done
	wait_for "four nodes" mesh_is_full 4 h1 h2 h3 h4
	pid=$(cat "$net_dir/h1/pid")
	for n in 2 3 4; do wait_for "a ping" pings h1 "10.32.$n.1"; done
	a=$(awk '{print $14+$15}' "/proc/$pid/stat")
	local t0=$SECONDS
	until [ $((SECONDS - t0)) -ge "${IDLE_SECS:-20}" ]; do read -rt 1 <> <(:) || true; done
	b=$(awk '{print $14+$15}' "/proc/$pid/stat")
	echo "RSS with 3 peers: $(awk '/VmRSS/{printf "%.1f MiB", $2/1024}' "/proc/$pid/status"); idle CPU:" \
		"$(awk -v t=$((b - a)) -v s="${IDLE_SECS:-20}" -v hz="$(getconf CLK_TCK)" 'BEGIN{printf "%.2f %% of a core", 100*t/hz/s}')"
}

install_packages jq iperf3 ethtool iputils-ping
[ -x "$build/router/weftd" ] && [ -x "$tools/pps" ] || build_tree "$build"
echo "load before: $(cut -d' ' -f1-3 /proc/loadavg); $(nproc) CPUs; $(uname -r); commit $(git -C "$root" rev-parse --short HEAD 2>/dev/null)"
for ((run = 1; run <= RUNS; run++)); do
	for mode in $MODES; do for kind in $KINDS; do one "$kind" "$mode"; done; done
done
/usr/bin/python3 - "$results" <<'P'
import statistics as st, sys
rows = [l.split() for l in open(sys.argv[1])]
names = ['TCP 1', 'TCP 4', 'pps 64 B', 'RTT ms', 'RTT loaded', 'CPU s/GB']
for mode in dict.fromkeys(r[0] for r in rows):
    print(f'\n{mode:10}' + ''.join(f'{n:>26}' for n in names) + f'{"TCP 1 / VXLAN":>16}{"TCP 4 / VXLAN":>15}')
    data = {k: [[float(x) for x in r[2:]] for r in rows if r[0] == mode and r[1] == k]
            for k in dict.fromkeys(r[1] for r in rows if r[0] == mode)}
    base = data.get('vxlan')
    for kind, runs in data.items():
        line = f'{kind:10}'
        for i in range(len(names)):
            v = [r[i] for r in runs]
            f = '%.0f' if i == 2 else '%.2f' if i < 2 else '%.3f'
            line += f'{(f % st.median(v)) + " (" + (f % min(v)) + "-" + (f % max(v)) + ")":>26}'
        for i in (0, 1):
            if base:
                # The ratio of each run's pair, so that a slow minute slows both.
                ratio = [a[i] / b[i] for a, b in zip(runs, base)]
                line += f'{"%.2f (%.2f-%.2f)" % (st.median(ratio), min(ratio), max(ratio)):>18}'
        print(line)
P
footprint
