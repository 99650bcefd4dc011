"""echo.py serve tcp|udp PORT: answers one message. echo.py call tcp|udp ADDRESS PORT TEXT: sends TEXT,
expects it back. Exit 1 otherwise."""
import socket, sys

mode, proto = sys.argv[1:3]
kind = socket.SOCK_STREAM if proto == 'tcp' else socket.SOCK_DGRAM
if mode == 'serve':
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind(('::', int(sys.argv[3])))
    s.settimeout(20)
    if proto == 'tcp':
        s.listen()
        print('ready', flush=True)
        c, _ = s.accept()
        with c:
            data = b''
            while chunk := c.recv(65536):
                data += chunk
            c.sendall(data)
    else:
        print('ready', flush=True)
        data, who = s.recvfrom(65536)
        s.sendto(data, who)
else:
    addr, port, text = sys.argv[3], int(sys.argv[4]), sys.argv[5].encode()
    s = socket.socket(socket.AF_INET6 if ':' in addr else socket.AF_INET, kind)
    s.settimeout(2)
    got = b''
    if proto == 'tcp':
        s.settimeout(20)
        s.connect((addr, port))
        s.sendall(text)
        s.shutdown(socket.SHUT_WR)
        while chunk := s.recv(65536):
            got += chunk
    else:
        s.connect((addr, port))
        for _ in range(5):
            s.send(text)
            try:
                got = s.recv(65536)
                break
            except socket.timeout:
                continue
    sys.exit(0 if got == text else 'the answer differs')
