"""Many watchers of one configuration, over several nodes; for watch_many.sh and
left_behind.sh.  They watch in turn by server sent events, long polls, WebSocket and gRPC
(python3-websockets, grpcio, http.client).

	follow.py KEY N URL...    TOKEN in the environment; SINCE and VERSION: what each
	                          has heard already; MAY_LIST: 410 is no mistake

Each goes on at the next node, with what it heard last, when its connection ends.
Every version has to come, once, in order.  Orders come by lines:

	wait V     until each has heard of version V: `heard V RECONNECTS`
	on I       `on N`: so many are at the I-th node now
	go I       all leave, and go on at the I-th node, or where that does not let
	           them: `gone`
	spread     the same, each at a node of its own
	listed     until each watches: `listed N`: so many were told that what they
	           missed is kept no more (410), have fetched, and went on behind what
	           they got, also where nothing has changed since
	stop       ends, with what was wrong
"""
import asyncio
import concurrent.futures
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

import grpc
import websockets
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

KEY, N, NODES = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
TOKEN = os.environ["TOKEN"]
BEARER = {"Authorization": f"Bearer {TOKEN}"}
MAY_LIST = "MAY_LIST" in os.environ
QUERY = "/api/v1/watch?key=" + urllib.parse.quote(KEY, safe="")


class Watcher:
    """`watch` does it once, at a node, until it ends; `leave` makes it end."""

    def __init__(self, i):
        self.at = i % len(NODES)
        self.since = os.environ.get("SINCE", "")
        self.version = int(os.environ.get("VERSION", "0"))
        self.reconnects = self.listed = 0
        self.is_on = self.is_compacted = False
        self.next = None

    def began(self, rev):
        self.since = self.since or str(rev)
        self.is_on = True
        news.set()

    def hear(self, event, rev, m):
        if event == "bookmark":
            assert int(rev) >= int(self.since or 0), (rev, self.since)
        elif event == "change":
            assert m["version"] == self.version + 1, (
                f"{type(self).__name__}: version {m['version']} behind {self.version}")
            assert int(rev) > int(self.since or 0) and m["end"], m
            self.version = m["version"]
        elif event == "error":
            assert (m["reason"], m["status"]) == ("compacted", 410), m
            self.is_compacted = True
            return
        else:
            assert event in ("end", "bye"), (event, m)
            return
        self.since = str(rev)
        news.set()

    def fetch(self):
        url = f"{NODES[self.at]}/api/v1/fetch/config/{KEY}"
        request = urllib.request.Request(url, headers=BEARER)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return (int(answer.headers["X-Conflux-Version"]),
                    answer.headers["X-Conflux-Revision"])

    async def list(self):
        assert MAY_LIST, "it is compacted"
        version, rev = await asyncio.to_thread(self.fetch)
        assert version >= self.version and int(rev) >= int(self.since or 0), (
            f"version {version} of revision {rev} behind {self.version} of {self.since}")
        self.version, self.since, self.is_compacted = version, rev, False
        self.listed += 1
        news.set()

    async def run(self):
        while True:
            try:
                if self.is_compacted:
                    await self.list()
                await self.watch(urllib.parse.urlsplit(NODES[self.at]))
            except (OSError, EOFError, http.client.HTTPException, grpc.RpcError,
                    websockets.WebSocketException):
                pass
            finally:
                was_on, self.is_on = self.is_on, False
            self.reconnects += 1
            if self.next is None:
                self.at = (self.at + 1) % len(NODES)
                # Some come back when versions were published meanwhile.
                await asyncio.sleep(random.uniform(0, 2) if was_on else 0.05)
            else:
                self.at, self.next = self.next, None
                news.set()

    def go(self, i):
        self.next = i
        self.leave()


