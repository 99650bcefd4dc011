"""mss.py serve | call ADDRESS: one TCP connection on port 7200, in which nothing is said. Each side prints how
much it may send in one segment (TCP_MAXSEG) when the connection stands."""
import os, socket, sys

if sys.argv[1] == 'serve':
    s = socket.create_server(('::', 7200), family=socket.AF_INET6, dualstack_ipv6=True)
    print('ready', flush=True)
    c = s.accept()[0]
else:
    c = socket.create_connection((sys.argv[2], 7200), 10)
os.write(1, b'%d\n' % c.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)) # at once: both ends may have one file
c.shutdown(socket.SHUT_WR)
c.recv(1)
