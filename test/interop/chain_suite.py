"""weft-cni in one chain with the reference plugins: chain_suite.py NAME DIR PLUGIN. Run by t_chain.sh."""
import json, os, subprocess, sys
from cni_runner import Network, Refused

NAME, DIR, PLUGIN = sys.argv[1:4]
HOST, OTHER = f'/run/netns/weft-{NAME}-h1', f'/run/netns/weft-{NAME}-h2'
PATH = [f'{DIR}/plugins', '/usr/lib/cni']
LIMIT = 1000000  # bit/s
BROKEN = ('portmap',)  # 1.1.1's CHECK looks for its IPv4 rule in ip6tables when a pod has both families


def run(netns, *cmd, check=True):
    r = subprocess.run(['nsenter', f'--net={netns}', *cmd], capture_output=True, text=True)
    if check and r.returncode != 0:
        sys.exit(f'FAIL: {cmd}: {r.stdout}{r.stderr}')
    return r.stdout


def expect(ok, what, seen=''):
    if not ok:
        sys.exit(f'FAIL: {what}: {seen}')


def pod(name):
    ns = f'weft-{NAME}-{name}'
    subprocess.run(['ip', 'netns', 'add', ns], check=True)
    return f'/run/netns/{ns}'


def weft(**more):
    return {'type': 'weft-cni', 'socket': f'{DIR}/h1/run/weft.sock', 'dataDir': f'{DIR}/h1/run/cni', 'capabilities': {'ips': True}, **more}


def chain(version, *plugins, **more):
    return Network({'cniVersion': version, 'name': 'chained', 'plugins': list(plugins), **more}, HOST, PATH)


def snapshot():
    """What of pods a host holds: interfaces, routes, rules, qdiscs."""
    lines = run(HOST, 'ip', '-o', 'link').splitlines()
    links = sorted(l.split(': ')[1].split('@')[0] for l in lines)
    rules = [l for l in run(HOST, 'iptables-save').splitlines() + run(HOST, 'ip6tables-save').splitlines()
             if 'CNI-DN-' in l or 'wpod' in l or '10.32.1.' in l]
    routes = [l for f in ('-4', '-6') for l in run(HOST, 'ip', f, 'route', 'show', 'table', 'all').splitlines() if 'wpod' in l]
    tables = [l for l in run(HOST, 'nft', 'list', 'tables').splitlines() if 'weft-pods' in l]
    return links, rules, routes, tables


def answers(netns, address, port, text):
    """A TCP server in @netns on @port is reached from OTHER at @address."""
    server = subprocess.Popen(['nsenter', f'--net={netns}', '/usr/bin/python3', '-c',
                               'import socket; s = socket.create_server(("0.0.0.0", 80)); print("ready", flush=True); '
                               f's.settimeout(20); c, _ = s.accept(); c.sendall(b"{text}"); c.close()'], stdout=subprocess.PIPE, text=True)
    try:
        expect(server.stdout.readline() == 'ready\n', 'the server starts')
        got = run(OTHER, '/usr/bin/python3', '-c', 'import socket; '
                  f's = socket.create_connection(("{address}", {port}), timeout=10); print(s.recv(100).decode())')
        return got.strip() == text
    finally:
        server.kill()
        server.wait()


