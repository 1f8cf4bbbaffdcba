"""A WebSocket through one stream of HTTP/2 (RFC 8441): ping, pong, close.

No client at hand speaks it, so frames are written out: python3 tunnel.py PORT TOKEN
prints what came back through the tunnel.  With a third argument it asks and takes no
answers, as long as the server lets it; then it takes them all.
"""
import os
import struct
import sys

from frames import (DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE,
                    SETTINGS, STREAM_WINDOW, WINDOW_UPDATE, Connection, field, frame)


def message(opcode, payload):
    mask = os.urandom(4)
    return (bytes([0x80 | opcode, 0x80 | len(payload)]) + mask +
            bytes(c ^ mask[i % 4] for i, c in enumerate(payload)))


def connect(c, window):
    if b"\x00\x08\x00\x00\x00\x01" not in c.begin(window):
        sys.exit("extended CONNECT is not offered")
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
    c.windows.setdefault(1, STREAM_WINDOW)
    c.settle()
    while min(c.windows.values()) >= len(ping):
        k = min(min(c.windows.values()) // len(ping), 100)
        c.say(k * frame(DATA, 0, 1, ping))
        n += k
        c.windows = {i: w - k * len(ping) for i, w in c.windows.items()}
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
