#!/bin/bash
# t_identity.sh - who is who: wrong secrets, cloned names and keys, wrong clocks, damaged or foreign state.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
net_init identity "$(mktemp -d)"
trap net_end EXIT
weftd=${WEFTD:-$build/router/weftd} weft=${WEFT:-$build/cli/weft}

warns() { shows "$2" json_at "$1" "'\n'.join(d['warnings'])" status; }
key_of() { json_at "$1" "d['node']['key']" status; }
epoch_of() { json_at "$1" "d['node']['epoch']" status; }
stat_of() { json_at "$1" "d['counters']['session']['$2']" report; }
# refused HOST PATTERN [OPTION...]: weftd on HOST does not start, says so with a line that matches, changes nothing.
refused() {
	local h=$1 pattern=$2 rc=0
	shift 2
	in_host "$h" timeout 20 "$weftd" --name "$h" --secret-file "$net_dir/secret" --state-dir "$net_dir/$h/state" \
		--run-dir "$net_dir/$h/run" "$@" >"$net_dir/out" 2>&1 </dev/null || rc=$?
	[ $rc = 1 ] || { cat "$net_dir/out"; fail "status $rc instead of 1, with $*"; }
	grep -qE -- "$pattern" "$net_dir/out" || { cat "$net_dir/out"; fail "no word of '$pattern', with $*"; }
}

mesh_hosts 3
node_start 1
node_start 2
wait_for "a mesh of two" mesh_is_full 2 h1 h2

step "the wrong secret: silence on the wire, one counted line with the address"
mv "$net_dir/secret" "$net_dir/right"
"$weft" key new --out "$net_dir/secret" >/dev/null
before=$(stat_of h1 bad_mac1)
capture_start h3
weftd_start h3 --peer 192.0.2.1 --peer 192.0.2.2 --tune hs_retry_ms=200 --tune hs_retry_max_ms=200
calls() { [ "$(tcpdump -nr "$net_dir/capture.pcap" 'udp and src host 192.0.2.3 and dst port 6793' 2>/dev/null | wc -l)" -ge 20 ]; }
wait_for "twenty calls of h3" calls
capture_stop h3
[ -z "$(tcpdump -nr "$net_dir/capture.pcap" '(src host 192.0.2.1 or src host 192.0.2.2) and dst host 192.0.2.3 and not arp' 2>/dev/null)" ] ||
	fail "h1 or h2 answered a caller without the secret"
# The same call three hundred times more, as fast as it goes.
in_host h3 /usr/bin/python3 - "$net_dir/capture.pcap" <<'PY'
import socket, struct, sys
data = open(sys.argv[1], 'rb').read()
pos, call = 24, b''
while pos < len(data) and not call:
    n = struct.unpack_from('<I', data, pos + 8)[0]
    frame = data[pos + 16:pos + 16 + n]
    if frame[12:14] == b'\x08\x00' and frame[23] == 17 and frame[26:30] == bytes([192, 0, 2, 3]):
        call = frame[42:]
    pos += 16 + n
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(300):
    s.sendto(call, ('192.0.2.1', 6793))
PY
counted() { [ "$(stat_of h1 bad_mac1)" -ge $((before + 300)) ]; }
wait_for "h1 to count 300 calls more" counted
n=$(grep -c '192.0.2.3.*another cluster secret' "$net_dir/h1/log") || fail "h1's log doesn't name the caller"
[ "$n" -le 20 ] || fail "$n lines in h1's log: not rate-limited"
json_at h3 "d['ready'] == False and d['peers']['up'] == 0" status || fail "h3 claims to be ready"
wait_for "h3 to say what may be wrong" json_at h3 "all('secret' in t['error'] for t in d['targets'])" status targets
weftd_stop h3
rm -rf "$net_dir/h3/state"
mv "$net_dir/right" "$net_dir/secret"
echo "   $(($(stat_of h1 bad_mac1) - before)) calls counted, $n log lines"

step "two nodes with one name: all are told, with both addresses"
NODE_NAME=h2 weftd_start h3 --peer 192.0.2.1
for h in h1 h2 h3; do wait_for "$h to tell of it" warns $h 'two nodes are named h2'; done
for h in h1 h2 h3; do
	warns $h 'named h2.*192\.0\.2\.[23].*192\.0\.2\.[23]' || { weft_at $h status | grep Warning; fail "$h does not tell both addresses"; }
