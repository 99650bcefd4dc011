"""The CNI plugin by its specification: each verb, version and error, over the real binary and a real weftd.

Run by t_cni.sh, which made the hosts: cni_suite.py NAME DIR PLUGIN GROUP. The runtime's part is played here;
what the kernel then holds is asked of ip and nft. A case that fails ends the run with what was seen."""
import concurrent.futures, errno, ipaddress, json, os, re, signal, subprocess, sys, time

sys.path.insert(0, f'{os.path.dirname(os.path.abspath(__file__))}/../kube')
import fakeweftd

NAME, DIR, PLUGIN, GROUP = sys.argv[1:5]
HOST = f'/run/netns/weft-{NAME}-h1'
SOCKET, DATA = f'{DIR}/h1/run/weft.sock', f'{DIR}/h1/run/cni'
MAC = '02:77:65:66:74:01'
GATEWAY = {4: '169.254.1.1', 6: 'fe80::1'}
VERSIONS = ['0.3.1', '0.4.0', '1.0.0', '1.1.0']


def sh(cmd, check=True):
    r = subprocess.run(cmd, shell=True, capture_output=True, text=True)
    if check and r.returncode != 0:
        sys.exit(f'FAIL: {cmd}: {r.stdout}{r.stderr}')
    return r.stdout


def host(cmd, check=True):
    return sh(f"nsenter --net={HOST} sh -c '{cmd}'", check)


class Pod:
    """A container: a namespace and an id."""
    made = []

    def __init__(self, name, cid=None):
        self.ns, self.id = f'weft-{NAME}-{name}', cid or 'c-' + name
        self.path = f'/run/netns/{self.ns}'
        sh(f'ip netns add {self.ns}')
        Pod.made.append(self)

    def sh(self, cmd, check=True):
        return sh(f"nsenter --net={self.path} sh -c '{cmd}'", check)

    def gone(self):
        sh(f'ip netns del {self.ns}')
        Pod.made.remove(self)


def conf(version='1.1.0', **more):
    return {'cniVersion': version, 'name': 'weft', 'type': 'weft-cni', 'socket': SOCKET, 'dataDir': DATA, **more}


def call(verb, pod=None, stdin=None, wrap=(), **env):
    """Run the plugin: exit status, the JSON it printed (None: nothing), stderr."""
    e = {'PATH': os.environ['PATH'], 'CNI_PATH': '/opt/cni/bin'}
    if verb is not None:
        e['CNI_COMMAND'] = verb
    if pod:
        e |= {'CNI_CONTAINERID': pod.id, 'CNI_NETNS': pod.path, 'CNI_IFNAME': 'eth0'}
    e |= {k: v for k, v in env.items() if v is not None}
    for k, v in env.items():
        if v is None:
            e.pop(k, None)
    text = stdin if isinstance(stdin, (str, bytes)) else json.dumps(conf() if stdin is None else stdin)
    r = subprocess.run(['nsenter', f'--net={HOST}', *wrap, PLUGIN], env=e, capture_output=True,
                       input=text.encode() if isinstance(text, str) else text)
    out = r.stdout.decode()
    return r.returncode, json.loads(out) if out.strip() else None, r.stderr.decode(errors='replace')


def expect(ok, what, seen=''):
    if not ok:
        sys.exit(f'FAIL: {what}: {seen}')


def good(verb, pod=None, stdin=None, **env):
    rc, out, err = call(verb, pod, stdin, **env)
    expect(rc == 0, f'{verb} fails', (out, err))
    if verb not in ('ADD', 'VERSION'):
        expect(out is None, f'{verb} prints something', out)
    return out


def bad(code, verb, pod=None, stdin=None, says=None, **env):
    rc, out, err = call(verb, pod, stdin, **env)
    expect(rc != 0 and out and out.get('code') == code, f'{verb} should be error {code}', (rc, out, err))
    expect(out.get('cniVersion') and out.get('msg'), 'an error without cniVersion or msg', out)
    if says:
        expect(says in out['msg'] + out.get('details', ''), f'the error does not say "{says}"', out)
    return out


def with_prev(result, **more):
    return conf(result['cniVersion'], prevResult=result, **more)


def addresses(result):
    return [i['address'].split('/')[0] for i in result['ips']]


def host_end(result):
    return next(i['name'] for i in result['interfaces'] if 'sandbox' not in i)


def leftovers():
    """What of pods stands on the host."""
    links = re.findall(r'wpod\w+', host('ip -o link'))
    routes = [l for f in ('-4', '-6') for l in host(f'ip {f} route show table all proto 157').splitlines() if 'wpod' in l]
    return sorted(set(links)), routes


def clean():
    expect(leftovers() == ([], []), 'something is left on the host', leftovers())
    expect('weft-pods' not in host('nft list tables'), 'the nf_tables table is left')


def wait(what, fn, seconds=20):
    end = time.time() + seconds
    while not fn():
        expect(time.time() < end, f'waited in vain for {what}')
        time.sleep(0.05)


def weft(*args):
    r = subprocess.run([os.environ.get('WEFT', f'{os.path.dirname(PLUGIN)}/../weft'), '--socket', SOCKET, *args],
                       capture_output=True, text=True)
    expect(r.stdout, f'weft {args} said nothing', (r.returncode, r.stderr))
    return r.stdout


def pool(family=4):
    """What weft status ipam says of the pods' addresses."""
    return next(p for p in json.loads(weft('-o', 'json', 'status', 'ipam'))['pods'] if p['family'] == family)


