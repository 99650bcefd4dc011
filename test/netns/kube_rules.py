"""The rules that kube-proxy would make on one node, from a list of services: structure, order, names and marks of
its iptables mode (KUBE-SERVICES, KUBE-SVC-*, KUBE-SEP-*, KUBE-EXT-*, KUBE-SVL-*, KUBE-NODEPORTS, KUBE-MARK-MASQ,
KUBE-POSTROUTING, and the filter chains) and of its nftables mode (table kube-proxy with its verdict maps).

kube_rules.py MODE FAMILY NODE FILE: MODE iptables (text for iptables-restore --noflush) or nftables (for nft -f);
FAMILY 4 or 6; FILE a JSON object: "cidr": {"4": ..., "6": ...} or absent (kube-proxy was not told the pods' CIDR),
"nodes": {NODE: {"4": address, "6": address}}, "services": a list of {"name", "proto", "port", "node_port" (or 0),
"local" (externalTrafficPolicy), "4": cluster IP, "6": cluster IP, "endpoints": a list of {"node", "port", "4", "6"}}."""
import base64
import hashlib
import json
import sys

mode, family, node, path = sys.argv[1:5]
conf = json.load(open(path))
v6 = family == '6'
cidr = conf.get('cidr', {}).get(family)
bits = 128 if v6 else 32
out = []


def add(*lines):
    out.extend(lines)


def hashed(*parts):
    return base64.b32encode(hashlib.sha256('/'.join(parts).encode()).digest())[:16].decode()


def at(ip, port):
    return f'[{ip}]:{port}' if v6 else f'{ip}:{port}'


class Service:
    def __init__(self, d):
        self.name, self.proto, self.port = d['name'], d['proto'], d['port']
        self.ip, self.node_port, self.local = d[family], d.get('node_port', 0), d.get('local', False)
        self.ends = [e for e in d['endpoints'] if e.get(family)]
        self.here = [e for e in self.ends if e['node'] == node]
        self.tag = hashed(self.name, self.proto)

    def sep(self, e):
        return hashed(self.name, self.proto, at(e[family], e['port']))


services = [Service(d) for d in conf['services'] if d.get(family)]


# ---- iptables mode ----

def comment(text):
    return f'-m comment --comment "{text}"'


def spread(chain, s, ends):
    for i, e in enumerate(ends):
        left = len(ends) - i
        chance = f'-m statistic --mode random --probability {1 / left:.11f} ' if left > 1 else ''
        add(f'-A {chain} {comment(s.name + " -> " + at(e[family], e["port"]))} {chance}-j KUBE-SEP-{s.sep(e)}')


def iptables_filter():
    reject = 'icmp6-port-unreachable' if v6 else 'icmp-port-unreachable'
    new = '-m conntrack --ctstate NEW'
    chains = ['KUBE-NODEPORTS', 'KUBE-SERVICES', 'KUBE-EXTERNAL-SERVICES', 'KUBE-FORWARD', 'KUBE-PROXY-FIREWALL',
              'KUBE-FIREWALL']
    add('*filter', *(f':{c} - [0:0]' for c in chains))
    for hook in ('INPUT', 'FORWARD', 'OUTPUT'):
        add(f'-A {hook} {new} {comment("kubernetes load balancer firewall")} -j KUBE-PROXY-FIREWALL')
        if hook == 'INPUT':
            add(f'-A INPUT {comment("kubernetes health check service ports")} -j KUBE-NODEPORTS')
        if hook == 'FORWARD':
            add(f'-A FORWARD {comment("kubernetes forwarding rules")} -j KUBE-FORWARD')
        if hook != 'INPUT':
            add(f'-A {hook} {new} {comment("kubernetes service portals")} -j KUBE-SERVICES')
        if hook != 'OUTPUT':
            add(f'-A {hook} {new} {comment("kubernetes externally-visible service portals")} '
                '-j KUBE-EXTERNAL-SERVICES')
    add('-A INPUT -j KUBE-FIREWALL', '-A OUTPUT -j KUBE-FIREWALL')
    lo = '::1/128' if v6 else '127.0.0.0/8'
    add(f'-A KUBE-FIREWALL ! -s {lo} -d {lo} {comment("block incoming localnet connections")} '
        '-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP')
    rules = comment('kubernetes forwarding rules')
    add('-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
        f'-A KUBE-FORWARD {rules} -m mark --mark 0x4000/0x4000 -j ACCEPT',
        f'-A KUBE-FORWARD {comment("kubernetes forwarding conntrack rule")} '
        '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT')
    for s in services:
        if not s.ends:
            add(f'-A KUBE-SERVICES -d {s.ip}/{bits} -p {s.proto} {comment(s.name + " has no endpoints")} '
                f'-m {s.proto} --dport {s.port} -j REJECT --reject-with {reject}')
        elif s.node_port and s.local and not s.here:
            add(f'-A KUBE-EXTERNAL-SERVICES -p {s.proto} {comment(s.name + " has no local endpoints")} '
                f'-m addrtype --dst-type LOCAL -m {s.proto} --dport {s.node_port} -j DROP')
    add('COMMIT')


