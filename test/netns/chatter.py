"""chatter.py TEXT HZ ADDRESS...: sends a UDP datagram with TEXT to port 9 of each address, HZ times a second,
until it is killed. Whatever the kernel answers is passed over: this is a pod that never stops talking."""
import socket, sys, time

text, hz, addrs = sys.argv[1].encode(), float(sys.argv[2]), sys.argv[3:]
socks = {socket.AF_INET: None, socket.AF_INET6: None}
for family in socks:
    socks[family] = socket.socket(family, socket.SOCK_DGRAM)
    socks[family].setblocking(False)
while True:
    for a in addrs:
        try:
            socks[socket.AF_INET6 if ':' in a else socket.AF_INET].sendto(text, (a, 9))
        except OSError:
            pass
    time.sleep(1 / hz)
