#!/bin/bash
# t_options.sh - BIRD 2 and the options of a session: iBGP, TCP-MD5 (RFC 2385), GTSM (RFC 5082), multihop,
# maximum-prefix, passive, what is done to AS paths. Each row is a pair of configurations that must, or must not, come up.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/lib.sh"
command -v bird >/dev/null || { echo "BIRD is not installed"; exit 77; }
net_init options "$(mktemp -d)"
trap net_end EXIT
mesh_hosts 1
bgp_router r 9

# bird_with ASN NEIGHBOUR OPTIONS: one session over that address.
bird_with() {
	local family=ipv4
	[[ $2 = *:* ]] && family=ipv6
	cat >"$net_dir/r.bird" <<CONF
$(bird_head 192.0.2.9)
protocol direct { interface "u0"; ipv4; ipv6; } # BIRD resolves the next hops of iBGP by these
protocol static nets4 { ipv4; route 198.51.100.0/24 via "c0"; route 203.0.113.0/24 blackhole; }
protocol static nets6 { ipv6; route 2001:db8:c::/64 via "c0"; route 2001:db8:d::/64 blackhole; }
protocol bgp w {
	local as $1;
	neighbor $2 as 64512;
	connect retry time 2;
	error wait time 1, 2;
	$3
	$family { import all; export where source = RTS_STATIC; next hop self; };
}
CONF
}
# weft_with ADDRESS ASN KEYS: the keys one a line.
weft_with() {
	cat >"$net_dir/h1.yaml" <<CONF
$(weft_head "announce: {pods: own}")
  - address: $1
    asn: $2
    import: accept
    export: accept
CONF
	sed 's/^/    /' <<<"$3" >>"$net_dir/h1.yaml"
}
# begin ADDRESS-OF-R ASN BIRD-OPTIONS WEFT-KEYS
begin() {
	local us=192.0.2.1
	[[ $1 = *:* ]] && us=2001:db8::1
	bird_with "$2" $us "$3"
	weft_with "$1" "$2" "$4"
	SEED="" weft_bgp 1
	bird_start r
}
end() {
	birdc_at r down >/dev/null
	wait_for "BIRD to end" not test -e "$net_dir/r.birdctl"
	weftd_stop h1
}
# both_ways ADDRESS: established, each has the other's routes.
both_ways() {
	local own=10.32.1.0/24 learned=198.51.100.0/24
	[[ $1 = *:* ]] && own=fd32:0:0:1::/64 learned=2001:db8:c::/64
	wait_for "the session with $1" established h1 "$1"
	wait_for "BIRD to have $own" bird_has r $own via
	wait_for "weft to have $learned" kernel_has h1 $learned "via $1"
}
# never ADDRESS WHY: not established in 4 s, in which both ends dial more than once.
never() {
	for _ in $(seq 40); do
		not established h1 "$1" || fail "established although $2"
		not bird_up r w || fail "BIRD is established although $2"
		sleep 0.1
	done
}

for a in 192.0.2.9 2001:db8::9; do
	step "iBGP with $a: local preference arrives, the next hop is BIRD's"
	begin $a 64512 "" "next-hop-self: yes"
	both_ways $a
	neighbour_is h1 $a kind ibgp || fail "it is not iBGP"
	json_at h1 "all(r['local_pref'] == 100 and r['as_path'] == '' for r in d['routes'])" status bgp routes --neighbour $a ||
		fail "the attributes are not those of iBGP"
	end

	step "MD5 with $a: the same password"
	begin $a 64999 'password "sesame";' "password: sesame"
	both_ways $a
	end

	step "GTSM with $a, both ends"
	begin $a 64999 "ttl security on;" "ttl-security: yes"
	both_ways $a
	end
done

step "MD5: another password, and none at one end"
begin 192.0.2.9 64999 'password "sesame";' "password: open"
never 192.0.2.9 "the passwords differ"
end
begin 192.0.2.9 64999 "" "password: sesame"
never 192.0.2.9 "BIRD has no password"
end

