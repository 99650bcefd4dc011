"""The manifests of deploy/k8s, and what `weft install kubernetes` prints, against the API's schema (schema.json)
and against what they promise: least rights, each privilege named, nothing that is not there.

manifests.py WEFT: the program, in its build directory."""
import copy, json, os, re, subprocess, sys
import jsonschema, yaml

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SCHEMA = json.load(open(f'{HERE}/schema.json'))
CAPABILITIES = {'weftd': {'NET_ADMIN', 'BPF'}, 'weft-kube': set(), 'install-cni': set()}
HOST_PATHS = {'/run/weft', '/var/lib/weft', '/dev/net/tun', '/proc/sys/net', '/run/xtables.lock', '/opt/cni/bin', '/etc/cni/net.d'}
# What weft-kube asks: the verbs that test/kube/apiserver.py saw in use (kube_suite.py, case usual).
RIGHTS = {('nodes', 'list'), ('nodes', 'watch'), ('nodes', 'patch'), ('nodes/status', 'patch')}


class Bad(Exception):
    pass


def check(what, text):
    if not what:
        raise Bad(text)


def load(text):
    class Strict(yaml.SafeLoader):
        """A key that comes twice is an error, as kubectl has it."""

    def mapping(loader, node, deep=False):
        keys = [loader.construct_object(k, deep) for k, _ in node.value]
        check(len(keys) == len(set(keys)), f'a key twice: {keys}')
        return yaml.SafeLoader.construct_mapping(loader, node, deep)
    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, lambda l, n: mapping(l, n, True))
    return list(yaml.load_all(text, Strict))


def schema(docs):
    v = jsonschema.Draft7Validator(SCHEMA)
    for d in docs:
        for e in v.iter_errors(d):
            raise Bad(f'{d.get("kind")}: {"/".join(map(str, e.absolute_path))}: {e.message[:200]}')


def containers(docs):
    spec = one(docs, 'DaemonSet')['spec']['template']['spec']
    return {c['name']: c for c in spec['initContainers'] + spec['containers']}


def one(docs, kind):
    found = [d for d in docs if d['kind'] == kind]
    check(len(found) == 1, f'{len(found)} of kind {kind}')
    return found[0]


def promises(docs):
    ds, pod = one(docs, 'DaemonSet'), one(docs, 'DaemonSet')['spec']['template']['spec']
    ns = one(docs, 'Namespace')['metadata']['name']
    for d in docs:
        if d['kind'] in ('ServiceAccount', 'ConfigMap', 'DaemonSet'):
            check(d['metadata']['namespace'] == ns, f'{d["kind"]} is in another namespace')
    rules = one(docs, 'ClusterRole')['rules']
    rights = {(r, v) for rule in rules for r in rule['resources'] for v in rule['verbs']}
    check(rights == RIGHTS and all(r['apiGroups'] == [''] for r in rules), f'rights are {rights}')
    subject = one(docs, 'ClusterRoleBinding')['subjects']
    check(subject == [{'kind': 'ServiceAccount', 'name': 'weft', 'namespace': ns}], f'bound to {subject}')
    cs = containers(docs)
    check(set(cs) == set(CAPABILITIES), f'containers {set(cs)}')
    volumes = {v['name']: v for v in pod['volumes']}
    for name, c in cs.items():
        sc = c['securityContext']
        check(not sc.get('privileged'), f'{name} is privileged')
        check(sc['capabilities']['drop'] == ['ALL'], f'{name} keeps capabilities')
        check(set(sc['capabilities'].get('add', [])) == CAPABILITIES[name], f'{name} has {sc["capabilities"]}')
        check(sc['allowPrivilegeEscalation'] is False and sc['readOnlyRootFilesystem'], f'{name} may write or rise')
        check('memory' in c['resources']['limits'] and 'cpu' in c['resources']['requests'], f'{name}: resources')
        check('ports' not in c, f'{name}: a port here is a host port, and two pods could not overlap')
        for m in c['volumeMounts']:
            check(m['name'] in volumes, f'{name} mounts {m["name"]}, which is no volume')
    check({m['name'] for c in cs.values() for m in c['volumeMounts']} == set(volumes), 'a volume that nobody mounts')
    check({v['hostPath']['path'] for v in volumes.values() if 'hostPath' in v} == HOST_PATHS, 'hostPaths')
    for secret, owner in (('token', 'weft-kube'), ('secret', 'weftd')):
        users = {n for n, c in cs.items() if any(m['name'] == secret for m in c['volumeMounts'])}
        check(users == {owner}, f'{secret} is mounted by {users}')
    check(pod['automountServiceAccountToken'] is False and pod['hostNetwork'] is True, 'token, network')
    check(not pod.get('hostPID') and not pod.get('hostIPC'), 'other name spaces of the host')
    check(pod['priorityClassName'] == 'system-node-critical', 'priority')
    check(pod['tolerations'] == [{'operator': 'Exists'}], 'tolerations')
    check(all('livenessProbe' in cs[n] for n in ('weftd', 'weft-kube')) and 'readinessProbe' in cs['weftd'], 'probes')
    labels = ds['spec']['selector']['matchLabels']
    check(labels.items() <= ds['spec']['template']['metadata']['labels'].items(), 'selector')
    up = ds['spec']['updateStrategy']['rollingUpdate']
    check((up.get('maxSurge', 0), up['maxUnavailable']) in ((1, 0), (0, 1)), f'update {up}')
    check(len({c['image'] for c in cs.values()}) == 1, 'one image')