def iptables_service(s):
    svc, ext, svl = f'KUBE-SVC-{s.tag}', f'KUBE-EXT-{s.tag}', f'KUBE-SVL-{s.tag}'
    to = f'-d {s.ip}/{bits} -p {s.proto} {comment(s.name + " cluster IP")} -m {s.proto} --dport {s.port}'
    add(f'-A KUBE-SERVICES {to} -j {svc}')
    if cidr:
        add(f'-A {svc} ! -s {cidr} {to} -j KUBE-MARK-MASQ')
    spread(svc, s, s.ends)
    for e in s.ends:
        sep = f'KUBE-SEP-{s.sep(e)}'
        add(f'-A {sep} -s {e[family]}/{bits} {comment(s.name)} -j KUBE-MARK-MASQ',
            f'-A {sep} -p {s.proto} {comment(s.name)} -m {s.proto} -j DNAT --to-destination '
            f'{at(e[family], e["port"])}')
    if not s.node_port:
        return
    add(f'-A KUBE-NODEPORTS -p {s.proto} {comment(s.name)} -m {s.proto} --dport {s.node_port} -j {ext}')
    if not s.local:
        add(f'-A {ext} {comment("masquerade traffic for " + s.name + " external destinations")} -j KUBE-MARK-MASQ',
            f'-A {ext} -j {svc}')
        return
    if cidr:
        add(f'-A {ext} -s {cidr} {comment("pod traffic for " + s.name + " external destinations")} -j {svc}')
    add(f'-A {ext} {comment("masquerade LOCAL traffic for " + s.name)} -m addrtype --src-type LOCAL '
        '-j KUBE-MARK-MASQ',
        f'-A {ext} {comment("route LOCAL traffic for " + s.name)} -m addrtype --src-type LOCAL -j {svc}')
    if s.here:
        add(f'-A {ext} -j {svl}')
    spread(svl, s, s.here)


def iptables_nat():
    chains = ['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ']
    served = [s for s in services if s.ends]
    for s in served:
        chains += [f'KUBE-SVC-{s.tag}', *(f'KUBE-SEP-{s.sep(e)}' for e in s.ends)]
        if s.node_port:
            chains.append(f'KUBE-EXT-{s.tag}')
            if s.local and s.here:
                chains.append(f'KUBE-SVL-{s.tag}')
    add('*nat', *(f':{c} - [0:0]' for c in chains))
    portals = comment('kubernetes service portals')
    add(f'-A PREROUTING {portals} -j KUBE-SERVICES', f'-A OUTPUT {portals} -j KUBE-SERVICES',
        f'-A POSTROUTING {comment("kubernetes postrouting rules")} -j KUBE-POSTROUTING',
        '-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000',
        '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN',
        '-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000',
        f'-A KUBE-POSTROUTING {comment("kubernetes service traffic requiring SNAT")} -j MASQUERADE --random-fully')
    for s in served:
        iptables_service(s)
    add('-A KUBE-SERVICES '
        f'{comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain")} '
        '-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS', 'COMMIT')


# ---- nftables mode ----

ip, addr_type = ('ip6', 'ipv6_addr') if v6 else ('ip', 'ipv4_addr')


def nft_chain(name, *rules):
    add(f'\tchain {name} {{', *(f'\t\t{r}' for r in rules), '\t}')


def nft_set(what, name, kind, elements):
    add(f'\t{what} {name} {{', f'\t\ttype {kind}')
    if elements:
        add('\t\telements = { ' + ', '.join(elements) + ' }')
    add('\t}')


