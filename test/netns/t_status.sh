#!/bin/bash
# t_status.sh - what weft shows: every verb as text and as JSON (docs/json.md) against a mesh that runs, exit
# codes, /healthz, /readyz, /metrics; and that clients who mean no good don't hurt.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
net_init status "$(mktemp -d)"
trap net_end EXIT
weft=${WEFT:-$build/cli/weft}

shape() { /usr/bin/python3 "$root/test/netns/json_shape.py" "$@"; }
# http HOST PATH: body in $net_dir/body, prints the status.
http() {
	in_host "$1" /usr/bin/python3 -c "
import sys, urllib.error, urllib.request
try:
    r = urllib.request.urlopen('http://127.0.0.1:6794$2', timeout=5)
except urllib.error.HTTPError as e:
    r = e
sys.stdout.buffer.write(r.read())
print(r.status, file=sys.stderr)" 2>&1 >"$net_dir/body"
}
metric() { http "$1" /metrics >/dev/null && /usr/bin/python3 "$root/test/netns/metrics_parse.py" "$2" <"$net_dir/body"; }
# exits STATUS COMMAND...: with its output in $net_dir/out.
exits() {
	local want=$1 rc=0
	shift
	"$@" >"$net_dir/out" 2>&1 || rc=$?
	[ $rc = "$want" ] || { cat "$net_dir/out"; fail "status $rc, not $want: $*"; }
}
# Columns line up: every cell of a table begins, or ends, where its title does.
lines_up() {
	/usr/bin/python3 -c '
import re, sys
lines = [l for l in sys.stdin.read().split("\n") if l]
if len(lines) < 2: sys.exit("no table")
if any(len(l) != len(l.rstrip()) for l in lines): sys.exit("trailing blanks")
titles = [(m.start(), m.end()) for m in re.finditer(r"\S+(?: \S+)*", lines[0])]
# Between two columns there is a gap in every line.
for a, b in zip(titles, titles[1:]):
    gap = range(a[1], b[0])
    if not any(all(len(l) <= i or l[i] == " " for l in lines) for i in range(a[0], b[1])):
        sys.exit("columns run into one another at " + lines[0][a[0]:b[1]])
for l in lines[1:]:
    for m in re.finditer(r"\S+(?: \S+)*", l):
        if not any(m.start() == t[0] or m.end() == t[1] or m.start() > titles[-1][0] or m.end() < titles[0][0] for t in titles):
            sys.exit("%r does not stand under a title in %r" % (m.group(), l))'
}

mesh_hosts 3
step "nobody there: status 3; usage: 2"
exits 3 weft_at h1 status
grep -q 'weftd is not running' "$net_dir/out" || fail "it does not say what is wrong"
for args in '' 'frobnicate' 'status frobnicate' 'status peers extra' 'connect' '-o xml status' 'key' '--socket'; do
	# shellcheck disable=SC2086 # words
	exits 2 "$weft" $args
done
exits 0 "$weft" help
exits 0 "$weft" version

step "not ready before a peer answers: 503 with the reason, and status 1"
node_start 2
[ "$(http h2 /healthz)" = 200 ] || fail "/healthz is not 200"
[ "$(http h2 /readyz)" = 503 ] || fail "/readyz is not 503"
grep -q 'no peer answers yet' "$net_dir/body" || fail "/readyz does not say why"
exits 1 weft_at h2 status
grep -q 'no peer answers yet' "$net_dir/out" || fail "status does not say why"
[ "$(metric h2 weft_ready)" = 0 ] || fail "weft_ready is not 0"
node_start 1
node_start 3 --exit 203.0.113.0/24 --tune peer_timeout_ms=9000
wait_for "a full mesh" mesh_is_full 3 h1 h2 h3
[ "$(http h2 /readyz)" = 200 ] || fail "/readyz is not 200 with a mesh"
[ "$(metric h2 weft_ready)" = 1 ] || fail "weft_ready is not 1"
exits 0 weft_at h2 status
[ "$(http h2 /nothing)" = 404 ] || fail "an unknown page is not 404"

step "every verb as JSON, in the documented shape"
weft_at h1 connect 192.0.2.99 >/dev/null
wait_for "traffic" pings p1 10.32.2.2
for verb in status 'status peers' 'status connections' 'status routes' 'status targets' 'status ipam' report; do
	# shellcheck disable=SC2086 # words
	weft_at h1 -o json $verb >"$net_dir/json" || fail "weft -o json $verb: status $?"
	# shellcheck disable=SC2086
	shape $verb <"$net_dir/json" || fail "weft -o json $verb is not as docs/json.md says"
