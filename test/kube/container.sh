#!/bin/bash
# container.sh - the image, built as deploy/image.sh builds it, its size and what is in it; then the DaemonSet's
# containers under podman with exactly the manifest's privileges and mounts (container.py). Long: it fetches Debian
# packages. $build: the build directory. IMAGE_ROOTFS: a tree that deploy/image.sh has made already.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=$(readlink -f "${build:-$root/build}")
for p in podman runc mmdebstrap; do
	command -v "$p" >/dev/null || { echo "$p is not installed"; exit 77; }
done
[ -c /dev/net/tun ] || { echo "there is no /dev/net/tun"; exit 77; }
. "$root/test/netns/lib.sh"
net_init container "$(mktemp -d)"
trap container_end EXIT
container_end() {
	local rc=$?
	set +e
	CONTAINERS_CONF=$net_dir/containers.conf podman rm --all --force --time 0 >/dev/null 2>&1
	umount -q "$net_dir"/root/vfs-containers/*/userdata/shm 2>/dev/null
	(exit $rc)
	net_end
}
# podman's own files are below the test's directory too.
cat >"$net_dir/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]
log_driver = "k8s-file"
[engine]
lock_type = "file"
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
tmp_dir = "$net_dir/tmp"
static_dir = "$net_dir/static"
volume_path = "$net_dir/volumes-of-podman"
CONF
cat >"$net_dir/storage.conf" <<CONF
[storage]
driver = "vfs"
graphroot = "$net_dir/root"
runroot = "$net_dir/runroot"
CONF
export CONTAINERS_CONF=$net_dir/containers.conf CONTAINERS_STORAGE_CONF=$net_dir/storage.conf

step "the image"
tree=${IMAGE_ROOTFS:-$net_dir/rootfs}
[ -e "$tree/usr/sbin/weftd" ] || WEFT_BUILD=$build-image ROOTFS_ONLY=$tree "$root/deploy/image.sh" >/dev/null
image=localhost/weft:test
mkdir "$net_dir/context"
cp "$root/deploy/Containerfile" "$net_dir/context/"
[ -n "${IMAGE_ROOTFS:-}" ] && cp -a "$tree" "$net_dir/context/rootfs" || mv "$tree" "$net_dir/context/rootfs"
podman build -q -t "$image" "$net_dir/context" >/dev/null
tree=$net_dir/context/rootfs
podman images --format '  {{.Repository}}:{{.Tag}} {{.Size}}' "$image"
echo "  packages: $(find "$tree/usr/share/doc" -name copyright | wc -l) with their licences; programs: $(cd "$tree" && ls usr/sbin/weft* usr/bin/weft* usr/lib/cni/* | tr '\n' ' ')"
for f in usr/sbin/weftd usr/sbin/weft-kube usr/bin/weft usr/lib/cni/weft-cni; do
	not shows 'not found' chroot "$tree" /lib64/ld-linux-x86-64.so.2 --list "/$f" || fail "$f lacks a library in the image"
done
plugin=$tree/usr/lib/cni/weft-cni # runs on the host
needs=$(readelf -d "$plugin" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | sort | tr '\n' ' ')
[ "$needs" = "libc.so.6 libmnl.so.0 " ] || fail "weft-cni needs of the host: $needs"
glibc=$(readelf -V "$plugin" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
[ "$(printf '%s\n' GLIBC_2.34 "$glibc" | sort -V | tail -1)" = GLIBC_2.34 ] || fail "weft-cni needs $glibc"
echo "  weft-cni: $(stat -c %s "$plugin") bytes, needs $needs($glibc)"
for f in bin/sh usr/bin/apt usr/bin/perl; do
	[ ! -e "$tree/$f" ] || echo "  the image has /$f"
done

step "the DaemonSet's containers"
ns_add h1
ip -n "$(ns_of h1)" link add u0 type veth peer name u1
ip -n "$(ns_of h1)" addr add 192.0.2.1/24 dev u0
ip -n "$(ns_of h1)" link set u0 up
ip -n "$(ns_of h1)" link set u1 up
# As on every node of Kubernetes. weftd turns it on too, and leaves it on: others may need it by then.
in_host h1 sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
nsenter "--net=/run/netns/$(ns_of h1)" /usr/bin/python3 -B "$root/test/kube/container.py" "$build/cli/weft" "$image" "$net_dir"
