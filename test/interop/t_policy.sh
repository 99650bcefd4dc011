#!/bin/bash
# t_policy.sh - route policy against BIRD 2, by BIRD's view: what an export policy makes of our routes, what
# an import policy takes, prefers and marks, origin validity; a test rule by rule; a reload that keeps the
# session, by command and by SIGHUP, and one that is refused whole; draining (RFC 8326).
# short: yes
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/lib.sh"
command -v bird >/dev/null || { echo "BIRD is not installed"; exit 77; }
net_init policy "$(mktemp -d)"
trap net_end EXIT

mesh_hosts 1
bgp_router r 9
cat >"$net_dir/r.bird" <<CONF
$(bird_head 192.0.2.9)
protocol kernel { ipv4 { export all; }; }
protocol static nets {
	ipv4;
	route 198.51.100.0/24 via "c0" { bgp_community.add((64999,77)); bgp_ext_community.add((rt,64999,9)); };
	route 198.18.0.0/24 blackhole;
	route 198.18.1.0/24 blackhole { bgp_path.prepend(65001); bgp_large_community.add((64999,1,2)); };
	route 198.18.2.0/24 blackhole { bgp_path.prepend(65002); bgp_community.add((65535,65281)); };
	route 198.18.3.0/25 blackhole;
	route 198.18.4.0/24 blackhole;
}
protocol bgp w4 {
	local as 64999;
	neighbor 192.0.2.1 as 64512;
	ipv4 { import all; export where source = RTS_STATIC; next hop self; };
}
CONF
conf() { # what stands under set of the rule pods
	cat <<CONF
bgp:
  asn: 64512
  router-id: 192.0.2.1
  listen: 192.0.2.1
  announce: {pods: all, ranges: yes, services: [10.96.0.0/12]}
  roa-file: $net_dir/roas.csv
  peers:
  - address: 192.0.2.9
    asn: 64999
    import: from-rack
    export: to-rack
  sets:
    prefixes:
      tests: [198.18.0.0/15 ge 24 le 24, 198.51.100.0/24]
    communities:
      marks: ["64999:*", "64999:*:*"]
  policies:
    from-rack:
    - rule: invalid
      match: {validity: invalid}
      then: reject
    - rule: hidden
      match: {community: no-export}
      then: reject
    - rule: via-65001
      match: {as-path: "^64999 65001\$"}
      set: {local-preference: 50, delete-communities: marks, add-communities: 64512:50}
      then: next
    - rule: tests
      match: {prefix: tests, learned: ebgp}
      except: {prefix: 198.18.4.0/24}
      set: {med: 7}
      then: accept
    to-rack:
    - rule: pods
      match: {prefix: 10.32.0.0/16 ge 24, learned: own}
      set:
        $1
      then: accept
    - rule: services
      match: {prefix: 10.96.0.0/12}
      set: {next-hop: 192.0.2.77}
      then: accept
CONF
}
first='{med: 50, prepend: 2, communities: ["64512:1", "64512:1:2", "rt:64512:7"], origin: incomplete}'
route() { json_at h1 "next(r for r in d['routes'] if r['prefix'] == '$1' and not r['own'])['$2']" status bgp routes "$1"; }
route_is() { [ "$(route "$1" "$2")" = "$3" ]; }
hits() { json_at h1 "next(r for p in d['policies'] if p['policy'] == '$1' for r in p['rules'] if r['rule'] == '$2')['hits_$3']" status bgp policy; }
tested() { # EXPRESSION ARGUMENT...: of the answer d to a policy test
	local what=$1
	shift
	json_at h1 "$what" bgp policy test "$@"
}

step "both policies in force"
echo 'AS64999,198.18.0.0/24,24,test' >"$net_dir/roas.csv"
conf "$first" >"$net_dir/h1.yaml"
weft_bgp 1
bird_start r
wait_for "the session" established h1 192.0.2.9
wait_for "BIRD's routes" neighbour_is h1 192.0.2.9 received 6
neighbour_is h1 192.0.2.9 accepted 3 || fail "accepted are $(neighbour_at h1 192.0.2.9 accepted), not 3"