done
weft_at h1 -o json connect 192.0.2.98 | shape message
weft_at h1 -o json forget 192.0.2.98 | shape message
exits 1 weft_at h1 -o json forget nobody
shape error <"$net_dir/out"
exits 1 weft_at h1 -o json status bgp
shape error <"$net_dir/out"
"$weft" -o json version | shape version
json_at h1 "d['traffic']['tx_packets'] > 0 and d['traffic']['rx_packets'] > 0" status || fail "no traffic is shown"
json_at h1 "sorted(p['name'] for p in d['peers']) == ['h1', 'h2', 'h3']" status peers || fail "peers are missing"
json_at h1 "all(c['path_mtu'] == 1500 and c['rtt_ms'] > 0 for c in d['connections'] if c['state'] == 'established')" status connections ||
	wait_for "the RTT to be measured" json_at h1 "all(c['path_mtu'] == 1500 and c['rtt_ms'] > 0 for c in d['connections'] if c['state'] == 'established')" status connections
json_at h1 "any(r['kind'] == 'refused' and r['prefix'] == '203.0.113.0/24' for r in d['routes'])" status routes || fail "the refused exit is missing"

step "every verb as text: columns line up, no escape codes off a terminal"
for verb in 'status peers' 'status connections' 'status routes' 'status targets' 'status ipam'; do
	# shellcheck disable=SC2086
	weft_at h1 $verb >"$net_dir/text"
	lines_up <"$net_dir/text" || { cat "$net_dir/text"; fail "weft $verb: columns do not line up"; }
	grep -q $'\e' "$net_dir/text" && fail "weft $verb: colour in a pipe"
done
weft_at h1 status >"$net_dir/text"
for word in Version Status Node Key Cluster Encryption Peers Prefixes Offloads Kernel NOTRACK Sent Received Dropped; do
	grep -q "^ *$word: " "$net_dir/text" || { cat "$net_dir/text"; fail "weft status has no $word"; }
done
[ "$(sed -nE 's/^( *[A-Za-z ]+: ).*/\1/p' "$net_dir/text" | awk '{print length($0)}' | sort -u | wc -l)" = 1 ] ||
	{ cat "$net_dir/text"; fail "the stanzas do not line up"; }
grep -qE '[a-z]=[a-z]' "$net_dir/text" && fail "glued words in weft status"
TERM=xterm NO_COLOR= script -qec "$weft --socket $net_dir/h1/run/weft.sock status" /dev/null </dev/null >"$net_dir/text" 2>/dev/null || true
grep -q $'\e\[' "$net_dir/text" || fail "no colour on a terminal"

step "the underlay's MTU grows: which pods have less than the mesh carries now"
json_at h1 "d['pod_mtu'] == {'mesh': 1436, 'smaller': 0, 'devices': []}" status || fail "pods lag behind nothing"
weft_at h1 status | grep -q 'Pod MTU' && fail "status tells of a lag that there isn't"
ip -n "$(ns_of h1)" link set u0 mtu 9000
wait_for "status to name the pod's device" json_at h1 "d['pod_mtu'] == {'mesh': 8936, 'smaller': 1, 'devices': [{'device': 'eth-p1', 'mtu': 1436}]} and d['offloads']['mtu'] == 8936" status
weft_at h1 status >"$net_dir/text"
grep -q "Pod MTU: 1 interface has less than the mesh's 8936" "$net_dir/text" && grep -q '  eth-p1 1436$' "$net_dir/text" ||
	{ cat "$net_dir/text"; fail "weft status does not tell which pods lag"; }
weft_at h1 -o json status | shape status || fail "weft status is not as docs/json.md says"
ip -n "$(ns_of h1)" link set eth-p1 mtu 8936
json_at h1 "d['pod_mtu']['smaller'] == 0" status || fail "a pod that has what the mesh carries is told of"
ip -n "$(ns_of h1)" link set u0 mtu 1500
wait_for "the mesh's MTU to follow" json_at h1 "d['pod_mtu']['mesh'] == 1436" status
ip -n "$(ns_of h1)" link set eth-p1 mtu 1436

step "report: everything, and no secret"
weft_at h1 report >"$net_dir/report"
secret=$(cat "$net_dir/secret")
grep -qF "${secret:6:24}" "$net_dir/report" && fail "the secret is in the report"
/usr/bin/python3 - "$net_dir/h1/state/identity" "$net_dir/report" "$net_dir/h1/log" <<'PY' || fail "the identity's seed is told"
import base64, sys
state, texts = open(sys.argv[1], 'rb').read(), b''.join(open(f, 'rb').read() for f in sys.argv[2:])
# Wherever the 32-byte seed stands in the file: no 8 bytes of it in hex, base64 or base32.
for i in range(len(state) - 31):
    part = state[i:i + 30]
    if len(set(part)) < 20:
        continue
    for form in (part[:8].hex().encode(), base64.b64encode(part)[:12], base64.b32encode(part).lower()[:13]):
        if form in texts:
            sys.exit(1)
