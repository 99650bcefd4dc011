#!/bin/bash
# t_others.sh - three more speakers, as far as Debian has them: GoBGP, OpenBGPD, ExaBGP. eBGP, and iBGP with MD5, over IPv4
# and IPv6, each family over its own address: established, routes and communities both ways, withdrawal from each side, a
# refresh asked by weft, more prefixes than allowed. Then GoBGP with several paths to a prefix, and graceful restart of either
# side. Asserted is each one's own view.
# SPEAKERS (gobgp openbgpd exabgp) and KINDS (ebgp ibgp) choose.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
build=${build:-$root/build}
. "$root/test/netns/lib.sh"
. "$root/test/interop/lib.sh"
net_init others "$(mktemp -d)"
trap net_end EXIT
mesh_hosts 1
bgp_router r 9
own=10.32.1.0/24 own6=fd32:0:0:1::/64 learned=203.0.113.0/24 learned6=2001:db8:d::/48
peers=(192.0.2.9 2001:db8::9)
extra=203.0.113.128/25
# Of the session that is made: the neighbour's AS, and the keys of each side.
asn=64999 password="" weft_keys=""

weft_conf() { # accept|reject: what becomes of our routes
	cat >"$net_dir/h1.yaml" <<CONF
$(weft_head "announce: {pods: own}")
  - {address: 192.0.2.9, asn: $asn, import: accept, export: out${password:+, password: $password}$weft_keys}
  - {address: "2001:db8::9", asn: $asn, import: accept, export: out${password:+, password: $password}$weft_keys}
  policies:
    out:
    - rule: ours
      match: {prefix: [$own, "$own6"]}
$([ "$1" = reject ] || echo "      set: {add-communities: 64512:5}")
      then: $1
CONF
}
reload() {
	weft_conf "$1"
	kill -HUP "$(cat "$net_dir/h1/pid")"
}

# --- GoBGP ---
gobgp_is_here() { command -v gobgpd >/dev/null && command -v gobgp >/dev/null; }
gobgp_at() { in_host r gobgp --target "unix://$net_dir/gobgp.sock" "$@"; }
gobgp_one() { gobgp_at global rib "$@" nexthop 192.0.2.9; } # add|del PREFIX [WHAT...]
gobgp_route() { # add|del
	gobgp_at global rib "$1" $learned community 64999:77 nexthop 192.0.2.9
	gobgp_at global rib "$1" -a ipv6 $learned6 community 64999:77 nexthop 2001:db8::9
}
# gobgp_start [OPTION...]: -r is a restart.
gobgp_start() {
	rm -f "$net_dir/gobgp.sock" # one that was killed leaves it
	in_host r gobgpd -f "$net_dir/gobgp.toml" --api-hosts "unix://$net_dir/gobgp.sock" -l warn "$@" >>"$net_dir/gobgp.log" 2>&1 </dev/null &
	wait_for "gobgpd" eval "gobgp_at neighbor >/dev/null 2>&1"
}
gobgp_begin() { # [KEYS [KEYS-OF-FAMILY]]
	local p
	{
		printf '[global.config]\n  as = %s\n  router-id = "192.0.2.9"\n' "$asn"
		for p in "192.0.2.1 ipv4" "2001:db8::1 ipv6"; do
			printf '[[neighbors]]\n  [neighbors.config]\n    neighbor-address = "%s"\n    peer-as = 64512\n' "${p% *}"
			[ -z "$password" ] || printf '    auth-password = "%s"\n' "$password"
			printf '  [neighbors.timers.config]\n    connect-retry = 2\n  [[neighbors.afi-safis]]\n    [neighbors.afi-safis.config]\n'
			printf '      afi-safi-name = "%s-unicast"\n' "${p#* }"
			printf '%s' "${2:-}" "${1:-}"
		done
	} >"$net_dir/gobgp.toml"
	gobgp_start
	gobgp_route add
}
gobgp_withdraw() { gobgp_route del; }
gobgp_more() { gobgp_one add $extra; }
gobgp_less() { gobgp_one del $extra; }
gobgp_up() { gobgp_at neighbor "$1" | grep -qi 'BGP state = .*established'; }
gobgp_has() { # PREFIX PATTERN
	local f=ipv4
	[[ $1 = *:* ]] && f=ipv6
	gobgp_at global rib -a $f "$1" 2>/dev/null | grep -qE -- "$2"
}
gobgp_comm='64512:5'

