"""weftd's control socket as far as weft-kube asks it (docs/json.md), so that what it is told can be seen, and so
that it can be old, away, or mad; and ask(), which asks a real one. The msgpack that both sides use: nil, bool, integers, text,
arrays, maps."""
import os, socket, struct, threading


def pack(o):
    if o is None:
        return b'\xc0'
    if isinstance(o, bool):
        return b'\xc3' if o else b'\xc2'
    if isinstance(o, int):
        return b'\xcf' + struct.pack('>Q', o) if o >= 0 else b'\xd3' + struct.pack('>q', o)
    if isinstance(o, str):
        b = o.encode()
        return b'\xdb' + struct.pack('>I', len(b)) + b
    if isinstance(o, (list, tuple)):
        return b'\xdd' + struct.pack('>I', len(o)) + b''.join(map(pack, o))
    return b'\xdf' + struct.pack('>I', len(o)) + b''.join(pack(k) + pack(v) for k, v in o.items())


def unpack(b, i=0):
    """The object at @i, and where the next one is. Raises on what weft does not send."""
    t = b[i]
    if t < 0x80:
        return t, i + 1
    if 0x80 <= t < 0x90 or t in (0xde, 0xdf):
        n, i = (t & 15, i + 1) if t < 0x90 else (int.from_bytes(b[i + 1:i + (3 if t == 0xde else 5)], 'big'),
                                                 i + (3 if t == 0xde else 5))
        o = {}
        for _ in range(n):
            k, i = unpack(b, i)
            o[k], i = unpack(b, i)
        return o, i
    if 0x90 <= t < 0xa0 or t in (0xdc, 0xdd):
        n, i = (t & 15, i + 1) if t < 0xa0 else (int.from_bytes(b[i + 1:i + (3 if t == 0xdc else 5)], 'big'),
                                                 i + (3 if t == 0xdc else 5))
        v = []
        for _ in range(n):
            o, i = unpack(b, i)
            v.append(o)
        return v, i
    if t == 0xc0:
        return None, i + 1
    if 0xa0 <= t < 0xc0:
        n, i = t & 31, i + 1
    elif t in (0xd9, 0xda, 0xdb):
        w = 1 << (t - 0xd9)
        n, i = int.from_bytes(b[i + 1:i + 1 + w], 'big'), i + 1 + w
    elif t in (0xc2, 0xc3):
        return t == 0xc3, i + 1
    elif 0xcc <= t <= 0xcf:
        w = 1 << (t - 0xcc)
        return int.from_bytes(b[i + 1:i + 1 + w], 'big'), i + 1 + w
    else:
        raise ValueError(f'type {t:#x}')
    return b[i:i + n].decode(), i + n


def ask(path, cmd, **args):
    """The reply to @cmd of the daemon behind the socket @path."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(path)
        body = pack({'v': 1, 'cmd': cmd, 'args': args})
        s.sendall(struct.pack('>I', len(body)) + body)
        head = s.recv(4, socket.MSG_WAITALL)
        return unpack(s.recv(int.from_bytes(head, 'big'), socket.MSG_WAITALL))[0]


class Weftd:
    def __init__(self, path, key='k' * 52):
        self.path, self.key, self.epoch = path, key, 1
        self.commands = []      # (command, argument), but for questions
        self.endpoints, self.targets = ['192.0.2.1:6793'], {}
        self.ready = True
        self.unknown = set()    # commands that this weftd is too old for
        self.refuse = {}        # command: error
        self.mad = None         # a function of the connection, instead of answers
        self.lock = threading.Lock()
        self.listener = None
        self.start()

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o600)
        self.listener.listen(16)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)

    def restart(self):
        """Another epoch; what it was told over its socket is lost."""
        self.stop()
        self.epoch += 1
        self.targets = {}
        self.start()

    def accept(self, listener):
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            with c:
                if self.mad:
                    self.mad(c)
                    return
                while True:
                    head = c.recv(4, socket.MSG_WAITALL)
                    if len(head) < 4:
                        return
                    body = c.recv(int.from_bytes(head, 'big'), socket.MSG_WAITALL)
                    rq, end = unpack(body)
                    if end != len(body) or rq.get('v') != 1:
                        raise ValueError('request')
                    out = pack({'v': 1, **self.answer(rq['cmd'], rq.get('args', {}))})
                    c.sendall(struct.pack('>I', len(out)) + out)
        except (OSError, ValueError, IndexError):
            pass

    def answer(self, cmd, args):
        with self.lock:
            if cmd in self.unknown or cmd not in ('status', 'pod-network', 'status targets', 'connect', 'forget',
                                                  'prefix-set', 'node-deleted', 'node-added'):
                return {'ok': False, 'error': f"this weftd (0.0.1) has no command '{cmd}'"}
            if cmd == 'status':
                return {'ok': True, 'data': {'node': {'key': self.key, 'epoch': self.epoch,
                                                      'endpoints': self.endpoints}}}
            if cmd == 'pod-network':
                return {'ok': True, 'data': {'ready': self.ready, 'settling': False, 'peers_linked': 0,
                                             'prefixes': [{'vni': 1, 'prefix': '10.1.0.0/24'}]}}
            if cmd == 'status targets':
                return {'ok': True, 'data': {'targets': [{'text': t, 'state': s} for t, s in self.targets.items()]}}
            arg = next(iter(args.values()), '')
            self.commands.append((cmd, arg))
            if cmd in self.refuse:
                return {'ok': False, 'error': self.refuse[cmd]}
            if cmd == 'connect':
                self.targets[arg] = 'established'
            elif cmd == 'forget':
                self.targets.pop(arg, None)
            return {'ok': True, 'data': {'message': 'fine'}}

    def told(self, cmd):
        with self.lock:
            return [a for c, a in self.commands if c == cmd]