# The password of a neighbour in HOST's file, which is then read again.
rekey() { # HOST PASSWORD
	sed "s/password: .*/password: $2/" "$net_dir/$1.yaml" >"$net_dir/new" && cat "$net_dir/new" >"$net_dir/$1.yaml"
	weft_at "$1" bgp reload >/dev/null || fail "$1 takes no other password: $(weft_at "$1" bgp reload 2>&1)"
}

step "MD5: another password by a reload, with a BIRD that ends its session for that"
begin 192.0.2.9 64999 'password "sesame";' "password: sesame"
both_ways 192.0.2.9
bird_with 64999 192.0.2.1 'password "open";'
birdc_at r configure >/dev/null # first: what it says at the end has the old password
wait_for "the session to end" eval '[ "$(neighbour_at h1 192.0.2.9 flaps)" -ge 1 ]'
rekey h1 open
both_ways 192.0.2.9
end

step "MD5: another password at both ends, by a reload of each, ends no session and loses no route"
# BIRD and FRR can't do that: the other end is a weftd of a cluster of its own.
weft_with 192.0.2.9 64999 $'password: sesame\nhold: 20'
cat >"$net_dir/r.yaml" <<CONF
bgp:
  asn: 64999
  router-id: 192.0.2.9
  listen: 192.0.2.9
  announce: {services: [198.51.100.0/24]}
  peers:
  - address: 192.0.2.1
    asn: 64512
    password: sesame
    hold: 20
    import: accept
    export: accept
CONF
SEED="" weft_bgp 1
mv "$net_dir/secret" "$net_dir/secret.h1"
"${WEFT:-$build/cli/weft}" key new --out "$net_dir/secret" >/dev/null
weftd_start r --config "$net_dir/r.yaml" --cluster-range 10.64.0.0/16 --prefix 10.64.9.0/24
wait_for "the session at h1" established h1 192.0.2.9
wait_for "the session at r" established r 192.0.2.1
wait_for "h1's routes" kernel_has h1 198.51.100.0/24 "via 192.0.2.9"
wait_for "r's routes" kernel_has r 10.32.1.0/24 "via 192.0.2.1"
ip -n "$(ns_of h1)" monitor route >"$net_dir/monitor" &
monitor_pid=$!
for word in open closed; do
	rekey h1 $word
	# What h1 asks for now is not understood before r has the key, too, and then answered late.
	rx=$(neighbour_at h1 192.0.2.9 rx_messages)
	weft_at r bgp refresh 192.0.2.1 >/dev/null || fail "r asks for no routes"
	weft_at h1 bgp refresh 192.0.2.9 >/dev/null || fail "h1 asks for no routes"
	sleep 1 # in which an answer would have come
	[ "$(neighbour_at h1 192.0.2.9 rx_messages)" = "$rx" ] || fail "the old password is still in use"
	rekey r $word
	wait_for "an answer" eval '[ "$(neighbour_at h1 192.0.2.9 rx_messages)" -gt '"$rx"' ]'
	for h in h1 r; do
		[ $h = h1 ] && n=192.0.2.9 || n=192.0.2.1
		established $h $n || fail "the session at $h ended"
		neighbour_is $h $n flaps 0 || fail "the session at $h flapped"
	done
done
kill "$monitor_pid" && wait "$monitor_pid" || true
not grep -q 198.51.100.0/24 "$net_dir/monitor" || fail "the kernel's route went or changed"
json_at h1 "d['neighbours'][0]['md5']" status bgp || fail "it is shown as without a password"

step "MD5: another password at one end alone ends it by the hold time"
rekey h1 other
WAIT=60 wait_for "the session to end" eval '[ "$(neighbour_at h1 192.0.2.9 flaps)" -ge 1 ]'
rekey r other
WAIT=60 wait_for "the session with the same password again" established h1 192.0.2.9
weftd_stop r
mv "$net_dir/secret.h1" "$net_dir/secret"
weftd_stop h1