step "out, by BIRD's view: attributes as set, and what no rule lets out stays"
wait_for "BIRD to have the pods" bird_has r 10.32.1.0/24 'via 192\.0\.2\.1'
for want in 'as_path: 64512 64512 64512$' 'med: 50$' 'BGP.community: \(64512,1\)$' 'origin: Incomplete' \
	'large_community: \(64512, 1, 2\)$' 'ext_community: \(rt, 64512, 7\)$'; do
	bird_has r 10.32.1.0/24 "$want" || { birdc_at r show route 10.32.1.0/24 all; fail "BIRD lacks $want"; }
done
wait_for "BIRD to have the services" bird_has r 10.96.0.0/12 'next_hop: 192\.0\.2\.77'
bird_lacks r 10.32.0.0/16 || fail "the aggregate got out"
[ "$(hits to-rack pods out)" -ge 1 ] || fail "the rule did not count"

step "in: validity, paths, communities, prefix lengths"
for p in 198.51.100.0/24 198.18.0.0/24 198.18.1.0/24; do
	wait_for "$p in the kernel" kernel_has h1 $p 'via 192\.0\.2\.9'
done
for p in 198.18.2.0/24 198.18.3.0/25 198.18.4.0/24; do kernel_lacks h1 $p || fail "$p was let in"; done
route_is 198.18.1.0/24 local_pref 50 || fail "the preference is $(route 198.18.1.0/24 local_pref)"
route_is 198.18.1.0/24 communities 64512:50 || fail "the communities are $(route 198.18.1.0/24 communities)"
route_is 198.18.1.0/24 med 7 || fail "the next rule was not asked"
route_is 198.51.100.0/24 communities "64999:77 rt:64999:9" || fail "communities changed without a word"
[ "$(hits from-rack hidden in)" = 1 ] || fail "the rule held $(hits from-rack hidden in) times"
in_host h1 curl -s http://127.0.0.1:6794/metrics >"$net_dir/metrics"
[ "$(/usr/bin/python3 "$root/test/netns/metrics_parse.py" \
	'weft_bgp_policy_hits_total{policy="from-rack",rule="hidden",direction="in"}' <"$net_dir/metrics")" = 1 ] ||
	fail "the metrics do not say so"

step "a test, rule by rule: a route as received, one that is out, one made up"
[ "$(tested "' '.join(s['rule'] + ':' + (s.get('then') or s.get('lacks') or '-' + s['excepted']) for s in d['steps'])" \
	198.18.1.0/24 --neighbour 192.0.2.9)" = "invalid:validity hidden:community via-65001:next tests:accept" ] ||
	fail "the steps are $(weft_at h1 bgp policy test 198.18.1.0/24 --neighbour 192.0.2.9)"
[ "$(tested "d['route'] + d['verdict'] + d['before']['communities'] + str(d['after']['local_pref'])" \
	198.18.1.0/24 --neighbour 192.0.2.9)" = "receivedaccept64999:1:250" ] || fail "the route is not the one received"
tested "d['route'] == 'best' and d['verdict'] == 'accept' and d['after']['med'] == 50" \
	10.32.1.0/24 --neighbour 192.0.2.9 --out >/dev/null || fail "the route out"
tested "d['route'] == 'made up' and d['validity'] == 'invalid' and d['steps'][0]['then'] == 'reject'" \
	198.18.0.0/24 --neighbour 192.0.2.9 --as-path "64999 1" >/dev/null || fail "the route made up"
tested "d['steps'][-1]['rule'] == '(range of the mesh)'" 10.32.7.0/24 --neighbour 192.0.2.9 >/dev/null ||
	fail "a route into the range"
shows 'Rule tests: does not hold: prefix is excepted' weft_at h1 bgp policy test 198.18.4.0/24 --neighbour 192.0.2.9 ||
	fail "the text does not say why"
not weft_at h1 bgp policy test 198.18.4.0/24 --policy nosuch >/dev/null 2>&1 || fail "a policy that is not there"
[ "$(hits from-rack hidden in)" = 1 ] || fail "tests count"

