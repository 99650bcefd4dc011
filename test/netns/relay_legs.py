"""relay_legs.py PCAP RELAY-ADDRESS... : what a relay sent on is what came to it. The capture is of the relay's own
interface, one datagram of weft per packet (no segments joined). Behind the relay header of each hop (weft/wire.h) the
datagram must be the same bytes on the way in and on the way out, the header itself another one, and what it carries is
sealed for none of the relay's own sessions. Exit 1 if not; prints how many were compared."""
import collections, ipaddress, struct, sys

DATA, RELAY = 0x11, 0x17
HDR, LABEL, TAG = 16, 8, 16


def datagrams(path):
    """time, source, destination, payload of each UDP datagram."""
    with open(path, 'rb') as f:
        head = f.read(24)
        order = '<' if struct.unpack('<I', head[:4])[0] in (0xa1b2c3d4, 0xa1b23c4d) else '>'
        if struct.unpack(order + 'I', head[20:])[0] != 1:
            sys.exit('an Ethernet capture is needed')
        while len(h := f.read(16)) == 16:
            _, _, have, length = struct.unpack(order + '4I', h)
            frame = f.read(have)
            if not len(frame) == have == length:
                sys.exit('the capture has cut packets')
            kind, ip = struct.unpack('!H', frame[12:14])[0], frame[14:]
            if kind == 0x0800 and ip[9] == 17:
                at, src, dst = (ip[0] & 15) * 4, ip[12:16], ip[16:20]
            elif kind == 0x86dd and ip[6] == 17:
                at, src, dst = 40, ip[8:24], ip[24:40]
            else:
                continue
            size = struct.unpack('!H', ip[at + 4:at + 6])[0]
            yield src, dst, ip[at + 8:at + size]


relay = {ipaddress.ip_address(a).packed for a in sys.argv[2:]}
own = set()  # receiver indexes of the relay's own sessions
waits, inside = {}, collections.Counter()
heard = compared = 0
for src, dst, p in datagrams(sys.argv[1]):
    if len(p) < HDR or p[0] not in (DATA, RELAY):
        continue
    if dst in relay:
        own.add(p[4:8])
    if p[0] != RELAY:
        continue
    n, left = p[1] >> 4, p[1] & 15
    at = HDR + LABEL * n + TAG
    if dst in relay and left > 0:  # its hop is still to come
        heard += 1
        waits.setdefault(p[at:], []).append((left, p[:at]))
    elif src in relay:
        if p[at:] not in waits:
            # What came before the capture began may leave after.
            if heard:
                sys.exit(f'sent on, but never came: {len(p) - at} bytes, {p[at:at + 24].hex()}')
            continue
        was, hdr = waits[p[at:]].pop(0)
        if not waits[p[at:]]:
            del waits[p[at:]]
        if left != was - 1 or hdr[-TAG:] == p[at - TAG:at]:
            sys.exit('the header of the hop before: ' + p[:at].hex())
        compared += 1
        inside[p[at]] += 1
        if p[at] == DATA:
            last = p[at + 4:at + 8]
            if last in own:
                sys.exit('sealed for the relay: ' + p[at:at + 16].hex())
late = sum(map(len, waits.values()))
if late > 2:  # the last may leave after the capture's end
    sys.exit(f'{late} of {heard} came and were not sent on')
print(f'{compared} datagrams, {inside[DATA]} of data, left the relay as they came')
sys.exit(0 if inside[DATA] > 20 else 'too few')
