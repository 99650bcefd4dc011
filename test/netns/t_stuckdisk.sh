#!/bin/bash
# t_stuckdisk.sh - a disk that takes no write for as long as it likes: the node goes on, claims one more block,
# uses it and tells what a crash would cost now; nobody suspects it; what it has is written when the disk goes on.
# A stop, by signal or by `weft down`, waits for it for some seconds alone, and costs nothing that stood.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
net_init stuckdisk "$(mktemp -d)"
trap 'rm -f "$net_dir/stuck"; net_end' EXIT

start() {
	local n=$1
	shift
	weftd_start "h$n" --cluster-range 10.32.0.0/16 --prefix auto/24 --peer 192.0.2.1 --peer 192.0.2.2 --peer 192.0.2.3 "$@"
}
cat >"$net_dir/weftd" <<-END
	#!/bin/sh
	exec env LD_PRELOAD=$build/test/stuck_disk.so STUCK_FILE=$net_dir/stuck ${WEFTD:-$build/router/weftd} "\$@"
END
chmod +x "$net_dir/weftd"
# blocks HOST [OF]: those in use that HOST knows of node OF (itself).
blocks() { json_at "$1" "' '.join(sorted(p['prefix'] for p in d['prefixes'] if p['node'] == '${2:-$1}' and p['state'] == 'in_use'))" status ipam; }
count() { [ "$(blocks "$1" "${2:-$1}" | wc -w)" = "$3" ]; }
sum() { sha256sum <"$net_dir/h3/state/claims"; }
unharmed() { json_at "$1" "d['ready'] and d['membership']['suspected'] == d['membership']['dead'] == d['membership']['deaths'] == 0 and d['cluster']['up'] == 3" status; }

net_underlay h1 h2 h3
"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null

step "three nodes"
for n in 1 2; do start $n; done
WEFTD=$net_dir/weftd start 3
for n in 1 2 3; do wait_for "h$n to know h3's block" count h$n h3 1; wait_for "h$n to be well" unharmed h$n; done

step "the disk stands still: one more block all the same, and nobody suspects the node"
before=$(sum)
touch "$net_dir/stuck"
ctl_request h3 prefix-more family 4 >/dev/null || fail "prefix-more was refused"
wait_for "h3 to use a second block" count h3 h3 2
for n in 1 2; do wait_for "h$n to know it" count h$n h3 2; done
shows "the disk takes long to write the claims" json_at h3 "'\n'.join(d['warnings'])" status || fail "it isn't told"
[ "$(sum)" = "$before" ] || fail "the disk did not stand still"
for n in 1 2 3; do unharmed h$n || fail "h$n: $(json_at h$n "d['membership']" status)"; done

step "the disk goes on: it is written, and outlives kill -9"
rm "$net_dir/stuck"
written() { [ "$(sum)" != "$before" ]; }
wait_for "the file to be written" written
had=$(blocks h3)
kill -9 "$(cat "$net_dir/h3/pid")"
wait_for "h3 to be gone" not kill -0 "$(cat "$net_dir/h3/pid")"
WEFTD=$net_dir/weftd start 3
wait_for "h3 to use both blocks" count h3 h3 2
[ "$(blocks h3)" = "$had" ] || fail "$(blocks h3) after a restart instead of $had"

step "the disk stands still while the node stops: that takes some seconds, and the old file stands"
held_up() { log_says h3 "takes too long: what was to be written last is lost"; }
before=$(sum)
: >"$net_dir/h3/log"
touch "$net_dir/stuck"
weftd_stop h3
held_up || fail "nothing is told of it"
[ "$(sum)" = "$before" ] || fail "the file was touched"
rm "$net_dir/stuck"
WEFTD=$net_dir/weftd start 3
[ "$(blocks h3)" = "$had" ] || fail "$(blocks h3) after such a stop instead of $had"

step "the same by weft down, which takes all of it away"
before=$(sum)
: >"$net_dir/h3/log"
touch "$net_dir/stuck"
pid=$(cat "$net_dir/h3/pid")
weft_at h3 down >/dev/null || fail "weft down was refused"
wait_for "weftd on h3 to end" process_gone "$pid"
held_up || fail "nothing is told of it"
not in_host h3 ip link show weft0 2>/dev/null || fail "weft0 is left"
[ "$(sum)" = "$before" ] || fail "the file was touched"
rm "$net_dir/stuck"
WEFTD=$net_dir/weftd start 3
wait_for "h3 to use both blocks" count h3 h3 2
[ "$(blocks h3)" = "$had" ] || fail "$(blocks h3) after weft down instead of $had"