# --- OpenBGPD ---
openbgpd_is_here() { [ -x /usr/sbin/bgpctl ] && [ -x /usr/sbin/bgpd ]; }
ctl() { in_host r bgpctl -s "$net_dir/openbgpd.sock" "$@"; }
openbgpd_conf() {
	cat >"$net_dir/openbgpd.conf" <<CONF
AS $asn
router-id 192.0.2.9
listen on 192.0.2.9
listen on 2001:db8::9
socket "$net_dir/openbgpd.sock"
fib-update no
network $learned set { community 64999:77 nexthop 192.0.2.9 }
network $learned6 set { community 64999:77 nexthop 2001:db8::9 }
neighbor 192.0.2.1 {
  remote-as 64512
  ${password:+tcp md5sig password $password}
  announce IPv4 unicast
  announce IPv6 none
}
neighbor 2001:db8::1 {
  remote-as 64512
  ${password:+tcp md5sig password $password}
  announce IPv4 none
  announce IPv6 unicast
}
allow from any
allow to any
CONF
	chmod 600 "$net_dir/openbgpd.conf"
}
openbgpd_begin() {
	openbgpd_conf
	mkdir -p "$(getent passwd _openbgpd | cut -d: -f6)" # it goes there with its root
	in_host r /usr/sbin/bgpd -d -f "$net_dir/openbgpd.conf" >"$net_dir/openbgpd.log" 2>&1 </dev/null &
	wait_for "bgpd" eval "ctl show >/dev/null 2>&1"
}
openbgpd_withdraw() {
	ctl network delete $learned >/dev/null
	ctl network delete $learned6 >/dev/null
}
openbgpd_more() { ctl network add $extra nexthop 192.0.2.9 >/dev/null; }
openbgpd_less() { ctl network delete $extra >/dev/null; }
openbgpd_up() { ctl show neighbor "$1" | grep -q 'BGP state = Established'; }
openbgpd_has() { ctl show rib detail "$1" 2>/dev/null | grep -qE -- "$2"; }
openbgpd_comm='64512:5'

# --- ExaBGP ---
exabgp_is_here() { command -v exabgp >/dev/null; }
exabgp_extra() { [ -z "$1" ] || [ "$2" != ipv4 ] || echo " route $extra next-hop 192.0.2.9;"; }
exabgp_conf() { # [ROUTES [MORE]]: MORE is announced too
	local p more=${2:-}
	printf 'process log { run /usr/bin/python3 %s; encoder json; }\n' "$net_dir/exalog.py"
	for p in "192.0.2.9 192.0.2.1 ipv4 $learned" "2001:db8::9 2001:db8::1 ipv6 $learned6"; do
		set -- "${1:-}" $p
		printf 'neighbor %s { router-id 192.0.2.9; local-address %s; local-as %s; peer-as 64512;%s family { %s unicast; }\n' "$3" "$2" "$asn" "${password:+ md5-password $password; md5-base64 false;}" "$4"
		printf '  capability { route-refresh enable; }\n  api { processes [ log ]; neighbor-changes; receive { parsed; update; } }\n'
		[ -z "$1" ] || printf '  static { route %s next-hop %s community [64999:77];%s }\n' "$5" "$2" "$(exabgp_extra "$more" "$4")"
		echo '}'
	done
}
exabgp_begin() {
	cat >"$net_dir/exalog.py" <<-PY
		import os, select
		while select.select([0], [], []):
		    data = os.read(0, 65536)
		    if not data:
		        break
		    with open('$net_dir/exa.json', 'ab') as f:
		        f.write(data)
	PY
	: >"$net_dir/exa.json"
	chmod 755 "$net_dir"
	chmod 666 "$net_dir/exa.json"
	exabgp_conf yes >"$net_dir/exa.conf"
	in_host r env exabgp.daemon.user=root exabgp.daemon.daemonize=false exabgp.api.cli=false exabgp.tcp.bind= exabgp "$net_dir/exa.conf" >"$net_dir/exabgp.log" 2>&1 </dev/null &
}
exabgp_more() {
	exabgp_conf yes more >"$net_dir/exa.conf"
	pkill_in_r exabgp
}
# Not by a reload: while its session is down, ExaBGP 4.2 takes the new list of routes but keeps announcing what is no
# longer in it, and weft ends the session again and again.
exabgp_less() {
	end_r exabgp
	exabgp_begin
}
exabgp_withdraw() {
	exabgp_conf >"$net_dir/exa.conf"
	pkill_in_r exabgp
}
# It reads its configuration anew by SIGUSR1; the only exabgp in r's namespace is ours.
pkill_in_r() {
	local p
	for p in $(ip netns pids "$(ns_of r)"); do
		grep -qa "$1" "/proc/$p/cmdline" 2>/dev/null && ! grep -qa exalog "/proc/$p/cmdline" && kill -USR1 "$p" || true
	done
}
exabgp_up() { grep -q "\"peer\": \"$1\".*\"state\": \"up\"" "$net_dir/exa.json"; }
# The last word on a prefix: announced with PATTERN, or withdrawn.
exabgp_has() { grep -F "\"$1\"" "$net_dir/exa.json" | tail -1 | grep '"announce"' | grep -qE -- "$2"; }
exabgp_comm='64512, 5|64512 *, *5'

