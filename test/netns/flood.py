"""flood.py KIND TARGET SECONDS [PCAP FROM]: datagrams at TARGET's UDP port 6793 for SECONDS, as fast as this
program can (about 50,000/s). Prints how many.

	garbage		random bytes, lengths 0 to 1472
	truncated	data headers cut short
	index		whole data headers, random receiver index
	oversized	65,000 bytes, in fragments
	version, type	a first byte of another wire version; of a type that there is none of
	init, final	handshake messages of right form and length, random content

These need a capture (PCAP) of what FROM sent to TARGET, and go out with FROM's address and port:
	replay		recorded data and control datagrams as they were
	forged		recorded data datagrams with counters to come, a bit of the sealed part changed
	lane		recorded data datagrams, the lane changed to one that doesn't exist
	handshake	recorded handshake messages, from FROM's address and from this host's own"""
import os, random, socket, struct, sys, time

DATA, INIT, FINAL, RELAY = 0x11, 0x12, 0x14, 0x17
HEADER = 16
kind, target, secs = sys.argv[1], sys.argv[2], float(sys.argv[3])
rnd = random.Random(7)


def recorded(path, source):
    """UDP payloads from source to target; of captured super-packets the first datagram can't be told."""
    with open(path, 'rb') as f:
        f.read(24)
        while len(h := f.read(16)) == 16:
            frame = f.read(struct.unpack('<4I', h)[2])
            ip = frame[14:]
            if frame[12:14] != b'\x08\0' or ip[9] != 17 or ip[12:16] != socket.inet_aton(source) or \
                    ip[16:20] != socket.inet_aton(target) or len(ip) > 1500:
                continue
            udp = ip[(ip[0] & 15) * 4:]
            if udp[2:4] == struct.pack('!H', 6793):
                yield udp[8:struct.unpack('!H', udp[4:6])[0]]


def spoofed(source):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def send(payload):
        udp = struct.pack('!HHHH', 6793, 6793, 8 + len(payload), 0) + payload
        ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, socket.inet_aton(source),
                         socket.inet_aton(target))
        s.sendto(ip + udp, (target, 0))

    return send


def plain():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, 10, 0)  # may be fragmented

    def send(payload):
        try:
            s.sendto(payload, (target, 6793))
        except ConnectionRefusedError:
            pass

    return send


def head(first, n):
    return bytes([first, 0, 1, 0]) + os.urandom(n - 4)


make = {
    'garbage': lambda: os.urandom(rnd.randrange(0, 1473)),
    'truncated': lambda: head(DATA, 36)[:rnd.randrange(1, 36)],
    'index': lambda: head(DATA, rnd.randrange(36, 1473)),
    'oversized': lambda: head(DATA, 65000),
    'version': lambda: bytes([rnd.choice((0x01, 0x21, 0xf2))]) + os.urandom(rnd.randrange(0, 1000)),
    'type': lambda: bytes([rnd.choice((0x10, 0x18, 0x1f))]) + os.urandom(rnd.randrange(0, 1000)),
    'init': lambda: bytes([INIT, 0, 0, 0]) + os.urandom(rnd.choice((424, 600, 1228))),
    'final': lambda: bytes([FINAL, 0, 0, 0]) + os.urandom(rnd.choice((390, 500, 900))),
}
if kind in make:
    send, ways = plain(), [make[kind]]
    pool = [make[kind]() for _ in range(4000 if kind != 'oversized' else 40)]
    senders = [send]
else:
    source = sys.argv[5]
    got = list(recorded(sys.argv[4], source))
    data = [p for p in got if p[0] == DATA and len(p) >= 36 and p[2] != 0]
    hands = [p for p in got if INIT <= p[0] < RELAY]
    senders = [spoofed(source)]
    if kind == 'replay':
        pool = data + [p for p in got if p[0] == DATA and p[2] == 0]
    elif kind == 'forged':
        # A counter that was seen would be dropped as a replay, unopened.
        pool = [p[:8] + struct.pack('!Q', (1 << 40) + n) + p[HEADER:i] + bytes([p[i] ^ 1 << rnd.randrange(8)]) +
                p[i + 1:] for n, p in enumerate(data) for i in [rnd.randrange(HEADER, len(p))]]
    elif kind == 'lane':
        pool = [p[:2] + b'\xf0' + p[3:] for p in data]
    else:
        pool, senders = hands, [spoofed(source), plain()]
    if len(pool) < (2 if kind == 'handshake' else 50):  # a call is INIT and FINAL
        sys.exit(f'the capture has {len(pool)} datagrams for {kind}')

sent, end = 0, time.monotonic() + secs
while time.monotonic() < end:
    for _ in range(100):
        senders[sent % len(senders)](pool[sent // len(senders) % len(pool)])
        sent += 1
print(sent)
