"""weft-kube, the real program, against an API server and a weftd of the test's own.

kube_suite.py PROGRAM [CASE...]: runs the cases (all), each with its own server, directory and process; says
what failed and what the program logged. Conditions are waited for, WAIT seconds at most."""
import json, os, re, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.request
from apiserver import Cut, Server, make_ca, make_node
from fakeweftd import Weftd

PROGRAM = sys.argv[1]
WAIT = 30
KEY, ENDPOINTS = 'weft.mesh/key', 'weft.mesh/endpoints'
RSS_MAX = 64 * 1024  # KiB


class Failed(Exception):
    pass


def check(what, text):
    if not what:
        raise Failed(text)


def wait(fn, text, secs=WAIT):
    end = time.monotonic() + secs
    while not fn():
        if time.monotonic() > end:
            raise Failed(f'not within {secs} s: {text}')
        time.sleep(0.02)


class Bench:
    """A directory, a server, a weftd and weft-kube on node n0."""

    def __init__(self, ca, server=True, weftd=True, **options):
        self.dir = tempfile.mkdtemp(prefix='weft-kube-')
        for f in ('ca.crt', 'server.crt', 'server.key'):
            shutil.copy(f'{ca}/{f}', self.dir)
        self.write('token', Server.TOKEN + '\n')
        self.write('weft.conflist', '{"cniVersion": "1.1.0", "name": "weft", "plugins": []}\n')
        self.socket = f'{self.dir}/weft.sock'
        self.weftd = Weftd(self.socket) if weftd else None
        self.options, self.process = options, None
        self.server = None
        if server:
            self.server = Server(self.dir, **options)
            self.server.put(make_node('n0', ['10.1.0.0/24', 'fd00:1::/64'], '192.0.2.1'))
        self.port = self.server.port if self.server else 1
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            self.metrics_port = s.getsockname()[1]

    def write(self, name, text):
        with open(f'{self.dir}/{name}.new', 'w') as f:
            f.write(text)
        os.rename(f'{self.dir}/{name}.new', f'{self.dir}/{name}')

    def start(self, **env):
        self.log = open(f'{self.dir}/log', 'a+')
        self.process = subprocess.Popen(
            [PROGRAM, '--node', 'n0', '--api', f'https://127.0.0.1:{self.port}', '--token-file', f'{self.dir}/token',
             '--ca-file', f'{self.dir}/ca.crt', '--socket', self.socket, '--cni-conf-from',
             f'{self.dir}/weft.conflist', '--cni-conf-to', f'{self.dir}/05-weft.conflist', '--metrics',
             f'127.0.0.1:{self.metrics_port}', '--log-level', 'debug'],
            stdout=self.log, stderr=self.log, env={**os.environ, **env})
        return self

    def restart_server(self):
        self.server = Server(self.dir, port=self.port, **self.options)
        return self.server

    def metric(self, name):
        """-1 while nobody serves them."""
        try:
            text = urllib.request.urlopen(f'http://127.0.0.1:{self.metrics_port}/metrics', timeout=5).read().decode()
        except urllib.error.URLError:
            return -1
        m = re.search(rf'^weft_kube_{re.escape(name)} (\d+)$', text, re.M)
        check(m, f'no metric {name} in:\n{text}')
        return int(m.group(1))

    def watching(self):
        wait(lambda: self.server.count('watch', 200) > 0 and self.alive() and self.metric('watching') == 1,
             'a watch stands')
        return self

    def nodes(self, n):
        wait(lambda: self.metric('nodes') == n, f'{n} nodes are known')

    def alive(self):
        check(self.process.poll() is None, f'weft-kube ended with {self.process.returncode}')
        return True

    def said(self, text):
        with open(f'{self.dir}/log') as f:
            return text in f.read()

    def peak_kib(self):
        with open(f'/proc/{self.process.pid}/status') as f:
            return int(re.search(r'VmHWM:\s*(\d+)', f.read()).group(1))

    def end(self, failed):
        try:
            if self.process:
                early = self.process.poll()
                self.process.send_signal(signal.SIGTERM)
                try:
                    code = self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    raise Failed('weft-kube does not end at SIGTERM')
                if not failed:
                    check(early is None and code == 0, f'weft-kube ended with {code}')
        finally:
            if failed and os.path.exists(f'{self.dir}/log'):
                with open(f'{self.dir}/log') as f:
                    print('    ' + '    '.join(f.readlines()[-30:]))
            if self.server:
                self.server.close()
            shutil.rmtree(self.dir, ignore_errors=True)


