"""Calls of gRPC whose messages are large, and whole; for grpc_slow.sh.

	whole.py PORT TOKEN N watch|wait

N on one connection: watches from now on, which need their message of 900 KB no more; or
fetches of 60 KB each that wait two seconds for a revision that does not come.
Says how many were taken, and how many refused because their connection has too much.
"""
import pathlib
import sys
import time

import hpack

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "h2"))
from frames import (DATA, END_STREAM, HEADERS, STREAM_WINDOW, Connection, frame,
                    grpc_frame)

PORT, TOKEN, N, STORY = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
FRAME = 16384
PATH, ASKED, BYTES = {
    # WatchRequest: prefixes is 2, from_now 5.
    "watch": ("WatcherService/Watch", b"\x12\x05acme/\x28\x01", 900000),
    # FetchConfigRequest: address is 1, min_revision 4.
    "wait": ("ConfigService/FetchConfig",
             b"\x0a\x17\x0a\x04acme\x12\x04shop\x1a\x04prod\x22\x03big" +
             b"\x20\xff\xff\xff\xff\x7f", 60000)}[STORY]
# 15 is nothing.
MESSAGE = grpc_frame(ASKED + b"\x7a" + bytes([
    BYTES & 0x7f | 0x80, BYTES >> 7 & 0x7f | 0x80, BYTES >> 14]) + BYTES * b"x")
TOO_MUCH = "your connection has more messages"


class Whole(Connection):
    """Which streams were answered, and which of these refused."""
    def __init__(self, port):
        super().__init__(port)
        self.answered, self.refused = set(), set()
        self.decoder = hpack.Decoder()

    def hear(self):
        kind, flags, payload = super().hear()
        if kind == HEADERS:
            fields = dict(self.decoder.decode(payload))
            self.answered.add(self.stream)
            if TOO_MUCH in fields.get("grpc-message", ""):
                self.refused.add(self.stream)
        return kind, flags, payload

    def send(self, stream):
        """The message, as windows open."""
        at = 0
        while at < len(MESSAGE) and stream not in self.answered:
            n = min(len(MESSAGE) - at, FRAME, self.windows[0],
                    self.windows.setdefault(stream, STREAM_WINDOW))
            if n <= 0:
                self.hear()
                continue
            self.say(frame(DATA, END_STREAM if at + n == len(MESSAGE) else 0, stream,
                           MESSAGE[at:at + n]))
            at += n
            self.windows[0] -= n
            self.windows[stream] -= n


c = Whole(int(PORT))
c.begin()
for s in range(1, 2 * N, 2):
    # The server has looked for late bodies meanwhile; the first still wait.
    if STORY == "wait" and s == N // 2 * 2 + 1:
        time.sleep(1.2)
    c.call(s, "/conflux.v1." + PATH, authorization="Bearer " + TOKEN)
    c.send(s)
while len(c.answered) < N:
    c.hear()
print(N - len(c.refused), "taken,", len(c.refused), "refused", flush=True)
