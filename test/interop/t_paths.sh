#!/bin/bash
# t_paths.sh - several paths to a prefix (RFC 7911): BIRD on r tells two, weft tells both to another BIRD on
# h2, each with its attributes; one goes, and goes there too. Then both tell the same prefix, and the kernel
# shares flows between them (RFC 7938). Asserted is BIRD's own view.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/lib.sh"
command -v bird >/dev/null || { echo "BIRD is not installed"; exit 77; }
net_init paths "$(mktemp -d)"
trap net_end EXIT
mesh_hosts 2
bgp_router r 9

bird_conf() { # ID ASN CHANNEL-OPTIONS
	cat <<CONF
router id $1;
log "$net_dir/$1.says" all;
protocol device { }
protocol bgp w {
	local as $2;
	neighbor 192.0.2.1 as 64512;
	connect retry time 2;
	ipv4 { import all; $3 };
}
CONF
}
{
	bird_conf 192.0.2.9 64999 'add paths tx; export where source = RTS_STATIC; next hop self;'
	for n in 1 2; do
		echo "protocol static s$n { ipv4 { preference 10$n; };"
		echo "  route 203.0.113.0/24 blackhole { bgp_community.add((64999,$n)); }; }"
	done
} >"$net_dir/r.bird"
bird_conf 192.0.2.2 64998 'add paths rx; export none;' >"$net_dir/h2.bird"
cat >"$net_dir/h1.yaml" <<CONF
bgp:
  asn: 64512
  router-id: 192.0.2.1
  listen: 192.0.2.1
  announce: {pods: own}
  peers:
  - {address: 192.0.2.9, asn: 64999, add-path-receive: yes, import: accept, export: reject}
  - {address: 192.0.2.2, asn: 64998, add-path-send: 4, import: accept, export: accept}
CONF
ours() { json_at h1 "len([r for r in d['routes'] if r['prefix'] == '203.0.113.0/24'])" status bgp routes 203.0.113.0/24; }
told() { birdc_at h2 show route 203.0.113.0/24 all | grep -c 'BGP.community: (64999,'; }
tells() { [ "$(told)" = "$1" ]; }

step "two paths come in, and both go out"
SEED="" weft_bgp 1
bird_start r
bird_start h2
for a in 192.0.2.9 192.0.2.2; do wait_for "the session with $a" established h1 $a; done
json_at h1 "d['neighbours'][0]['add_path_receive'] and not d['neighbours'][0]['add_path_send']" status bgp ||
	fail "receiving is not negotiated"
json_at h1 "d['neighbours'][1]['add_path_send']" status bgp || fail "sending is not negotiated"
wait_for "both paths at weft" eval '[ "$(ours)" = 2 ]'
wait_for "both paths at the other BIRD" tells 2
for n in 1 2; do bird_has h2 203.0.113.0/24 "\(64999,$n\)" || fail "path $n is not there"; done

step "one of them goes, and comes back"
birdc_at r disable s2 >/dev/null
wait_for "one path at the other BIRD" tells 1
bird_has h2 203.0.113.0/24 "\(64999,1\)" || fail "the wrong one is gone"
birdc_at r enable s2 >/dev/null
wait_for "both paths again" tells 2

step "refresh keeps both; the session's end takes both"
before=$(neighbour_at h1 192.0.2.2 tx_updates)
birdc_at h2 reload in w >/dev/null
wait_for "weft to tell them again" grown "$before" neighbour_at h1 192.0.2.2 tx_updates
wait_for "both paths, still" tells 2
birdc_at r down >/dev/null
wait_for "no path at the other BIRD" bird_lacks h2 203.0.113.0/24

step "multipath: two neighbours, equally good"
bird_conf 192.0.2.9 64999 'export where source = RTS_STATIC; next hop self;' >"$net_dir/r.bird"
bird_conf 192.0.2.2 64998 'export where source = RTS_STATIC; next hop self;' >"$net_dir/h2.bird"
for h in r h2; do
	{
		echo 'protocol static n4 { ipv4; route 203.0.113.0/24 blackhole; }'
		echo 'protocol static n6 { ipv6; route 2001:db8:d::/48 blackhole; }'
		echo 'protocol bgp w6 { local as '"$([ $h = r ] && echo 64999 || echo 64998)"'; neighbor 2001:db8::1 as 64512; connect retry time 2;'
		echo '  ipv6 { import all; export where source = RTS_STATIC; next hop self; }; }'
	} >>"$net_dir/$h.bird"
done
cat >"$net_dir/h1.yaml" <<CONF
bgp:
  asn: 64512
  router-id: 192.0.2.1
  listen: [192.0.2.1, "2001:db8::1"]
  multipath: 4
  peers:
  - {address: 192.0.2.9, asn: 64999, import: accept, export: reject}
  - {address: 192.0.2.2, asn: 64998, import: accept, export: reject}
  - {address: 2001:db8::9, asn: 64999, import: accept, export: reject}
  - {address: 2001:db8::2, asn: 64998, import: accept, export: reject}
CONF
# hops PREFIX: next hops of the kernel's route, sorted.
hops() {
	local f=-4
	[[ $1 = *:* ]] && f=-6
	ip -n "$(ns_of h1)" $f route show table 689301 exact "$1" | grep -oE 'via [0-9a-f:.]+' | sort | tr '\n' ' '
}
hops_are() { [ "$(hops "$1")" = "$2 " ]; }
birdc_at h2 down >/dev/null
wait_for "the other BIRD to end" not test -e "$net_dir/h2.birdctl"
wait_for "BIRD to end" not test -e "$net_dir/r.birdctl"
weftd_stop h1
SEED="" weft_bgp 1
bird_start r
bird_start h2
wait_for "both next hops" hops_are 203.0.113.0/24 "via 192.0.2.2 via 192.0.2.9"
wait_for "both next hops, IPv6" hops_are 2001:db8:d::/48 "via 2001:db8::2 via 2001:db8::9"
birdc_at r disable n4 >/dev/null
birdc_at r disable n6 >/dev/null
wait_for "one next hop" hops_are 203.0.113.0/24 "via 192.0.2.2"
wait_for "one next hop, IPv6" hops_are 2001:db8:d::/48 "via 2001:db8::2"
birdc_at r enable n4 >/dev/null
birdc_at r enable n6 >/dev/null
wait_for "both next hops again" hops_are 203.0.113.0/24 "via 192.0.2.2 via 192.0.2.9"
wait_for "both next hops again, IPv6" hops_are 2001:db8:d::/48 "via 2001:db8::2 via 2001:db8::9"
# Somebody else takes it away: it is put back.
ip -n "$(ns_of h1)" route del table 689301 203.0.113.0/24
wait_for "the route to be repaired" hops_are 203.0.113.0/24 "via 192.0.2.2 via 192.0.2.9"
repaired=$(json_at h1 "d['kernel']['repaired']" status bgp)
[ "$repaired" -le 2 ] || fail "$repaired routes were repaired, which stood as they should"
weft_at h1 down >/dev/null
wait_for "the table to be empty" kernel_lacks h1 203.0.113.0/24