# --- cases: each gets a Bench that is not started ---

def case_usual(b):
    """Prefixes, annotations, condition, CNI configuration; nodes that come and go."""
    b.weftd.ready = False
    s = b.server
    s.put(make_node('n1', ip='192.0.2.11'))
    b.start().watching()
    wait(lambda: b.weftd.told('prefix-set') == ['10.1.0.0/24,fd00:1::/64'], 'weftd has the pod CIDRs')
    wait(lambda: s.annotation('n0', KEY) == b.weftd.key, 'the key is annotated')
    check(s.annotation('n0', ENDPOINTS) == '192.0.2.1:6793', 'endpoints are annotated')
    wait(lambda: b.weftd.told('connect') == ['192.0.2.11:6793'], 'the other node is dialled')
    # a node with an annotation is dialled there
    n2 = make_node('n2', ip='192.0.2.12')
    n2['metadata']['annotations'][ENDPOINTS] = '198.51.100.12:7001'
    s.put(n2)
    wait(lambda: '198.51.100.12:7001' in b.weftd.told('connect'), 'the annotated endpoint is dialled')
    # not ready: nothing is promised
    check(s.condition('n0', 'NetworkUnavailable') is None, 'no condition before weftd is ready')
    check(not os.path.exists(f'{b.dir}/05-weft.conflist'), 'no CNI configuration before weftd is ready')
    b.weftd.ready = True
    wait(lambda: s.condition('n0', 'NetworkUnavailable') == 'False', 'the network is available')
    check(s.condition('n0', 'Ready') == 'True', 'other conditions stand')
    wait(lambda: os.path.exists(f'{b.dir}/05-weft.conflist'), 'the CNI configuration is installed')
    with open(f'{b.dir}/05-weft.conflist') as f:
        check(json.load(f)['name'] == 'weft', 'and whole')
    check(os.stat(f'{b.dir}/05-weft.conflist').st_mode & 0o777 == 0o644, 'and readable')
    s.delete('n1')
    wait(lambda: b.weftd.told('node-deleted') == ['n1'], "the deleted node's lease ends")
    s.delete('n0')
    time.sleep(0.5)
    check(b.weftd.told('node-deleted') == ['n1'], 'the own node is never given up')
    check(s.used_verbs <= {'list', 'watch', 'patch nodes', 'patch nodes/status'}, f'verbs: {s.used_verbs}')
    b.alive()


def case_no_pod_cidr(b):
    b.server.put(make_node('n0', ip='192.0.2.1'))
    b.start().watching()
    wait(lambda: b.server.annotation('n0', KEY), 'the key is annotated')
    check(b.weftd.told('prefix-set') == [], 'claims are left to weftd')
    b.server.put(make_node('n0', ['10.7.0.0/24'], '192.0.2.1'))  # allocated late
    wait(lambda: b.weftd.told('prefix-set') == ['10.7.0.0/24'], 'a late pod CIDR counts')


def case_pages(b):
    """Lists in parts, bookmarks, watches that the server ends: nothing is listed twice."""
    for i in range(1, 1203):
        b.server.put(make_node(f'n{i}', ip=f'10.99.{i // 250}.{i % 250 + 1}'))
    b.server.watch_secs = 1
    b.start().watching()
    b.nodes(1203)
    check(b.server.count('list', 200) == 3, f'three parts: {b.server.count("list")}')
    wait(lambda: b.server.count('watch', 200) >= 3, 'watches go on')
    wait(lambda: b.metric('bookmarks_total') > 0, 'bookmarks come')
    b.server.delete('n7')
    b.nodes(1202)
    check(b.server.count('list') == 3, 'no list but the first')
    check(b.metric('lists_total') == 1, 'one list')


def case_bookmark_saves(b):
    """A bookmark's version is used: history before it may expire without a list."""
    b.start().watching()
    before = b.server.count('list')
    b.server.rv += 50
    rv = b.server.rv
    wait(lambda: b.metric('bookmarks_total') > 1, 'bookmarks')
    b.server.fault('watch', lambda h, s: s.status(h, 'watch', 500, 'x'), 0)
    b.server.oldest = rv
    b.server.watch_secs = 0.1
    with b.server.lock:
        b.server.lock.notify_all()
    watches = b.server.count('watch', 200)
    # the watch at hand is cut by its server; the next begins at the bookmark
    for s in list(b.server.sockets):
        s.shutdown(socket.SHUT_RDWR)
    wait(lambda: b.server.count('watch', 200) > watches, 'another watch')
    check(b.server.count('list') == before, 'no list')