for a in 192.0.2.9 2001:db8::9; do
	step "GTSM at weft alone, $a: BIRD sends with a TTL of 1; nothing of it is read, its SYN is not answered"
	begin $a 64999 "" "ttl-security: yes"
	never $a "BIRD's packets might come from anywhere"
	neighbour_is h1 $a rx_messages 0 || fail "$(neighbour_at h1 $a rx_messages) messages were read"
	json_at h1 "d['connections']['accepted'] == d['connections']['ttl_unfiltered'] == 0" status bgp || fail "a connection came up"
	end
done

step "multihop, with GTSM counting its hops"
begin 192.0.2.9 64999 "multihop 2; ttl security on;" $'multihop: 2\nttl-security: yes'
both_ways 192.0.2.9
end

step "passive: BIRD dials"
begin 192.0.2.9 64999 "" "passive: yes"
both_ways 192.0.2.9
json_at h1 "d['connections']['accepted'] >= 1" status bgp || fail "nobody dialled in"
end

step "maximum-prefix: one too many ends the session, and says why at both ends"
begin 192.0.2.9 64999 "" "max-prefixes: 1"
wait_for "weft to tell it" eval "neighbour_at h1 192.0.2.9 last_error | grep -qi 'prefix'"
wait_for "BIRD to be told" grep -qi 'Maximum number of prefixes' "$net_dir/r.says"
kernel_lacks h1 198.51.100.0/24 || fail "its routes stayed"
end

step "roles (RFC 9234): what fits comes up, what came from a provider is marked, what doesn't fit is refused"
begin 192.0.2.9 64999 "local role provider;" $'role: customer\nrole-strict: yes'
both_ways 192.0.2.9
neighbour_is h1 192.0.2.9 peer_role provider || fail "the peer's role is not shown"
# BIRD marks what it tells a customer, and would show what comes back from one as a leak.
birdc_at r show protocols all w | grep -qi 'role: *customer' || fail "BIRD does not see our role"
end
begin 192.0.2.9 64999 "local role provider;" "role: peer"
never 192.0.2.9 "the roles don't fit"
wait_for "weft to tell it" eval "neighbour_at h1 192.0.2.9 last_error | grep -qi 'role mismatch'"
end
begin 192.0.2.9 64999 "" $'role: customer\nrole-strict: yes'
never 192.0.2.9 "BIRD tells no role"
end

step "a neighbour of a range, with a password for all of it; it is forgotten with its session"
bird_with 64999 192.0.2.1 'password "sesame";'
weft_with 192.0.2.9 64999 $'password: sesame\nrange-limit: 1'
sed -i 's|address: 192.0.2.9|range: 192.0.2.8/29|' "$net_dir/h1.yaml"
SEED="" weft_bgp 1
json_at h1 "d['neighbours'] == []" status bgp || fail "somebody is there already"
bird_start r
both_ways 192.0.2.9
json_at h1 "d['neighbours'][0]['of_range']" status bgp || fail "it is not shown as what it is"
birdc_at r down >/dev/null
wait_for "BIRD to end" not test -e "$net_dir/r.birdctl"
wait_for "weft to forget it" json_at h1 "d['neighbours'] == []" status bgp
kernel_lacks h1 198.51.100.0/24 || fail "its routes stayed"
sed -i 's|range: 192.0.2.8/29|range: 192.0.2.128/25|' "$net_dir/h1.yaml"
bird_with 64999 192.0.2.1 ""
weftd_stop h1
SEED="" weft_bgp 1
bird_start r
wait_for "refusals" json_at h1 "d['connections']['refused'] >= 2" status bgp
not bird_up r w || fail "established although it is outside the range"
end

