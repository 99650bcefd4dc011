#!/bin/bash
# t_podman.sh - podman with its CNI back end on two hosts: containers that weft-cni (and portmap behind it)
# connects talk over the mesh, both families, stop, start, restart, are killed, and leave nothing behind.
# podman knows nothing of weft but a list of plugins; its image is busybox alone, imported from a tree.
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/pods_lib.sh"
for p in podman runc iptables; do
	command -v "$p" >/dev/null || { echo "$p is not installed"; exit 77; }
done
[ -x /usr/lib/cni/portmap ] || { echo "containernetworking-plugins is not installed"; exit 77; }
[ -x /bin/busybox ] || { echo "busybox-static is not installed"; exit 77; }
net_init podman "$(mktemp -d)"
trap podman_end EXIT
hosts=(h1 h2)

# podman_at HOST ARGUMENT...: a podman with files of its own, in the host's network.
podman_at() {
	local h=$1 d=$net_dir/$1
	shift
	CONTAINERS_CONF=$d/containers.conf timeout --kill-after=5 60 nsenter "--net=/run/netns/$(ns_of "$h")" podman --root "$d/root" \
		--runroot "$d/runroot" --tmpdir "$d/tmp" --storage-driver vfs --network-config-dir "$d/net.d" "$@"
}
podman_end() {
	local rc=$? h
	set +e
	for h in "${hosts[@]}"; do
		[ ! -e "$net_dir/$h/containers.conf" ] || podman_at "$h" rm --all --force --time 0 >/dev/null 2>&1 || true
		umount -q "$net_dir/$h"/root/vfs-containers/*/userdata/shm 2>/dev/null || true
	done
	(exit $rc)
	net_end
}
podman_setup() { # HOST
	local d=$net_dir/$1
	mkdir -p "$d/net.d" "$d/plugins"
	cp "${WEFT_CNI:-$build/cli/cni/weft-cni}" "$d/plugins/"
	cat >"$d/containers.conf" <<-CONF
		[containers]
		default_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]
		log_driver = "k8s-file"
		[network]
		network_backend = "cni"
		cni_plugin_dirs = ["$d/plugins", "/usr/lib/cni"]
		[engine]
		lock_type = "file"
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		runtime = "runc"
	CONF
	cat >"$d/net.d/05-weft.conflist" <<-CONF
		{"cniVersion": "1.0.0", "name": "weft", "plugins": [
		  {"type": "weft-cni", "socket": "$d/run/weft.sock", "dataDir": "$d/run/cni", "capabilities": {"ips": true, "mac": true}},
		  {"type": "portmap", "capabilities": {"portMappings": true}}]}
	CONF
	tar -C "$net_dir/tree" -c . | podman_at "$1" import - busybox >/dev/null 2>&1
}
run_at() { # HOST NAME OPTION... -- COMMAND...
	local h=$1 name=$2 opts=()
	shift 2
	while [ "$1" != -- ]; do opts+=("$1"); shift; done
	shift
	podman_at "$h" run --detach --network weft --name "$name" "${opts[@]}" busybox "$@" >/dev/null
}
web_at() { # HOST NAME OPTION...: a web server whose page says who it is.
	local h=$1 name=$2
	shift 2
	run_at "$h" "$name" "$@" -- /bin/sh -c "mkdir /www; echo this is $name >/www/index.html; exec httpd -f -p 80 -h /www"
}
# address HOST NAME 4|6: what the kernel says it has, and nobody's file.
address() { podman_at "$1" exec "$2" ip -"$3" -o addr show dev eth0 scope global | sed 's/.*inet6\? \([^/]*\).*/\1/'; }
fetches() { # HOST NAME ADDRESS TEXT: from that container
	[ "$(podman_at "$1" exec "$2" /bin/get "$3")" = "$4" ]
}

net_underlay "${hosts[@]}"
"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null
busybox_tree "$net_dir/tree"
for n in 1 2; do
	weftd_start "h$n" --cluster-range 10.32.0.0/16 --cluster-range fd32::/32 --prefix "10.32.$n.0/24" \
		--prefix "fd32:0:0:$n::/64" --peer 192.0.2.$((3 - n))
	podman_setup "h$n"
done
wait_for "the mesh" mesh_is_full 2 "${hosts[@]}"

step "containers of two hosts"
web_at h1 one -p 8080:80
web_at h2 two
a1=$(address h1 one 4) b1=$(address h1 one 6) a2=$(address h2 two 4) b2=$(address h2 two 6)
[[ $a1 = 10.32.1.* && $a2 = 10.32.2.* && $b1 = fd32:0:0:1:* && $b2 = fd32:0:0:2:* ]] || fail "addresses: $a1 $b1 $a2 $b2"
[ "$(podman_at h1 inspect one --format '{{.NetworkSettings.Networks.weft.IPAddress}}')" = "$a1" ] || fail "podman knows another address"
capture_start h1
wait_for "one to fetch from two" fetches h1 one "$a2" "this is two"
wait_for "two to fetch from one" fetches h2 two "$a1" "this is one"
wait_for "one to fetch from two by IPv6" fetches h1 one "$b2" "this is two"
wait_for "two to fetch from one by IPv6" fetches h2 two "$b1" "this is one"
capture_stop
not capture_has_inner || fail "inner packets in clear"
not capture_has "this is" || fail "content in clear"

step "a port of the host (portmap, behind weft-cni)"
fetched() { [ "$(printf 'GET / HTTP/1.0\r\n\r\n' | in_host h2 busybox nc -w 3 192.0.2.1 8080 | tail -n 1)" = "this is one" ]; }
wait_for "the published port" fetched

step "an address and a MAC by wish; the same address twice is refused"
web_at h1 three --ip 10.32.1.77 --mac-address 02:00:00:00:00:77
[ "$(address h1 three 4)" = 10.32.1.77 ] || fail "--ip: $(address h1 three 4)"
podman_at h1 exec three ip link show dev eth0 | grep -q 02:00:00:00:00:77 || fail "--mac-address"
if web_at h1 four --ip 10.32.1.77 2>"$net_dir/err"; then fail "an address was given twice"; fi
grep -q "10.32.1.77 is in use" "$net_dir/err" || fail "podman does not show why: $(cat "$net_dir/err")"
podman_at h1 rm -f four >/dev/null 2>&1 || true

step "stop, start, restart, kill"
podman_at h1 stop -t 0 one >/dev/null
in_host h1 iptables-save | grep -q 'CNI-DN-' && fail "portmap's rules outlive DEL"
podman_at h1 start one >/dev/null
a1=$(address h1 one 4)
wait_for "two to fetch from one, started again" fetches h2 two "$a1" "this is one"
podman_at h2 restart -t 0 two >/dev/null
a2=$(address h2 two 4)
wait_for "one to fetch from two, restarted" fetches h1 one "$a2" "this is two"
podman_at h2 kill two >/dev/null
wait_for "what a killed container leaves" clean h2
podman_at h2 start two >/dev/null
wait_for "one to fetch from two, after its death" fetches h1 one "$(address h2 two 4)" "this is two"

step "no weftd: no container starts, those that run are stopped"
weftd_stop h2
if run_at h2 late -- sleep 60 2>"$net_dir/err"; then fail "a container without weftd"; fi
grep -q "weftd does not answer" "$net_dir/err" || fail "podman does not show why: $(cat "$net_dir/err")"
podman_at h2 rm -f late >/dev/null 2>&1 || true
podman_at h2 stop -t 0 two >/dev/null
in_host h2 ip -o link | grep -q wpod && fail "an interface is left, without weftd"
weftd_start h2 --cluster-range 10.32.0.0/16 --cluster-range fd32::/32 --prefix 10.32.2.0/24 --prefix fd32:0:0:2::/64 --peer 192.0.2.1
podman_at h2 start two >/dev/null
wait_for "one to fetch from two, after weftd's return" fetches h1 one "$(address h2 two 4)" "this is two"

step "ten at a time"
for i in 0 1 2 3 4 5 6 7 8 9; do run_at h1 "many$i" -- sleep 300 & done
wait
[ "$(podman_at h1 ps -q | wc -l)" = 12 ] || fail "of twelve there are $(podman_at h1 ps -q | wc -l)"
[ "$(for i in 0 1 2 3 4 5 6 7 8 9; do address h1 "many$i" 4; done | sort -u | wc -l)" = 10 ] || fail "addresses are not unique"

step "nothing is left"
for h in "${hosts[@]}"; do
	ids=$(podman_at "$h" ps -aq --no-trunc)
	podman_at "$h" rm --all --force --time 0 >/dev/null
	clean "$h" || fail "$h: something is left"
	for id in $ids; do # what libcni remembers until DEL has come through
		not compgen -G "/var/lib/cni/results/*$id*" >/dev/null || fail "$h: podman's DEL of $id failed"
	done
done
