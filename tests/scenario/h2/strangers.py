"""Streams of who has no token: as many as a connection may have and one more, and many full
connections; for h2.sh:  strangers.py PORT

With those there it says so, and waits for a line.
"""
import sys

from frames import (END_HEADERS, END_STREAM, HEADERS, RST, Connection, field,
                    frame)

PORT, WATCH = int(sys.argv[1]), "/grpc.health.v1.Health/Watch"
A_CONNECTION, CONNECTIONS = 64, 20
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
    for stream in range(1, 2 * A_CONNECTION, 2):
        assert is_open(c, open_one, stream), stream
    return c, 2 * A_CONNECTION + 1


for kind, other in (watch, tunnel), (tunnel, watch):
    c, more = full(kind)
    assert not is_open(c, kind, more), "one more of " + kind.__name__
    c.say(frame(RST, 0, more - 2, CANCEL))
    assert is_open(c, kind, more + 2), "in its place"
    assert is_open(c, other, more + 4), "of the other kind"
    c.socket.close()

all_of_them = [full(kind) for kind in (watch, tunnel) for _ in range(CONNECTIONS)]
print("full", flush=True)
sys.stdin.readline()
