#!/bin/bash
# t_conf.sh - what is wrong with a configuration is said with file, line, key and what is allowed, before anything
# is changed in the kernel; what is wrong with the host for it, by the name of what stands in the way.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
net_init conf "$(mktemp -d)"
trap net_end EXIT
weftd=${WEFTD:-$build/router/weftd}

run_on() { # HOST OPTION...: status in rc, output in $net_dir/out
	local h=$1
	shift
	rc=0
	in_host "$h" timeout 20 "$weftd" --name "$h" --state-dir "$net_dir/$h/state" --run-dir "$net_dir/$h/run" "$@" \
		>"$net_dir/out" 2>&1 </dev/null || rc=$?
}
says() { # STATUS PATTERN... : of the run before
	local want=$1 p
	shift
	[ "$rc" = "$want" ] || { cat "$net_dir/out"; fail "status $rc, not $want"; }
	for p in "$@"; do grep -qE -- "$p" "$net_dir/out" || { cat "$net_dir/out"; fail "no word of '$p'"; }; done
}
# The kernel's state that weft may touch.
dump() {
	local h=$1 f
	for f in -4 -6; do
		ip -n "$(ns_of "$h")" $f rule
		ip -n "$(ns_of "$h")" $f route show table all
		ip -n "$(ns_of "$h")" $f addr
	done | sed -E 's/(valid|preferred)_lft [^ ]+//g'
	in_host "$h" nft list ruleset
}

net_underlay h1
net_pod h1 p1 1
ip -n "$(ns_of h1)" route add default via 192.0.2.254
"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null
secret=(--secret-file "$net_dir/secret")
dump h1 >"$net_dir/before"
unchanged() { dump h1 >"$net_dir/after"; diff "$net_dir/before" "$net_dir/after" || fail "a refused start changed the kernel: $1"; }

step "flags: status 2, the flag, what is allowed"
bad_flag() { # PATTERN FLAG...
	local pattern=$1
	shift
	run_on h1 "$@"
	says 2 "$pattern"
}
bad_flag '--prefx: unknown flag, perhaps --prefix' "${secret[@]}" --prefx 10.32.1.0/24
bad_flag '--tun: no value' "${secret[@]}" --tun
bad_flag '--tun: given twice' "${secret[@]}" --tun a --tun b
bad_flag "--listen: '1.2.3.4' .*allowed: an address and a UDP port" "${secret[@]}" --listen 1.2.3.4
bad_flag "--workers: '0' .*allowed: 1 to 64, or auto" "${secret[@]}" --workers 0
bad_flag "--workers: '65' .*allowed" "${secret[@]}" --workers 65
bad_flag "--suite: 'rot13' .*allowed: auto, chacha20-poly1305 or aes-256-gcm" "${secret[@]}" --suite rot13
bad_flag "--cluster-range: '10.32.0.0/33' .*allowed: an IPv4 or IPv6 CIDR" "${secret[@]}" --cluster-range 10.32.0.0/33
bad_flag "--cluster-range: '0.0.0.0/0' .*allowed.*not a /0" "${secret[@]}" --cluster-range 0.0.0.0/0
bad_flag "--cluster-range: '127.0.0.0/8' .*allowed" "${secret[@]}" --cluster-range 127.0.0.0/8
bad_flag '--prefix: needs a cluster-range that it lies in' "${secret[@]}" --prefix 10.32.1.0/24
bad_flag '--prefix: 10.33.1.0/24 is in no cluster-range' "${secret[@]}" --cluster-range 10.32.0.0/16 --prefix 10.33.1.0/24
bad_flag '--prefix: 10.32.1.0/25 overlaps 10.32.1.0/24' "${secret[@]}" --cluster-range 10.32.0.0/16 --prefix 10.32.1.0/24 --prefix 10.32.1.0/25
bad_flag '--exit: 10.32.9.0/24 is inside a cluster-range' "${secret[@]}" --cluster-range 10.32.0.0/16 --exit 10.32.9.0/24
bad_flag "--mark: '0x1/0x1' .*allowed.*none of 0xffff" "${secret[@]}" --mark 0x1/0x1
bad_flag "--dscp: '64' .*allowed: copy, or 0 to 63" "${secret[@]}" --dscp 64
bad_flag "--source-ports: '9-8' .*allowed" "${secret[@]}" --source-ports 9-8
bad_flag '--source-ports: 6793, the port of listen' "${secret[@]}" --source-ports 6700-6800
bad_flag '--bgp: no flag; allowed: a section of the file' "${secret[@]}" --bgp yes
bad_flag '--secret-file: missing; make a secret with: weft key new'
bad_flag "'-x' is no flag" "${secret[@]}" -x
run_on h1 "${secret[@]}" --workers 0 --dscp 99 --tun a/b
says 2 '--workers' '--dscp' '--tun'
run_on h1 "${secret[@]}" --tune peer_timeout_ms=999999
says 1 '--tune peer_timeout_ms=999999: may only be made smaller'
run_on h1 "${secret[@]}" --tune nonsense=1
says 1 '--tune nonsense=1: no such key'
run_on h1 --help
says 0 '--cluster-range' '--secret-file'
not grep -q -- --tune "$net_dir/out" || fail "--help shows --tune"
unchanged "bad flags"