PY
grep -q "$(json_at h1 "d['node']['key'][:30]" status)" "$net_dir/report" || fail "the report lacks the public key"

step "/metrics: each line parses; counters move with traffic"
n=$(metric h1 '') || fail "/metrics does not parse"
before=$(metric h1 'weft_packets_total{direction="tx"}')
bytes=$(metric h1 'weft_bytes_total{direction="tx"}')
in_pod p1 ping -c 10 -i 0.01 -s 1000 -q 10.32.2.2 >/dev/null
after=$(metric h1 'weft_packets_total{direction="tx"}')
[ $((after - before)) -ge 10 ] || fail "tx packets went from $before to $after with ten pings"
[ $(($(metric h1 'weft_bytes_total{direction="tx"}') - bytes)) -ge 10280 ] || fail "tx bytes do not follow"
grep -q 'weft_peer_up{peer="h2",key="[a-z2-7]*"} 1' "$net_dir/body" || fail "h2 is not in the metrics"
[ "$(json_at h1 "d['traffic']['tx_packets']" status)" -ge "$after" ] || fail "status and metrics disagree"

step "hostile clients of the control socket"
[ "$(stat -c %a "$net_dir/h1/run/weft.sock")" = 600 ] || fail "the socket's mode"
shows 'no right to use' setpriv --reuid=65534 --clear-groups "$weft" --socket "$net_dir/h1/run/weft.sock" status ||
	shows 'Permission denied|no right' setpriv --reuid=65534 --clear-groups "$weft" --socket "$net_dir/h1/run/weft.sock" status ||
	fail "another user is not kept out"
/usr/bin/python3 - "$net_dir/h1/run/weft.sock" "$weft" <<'PY' || fail "a client that means no good does harm"
import os, random, socket, struct, subprocess, sys, time
path, weft = sys.argv[1:]
seed = int(os.environ.get('SEED_HOSTILE', random.randrange(1 << 32)))
random.seed(seed)
def dial():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(path)
    return s
def alive(what):
    r = subprocess.run([weft, '--socket', path, 'status', 'targets'], capture_output=True)
    if r.returncode != 0:
        sys.exit(f'after {what} (seed {seed}): {r.returncode} {r.stderr}')
good = b'\x82\xa1v\x01\xa3cmd\xa6status'
def frame(b): return struct.pack('>I', len(b)) + b
def talk(b, half=False):
    s = dial()
    try:
        s.sendall(b)
        if not half:
            s.shutdown(socket.SHUT_WR)
        s.settimeout(0.2 if half else 5)
        while s.recv(65536):
            pass
    except OSError:
        pass
    s.close()
for n in (0, 65537, 1 << 31, 0xffffffff):
    talk(struct.pack('>I', n) + b'x' * 100)
alive('bad lengths')
for _ in range(200):
    talk(os.urandom(random.randrange(1, 300)))
    talk(frame(random.randbytes(random.randrange(1, 200))))
alive('garbage')
for i in range(len(good)):
    talk(frame(good[:i]))
    for bit in range(8):
        talk(frame(good[:i] + bytes([good[i] ^ 1 << bit]) + good[i + 1:]))
alive('prefixes and flipped bits')
for i in range(0, len(frame(good)), 3):
    talk(frame(good)[:i], half=True)
alive('half requests')
# Two requests in one write, and one in single bytes, are answered.
s = dial()
s.sendall(frame(good) * 2)
for _ in range(2):
    n = struct.unpack('>I', s.recv(4, socket.MSG_WAITALL))[0]
    s.recv(n, socket.MSG_WAITALL)
for b in frame(good):
    s.sendall(bytes([b]))
n = struct.unpack('>I', s.recv(4, socket.MSG_WAITALL))[0]
if len(s.recv(n, socket.MSG_WAITALL)) != n or n < 500:
    sys.exit('a request in single bytes is not answered')
s.close()
# A hundred connections that say nothing, and one that never reads its replies.
idle = []
for _ in range(100):
    try:
        idle.append(dial())
    except OSError:
        break
deaf = idle[0]
deaf.settimeout(0.5)
try:
    for _ in range(5000):
        deaf.sendall(frame(good))
except OSError:
    pass
for s in idle:
    s.close()
for _ in range(100):
    if subprocess.run([weft, '--socket', path, 'status', 'targets'], capture_output=True).returncode == 0:
        break
    time.sleep(0.05)
alive('a hundred connections')
PY
pings p1 10.32.2.2 || wait_for "traffic after that" pings p1 10.32.2.2
exits 0 weft_at h1 status

step "down"
exits 0 weft_at h1 down
wait_for "weftd to end" process_gone "$(cat "$net_dir/h1/pid")"
exits 3 weft_at h1 status
