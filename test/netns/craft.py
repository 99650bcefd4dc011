"""craft.py HOST1 POD1 HOST2 POD2: packets made byte by byte, sent from POD1 (10.32.1.2, fd32:0:0:1::2) through
the mesh and compared as they arrive in POD2 (10.32.2.2, fd32:0:0:2::2). The arguments are names of network
namespaces. Exit 1 with the first thing that differs.

An IPv4 packet is forwarded twice: the TTL is two lower and the header checksum follows; nothing else may
change."""
import ctypes, os, select, socket, struct, subprocess, sys, time

host1, pod1, host2, pod2 = sys.argv[1:]
A4, B4 = socket.inet_aton('10.32.1.2'), socket.inet_aton('10.32.2.2')
A6, B6 = (socket.inet_pton(socket.AF_INET6, f'fd32:0:0:{n}::2') for n in (1, 2))
ROUTER2 = socket.inet_aton('10.32.2.1')
libc = ctypes.CDLL(None, use_errno=True)
PACKET_IGNORE_OUTGOING, SOL_PACKET = 23, 263


class Tap:
    """A packet socket in a network namespace: a socket stays in the one that it was opened in."""

    def __init__(self, ns, iface):
        here = os.open('/proc/self/ns/net', os.O_RDONLY)
        there = os.open('/run/netns/' + ns, os.O_RDONLY)
        try:
            if libc.setns(there, 0x40000000) != 0:
                raise OSError(ctypes.get_errno(), 'setns ' + ns)
            self.s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self.s.bind((iface, 3))
            self.mac = self.s.getsockname()[4]
        finally:
            libc.setns(here, 0x40000000)
            os.close(here)
            os.close(there)
        self.gateway = None

    def send(self, packet):
        kind = 0x0800 if packet[0] >> 4 == 4 else 0x86dd
        self.s.send(self.gateway + self.mac + struct.pack('!H', kind) + packet)

    def drain(self):
        self.s.setblocking(False)
        try:
            while True:
                self.s.recv(65536)
        except BlockingIOError:
            pass

    def expect(self, judge, what, secs=5):
        """The first packet that judge() likes."""
        seen, deadline = [], time.monotonic() + secs
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.s], [], [], left)[0]:
                break
            packet = self.s.recv(65536)[14:]
            if packet[:1] and judge(packet):
                return packet
            seen.append(packet[:48].hex())
        sys.exit(f'{what} did not come; what came: {seen[:8]}')


def run(*cmd):
    return subprocess.run(cmd, check=True, capture_output=True, text=True).stdout


def fold(data):
    data += b'\0' * (len(data) & 1)
    s = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return s


def csum(data):
    return ~fold(data) & 0xffff


ident = 100


def ip4(proto, body, *, ttl=64, tos=0, df=False, frag=0, more=False, options=b'', ident_=None):
    global ident
    ident += 1
    words = 5 + len(options) // 4
    flags = (0x4000 if df else 0) | (0x2000 if more else 0) | frag // 8
    h = struct.pack('!BBHHHBBH4s4s', 0x40 | words, tos, words * 4 + len(body), ident_ or ident, flags, ttl,
                    proto, 0, A4, B4) + options
    return h[:10] + struct.pack('!H', csum(h)) + h[12:] + body


def ip6(proto, body, *, hops=64, tos=0):
    return struct.pack('!IHBB', 6 << 28 | tos << 20, len(body), proto, hops) + A6 + B6 + body


def aged(p, n=2):
    """As the packet looks after n routers."""
    if p[0] >> 4 == 6:
        return p[:7] + bytes([p[7] - n]) + p[8:]
    size = (p[0] & 15) * 4
    h = p[:8] + bytes([p[8] - n]) + p[9:10] + b'\0\0' + p[12:size]
    return h[:10] + struct.pack('!H', csum(h)) + h[12:] + p[size:]


def pseudo(family, proto, n):
    return (A4 + B4 if family == 4 else A6 + B6) + struct.pack('!HH', proto, n)