step "YAML: file, line, key, what is allowed; everything at once"
f=$net_dir/weftd.yaml
bad_yaml() { # PATTERN LINE...
	local pattern=$1
	shift
	printf '%s\n' "$@" >"$f"
	run_on h1 "${secret[@]}" --config "$f"
	says 2 "$pattern"
}
bad_yaml "$f:2: .*lisen.*perhaps.*listen" "name: a" "lisen: x"
bad_yaml "$f:3: workers: 'many' .*allowed: 1 to 64, or auto" "name: a" "# comment" "workers: many"
bad_yaml "$f:4: cluster-range: .*allowed: an IPv4 or IPv6 CIDR" "cluster-range:" "  - 10.32.0.0/16" "  # not this:" "  - ten"
bad_yaml "$f:3: " "name: a" "peer:" "	- tab"
bad_yaml "$f:2: name: .*" "name: a" "name: b"
bad_yaml "$f:1: " "- a list"
bad_yaml "$f:[0-9]+: segments.vni.*allowed: 2 to 16777215" "segments:" "  - vni: 1" "    ranges: [10.40.0.0/16]"
bad_yaml "$f:[0-9]+: tune.*" "tune: [peer_timeout_ms=5]"
printf 'workers: no\ndscp: 99\nsuite: rot13\n' >"$f"
run_on h1 "${secret[@]}" --config "$f"
says 2 "$f:1: workers" "$f:2: dscp" "$f:3: suite"
run_on h1 --config "$net_dir/none.yaml"
says 2 "$net_dir/none.yaml: No such file"
head -c 2000000 /dev/zero | tr '\0' '#' >"$f"
run_on h1 --config "$f"
says 2 "$f: too large; allowed: at most 1 MiB"
head -c 20000 /dev/urandom >"$f"
run_on h1 --config "$f"
says 2 "$f"
unchanged "bad YAML"

step "--check: says what would be wrong, changes nothing, needs no secret"
run_on h1 --check --workers 0
says 2 '--workers'
run_on h1 --check "${secret[@]}" --cluster-range 10.32.0.0/16 --prefix 10.32.1.0/24@eth-p1
says 0 'fit'
run_on h1 --check --cluster-range 10.32.0.0/16 --prefix 10.32.1.0/24@eth-p1
says 0 'fit'
run_on h1 --check --cluster-range 192.0.0.0/8
says 1 'range 192.0.0.0/8 can.t be used'
unchanged "--check"
[ ! -e "$net_dir/h1/state" ] || [ -z "$(ls -A "$net_dir/h1/state")" ] || fail "--check left state behind"

step "the example configuration passes, its placeholders filled"
sed -e "s#/etc/weft/secret#$net_dir/secret#; s#@br0#@eth-p1#; s#host1.example.net#192.0.2.9#; s#host2.example.net#192.0.2.8#" \
	"$root/deploy/weftd.yaml" >"$f"
run_on h1 --check --config "$f"
says 0 fit
sed -i 's/^# listen/listen/; s/^# metrics/metrics/; s/^# log-level/log-level/' "$f"
grep -q '^listen' "$f" || fail "the example has no listen line"
run_on h1 --check --config "$f"
says 0 fit

step "the systemd unit: pods' addresses outlive a restart; its capabilities are enough"
unit=$root/deploy/systemd/weftd.service
grep -qx 'RuntimeDirectoryPreserve=yes' "$unit" || fail "systemd would remove /run/weft/cni with each restart"
caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$unit" | sed 's/CAP_/+/g; s/ /,/g' | tr '[:upper:]' '[:lower:]')
[ -n "$caps" ] || fail "the unit has no CapabilityBoundingSet"
cat >"$net_dir/as-the-unit" <<-END
	#!/bin/sh
	exec setpriv --bounding-set=-all,$caps --inh-caps=-all --no-new-privs "$weftd" "\$@"