step "extended messages (RFC 8654)"
begin 192.0.2.9 64999 "enable extended messages on;" ""
both_ways 192.0.2.9
json_at h1 "d['neighbours'][0]['extended_messages']" status bgp || fail "they are not negotiated"
end

step "AS numbers: local-as with replace, so that the path is the other AS alone"
begin 192.0.2.9 64999 "" ""
bird_with 64999 192.0.2.1 ""
sed -i 's/neighbor 192.0.2.1 as 64512/neighbor 192.0.2.1 as 64777/' "$net_dir/r.bird"
birdc_at r configure >/dev/null
weftd_stop h1
weft_with 192.0.2.9 64999 $'local-as: 64777\nlocal-as-no-prepend: yes\nlocal-as-replace: yes'
SEED="" weft_bgp 1
both_ways 192.0.2.9
bird_has r 10.32.1.0/24 'as_path: 64777$' || fail "the path is not the other AS alone"
end

step "AS paths: our own in one that comes, what goes out with the neighbour's and with private ones"
# BIRD has one session with an address: the second one is with another of ours.
ip -n "$(ns_of r)" addr add 192.0.2.10/24 dev u0
ip -n "$(ns_of h1)" addr add 192.0.2.11/24 dev u0
cat >"$net_dir/r.bird" <<CONF
$(bird_head 192.0.2.9)
protocol static near { ipv4; route 198.51.100.0/24 via "c0"; }
protocol static far { ipv4; route 198.18.5.0/24 blackhole; route 198.18.6.0/24 blackhole; }
protocol bgp w {
	local 192.0.2.9 as 64999;
	neighbor 192.0.2.1 as 64512;
	connect retry time 2;
	allow local as 1; # else it would not show what weft leaves in
	ipv4 { import all; next hop self;
		export filter { if proto != "near" then reject; bgp_path.prepend(64512); accept; }; };
}
protocol bgp o {
	local 192.0.2.10 as 64998;
	neighbor 192.0.2.11 as 64512;
	passive;
	ipv4 { import none; next hop self;
		export filter {
			if proto != "far" then reject;
			if net = 198.18.5.0/24 then bgp_path.prepend(64999);
			else { bgp_path.prepend(13); bgp_path.prepend(65001); }
			accept;
		}; };
}
CONF
paths_with() { # KEYS
	weft_with 192.0.2.9 64999 "$1"
	echo "  - {address: 192.0.2.10, source: 192.0.2.11, asn: 64998, import: accept, export: reject}" >>"$net_dir/h1.yaml"
	SEED="" weft_bgp 1
}
bird_start r
paths_with "as-override: yes"
wait_for "its AS to become ours" bird_has r 198.18.5.0/24 'as_path: 64512 64998 64512$'
wait_for "the other path as it was" bird_has r 198.18.6.0/24 'as_path: 64512 64998 65001 13$'
wait_for "our AS in its path to be counted" grown 0 neighbour_at h1 192.0.2.9 loops
birdc_at r show route export w | grep -q 198.51.100.0/24 || fail "BIRD does not announce it"
kernel_lacks h1 198.51.100.0/24 || fail "a path with our AS is used"
weftd_stop h1
paths_with $'remove-private: yes\nallow-own-as: 1'
wait_for "the private ones to go" bird_has r 198.18.6.0/24 'as_path: 64512 13$'
wait_for "its own to stay" bird_has r 198.18.5.0/24 'as_path: 64512 64999$'
wait_for "the path with our AS" kernel_has h1 198.51.100.0/24 "via 192.0.2.9"
json_at h1 "any(r['as_path'] == '64999 64512' for r in d['routes'])" status bgp routes 198.51.100.0/24 || fail "it is another path"
end

step "another AS than configured: refused with a word"
begin 192.0.2.9 64998 "" ""
weftd_stop h1
weft_with 192.0.2.9 64999 ""
SEED="" weft_bgp 1
wait_for "weft to tell it" eval "neighbour_at h1 192.0.2.9 last_error | grep -qi 'peer AS'"
end