def case_gone(b):
    """410 in a watch, as a status, and between the parts of a list."""
    for i in range(1, 30):
        b.server.put(make_node(f'n{i}'))
    b.server.page_limit = 10
    b.start().watching()
    b.nodes(30)
    b.server.delete('n3', silently=True)
    b.server.compact()
    wait(lambda: b.weftd.told('node-deleted') == ['n3'], 'what was missed is found by a list')
    b.server.fault('watch', lambda h, s: s.status(h, 'watch', 410, 'Gone'))
    b.server.delete('n4', silently=True)
    b.server.compact()
    wait(lambda: b.weftd.told('node-deleted') == ['n3', 'n4'], 'again')
    lists = b.metric('lists_total')

    def expire(h, s):
        s.compact()
        s.status(h, 'list', 410, 'Expired')
    b.server.fault('list', lambda h, s: s.list(h, {'limit': '10'}))
    b.server.fault('list', expire)
    b.server.compact()
    wait(lambda: b.metric('lists_total') > lists, 'a list whose part expired is made in one')
    check(any(p == '/api/v1/nodes' for _, p, _ in b.server.seen), 'without parts')
    b.nodes(28)
    check(b.weftd.told('node-added') == [], 'nobody came')
    b.server.put(make_node('n4'))
    wait(lambda: b.weftd.told('node-added') == ['n4'], 'a name that is there again')


def trickle(h, s):
    h.send_response(200)
    h.send_header('Transfer-Encoding', 'chunked')
    h.end_headers()
    for c in json.dumps({'kind': 'NodeList', 'metadata': {'resourceVersion': '5'}, 'items': []}):
        s.chunk(h, c)
        time.sleep(0.01)
    s.end_chunks(h)


def raw(text, length=None):
    def act(h, s):
        h.send_response(200)
        h.send_header('Content-Type', 'application/json')
        h.send_header('Content-Length', str(length or len(text)))
        h.end_headers()
        h.wfile.write(text.encode())
        if length:
            h.wfile.flush()
            raise Cut
    return act


def hang_up(h, s):
    raise Cut


BAD_LISTS = {
    'nothing': hang_up,
    'empty': raw(''),
    'html': raw('<html>bad gateway</html>'),
    'cut': raw('{"kind":"NodeList","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"x"', 5000),
    'other kind': raw('{"kind":"PodList","metadata":{"resourceVersion":"7"},"items":[]}'),
    'no version': raw('{"kind":"NodeList","metadata":{},"items":[]}'),
    'numbers': raw('[1,2,3]'),
    'deep': raw('{"items":[' + '{"a":' * 500 + '1' + '}' * 500 + ']}'),
    'nul': raw('{"kind":"NodeList\0"}'),
    'endless name': raw('{"' + 'a' * 3000000 + '":1}'),
    'error 500': lambda h, s: s.status(h, 'list', 500, 'InternalError'),
    'too many': lambda h, s: s.status(h, 'list', 429, 'TooManyRequests', [('Retry-After', '1')]),
    'absurd wait': lambda h, s: s.status(h, 'list', 503, 'x', [('Retry-After', '-7')]),
    'redirect': lambda h, s: s.answer(h, 302, {}, [('Location', 'http://127.0.0.1:1/')]),
}


def case_bad_lists(b):
    """Each in turn, two at a time, since each waits longer: then the truth counts."""
    names = list(BAD_LISTS)
    b.server.put(make_node('n1'))
    for i in range(0, len(names), 2):
        for n in names[i:i + 2]:
            b.server.fault('list', BAD_LISTS[n])
        b.server.compact()
        if not b.process:
            b.start()
        wait(lambda: all(f[2] == 0 for f in b.server.faults), f'faults {names[i:i + 2]} are over')
        b.watching()
        b.nodes(2)
        b.alive()
    check(b.weftd.told('node-deleted') == [], 'nobody was given up')


def absurd_node(h, s):
    n = make_node('n5')
    n['spec'] = {'podCIDRs': [7, None, {}, 'x' * 1000, '10.0.0.1/8'], 'podCIDR': 9}
    n['metadata']['annotations'] = {KEY: 7, ENDPOINTS: ','.join(['127.0.0.1:1', 'x', '[fe80::1]:1'] * 20)}
    n['status'] = {'addresses': [7, {'type': 'InternalIP', 'address': 'evil.example'}], 'conditions': {'a': 1}}
    n['metadata']['resourceVersion'] = str(s.rv)
    return n


