"""Messages of gRPC that are sent but for their last byte; for grpc_slow.sh.

	half.py PORT TOKEN N BYTES [beside]

Publishes on N streams of one connection, of so many bytes each, as far as windows allow, and
says `sent`.  Behind a line it sends the rest: says how many were taken and how many refused.
With `beside` a stream of many messages has brought one before, which was answered, and stays.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "h2"))
from frames import (DATA, END_STREAM, HEADERS, RST, STREAM_WINDOW, Connection, frame,
                    grpc_frame)

PORT, TOKEN, N, BYTES = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
FRAME = 16384


def varint(n):
    out = b""
    while n >= 0x80:
        out, n = out + bytes([n & 0x7f | 0x80]), n >> 7
    return out + bytes([n])


# PublishRequest: address is 1, content 2.
MESSAGE = grpc_frame(b"\x0a\x17\x0a\x04acme\x12\x04shop\x1a\x04prod\x22\x03big" +
                     b"\x12" + varint(BYTES) + BYTES * b"x")


class Half(Connection):
    def __init__(self, port):
        super().__init__(port)
        self.at = {2 * i + 3: 0 for i in range(N)}
        self.answered, self.ended = set(), set()

    def hear(self):
        kind, flags, payload = super().hear()
        # A refusal has none, or is no message.
        if kind == DATA and payload[:1] == b"\0":
            self.answered.add(self.stream)
        if kind == RST or kind in (DATA, HEADERS) and flags & END_STREAM:
            self.ended.add(self.stream)
        return kind, flags, payload

    def room(self, stream, upto):
        """What windows allow of what is left."""
        if stream in self.ended:
            return 0
        return min(upto - self.at[stream], FRAME, self.windows[0],
                   self.windows.setdefault(stream, STREAM_WINDOW))

    def send(self, stream, n):
        piece = MESSAGE[self.at[stream]:self.at[stream] + n]
        self.at[stream] += n
        self.windows[0] -= n
        self.windows[stream] -= n
        self.say(frame(DATA, END_STREAM if self.at[stream] == len(MESSAGE) else 0,
                       stream, piece))

    def send_all(self, upto):
        """In turns, until nothing more may go."""
        while any(self.room(s, upto) > 0 for s in self.at):
            for stream in self.at:
                if (n := self.room(stream, upto)) > 0:
                    self.send(stream, n)
            self.settle()


c = Half(int(PORT))
c.begin()
if sys.argv[5:]:
    beside = 1
    c.call(beside, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
           authorization="Bearer " + TOKEN)
    c.say(frame(DATA, 0, beside, grpc_frame(b"\x3a\x00")))
    while beside not in c.answered:
        c.hear()
    c.answered.clear()
for s in c.at:
    c.call(s, "/conflux.v1.ManagementService/Publish", authorization="Bearer " + TOKEN)
c.send_all(len(MESSAGE) - 1)
print("sent", flush=True)
sys.stdin.readline()
while len(c.ended) < N:
    c.send_all(len(MESSAGE))
    if len(c.ended) < N:
        c.hear()
print(len(c.answered), "taken,", N - len(c.answered), "refused", flush=True)
