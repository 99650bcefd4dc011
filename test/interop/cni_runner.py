"""A container runtime's part of CNI, as the specification's sections 3 and 4 have it: a list of plugins, its
version agreed by VERSION, prevResult handed along, capabilities, DEL in reverse; and GC and STATUS, which the
runtimes of this distribution don't know yet. Nothing in it knows weft."""
import json, os, subprocess


class Refused(Exception):
    """A plugin's error object."""
    def __init__(self, plugin, verb, error):
        super().__init__(f'{plugin} {verb}: {error}')
        self.plugin, self.error = plugin, error


def newest(v):
    return tuple(int(x) for x in v.split('.'))


class Network:
    """@conf: the list, as a dict. @netns: the host's. @path: where plugins are."""

    def __init__(self, conf, netns, path):
        self.conf, self.netns, self.path = conf, netns, path
        self.attached = {}  # (id, ifname): {netns, result, runtime}
        wanted = [conf['cniVersion'], *conf.get('cniVersions', [])]
        known = [set(self.call(p['type'], 'VERSION', {'cniVersion': conf['cniVersion']}, CNI_CONTAINERID='dummy',
                               CNI_NETNS='dummy', CNI_IFNAME='dummy')['supportedVersions']) for p in conf['plugins']]
        fit = [v for v in wanted if all(v in k for k in known)]
        if not fit:
            raise Refused('the list', 'VERSION', f'no version of {wanted} is every plugin\'s: {known}')
        self.version = max(fit, key=newest)

    def call(self, plugin, verb, conf, **env):
        exe = next((f'{d}/{plugin}' for d in self.path if os.access(f'{d}/{plugin}', os.X_OK)), None)
        if not exe:
            raise Refused(plugin, verb, 'no such plugin')
        r = subprocess.run(['nsenter', f'--net={self.netns}', exe], input=json.dumps(conf), capture_output=True, text=True,
                           env={'PATH': os.environ['PATH'], 'CNI_COMMAND': verb, 'CNI_PATH': ':'.join(self.path), **env})
        if r.returncode != 0:
            try:
                raise Refused(plugin, verb, json.loads(r.stdout))
            except ValueError:
                raise Refused(plugin, verb, {'code': None, 'msg': f'no JSON: {r.stdout}{r.stderr}'}) from None
        return json.loads(r.stdout) if r.stdout.strip() else None

    def one(self, plugin, prev, runtime, **more):
        conf = {k: v for k, v in plugin.items() if k != 'capabilities'}
        conf |= {'name': self.conf['name'], 'cniVersion': self.version, **more}
        given = {k: v for k, v in runtime.items() if plugin.get('capabilities', {}).get(k)}
        if given:
            conf['runtimeConfig'] = given
        if prev is not None:
            conf['prevResult'] = prev
        return conf

    @staticmethod
    def env(cid, ifname, netns, args):
        e = {'CNI_CONTAINERID': cid, 'CNI_IFNAME': ifname, 'CNI_NETNS': netns}
        return e | ({'CNI_ARGS': args} if args else {})

    def add(self, cid, netns, ifname='eth0', args='', **runtime):
        result = None
        self.attached[cid, ifname] = a = {'netns': netns, 'result': None, 'runtime': runtime, 'args': args}
        for p in self.conf['plugins']:
            result = self.call(p['type'], 'ADD', self.one(p, result, runtime), **self.env(cid, ifname, netns, args))
            if result['cniVersion'] != self.version:
                raise Refused(p['type'], 'ADD', f'its result is of another version: {result}')
        a['result'] = result
        return result

    def check(self, cid, ifname='eth0', but=()):
        """@but: types of plugins that are left out."""
        a = self.attached[cid, ifname]
        for p in self.conf['plugins']:
            if p['type'] in but:
                continue
            self.call(p['type'], 'CHECK', self.one(p, a['result'], a['runtime']), **self.env(cid, ifname, a['netns'], a['args']))

    def delete(self, cid, ifname='eth0'):
        a = self.attached[cid, ifname]
        prev = a['result'] if newest(self.version) >= newest('0.4.0') else None
        for p in reversed(self.conf['plugins']):
            self.call(p['type'], 'DEL', self.one(p, prev, a['runtime']), **self.env(cid, ifname, a['netns'], a['args']))
        del self.attached[cid, ifname]

    def gc(self):
        """What this runtime knows of is valid, all else goes."""
        valid = [{'containerID': c, 'ifname': i} for c, i in self.attached]
        for p in self.conf['plugins']:
            self.call(p['type'], 'GC', self.one(p, None, {}, **{'cni.dev/valid-attachments': valid, 'cni.dev/attachments': valid}))

    def status(self):
        for p in self.conf['plugins']:
            self.call(p['type'], 'STATUS', self.one(p, None, {}))