def udp(family, data, *, sum_=None, dport=7777):
    h = struct.pack('!HHHH', 7778, dport, 8 + len(data), 0)
    right = csum(pseudo(family, 17, len(h + data)) + h + data) or 0xffff
    return h[:6] + struct.pack('!H', right if sum_ is None else right ^ sum_ if sum_ else 0) + data


def tcp(family, data, *, spoil=0, flags=0x10):
    h = struct.pack('!HHIIBBHHH', 7778, 7777, 1000, 2000, 0x50, flags, 512, 0, 0)
    right = csum(pseudo(family, 6, len(h + data)) + h + data)
    return h[:16] + struct.pack('!H', right ^ spoil) + h[18:] + data


def text(n):
    return bytes((i * 31 + n) & 255 for i in range(n))


left, right = Tap(pod1, 'eth0'), Tap(pod2, 'eth0')
links = {}
for ns, dev, pod in ((host1, 'eth-p1', left), (host2, 'eth-p2', right)):
    links[ns] = run('ip', '-n', ns, '-br', 'link', 'show', dev).split()[2]
    pod.gateway = bytes.fromhex(links[ns].replace(':', ''))


def arrives(packet, what):
    right.drain()
    left.send(packet)
    right.expect(lambda p: p[:len(aged(packet))] == aged(packet), what)
    print('  ok:', what)


def plain():
    for fam, ip in ((4, ip4), (6, ip6)):
        arrives(ip(132, text(300)), f'SCTP over IPv{fam}')
        arrives(ip(4, ip4(17, udp(4, text(100)))), f'IPIP over IPv{fam}')
        arrives(ip(41, ip6(6, tcp(6, text(100)))), f'IPv6 in IPv{fam}')
        arrives(ip(253, text(1)), f'an unknown protocol over IPv{fam}')
        arrives(ip(17, udp(fam, text(333), sum_=0)), f'UDP without a checksum over IPv{fam}')
        arrives(ip(17, udp(fam, text(333), sum_=0x1234)), f'UDP with a wrong checksum over IPv{fam}')
        arrives(ip(6, tcp(fam, text(333), spoil=0x4321)), f'TCP with a wrong checksum over IPv{fam}')
        arrives(ip(6, tcp(fam, text(1001))), f'TCP over IPv{fam}')
        arrives(ip(6, tcp(fam, b'', flags=0x3f)), f'TCP with all flags over IPv{fam}')
        arrives(ip(17, udp(fam, b'')), f'an empty UDP datagram over IPv{fam}')
        arrives(ip(17, b'\x1e\x61'), f'a UDP header cut short over IPv{fam}')
        arrives(ip(6, text(13)), f'a TCP header cut short over IPv{fam}')
        arrives(ip(6, tcp(fam, text(40))[:12] + b'\xf0' + tcp(fam, text(40))[13:]),
                f'TCP with a header longer than the packet over IPv{fam}')
    # no-operation, record route (empty, for three addresses) and padding; routers on the way write into it
    arrives(ip4(17, udp(4, text(64)), options=b'\x01\x01\x01\x01' + b'\x94\x04\0\0'), 'IPv4 options')
    arrives(ip4(6, tcp(4, text(64)), options=b'\x01' * 40), 'TCP behind the most options')
    arrives(ip6(0, bytes([17, 0, 1, 4, 0, 0, 0, 0]) + udp(6, text(64))), 'IPv6 hop-by-hop options')
    arrives(ip6(60, bytes([6, 0, 1, 4, 0, 0, 0, 0]) + tcp(6, text(64))), 'IPv6 destination options')


