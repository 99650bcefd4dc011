"""The DaemonSet's containers under podman, each with exactly what the manifest gives it: command, user, capabilities,
root file system, privileges, seccomp, memory, mounts. The paths of the host are directories of the test's own, the
host's network a namespace; the API server is apiserver.py. Then the documented removal, after which nothing is left.

container.py WEFT IMAGE DIR: in the host's network namespace. WEFT prints the manifest. Run by container.sh."""
import http.client, json, os, re, subprocess, sys, time
import yaml
from apiserver import Server, make_ca, make_node

WEFT, IMAGE, DIR = sys.argv[1:4]
NODE, WAIT = 'node-a', 60
HOST = f'{DIR}/host'  # the host's paths
ENV = os.environ | {'CONTAINERS_CONF': f'{DIR}/containers.conf'}
CAPS = {'NET_ADMIN': 12, 'BPF': 39}


def podman(*args, check=True):
    r = subprocess.run(['timeout', '--kill-after=5', '120', 'podman', *args], capture_output=True, text=True, env=ENV)
    if check and r.returncode != 0:
        raise AssertionError(f'podman {args}: {r.stdout}{r.stderr}')
    return r.stdout


def logs(name):
    r = subprocess.run(['podman', 'logs', '--tail', '40', name], capture_output=True, text=True, env=ENV)
    return r.stdout + r.stderr


def check(ok, what, *seen):
    if not ok:
        raise AssertionError(f'{what}: {seen}')


def wait(fn, what):
    end = time.monotonic() + WAIT
    while True:
        try:
            if fn():
                return
        except (OSError, ValueError):
            pass
        check(time.monotonic() < end, f'not within {WAIT} s: {what}')
        time.sleep(0.1)


def get(port, path):
    c = http.client.HTTPConnection('127.0.0.1', port, timeout=3)
    c.request('GET', path)
    return c.getresponse().status


def daemonset(*args):
    """What `weft ARGS` prints: its documents, the DaemonSet's pod, and that one's containers by name."""
    docs = list(yaml.safe_load_all(subprocess.run([WEFT, *args], capture_output=True, text=True, check=True).stdout))
    spec = next(d for d in docs if d['kind'] == 'DaemonSet')['spec']['template']['spec']
    return docs, spec, {c['name']: c for c in spec['initContainers'] + spec['containers']}


def sh(cmd):
    return subprocess.run(cmd, shell=True, capture_output=True, text=True).stdout


def volume_dirs(spec, data):
    """Each volume's source, made as a kubelet makes it."""
    dirs = {}
    for v in spec['volumes']:
        d = f'{DIR}/volumes/{v["name"]}'
        if 'hostPath' in v:
            path, kind = v['hostPath']['path'], v['hostPath']['type']
            d = path if path in ('/dev/net/tun', '/proc/sys/net') else HOST + path
            if d != path and kind in ('DirectoryOrCreate', 'Directory'):
                os.makedirs(d, mode=0o755, exist_ok=True)
            elif kind == 'FileOrCreate':
                os.makedirs(os.path.dirname(d), mode=0o755, exist_ok=True)
                os.close(os.open(d, os.O_CREAT | os.O_WRONLY, 0o644))
        else:
            os.makedirs(d, exist_ok=True)
            mode = v.get('secret', {}).get('defaultMode', 0o644)
            for name, text in data[v['name']].items():
                with open(f'{d}/{name}', 'w') as f:
                    f.write(text)
                os.chmod(f'{d}/{name}', mode)
        dirs[v['name']] = d
    return dirs


def flags(c, dirs, api):
    """A container of the manifest as podman's flags; a field that is not known here is an error."""
    sc, out = dict(c['securityContext']), []
    known = {'name', 'image', 'command', 'env', 'securityContext', 'resources', 'volumeMounts', 'startupProbe', 'livenessProbe', 'readinessProbe'}
    check(set(c) <= known, 'fields that this test does not know', set(c) - known)
    out += ['--user', str(sc.pop('runAsUser'))]
    if not sc.pop('allowPrivilegeEscalation'):
        out += ['--security-opt', 'no-new-privileges']
    if sc.pop('readOnlyRootFilesystem'):
        out += ['--read-only', '--read-only-tmpfs=false']
    caps = sc.pop('capabilities')
    out += [f'--cap-drop={x}' for x in caps['drop']] + [f'--cap-add={x}' for x in caps.get('add', [])]
    if sc.pop('seccompProfile')['type'] == 'Unconfined':
        out += ['--security-opt', 'seccomp=unconfined']
    check(not sc, 'a securityContext that this test does not know', sc)
    for m in c['volumeMounts']:
        out += ['-v', f'{dirs[m["name"]]}:{m["mountPath"]}{":ro" if m.get("readOnly") else ""}']
    out += ['--memory', c['resources']['limits']['memory'].replace('Mi', 'm').replace('Gi', 'g')]
    for e in c.get('env', []):
        check(e['valueFrom']['fieldRef']['fieldPath'] == 'spec.nodeName', 'env', e)
        out += ['-e', f'{e["name"]}={NODE}']
    out += ['-e', 'KUBERNETES_SERVICE_HOST=127.0.0.1', '-e', f'KUBERNETES_SERVICE_PORT={api}']
    return ['--network', 'host', *out, IMAGE, *(x.replace('$(NODE_NAME)', NODE) for x in c['command'])]


