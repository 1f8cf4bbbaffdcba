"""From a push to who watches."""
import socket
import threading
import time

from .base import report
from .conflux import Conflux
from .repo import Repo


def push(work):
    """From the trigger (what a webhook would do) to the watcher."""
    repo = Repo(work, 100)
    c = Conflux(work)
    c.source("repo", repo)
    c.reconcile("repo")
    host, port = c.address.rsplit(":", 1)
    s = socket.create_connection((host, int(port)))
    s.sendall((f"GET /api/v1/watch?prefix=acme/ HTTP/1.1\r\nHost: h\r\n"
               f"Authorization: Bearer {c.token}\r\n\r\n").encode())
    seen, changed = [], threading.Condition()

    def read():
        text = b""
        while True:
            more = s.recv(65536)
            if not more:
                return
            now = time.monotonic()
            text += more
            n = text.count(b"event: change")
            with changed:
                seen.extend([now] * (n - len(seen)))
                changed.notify()

    threading.Thread(target=read, daemon=True).start()
    took = []
    for i in range(100):
        repo.change(i % 100, 5000 + i)
        begin = time.monotonic()
        c.reconcile("repo", wait=False)
        with changed:
            if not changed.wait_for(lambda: len(seen) > i, 20):
                raise SystemExit("bench: the watcher heard nothing")
        took.append((seen[i] - begin) * 1000)
    took.sort()
    report("push_to_watch_p50", took[49], "ms")
    report("push_to_watch", took[98], "ms, p99", goal="<= 100 ms",
           met=took[98] <= 100)
    c.close()
