"""Both ends of the services tests.

svc_talk.py serve NAME PORT...: answers on TCP and UDP. A TCP caller says a word: `who` is told "NAME HIS-ADDRESS",
`big N` gets N bytes made from a counter. A UDP caller's DNS query is answered (A: 192.0.2.99, AAAA: 2001:db8::99).
svc_talk.py who HOST PORT [SECONDS]: prints what it was told; status 1 when refused, 2 when nothing came in time (3 s).
svc_talk.py big HOST PORT BYTES: prints the SHA-256 of what came, and fails unless it is what was asked for.
svc_talk.py dns HOST PORT THREADS LOOKUPS: each lookup asks A and AAAA at once from one new socket and waits for both;
prints how many got them, and how many had to wait more than a second."""
import hashlib
import socket
import struct
import sys
import threading
import time

BLOCK = b''.join(struct.pack('>Q', i) for i in range(8192))


def blocks(n):
    """n bytes: a numbered head in each block, so that a swap shows."""
    i = 0
    while n > 0:
        b = struct.pack('>Q', i) + BLOCK[8:]
        yield b[:n]
        n -= len(b)
        i += 1


def plain(address):
    return address.removeprefix('::ffff:')


def tcp_answer(c, name):
    words = c.makefile('r').readline().split()
    if words[:1] == ['who']:
        c.sendall(f'{name} {plain(c.getpeername()[0])}\n'.encode())
    elif words[:1] == ['big']:
        for b in blocks(int(words[1])):
            c.sendall(b)
    c.close()


def tcp_serve(name, port):
    s = socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    while True:
        c, _ = s.accept()
        threading.Thread(target=tcp_answer, args=(c, name), daemon=True).start()


def udp_serve(port):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.bind(('::', port))
    while True:
        q, a = s.recvfrom(512)
        kind, = struct.unpack('>H', q[-4:-2])
        data = socket.inet_aton('192.0.2.99') if kind == 1 else socket.inet_pton(socket.AF_INET6, '2001:db8::99')
        s.sendto(q[:2] + b'\x81\x80\0\1\0\1\0\0\0\0' + q[12:] + b'\xc0\x0c' + struct.pack('>HHIH', kind, 1, 5, len(data))
                 + data, a)


def serve(name, *ports):
    for p in ports:
        threading.Thread(target=tcp_serve, args=(name, int(p)), daemon=True).start()
        threading.Thread(target=udp_serve, args=(int(p),), daemon=True).start()
    threading.Event().wait()


def who(host, port, seconds=3):
    try:
        c = socket.create_connection((host, int(port)), float(seconds))
        c.sendall(b'who\n')
        print(c.makefile().readline().strip())
    except ConnectionError:
        sys.exit(1)
    except OSError as e:
        sys.exit(1 if e.errno else 2)


def big(host, port, n):
    c = socket.create_connection((host, int(port)), 10)
    c.sendall(f'big {n}\n'.encode())
    got, want, total = hashlib.sha256(), hashlib.sha256(), 0
    while b := c.recv(1 << 20):
        got.update(b)
        total += len(b)
    for b in blocks(int(n)):
        want.update(b)
    print(got.hexdigest())
    sys.exit(0 if total == int(n) and got.digest() == want.digest() else 1)


def lookup(host, port, number):
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((host, port))
    s.settimeout(5)
    name = b'\x06x%05d\x04test\0' % (number % 100000)
    begun = time.monotonic()
    for i, kind in enumerate((1, 28)):
        s.send(struct.pack('>HHHHHH', number * 2 + i & 0xffff, 0x100, 1, 0, 0, 0) + name + struct.pack('>HH', kind, 1))
    seen = set()
    try:
        while len(seen) < 2:
            seen.add(struct.unpack('>H', s.recv(512)[:2])[0])
    except OSError:
        return None
    finally:
        s.close()
    return time.monotonic() - begun


def dns(host, port, threads, lookups):
    took = []

    def one(t):
        for i in range(int(lookups)):
            took.append(lookup(host, int(port), t * int(lookups) + i))
    ts = [threading.Thread(target=one, args=(t,)) for t in range(int(threads))]
    for t in ts:
        t.start()
    for t in ts:
        t.join()
    print(sum(t is not None for t in took), sum(t is not None and t > 1 for t in took))


globals()[sys.argv[1]](*sys.argv[2:])