done
pings p1 10.32.2.2 || fail "traffic suffered from a name"
weftd_stop h3

step "two nodes with one key (a copied state directory): both are told, with addresses"
weftd_stop h2
rm -rf "$net_dir/h3/state"
cp -a "$net_dir/h2/state" "$net_dir/h3/state"
node_start 2
wait_for "a mesh of two" mesh_is_full 2 h1 h2
weftd_start h3 --peer 192.0.2.1 --peer 192.0.2.2
at() { printf '[^ ]*(192\.0\.2\.|2001:db8::)%s[^0-9 ]+6793' "$1"; }
wait_for "h3 to tell of its copied key, by both addresses" warns h3 "$(at 2) answers with the key of this node \($(at 3)\)|key, at $(at 2) \(this one: $(at 3)\)"
wait_for "h2 to tell of its copied key, by both addresses" warns h2 "$(at 3) answers with the key of this node \($(at 2)\)|key, at $(at 3) \(this one: $(at 2)\)"
weftd_stop h3
rm -rf "$net_dir/h3/state"
wait_for "the mesh to recover" mesh_is_full 2 h1 h2
wait_for "p1 to reach p2" pings p1 10.32.2.2

step "a clock ten years behind, and one ten years ahead, join all the same"
node_start 3 --tune clock_offset_secs=-315360000
wait_for "three nodes" mesh_is_full 3 h1 h2 h3
wait_for "p3 to reach p1" pings p3 10.32.1.2
shows clock_offset weft_at h3 status || fail "--tune is not shown"
weftd_stop h3
node_start 3 --tune clock_offset_secs=315360000
wait_for "three nodes" mesh_is_full 3 h1 h2 h3
weftd_stop h3
node_start 3
wait_for "three nodes, the clock right again" mesh_is_full 3 h1 h2 h3

step "a second weftd on the same state directory"
refused h3 "another weftd \(pid $(cat "$net_dir/h3/pid")\) runs on $net_dir/h3/state" --listen '[::]:7000' --metrics off
mesh_is_full 3 h1 h2 h3 || fail "the first one suffered"

step "modes: what is secret is nobody else's to read"
for f in identity epoch cluster peers lock; do
	[ "$(stat -c %a "$net_dir/h1/state/$f")" = 600 ] || fail "$f has mode $(stat -c %a "$net_dir/h1/state/$f")"
done
[ "$(stat -c %a "$net_dir/h1/state")" = 700 ] || fail "the state directory has mode $(stat -c %a "$net_dir/h1/state")"
[ "$(stat -c %a "$net_dir/secret")" = 600 ] || fail "weft key new made mode $(stat -c %a "$net_dir/secret")"
[ "$(stat -c %a "$net_dir/h1/run/weft.sock")" = 600 ] || fail "the socket has mode $(stat -c %a "$net_dir/h1/run/weft.sock")"

step "the key stays, the epoch grows; --cluster with old state"
key=$(key_of h3) epoch=$(epoch_of h3)
weftd_stop h3
refused h3 "--cluster elsewhere: this node's state belongs to cluster" --cluster elsewhere
node_start 3
[ "$(key_of h3)" = "$key" ] || fail "the key changed"
[ "$(epoch_of h3)" -gt "$epoch" ] || fail "the epoch is $(epoch_of h3) after $epoch"
wait_for "three nodes" mesh_is_full 3 h1 h2 h3
weftd_stop h3