def removal(docs):
    """The removal: no secret, no token, no right; files without a capability, the kernel's part without the files."""
    pod, ns = one(docs, 'DaemonSet')['spec']['template']['spec'], one(docs, 'Namespace')['metadata']['name']
    check({d['kind'] for d in docs} == {'Namespace', 'DaemonSet'}, 'the removal makes something else')
    check(one(docs, 'DaemonSet')['metadata']['namespace'] == ns != 'weft-system', 'the namespace of the removal')
    caps = {n: set(c['securityContext']['capabilities'].get('add', [])) for n, c in containers(docs).items()}
    check(caps == {'files': set(), 'kernel': {'NET_ADMIN'}, 'done': set()}, f'capabilities of the removal: {caps}')
    for name, c in containers(docs).items():
        sc = c['securityContext']
        check(not sc.get('privileged') and sc['capabilities']['drop'] == ['ALL'] and sc['readOnlyRootFilesystem'] and
              sc['allowPrivilegeEscalation'] is False and sc['seccompProfile'] == {'type': 'RuntimeDefault'}, f'{name} of the removal')
        mounted = {m['name'] for m in c['volumeMounts']}
        check(mounted == ({'xtables-lock'} if name == 'kernel' else {'cni-conf', 'cni-bin', 'run', 'state'}), f'{name} mounts {mounted}')
    check(pod['automountServiceAccountToken'] is False and pod['hostNetwork'] is True and pod['tolerations'] == [{'operator': 'Exists'}], 'the removal')
    check(len({c['image'] for c in containers(docs).values()}) == 1, 'one image')


def reasons(text, docs):
    """Each capability and each path of the host has its reason beside it: who reads the manifest need not look further."""
    lines = text.splitlines()
    for cap in set().union(*CAPABILITIES.values()):
        check(any(re.fullmatch(rf' *- {cap} # \w.{{15,}}', l) for l in lines), f'no reason stands beside {cap}')
    volumes = {v['name'] for v in one(docs, 'DaemonSet')['spec']['template']['spec']['volumes'] if 'hostPath' in v}
    last = None  # of two volumes in a row the second may share the first one's
    for i, l in enumerate(lines):
        if (m := re.fullmatch(r'        - name: (\S+)', l)) and m[1] in volumes:
            check(lines[i - 1].lstrip().startswith('# ') or i - 2 == last, f'no reason stands above the volume {m[1]}')
            last = i
    for word in ('Unconfined', 'hostNetwork: true'):
        at = next(i for i, l in enumerate(lines) if word in l)
        check(lines[at - 1].lstrip().startswith('# '), f'no reason stands above {word}')


def contents(docs, build):
    """The files in the ConfigMap are good ones, and the programs know the flags that they are started with."""
    data = one(docs, 'ConfigMap')['data']
    conf = json.loads(data['05-weft.conflist'])
    example = json.load(open(f'{ROOT}/deploy/cni/05-weft.conflist'))
    check(conf['plugins'] == example['plugins'] and conf['name'] == example['name'], 'the conflist and its example')
    cs = containers(docs)
    for name, path in (('weftd', f'{build}/router/weftd'), ('weft-kube', f'{build}/router/kube/weft-kube')):
        text = subprocess.run([path, '--help'], capture_output=True, text=True).stdout
        for flag in re.findall(r'--[a-z-]+', ' '.join(cs[name]['command'])):
            check(flag == '--no-fork' or re.search(rf'{flag}\b', text), f'{name} has no flag {flag}')
    keys = set(yaml.safe_load(data['weftd.yaml']))
    text = subprocess.run([f'{build}/router/weftd', '--help'], capture_output=True, text=True).stdout
    for k in keys:
        check(re.search(rf'--{k}\b', text), f'weftd.yaml: no key {k}')


