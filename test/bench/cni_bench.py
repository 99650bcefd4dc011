"""ADD and DEL of weft-cni beside the reference plugins bridge and host-local: run by cni.sh in the host's network.
cni_bench.py NAME DIR PLUGIN ROUNDS PODS PARALLEL FAMILIES IMAGE_CNI. Each round measures all in turn, so that a machine whose
speed drifts treats all alike: spawn to exit of the process, namespaces made beforehand; and its processor time, which a
busy machine changes less.

VERSION is the start of the process and its end alone; STATUS is besides what ADD asks and reads before it makes anything:
weftd, the file of addresses, netlink. So ADD less "kernel", and STATUS, are about what weft's own part is.

"kernel" is what a pod's interface costs without any plugin: `ip -batch`, once on each side, that makes and fills the
same pair of interfaces, their own start included."""
import concurrent.futures, json, os, statistics, subprocess, sys, time

NAME, DIR, PLUGIN = sys.argv[1:4]
ROUNDS, PODS, PARALLEL = (int(x) for x in sys.argv[4:7])
FAMILIES, IMAGE_CNI = sys.argv[7:9]
REFERENCE = '/usr/lib/cni'
WEFT_CONF = json.dumps({'cniVersion': '1.1.0', 'name': 'weft', 'type': 'weft-cni', 'socket': f'{DIR}/h1/run/weft.sock',
                        'dataDir': f'{DIR}/h1/run/cni', 'waitMs': 30000}).encode()
RANGES = [[{'subnet': '10.99.0.0/20'}]] + ([[{'subnet': 'fd99::/64'}]] if '6' in FAMILIES else [])
BRIDGE_CONF = json.dumps({'cniVersion': '1.0.0', 'name': 'ref', 'type': 'bridge', 'bridge': 'ref0', 'isGateway': True,
                          'ipam': {'type': 'host-local', 'ranges': RANGES, 'dataDir': f'{DIR}/h1/run/host-local',
                                   'routes': [{'dst': '0.0.0.0/0'}]}}).encode()


def ns(i):
    return f'/run/netns/weft-{NAME}-n{i}'


def exec_(argv, env, text):
    """Milliseconds from spawn to exit, and of processor time. No thread of ours runs Python while it waits."""
    r, w = os.pipe()
    os.write(w, text)
    os.close(w)
    t0 = time.monotonic()
    pid = os.posix_spawn(argv[0], argv, env, file_actions=[(os.POSIX_SPAWN_DUP2, r, 0), (os.POSIX_SPAWN_OPEN, 1, '/dev/null', os.O_WRONLY, 0)])
    _, status, used = os.wait4(pid, 0)
    took = 1000 * (time.monotonic() - t0)
    os.close(r)
    if status != 0:
        sys.exit(f'{argv} {env.get("CNI_COMMAND")} fails')
    return took, 1000 * (used.ru_utime + used.ru_stime)


def plugin(path, conf, verb, i):
    return exec_([path], {'PATH': os.environ['PATH'], 'CNI_PATH': REFERENCE, 'CNI_COMMAND': verb, 'CNI_CONTAINERID': f'b{i}',
                          'CNI_IFNAME': 'eth0', 'CNI_NETNS': ns(i)}, conf)


def kernel(verb, i):
    host, six = f'k{i}', '6' in FAMILIES
    if verb == 'DEL':
        return exec_(['/sbin/ip', 'link', 'del', host], {}, b'')
    outside = [f'link add {host} address 02:00:00:00:00:01 mtu 1436 type veth peer name eth0 netns weft-{NAME}-n{i}',
               f'link set {host} up', f'route add 10.98.{i >> 8}.{i & 255} dev {host}']
    inside = [f'link set eth0 up', f'addr add 10.98.{i >> 8}.{i & 255}/32 dev eth0', 'route add 169.254.1.1 dev eth0',
              'route add default via 169.254.1.1 dev eth0', 'neigh add 169.254.1.1 dev eth0 lladdr 02:00:00:00:00:01 nud permanent']
    if six:
        outside.append(f'route add fd98::{i:x} dev {host}')
        inside += [f'addr add fd98::{i:x}/128 dev eth0 nodad', 'route add fe80::1 dev eth0', 'route add default via fe80::1 dev eth0',
                   'neigh add fe80::1 dev eth0 lladdr 02:00:00:00:00:01 nud permanent']
    a = exec_(['/sbin/ip', '-batch', '-'], {}, '\n'.join(outside).encode() + b'\n')
    b = exec_(['/sbin/ip', '-n', f'weft-{NAME}-n{i}', '-batch', '-'], {}, '\n'.join(inside).encode() + b'\n')
    return a[0] + b[0], a[1] + b[1]


WHAT = {'kernel': kernel, 'weft-cni': lambda v, i: plugin(PLUGIN, WEFT_CONF, v, i),
        'bridge+host-local': lambda v, i: plugin(f'{REFERENCE}/bridge', BRIDGE_CONF, v, i)}
if IMAGE_CNI:
    WHAT['weft-cni, image'] = lambda v, i: plugin(IMAGE_CNI, WEFT_CONF, v, i)
OURS = [w for w in WHAT if w.startswith('weft')]


def spread(fn, verb, parallel):
    """@fn for each pod, @parallel at a time."""
    if parallel == 1:
        return [fn(verb, i) for i in range(PODS)]
    with concurrent.futures.ThreadPoolExecutor(parallel) as ex:
        return list(ex.map(lambda i: fn(verb, i), range(PODS)))


def at(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


for i in range(PODS):
    subprocess.run(['ip', 'netns', 'add', f'weft-{NAME}-n{i}'], check=True)
    with open(ns(i)):
        subprocess.run(['nsenter', f'--net={ns(i)}', 'sysctl', '-qw', 'net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0'], check=True)
got = {}  # (way, what, verb): per round (p50, p99, most, processor time's p50)


def keep(way, what, verb, parallel):
    v = spread(WHAT[what], verb, parallel)
    wall = [a for a, _ in v]
    got.setdefault((way, what, verb), []).append((at(wall, 0.5), at(wall, 0.99), max(wall), at([b for _, b in v], 0.5)))


for rnd in range(ROUNDS):
    for way, parallel in (('one at a time', 1), (f'{PARALLEL} at a time', PARALLEL)):
        for what in WHAT:
            for verb in ('ADD', 'DEL'):
                keep(way, what, verb, parallel)
        for what in OURS if parallel == 1 else ():
            for verb in ('VERSION', 'STATUS'):
                keep(way, what, verb, parallel)
print(f'{PODS} pods, {ROUNDS} rounds, families {FAMILIES}; ms, median of the rounds [least-most]')
print(f'{"":16}{"":20}{"":9}{"p50":>22}{"p99":>22}{"most":>10}{"processor, p50":>22}   against bridge+host-local, each round: p50; processor')
for (way, what, verb), rounds in got.items():
    cells = []
    for k in (0, 1, 3):
        column = [r[k] for r in rounds]
        cells.append(f'{statistics.median(column):.1f} [{min(column):.1f}-{max(column):.1f}]')
    ratios = ''
    if base := got.get((way, 'bridge+host-local', verb)) if what in OURS else None:
        ratios = '; '.join(' '.join(f'{r[k] / b[k]:.2f}' for r, b in zip(rounds, base)) for k in (0, 3))
    print(f'{way:16}{what:20}{verb:9}{cells[0]:>22}{cells[1]:>22}{max(r[2] for r in rounds):>10.1f}{cells[2]:>22}   {ratios}')