def used():
    """Addresses that are given out; none if there never was a pod."""
    return sum(p['used'] for p in json.loads(weft('-o', 'json', 'status', 'ipam'))['pods'])


def metric(name):
    text = host('curl -s http://127.0.0.1:6794/metrics')
    return next(float(l.rsplit(' ', 1)[1]) for l in text.splitlines() if l.startswith(name + ' '))


def status_is(code):
    return (call('STATUS', stdin=conf('1.1.0'))[1] or {'code': 0})['code'] == code


# ---- group: verbs ----

def case_version():
    for v in VERSIONS + ['0.1.0', '9.9.9']:
        out = good('VERSION', stdin={'cniVersion': v})
        expect(out == {'cniVersion': v, 'supportedVersions': VERSIONS}, 'VERSION', out)
    expect(good('VERSION', stdin='')['supportedVersions'] == VERSIONS, 'VERSION without input')
    expect(good('VERSION', CNI_PATH=None, stdin={'cniVersion': '1.0.0', 'junk': 1}), 'VERSION needs no variables')
    rc, out, err = call(None)
    expect(rc == 0 and out is None and '1.1.0' in err, 'no CNI_COMMAND: about text', (rc, out, err))


def case_result_of_each_version():
    pod = Pod('v')
    for v in VERSIONS:
        r = good('ADD', pod, conf(v))
        expect(r['cniVersion'] == v, 'cniVersion of the result', r)
        expect(len(r['interfaces']) == 2 and len(r['ips']) == 2, 'interfaces and ips', r)
        inside = [i for i, x in enumerate(r['interfaces']) if x.get('sandbox') == pod.path]
        expect(len(inside) == 1 and r['interfaces'][inside[0]]['name'] == 'eth0', 'the pod end', r)
        for ip in r['ips']:
            family = ipaddress.ip_interface(ip['address']).version
            expect(ip['interface'] == inside[0] and ip['gateway'] == GATEWAY[family], 'ip', ip)
            expect(ip.get('version') == (str(family) if v < '1' else None), 'version of an ip', ip)
        expect({x['dst'] for x in r['routes']} == {'0.0.0.0/0', '::/0'}, 'routes', r)
        expect(all(('mtu' in i) == (v == '1.1.0') for i in r['interfaces']), 'mtu', r)
        if v != '0.3.1':
            good('CHECK', pod, with_prev(r))
        good('DEL', pod, with_prev(r))
    clean()


def case_interface_in_kernel():
    pod = Pod('k')
    r = good('ADD', pod, conf(runtimeConfig={'mac': '02:00:00:00:00:55'}))
    end, (v4, v6) = host_end(r), addresses(r)
    link = json.loads(pod.sh('ip -j link show eth0'))[0]
    expect(link['address'] == '02:00:00:00:00:55' and 'UP' in link['flags'] and link['mtu'] == 1436, 'the pod end', link)
    link = json.loads(host(f'ip -j link show {end}'))[0]
    expect(link['address'] == MAC and 'UP' in link['flags'] and link['ifalias'] == f'weft-pod weft {pod.id} eth0', 'host end', link)
    for path, want in {'ipv4/conf/{}/rp_filter': 1, 'ipv4/conf/{}/forwarding': 1, 'ipv4/conf/{}/proxy_arp': 0,
                       'ipv4/conf/{}/send_redirects': 0, 'ipv4/conf/{}/accept_redirects': 0,
                       'ipv6/conf/{}/accept_ra': 0, 'ipv6/conf/{}/forwarding': 1}.items():
        path = '/proc/sys/net/' + path.format(end)
        expect(host(f'cat {path}').strip() == str(want), path, host(f'cat {path}'))
    expect(pod.sh('cat /proc/sys/net/ipv6/conf/eth0/accept_ra').strip() == '0', 'accept_ra in the pod')
    neigh = pod.sh('ip neigh show dev eth0 nud permanent')
    expect(neigh.count(MAC) == 2 and '169.254.1.1' in neigh and 'fe80::1' in neigh, 'neighbours', neigh)
    expect('tentative' not in pod.sh('ip -6 addr'), 'an address waits for duplicate detection')
    for a in (v4, v6):
        expect(f'dev {end}' in host(f'ip route get {a}'), 'the host routes to the pod', host(f'ip route get {a}'))
        sh(f'nsenter --net={HOST} ping -c1 -W2 -q {a}')
    expect(re.search(r'iifname "wpod\*" fib saddr \. iif oif missing', host('nft list table inet weft-pods')), 'the pin')
    good('DEL', pod)
    clean()


def case_environment():
    pod = Pod('e')
    for verb in ('ADD', 'CHECK'):
        for k in ('CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'):
            bad(4, verb, pod, says=k, **{k: None})
    for k in ('CNI_CONTAINERID', 'CNI_IFNAME', 'CNI_PATH'):
        bad(4, 'DEL', pod, says=k, **{k: None})
    for verb in ('GC', 'STATUS'):
        bad(4, verb, says='CNI_PATH', CNI_PATH=None)
    for name in ('a' * 16, '.', '..', 'a/b', 'a:b', 'a b'):
        bad(4, 'ADD', pod, says='CNI_IFNAME', CNI_IFNAME=name)
    for cid in ('-x', '.x', 'a b', 'a/b', 'x' * 129):
        bad(4, 'ADD', pod, says='CNI_CONTAINERID', CNI_CONTAINERID=cid)
    bad(4, 'FROB', pod, says='FROB')
    bad(4, 'ADD', pod, says='CNI_ARGS', CNI_ARGS='K8S_POD_NAME')
    bad(4, 'ADD', pod, says='IP', CNI_ARGS='IP=10.32.1')
    bad(4, 'ADD', pod, CNI_NETNS='/etc/passwd')
    # No UTF-8: an error all the same, and one that JSON can hold.
    bad(4, 'ADD', pod, CNI_NETNS='/run/netns/\udcf9', says='UTF-8')
    bad(4, '\udcb8', pod)
    bad(3, 'ADD', pod, CNI_NETNS='/run/netns/there-is-none')
    bad(8, 'ADD', pod, CNI_NETNS=HOST)
    clean()


