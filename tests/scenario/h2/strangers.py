"""Streams of who has no token: as many as a connection may have and one more, and as many
as a network may; for h2.sh:  strangers.py PORT

With the network full it says so, and waits for a line.
"""
import sys

from frames import (END_HEADERS, END_STREAM, HEADERS, RST, Connection, field,
                    frame)

PORT, WATCH = int(sys.argv[1]), "/grpc.health.v1.Health/Watch"
A_CONNECTION, A_NETWORK = 64, 1024
OK = 0x88                                       # ":status: 200" of HPACK's static table
CANCEL = b"\0\0\0\x08"


def watch(c, stream):
    c.call(stream, WATCH, b"\x0a\x04none")        # which it does not know


def tunnel(c, stream):
    c.say(frame(HEADERS, END_HEADERS, stream, b"".join((
        field(":method", "CONNECT"), field(":protocol", "websocket"),
        field(":path", "/api/v1/ws"), field(":scheme", "http"),
        field(":authority", "localhost"), field("sec-websocket-version", "13")))))


def is_open(c, open_one, stream):
    open_one(c, stream)
    while True:
        kind, flags, payload = c.hear()
        if c.stream == stream and kind == RST:
            return False
        if c.stream == stream and kind == HEADERS:
            return payload[0] == OK and not flags & END_STREAM


def full(open_one):
    """A connection that has all it may have; and the next stream."""
    c = Connection(PORT)
    c.begin()
    stream, n = 1, 0
    while n < A_CONNECTION:
        # The network has still what was closed a moment ago.
        n += is_open(c, open_one, stream)
        stream += 2
        assert stream < 20000, n
    return c, stream


for kind in watch, tunnel:
    c, more = full(kind)
    assert not is_open(c, kind, more), "one more of " + kind.__name__
    c.say(frame(RST, 0, more - 2, CANCEL))
    assert is_open(c, kind, more + 2), "in its place"
    c.socket.close()

all_of_them = [full(watch) for _ in range(A_NETWORK // A_CONNECTION)]
print("full", flush=True)
sys.stdin.readline()
