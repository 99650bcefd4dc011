#!/bin/bash
# t_containerd.sh - containerd on two hosts, by the interface that a kubelet uses (cri.py): pod sandboxes that weft-cni
# (and portmap behind it) connects, with containers in them, talk over the mesh, both families; the runtime and weftd
# restart; sandboxes end in any order, and nothing is left. Its image is busybox alone, made here.
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/pods_lib.sh"
for p in containerd ctr runc iptables curl; do
	command -v "$p" >/dev/null || { echo "$p is not installed"; exit 77; }
done
[ -x /usr/lib/cni/portmap ] || { echo "containernetworking-plugins is not installed"; exit 77; }
[ -x /bin/busybox ] || { echo "busybox-static is not installed"; exit 77; }
net_init cri "$(mktemp -d)"
hosts=(h1 h2)
trap cri_end EXIT
cri_end() {
	local rc=$? h s
	set +e
	for h in "${hosts[@]}"; do
		for s in $(cri "$h" sandboxes 2>/dev/null | cut -d' ' -f1); do
			cri "$h" stop "$s" >/dev/null 2>&1
			cri "$h" remove "$s" >/dev/null 2>&1
		done
		runtime_stop "$h" 2>/dev/null
		awk -v d="$net_dir/$h/" 'index($2, d) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount 2>/dev/null
	done
	(exit $rc)
	net_end
}
cri() { local h=$1; shift; /usr/bin/python3 -B "$root/test/interop/cri.py" "$net_dir/$h/c.sock" "$@"; }
runtime_start() { # HOST
	nsenter "--net=/run/netns/$(ns_of "$1")" containerd --config "$net_dir/$1/containerd.toml" >>"$net_dir/$1/containerd.log" 2>&1 &
	echo $! >"$net_dir/$1/containerd.pid"
	wait_for "containerd on $1" cri "$1" network || { tail -5 "$net_dir/$1/containerd.log" >&2; return 1; }
}
runtime_stop() { # HOST: its shims, and so the containers, go on
	local pid
	pid=$(cat "$net_dir/$1/containerd.pid")
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null || true
}
runtime_setup() { # HOST
	local d=$net_dir/$1
	mkdir -p "$d/net.d" "$d/plugins"
	cp "${WEFT_CNI:-$build/cli/cni/weft-cni}" /usr/lib/cni/{portmap,loopback} "$d/plugins/"
	# What a container in a test can't have: cgroups, AppArmor, a lower oom_score_adj.
	cat >"$d/containerd.toml" <<-CONF
		version = 2
		root = "$d/croot"
		state = "$d/cstate"
		disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
		[grpc]
		address = "$d/c.sock"
		[plugins."io.containerd.grpc.v1.cri"]
		sandbox_image = "localhost/busybox:1"
		disable_cgroup = true
		disable_apparmor = true
		restrict_oom_score_adj = true
		netns_mounts_under_state_dir = true
		[plugins."io.containerd.grpc.v1.cri".cni]
		bin_dir = "$d/plugins"
		conf_dir = "$d/net.d"
		[plugins."io.containerd.grpc.v1.cri".containerd]
		snapshotter = "native"
		default_runtime_name = "runc"
		[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		runtime_type = "io.containerd.runc.v2"
	CONF
	runtime_start "$1"
	ctr --address "$d/c.sock" -n k8s.io images import --snapshotter native "$net_dir/image.tar" >/dev/null
}
# conflist HOST: as weft-kube puts it there, by a rename within the directory: containerd sees no file that is moved in.
conflist() {
	local d=$net_dir/$1
	cat >"$d/net.d/05-weft.conflist.tmp" <<-CONF
		{"cniVersion": "1.0.0", "name": "weft", "plugins": [
		  {"type": "weft-cni", "socket": "$d/run/weft.sock", "dataDir": "$d/run/cni", "capabilities": {"ips": true, "mac": true}},
		  {"type": "portmap", "capabilities": {"portMappings": true}}]}
	CONF
	mv "$d/net.d/05-weft.conflist.tmp" "$d/net.d/05-weft.conflist"
}
# image_tar: busybox, in the form that docker saves.
image_tar() {
	busybox_tree "$net_dir/tree"
	mkdir "$net_dir/image"
	tar -C "$net_dir/tree" -cf "$net_dir/image/layer.tar" .
	cat >"$net_dir/image/config.json" <<-JSON
		{"architecture": "$(dpkg --print-architecture)", "os": "linux", "config": {"Entrypoint": ["/bin/sleep", "1000000"]},
		 "rootfs": {"type": "layers", "diff_ids": ["sha256:$(sha256sum <"$net_dir/image/layer.tar" | cut -d' ' -f1)"]}}
	JSON
	echo '[{"Config": "config.json", "RepoTags": ["localhost/busybox:1"], "Layers": ["layer.tar"]}]' >"$net_dir/image/manifest.json"
	tar -C "$net_dir/image" -cf "$net_dir/image.tar" manifest.json config.json layer.tar
}
# pod_at HOST NAME [HOST-PORT]: a sandbox, and in it a web server whose page says who it is. Sets sandbox[NAME], web[NAME].
declare -A sandbox web
pod_at() {
	sandbox[$2]=$(cri "$1" run "$2" "${@:3}")
	web[$2]=$(cri "$1" start "${sandbox[$2]}" "$2" localhost/busybox:1 /bin/sh -c "mkdir -p /www; echo this is $2 >/www/index.html; exec httpd -f -p 80 -h /www")
}
address() { cri "$1" addresses "${sandbox[$2]}" | if [ "$3" = 6 ]; then grep :; else grep -v :; fi; } # HOST NAME 4|6
fetches() { [ "$(cri "$1" exec "${web[$2]}" /bin/get "$3")" = "$4" ]; }                              # HOST NAME ADDRESS TEXT
end() { # HOST NAME
	cri "$1" stop "${sandbox[$2]}"
	cri "$1" remove "${sandbox[$2]}"
}

net_underlay "${hosts[@]}"
"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null
image_tar
weft_node() {
	weftd_start "h$1" --cluster-range 10.32.0.0/16 --cluster-range fd32::/32 --prefix "10.32.$1.0/24" --prefix "fd32:0:0:$1::/64" --peer "192.0.2.$((3 - $1))"
}
for n in 1 2; do
	weft_node $n
	runtime_setup "h$n"
done
wait_for "the mesh" mesh_is_full 2 "${hosts[@]}"

step "the node's network is ready with the configuration, and not before"
[ "$(cri h1 network)" != true ] || fail "ready without a configuration"
for h in "${hosts[@]}"; do conflist $h; done
network_is_ready() { [ "$(cri "$1" network)" = true ]; }
for h in "${hosts[@]}"; do wait_for "the network of $h" network_is_ready $h; done

step "pods of two hosts"
pod_at h1 one 8080
pod_at h2 two
a1=$(address h1 one 4) b1=$(address h1 one 6) a2=$(address h2 two 4) b2=$(address h2 two 6)
[[ $a1 = 10.32.1.* && $a2 = 10.32.2.* && $b1 = fd32:0:0:1:* && $b2 = fd32:0:0:2:* ]] || fail "addresses: $a1 $b1 $a2 $b2"
json_at h1 "any(a['container'] == '${sandbox[one]}' and a['pod'] == 'one' and a['namespace'] == 'default' for a in d['attachments'])" status ipam ||
	fail "status does not name the pod"
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

step "the runtime and weftd restart; pods live on, and end afterwards"
runtime_stop h1
weftd_stop h1
runtime_start h1
[ "$(cri h1 sandboxes)" = "${sandbox[one]} READY" ] || fail "the sandbox: $(cri h1 sandboxes)"
weft_node 1
wait_for "the mesh" mesh_is_full 2 "${hosts[@]}"
wait_for "two to fetch from one" fetches h2 two "$a1" "this is one"

step "no weftd: no pod starts, those that run are stopped"
weftd_stop h2
! cri h2 run late 2>"$net_dir/err" || fail "a pod without weftd"
grep -q "weftd does not answer" "$net_dir/err" || fail "the runtime does not show why: $(cat "$net_dir/err")"
end h2 two
in_host h2 ip -o link | grep -q wpod && fail "an interface is left, without weftd"
weft_node 2
wait_for "the mesh" mesh_is_full 2 "${hosts[@]}"
pod_at h2 two
wait_for "one to fetch from two, made anew" fetches h1 one "$(address h2 two 4)" "this is two"

step "ten at a time"
for i in 0 1 2 3 4 5 6 7 8 9; do cri h1 run "many$i" >"$net_dir/many$i" & done
for i in $(jobs -p | tail -10); do wait "$i" || fail "of ten sandboxes at a time one failed"; done
[ "$(for i in 0 1 2 3 4 5 6 7 8 9; do cri h1 addresses "$(cat "$net_dir/many$i")" | grep -v :; done | sort -u | wc -l)" = 10 ] || fail "addresses are not unique"

step "nothing is left"
for h in "${hosts[@]}"; do
	for s in $(cri $h sandboxes | cut -d' ' -f1); do
		cri $h stop "$s"
		cri $h stop "$s" # a kubelet does so, too
		cri $h remove "$s"
	done
	[ -z "$(cri $h sandboxes)" ] || fail "sandboxes are left"
	clean $h || fail "$h: something is left"
done
