# peers.bash - other encrypted tunnels between h1 and h2, as Debian ships them and with their defaults. Sourced by
# tunnel.sh. up_PEER leaves $dst, an address of h2 through it; down_PEER ends it. Each runs in the foreground of a
# job of ours, so that the pid is its own.
peer_pids=()
peer_run() { # HOST LOG COMMAND...
	ip netns exec "$(ns_of "$1")" "${@:3}" >"$net_dir/$2.log" 2>&1 &
	peer_pids+=($!)
}
peers_end() {
	local p
	for p in "${peer_pids[@]}"; do
		kill "$p" 2>/dev/null || continue
		wait "$p" 2>/dev/null || true
	done
	peer_pids=()
}

up_wireguard_go() {
	local n key=()
	for n in 1 2; do
		(umask 077 && wg genkey >"$net_dir/wg$n.key")
		key[n]=$(wg pubkey <"$net_dir/wg$n.key")
	done
	for n in 1 2; do
		# Its control sockets' path knows no namespaces, so the names differ.
		peer_run h$n wg$n wireguard-go -f weftwg$n
		wait_for "wireguard-go on h$n" test -S /var/run/wireguard/weftwg$n.sock
		in_host h$n wg set weftwg$n private-key "$net_dir/wg$n.key" listen-port 51820 peer "${key[3 - n]}" \
			allowed-ips 198.18.1.0/24 endpoint 192.0.2.$((3 - n)):51820
		ip -n "$(ns_of h$n)" addr add "198.18.1.$n/24" dev weftwg$n
		ip -n "$(ns_of h$n)" link set weftwg$n mtu 1420 up
	done
	dst=198.18.1.2
}
down_wireguard_go() { peers_end; }

up_nebula() {
	local n d=$net_dir/nebula
	mkdir -p "$d"
	[ -f "$d/ca.key" ] || nebula-cert ca -name weft-bench -out-crt "$d/ca.crt" -out-key "$d/ca.key"
	for n in 1 2; do
		[ -f "$d/h$n.key" ] || nebula-cert sign -ca-crt "$d/ca.crt" -ca-key "$d/ca.key" -name h$n \
			-ip "198.18.2.$n/24" -out-crt "$d/h$n.crt" -out-key "$d/h$n.key"
		cat >"$d/h$n.yaml" <<-X
			pki: {ca: $d/ca.crt, cert: $d/h$n.crt, key: $d/h$n.key}
			static_host_map: {"198.18.2.$((3 - n))": ["192.0.2.$((3 - n)):4242"]}
			lighthouse: {am_lighthouse: false, hosts: []}
			listen: {host: 192.0.2.$n, port: 4242}
			cipher: aes
			tun: {dev: neb0, mtu: 1400, tx_queue: 500}
			firewall:
			  outbound: [{port: any, proto: any, host: any}]
			  inbound: [{port: any, proto: any, host: any}]
		X
		peer_run h$n nebula$n nebula -config "$d/h$n.yaml"
	done
	dst=198.18.2.2
}
down_nebula() { peers_end; }

up_tinc() {
	local n d
	for n in 1 2; do
		d=$net_dir/tinc$n
		mkdir -p "$d/hosts"
		printf 'Name = h%s\nConnectTo = h%s\nMode = switch\nInterface = tinc0\nAddressFamily = ipv4\n' "$n" \
			$((3 - n)) >"$d/tinc.conf"
		printf 'Address = 192.0.2.%s\n' "$n" >"$d/hosts/h$n"
		tincd -c "$d" -K 2048 </dev/null >/dev/null 2>&1
	done
	cp "$net_dir/tinc1/hosts/h1" "$net_dir/tinc2/hosts/"
	cp "$net_dir/tinc2/hosts/h2" "$net_dir/tinc1/hosts/"
	for n in 1 2; do
		peer_run h$n tinc$n tincd -c "$net_dir/tinc$n" -D --pidfile="$net_dir/tinc$n/pid"
		wait_for "tinc on h$n" ip -n "$(ns_of h$n)" link show tinc0
		ip -n "$(ns_of h$n)" addr add "198.18.3.$n/24" dev tinc0
		ip -n "$(ns_of h$n)" link set tinc0 up
	done
	dst=198.18.3.2
}
down_tinc() { peers_end; }