def case_configuration():
    pod = Pod('f')
    for text in ('', '{', '[]', '7', '{"cniVersion": 1}', b'\xff\xfe', '{"cniVersion":"1.1.0","name":"weft"'):
        bad(6, 'ADD', pod, text)
    for v in ('0.1.0', '0.2.0', '1.2.0', '2.0.0', ''):
        bad(1, 'ADD', pod, conf(v))
    bad(1, 'ADD', pod, {'name': 'weft', 'type': 'weft-cni'})
    bad(1, 'CHECK', pod, conf('0.3.1', prevResult={}))
    for verb in ('GC', 'STATUS'):
        bad(1, verb, stdin=conf('1.0.0', **{'cni.dev/valid-attachments': []}))
    c = conf()
    del c['name']
    bad(7, 'ADD', pod, c, says='name')
    for more in ({'name': 'a b'}, {'name': 7}, {'mtu': '1400'}, {'mtu': 70000}, {'mtu': 9000}, {'mtu': 1200}, {'socket': 'x'},
                 {'dataDir': 5}, {'waitMs': -1}, {'pin': 'no'}, {'runtimeConfig': []}, {'runtimeConfig': {'ips': 'x'}},
                 {'runtimeConfig': {'ips': ['10.32.1.999']}}, {'runtimeConfig': {'ips': ['192.0.2.77']}},
                 {'runtimeConfig': {'ips': ['10.32.1.1']}}, {'runtimeConfig': {'ips': ['10.32.1.255']}},
                 {'runtimeConfig': {'mac': 'zz'}}, {'runtimeConfig': {'mac': '01:00:00:00:00:01'}}):
        bad(7, 'ADD', pod, conf() | more)
    for more in ({'ipam': {'type': 'host-local'}}, {'vni': 7}, {'runtimeConfig': {'ipRanges': [[]]}}):
        bad(2, 'ADD', pod, conf(**more), says=list(more)[0])
    for prev in ([], {'ips': 7}, {'interfaces': [1]}):
        bad(6, 'ADD', pod, conf(prevResult=prev))
    bad(7, 'CHECK', pod, says='prevResult')
    r = good('ADD', pod, conf(somethingNew={'a': 1}, mtu=1300, ipam={}))
    expect(r['interfaces'][0]['mtu'] == 1300 and 'mtu 1300' in pod.sh('ip link show eth0'), 'mtu', r)
    lag = json.loads(weft('-o', 'json', 'status'))['pod_mtu']
    expect(lag['smaller'] == 1 and lag['devices'] == [{'device': r['interfaces'][0]['name'], 'mtu': 1300}], 'pod_mtu', lag)
    good('DEL', pod)
    expect(json.loads(weft('-o', 'json', 'status'))['pod_mtu']['smaller'] == 0, 'pod_mtu of no pod')
    clean()


def case_static_and_args():
    pod, other = Pod('s'), Pod('s2')
    args = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=prod;K8S_POD_NAME=db-0;K8S_POD_INFRA_CONTAINER_ID=x;'
    r = good('ADD', pod, conf(runtimeConfig={'ips': ['10.32.1.77/24', 'fd32:0:0:1::dead:beef']}), CNI_ARGS=args)
    expect(addresses(r) == ['10.32.1.77', 'fd32::1:0:0:dead:beef'], 'addresses by name', r)
    att = json.loads(weft('-o', 'json', 'status', 'ipam'))['attachments']
    expect(att == [{'namespace': 'prod', 'pod': 'db-0', 'container': pod.id, 'interface': 'eth0', 'network': 'weft', 'vni': 1,
                    'addresses': ['10.32.1.77', 'fd32::1:0:0:dead:beef']}], 'what the runtime said is kept', att)
    expect('attachments' not in json.loads(weft('-o', 'json', 'report'))['ipam'], 'a report names no pods')
    bad(11, 'ADD', other, conf(runtimeConfig={'ips': ['10.32.1.77']}), says='10.32.1.77')
    good('DEL', pod)
    r = good('ADD', other, CNI_ARGS='IP=10.32.1.77;MAC=02:00:00:00:00:99')
    expect(addresses(r)[0] == '10.32.1.77' and len(addresses(r)) == 2, 'by CNI_ARGS, while it rests', r)
    expect(r['interfaces'][1]['mac'] == '02:00:00:00:00:99', 'MAC by CNI_ARGS', r)
    good('DEL', other)
    clean()


def case_chain():
    """Behind another plugin: prevResult is kept, ours is added to it."""
    pod = Pod('ch')
    prev = {'cniVersion': '1.0.0', 'interfaces': [{'name': 'other0', 'sandbox': pod.path}], 'custom': 1,
            'ips': [{'address': '198.18.0.9/24', 'interface': 0}], 'dns': {'nameservers': ['192.0.2.53']}}
    r = good('ADD', pod, conf('1.0.0', prevResult=prev))
    expect(r['interfaces'][0] == prev['interfaces'][0] and r['ips'][0] == prev['ips'][0], 'prevResult', r)
    expect(r['custom'] == 1 and r['dns'] == prev['dns'], 'the rest of prevResult', r)
    expect([i['interface'] for i in r['ips'][1:]] == [2, 2] and len(r['interfaces']) == 3, 'indexes', r)
    good('CHECK', pod, with_prev(r))
    good('DEL', pod, with_prev(r))
    r = good('ADD', pod, conf(dns={'nameservers': ['10.96.0.10']}))
    expect(r['dns'] == {'nameservers': ['10.96.0.10']}, 'dns of the configuration', r)
    good('DEL', pod)
    clean()


