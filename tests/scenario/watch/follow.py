"""Many watchers of one configuration, over several nodes; for watch_many.sh and
left_behind.sh.

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
import json
import os
import sys
import urllib.parse
import urllib.request

KEY, N, NODES = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
TOKEN = os.environ["TOKEN"]
MAY_LIST = "MAY_LIST" in os.environ


class Watcher:
    def __init__(self, i):
        self.at = i % len(NODES)
        self.since = os.environ.get("SINCE", "")
        self.version = int(os.environ.get("VERSION", "0"))
        self.reconnects = self.listed = 0
        self.is_on = self.is_compacted = False
        self.writer = self.next = None

    def hear(self, event, rev, data):
        if event == "bookmark":
            assert int(rev) >= int(self.since or 0), (rev, self.since)
        elif event == "change":
            m = json.loads(data)
            assert m["version"] == self.version + 1, (
                f"version {m['version']} behind {self.version}")
            assert int(rev) > int(self.since or 0) and m["end"], m
            self.version = m["version"]
        elif event == "error":
            m = json.loads(data)
            assert (m["reason"], m["status"]) == ("compacted", 410), m
            self.is_compacted = True
            return
        else:
            assert event == "end", (event, data)
            return
        self.since = rev
        news.set()

    def fetch(self):
        url = f"{NODES[self.at]}/api/v1/fetch/config/{KEY}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
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

    async def read(self, reader):
        event = rev = data = None
        while line := await reader.readline():
            line = line.decode().rstrip("\r\n")
            # A size of a chunk is none of the three.
            if line.startswith("id: "):
                rev = line[4:]
            elif line.startswith("event: "):
                event = line[7:]
            elif line.startswith("data: "):
                self.hear(event, rev, line[6:])
            # The answer is over; its connection may be kept for another.
            if self.is_compacted:
                return

    async def connect(self):
        if self.is_compacted:
            await self.list()
        url = urllib.parse.urlsplit(NODES[self.at])
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        self.writer = writer
        try:
            if self.next is not None:
                return
            last = f"Last-Event-ID: {self.since}\r\n" if self.since else ""
            writer.write(f"GET /api/v1/watch?key={KEY} HTTP/1.1\r\nHost: x\r\n"
                         f"Authorization: Bearer {TOKEN}\r\n{last}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            status = head.split()[1]
            if status == b"410":
                self.is_compacted = True
            if status != b"200":
                return
            if not self.since:
                self.since = [line[20:].decode() for line in head.split(b"\r\n")
                              if line.lower().startswith(b"x-conflux-revision: ")][0]
            self.is_on = True
            news.set()
            await self.read(reader)
        finally:
            self.is_on = False
            writer.close()

    async def run(self):
        while True:
            try:
                await self.connect()
            except (OSError, asyncio.IncompleteReadError):
                pass
            self.reconnects += 1
            if self.next is None:
                self.at = (self.at + 1) % len(NODES)
                await asyncio.sleep(0.05)
            else:
                self.at, self.next = self.next, None
                news.set()

    def go(self, i):
        self.next = i
        if self.writer:
            self.writer.transport.abort()


async def until(what):
    while not what():
        news.clear()
        await asyncio.wait_for(news.wait(), 30)


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
    watchers = [Watcher(i) for i in range(N)]
    tasks = [asyncio.create_task(w.run()) for w in watchers]
    ordered = asyncio.create_task(orders(watchers))
    # One that ends has found something wrong.
    done, _ = await asyncio.wait([ordered] + tasks,
                                 return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


asyncio.run(main())