# GoBGP tells all again. OpenBGPD 7.7 counts the request and sends nothing, ExaBGP 4.2 closes the connection.
ask() { weft_at h1 bgp refresh "$1" >/dev/null || fail "no refresh of $1"; }
gobgp_refresh() {
	local rx
	rx=$(neighbour_at h1 "$1" rx_updates)
	ask "$1"
	wait_for "GoBGP to tell all again" grown "$rx" neighbour_at h1 "$1" rx_updates
}
openbgpd_refresh() {
	ask "$1"
	wait_for "OpenBGPD to count it" eval "ctl show neighbor '${1/%9/1}' | grep -qE '^ +Request +0 +1\$'"
}
exabgp_refresh() { true; }

lacks() { not "$@"; }
end_r() { # SPEAKER: everything in r's namespace is of this test
	local p
	for p in $(ip netns pids "$(ns_of r)"); do kill "$p" 2>/dev/null || true; done
	wait_for "$1 to end" eval "[ -z \"\$(ip netns pids '$(ns_of r)')\" ]"
}

speaker() { # NAME KIND
	local s=$1 a
	asn=64999 password="" weft_keys=', max-prefixes: 1, max-prefix-restart: 2'
	[ "$2" = ebgp ] || asn=64512 password=sesame
	step "$s, $2${password:+ with MD5}: up, routes and communities both ways"
	weft_conf accept
	SEED="" weft_bgp 1
	"${s}_begin"
	for a in "${peers[@]}"; do WAIT=60 wait_for "the session with $a" established h1 "$a"; done
	for a in 192.0.2.1 2001:db8::1; do wait_for "its view of $a" "${s}_up" "$a"; done
	for p in $own $own6; do wait_for "our route $p with its community" "${s}_has" $p "${!comm}"; done
	wait_for "its route" kernel_has h1 $learned 'via 192\.0\.2\.9'
	wait_for "its route, IPv6" kernel_has h1 $learned6 'via 2001:db8::9'
	for p in $learned $learned6; do
		json_at h1 "any('64999:77' in r['communities'] for r in d['routes'])" status bgp routes $p || fail "the community of $p is lost"
	done

	for a in "${peers[@]}"; do neighbour_is h1 "$a" kind "$2" || fail "it is $(neighbour_at h1 "$a" kind)"; done
	[ -z "$password" ] || neighbour_at h1 192.0.2.9 md5 || fail "no MD5"

	step "$s, $2: more prefixes than allowed, then fewer"
	"${s}_more"
	wait_for "weft to tell it" eval "neighbour_at h1 192.0.2.9 last_error | grep -qi prefix"
	wait_for "its routes to go" kernel_lacks h1 $learned
	"${s}_less"
	for a in "${peers[@]}"; do WAIT=60 wait_for "the session with $a" established h1 "$a"; done
	WAIT=60 wait_for "its route" kernel_has h1 $learned 'via 192\.0\.2\.9'
	wait_for "our route" "${s}_has" $own "${!comm}"

	step "$s, $2: refresh, withdrawal from each side"
	for a in "${peers[@]}"; do "${s}_refresh" "$a"; done
	reload reject
	for p in $own $own6; do wait_for "our route $p to go" lacks "${s}_has" $p "${!comm}"; done
	"${s}_withdraw"
	for p in $learned $learned6; do wait_for "its route $p to go" kernel_lacks h1 $p; done
	for a in "${peers[@]}"; do established h1 "$a" || fail "the session ended"; done
	weftd_stop h1
	end_r "$s"
}

