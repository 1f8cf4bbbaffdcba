"""How long nobody takes writes after the leader was killed, beside etcd."""
import base64
import threading
import time

from .base import kill, report, until
from .conflux import Cluster
from .etcd import Etcd

KILLS = 20
EVERY = 0.02
# raftcore's, which cannot be set, and confluxd's default.
SAME = ["--heartbeat-interval", "50", "--election-timeout", "300"]


class Ours:
    def __init__(self, work):
        self.c = Cluster(work)
        self.uid = self.c.leader().config("c.txt", "0")

    def kill_leader(self):
        old = self.c.leader()
        self.node = self.c.nodes[self.c.nodes.index(old) - 1]
        self.old = old
        old.kill()

    def write(self, text):
        self.node.ask("POST", f"/api/v1/mgt/configs/{self.uid}/publish",
                      {"content": text}, timeout=10)

    def restore(self):
        self.old.start()
        until("the killed node", self.old.ready)

    def close(self):
        self.c.close()


class Theirs:
    def __init__(self, work):
        self.c = Etcd(work, 3, flags=SAME)

    def kill_leader(self):
        self.old = self.c.leader()
        self.url = self.c.urls[self.old - 1]
        kill(self.c.processes[self.old])

    def write(self, text):
        self.c.ask(self.url, "kv/put", {
            "key": base64.b64encode(b"c.txt").decode(),
            "value": base64.b64encode(text.encode()).decode()}, timeout=10)

    def restore(self):
        self.c.start(self.old)
        url = self.c.urls[self.old]
        until("the killed etcd", lambda: self.c.is_healthy(url))

    def close(self):
        self.c.close()


def again_and_again(write):
    """When a write was first answered: one is begun each 20 ms, and none waits for
    those before it, which may hang for seconds at who believes in the old leader."""
    done = threading.Event()
    first = []

    def one(text):
        try:
            write(text)
            first.append(time.monotonic())
            done.set()
        except OSError:
            pass

    i = 0
    while not done.is_set():
        threading.Thread(target=one, args=(f"one of many, {i}",), daemon=True).start()
        i += 1
        done.wait(EVERY)
    return min(first)


def patient(write):
    """When a client had its answer that waits for each write, and writes again where
    that failed."""
    until("a write", lambda: write("patiently") is None)
    return time.monotonic()


def one_kill(side):
    """Seconds from SIGKILL of the leader to the next write that another node takes, as
    one who asks again and again sees it, and as one who waits."""
    side.kill_leader()
    begin = time.monotonic()
    waited = []
    waiter = threading.Thread(
        target=lambda: waited.append(patient(side.write)), daemon=True)
    waiter.start()
    first = again_and_again(side.write)
    waiter.join()
    side.restore()
    return first - begin, waited[0] - begin


def failover(work):
    """Kills of the two in turn; the same client, which asks over HTTP/1.1 and JSON."""
    ours, theirs = Ours(work), Theirs(work)
    rounds = [(one_kill(ours), one_kill(theirs)) for _ in range(KILLS)]
    for which, name in enumerate(("failover", "failover_patient")):
        a, b = (sorted(r[side][which] for r in rounds) for side in (0, 1))
        report(name + "_p50", a[KILLS // 2 - 1], "s", "etcd", b[KILLS // 2 - 1])
        report(name + "_max", a[-1], "s", "etcd", b[-1], "<= 1.0", a[-1] <= 1.0)
    ours.close()
    theirs.close()