step "a reload changes what is out and what is in, and the session goes on"
echo '{"roas": [{"asn": "AS1", "prefix": "198.18.0.0/24", "maxLength": 24}]}' >"$net_dir/roas.csv"
conf '{med: 70, add-communities: [no-export]}' >"$net_dir/h1.yaml"
weft_at h1 bgp reload >/dev/null || fail "no reload"
wait_for "BIRD to have the new MED" bird_has r 10.32.1.0/24 'med: 70$'
bird_has r 10.32.1.0/24 'as_path: 64512$' || fail "the path is still longer"
bird_has r 10.32.1.0/24 'BGP.community: \(65535,65281\)$' || fail "NO_EXPORT is missing"
wait_for "what is invalid now to go" kernel_lacks h1 198.18.0.0/24
kernel_has h1 198.18.1.0/24 'via 192\.0\.2\.9' || fail "a route that is as good as before is gone"
neighbour_is h1 192.0.2.9 flaps 0 || fail "the session ended"

tx=$(neighbour_at h1 192.0.2.9 tx_updates)
weft_at h1 bgp reload >/dev/null || fail "no reload of the same"
neighbour_is h1 192.0.2.9 tx_updates "$tx" || fail "what is the same was sent again"

step "a configuration that is wrong changes nothing, and the message has line and key"
sed 's/validity: invalid/validity: bad/' "$net_dir/h1.yaml" >"$net_dir/bad" && cat "$net_dir/bad" >"$net_dir/h1.yaml"
shows 'h1.yaml:20: bgp.policies.from-rack.match.validity: .bad. is none of them; allowed: valid' \
	weft_at h1 bgp reload || fail "the message is $(weft_at h1 bgp reload 2>&1)"
bird_has r 10.32.1.0/24 'med: 70$' || fail "what is out changed"
conf '{med: 90}' | sed 's/asn: 64999/asn: 65000/' >"$net_dir/h1.yaml"
shows 'the neighbour 192.0.2.9 has another asn; restart' weft_at h1 bgp reload || fail "an asn can't change"
conf '{med: 90}' | sed 's/address: 192.0.2.9/address: 192.0.2.8/' >"$net_dir/h1.yaml"
shows 'the neighbour 192.0.2.9 is gone; restart' weft_at h1 bgp reload || fail "a neighbour can't go"
conf '{med: 90}' | sed 's/^  sets:/  - {address: 192.0.2.7, asn: 64999}\n  sets:/' >"$net_dir/h1.yaml"
shows 'the neighbour 192.0.2.7 is new; restart' weft_at h1 bgp reload || fail "a neighbour can't come"
echo nonsense >"$net_dir/roas.csv"
conf '{med: 90}' >"$net_dir/h1.yaml"
shows 'roas.csv: line 1: no AS number' weft_at h1 bgp reload || fail "the origins are wrong"
bird_has r 10.32.1.0/24 'med: 70$' || fail "what is out changed"
kernel_lacks h1 198.18.0.0/24 || fail "the origins there were are gone"

step "SIGHUP"
: >"$net_dir/roas.csv"
conf '{med: 90}' | sed 's/export: to-rack/export: [10.96.0.0\/12]/' >"$net_dir/h1.yaml"
kill -HUP "$(cat "$net_dir/h1/pid")"
wait_for "BIRD to lose the pods" bird_lacks r 10.32.1.0/24
bird_has r 10.96.0.0/12 'next_hop: 192\.0\.2\.1$' || fail "the services have the old next hop"
wait_for "what is unknown now to come" kernel_has h1 198.18.0.0/24 'via 192\.0\.2\.9'
neighbour_is h1 192.0.2.9 flaps 0 || fail "the session ended"

step "draining: GRACEFUL_SHUTDOWN out, and the last choice in (RFC 8326)"
weft_at h1 bgp drain 192.0.2.9 >/dev/null
wait_for "BIRD to be told" bird_has r 10.96.0.0/12 'BGP.community: \(65535,0\)$'
json_at h1 "d['neighbours'][0]['draining']" status bgp >/dev/null || fail "status does not show it"
weft_at h1 bgp undrain 192.0.2.9 >/dev/null
wait_for "BIRD to be told of the end" not bird_has r 10.96.0.0/12 '65535,0'
sed 's/add((64999,77))/add((65535,0))/' "$net_dir/r.bird" >"$net_dir/r.drain"
birdc_at r "configure \"$net_dir/r.drain\"" | grep -q Reconfigured || fail "BIRD takes no configuration"
wait_for "the preference to fall" route_is 198.51.100.0/24 local_pref 0
echo "policy: fine"
