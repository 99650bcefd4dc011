#!/bin/bash
# image.sh [NAME:TAG]: builds the container image (localhost/weft:VERSION) with buildah or podman, whichever is
# there; says its size. ROOTFS_ONLY=DIR: makes the tree in DIR and stops. WEFT_BUILD: the build directory. Needs root,
# mmdebstrap and a Debian mirror.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
. "$root/deploy/setup.sh"
become_root "$@"

version=$(sed -n 's/^project(weft VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
name=${1:-localhost/weft:$version}
suite=${SUITE:-bookworm}
install_packages "${build_packages[@]}" mmdebstrap
build_tree "$build" -- weftd weft weft-cni weft-kube

# The plugin is started by the host's runtime, on a distribution that need not be this one: archives.cmake.
log=$(mktemp)
{ cmake -G Ninja -S "$root" -B "$build-plugin" -DCMAKE_PROJECT_weft_INCLUDE="$root/deploy/archives.cmake" -DWEFT_TESTS=OFF &&
	cmake --build "$build-plugin" --target weft-cni; } >"$log" 2>&1 || { tail -20 "$log" >&2; die "the build in $build-plugin failed"; }
rm -f "$log"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=${ROOTFS_ONLY:-$work/rootfs}

# What the programs link, by the packages that own those libraries; nft and flock, which are run.
libraries() {
	local file
	ldd "$build"/router/weftd "$build"/router/kube/weft-kube "$build"/cli/weft "$build"/cli/cni/weft-cni |
		sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | sort -u | while read -r file; do
			dpkg-query -S "$(readlink -f "$file")" 2>/dev/null || dpkg-query -S "$file"
		done | sed 's/:.*//' | sort -u
}
packages=$(libraries | paste -sd,)
# No shell, no package manager in the image: dpkg unpacks, and what it needs for that is removed again.
mmdebstrap --quiet --variant=extract --include="$packages,nftables,util-linux,ca-certificates" \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
	--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
	"$suite" "$tree"
rm -rf "$tree"/var/cache/* "$tree"/var/lib/apt "$tree"/var/log/* "$tree"/usr/share/zoneinfo "$tree"/etc/apt "$tree"/usr/lib/*/gconv
install -d "$tree"/usr/sbin "$tree"/usr/bin "$tree"/usr/lib/cni "$tree"/tmp "$tree"/run
install -s "$build/router/weftd" "$build/router/kube/weft-kube" "$tree/usr/sbin/"
install -s "$build/cli/weft" "$tree/usr/bin/"
install -s "$build-plugin/cli/cni/weft-cni" "$tree/usr/lib/cni/"
[ -z "${ROOTFS_ONLY:-}" ] || { du -sh "$tree" | cut -f1; trap - EXIT; rm -rf "$work"; exit; }

cp "$root/deploy/Containerfile" "$work/"
if command -v buildah >/dev/null; then
	buildah bud --isolation chroot -t "$name" "$work"
	buildah images "$name"
else
	install_packages podman
	podman build -t "$name" "$work"
	podman images "$name"
fi
