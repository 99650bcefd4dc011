# pods_lib.sh - what tests of container runtimes share: their image, and what of pods may be left. Sourced after
# test/netns/lib.sh.

# busybox_tree DIR: a root file system of busybox alone. get ADDRESS [PORT]: the last line of the page (this busybox's
# wget crashes).
busybox_tree() {
	local a
	mkdir -p "$1/bin"
	cp /bin/busybox "$1/bin/"
	for a in sh httpd nc printf tail sleep ip mkdir; do ln -s busybox "$1/bin/$a"; done
	cat >"$1/bin/get" <<-'GET'
		#!/bin/sh
		printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 3 "$1" "${2:-80}" | tail -n 1
	GET
	chmod +x "$1/bin/get"
}

leftovers() { # HOST: what of containers is there; nothing is printed if nothing is
	in_host "$1" ip -o link | grep wpod || true
	for f in -4 -6; do in_host "$1" ip $f route show table all | grep wpod || true; done
	in_host "$1" nft list tables | grep weft-pods || true
	in_host "$1" iptables-save 2>/dev/null | grep -E 'CNI-(DN|SN)-' || true
	json_at "$1" "'\n'.join(f'used {p}' for p in d['pods'] if p['used'])" status ipam
}
clean() { [ -z "$(leftovers "$1")" ] || { leftovers "$1" >&2; return 1; }; }