def case_again_and_gone():
    pod = Pod('g')
    r = good('ADD', pod)
    bad(100, 'ADD', pod)
    good('CHECK', pod, with_prev(r))  # the second ADD broke nothing
    pod.sh('ip link add eth1 type veth peer name x1')
    bad(100, 'ADD', pod, CNI_CONTAINERID='other', CNI_IFNAME='eth1')
    good('DEL', pod, CNI_CONTAINERID='other', CNI_IFNAME='eth1')
    expect('eth1' in pod.sh('ip -o link'), "another's interface is left alone")
    good('DEL', pod)  # without prevResult
    good('DEL', pod)
    good('DEL', pod, CNI_NETNS=None)
    r = good('ADD', pod)
    pod.gone()
    wait('the pair to go with its namespace', lambda: not leftovers()[0])
    good('DEL', pod, with_prev(r))
    expect(call('ADD', pod)[1]['code'] == 3, 'ADD into a vanished namespace')
    good('DEL', pod)
    clean()


def case_check():
    pod = Pod('ck')
    r = good('ADD', pod)
    end, (v4, v6) = host_end(r), addresses(r)
    good('CHECK', pod, with_prev(r))
    # The kernel drops a device's neighbour entries, permanent ones too, when its MAC or the
    # last address goes.
    neigh = '; '.join(f'ip neigh replace {g} dev eth0 lladdr {MAC} nud permanent' for g in GATEWAY.values())
    damages = [  # where, what is done, what CHECK says, how it is mended (None: by DEL and ADD)
        (pod.sh, f'ip addr del {v4}/32 dev eth0', v4, f'ip addr add {v4}/32 dev eth0; ip route replace 169.254.1.1 dev eth0; ip route replace default via 169.254.1.1; {neigh}'),
        (pod.sh, 'ip route del default', 'default route, IPv4', 'ip route add default via 169.254.1.1'),
        (pod.sh, 'ip -6 route del default', 'default route, IPv6', 'ip -6 route add default via fe80::1 dev eth0'),
        (pod.sh, 'ip neigh del 169.254.1.1 dev eth0', 'neighbour', f'ip neigh add 169.254.1.1 dev eth0 lladdr {MAC} nud permanent'),
        (pod.sh, 'ip link set eth0 address 02:00:00:00:00:01', 'MAC', f'ip link set eth0 address {r["interfaces"][1]["mac"]}; {neigh}'),
        (host, f'ip route del {v4} table 679301', f'route to {v4}', f'ip route add {v4} dev {end} table 679301 metric 256 proto 157'),
        (host, f'ip -6 route del {v6} table 679301', f'route to {v6}', f'ip -6 route add {v6} dev {end} table 679301 metric 256 proto 157'),
        (host, f'sysctl -qw net.ipv4.conf.{end}.rp_filter=0', 'rp_filter', f'sysctl -qw net.ipv4.conf.{end}.rp_filter=1'),
        (host, 'nft flush table inet weft-pods', 'pinned', 'nft delete table inet weft-pods'),
        (pod.sh, 'ip link set eth0 down', 'down', None),
        (pod.sh, 'ip link del eth0', 'no interface', None),
    ]
    for where, damage, says, mend in damages:
        where(damage)
        bad(102, 'CHECK', pod, with_prev(r), says=says)
        if mend and 'weft-pods' not in mend:
            where(mend)
        else:
            good('DEL', pod)
            r = good('ADD', pod)
            end, (v4, v6) = host_end(r), addresses(r)
        good('CHECK', pod, with_prev(r))
    other = json.loads(json.dumps(r))
    other['ips'][0]['address'] = '10.32.1.200/32'
    bad(102, 'CHECK', pod, with_prev(other), says='prevResult')
    other = json.loads(json.dumps(r))
    other['interfaces'] = []
    bad(102, 'CHECK', pod, with_prev(other), says='eth0')
    bad(3, 'CHECK', pod, with_prev(r), CNI_NETNS='/run/netns/there-is-none')
    # What a plugin behind us changes and says is fine.
    pod.sh(f'ip link set eth0 address 02:00:00:00:00:01; {neigh}')
    r['interfaces'][1]['mac'] = '02:00:00:00:00:01'
    r['ips'].append({'address': '198.18.0.9/24', 'interface': 1})
    good('CHECK', pod, with_prev(r))
    good('DEL', pod)
    bad(102, 'CHECK', pod, with_prev(r), says='reserved')
    clean()


