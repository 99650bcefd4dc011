"""Pods that come and go: cni_churn.py NAME DIR PLUGIN PAIRS PARALLEL. Run by t_churn.sh in the host's network.

PAIRS times ADD and DEL, PARALLEL at a time, each with a container id of its own. Every 500 pairs the calls come
to rest, a few containers are forgotten without DEL and others kept, and GC has to find exactly the former. In the
end the host holds what it held before: interfaces, routes, rules, neighbours, nf_tables, addresses, files, and
weftd's descriptors."""
import concurrent.futures, json, os, re, statistics, subprocess, sys, time

NAME, DIR, PLUGIN, PAIRS, PARALLEL = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
SOCKET, DATA = f'{DIR}/h1/run/weft.sock', f'{DIR}/h1/run/cni'
STEP = 500
CONF = {'cniVersion': '1.1.0', 'name': 'weft', 'type': 'weft-cni', 'socket': SOCKET, 'dataDir': DATA, 'waitMs': 30000}
took = []


def sh(cmd):
    return subprocess.run(cmd, shell=True, capture_output=True, text=True).stdout


def fail(what, *seen):
    sys.exit(f'FAIL: {what}: {seen}')


def call(verb, cid, slot, conf=None):
    env = {'PATH': os.environ['PATH'], 'CNI_PATH': '/opt/cni/bin', 'CNI_COMMAND': verb, 'CNI_CONTAINERID': cid, 'CNI_IFNAME': 'eth0',
           'CNI_NETNS': f'/run/netns/weft-{NAME}-s{slot}'}
    t0 = time.monotonic()
    r = subprocess.run([PLUGIN], env=env, capture_output=True, text=True, input=json.dumps(conf or CONF))
    if verb == 'ADD':
        took.append(1000 * (time.monotonic() - t0))
    if r.returncode != 0:
        fail(f'{verb} of {cid}', r.stdout, r.stderr)
    return json.loads(r.stdout) if r.stdout.strip() else None


def holds():
    """What the host holds. Neighbours of the underlay come and go by themselves."""
    pid = open(f'{DIR}/h1/pid').read().strip()
    ipam = json.loads(sh(f'{os.environ["WEFT"]} --socket {SOCKET} -o json status ipam'))
    return {
        'links': sorted(re.findall(r'^\d+: ([^:@]+)', sh('ip -o link'), re.M)),
        'routes': sorted(sh('ip -4 route show table all; ip -6 route show table all').splitlines()),
        'rules': sh('ip -4 rule; ip -6 rule').splitlines(),
        'neighbours': [l for l in sh('ip neigh show nud all').splitlines() if ' u0 ' not in l and 'NOARP' not in l],
        'nft': [l for l in sh('nft list ruleset').splitlines() if 'packets' not in l],
        'files': sorted(f for f in os.listdir(DATA)) if os.path.isdir(DATA) else [],
        'used': [p['used'] for p in ipam['pods']],
        'weftd descriptors': len(os.listdir(f'/proc/{pid}/fd')),
    }


def pair(n, slot):
    """One life; returns its addresses."""
    r = call('ADD', f'c{n}', slot)
    call('DEL', f'c{n}', slot)
    return [i['address'] for i in r['ips']]


def worker(slot, numbers):
    for n in numbers:
        pair(n, slot)


for s in range(PARALLEL):
    subprocess.run(['ip', 'netns', 'add', f'weft-{NAME}-s{s}'], check=True)
pair('first', 0)  # what a first use leaves for good (the address file) is there before
before = holds()
with concurrent.futures.ThreadPoolExecutor(PARALLEL) as ex:
    for first in range(0, PAIRS, STEP):
        numbers = range(first, min(first + STEP, PAIRS))
        list(ex.map(worker, range(PARALLEL), [numbers[s::PARALLEL] for s in range(PARALLEL)]))
        kept = [(f'k{first}-{s}', s) for s in range(0, PARALLEL // 2)]
        lost = [(f'l{first}-{s}', s) for s in range(PARALLEL // 2, PARALLEL)]
        list(ex.map(lambda a: call('ADD', *a), kept + lost))
        call('GC', 'gc', 0, CONF | {'cni.dev/valid-attachments': [{'containerID': c, 'ifname': 'eth0'} for c, _ in kept]})
        ends = len(re.findall(r' wpod', sh('ip -o link')))
        if ends != len(kept):
            fail(f'after GC there are {ends} interfaces for {len(kept)} pods')
        list(ex.map(lambda a: call('DEL', *a), kept))
after, end = holds(), time.monotonic() + 20
while after != before and time.monotonic() < end:  # what is on its way out: a connection that weftd has yet to close
    time.sleep(0.2)
    after = holds()
for k, v in before.items():
    if v != after[k]:
        fail(f'{k} are not what they were', v, after[k])
took.sort()
print(f'  {PAIRS} pairs, {PARALLEL} at a time: ADD took {statistics.median(took):.1f} ms in the middle, '
      f'{took[int(len(took) * 0.99)]:.1f} ms at 99 %, at most {took[-1]:.1f} ms, the test\'s own part included')