def status(name):
    """What the kernel says of the process."""
    pid = podman('inspect', name, '--format', '{{.State.Pid}}').strip()
    return dict(re.findall(r'^(\w+):\s+(.*)$', open(f'/proc/{pid}/status').read(), re.M))


def holds():
    return {
        'links': sorted(re.findall(r'^\d+: ([^:@]+)', sh('ip -o link'), re.M)),
        'routes': sorted(sh('ip -4 route show table all; ip -6 route show table all').splitlines()),
        'rules': sh('ip -4 rule; ip -6 rule').splitlines(),
        'nft': sh('nft list ruleset').splitlines(),
        'files': sorted(os.path.join(p, f) for p, _, fs in os.walk(HOST) for f in fs),
    }


def plugin(verb, conf, netns):
    r = subprocess.run([f'{HOST}/opt/cni/bin/weft-cni'], input=json.dumps(conf), capture_output=True, text=True, env={
        'CNI_COMMAND': verb, 'CNI_CONTAINERID': 'c1', 'CNI_NETNS': netns, 'CNI_IFNAME': 'eth0', 'CNI_PATH': f'{HOST}/opt/cni/bin'})
    check(r.returncode == 0, f'{verb} by the installed plugin', r.stdout, r.stderr)
    return json.loads(r.stdout) if r.stdout.strip() else None


def each_privilege(c, dirs, api):
    """Each capability of weftd is needed: without it weftd does not start, or does without what the manifest names."""
    def steering(caps):
        less = json.loads(json.dumps(c))
        less['securityContext']['capabilities']['add'] = caps
        podman('run', '--detach', '--name', 'less', *flags(less, dirs, api))
        try:
            ended = lambda: podman('inspect', 'less', '--format', '{{.State.Status}}').strip() in ('exited', 'stopped')
            try:
                wait(lambda: get_or_none(6794, '/healthz') == 200 or ended(), 'weftd with less')
            except AssertionError:
                print('--- less\n' + logs('less') + podman('inspect', 'less', '--format', '{{.State.Status}}'), file=sys.stderr)
                raise
            if ended():
                return None
            offloads = json.loads(podman('exec', 'less', '/usr/bin/weft', '-o', 'json', 'status'))['offloads']
            return {'tun_steering', 'udp_steering'} <= set(offloads['on'])
        finally:
            podman('rm', '--force', '--time', '10', 'less')
    caps = c['securityContext']['capabilities']['add']
    check(steering(caps) is True, 'with all of them packets are steered to workers', logs('less'))
    for cap in caps:
        got = steering([x for x in caps if x != cap])
        check(got is (None if cap == 'NET_ADMIN' else False), f'{cap} is not needed for what the manifest says', got)


def get_or_none(port, path):
    try:
        return get(port, path)
    except OSError:
        return None


