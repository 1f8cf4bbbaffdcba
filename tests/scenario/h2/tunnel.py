"""A WebSocket through one stream of HTTP/2 (RFC 8441): ping, pong, close.

No client at hand speaks it, so frames are written out: python3 tunnel.py PORT TOKEN
prints what came back through the tunnel.  With a third argument it asks and takes no
answers, as long as the server lets it; then it takes them all.
"""
import os
import socket
import struct
import sys

DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
INITIAL_WINDOW_SIZE = 4
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind, flags, stream, payload=b""):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) +
            struct.pack(">I", stream) + payload)


def field(name, value):
    """A literal without a table; lengths below 127 only."""
    name, value = name.encode(), value.encode()
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


def message(opcode, payload):
    mask = os.urandom(4)
    return (bytes([0x80 | opcode, 0x80 | len(payload)]) + mask +
            bytes(c ^ mask[i % 4] for i, c in enumerate(payload)))


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.left = b""
        self.windows = [65535, 128 * 1024]     # of all, and of stream 1

    def say(self, data):
        self.socket.sendall(data)

    def take(self, n):
        while len(self.left) < n:
            more = self.socket.recv(65536)
            if not more:
                sys.exit("the connection has ended")
            self.left += more
        data, self.left = self.left[:n], self.left[n:]
        return data

    def hear(self):
        head = self.take(9)
        payload = self.take(int.from_bytes(head[:3], "big"))
        if head[3] == WINDOW_UPDATE:
            self.windows[head[8]] += int.from_bytes(payload, "big")
        return head[3], head[4], payload

    def wait(self, kind):
        while True:
            got, flags, payload = self.hear()
            if got == kind:
                return flags, payload

    def settle(self):
        # What was taken is said by the end of the turn that answers the first.
        for _ in range(3):
            self.say(frame(PING, 0, 0, b"12345678"))
            self.wait(PING)


def connect(c, window):
    c.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
          frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, window)))
    settings = c.wait(SETTINGS)[1]
    if b"\x00\x08\x00\x00\x00\x01" not in settings:
        sys.exit("extended CONNECT is not offered")
    c.say(frame(SETTINGS, ACK, 0))
    c.say(frame(HEADERS, END_HEADERS, 1, b"".join((
        field(":method", "CONNECT"), field(":protocol", "websocket"),
        field(":path", "/api/v1/ws"), field(":scheme", "http"),
        field(":authority", "localhost"),
        field("sec-websocket-version", "13"),
        field("authorization", "Bearer " + sys.argv[2])))))
    flags, _ = c.wait(HEADERS)
    if flags & END_STREAM:
        sys.exit("the tunnel was refused")


def chat(c):
    connect(c, 65535)
    c.say(frame(DATA, 0, 1, message(9, b"anyone?")))
    print(c.wait(DATA)[1][2:].decode())
    c.say(frame(DATA, 0, 1, message(8, struct.pack(">H", 1000))))
    flags, payload = c.wait(DATA)
    if not flags & END_STREAM:
        flags, rest = c.wait(DATA)
        payload += rest
    print("closed", int.from_bytes(payload[2:], "big"), flags & END_STREAM)


def flood(c):
    connect(c, 0)
    ping = message(9, b"x" * 125)
    n = 0
    c.settle()
    while min(c.windows) >= len(ping):
        k = min(min(c.windows) // len(ping), 100)
        c.say(k * frame(DATA, 0, 1, ping))
        n += k
        c.windows = [w - k * len(ping) for w in c.windows]
        c.settle()
        if n * len(ping) > 4 << 20:
            sys.exit("%d pings were taken, and no pong was" % n)
    # All are answered when they are taken.
    c.say(frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 1 << 24)) +
          frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 24)))
    came, all_of_them = 0, n * (2 + 125)
    while came < all_of_them:
        came += len(c.wait(DATA)[1])
    print("all pongs" if came == all_of_them else "%d bytes of pongs" % came)


c = Connection(int(sys.argv[1]))
if len(sys.argv) > 3:
    flood(c)
else:
    chat(c)