def case_pinned():
    """A pod that sends with another's address is dropped at its veth, IPv4 and IPv6, whatever `all` says."""
    a, b = Pod('pa'), Pod('pb')
    ra, rb = good('ADD', a), good('ADD', b)
    host('sysctl -qw net.ipv4.conf.all.rp_filter=2')
    for x, y in zip(addresses(ra), addresses(rb)):
        a.sh(f'ping -c1 -W2 -q {y}')
    def dropped():
        return int(re.search(r'packets (\d+)', host('nft list table inet weft-pods')).group(1))
    a.sh('ip addr add 10.32.1.99/32 dev lo; ip -6 addr add fd32:0:0:1::99/128 dev lo nodad; ip addr add 192.0.2.1/32 dev lo')
    before = dropped()
    for src, dst in (('10.32.1.99', addresses(rb)[0]), ('fd32:0:0:1::99', addresses(rb)[1]), ('192.0.2.1', addresses(rb)[0])):
        a.sh(f'ping -c1 -W0.3 -q -I {src} {dst}', check=False)
    wait('three drops', lambda: dropped() >= before + 3)
    host('sysctl -qw net.ipv4.conf.all.rp_filter=0')
    # Not pinned by wish: then there is no rule.
    for p in (a, b):
        good('DEL', p)
    good('ADD', a, conf(pin=False))
    expect('weft-pods' not in host('nft list tables'), 'pin: false')
    good('DEL', a)
    clean()


# ---- group: six (the node has an IPv6 prefix alone) ----

def case_ipv6_alone():
    pods = [Pod(f'v6{i}') for i in range(2)]
    res = [good('ADD', p) for p in pods]
    for p, r in zip(pods, res):
        expect(len(r['ips']) == 1 and r['ips'][0]['gateway'] == GATEWAY[6] and [x['dst'] for x in r['routes']] == ['::/0'], 'the result', r)
        expect(not p.sh('ip -4 -o addr show dev eth0') and not p.sh('ip -4 route'), 'no IPv4 in the pod', p.sh('ip -4 addr'))
        good('CHECK', p, with_prev(r))
    pods[0].sh(f'ping -c1 -W5 -q {addresses(res[1])[0]}')
    sh(f'nsenter --net={HOST} ping -c1 -W5 -q {addresses(res[0])[0]}')
    bad(7, 'CHECK', pods[0], conf())
    bad(7, 'ADD', Pod('v6x'), conf(runtimeConfig={'ips': ['10.32.1.9']}), says='10.32.1.9')
    for p, r in zip(pods, res):
        good('DEL', p, with_prev(r))
    clean()


# ---- group: life ----

def case_gc():
    pods = [Pod(f'gc{i}') for i in range(4)]
    res = [good('ADD', p) for p in pods]
    foreign = Pod('gcx')
    good('ADD', foreign, conf() | {'name': 'othernet'})
    def gc(valid, **more):
        return conf(**{'cni.dev/valid-attachments': [{'containerID': p.id, 'ifname': 'eth0'} for p in valid]}, **more)
    bad(7, 'GC', stdin=conf(), says='valid-attachments')
    bad(7, 'GC', stdin=conf(**{'cni.dev/valid-attachments': None}))
    bad(7, 'GC', stdin=conf(**{'cni.dev/valid-attachments': [{'containerID': 'x'}]}))
    expect(len(leftovers()[0]) == 5, 'a refused GC frees nothing', leftovers())
    good('GC', stdin=gc(pods))
    for p, r in zip(pods, res):
        good('CHECK', p, with_prev(r))
    good('GC', stdin=gc(pods[:2]))
    expect(len(leftovers()[0]) == 3, 'two are freed', leftovers())
    bad(102, 'CHECK', pods[3], with_prev(res[3]))
    # It puts back what somebody took from those that stay.
    host(f'ip route del {addresses(res[0])[0]} table 679301')
    good('GC', stdin=gc(pods[:2]))
    good('CHECK', pods[0], with_prev(res[0]))
    # The older name of the key.
    good('GC', stdin=conf(**{'cni.dev/attachments': [{'containerID': pods[0].id, 'ifname': 'eth0'}]}))
    expect(len(leftovers()[0]) == 2, 'by the older name', leftovers())
    # The address file is lost: the interfaces say whose they are.
    os.unlink(f'{DATA}/pods')
    r = good('ADD', pods[1])
    expect(not set(addresses(r)) & set(addresses(res[0])), 'an address is given twice', r)
    good('CHECK', pods[0], with_prev(res[0]))
    # It is damaged: set aside, made anew.
    with open(f'{DATA}/pods', 'r+b') as f:
        f.seek(60)
        f.write(b'\xff\xff\xff')
    good('DEL', pods[1])
    good('CHECK', pods[0], with_prev(res[0]))
    expect(any(n.startswith('pods.bad') for n in os.listdir(DATA)), 'set aside', os.listdir(DATA))
    good('GC', stdin=gc([]))
    expect(len(leftovers()[0]) == 1, "the other network's stays", leftovers())
    good('GC', stdin=gc([]) | {'name': 'othernet'})
    clean()


def case_killed():
    """kill -9 anywhere in ADD, then DEL or GC: nothing is left."""
    steps, pod = set(), Pod('kill')
    for n in range(1, 90, 3):
        # The n-th system call that changes something outside is the last.
        rc, out, _ = call('ADD', pod, wrap=('python3', f'{os.path.dirname(os.path.abspath(__file__))}/cni_kill.py', str(n)))
        steps.add(rc)
        if n % 2 == 1:
            good('DEL', pod)
        else:
            good('GC', stdin=conf(**{'cni.dev/valid-attachments': []}))
        clean()
        expect('eth0' not in pod.sh('ip -o link'), 'an interface is left in the pod')
        if rc == 0:
            break
    good('ADD', pod)
    good('DEL', pod)
    expect(len(steps) == 2, 'some were killed, and one came through', steps)


