"""An API server as far as Nodes go, by the Kubernetes API's text: lists with limit and continue, watches with
bookmarks and timeouts, resource versions that expire, patches, bearer tokens, rights by verb. TLS by a CA
that is made here. Faults are scripted: Server.fault(kind, action, times)."""
import base64, copy, json, os, ssl, subprocess, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


def make_ca(where, name='127.0.0.1', san='IP:127.0.0.1'):
    """A CA and a server's certificate of it: ca.crt, server.crt, server.key in @where."""
    def run(*args):
        subprocess.run(['openssl', *args], cwd=where, check=True, capture_output=True)
    with open(f'{where}/ext', 'w') as f:
        f.write(f'subjectAltName={san}\nextendedKeyUsage=serverAuth\n')
    run('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj',
        '/CN=test CA', '-keyout', 'ca.key', '-out', 'ca.crt')
    run('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', f'/CN={name}', '-keyout',
        'server.key', '-out', 'server.csr')
    run('x509', '-req', '-in', 'server.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2',
        '-extfile', 'ext', '-out', 'server.crt')


def make_node(name, cidrs=(), ip=None, uid=None, bulk=0):
    """A Node as a kubelet makes it; @bulk: about so many bytes of images, as real ones have."""
    node = {
        'kind': 'Node', 'apiVersion': 'v1',
        'metadata': {'name': name, 'uid': uid or f'uid-{name}', 'creationTimestamp': '2026-01-01T00:00:00Z',
                     'labels': {'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux'}, 'annotations': {}},
        'spec': {},
        'status': {
            'addresses': [{'type': 'InternalIP', 'address': ip}] if ip else [],
            'conditions': [{'type': 'Ready', 'status': 'True', 'reason': 'KubeletReady'}],
            'images': [{'names': [f'registry.example/image-{i}@sha256:' + '0' * 64], 'sizeBytes': 1000000 + i}
                       for i in range(bulk // 140)]}}
    if cidrs:
        node['spec'] = {'podCIDR': cidrs[0], 'podCIDRs': list(cidrs)}
    return node


class Cut(Exception):
    """The connection is to end at once, in the middle of whatever it was."""


class Server:
    TOKEN = 'token-1'

    def __init__(self, where, port=0, bookmarks=True, plain=False, kind_in_items=True):
        self.lock = threading.Condition()
        self.nodes, self.log, self.rv, self.oldest = {}, [], 100, 0
        self.tokens = {self.TOKEN}
        self.verbs = {'list', 'watch', 'patch nodes', 'patch nodes/status'}
        self.seen = []           # (verb, path with query, status)
        self.used_verbs = set()
        self.faults, self.bookmarks, self.closing, self.kind_in_items = [], bookmarks, False, kind_in_items
        self.watch_secs = None   # end watches after so many seconds, whatever was asked
        self.bookmark_secs = 0.5
        self.page_limit = None   # ignore larger limits
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            timeout = 60

            def log_message(self, *args):
                pass

            def do_GET(self):
                server.handle(self)

            def do_PATCH(self):
                server.handle(self)

        class Http(ThreadingHTTPServer):
            daemon_threads, allow_reuse_address = True, True

            def handle_error(self, request, client_address):
                pass  # the other end hung up, or we did

            def shutdown_request(self, request):
                server.sockets.discard(request)
                super().shutdown_request(request)

            def get_request(self):
                s, a = super().get_request()
                s.settimeout(60)
                if not plain:
                    s = context.wrap_socket(s, server_side=True, do_handshake_on_connect=False)
                server.sockets.add(s)
                return s, a

        self.sockets = set()
        if not plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f'{where}/server.crt', f'{where}/server.key')
        self.http = Http(('127.0.0.1', port), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()

    def close(self):
        """Gone, with all its connections."""
        with self.lock:
            self.closing = True
            self.lock.notify_all()
        self.http.shutdown()
        self.http.server_close()
        for s in list(self.sockets):
            try:
                s.close()
            except OSError:
                pass

    # --- the store ---
    def put(self, node):
        with self.lock:
            self.rv += 1
            node = copy.deepcopy(node)
            node['metadata']['resourceVersion'] = str(self.rv)
            name = node['metadata']['name']
            self.log.append((self.rv, 'MODIFIED' if name in self.nodes else 'ADDED', node))
            self.nodes[name] = node
            self.lock.notify_all()

    def delete(self, name, silently=False):
        """@silently: as if it had happened in a history that nobody can watch any more."""
        with self.lock:
            self.rv += 1
            node = copy.deepcopy(self.nodes.pop(name))
            node['metadata']['resourceVersion'] = str(self.rv)
            if not silently:
                self.log.append((self.rv, 'DELETED', node))
            self.lock.notify_all()

    def compact(self):
        """All versions up to now expire, and with them the watches that stand."""
        with self.lock:
            self.rv += 1
            self.oldest, self.log = self.rv, []
            self.lock.notify_all()

    def node(self, name):
        with self.lock:
            return copy.deepcopy(self.nodes.get(name))

    def annotation(self, name, key):
        n = self.node(name)
        return n and n['metadata'].get('annotations', {}).get(key)

    def condition(self, name, kind):
        for c in (self.node(name) or {'status': {'conditions': []}})['status']['conditions']:
            if c['type'] == kind:
                return c['status']
        return None

    # --- faults ---
    def fault(self, kind, action, times=1):
        """The next @times requests of @kind (list, watch, patch, any) get @action(handler, server)."""
        with self.lock:
            self.faults.append([kind, action, times])

    def take_fault(self, kind):
        with self.lock:
            for f in self.faults:
                if f[0] in (kind, 'any') and f[2] > 0:
                    f[2] -= 1
                    return f[1]
        return None

    def count(self, kind, status=None):
        with self.lock:
            return sum(1 for v, _, s in self.seen if v.startswith(kind) and status in (None, s))

    # --- requests ---
    def handle(self, h):
        url = urlsplit(h.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        body = h.rfile.read(int(h.headers.get('Content-Length') or 0))
        if h.command == 'PATCH':
            verb = 'patch nodes/status' if url.path.endswith('/status') else 'patch nodes'
        else:
            verb = 'watch' if query.get('watch') in ('1', 'true') else 'list'
        self.used_verbs.add(verb)
        auth = h.headers.get('Authorization', '')
        with self.lock:
            allowed = auth.startswith('Bearer ') and auth[7:] in self.tokens
        try:
            action = self.take_fault(verb.split()[0])
            if action:
                self.seen.append((verb, h.path, 'fault'))
                action(h, self)
            elif not allowed:
                self.status(h, verb, 401, 'Unauthorized')
            elif verb not in self.verbs:
                self.status(h, verb, 403, 'Forbidden')
            elif verb == 'list':
                self.list(h, query)
            elif verb == 'watch':
                self.watch(h, query)
            else:
                self.patch(h, url.path.split('/')[4], verb, body)
        except (Cut, ConnectionError, OSError):
            h.close_connection = True

    def status(self, h, verb, code, reason, headers=()):
        self.seen.append((verb, h.path, code))
        self.answer(h, code, {'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Failure',
                              'message': reason, 'reason': reason, 'code': code}, headers)

    def answer(self, h, code, o, headers=()):
        text = json.dumps(o).encode()
        h.send_response(code)
        h.send_header('Content-Type', 'application/json')
        h.send_header('Content-Length', str(len(text)))
        for k, v in headers:
            h.send_header(k, v)
        h.end_headers()
        h.wfile.write(text)

    def list(self, h, query):
        limit = int(query.get('limit') or 0)
        if self.page_limit and limit > self.page_limit:
            limit = self.page_limit
        with self.lock:
            rv, after = self.rv, ''
            if query.get('continue'):
                try:
                    token = json.loads(base64.b64decode(query['continue']))
                except ValueError:
                    return self.status(h, 'list', 400, 'BadRequest')
                rv, after = token['rv'], token['after']
            if rv < self.oldest:
                return self.status(h, 'list', 410, 'Expired')
            names = sorted(n for n in self.nodes if n > after)
            part = names[:limit] if limit else names
            meta = {'resourceVersion': str(rv)}
            if len(part) < len(names):
                meta['continue'] = base64.b64encode(json.dumps({'rv': rv, 'after': part[-1]}).encode()).decode()
                meta['remainingItemCount'] = len(names) - len(part)
            items = [self.nodes[n] for n in part]
        if not self.kind_in_items:
            items = [{k: v for k, v in n.items() if k not in ('kind', 'apiVersion')} for n in items]
        self.seen.append(('list', h.path, 200))
        self.answer(h, 200, {'kind': 'NodeList', 'apiVersion': 'v1', 'metadata': meta, 'items': items})

    # --- watches ---
    def begin_chunks(self, h):
        h.send_response(200)
        h.send_header('Content-Type', 'application/json')
        h.send_header('Transfer-Encoding', 'chunked')
        h.end_headers()

    def chunk(self, h, text):
        if isinstance(text, str):
            text = text.encode()
        h.wfile.write(b'%x\r\n%s\r\n' % (len(text), text))
        h.wfile.flush()

    def end_chunks(self, h):
        h.wfile.write(b'0\r\n\r\n')

    def event(self, h, kind, o):
        self.chunk(h, json.dumps({'type': kind, 'object': o}) + '\n')

    def watch(self, h, query):
        rv = int(query['resourceVersion'])
        if rv < self.oldest:
            return self.status(h, 'watch', 410, 'Gone')
        self.seen.append(('watch', h.path, 200))
        end = time.monotonic() + (self.watch_secs or int(query['timeoutSeconds']))
        bookmark_at = time.monotonic() + self.bookmark_secs
        self.begin_chunks(h)
        while True:
            with self.lock:
                news = [e for e in self.log if e[0] > rv]
                if not news and not self.closing and rv >= self.oldest:
                    self.lock.wait(0.05)
                    news = [e for e in self.log if e[0] > rv]
                gone, closing, now_rv = rv < self.oldest, self.closing, self.rv
            if closing:
                raise Cut
            if gone:
                self.event(h, 'ERROR', {'kind': 'Status', 'code': 410, 'reason': 'Expired', 'status': 'Failure'})
                return self.end_chunks(h)
            for rv, kind, node in news:
                self.event(h, kind, node)
            if time.monotonic() >= bookmark_at and self.bookmarks and query.get('allowWatchBookmarks') == 'true':
                bookmark_at = time.monotonic() + self.bookmark_secs
                if not news:
                    rv = now_rv
                self.event(h, 'BOOKMARK', {'kind': 'Node', 'apiVersion': 'v1',
                                           'metadata': {'resourceVersion': str(rv), 'creationTimestamp': None}})
            if time.monotonic() >= end:
                return self.end_chunks(h)

    # --- patches ---
    def patch(self, h, name, verb, body):
        kind = h.headers.get('Content-Type')
        o = json.loads(body)
        node = self.node(name)
        if not node:
            return self.status(h, verb, 404, 'NotFound')
        if verb == 'patch nodes' and kind in ('application/merge-patch+json',
                                              'application/strategic-merge-patch+json'):
            if set(o) != {'metadata'} or set(o['metadata']) != {'annotations'}:
                return self.status(h, verb, 422, 'Invalid')
            node['metadata'].setdefault('annotations', {}).update(o['metadata']['annotations'])
        elif verb == 'patch nodes/status' and kind == 'application/strategic-merge-patch+json':
            if set(o) != {'status'} or set(o['status']) != {'conditions'}:
                return self.status(h, verb, 422, 'Invalid')
            have = node['status']['conditions']
            for c in o['status']['conditions']:
                have[:] = [x for x in have if x['type'] != c['type']] + [c]
        else:
            return self.status(h, verb, 415, 'UnsupportedMediaType')
        self.put(node)
        self.seen.append((verb, h.path, 200))
        self.answer(h, 200, self.node(name))