# GoBGP by iBGP with several paths to a prefix and graceful restart: it is killed, then weftd is.
gobgp_paths() { [ "$(json_at h1 "len(d['routes'])" status bgp routes --received --neighbour 192.0.2.9 $learned)" = "$1" ]; }
gobgp_stale() { neighbour_at h1 192.0.2.9 stale; }
gobgp_two() {
	gobgp_one add $learned identifier 1 community 64999:77
	gobgp_one add $learned identifier 2 community 64999:78
}
gobgp_options() {
	local a p
	asn=64512 password="" weft_keys=", graceful-restart: yes, add-path-receive: yes, add-path-send: 2"
	step "gobgp: several paths, and what was negotiated"
	weft_conf accept
	SEED="" weft_bgp 1
	gobgp_begin $'  [neighbors.graceful-restart.config]\n    enabled = true\n    restart-time = 60\n' \
		$'    [neighbors.afi-safis.mp-graceful-restart.config]\n      enabled = true\n    [neighbors.afi-safis.add-paths.config]\n      receive = true\n      send-max = 4\n'
	for a in "${peers[@]}"; do WAIT=60 wait_for "the session with $a" established h1 "$a"; done
	gobgp_route del
	gobgp_two
	wait_for "both of its paths" gobgp_paths 2
	neighbour_at h1 192.0.2.9 add_path_send || fail "we may not send several"
	neighbour_is h1 192.0.2.9 graceful_restart ready || fail "no graceful restart"
	wait_for "our route" gobgp_has $own "$gobgp_comm"
	gobgp_one del $learned identifier 2
	wait_for "one of them to go" gobgp_paths 1
	gobgp_two
	wait_for "both of its paths" gobgp_paths 2

	step "gobgp: killed and back: its routes stay until it has told them again"
	for p in $(ip netns pids "$(ns_of r)"); do kill -KILL "$p"; done
	wait_for "the session to end" not established h1 192.0.2.9
	gobgp_stale || fail "nothing is kept"
	kernel_has h1 $learned 'via 192\.0\.2\.9' || fail "its route went with it"
	gobgp_start -r
	gobgp_two
	WAIT=90 wait_for "the session" established h1 192.0.2.9
	WAIT=90 wait_for "the end of what is stale" not gobgp_stale
	kernel_has h1 $learned 'via 192\.0\.2\.9' || fail "its route went after all"
	wait_for "both of its paths" gobgp_paths 2

	step "gobgp: weftd is killed: it keeps our route"
	wait_for "our route" gobgp_has $own "$gobgp_comm"
	weftd_stop h1 KILL
	gobgp_has $own "$gobgp_comm" || fail "it has dropped our route"
	SEED="" weft_bgp 1
	WAIT=60 wait_for "the session" established h1 192.0.2.9
	gobgp_has $own "$gobgp_comm" || fail "it has dropped our route after all"
	weftd_stop h1
	end_r gobgp
}

tried=0
for s in ${SPEAKERS:-gobgp openbgpd exabgp}; do
	"${s}_is_here" || { echo "no $s here: left out"; continue; }
	comm=${s}_comm
	for k in ${KINDS:-ebgp ibgp}; do speaker "$s" "$k"; done
	[ "$s" != gobgp ] || gobgp_options
	tried=$((tried + 1))
done
[ $tried -gt 0 ] || { echo "none of them is installed"; exit 77; }
