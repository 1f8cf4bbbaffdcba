"""Clients that fetch much and do not read it: python3 stand.py PATH SHA256 PID
< CONFLUX commands.

Lines on stdin: "ask KIND N URL" connects N clients of KIND (http, tls, h2) that ask for PATH
and read the header of the answer; "read" lets every third client read to the
end and compares, and the others go away; each is answered by a line with RssAnon of process PID in KiB.
"""
import hashlib
import os
import socket
import ssl
import struct
import sys
import urllib.parse

PATH, SHA, PID = sys.argv[1:]
TOKEN = os.environ["TOKEN"]
DATA, HEADERS, RST, SETTINGS, GOAWAY, WINDOW = 0, 1, 3, 4, 7, 8
END_STREAM, END_HEADERS = 1, 4


def rss():
    with open(f"/proc/{PID}/status", encoding="ascii") as status:
        return next(line.split()[1] for line in status if line.startswith("RssAnon"))


def connect(url, kind):
    at = urllib.parse.urlsplit(url)
    s = socket.socket()
    s.settimeout(30)
    # The kernel's part of what is not read is the same whatever the server does.
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    s.connect((at.hostname, at.port))
    if kind != "tls":
        return s
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(s)


class Http:
    def __init__(self, url, kind):
        self.socket = connect(url, kind)
        self.socket.sendall((f"GET {PATH} HTTP/1.1\r\nHost: x\r\n"
                             f"Authorization: Bearer {TOKEN}\r\n\r\n").encode())
        self.file = self.socket.makefile("rb", buffering=4096)
        line = self.file.readline()
        assert line.startswith(b"HTTP/1.1 200"), line
        self.length = None
        while (line := self.file.readline()) != b"\r\n":
            name, value = line.split(b":", 1)
            if name.lower() == b"content-length":
                self.length = int(value)

    def read(self):
        digest, left = hashlib.sha256(), self.length
        while left:
            part = self.file.read(min(left, 100000))
            assert part, f"the end, and {left} bytes are due"
            digest.update(part)
            left -= len(part)
        return digest.hexdigest()


def frame(kind, flags, stream, payload=b""):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) +
            struct.pack(">I", stream) + payload)


def field(name, value):
    """A literal without a table; lengths below 127 only."""
    name, value = name.encode(), value.encode()
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


class Http2:
    def __init__(self, url, kind):
        self.socket = connect(url, kind)
        self.file = self.socket.makefile("rb", buffering=4096)
        block = b"".join(field(*pair) for pair in (
            (":method", "GET"), (":path", PATH), (":scheme", "http"),
            (":authority", "x"), ("authorization", "Bearer " + TOKEN)))
        # Windows as wide as they get: the socket alone is what is full.
        self.socket.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
            frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31 - 1)) +
            frame(WINDOW, 0, 0, struct.pack(">I", 2**31 - 1 - 65535)) +
            frame(HEADERS, END_STREAM | END_HEADERS, 1, block))
        while self.hear()[0] != HEADERS:
            pass

    def hear(self):
        head = self.file.read(9)
        assert len(head) == 9, "the end"
        payload = self.file.read(int.from_bytes(head[:3], "big"))
        assert head[3] not in (RST, GOAWAY), (head, payload)
        return head[3], head[4], payload

    def read(self):
        digest, flags = hashlib.sha256(), 0
        while not flags & END_STREAM:
            kind, got, payload = self.hear()
            if kind == DATA:
                digest.update(payload)
                flags = got
        return digest.hexdigest()


def main():
    clients = []
    for line in sys.stdin:
        words = line.split()
        if words[0] == "ask":
            kind, n, url = words[1], int(words[2]), words[3]
            clients += [(Http2 if kind == "h2" else Http)(url, kind)
                        for _ in range(n)]
        else:
            for client in clients[::3]:
                got = client.read()
                assert got == SHA, f"other bytes: {got}"
            for client in clients:
                client.socket.close()
        print(rss(), flush=True)


main()
