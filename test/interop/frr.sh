# frr.sh - FRR on the router r of lib.sh. Sourced after it. All its files stand below $net_dir/frr, which is
# its user's; $net_dir/r.frr is the configuration of all daemons.

# frr_start DAEMON...: in the order of their start, zebra first; zebra and bgpd if none is named.
frr_start() {
	local d more
	frr_daemons=("$@")
	[ $# -gt 0 ] || frr_daemons=(zebra bgpd)
	mkdir -p "$net_dir/frr"
	chmod 711 "$net_dir"
	cp "$net_dir/r.frr" "$net_dir/frr/frr.conf"
	chown -R frr:frr "$net_dir/frr"
	for d in "${frr_daemons[@]}"; do
		more=()
		[ $d != bfdd ] || more=(--bfdctl "$net_dir/frr/bfdd.sock")
		in_host r /usr/lib/frr/$d -d -f "$net_dir/frr/frr.conf" -z "$net_dir/frr/zserv" -i "$net_dir/frr/$d.pid" \
			--vty_socket "$net_dir/frr" -P 0 "${more[@]}" >"$net_dir/frr/$d.out" 2>&1 ||
			{ cat "$net_dir/frr/$d.out" >&2; return 1; }
	done
}
frr_stop() {
	local d
	for d in $(printf '%s\n' "${frr_daemons[@]}" | tac); do
		kill "$(cat "$net_dir/frr/$d.pid")"
		wait_for "$d to end" process_gone "$(cat "$net_dir/frr/$d.pid")"
	done
}
vty() { in_host r vtysh --vty_socket "$net_dir/frr" "$@"; }
frr_up() { vty -c "show bgp neighbors $1 json" | grep -q '"bgpState":"Established"'; }
frr_has() { # PREFIX PATTERN
	local f=ipv4
	[[ $1 = *:* ]] && f=ipv6
	vty -c "show bgp $f unicast $1" | grep -qE -- "$2"
}
frr_lacks() { ! frr_has "$1" "best"; }