def case_each_call_fails():
    """Each system call of ADD that changes something fails in turn: an error that says so, and nothing is left, without
    any DEL. ADD that comes through all the same has made all of it."""
    pod, codes = Pod('cf'), set()
    for n in range(1, 200):
        rc, out, err = call('ADD', pod, wrap=('python3', f'{os.path.dirname(os.path.abspath(__file__))}/cni_kill.py', f'{n}:{errno.ENOBUFS}'))
        if rc == 99:
            break
        if rc == 0:
            good('CHECK', pod, with_prev(out))
            good('DEL', pod)
        elif out is None:  # it was the result that could not be written
            good('DEL', pod)
        else:
            codes.add(out['code'])
            expect(out['msg'] and out['cniVersion'] == '1.1.0', 'the error', out)
        clean()
        expect(used() == 0, 'an address is left', (n, out))
        expect('eth0' not in pod.sh('ip -o link'), 'an interface is left in the pod', (n, out))
    expect(n > 20 and {5, 101} <= codes <= {5, 11, 101}, 'errors of all kinds', (n, codes))
    good('DEL', pod)


def case_kernel_refuses():
    """Error 101, by a plugin that may not change the network."""
    pod = Pod('kr')
    wrap = ('setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-all')
    rc, out, err = call('ADD', pod, wrap=wrap)
    expect(rc == 1 and out['code'] == 101, 'ADD without the right to', (rc, out, err))
    expect(used() == 0, 'the address is given back')
    clean()
    good('ADD', pod)
    rc, out, err = call('DEL', pod, wrap=wrap)
    expect(rc == 1 and out['code'] == 101, 'DEL without the right to', (rc, out, err))
    expect(len(leftovers()[0]) == 1 and used() == 2, 'an interface that stays keeps its addresses', pool())
    good('DEL', pod)
    clean()


def case_odd_daemon():
    """What answers on the socket is no weftd, or one whose kernel state does not stand."""
    pod, w = Pod('od'), fakeweftd.Weftd(f'{DIR}/odd.sock')
    c = conf(socket=w.path, waitMs=200)
    usual = {'ready': True, 'not_ready': [], 'settling': False, 'peers_linked': 0, 'peers_known': 0, 'known_to_peer': False, 'mtu': 1436,
             'table': 679301, 'prefixes': [{'vni': 1, 'prefix': '10.32.1.0/24'}]}
    def says(**more):
        w.answer = lambda cmd, args: {'ok': True, 'data': usual | more}
    says()
    good('STATUS', stdin=c)
    # weftd's kernel state: no pod is made, and those that run may feel it.
    says(ready=False, not_ready=['kernel state is not as it should be: no rule'])
    bad(11, 'ADD', pod, c, says='kernel state')
    bad(51, 'STATUS', stdin=c, says='kernel state')
    for more in ({'mtu': 0}, {'mtu': 70000}, {'mtu': 'x'}, {'table': 0}, {'prefixes': [{'vni': 1, 'prefix': '10.32.1.1/24'}]},
                 {'prefixes': [{'vni': 1 << 24, 'prefix': '10.32.1.0/24'}]}, {'prefixes': [{'prefix': '10.32.1.0/24'}]}, {'prefixes': [7]}):
        says(**more)
        bad(11, 'ADD', pod, c, says='makes no sense')
        bad(50, 'STATUS', stdin=c, says='makes no sense')
    for more in ({'prefixes': []}, {'prefixes': 'x'}, {'prefixes': None}):
        says(**more)
        bad(11, 'ADD', pod, c, says='no prefix')
    w.answer = lambda cmd, args: {'ok': False, 'error': f"this weftd (0.0.1) has no command '{cmd}'"}
    bad(11, 'ADD', pod, c, says='has no command')
    w.answer = lambda cmd, args: {'ok': True, 'data': usual | {'prefixes': [{'vni': 1, 'prefix': f'10.32.{i // 256}.{i % 256}/32'} for i in range(2000)]}}
    bad(11, 'ADD', pod, c)  # none of them has an address to give
    for text in (b'', b'\0\0', b'\0\0\0\1\xc1', b'\xff\xff\xff\xff', b'HTTP/1.1 400 Bad Request\r\n\r\n', b'\0\0\0\x04\xdf\xff\xff\xff'):
        w.mad = lambda k: (k.recv(100), k.sendall(text))
        bad(11, 'ADD', pod, c, says='weftd')
        bad(50, 'STATUS', stdin=c, says='weftd')
        good('GC', stdin=c | {'cni.dev/valid-attachments': []})
    w.stop()
    clean()


def case_killed_then_again():
    """A leftover of a killed ADD whose interface never was does not block the same container's next ADD."""
    pod = Pod('ka')
    r = good('ADD', pod)
    host(f'ip link del {host_end(r)}')
    r = good('ADD', pod)
    good('CHECK', pod, with_prev(r))
    good('DEL', pod)
    clean()


def case_parallel():
    pods = [Pod(f'p{i}') for i in range(100)]
    with concurrent.futures.ThreadPoolExecutor(100) as ex:
        res = list(ex.map(lambda p: good('ADD', p), pods))
        every = [a for r in res for a in addresses(r)]
        expect(len(every) == 200 and len(set(every)) == 200, 'addresses are unique', sorted(every))
        list(ex.map(lambda pr: good('CHECK', pr[0], with_prev(pr[1])), zip(pods[:10], res)))
        list(ex.map(lambda p: good('DEL', p), pods))
    for p in list(pods):
        p.gone()
    clean()


