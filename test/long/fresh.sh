#!/bin/bash
# fresh.sh [SET...]: README's two commands on a machine with nothing installed: the smallest Debian, made in a tree by
# mmdebstrap, with a clean clone in it. The demo, then `test/run.sh lint unit`, or the SETs given. It has its own
# root, processes and host name, and this machine's network, from which it gets its packages.
# TREE: a directory to make it in, which then stays.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
[ "$(id -u)" = 0 ] || { echo "needs root" >&2; exit 1; }
for p in mmdebstrap git; do
	command -v $p >/dev/null || { echo "$p is not installed"; exit 77; }
done
[ $# -gt 0 ] || set -- lint unit
step() { printf -- '-- %(%T)T %s\n' -1 "$*"; }

work=$(mktemp -d)
tree=${TREE:-$work/tree}
trap 'rm -rf "$work"' EXIT
step "the smallest Debian"
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
mmdebstrap --quiet --variant=minbase "$suite" "$tree"
cp /etc/resolv.conf /etc/hosts "$tree/etc/"
for f in /etc/apt/sources.list.d/debian.sources /etc/apt/apt.conf; do
	[ ! -e $f ] || { rm -f "$tree/etc/apt/sources.list"; cp $f "$tree$f"; }
done
mkdir -p "$tree/src/shared"
git -c safe.directory='*' clone -q --no-hardlinks "$root" "$tree/src/weft"
cp -r "${WEFT_VECTORS:-$root/../shared/vectors}" "$tree/src/shared/vectors"
echo "   $(chroot "$tree" dpkg-query -W | wc -l) packages, $(git -C "$root" -c safe.directory='*' rev-parse --short HEAD)"

# What follows ends with its first process, whatever it has begun; its mounts are nobody else's.
unshare --mount --propagation private --pid --fork --kill-child --uts --ipc bash -s "$tree" "$@" <<'INSIDE'
set -euo pipefail
tree=$1
shift
hostname fresh
mount --bind "$tree" "$tree"
mount -t proc proc "$tree/proc"
mount --rbind /sys "$tree/sys"
mount --rbind /dev "$tree/dev"
mount -t tmpfs -o mode=755 tmpfs "$tree/run"
mkdir -p "$tree/run/lock"
cd "$tree"
mkdir -p .old
pivot_root . .old
umount -l /.old
cd /src/weft
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
	bash -c 'set -e; printf -- "-- %(%T)T deploy/demo.sh\n" -1; ./deploy/demo.sh </dev/null
	printf -- "-- %(%T)T test/run.sh $*\n" -1; ./test/run.sh "$@" </dev/null' fresh "$@"
INSIDE
