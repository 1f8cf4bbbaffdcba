"""Calls of gRPC whose answers are not read, by frames of HTTP/2; for grpc_slow.sh.

	slow.py watch PORT TOKEN N FILE      N watches with content
	slow.py fetch PORT TOKEN N FILE      N fetches
	slow.py list PORT TOKEN N FILE       N watches from 0, which end before FILE was told

Says `open` when all have begun, and behind a line `told` when all were told something, in
windows that take little more than a header.  Another line lets it read the content of
FILE, byte for byte.
"""
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "h2"))
from frames import (DATA, END_STREAM, HEADERS, RST, WINDOW_UPDATE, Connection, frame,
                    grpc_frame)

STORY, PORT, TOKEN, N, FILE = sys.argv[1:]
WINDOW = 1000
TO_READ = 5
AUTH = {"authorization": "Bearer " + TOKEN}
# WatchRequest: prefixes is 2, from_now 5, want_content 6.
ALL_FROM_NOW = b"\x12\x05acme/\x28\x01\x30\x01"
ALL_SINCE_0 = b"\x12\x05acme/\x30\x01"
# FetchConfigRequest: address is 1; Address: tenant 1, application 2, environment 3, name 4.
BIG = b"\x0a\x17\x0a\x04acme\x12\x04shop\x1a\x04prod\x22\x03big"


def streams():
    return [2 * i + 1 for i in range(int(N))]


class Slow(Connection):
    """Keeps what comes on each stream."""
    def __init__(self, port):
        super().__init__(port)
        self.told = {s: bytearray() for s in streams()}
        self.ended = set()

    def hear(self):
        kind, flags, payload = super().hear()
        assert kind != RST, self.stream
        if kind == DATA:
            self.told[self.stream] += payload
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self.ended.add(self.stream)
        return kind, flags, payload

    def until(self, of, what):
        left = list(of)
        while left := [s for s in left if not what(self.told[s])]:
            self.hear()


def update(stream, n):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", n))


def messages(body):
    """Whole ones."""
    at = 0
    while at < len(body):
        n = int.from_bytes(body[at + 1:at + 5], "big")
        assert body[at] == 0 and at + 5 + n <= len(body), (at, n, len(body))
        yield bytes(body[at + 5:at + 5 + n])
        at += 5 + n


c = Slow(int(PORT))
c.begin(WINDOW)
c.say(update(0, 1 << 30))
if STORY in ("watch", "list"):
    what = ALL_FROM_NOW if STORY == "watch" else ALL_SINCE_0
    for s in streams():
        c.call(s, "/conflux.v1.WatcherService/Watch", what, **AUTH)
    c.until(streams(), len)
else:
    # All are begun before the first is asked.
    for s in streams():
        c.call(s, "/conflux.v1.ConfigService/FetchConfig", **AUTH)
    c.settle()
    for s in streams():
        c.say(frame(DATA, END_STREAM, s, grpc_frame(BIG)))
    c.settle()
print("open", flush=True)
sys.stdin.readline()
if STORY != "fetch":
    c.until(streams(), lambda told: len(told) == WINDOW)
print("told", flush=True)
sys.stdin.readline()
content = pathlib.Path(FILE).read_bytes()
if STORY == "list":
    c.say(b"".join(update(s, 1 << 25) for s in streams()))
    while c.ended != set(streams()):
        c.hear()
    assert all(len(told) < len(content) // 4 for told in c.told.values()), [
        len(told) for told in c.told.values()]
    print("ended", flush=True)
    sys.exit()
some = streams()[:: max(1, int(N) // TO_READ)] if STORY == "watch" else streams()
c.say(b"".join(update(s, 1 << 25) for s in some))
c.until(some, lambda told: len(told) > len(content))
for s in some:
    told = list(messages(c.told[s]))
    assert content in told[-1], s
    assert len(told) == (2 if STORY == "watch" else 1), (s, len(told))
print("read", flush=True)
