"""claim_churn.py SOCKET FIRST PAUSE-SECONDS: asks weftd again and again for another list of the orchestrator's
prefixes, four of one number each (fd32:0:NUMBER:1::/64 to 4, numbers from FIRST on), and for one more claimed block, so
that it often writes its claims. Ends when weftd does; prints the last number that was taken."""
import socket, struct, sys, time


def text(s):
    return b'\xd9' + bytes([len(s)]) + s.encode()


def ask(cmd, key, value):
    """Was it taken? EOFError, OSError: weftd is gone."""
    body = b'\x83' + text('v') + b'\x01' + text('cmd') + text(cmd) + text('args') + b'\x81' + text(key) + text(value)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(sys.argv[1])
        s.sendall(struct.pack('>I', len(body)) + body)
        got = b''
        while len(got) < 4 or len(got) < 4 + struct.unpack('>I', got[:4])[0]:
            if not (more := s.recv(65536)):
                raise EOFError
            got += more
    return b'ok\xc3' in got


number = taken = int(sys.argv[2])
try:
    while True:
        number += 1
        if ask('prefix-set', 'prefixes', ','.join(f'fd32:0:{number:x}:{i}::/64' for i in range(1, 5))):
            taken = number
        if number % 5 == 0:
            ask('prefix-more', 'family', '4')
        time.sleep(float(sys.argv[3]))
except (EOFError, OSError):
    print(taken)