def runs():
    """Packets of one flow in a row, some of which a careless coalescing would join: all arrive, in order."""
    def segment(n, seq, **kw):
        h = struct.pack('!HHIIBBHHH', 7779, 7777, seq, kw.get('ack', 1), 0x50, kw.get('flags', 0x10), 512, 0, 0)
        body = text(n)
        s = csum(pseudo(4, 6, len(h) + n) + h + body) ^ kw.get('spoil', 0)
        return ip4(6, h[:16] + struct.pack('!H', s) + h[18:] + body, df=kw.get('df', True), tos=kw.get('tos', 0),
                   ttl=kw.get('ttl', 64))

    made, seq = [], 1
    odd = [{}, {}, {'tos': 2}, {}, {'ttl': 60}, {}, {'ack': 2}, {}, {'spoil': 1}, {}, {'df': False}, {},
           {'flags': 0x18}, {}, {'flags': 0x90}, {}, {'flags': 0x50}, {}, {'flags': 0x11}, {}]
    for kw in odd * 8:
        made.append(segment(700, seq, **kw))
        seq += 700
    right.drain()
    for p in made:
        left.send(p)
    for i, p in enumerate(made):
        got = right.expect(lambda q: q[9] == 6 and q[20:22] == b'\x1e\x63', f'segment {i} of a run')
        if got != aged(p):
            sys.exit(f'segment {i} of a run differs: {got[:40].hex()} for {aged(p)[:40].hex()}')
    print('  ok:', len(made), 'segments in a row, each as it was')


def fragments():
    whole = udp(4, text(2000))
    pieces = [ip4(17, whole[:1000], more=True, ident_=77), ip4(17, whole[1000:], frag=1000, ident_=77)]
    right.drain()
    for p in pieces:
        left.send(p)
    for i, p in enumerate(pieces):
        right.expect(lambda q: q == aged(p), f'IPv4 fragment {i}')
    tiny = ip4(17, whole[:8], more=True, ident_=78)
    arrives(tiny, 'an IPv4 fragment with a UDP header alone')
    arrives(ip4(6, text(16), frag=1480, ident_=79), 'a last IPv4 fragment of TCP')
    whole = udp(6, text(2000))
    pieces = [ip6(44, struct.pack('!BBHI', 17, 0, 1, 78) + whole[:1000]),
              ip6(44, struct.pack('!BBHI', 17, 0, 1000, 78) + whole[1000:])]
    right.drain()
    for p in pieces:
        left.send(p)
    for i, p in enumerate(pieces):
        right.expect(lambda q: q == aged(p), f'IPv6 fragment {i}')
    print('  ok: fragments of both families')


def icmp_errors():
    def quotes(p, kind, code, original, source=None):
        if p[0] >> 4 == 4:
            return (p[9] == 1 and p[20] == kind and p[21] == code and fold(p[20:struct.unpack('!H', p[2:4])[0]]) == 0xffff
                    and p[28 + 12:28 + 28] == original[12:28] and (source is None or p[12:16] == source))
        return p[6] == 58 and p[40] == kind and p[41] == code and p[48 + 8:48 + 44] == original[8:44]

    def comes_back(packet, kind, code, what, source=None):
        left.drain()
        left.send(packet)
        left.expect(lambda p: quotes(p, kind, code, packet, source), what)
        print('  ok:', what)

    comes_back(ip4(17, udp(4, b'x', dport=9)), 3, 3, 'ICMP port unreachable', B4)
    comes_back(ip6(17, udp(6, b'x', dport=9)), 1, 4, 'ICMPv6 port unreachable')
    comes_back(ip4(17, udp(4, b'x'), ttl=1), 11, 0, 'TTL exceeded at the first router')
    comes_back(ip4(17, udp(4, b'x'), ttl=2), 11, 0, 'TTL exceeded behind the mesh', ROUTER2)
    comes_back(ip6(17, udp(6, b'x'), hops=2), 3, 0, 'hop limit exceeded behind the mesh')
    run('ip', '-n', host2, 'link', 'set', 'eth-p2', 'mtu', '1300')
    comes_back(ip4(17, udp(4, text(1372)), df=True), 3, 4, 'too-big from behind the mesh', ROUTER2)
    comes_back(ip6(17, udp(6, text(1352))), 2, 0, 'ICMPv6 too-big from behind the mesh')
    run('ip', '-n', host2, 'link', 'set', 'eth-p2', 'mtu', '1436')