step "damaged state files: cut at several lengths, filled with something else"
cp -a "$net_dir/h3/state" "$net_dir/good"
damage() { # FILE HOW WORD: the daemon starts, tells, keeps the old file beside
	node_start 3 --log-level info
	log_says h3 "$net_dir/h3/state/$1 was damaged" || fail "$1, $2: nothing is told"
	warns h3 "$1 was damaged.*$3" || fail "$1, $2: status does not tell"
	ls "$net_dir/h3/state/" | grep -q "^$1\..*" || fail "$1, $2: the damaged file is not kept"
	weftd_stop h3
	: >"$net_dir/h3/log"
	rm -rf "$net_dir/h3/state"
	cp -a "$net_dir/good" "$net_dir/h3/state"
}
declare -A cost=([identity]='old key is lost' [epoch]='start counter begins again' [cluster]='derived anew' [peers]='seeds alone')
for f in identity epoch cluster peers; do
	size=$(stat -c %s "$net_dir/good/$f")
	for len in 0 1 $((size / 2)) $((size - 1)); do
		truncate -s "$len" "$net_dir/h3/state/$f"
		damage "$f" "cut to $len of $size bytes" "${cost[$f]}"
	done
	head -c "$size" /dev/urandom >"$net_dir/h3/state/$f"
	damage "$f" "random bytes" "${cost[$f]}"
done
cp "$net_dir/good/epoch" "$net_dir/h3/state/identity"
damage identity "another weft file" "${cost[identity]}"
# A lost epoch begins at 1, behind what the others have: they tell, it jumps, the mesh is whole.
truncate -s 3 "$net_dir/h3/state/epoch"
node_start 3
wait_for "three nodes, with an epoch begun again" mesh_is_full 3 h1 h2 h3
wait_for "the epoch to have jumped" grown "$epoch" epoch_of h3
weftd_stop h3

step "secret files"
good=$(cat "$net_dir/secret")
mistyped=${good:0:20}$([ "${good:20:1}" = a ] && echo b || echo a)${good:21}
refused_secret() {
	local rc=0
	in_host h3 timeout 20 "$weftd" --name h3 --secret-file "$1" --state-dir "$net_dir/h3/state" \
		--run-dir "$net_dir/h3/run" >"$net_dir/out" 2>&1 </dev/null || rc=$?
	[ $rc = 1 ] || { cat "$net_dir/out"; fail "status $rc for a bad secret"; }
	grep -qE -- "$2" "$net_dir/out" || { cat "$net_dir/out"; fail "no word of '$2'"; }
	not grep -qF "${good:6:20}" "$net_dir/out" || fail "the secret is in the message"
}
bad_secret() { printf '%s' "$1" >"$net_dir/bad"; refused_secret "$net_dir/bad" "$2"; }
bad_secret '' 'holds no secret; make one with: weft key new'
bad_secret 'correct horse battery staple' 'line 1 is not a weft secret'
bad_secret "$mistyped" 'line 1 is a mistyped secret'
bad_secret "# first"$'\n'"${good:0:30}" 'line 2 is not a weft secret'
bad_secret "$(head -c 100000 /dev/zero | tr '\0' x)" "can't read --secret-file"
refused_secret "$net_dir/none" "can't read --secret-file $net_dir/none: No such file"
refused_secret "$net_dir" "can't read --secret-file"

step "a full state directory: the old file stays, the daemon goes on or says why not"
small_state h3 64k
cp -a "$net_dir/good/." "$net_dir/h3/state/"
sum=$(cd "$net_dir/h3/state" && sha256sum identity epoch cluster peers)
dd if=/dev/zero of="$net_dir/h3/state/filler" bs=4k 2>/dev/null || true
refused_secret "$net_dir/secret" "can't write $net_dir/h3/state/epoch: No space left"
[ "$(cd "$net_dir/h3/state" && sha256sum identity epoch cluster peers)" = "$sum" ] || fail "a file changed"
rm "$net_dir/h3/state/filler"
node_start 3
[ "$(key_of h3)" = "$key" ] || fail "the key did not survive"
wait_for "three nodes" mesh_is_full 3 h1 h2 h3
dd if=/dev/zero of="$net_dir/h3/state/filler" bs=4k 2>/dev/null || true
weftd_stop h2
node_start 2 --listen '[::]:7000' # only a list that changed is written
wait_for "the write of peers to fail, and be told" log_says h3 "can't write $net_dir/h3/state/peers"
wait_for "three nodes all the same" mesh_is_full 3 h1 h2 h3
[ "$(sha256sum <"$net_dir/h3/state/identity")" = "$(sha256sum <"$net_dir/good/identity")" ] || fail "the identity changed"
weftd_stop h3