def case_bad_watches(b):
    """Events that are cut, wrong, huge, absurd; each is survived, and what comes after counts."""
    s = b.server
    b.start().watching()
    bad = [
        lambda h: s.chunk(h, 'garbage\n'),
        lambda h: s.chunk(h, '{"type":"ADDED"}\n'),
        lambda h: s.chunk(h, '{"type":"ADDED","object":{"metadata":{"name":"../../x","uid":"u"}}}\n'),
        lambda h: s.chunk(h, '{"type":"MODI'),
        lambda h: s.event(h, 'ADDED', {**make_node('huge'), 'x': 'y' * 2000000}),
        lambda h: s.event(h, 'ADDED', absurd_node(h, s)),
        lambda h: s.event(h, 'FUTURE', {'a': 1}),
        lambda h: s.event(h, 'ERROR', {'kind': 'Status', 'code': 500}),
        lambda h: s.event(h, 'ERROR', {'kind': 'Status', 'code': 'many', 'details': 7}),
    ]
    for i, act in enumerate(bad):
        def fault(h, _s, act=act):
            s.begin_chunks(h)
            act(h)
            raise Cut
        s.fault('watch', fault)
        for c in list(s.sockets):
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        wait(lambda: all(f[2] == 0 for f in s.faults), f'fault {i} is over')
        s.put(make_node(f'after{i}'))
        wait(lambda: b.metric('nodes') >= 2 + i, f'life goes on behind {i}', 60)
    check(b.metric('skipped_total') >= 1, 'the huge one was passed over')
    check(b.metric('odd_fields_total') >= 5, 'absurd fields were counted')
    check(not any('127.0.0.1' in t or 'fe80' in t or 'evil' in t for t in b.weftd.told('connect')),
          f'no bad hint is dialled: {b.weftd.told("connect")}')
    check(b.weftd.told('node-deleted') == [], 'nobody was given up')


def case_slow(b):
    """A list that trickles is waited for."""
    b.server.fault('list', trickle)
    b.start()
    wait(lambda: b.metric('lists_total') >= 1, 'the trickle is a list')


def case_tokens(b):
    """401 until the file holds a token that counts; rights that are missing, one by one."""
    s = b.server
    s.tokens = {'token-2'}
    b.start()
    wait(lambda: s.count('list', 401) >= 1, 'refused')
    b.write('token', 'token-2')
    b.watching()
    s.tokens = {'token-3'}
    b.write('token', 'token-3\n')
    for c in list(s.sockets):
        c.shutdown(socket.SHUT_RDWR)
    n = s.count('watch', 200)
    wait(lambda: s.count('watch', 200) > n, 'the new token is used')
    # a token file that is empty, binary, or gone
    for bad in ('', 'a\nX-Evil: 1', 'b\0c'):
        b.write('token', bad)
        s.compact()
        time.sleep(0.3)
        b.alive()
    os.unlink(f'{b.dir}/token')
    s.compact()
    wait(lambda: b.said('/token:'), 'and told')
    b.write('token', 'token-3')
    n = s.count('list', 200)
    wait(lambda: s.count('list', 200) > n, 'and back')
    check(b.metric('refused_total') >= 1, 'counted')


def case_rights(b):
    """Without the right to patch, all else works; without the right to watch, it is said."""
    s = b.server
    s.verbs = {'list'}
    b.start()
    wait(lambda: s.count('watch', 403) >= 1, 'watch refused')
    wait(lambda: b.said('answers 403 to a watch'), 'and told')
    wait(lambda: b.weftd.told('prefix-set'), 'the list alone gives the prefixes')
    wait(lambda: s.count('patch', 403) >= 2, 'patches refused')
    s.verbs = {'list', 'watch'}
    b.watching()
    n = s.count('patch', 403)
    time.sleep(2)
    check(s.count('patch', 403) - n <= 6, 'asked ever more rarely')


