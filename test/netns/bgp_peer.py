#!/usr/bin/python3
"""A neighbour that says over BGP whatever it is told to, right or wrong. It opens a session (RFC 4271, 4-octet AS
numbers), answers with KEEPALIVEs, and keeps the session until it is ended or the other side ends it.

    bgp_peer.py LOCAL REMOTE ASN DIRECTORY [PORT [MARK]]

Each file NAME.send in DIRECTORY holds lines, a message each: "update ATTRIBUTES NLRI [WITHDRAWN]" or "raw TYPE BODY", in
hex ("-" is empty); it is sent and then renamed to NAME.sent. What comes is written to DIRECTORY/said, a line each:
"open", "established", "update BODY", "notification CODE SUBCODE BODY", "closed". After "closed" it connects again, as
soon as there is no file DIRECTORY/away. A file DIRECTORY/families has the families that it offers instead of IPv4 unicast,
"AFI SAFI" a line. PORT (179) is the other side's; MARK is the sockets' (SO_MARK), so that a host's firewall can tell
this neighbour from another one of the same address.
"""
import os
import select
import socket
import struct
import sys
import time

OPEN, UPDATE, NOTIFICATION, KEEPALIVE = 1, 2, 3, 4
HOLD_SECS = 30


def message(kind, body=b""):
    return b"\xff" * 16 + struct.pack(">HB", 19 + len(body), kind) + body


def families_of(where):
    try:
        with open(os.path.join(where, "families"), encoding="ascii") as f:
            return [tuple(map(int, line.split())) for line in f]
    except FileNotFoundError:
        return [(1, 1)]


def open_body(local, asn, families):
    # Capabilities: families (RFC 4760 8), 4-octet AS numbers (RFC 6793 4.1).
    caps = b"".join(struct.pack(">BBHBB", 1, 4, afi, 0, safi) for afi, safi in families)
    caps += struct.pack(">BBI", 65, 4, asn)
    old = asn if asn < 65536 else 23456
    router_id = socket.inet_pton(socket.AF_INET6, local)[-4:] if ":" in local else socket.inet_aton(local)
    return struct.pack(">BHH4sBBB", 4, old, HOLD_SECS, router_id, 2 + len(caps), 2, len(caps)) + caps


def unhex(word):
    return b"" if word == "-" else bytes.fromhex(word)


def messages_of(path):
    out = b""
    with open(path, encoding="ascii") as f:
        for words in map(str.split, f):
            if words[0] == "update":
                attrs, nlri = unhex(words[1]), unhex(words[2])
                gone = unhex(words[3]) if len(words) > 3 else b""
                out += message(UPDATE, struct.pack(">H", len(gone)) + gone + struct.pack(">H", len(attrs)) + attrs + nlri)
            else:
                out += message(int(words[1]), unhex(words[2]))
    return out


class Peer:
    def __init__(self, local, remote, asn, where, port=179, mark=0):
        self.local, self.remote, self.asn, self.where = local, remote, asn, where
        self.port, self.mark = port, mark
        self.said = open(os.path.join(where, "said"), "a", encoding="ascii", buffering=1)

    def say(self, *words):
        print(*words, file=self.said)

    def connect(self):
        while True:
            s = socket.socket(socket.AF_INET6 if ":" in self.local else socket.AF_INET)
            if self.mark:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self.mark)
            s.bind((self.local, 0))
            try:
                s.connect((self.remote, self.port))
                s.sendall(message(OPEN, open_body(self.local, self.asn, families_of(self.where))))
                return s
            except OSError:
                s.close()
                time.sleep(0.1)

    def take(self, s, kind, body):
        if kind == OPEN:
            self.say("open")
            s.sendall(message(KEEPALIVE))
        elif kind == KEEPALIVE and not self.up:
            self.up = True
            self.say("established")
        elif kind == UPDATE:
            self.say("update", body.hex() or "-")
        elif kind == NOTIFICATION:
            self.say("notification", body[0], body[1], body[2:].hex() or "-")

    def session(self):
        s, buf, self.up, due = self.connect(), b"", False, 0.0
        try:
            while True:
                if select.select([s], [], [], 0.05)[0]:
                    part = s.recv(65536)
                    if not part:
                        break
                    buf += part
                while len(buf) >= 19 and len(buf) >= int.from_bytes(buf[16:18], "big"):
                    n = int.from_bytes(buf[16:18], "big")
                    self.take(s, buf[18], buf[19:n])
                    buf = buf[n:]
                if not self.up:
                    continue
                if time.monotonic() >= due:
                    s.sendall(message(KEEPALIVE))
                    due = time.monotonic() + HOLD_SECS / 10 # theirs may be shorter
                for name in sorted(n for n in os.listdir(self.where) if n.endswith(".send")):
                    path = os.path.join(self.where, name)
                    s.sendall(messages_of(path))
                    os.rename(path, path[:-4] + "sent")
        except OSError:
            pass
        s.close()
        self.say("closed")


if __name__ == "__main__":
    peer = Peer(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], *map(int, sys.argv[5:7]))
    while True:
        peer.session()
        time.sleep(0.2)
        while os.path.exists(os.path.join(sys.argv[4], "away")):
            time.sleep(0.05)
