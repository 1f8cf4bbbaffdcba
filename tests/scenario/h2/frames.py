"""Frames of HTTP/2, written out, as no client at hand does what is wrong on purpose; for
tunnel.py and others.
"""
import socket
import struct
import sys

DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
INITIAL_WINDOW_SIZE = 4
END_STREAM, ACK, END_HEADERS = 1, 1, 4
STREAM_WINDOW = 128 * 1024                     # that the server gives


def frame(kind, flags, stream, payload=b""):
    return (struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) +
            struct.pack(">I", stream) + payload)


def field(name, value):
    """A literal without a table; lengths below 127 only."""
    name, value = name.encode(), value.encode()
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


def grpc_frame(message):
    return b"\0" + struct.pack(">I", len(message)) + message


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.left = b""
        self.windows = {0: 65535}              # of all, and of each stream
        self.stream = 0                        # of what was heard last

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

    def begin(self, window=65535):
        """Preface and settings: how much of each stream is taken."""
        self.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
                 frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, window)))
        settings = self.wait(SETTINGS)[1]
        self.say(frame(SETTINGS, ACK, 0))
        return settings

    def hear(self):
        head = self.take(9)
        payload = self.take(int.from_bytes(head[:3], "big"))
        self.stream = int.from_bytes(head[5:], "big")
        if head[3] == WINDOW_UPDATE:
            self.windows[self.stream] = (self.windows.get(self.stream, STREAM_WINDOW) +
                                         int.from_bytes(payload, "big"))
        return head[3], head[4], payload

    def wait(self, kind):
        while True:
            got, flags, payload = self.hear()
            if got == kind:
                return flags, payload

    def call(self, stream, path, message=None, **fields):
        """A gRPC call; what it asks is said whole, or later."""
        head = [field(":method", "POST"), field(":scheme", "http"), field(":path", path),
                field(":authority", "localhost"), field("te", "trailers"),
                field("content-type", "application/grpc")]
        head += [field(k, v) for k, v in fields.items()]
        self.say(frame(HEADERS, END_HEADERS, stream, b"".join(head)) +
                 (frame(DATA, END_STREAM, stream, grpc_frame(message))
                  if message is not None else b""))

    def settle(self):
        # What was taken is said by the end of the turn that answers the first.
        for _ in range(3):
            self.say(frame(PING, 0, 0, b"12345678"))
            self.wait(PING)
