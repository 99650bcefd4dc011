"""bigsend.py ADDRESS PORT MTU: DF datagrams of one byte more than MTU carries are refused with EMSGSIZE once
the too-big has come, and the socket then knows MTU; one of exactly MTU comes back from the echo at PORT.
Without DF larger ones come back too, as fragments inside: by one byte, and by many."""
import errno, socket, sys, time

addr, port, mtu = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
v6 = ':' in addr
room = mtu - (48 if v6 else 28)
level, discover, mtu_opt = (41, 23, 24) if v6 else (0, 10, 14)  # IPV6_MTU_DISCOVER, IPV6_MTU; IP_MTU_DISCOVER, IP_MTU


def connected(mode):
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(level, discover, mode)
    s.settimeout(0.3)
    s.connect((addr, port))
    return s


def comes_back(s, n):
    data = bytes(i * 7 & 255 for i in range(n))
    for _ in range(30):
        try:
            s.send(data)
            while True:
                if s.recv(65536) == data:
                    return True
        except OSError as e:  # a timeout, or news of a smaller path MTU
            if not isinstance(e, socket.timeout) and e.errno != errno.EMSGSIZE:
                raise
    return False


s = connected(2)  # PMTUDISC_DO
deadline = time.monotonic() + 10
while True:
    try:
        s.send(bytes(room + 1))
    except OSError as e:
        if e.errno == errno.EMSGSIZE:
            break
        raise
    if time.monotonic() > deadline:
        sys.exit(f'{room + 1} bytes to {addr}: no too-big came')
    time.sleep(0.02)
got = s.getsockopt(level, mtu_opt)
if got != mtu:
    sys.exit(f'the path MTU to {addr} was said to be {got}, not {mtu}')
if not comes_back(s, room):
    sys.exit(f'{room} bytes did not come back from {addr}')
for n in room + 1, room + 900:
    if not comes_back(connected(0 if not v6 else 1), n):  # PMTUDISC_DONT; WANT in IPv6
        sys.exit(f'{n} bytes, to be fragmented inside, did not come back from {addr}')
