"""sums.py PCAP KIND=COUNT...: checks every IP, TCP, UDP and ICMP checksum in the capture by itself; exit 1 if
one is wrong or a KIND (tcp4, udp4, tcp6, udp6) has fewer than COUNT packets, or fewer than a third of
the packets of a TCP kind carry data."""
import collections, struct, sys

ETH = 1


def fold(data):
    if len(data) & 1:
        data += b'\0'
    s = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return s


def packets(path):
    with open(path, 'rb') as f:
        head = f.read(24)
        order = '<' if struct.unpack('<I', head[:4])[0] in (0xa1b2c3d4, 0xa1b23c4d) else '>'
        if struct.unpack(order + 'I', head[20:])[0] != ETH:
            sys.exit('an Ethernet capture is needed')
        while len(h := f.read(16)) == 16:
            _, _, have, length = struct.unpack(order + '4I', h)
            data = f.read(have)
            if len(data) != have:
                sys.exit('the capture ends within a packet')
            if have == length:  # cut ones can't be judged
                yield data


def parts(frame):
    """family, protocol, addresses, payload of an unfragmented IP packet; None for all else."""
    kind = struct.unpack('!H', frame[12:14])[0]
    ip = frame[14:]
    if kind == 0x0800 and ip[0] >> 4 == 4:
        if fold(ip[:(ip[0] & 15) * 4]) != 0xffff:
            sys.exit('a wrong IPv4 header checksum: ' + ip[:20].hex())
        total, _, frag = struct.unpack('!3H', ip[2:8])
        return None if frag & 0x3fff else (4, ip[9], ip[12:20], ip[(ip[0] & 15) * 4:total])
    if kind == 0x86dd:
        return 6, ip[6], ip[8:40], ip[40:40 + struct.unpack('!H', ip[4:6])[0]]
    return None


seen, with_data, bad = collections.Counter(), collections.Counter(), []
for frame in packets(sys.argv[1]):
    if (p := parts(frame)) is None or p[1] not in (6, 17, 58):
        continue
    family, proto, addrs, body = p
    name = {6: 'tcp', 17: 'udp', 58: 'icmp'}[proto] + str(family)
    seen[name] += 1
    if proto == 6:
        with_data[name] += len(body) > (body[12] >> 4) * 4
    if proto == 17 and body[6:8] == b'\0\0' and family == 4:
        continue  # no checksum, which IPv4 allows
    if fold(addrs + struct.pack('!HH', proto, len(body)) + body) != 0xffff:
        bad.append(f'{name}: {len(body)} bytes, {body[:24].hex()}')
print(' '.join(f'{k}={v}' for k, v in sorted(seen.items())))
if bad:
    sys.exit(f'{len(bad)} wrong checksums; the first: {bad[0]}')
for want in sys.argv[2:]:
    name, count = want.split('=')
    if seen[name] < int(count):
        sys.exit(f'{seen[name]} packets of {name}, fewer than {count}')
    if name.startswith('tcp') and with_data[name] * 3 < seen[name]:
        sys.exit(f'too few packets of {name} with data')