def case_tls(b):
    """The token is never shown to a server that the CA does not vouch for."""
    other = tempfile.mkdtemp(prefix='weft-kube-ca-')
    make_ca(other)
    shutil.copy(f'{other}/ca.crt', b.dir)
    b.start()
    wait(lambda: b.said('certificate'), 'told')
    time.sleep(1)
    check(b.server.seen == [], 'nothing was asked')
    # the certificate of another name
    make_ca(other, 'elsewhere', 'DNS:elsewhere.example')
    b.server.close()
    for f in ('ca.crt', 'server.crt', 'server.key'):
        shutil.copy(f'{other}/{f}', b.dir)
    b.restart_server()
    time.sleep(3)
    check(b.server.seen == [], 'nothing was asked of another name')
    # no TLS at all
    b.server.close()
    b.options = {'plain': True}
    b.restart_server()
    time.sleep(2)
    check(b.server.seen == [], 'nothing goes in clear')
    b.alive()
    shutil.rmtree(other)


def case_proxy(b):
    """A proxy of the environment is not used."""
    b.start(https_proxy='http://127.0.0.1:1', HTTPS_PROXY='http://127.0.0.1:1', ALL_PROXY='http://127.0.0.1:1')
    b.watching()


def case_api_down(b):
    """Without the API all goes on: a weftd that restarts gets its prefixes; when it is back, news come."""
    s = b.server
    s.put(make_node('n1', ip='192.0.2.11'))
    b.start().watching()
    wait(lambda: len(b.weftd.told('prefix-set')) == 1 and b.weftd.told('connect'), 'prefixes, and a peer')
    saved = (dict(s.nodes), s.rv)
    s.close()
    wait(lambda: b.metric('watching') == 0, 'seen')
    b.weftd.restart()
    wait(lambda: len(b.weftd.told('prefix-set')) == 2, 'told again without an API')
    wait(lambda: len(b.weftd.told('connect')) == 2, 'dialled again')
    check(urllib.request.urlopen(f'http://127.0.0.1:{b.metrics_port}/readyz').status == 200, 'still ready')
    new = b.restart_server()
    new.nodes, new.rv, new.oldest = saved[0], saved[1] + 10, saved[1] + 10
    new.nodes.pop('n1')
    wait(lambda: b.weftd.told('node-deleted') == ['n1'], 'what happened meanwhile is heard', 60)


def case_weftd_away(b):
    """weftd comes later, goes, comes back; a second one with another epoch."""
    b.weftd.stop()
    b.start().watching()
    try:
        urllib.request.urlopen(f'http://127.0.0.1:{b.metrics_port}/readyz')
        check(False, 'ready without weftd')
    except urllib.error.HTTPError as e:
        check(e.code == 503 and b'weftd does not answer' in e.read(), 'says why')
    b.weftd.start()
    wait(lambda: len(b.weftd.told('prefix-set')) == 1, 'prefixes')
    b.weftd.restart()
    wait(lambda: len(b.weftd.told('prefix-set')) == 2, 'prefixes after a restart')


def case_weftd_old(b):
    """A weftd without the commands: told, tried again after its restart."""
    b.weftd.unknown = {'prefix-set', 'node-deleted'}
    b.server.put(make_node('n1'))
    b.start().watching()
    b.server.delete('n1')
    wait(lambda: b.said("has no command 'prefix-set'"), 'told')
    wait(lambda: b.said("has no command 'node-deleted'"), 'told')
    wait(lambda: b.server.annotation('n0', KEY), 'the rest works')
    b.weftd.unknown = set()
    b.weftd.restart()
    wait(lambda: b.weftd.told('prefix-set') and b.weftd.told('node-deleted'), 'after the upgrade')


def case_weftd_refuses(b):
    b.weftd.refuse = {'prefix-set': '10.1.0.0/24 is in no range', 'connect': 'no'}
    b.server.put(make_node('n1', ip='192.0.2.11'))
    b.start().watching()
    wait(lambda: b.said('is in no range'), 'told')
    wait(lambda: len(b.weftd.told('prefix-set')) >= 3, 'and tried again')
    b.weftd.refuse = {}
    n = len(b.weftd.told('prefix-set'))
    wait(lambda: len(b.weftd.told('prefix-set')) > n, 'until it is taken')


def case_weftd_mad(b):
    """Answers that are none."""
    b.server.put(make_node('n1', ip='192.0.2.11'))
    answers = [b'', b'\xff\xff\xff\xff', b'\0\0\0\1\xc1', b'\0\0\0\5abc', b'\0\0\0\1\xc0extra',
               b'\0\0\0\x09\x83\xa1v\x01\xa2ok\xc3']
    i = [0]

    def mad(c):
        c.recv(65536)
        c.sendall(answers[i[0] % len(answers)])
        i[0] += 1
    b.weftd.mad = mad
    b.start().watching()
    wait(lambda: i[0] > len(answers), 'all were tried', 60)
    b.alive()
    b.weftd.mad = None
    wait(lambda: b.weftd.told('prefix-set'), 'sense again')


