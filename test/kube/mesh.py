"""Two real nodes, weftd and weft-kube each, and an API server of the test's own: pod CIDRs become prefixes, the
nodes find each other with no seed, restarts keep all, and a deleted node's prefix is free once it is down.

mesh.py BUILD NETNS: run by mesh.sh in a network namespace of its own; the second node is in NETNS."""
import json, os, shutil, subprocess, sys, tempfile, time
from apiserver import Server, make_ca, make_node

BUILD, NETNS = sys.argv[1:]
WAIT = 60


def wait(fn, text):
    end = time.monotonic() + WAIT
    while not fn():
        if time.monotonic() > end:
            raise AssertionError(f'not within {WAIT} s: {text}')
        time.sleep(0.1)


class Node:
    def __init__(self, i, where, port):
        self.i, self.dir, self.name = i, f'{where}/{i}', f'n{i}'
        os.mkdir(self.dir)
        self.log = open(f'{self.dir}/log', 'a')
        self.prefix = ['ip', 'netns', 'exec', NETNS] if i else []
        self.where, self.port = where, port
        self.weftd = self.kube = None

    def start_weftd(self):
        self.weftd = subprocess.Popen(
            [*self.prefix, f'{BUILD}/router/weftd', '--name', self.name, '--secret-file', f'{self.where}/secret',
             '--cluster-range', '10.1.0.0/16', '--state-dir', f'{self.dir}/state', '--run-dir', f'{self.dir}/run',
             '--metrics', 'off'], stdout=self.log, stderr=self.log)

    def start_kube(self):
        # the API server listens in the first node's namespace; weftd's socket is a file
        self.kube = subprocess.Popen(
            [f'{BUILD}/router/kube/weft-kube', '--node', self.name, '--api', f'https://127.0.0.1:{self.port}',
             '--token-file', f'{self.where}/token', '--ca-file', f'{self.where}/ca.crt', '--socket',
             f'{self.dir}/run/weft.sock', '--metrics', 'off', '--cni-conf-from', f'{self.where}/token',
             '--cni-conf-to', f'{self.dir}/conflist'], stdout=self.log, stderr=self.log)

    def stop(self, p):
        if p and p.poll() is None:
            p.terminate()
            p.wait(20)

    def ask(self, *verb):
        r = subprocess.run([f'{BUILD}/cli/weft', '--socket', f'{self.dir}/run/weft.sock', '-o', 'json', *verb],
                           capture_output=True, text=True)
        return json.loads(r.stdout) if r.stdout.startswith('{') else {}

    def peer(self, name):
        """Is it up, and with which prefixes?"""
        for p in self.ask('status', 'peers').get('peers', []):
            if p['name'] == name:
                return p['up'], [x['prefix'] for x in p['prefixes']]
        return None, []


def run(where):
    make_ca(where)
    for name, text in (('token', Server.TOKEN),):
        with open(f'{where}/{name}', 'w') as f:
            f.write(text)
    subprocess.run([f'{BUILD}/cli/weft', 'key', 'new', '--out', f'{where}/secret'], check=True, capture_output=True)
    server = Server(where)
    nodes = [Node(i, where, server.port) for i in range(2)]
    try:
        for i, n in enumerate(nodes):
            server.put(make_node(n.name, [f'10.1.{i}.0/24'], f'192.0.2.{i + 1}'))
            n.start_weftd()
            n.start_kube()
        for a, b in (nodes, nodes[::-1]):
            wait(lambda: a.peer(b.name) == (True, [f'10.1.{b.i}.0/24']), f'{a.name} has {b.name} and its prefix')
            wait(lambda: server.condition(a.name, 'NetworkUnavailable') == 'False', f'{a.name} is available')
            wait(lambda: os.path.exists(f'{a.dir}/conflist'), f'{a.name} has its CNI configuration')
            key = a.ask('status')['node']['key']
            wait(lambda: server.annotation(a.name, 'weft.mesh/key') == key, f'{a.name} is annotated')
        print('two nodes found each other')

        # weftd begins anew while the API is away: its prefix stands
        saved, rv = dict(server.nodes), server.rv
        server.close()
        nodes[1].stop(nodes[1].weftd)
        nodes[1].start_weftd()
        wait(lambda: nodes[0].peer('n1') == (True, ['10.1.1.0/24']) and nodes[1].peer('n0')[0],
             'the restarted node is back without the API')
        server = Server(where, port=server.port)
        server.nodes, server.rv = saved, rv + 1
        print('a restart without the API keeps the prefix')

        # deleted, and then down: the prefix is free, not leased
        nodes[1].stop(nodes[1].kube)
        server.delete('n1')
        nodes[1].stop(nodes[1].weftd)

        def free():
            states = {p['prefix']: p['state'] for p in nodes[0].ask('status', 'ipam').get('prefixes', [])}
            return states.get('10.1.0.0/24') == 'in_use' and states.get('10.1.1.0/24', 'expired') == 'expired'
        wait(free, "the deleted node's prefix is free")
        print("a deleted node's prefix is free")
    except BaseException:
        for n in nodes:
            with open(f'{n.dir}/log') as f:
                print(f'--- {n.name}\n' + ''.join(f.readlines()[-40:]))
        raise
    finally:
        for n in nodes:
            n.stop(n.kube)
            n.stop(n.weftd)
        server.close()


def main():
    where = tempfile.mkdtemp(prefix='weft-kube-mesh-')
    try:
        run(where)
    finally:
        shutil.rmtree(where, ignore_errors=True)


main()