class Events(Watcher):
    writer = None

    async def read(self, reader):
        event = rev = None
        while line := await reader.readline():
            line = line.decode().rstrip("\r\n")
            # A size of a chunk is none of the three.
            if line.startswith("id: "):
                rev = line[4:]
            elif line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: "):
                self.hear(event, rev, json.loads(line[6:]))
            # The answer is over; its connection may be kept for another.
            if self.is_compacted:
                return

    async def watch(self, url):
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        self.writer = writer
        try:
            if self.next is not None:
                return
            last = f"Last-Event-ID: {self.since}\r\n" if self.since else ""
            writer.write(f"GET {QUERY} HTTP/1.1\r\nHost: x\r\n"
                         f"Authorization: Bearer {TOKEN}\r\n{last}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            status = head.split()[1]
            self.is_compacted |= status == b"410"
            if status != b"200":
                return
            self.began([line[20:].decode() for line in head.split(b"\r\n")
                        if line.lower().startswith(b"x-conflux-revision: ")][0])
            await self.read(reader)
        finally:
            writer.close()

    def leave(self):
        if self.writer:
            self.writer.transport.abort()


class Poll(Watcher):
    """Between two polls nobody watches, and nothing is missed."""
    link = None

    def poll(self):
        since = f"&since={self.since}&wait=5s" if self.since else "&wait=100ms"
        self.link.request("GET", QUERY + since, headers=BEARER)
        answer = self.link.getresponse()
        return answer.status, json.loads(answer.read())

    async def watch(self, url):
        self.link = http.client.HTTPConnection(url.hostname, url.port, timeout=300)
        try:
            await asyncio.to_thread(self.link.connect)
            while self.next is None:
                status, m = await asyncio.to_thread(self.poll)
                if status != 200:
                    self.is_compacted = status == 410
                    return
                self.began(m["revision"])
                for event in m["events"]:
                    self.hear("change", event["revision"], event)
                self.hear("bookmark", m["revision"], None)
        finally:
            self.link.close()

    def leave(self):
        try:
            if self.link and self.link.sock:
                self.link.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Socket(Watcher):
    ws = None

    async def watch(self, url):
        ask = {"type": "subscribe", "id": "it", "keys": [KEY]}
        if self.since:
            ask["since"] = int(self.since)
        # Only the node's pings: it may stand still for a while.
        async with websockets.connect(f"ws://{url.netloc}/api/v1/ws", extra_headers=BEARER,
                                      ping_interval=None, close_timeout=1) as self.ws:
            if self.next is not None:
                return
            await self.ws.send(json.dumps(ask))
            async for text in self.ws:
                m = json.loads(text)
                if m["type"] == "subscribed":
                    self.began(m["revision"])
                elif m["type"] == "error" and m["status"] in (503, 504):
                    return
                else:
                    self.hear(m["type"], m.get("revision"), m)
                if self.is_compacted:
                    return

    def leave(self):
        if self.ws and self.ws.transport:
            self.ws.transport.abort()


def messages():
    """What WatcherService takes and gives, of schemas/conflux.proto."""
    with tempfile.NamedTemporaryFile() as f:
        subprocess.run(["protoc-c", "-Ischemas", f"--descriptor_set_out={f.name}",
                        "--include_imports", "schemas/conflux.proto"], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(f.read())
    pool = descriptor_pool.DescriptorPool()
    for one in files.file:
        pool.Add(one)
    return [message_factory.MessageFactory(pool).GetPrototype(
        pool.FindMessageTypeByName("conflux.v1." + name))
        for name in ("Address", "WatchRequest", "WatchResponse")]


class Grpc(Watcher):
    call = None

    async def watch(self, url):
        tenant, application, environment, name = KEY.split("/", 3)
        ask = WATCH_REQUEST(from_now=not self.since, since=int(self.since or 0), addresses=[
            ADDRESS(tenant=tenant, application=application, environment=environment,
                    name=name)])
        # A connection of its own.
        async with grpc.aio.insecure_channel(url.netloc, options=[
                ("grpc.use_local_subchannel_pool", 1)]) as channel:
            watch = channel.unary_stream(
                "/conflux.v1.WatcherService/Watch",
                request_serializer=lambda m: m.SerializeToString(),
                response_deserializer=WATCH_RESPONSE.FromString)
            if self.next is not None:
                return
            self.call = watch(ask, metadata=(("authorization", f"Bearer {TOKEN}"),))
            try:
                async for m in self.call:
                    if m.kind == m.STARTED:
                        self.began(m.revision)
                    elif m.kind == m.BOOKMARK:
                        self.hear("bookmark", m.revision, None)
                    else:
                        assert m.kind == m.CHANGED, m
                        self.hear("change", m.revision, {"version": m.version, "end": m.end})
            except grpc.aio.AioRpcError as e:
                assert e.code() in (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.UNAVAILABLE,
                                    grpc.StatusCode.DEADLINE_EXCEEDED), e
                self.is_compacted = e.code() == grpc.StatusCode.OUT_OF_RANGE
            except asyncio.CancelledError:
                # By `leave`; who is cancelled himself is at his end.
                if self.next is None:
                    raise

    def leave(self):
        if self.call:
            self.call.cancel()


async def until(what):
    while not what():
        news.clear()
        await asyncio.wait_for(news.wait(), 50)


async def orders(watchers):
    reader = asyncio.StreamReader()
    await asyncio.get_event_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await until(lambda: all(w.is_on for w in watchers))
    print("ready", flush=True)
    while line := (await reader.readline()).split():
        if line[0] == b"wait":
            version = int(line[1])
            await until(lambda: all(w.version >= version for w in watchers))
            print("heard", version, sum(w.reconnects for w in watchers), flush=True)
        elif line[0] == b"on":
            print("on", sum(w.is_on and w.at == int(line[1]) for w in watchers),
                  flush=True)
        elif line[0] == b"go":
            for w in watchers:
                w.go(int(line[1]))
            await until(lambda: all(w.next is None for w in watchers))
            print("gone", flush=True)
        elif line[0] == b"spread":
            for i, w in enumerate(watchers):
                w.go(i % len(NODES))
            await until(lambda: all(w.next is None and w.is_on for w in watchers))
            print("gone", flush=True)
        elif line[0] == b"listed":
            await until(lambda: all(w.is_on for w in watchers))
            print("listed", sum(w.listed for w in watchers), flush=True)
        elif line[0] == b"stop":
            return


async def main():
    global news
    news = asyncio.Event()
    asyncio.get_event_loop().set_default_executor(
        concurrent.futures.ThreadPoolExecutor(N + 8))
    # As many of each kind at each node, as far as that goes.
    kinds = (Events, Poll, Socket, Grpc)
    watchers = [kinds[i // len(NODES) % len(kinds)](i) for i in range(N)]
    tasks = [asyncio.create_task(w.run()) for w in watchers]
    ordered = asyncio.create_task(orders(watchers))
    # One that ends has found something wrong.
    done, _ = await asyncio.wait([ordered] + tasks,
                                 return_when=asyncio.FIRST_COMPLETED)
    sys.stdout.flush()
    for task in done:
        if task.exception():
            raise task.exception()
    # Not the threads of polls that are under way.
    os._exit(0)


ADDRESS, WATCH_REQUEST, WATCH_RESPONSE = messages()
try:
    asyncio.run(main())
except BaseException:
    import traceback
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)
