#!/bin/bash
# t_mrt.sh - MRT files of weft, read by bgpdump: the table with BIRD's routes and our own, as text the same
# as weft and BIRD show; messages and states while routes come and go; bounds of both.
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/lib.sh"
for p in bird bgpdump; do command -v $p >/dev/null || { echo "$p is not installed"; exit 77; }; done
net_init mrt "$(mktemp -d)"
trap net_end EXIT

mesh_hosts 1
bgp_router r 9
cat >"$net_dir/r.bird" <<CONF
router id 192.0.2.9;
protocol device { }
protocol static nets4 {
	ipv4;
	route 198.51.100.0/24 via "c0";
	route 203.0.113.0/24 blackhole { bgp_community.add((64999,77)); };
}
protocol static nets6 { ipv6; route 2001:db8:c::/48 via "c0"; }
template bgp weft { local as 64999; }
protocol bgp w4 from weft {
	neighbor 192.0.2.1 as 64512;
	ipv4 { import all; export filter { if net = 203.0.113.0/24 then bgp_med = 30; accept; }; next hop self; };
}
protocol bgp w6 from weft {
	neighbor 2001:db8::1 as 64512;
	ipv6 { import all; export all; next hop self; };
}
CONF
cat >"$net_dir/h1.yaml" <<CONF
$(weft_head "announce: {pods: own}")
  - {address: 192.0.2.9, asn: 64999, import: accept, export: accept}
  - {address: 2001:db8::9, asn: 64999, import: accept, export: accept}
CONF
weft_bgp 1
bird_start r
for a in 192.0.2.9 2001:db8::9; do wait_for "the session with $a" established h1 $a; done
wait_for "BIRD's routes" neighbour_is h1 192.0.2.9 accepted 2
wait_for "BIRD's routes, IPv6" neighbour_is h1 2001:db8::9 accepted 1

# bgpdump's one-line form of a file, and whether a line of it matches.
lines() { bgpdump -m "$1" 2>"$net_dir/bgpdump.says"; }
file_has() { lines "$1" >"$1.txt" && grep -qE -- "$2" "$1.txt"; }

step "the table, read by bgpdump"
weft_at h1 bgp dump "$net_dir/table" || fail "no dump"
[ ! -e "$net_dir/table.part" ] || fail "a part is left over"
file_has "$net_dir/table" '^TABLE_DUMP2\|[0-9]+\|B\|192\.0\.2\.9\|64999\|203\.0\.113\.0/24\|64999\|IGP\|192\.0\.2\.9\|.*\|30\|64999:77\|' ||
	fail "BIRD's route is not there as it is: $(cat "$net_dir/table.txt")"
for l in '192\.0\.2\.9\|64999\|198\.51\.100\.0/24\|64999\|IGP\|192\.0\.2\.9\|' \
	'2001:db8::9\|64999\|2001:db8:c::/48\|64999\|IGP\|2001:db8::9\|' \
	'0\.0\.0\.0\|64512\|10\.32\.1\.0/24\|\|IGP\|' '0\.0\.0\.0\|64512\|fd32:0:0:1::/64\|\|IGP\|'; do
	grep -qE "^TABLE_DUMP2\|[0-9]+\|B\|$l" "$net_dir/table.txt" || fail "no line $l: $(cat "$net_dir/table.txt")"
done
[ "$(wc -l <"$net_dir/table.txt")" = 5 ] || fail "there is more: $(cat "$net_dir/table.txt")"
weft_at h1 bgp dump - >"$net_dir/piped" || fail "no dump to the output"
lines "$net_dir/piped" | cut -d'|' -f4- | sort >"$net_dir/a"
cut -d'|' -f4- "$net_dir/table.txt" | sort >"$net_dir/b"
cmp -s "$net_dir/a" "$net_dir/b" || fail "the same table in two forms differs"

# Record into FILE in the background, as $recorder.
record() { # FILE OPTION...
	"$build/cli/weft" --socket "$net_dir/h1/run/weft.sock" bgp record "$net_dir/$1" "${@:2}" &
	recorder=$!
}
# Has the recording begun? A refresh gives it something to hold.
says_something() { # NEIGHBOUR FILE
	weft_at h1 bgp refresh "$1" >/dev/null && [ -s "$net_dir/$2.part" ]
}

step "messages and states while they happen"
record record
wait_for "the recording to begin" says_something 192.0.2.9 record
! weft_at h1 bgp record "$net_dir/other" --for 1 2>"$net_dir/why" || fail "two recordings"
grep -q 'another recording' "$net_dir/why" || fail "not told why: $(cat "$net_dir/why")"
[ ! -e "$net_dir/other" ] || fail "a refused recording left a file"
birdc_at r disable nets4 >/dev/null
wait_for "the withdrawal" neighbour_is h1 192.0.2.9 accepted 0
birdc_at r enable nets4 >/dev/null
wait_for "the routes again" neighbour_is h1 192.0.2.9 accepted 2
birdc_at r restart w4 >/dev/null
wait_for "the session to end" not established h1 192.0.2.9
wait_for "the session" established h1 192.0.2.9
wait_for "the routes once more" neighbour_is h1 192.0.2.9 accepted 2
kill -TERM $recorder
wait $recorder || fail "the recording ended badly"
lines "$net_dir/record" >"$net_dir/record.txt" || true
for l in '\|W\|192\.0\.2\.9\|64999\|203\.0\.113\.0/24' '\|A\|192\.0\.2\.9\|64999\|203\.0\.113\.0/24\|64999\|IGP\|192\.0\.2\.9\|.*\|64999:77\|' \
	'\|STATE\|192\.0\.2\.9\|64999\|6\|1' '\|STATE\|192\.0\.2\.9\|64999\|[2-5]\|6$'; do
	grep -qE "$l" "$net_dir/record.txt" || fail "no line $l: $(cat "$net_dir/record.txt")"
done

step "one neighbour alone, for a time"
record one --neighbour 2001:db8::9 --for 8
wait_for "the recording to begin" says_something 2001:db8::9 one
birdc_at r disable nets4 >/dev/null
birdc_at r disable nets6 >/dev/null
wait_for "the withdrawal" neighbour_is h1 2001:db8::9 accepted 0
wait $recorder || fail "the recording ended badly"
lines "$net_dir/one" >"$net_dir/one.txt" || true
grep -qE '\|W\|2001:db8::9\|64999\|2001:db8:c::/48' "$net_dir/one.txt" || fail "no withdrawal: $(cat "$net_dir/one.txt")"
! grep -q '192\.0\.2\.9' "$net_dir/one.txt" || fail "another neighbour's messages are there"

step "errors are told, and leave no file"
! weft_at h1 bgp dump "$net_dir/none/table" 2>"$net_dir/why" || fail "written where there is no directory"
grep -q 'No such file' "$net_dir/why" || fail "not told why: $(cat "$net_dir/why")"
! weft_at h1 bgp record "$net_dir/x" --neighbour 192.0.2.77 --for 1 2>"$net_dir/why" || fail "an unknown neighbour"
grep -q 'no such neighbour' "$net_dir/why" && [ ! -e "$net_dir/x" ] && [ ! -e "$net_dir/x.part" ] || fail "not told, or a file is left"
