"""bgp_live.py DUT-NETNS GEN-NETNS WEFTD-PID SECS [BURST-COMMAND...]: how soon a weftd answers, seen from outside.

In the namespace GEN it is a BGP neighbour (192.0.2.120, AS 65120) with BFD; in DUT it watches the kernel's
routes and asks weftd's /healthz. It announces and withdraws a prefix at a time and prints, median / 99 % /
most, in ms: from the UPDATE to the kernel's route, to its removal, an answer over HTTP (the loop's own
turn), and by how much BFD packets came later than their interval. With BURST-COMMAND the same while that
runs, until it ends; else for SECS seconds.

What the machine adds is told apart: "without waits for a CPU" is the same less the time for which weftd's
thread and this program were ready to run and had no CPU (schedstat's run delay); and "by netlink alone" is a
route that this program puts into the kernel itself, in GEN, with no weftd: the kernel's locks and our own
wake-up."""
import ctypes, gc, os, selectors, socket, struct, subprocess, sys, time

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
DUT, ME, AS = '192.0.2.1', '192.0.2.120', 65120
BFD_US = 50000
SO_TIMESTAMPNS = 35
now = time.monotonic


def enter(name):
    with open(f'/run/netns/{name}') as f:
        if libc.setns(f.fileno(), CLONE_NEWNET) != 0:
            sys.exit(f'setns {name}: {os.strerror(ctypes.get_errno())}')


class Bgp:
    MARKER = b'\xff' * 16

    def __init__(self, bfd):
        """Until weftd takes the session: it pauses after one that ended."""
        end = now() + 60
        while not self.dial():
            if now() > end:
                sys.exit('no session')
            for _ in range(50):
                bfd.read()
                if now() >= bfd.next:
                    bfd.send()
                time.sleep(0.01)

    def dial(self):
        caps = bytes([2, 6, 1, 4, 0, 1, 0, 1, 2, 6, 65, 4]) + struct.pack('!I', AS)
        try:
            self.s = socket.create_connection((DUT, 179), timeout=10, source_address=(ME, 0))
        except OSError:
            return False
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.msg(1, struct.pack('!BHH4sB', 4, AS, 240, socket.inet_aton(ME), len(caps)) + caps)
        self.buf, self.up = b'', False
        while not self.up:
            if not self.read():
                self.s.close()
                return False
        self.s.setblocking(False)
        return True

    def msg(self, kind, body=b''):
        self.s.sendall(self.MARKER + struct.pack('!HB', 19 + len(body), kind) + body)

    def read(self):
        """False: weftd closed the session."""
        try:
            got = self.s.recv(65536)
        except BlockingIOError:
            return True
        except ConnectionError:
            got = b''
        if not got:
            return False
        self.buf += got
        while len(self.buf) >= 19 and len(self.buf) >= (n := struct.unpack('!H', self.buf[16:18])[0]):
            kind = self.buf[18]
            if kind == 3:
                sys.exit(f'NOTIFICATION {self.buf[19:21].hex()}')
            if kind == 1:
                self.msg(4)
            if kind == 4:
                self.up = True
            self.buf = self.buf[n:]
        return True

    def announce(self, prefix):
        attrs = bytes([0x40, 1, 1, 0, 0x40, 2, 6, 2, 1]) + struct.pack('!I', AS)
        attrs += bytes([0x40, 3, 4]) + socket.inet_aton(ME)
        self.msg(2, struct.pack('!HH', 0, len(attrs)) + attrs + prefix)

    def withdraw(self, prefix):
        self.msg(2, struct.pack('!H', len(prefix)) + prefix + b'\0\0')


class Bfd:
    def __init__(self):
        self.rx = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rx.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.rx.bind((ME, 3784))
        self.rx.setblocking(False)
        self.tx = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tx.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 255)
        self.tx.bind((ME, 49200))
        self.state, self.theirs, self.next, self.last = 1, 0, 0.0, None
        self.late, self.downs = [], 0

    def send(self, final=False):
        # We ask for packets each BFD_US and promise ours so rarely that our own lateness means nothing.
        flags = self.state << 6 | (0x10 if final else 0)
        self.tx.sendto(struct.pack('!BBBBIIIII', 0x20, flags, 20, 24, 77, self.theirs, 100000, BFD_US, 0), (DUT, 3784))
        self.next = now() + 0.05

    def read(self):
        try:
            data, control, _, _ = self.rx.recvmsg(256, 256)
        except BlockingIOError:
            return
        at = None
        for level, kind, value in control:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                s, ns = struct.unpack('qq', value[:16])
                at = s + ns / 1e9
        _, flags, _, _, self.theirs, yours, tx_us, _ = struct.unpack('!BBBBIIII', data[:20])
        state = flags >> 6
        if state == 1 and self.state == 3:
            self.downs += 1
            self.state = 1
        if state == 1 and self.state == 1:
            self.state = 2
        elif state in (2, 3) and yours == 77:
            self.state = 3
        if flags & 0x20:
            self.send(final=True)
        # A gap is late by what it has beyond the interval, the longest that jitter allows.
        if at is not None and self.state == 3 and tx_us <= BFD_US and self.last is not None:
            self.late.append(max(0.0, at - self.last - BFD_US / 1e6) * 1e3)
        self.last = at if self.state == 3 and tx_us <= BFD_US else None


