"""A WebSocket through one stream of HTTP/2 (RFC 8441): ping, pong, close.

No client at hand speaks it, so frames are written out: python3 tunnel.py PORT TOKEN
prints what came back through the tunnel.
"""
import os
import socket
import struct
import sys

DATA, HEADERS, SETTINGS = 0, 1, 4
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
        return head[3], head[4], payload

    def wait(self, kind):
        while True:
            got, flags, payload = self.hear()
            if got == kind:
                return flags, payload


def main():
    c = Connection(int(sys.argv[1]))
    c.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
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
    c.say(frame(DATA, 0, 1, message(9, b"anyone?")))
    print(c.wait(DATA)[1][2:].decode())
    c.say(frame(DATA, 0, 1, message(8, struct.pack(">H", 1000))))
    flags, payload = c.wait(DATA)
    if not flags & END_STREAM:
        flags, rest = c.wait(DATA)
        payload += rest
    print("closed", int.from_bytes(payload[2:], "big"), flags & END_STREAM)


main()