def nft_name(kind, s, e=None):
    tail = f'__{e[family].replace(":", ".")}/{e["port"]}' if e else ''
    return f'{kind}-{s.tag[:8]}-{s.name}/{s.proto}/p{tail}'


def nft_spread(s, ends):
    return (f'numgen random mod {len(ends)} vmap {{ ' +
            ', '.join(f'{i} : goto {nft_name("endpoint", s, e)}' for i, e in enumerate(ends)) + ' }')


def nft_service(s):
    for e in s.ends:
        nft_chain(nft_name('endpoint', s, e), f'{ip} saddr {e[family]} jump mark-for-masquerade',
                  f'meta l4proto {s.proto} dnat to {at(e[family], e["port"])}')
    masq = [f'{ip} daddr {s.ip} {s.proto} dport {s.port} {ip} saddr != {cidr} jump mark-for-masquerade'] if cidr else []
    nft_chain(nft_name('service', s), *masq, nft_spread(s, s.ends))
    if not s.node_port:
        return
    service = f'goto {nft_name("service", s)}'
    if not s.local:
        nft_chain(nft_name('external', s), 'jump mark-for-masquerade', service)
        return
    rules = [f'{ip} saddr {cidr} {service} comment "short-circuit pod traffic"'] if cidr else []
    rules += ['fib saddr type local jump mark-for-masquerade comment "masquerade local traffic"',
              f'fib saddr type local {service} comment "short-circuit local traffic"']
    if s.here:
        rules.append(nft_spread(s, s.here))
    nft_chain(nft_name('external', s), *rules)


def nftables():
    served = [s for s in services if s.ends]
    add(f'table {ip} kube-proxy {{ }}', f'delete table {ip} kube-proxy', f'table {ip} kube-proxy {{')
    nft_set('set', 'cluster-ips', addr_type, [s.ip for s in services])
    nft_set('set', 'nodeport-ips', addr_type, [conf['nodes'][node][family]])
    nft_chain('reject-chain', 'reject')
    nft_chain('mark-for-masquerade', 'meta mark set meta mark or 0x4000')
    for s in served:
        nft_service(s)
    three = f'{addr_type} . inet_proto . inet_service : verdict'
    nft_set('map', 'no-endpoint-services', three,
            [f'{s.ip} . {s.proto} . {s.port} : goto reject-chain' for s in services if not s.ends])
    nft_set('map', 'no-endpoint-nodeports', 'inet_proto . inet_service : verdict',
            [f'{s.proto} . {s.node_port} : drop' for s in served if s.node_port and s.local and not s.here])
    nft_set('map', 'service-ips', three,
            [f'{s.ip} . {s.proto} . {s.port} : goto {nft_name("service", s)}' for s in served])
    nft_set('map', 'service-nodeports', 'inet_proto . inet_service : verdict',
            [f'{s.proto} . {s.node_port} : goto {nft_name("external", s)}' for s in served if s.node_port])
    nft_chain('services', f'{ip} daddr . meta l4proto . th dport vmap @service-ips',
              f'{ip} daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports')
    nft_chain('service-endpoints-check', f'{ip} daddr . meta l4proto . th dport vmap @no-endpoint-services')
    nft_chain('nodeport-endpoints-check',
              f'{ip} daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports')
    nft_chain('cluster-ips-check',
              f'{ip} daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"')
    nft_chain('masquerading', 'meta mark and 0x4000 == 0 return', 'meta mark set meta mark xor 0x4000',
              'masquerade fully-random')
    nft_chain('filter-input', 'type filter hook input priority -110',
              'ct state new jump nodeport-endpoints-check', 'ct state new jump service-endpoints-check')
    nft_chain('filter-forward', 'type filter hook forward priority -110',
              'ct state new jump service-endpoints-check', 'ct state new jump cluster-ips-check')
    nft_chain('filter-output', 'type filter hook output priority -110',
              'ct state new jump service-endpoints-check')
    nft_chain('filter-output-post-dnat', 'type filter hook output priority -90',
              'ct state new jump cluster-ips-check')
    nft_chain('nat-prerouting', 'type nat hook prerouting priority dstnat', 'jump services')
    nft_chain('nat-output', 'type nat hook output priority -100', 'jump services')
    nft_chain('nat-postrouting', 'type nat hook postrouting priority srcnat', 'jump masquerading')
    add('}')


if mode == 'iptables':
    iptables_filter()
    iptables_nat()
else:
    nftables()
print('\n'.join(out))