def run():
    docs, spec, cs = daemonset('install', 'kubernetes', '--image', IMAGE, '--cluster-range', '10.1.0.0/16')
    config = next(d for d in docs if d['kind'] == 'ConfigMap')['data']
    make_ca(DIR)
    api = Server(DIR)
    api.put(make_node(NODE, ['10.1.7.0/24'], '192.0.2.1'))
    dirs = volume_dirs(spec, {'config': config, 'secret': {'secret': subprocess.run([WEFT, 'key', 'new'], capture_output=True, text=True, check=True).stdout},
                              'token': {'token': Server.TOKEN, 'ca.crt': open(f'{DIR}/ca.crt').read()}})
    before = holds()

    podman('run', '--rm', '--name', 'install-cni', *flags(cs['install-cni'], dirs, api.port))
    versions = json.loads(subprocess.run([f'{HOST}/opt/cni/bin/weft-cni'], input='{"cniVersion":"1.0.0"}', capture_output=True, text=True,
                                         env={'CNI_COMMAND': 'VERSION'}).stdout)
    check('1.1.0' in versions['supportedVersions'], 'the plugin that was installed', versions)
    check(os.listdir(f'{HOST}/opt/cni/bin') == ['weft-cni'], 'and nothing else', os.listdir(f'{HOST}/opt/cni/bin'))
    print('install-cni: the plugin is there and runs on the host')

    each_privilege(cs['weftd'], dirs, api.port)
    print('weftd: each capability is needed')

    for name in ('weftd', 'weft-kube'):
        podman('run', '--detach', '--name', name, *flags(cs[name], dirs, api.port))
    wait(lambda: get(6794, '/healthz') == 200 and get(6795, '/healthz') == 200, 'liveness')
    wait(lambda: get(6794, '/readyz') == 200 and get(6795, '/readyz') == 200, 'readiness')
    wait(lambda: api.condition(NODE, 'NetworkUnavailable') == 'False', 'the node to be available')
    conflist = f'{HOST}/etc/cni/net.d/05-weft.conflist'
    wait(lambda: os.path.exists(conflist), 'the CNI configuration')
    for name in ('weftd', 'weft-kube'):
        want = sum(1 << CAPS[x] for x in cs[name]['securityContext']['capabilities'].get('add', []))
        s = status(name)
        check(int(s['CapEff'], 16) == want and int(s['CapBnd'], 16) == want, f'capabilities of {name}', s['CapEff'], s['CapBnd'])
        check(s['NoNewPrivs'] == '1', f'{name} may gain privileges')
        check(not any(l.startswith('error') for l in logs(name).splitlines()), f'errors of {name}', logs(name))
    print('weftd and weft-kube: ready, with the capabilities of the manifest and no others')

    conf = json.load(open(conflist))
    ours = conf['plugins'][0] | {'cniVersion': conf['cniVersion'], 'name': conf['name']}
    ours |= {k: HOST + ours[k] for k in ('socket', 'dataDir')}  # the host's paths are elsewhere here
    pod = f'weft-container-{os.getpid()}'
    subprocess.run(['ip', 'netns', 'add', pod], check=True)
    try:
        r = plugin('ADD', ours, f'/run/netns/{pod}')
        address = r['ips'][0]['address'].split('/')[0]
        check(address.startswith('10.1.7.'), 'an address of the Node\'s pod CIDR', r)
        pings = lambda: subprocess.run(['ping', '-c1', '-W1', '-q', address], capture_output=True).returncode == 0
        wait(pings, 'the pod to answer')
        print('a pod of the node\'s pod CIDR, by the installed configuration')

        # A rolling update with a surge: the new container waits for the old one's end.
        podman('run', '--detach', '--name', 'weftd-new', *flags(cs['weftd'], dirs, api.port))
        check('weftd 0' not in logs('weftd-new'), 'the new one waits')
        podman('stop', '--time', '10', 'weftd')
        wait(lambda: re.search(r'weftd \d', logs('weftd-new')) and get(6794, '/readyz') == 200, 'the new one to serve')
        check(pings(), 'the pod outlives the update')
        print('an update with a surge')

        # The removal that docs/kubernetes.md has: the DaemonSet is deleted, the removal waits for the pod that is there.
        podman('rm', '--force', '--time', '10', 'weftd', 'weftd-new', 'weft-kube')
        check(any('weft0' in l for l in holds()['links']), 'what stays on purpose, so that nothing leaves in clear')
        _, undo_spec, undo = daemonset('install', 'removal', '--image', IMAGE)
        undo_dirs = volume_dirs(undo_spec, {})
        podman('run', '--detach', '--name', 'files', *flags(undo['files'], undo_dirs, api.port))
        wait(lambda: 'waiting: 1 interfaces of pods' in logs('files'), 'the removal to wait for the pod')
        check(not os.path.exists(conflist), 'new pods are another network\'s at once')
        plugin('DEL', ours, f'/run/netns/{pod}')
        check(podman('wait', 'files').strip() == '0', 'the files go', logs('files'))
        podman('run', '--rm', '--name', 'kernel', *flags(undo['kernel'], undo_dirs, api.port))
        podman('run', '--detach', '--name', 'done', *flags(undo['done'], undo_dirs, api.port))
        wait(lambda: 'no file of weft is there' in logs('done'), 'the removal to be done')
        t0 = time.monotonic()
        podman('stop', '--time', '20', 'done')
        check(time.monotonic() - t0 < 15 and podman('wait', 'done').strip() == '0', 'it ends when told')
    finally:
        subprocess.run(['ip', 'netns', 'del', pod])

    podman('rm', '--force', 'files', 'done')
    for p in ('/run/weft', '/var/lib/weft'):
        check(not os.path.exists(HOST + p), f'{p} is left')
    after = holds()
    for k, v in before.items():
        check(after[k] == v, f'{k} are left', [x for x in after[k] if x not in v], [x for x in v if x not in after[k]])
    print('removed: nothing is left')
    api.close()


try:
    run()
except BaseException:
    for name in ('weftd', 'weftd-new', 'weft-kube', 'files', 'done'):
        print(f'--- {name}\n' + logs(name), file=sys.stderr)
    raise
finally:
    podman('rm', '--all', '--force', '--time', '0', check=False)