# RFC 6040, figure 4: what the inner field becomes, by inner and outer; None: dropped.
NOT, ECT1, ECT0, CE = 0, 1, 2, 3
DECAP = {NOT: {NOT: NOT, ECT0: NOT, ECT1: NOT, CE: None},
         ECT0: {NOT: ECT0, ECT0: ECT0, ECT1: ECT1, CE: CE},
         ECT1: {NOT: ECT1, ECT0: ECT1, ECT1: ECT1, CE: CE},
         CE: {NOT: CE, ECT0: CE, ECT1: CE, CE: CE}}
NAMES = {NOT: 'not-ect', ECT0: 'ect0', ECT1: 'ect1', CE: 'ce'}


def ecn_of(p):
    return p[1] & 3 if p[0] >> 4 == 4 else p[1] >> 4 & 3


def ecn():
    wire = Tap(host2, 'u0')  # what comes from the underlay, before a rule marks it

    def outer_of(size):
        # a data packet: type 4 and version in the first byte after UDP is the daemon's affair; the size tells
        def judge(p):
            head = 20 if p[0] >> 4 == 4 else 40
            proto = p[9] if head == 20 else p[6]
            return proto == 17 and p[head + 2:head + 4] == struct.pack('!H', 6793) and len(p) == size + head + 44
        return judge

    for inner in DECAP:
        for ip, fam in ((ip4, 4), (ip6, 6)):
            packet = ip(17, udp(fam, text(501 + inner)), tos=inner)
            wire.drain()
            right.drain()
            left.send(packet)
            outer = wire.expect(outer_of(len(packet)), f'the outer packet of an IPv{fam} one')
            if ecn_of(outer) != inner:
                sys.exit(f'inner IPv{fam} {NAMES[inner]} made an outer {NAMES[ecn_of(outer)]}')
            dscp = outer[1] >> 2 if outer[0] >> 4 == 4 else (outer[0] & 15) << 2 | outer[1] >> 6
            if dscp != 0:
                sys.exit(f'DSCP {dscp} on an outer data packet')
            right.expect(lambda p: p == aged(packet), f'IPv{fam} {NAMES[inner]}')
    print('  ok: ECN copied to the outer header')
    for outer in (NOT, ECT0, ECT1, CE):
        rules = f'''table netdev craft {{
            chain c {{
                type filter hook ingress device u0 priority 0
                ip protocol udp udp dport 6793 ip ecn set {NAMES[outer]}
            }}
        }}'''
        subprocess.run(['ip', 'netns', 'exec', host2, 'nft', '-f', '-'], input=rules, text=True, check=True)
        for inner, row in DECAP.items():
            for ip, fam in ((ip4, 4), (ip6, 6)):
                packet, want = ip(17, udp(fam, text(601)), tos=inner), row[outer]
                right.drain()
                left.send(packet)
                if want is None:
                    # What follows comes, so this one was dropped and isn't late.
                    packet = ip(17, udp(fam, text(602)), tos=ECT0)
                    left.send(packet)
                    want = CE
                got = right.expect(lambda p: len(p) in (len(packet), len(packet) - 1) and p[0] == packet[0] &
                                   (255 if fam == 4 else 0xf0), f'IPv{fam} inner {NAMES[inner]} outer {NAMES[outer]}')
                if ecn_of(got) != want or len(got) != len(packet):
                    sys.exit(f'IPv{fam} inner {NAMES[inner]}, outer {NAMES[outer]}: {NAMES[ecn_of(got)]} came '
                             f'({len(got)} of {len(packet)} bytes)')
                if fam == 4 and fold(got[:20]) != 0xffff:
                    sys.exit('a wrong header checksum after a mark')
        run('ip', 'netns', 'exec', host2, 'nft', 'delete', 'table', 'netdev', 'craft')
    print('  ok: RFC 6040 on the way in, all sixteen cases, both families')


for part in (plain, runs, fragments, icmp_errors, ecn):
    print(part.__name__, flush=True)
    part()