def case_disk_full():
    pod, small = Pod('df'), f'{DIR}/small'
    os.makedirs(small, exist_ok=True)
    sh(f'mount -t tmpfs -o size=64k,mode=700 tmpfs {small}')
    try:
        c = conf(dataDir=small + '/cni')
        other = Pod('df2')
        with open(f'{small}/fill', 'wb', buffering=0) as f:
            good('ADD', pod, c)
            try:
                while True:
                    f.write(b'x' * 4096)
            except OSError:
                pass
        before = open(f'{small}/cni/pods', 'rb').read()
        bad(5, 'ADD', other, c)
        expect(len(leftovers()[0]) == 1, 'a failed ADD leaves nothing', leftovers())
        bad(5, 'DEL', pod, c)  # the address could not be freed: to be tried again
        good('DEL', other, c)
        expect(open(f'{small}/cni/pods', 'rb').read() == before, 'the file is as it was')
        os.unlink(f'{small}/fill')
        good('DEL', pod, c)
    finally:
        sh(f'umount {small}')
    clean()


def case_daemon_down():
    pod = Pod('dd')
    r = good('ADD', pod)
    good('STATUS')
    pid = int(open(f'{DIR}/h1/pid').read())
    os.kill(pid, signal.SIGTERM)
    wait('weftd to end', lambda: subprocess.run(['kill', '-0', str(pid)], capture_output=True).returncode != 0)
    other = Pod('dd2')
    bad(11, 'ADD', other, says='weftd')
    bad(50, 'STATUS', says='weftd')
    bad(11, 'CHECK', pod, with_prev(r))
    expect(len(leftovers()[0]) == 1, 'ADD without weftd makes nothing', leftovers())
    good('DEL', other)
    good('GC', stdin=conf(**{'cni.dev/valid-attachments': [{'containerID': pod.id, 'ifname': 'eth0'}]}))
    expect(len(leftovers()[0]) == 1, 'GC without weftd', leftovers())
    good('DEL', pod, with_prev(r))
    clean()


# ---- group: small (the node has 10.32.1.0/29 and no IPv6 prefix) ----

def case_pool_full():
    pods = [Pod(f'sm{i}') for i in range(6)]
    good('STATUS')
    res = [good('ADD', p) for p in pods[:5]]  # .2 to .6
    expect(sorted(addresses(r)[0] for r in res) == [f'10.32.1.{i}' for i in range(2, 7)], 'all of them', res)
    expect(all(len(addresses(r)) == 1 for r in res), 'IPv4 only', res)
    bad(11, 'ADD', pods[5], says='in use')
    bad(50, 'STATUS', says='in use')
    # Nothing is claimed here, and both say so; weft status ipam and the metrics tell too.
    bad(11, 'ADD', pods[5], says='no blocks are claimed')
    bad(50, 'STATUS', says='no blocks are claimed')
    expect(pool() == {'family': 4, 'size': 5, 'used': 5, 'resting': 0, 'free': 0, 'exhausted': True}, 'status ipam', pool())
    expect(re.search(r'IPv4 .*pods +exhausted +5/5', weft('status', 'ipam')), 'weft status ipam', weft('status', 'ipam'))
    expect(metric('weft_pod_addresses_exhausted{family="4"}') == 1 and metric('weft_pods') == 5 and
           metric('weft_pod_addresses{family="4",state="used"}') == 5, 'metrics')
    good('DEL', pods[0])
    expect(pool()['resting'] == 1 and pool()['exhausted'], 'one rests', pool())
    bad(11, 'ADD', pods[5], says='in use')  # it rests
    wait('the freed address to have rested', lambda: status_is(0))
    expect(not pool()['exhausted'] and metric('weft_pod_addresses_exhausted{family="4"}') == 0, 'status ipam', pool())
    r = good('ADD', pods[5])
    expect(addresses(r) == addresses(res[0]), 'the rested one', r)
    for p in pods:
        good('DEL', p)
    clean()


def case_claims_more():
    """A node that claims takes another block: of 10.34.0.0/28, as blocks of 8, 5 pods each."""
    pods = [Pod(f'cm{i}') for i in range(11)]
    blocks = [ipaddress.ip_network('10.34.0.0/29'), ipaddress.ip_network('10.34.0.8/29')]
    def block(r):
        return next(b for b in blocks if ipaddress.ip_address(addresses(r)[0]) in b)
    res = [good('ADD', p) for p in pods[:5]]
    expect(len({block(r) for r in res}) == 1, 'one block', res)
    # Who takes the last address has asked already.
    wait('the second block', lambda: len(json.loads(weft('-o', 'json', 'status', 'ipam'))['pods']) and pool()['size'] == 10)
    res += [good('ADD', p) for p in pods[5:9]]
    expect({block(r) for r in res[5:]} == {b for b in blocks if b != block(res[0])}, 'the other block', res)
    good('STATUS')
    good('ADD', pods[9])
    # The range is full: 11 within the time, and STATUS says so.
    t0 = time.time()
    bad(11, 'ADD', pods[10], conf(waitMs=500), says='another block is asked for')
    expect(0.4 < time.time() - t0 < 5, 'the wait has a bound', time.time() - t0)
    bad(50, 'STATUS', says='another block is asked for')
    expect(metric('weft_pod_addresses_exhausted{family="4"}') == 1, 'metric')
    wait('the range to be told as full', lambda: metric('weft_range_exhausted') == 1)
    for p in pods:
        good('DEL', p)
    clean()