def case_emptied_store(b):
    """A list that lacks most nodes, or the own one, gives nobody up at once."""
    for i in range(1, 41):
        b.server.put(make_node(f'n{i}'))
    b.start().watching()
    b.nodes(41)
    for i in range(5, 41):
        b.server.delete(f'n{i}', silently=True)
    b.server.compact()
    wait(lambda: b.metric('nodes_held') == 36, 'they are held')
    b.server.delete('n0', silently=True)
    b.server.compact()
    wait(lambda: b.metric('nodes_held') == 37, 'also without the own one')
    time.sleep(0.5)
    check(b.weftd.told('node-deleted') == [], 'nobody was given up')


def case_metrics_taken(b):
    """The address of the metrics is in use, as when one pod follows another."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(('127.0.0.1', b.metrics_port))
        s.listen()
        b.start()
        wait(lambda: b.server.count('watch', 200) > 0, 'it works without')
        wait(lambda: b.said('trying again'), 'and says so')
    b.watching()


def case_old_api(b):
    """No bookmarks, items without kind, as older servers are."""
    b.server.put(make_node('n1'))
    b.start().watching()
    b.nodes(2)
    b.server.delete('n1')
    wait(lambda: b.weftd.told('node-deleted') == ['n1'], 'deleted')


def case_5000(b):
    """5,000 nodes of real size, listed, watched, listed anew: memory at the peak."""
    for i in range(1, 5000):
        b.server.put(make_node(f'n{i}', ip=f'10.{90 + i // 60000}.{i // 250 % 250}.{i % 250 + 1}', bulk=7000))
    b.start().watching()
    b.nodes(5000)
    b.server.page_limit = 100000
    for turn in range(2):
        lists = b.metric('lists_total')
        if turn == 1:  # the whole in one answer, as servers do that serve lists from their cache
            b.server.fault('list', lambda h, s: s.status(h, 'list', 410, 'Expired'))
        for i in range(1, 500):
            b.server.put(make_node(f'n{i}', ip=f'10.91.{i // 250}.{i % 250 + 1}', bulk=7000))
        b.server.compact()
        wait(lambda: b.metric('lists_total') > lists, 'listed anew', 90)
    b.nodes(5000)
    peak = b.peak_kib()
    print(f'    peak RSS at 5,000 nodes, two lists anew: {peak} KiB')
    check(peak < RSS_MAX, f'peak of {peak} KiB')


AT_ONCE = 6
LONGEST = ('bad_lists', 'bad_watches', '5000', 'tokens')  # begun first
OPTIONS = {'case_old_api': {'bookmarks': False, 'kind_in_items': False}}


def run(name):
    """One case, with a CA of its own. True: fine."""
    began, error, ca = time.monotonic(), None, tempfile.mkdtemp(prefix='weft-kube-ca-')
    try:
        make_ca(ca)
        bench = Bench(ca, **OPTIONS.get('case_' + name, {}))
        try:
            globals()['case_' + name](bench)
        except (Failed, OSError, AttributeError, TypeError, KeyError) as e:
            error = e
        try:
            bench.end(error)
        except Failed as e:
            error = error or e
    finally:
        shutil.rmtree(ca, ignore_errors=True)
    print(f'{"FAILED" if error else "ok":8}{name:20}{time.monotonic() - began:5.1f} s'
          + (f'  {type(error).__name__}: {error}' if error else ''), flush=True)
    return not error


def main():
    """Each case in a process of its own; they mostly wait, so several at a time."""
    if len(sys.argv) == 3:
        sys.exit(0 if run(sys.argv[2]) else 1)
    left = sys.argv[2:] or [n[5:] for n in globals() if n.startswith('case_')]
    left.sort(key=lambda n: n not in LONGEST)
    running, failed = {}, []
    while left or running:
        while left and len(running) < AT_ONCE:
            name = left.pop(0)
            running[name] = subprocess.Popen([sys.executable, __file__, PROGRAM, name], stdout=subprocess.PIPE,
                                             stderr=subprocess.STDOUT, text=True)
        for name, p in list(running.items()):
            try:
                text = p.communicate(timeout=0.1)[0]
            except subprocess.TimeoutExpired:
                continue
            print(text, end='', flush=True)
            del running[name]
            if p.returncode:
                failed.append(name)
    sys.exit(f'failed: {" ".join(failed)}' if failed else 0)


main()