class Routes:
    """Notifications of the kernel's IPv4 routes in 198.18.0.0/15, and routes of our own there."""
    # rtmsg at 16, attributes from 28 on: RTA_TABLE, then RTA_DST, whose value is at 40.
    FILTER = [(0x20, 0, 0, 40), (0x54, 0, 0, 0xfffe0000), (0x15, 0, 1, 0xc6120000), (6, 0, 0, 0xffffffff), (6, 0, 0, 0)]

    def __init__(self):
        self.s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *i) for i in self.FILTER))
        self.s.setsockopt(socket.SOL_SOCKET, 26, struct.pack('HxxxxxxP', len(self.FILTER), ctypes.addressof(code)))
        self.s.bind((0, 1 << 6))
        self.s.setblocking(False)
        self.out = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)

    def read(self, dst):
        """24 or 25 (route added, removed) if one of them is of @dst."""
        hit = None
        while True:
            try:
                data = self.s.recv(65536)
            except BlockingIOError:
                return hit
            if data[40:44] == struct.pack('!I', dst):
                hit = struct.unpack('H', data[4:6])[0]

    def put(self, kind, dst):
        """An unreachable route in table 1000."""
        attrs = struct.pack('HHI', 8, 15, 1000) + struct.pack('HH', 8, 1) + struct.pack('!I', dst)
        rtm = struct.pack('BBBBBBBBI', socket.AF_INET, 24, 0, 0, 0, 99, 0, 7, 0)
        flags = 1 | (0x400 if kind == 24 else 0)
        self.out.send(struct.pack('IHHII', 16 + len(rtm + attrs), kind, flags, 1, 0) + rtm + attrs)


def run_delay(pid, tid):
    """ms for which a thread was ready to run and did not."""
    with open(f'/proc/{pid}/task/{tid}/schedstat') as f:
        return int(f.read().split()[1]) / 1e6


def http():
    t = now()
    s = socket.create_connection(('127.0.0.1', 6794), timeout=60)
    s.sendall(b'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    if not s.recv(4096).startswith(b'HTTP/1.1 200'):
        sys.exit('healthz')
    s.close()
    return (now() - t) * 1e3


def stat(name, values):
    v = sorted(values)
    if v:
        print(f'  {name:<34} {v[len(v) // 2]:8.2f} {v[int(len(v) * 0.99)]:8.2f} {v[-1]:8.2f}   of {len(v)}', flush=True)


def main():
    dut, gen, pid, secs, burst = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), sys.argv[5:]
    gc.disable()
    enter(gen)
    # BFD first: a new session of it would end one of BGP.
    bfd, end = Bfd(), now() + 30
    while bfd.state != 3 or bfd.last is None:
        bfd.read()
        if now() >= bfd.next:
            bfd.send()
        time.sleep(0.005)
        if now() > end:
            sys.exit(f'BFD does not come up: state {bfd.state}')
    bgp = Bgp(bfd)
    alone = Routes()
    enter(dut)
    routes = Routes()
    sel = selectors.DefaultSelector()
    for what in (bgp.s, bfd.rx, routes.s, alone.s):
        sel.register(what, selectors.EVENT_READ)
    dst = 0

    def turn(timeout, watch=routes):
        for key, _ in sel.select(min(timeout, max(0.0, bfd.next - now()))):
            if key.fileobj is bgp.s and not bgp.read():
                sys.exit('weftd closed the session')
            elif key.fileobj is bfd.rx:
                bfd.read()
        if now() >= bfd.next:
            bfd.send()
        return watch.read(dst)

    def timed(act, kind, name, watch=routes):
        """@act, until the kernel tells @watch of @kind."""
        before = run_delay(pid, pid) + run_delay('self', os.getpid())
        t = now()
        act()
        while turn(0.05, watch) != kind:
            if now() - t > 120:
                sys.exit('a route takes more than two minutes')
        took = (now() - t) * 1e3
        waited = run_delay(pid, pid) + run_delay('self', os.getpid()) - before
        times[name].append(took)
        bare[name].append(max(0.0, took - waited))

    for _ in range(20):
        turn(0.05)
    bfd.late.clear()
    child = subprocess.Popen(burst, stdin=subprocess.DEVNULL) if burst else None
    times, bare = ({'up': [], 'down': [], 'alone': []} for _ in range(2))
    web, i, keep = [], 0, now()
    until = now() + secs
    while (child.poll() is None) if child else now() < until:
        i += 1
        dst = 0xc6120000 + ((i % 256) << 8)
        prefix = bytes([24]) + struct.pack('!I', dst)[:3]
        timed(lambda: bgp.announce(prefix), 24, 'up')
        timed(lambda: bgp.withdraw(prefix), 25, 'down')
        dst = 0xc6130000 + ((i % 256) << 8)
        timed(lambda: alone.put(24, dst), 24, 'alone', alone)
        alone.put(25, dst)
        web.append(http())
        if now() - keep > 30:
            bgp.msg(4)
            keep = now()
        pause = now() + 0.01
        while now() < pause:
            turn(0.005)
    print(f'{"burst" if burst else "quiet"}: ms {"median":>39} {"99 %":>8} {"most":>8}')
    stat('UPDATE to route in the kernel', times['up'])
    stat('  without waits for a CPU', bare['up'])
    stat('withdrawal to its removal', times['down'])
    stat('  without waits for a CPU', bare['down'])
    stat('a route by netlink alone', times['alone'])
    stat('  without waits for a CPU', bare['alone'])
    stat('/healthz', web)
    stat(f'BFD, beyond {BFD_US // 1000} ms', bfd.late)
    print(f'  BFD sessions lost: {bfd.downs}')
    if child and child.returncode:
        sys.exit('the burst failed')


main()