def plants(docs):
    """Each of these mistakes must be found."""
    def daemonset(d):
        return one(d, 'DaemonSet')['spec']['template']['spec']

    def weftd(d):
        return containers(d)['weftd']
    mistakes = [
        lambda d: weftd(d)['securityContext'].update(privileged=True),
        lambda d: weftd(d)['securityContext']['capabilities']['add'].append('SYS_ADMIN'),
        lambda d: weftd(d).update(securtyContext={}),
        lambda d: weftd(d)['livenessProbe'].update(periodSecond=1),
        lambda d: weftd(d)['livenessProbe']['httpGet'].update(port=70000),
        lambda d: weftd(d).update(ports=[{'containerPort': 6793}]),
        lambda d: weftd(d)['volumeMounts'].append({'name': 'nothing', 'mountPath': '/x'}),
        lambda d: weftd(d)['volumeMounts'].append({'name': 'token', 'mountPath': '/x'}),
        lambda d: weftd(d)['resources']['limits'].update(memory='1 GB'),
        lambda d: daemonset(d).update(hostPID=True),
        lambda d: daemonset(d)['volumes'].append({'name': 'root', 'hostPath': {'path': '/'}}),
        lambda d: daemonset(d)['volumes'][0].update(hostPath={'path': '/x'}),
        lambda d: one(d, 'ClusterRole')['rules'][0]['verbs'].append('delete'),
        lambda d: one(d, 'ClusterRole')['rules'][0].update(resources=['secrets']),
        lambda d: one(d, 'ClusterRoleBinding')['subjects'][0].update(namespace='other'),
        lambda d: one(d, 'DaemonSet')['spec']['selector']['matchLabels'].update(x='y'),
        lambda d: one(d, 'DaemonSet')['spec']['updateStrategy']['rollingUpdate'].update(maxSurge=0),
        lambda d: one(d, 'ConfigMap')['metadata'].update(namespace='other'),
        lambda d: d.append({'kind': 'Pod'}),
    ]
    for i, m in enumerate(mistakes):
        d = copy.deepcopy(docs)
        m(d)
        try:
            schema(d)
            promises(d)
        except (Bad, KeyError):
            continue
        raise Bad(f'mistake {i} is not found')


def unreasoned(text, docs):
    """A reason that is missing must be found."""
    for old, new in ((' # the programs that steer packets to workers', ''), ('# The node\'s identity, for life.\n', '\n'),
                     ("# The older iptables' lock", 'lock')):
        check(old in text, f'the manifest has no "{old}"')
        try:
            reasons(text.replace(old, new), docs)
        except Bad:
            continue
        raise Bad(f'the missing "{old}" is not found')


def main():
    weft, build = sys.argv[1], os.path.dirname(os.path.dirname(os.path.realpath(sys.argv[1])))
    base = open(f'{ROOT}/deploy/k8s/weft.yaml').read()
    docs = load(base)
    try:
        schema(docs)
        promises(docs)
        contents(docs, build)
        reasons(base, docs)
        plants(docs)
        unreasoned(base, docs)
        schema(load(open(f'{ROOT}/deploy/k8s/weft-admission.yaml').read()))
        for args in ([], ['--image', 'registry.example.net/weft:1']):
            text = subprocess.run([weft, 'install', 'removal', *args], check=True, capture_output=True, text=True).stdout
            check(args or text == open(f'{ROOT}/deploy/k8s/weft-remove.yaml').read(), 'weft install removal prints something else than its file')
            printed = load(text)
            schema(printed)
            removal(printed)
            check(args == [] or text.count(args[1]) == 3, 'the image of the removal')
        for args in ([], ['--image', 'registry.example.net:5000/a/weft@sha256:' + '0' * 64, '--namespace', 'net',
                          '--cluster-range', '10.1.0.0/16,fd00:1::/56', '--claim', '24,64', '--max-surge', '0',
                          '--cni-version', '0.4.0']):
            text = subprocess.run([weft, 'install', 'kubernetes', *args], check=True, capture_output=True, text=True).stdout
            check(args or text == base, 'weft install kubernetes prints something else than deploy/k8s/weft.yaml')
            printed = load(text)
            schema(printed)
            promises(printed)
            contents(printed, build)
    except Bad as e:
        sys.exit(f'manifests: {e}')
    print('manifests: fine')


main()