END
chmod +x "$net_dir/as-the-unit"
WEFTD=$net_dir/as-the-unit node_start 1
json_at h1 "d['kernel']['errors'] == 0 and not d['warnings']" status || { weft_at h1 status; fail "it lacks a right"; }
weft_at h1 down >/dev/null
wait_for "weftd to end" process_gone "$(cat "$net_dir/h1/pid")"
rm -rf "$net_dir/h1/state" "$net_dir/h1/run"

step "the host stands in the way: said by name"
ip -n "$(ns_of h1)" link add other type veth peer name other2
ip -n "$(ns_of h1)" addr add 10.32.5.1/24 dev other
ip -n "$(ns_of h1)" link set other up
ip -n "$(ns_of h1)" link set other2 up
ip -n "$(ns_of h1)" addr add fd32:0:0:5::1/64 dev other nodad
dump h1 >"$net_dir/before"
ranges=(--cluster-range 10.32.0.0/16 --cluster-range fd32::/32)
run_on h1 "${secret[@]}" "${ranges[@]}" --prefix 10.32.5.128/25
says 1 'prefix 10.32.5.128/25 overlaps .*10\.32\.5\.[01].* of other' 'choose another prefix'
run_on h1 "${secret[@]}" "${ranges[@]}" --prefix fd32:0:0:5::/64
says 1 'prefix fd32:0:0:5::/64 overlaps .* of other'
run_on h1 "${secret[@]}" "${ranges[@]}" --prefix 10.32.4.0/23
says 1 'prefix 10.32.4.0/23 overlaps .* of other'
run_on h1 "${secret[@]}" "${ranges[@]}" --prefix 10.32.5.0/24@eth-p1
says 1 'prefix 10.32.5.0/24 overlaps .* of other'
run_on h1 "${secret[@]}" --cluster-range 192.0.2.0/24
says 1 'range 192.0.2.0/24 can.t be used: it holds' '192\.0\.2\.'
run_on h1 "${secret[@]}" --cluster-range 192.0.2.254/32
says 1 'range 192.0.2.254/32 can.t be used: it holds .*192\.0\.2\.254'
run_on h1 "${secret[@]}" --cluster-range 2001:db8::/32
says 1 'range 2001:db8::/32 can.t be used: it holds .*2001:db8::1'
unchanged "a host in the way"

step "the UDP port, the metrics port and the device are taken"
hold() { # udp|tcp ADDRESS PORT: a program that has the port
	ip netns exec "$(ns_of h1)" /usr/bin/python3 -c "
import socket, sys, time
s = socket.socket(socket.AF_INET6 if ':' in '$2' else socket.AF_INET, socket.SOCK_DGRAM if '$1' == 'udp' else socket.SOCK_STREAM)
s.bind(('$2', $3))
'$1' == 'tcp' and s.listen()
time.sleep(60)" &
}
hold udp :: 6793
wait_for "the port to be taken" shows ':6793' in_host h1 ss -Hlun
run_on h1 "${secret[@]}" "${ranges[@]}"
says 1 'can.t open UDP on \[::\]:6793: Address already in use; another program has the port'
kill $!
wait_for "the port to be free" not shows ':6793' in_host h1 ss -Hlun
unchanged "a taken port"
hold tcp 127.0.0.1 6794
wait_for "the port to be taken" port_listens h1 6794
run_on h1 "${secret[@]}" "${ranges[@]}"
says 1 "can.t serve --metrics on 127.0.0.1:6794: Address already in use; choose another"
kill $!
unchanged "a taken metrics port"
in_host h1 ip tuntap add dev weft0 mode tun
dump h1 >"$net_dir/before"
run_on h1 "${secret[@]}" "${ranges[@]}"
says 1 "there is a device weft0 that isn't weft's; choose another name with --tun"
shows weft0 ip -n "$(ns_of h1)" link show weft0 || fail "a foreign device was removed"
dump h1 >"$net_dir/after"
diff "$net_dir/before" "$net_dir/after" || fail "the refused start changed the host"
run_on h1 --down
dump h1 >"$net_dir/after"
diff "$net_dir/before" "$net_dir/after" || fail "after --down not all is as it was before"
in_host h1 ip link del weft0
in_host h1 ip link add weft0 type veth peer name weft0p
run_on h1 "${secret[@]}" "${ranges[@]}"
says 1 "there is a device weft0 that isn't weft's; choose another name with --tun"
in_host h1 ip link del weft0
unchanged "a foreign device"
run_on h1 "${secret[@]}" "${ranges[@]}" --peer nowhere:port
says 2 "--peer: 'nowhere:port' has no valid port.*"
unchanged "a peer that is none"

step "and with nothing in the way it starts"
node_start 1
json_at h1 "d['node']['mesh_addresses'] == ['10.32.1.1', 'fd32:0:0:1::1']" status || fail "wrong mesh addresses"