def whole_chain(version):
    """loopback before weft-cni; tuning, bandwidth, portmap (and firewall, where it knows the version) behind."""
    before = snapshot()
    plugins = [{'type': 'loopback'}, weft(), {'type': 'tuning', 'sysctl': {'net.ipv4.conf.eth0.arp_filter': '1'}, 'mtu': 1400},
               {'type': 'bandwidth', 'ingressRate': LIMIT, 'ingressBurst': LIMIT, 'egressRate': LIMIT, 'egressBurst': LIMIT},
               {'type': 'portmap', 'capabilities': {'portMappings': True}}]
    if version >= '0.4.0':
        plugins.append({'type': 'firewall', 'backend': 'iptables'})
    n = chain(version, *plugins)
    expect(n.version == version, 'the version that is agreed', n.version)
    ns = pod('chain')
    r = n.add('c1', ns, portMappings=[{'hostPort': 8080, 'containerPort': 80, 'protocol': 'tcp'}])
    names = [i['name'] for i in r['interfaces']]
    expect('lo' in names and 'eth0' in names and any(x.startswith('wpod') for x in names), 'interfaces', r)
    ours = [i for i in r['ips'] if r['interfaces'][i['interface']]['name'] == 'eth0']
    expect(len(ours) == 2 and {i.get('version') for i in ours} == ({'4', '6'} if version < '1' else {None}), 'ips', r)
    v4 = next(i['address'].split('/')[0] for i in ours if '.' in i['address'])
    end = next(x for x in names if x.startswith('wpod'))
    expect(run(ns, 'cat', '/proc/sys/net/ipv4/conf/eth0/arp_filter').strip() == '1', 'tuning: sysctl')
    expect('mtu 1400' in run(ns, 'ip', 'link', 'show', 'eth0'), 'tuning: mtu')
    expect('tbf' in run(HOST, 'tc', 'qdisc', 'show', 'dev', end), 'bandwidth', run(HOST, 'tc', 'qdisc'))
    expect(answers(ns, '192.0.2.1', 8080, 'by the port'), 'portmap')
    if version >= '0.4.0':
        n.check('c1', but=BROKEN)
        run(HOST, 'ip', 'route', 'del', v4, 'table', '679301')
        try:
            n.check('c1', but=BROKEN)
            sys.exit('FAIL: CHECK of the chain does not see that a route is gone')
        except Refused as e:
            expect(e.plugin == 'weft-cni' and e.error['code'] == 102, 'CHECK', e)
        run(HOST, 'ip', 'route', 'add', v4, 'dev', end, 'table', '679301', 'metric', '256', 'proto', '157')
    n.delete('c1')
    after = snapshot()
    expect(after == before, 'something is left', (before, after))
    # Gone before DEL comes.
    n.add('c2', ns, portMappings=[{'hostPort': 8080, 'containerPort': 80, 'protocol': 'tcp'}])
    subprocess.run(['ip', 'netns', 'del', os.path.basename(ns)], check=True)
    n.delete('c2')
    n.attached['c2', 'eth0'] = {'netns': ns, 'result': None, 'runtime': {}, 'args': ''}
    after = snapshot()
    expect(after == before, 'something is left of a namespace that vanished', (before, after))


def failing_behind():
    """A plugin behind weft-cni fails: DEL of the whole list takes back what weft-cni made."""
    before = snapshot()
    n = chain('1.0.0', weft(), {'type': 'tuning', 'sysctl': {'net.ipv4.conf.none.such': '1'}})
    ns = pod('fb')
    try:
        n.add('c1', ns)
        sys.exit('FAIL: tuning takes a sysctl that is not there')
    except Refused as e:
        expect(e.plugin == 'tuning', 'who fails', e)
    n.delete('c1')
    expect(snapshot() == before, 'something is left', snapshot())
    subprocess.run(['ip', 'netns', 'del', os.path.basename(ns)], check=True)


def versions():
    """The newest version that all of a list's plugins know is taken."""
    n = chain('1.1.0', weft(), {'type': 'portmap', 'capabilities': {'portMappings': True}}, cniVersions=['0.4.0', '1.0.0', '1.1.0'])
    expect(n.version == '1.0.0', 'with a portmap that knows 1.0.0', n.version)
    expect(chain('0.3.1', weft(), cniVersions=['0.4.0', '1.0.0', '1.1.0']).version == '1.1.0', 'weft-cni alone')
    text = open(f'{os.path.dirname(os.path.abspath(__file__))}/../../deploy/cni/05-weft.conflist').read()
    shipped = json.loads(text)
    n = Network(shipped, HOST, PATH)
    expect(n.version == '1.0.0', 'the list that weft ships, with these plugins', n.version)


def gc_and_status():
    """At 1.1.0, which the reference plugins here don't know: weft-cni alone, 40 pods."""
    before = snapshot()
    n = chain('1.1.0', weft())
    n.status()
    pods = [pod(f'gc{i}') for i in range(40)]
    for i, ns in enumerate(pods):
        n.add(f'g{i}', ns, args=f'IgnoreUnknown=1;K8S_POD_NAMESPACE=x;K8S_POD_NAME=p{i}')
    for i in range(0, 40, 2):  # the runtime forgets them
        del n.attached[f'g{i}', 'eth0']
    n.gc()
    expect(len([l for l in snapshot()[0] if l.startswith('wpod')]) == 20, 'twenty stay', snapshot()[0])
    for i in range(1, 40, 2):
        n.check(f'g{i}')
        n.delete(f'g{i}')
    n.gc()
    expect(snapshot() == before, 'something is left', snapshot())
    for ns in pods:
        subprocess.run(['ip', 'netns', 'del', os.path.basename(ns)], check=True)


os.makedirs(f'{DIR}/plugins', exist_ok=True)
os.symlink(os.path.abspath(PLUGIN), f'{DIR}/plugins/weft-cni')
for what, fn, args in (('versions', versions, ()), ('a chain at 0.3.1', whole_chain, ('0.3.1',)), ('at 0.4.0', whole_chain, ('0.4.0',)),
                       ('at 1.0.0', whole_chain, ('1.0.0',)), ('a plugin behind fails', failing_behind, ()),
                       ('GC and STATUS', gc_and_status, ())):
    fn(*args)
    print(f'  ok {what}', flush=True)