def case_claim_while_adding():
    """Of many ADDs that find the pool full at once, each waits for the block that one asks for."""
    pods = [Pod(f'cw{i}') for i in range(12)]
    with concurrent.futures.ThreadPoolExecutor(12) as ex:
        res = list(ex.map(lambda p: good('ADD', p, conf(waitMs=20000)), pods))
    every = {addresses(r)[0] for r in res}
    expect(len(every) == 12, 'addresses are unique', sorted(every))
    expect({ipaddress.ip_network(a + '/29', strict=False) for a in every}.__len__() >= 3, 'three blocks', sorted(every))
    expect(pool()['size'] <= 20, 'no more blocks than needed, and one ahead', pool())
    for p in pods:
        good('DEL', p)
    clean()


def case_rest_order():
    """The address of a pod that went does not come again while there are others."""
    pod, seen = Pod('ro'), []
    for _ in range(3):
        r = good('ADD', pod, conf(dataDir=f'{DIR}/h1/cni-fresh'))
        seen += addresses(r)
        good('DEL', pod, conf(dataDir=f'{DIR}/h1/cni-fresh'))
    expect(len(set(seen)) == 3, 'reused at once', seen)


# ---- group: add-rule ----

def case_waits_for_peer():
    """A peer that is linked but has not said that it has the node's prefixes: h2 stands still while h1 gets others. ADD waits, no
    longer than it may, and returns once the peer, going on, has acknowledged them."""
    pod, late = Pod('wp'), Pod('wp2')
    peer = int(open(f'{DIR}/h2/pid').read())
    for n in range(1, 9):
        stopped, running = time.time(), None
        os.kill(peer, signal.SIGSTOP)
        try:
            reply = fakeweftd.ask(SOCKET, 'prefix-set', prefixes=f'10.32.{100 + n}.0/24,fd32:0:0:{100 + n}::/64')
            expect(reply['ok'], 'prefix-set', reply)
            wait('the prefixes', lambda: f'10.32.{100 + n}.0/24' in str(fakeweftd.ask(SOCKET, 'pod-network')['data']['prefixes']))
            info = fakeweftd.ask(SOCKET, 'pod-network')['data']
            early = call('ADD', pod, conf(waitMs=300)), call('STATUS', stdin=conf('1.1.0'))
            running = subprocess.Popen(['nsenter', f'--net={HOST}', PLUGIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={
                'PATH': os.environ['PATH'], 'CNI_PATH': '/opt/cni/bin', 'CNI_COMMAND': 'ADD', 'CNI_CONTAINERID': late.id, 'CNI_NETNS': late.path,
                'CNI_IFNAME': 'eth0'})
            running.stdin.write(json.dumps(conf(waitMs=60000)))
            running.stdin.close()
            try:
                running.wait(0.5)
            except subprocess.TimeoutExpired:
                pass
            waited = running.poll() is None
            # A peer that is silent for 5 s may be held dead, and then nobody has to know: so long it has not stood still.
            in_time = time.time() - stopped < 4
        finally:
            os.kill(peer, signal.SIGCONT)
        done = json.loads(running.stdout.read())
        expect(running.wait(60) == 0, 'ADD once the peer knows', done)
        good('STATUS')
        good('DEL', late)
        good('DEL', pod)
        if in_time:
            break
    expect(in_time, 'eight times too slow')
    expect(info['peers_linked'] == 1 and not info['known_to_peer'], 'what the daemon says', info)
    for (rc, out, _), code in zip(early, (11, 50)):
        expect(rc != 0 and out['code'] == code and 'no peer knows' in out['details'], f'error {code}', out)
    expect(waited, 'ADD waits')
    expect(fakeweftd.ask(SOCKET, 'pod-network')['data']['known_to_peer'], 'the peer has said so')
    expect(f'10.32.{100 + n}.0/24' in subprocess.run([os.environ.get('WEFT', f'{os.path.dirname(PLUGIN)}/../weft'), '--socket', f'{DIR}/h2/run/weft.sock',
                                                       '-o', 'json', 'status', 'routes'], capture_output=True, text=True).stdout, 'and it was true')
    clean()


def case_no_prefix():
    bad(11, 'ADD', Pod('np'), conf(waitMs=200), says='prefix')
    bad(51, 'STATUS', says='prefix')


def case_settling():
    pod = Pod('st')
    bad(11, 'ADD', pod, conf(waitMs=200), says='first peer')
    t0 = time.time()
    good('ADD', pod, conf(waitMs=20000))  # the seed never answers: not waited for for ever
    expect(1 < time.time() - t0 < 15, 'it waited', time.time() - t0)
    t0 = time.time()
    good('DEL', pod)
    good('ADD', pod)
    expect(time.time() - t0 < 2, 'and no more after that')
    good('DEL', pod)
    clean()


GROUPS = {
    'verbs': [case_version, case_result_of_each_version, case_interface_in_kernel, case_environment, case_configuration,
              case_static_and_args, case_chain, case_again_and_gone, case_check, case_pinned],
    'life': [case_gc, case_killed, case_killed_then_again, case_each_call_fails, case_kernel_refuses, case_odd_daemon, case_parallel, case_disk_full, case_daemon_down],
    'six': [case_ipv6_alone],
    'small': [case_pool_full, case_rest_order],
    'claiming': [case_claims_more],
    'claiming-much': [case_claim_while_adding],
    'no-prefix': [case_no_prefix],
    'settling': [case_settling],
    'unknown': [case_waits_for_peer],
}

try:
    for case in GROUPS[GROUP]:
        t0 = time.time()
        case()
        print(f'  ok {case.__name__[5:].replace("_", " "):40} {time.time() - t0:.1f} s', flush=True)
finally:
    for p in list(Pod.made):
        subprocess.run(['ip', 'netns', 'del', p.ns], capture_output=True)
