"""toobig.py FROM TO MTU: tells FROM by ICMP, as a router on the way would, that its datagrams from port 6793 to TO at port
6793 may have MTU bytes at most. Ten times."""
import socket, struct, sys

src, dst, mtu = sys.argv[1], sys.argv[2], int(sys.argv[3])


def checksum(b):
    s = sum(struct.unpack(f'!{len(b) // 2}H', b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff


def ip(proto, size):
    h = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + size, 7, 0x4000, 64, proto, 0, socket.inet_aton(src), socket.inet_aton(dst))
    return h[:10] + struct.pack('!H', checksum(h)) + h[12:]


quoted = ip(17, 1480) + struct.pack('!HHHH', 6793, 6793, 1480, 0)
msg = struct.pack('!BBHHH', 3, 4, 0, 0, mtu) + quoted
msg = msg[:2] + struct.pack('!H', checksum(msg)) + msg[4:]
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
for _ in range(10):
    s.sendto(msg, (src, 0))
