"""One change to many watchers, beside the least that it costs."""
import json
import socket
import subprocess

from . import base
from .base import TOOLS, report, stop, until
from .certs import Certs
from .conflux import Cluster, Conflux
from .repo import Repo

FOLDER = "acme/shop/prod"
KEY = FOLDER + "/c.txt"
FETCH = "/api/v1/fetch/config/" + KEY
CHANGES = 5


class Watchers:
    """The program that watches; it is given orders."""

    def __init__(self, address, n, path="/", token=None, post=None, streams=0,
                 ca=None, other=None, instances=None, poster=None, more=()):
        args = [TOOLS + "/watchers", "-s", address, "-n", str(n), "-p", path]
        for flag, value in (("-t", token), ("-P", post), ("-m", streams),
                            ("-c", ca), ("-2", other), ("-i", instances),
                            ("-a", poster), *(("-s", at) for at in more)):
            if value:
                args += [flag, str(value)]
        self.process = subprocess.Popen(
            args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.log = None
        self.took = float(self.says("ready")[0])

    def says(self, word):
        line = self.process.stdout.readline().split()
        if not line or line[0] != word:
            raise SystemExit(f"bench: the watchers said {line}")
        return line[1:]

    def order(self, order, word):
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self.says(word)

    def publish(self):
        """p50, p99 and last, milliseconds."""
        return [int(us) / 1000 for us in self.order("publish", "heard")]

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)


def medians(watchers):
    """Of some changes."""
    told = [watchers.publish() for _ in range(CHANGES)]
    return [sorted(values)[CHANGES // 2] for values in zip(*told)]


def floor_of(event, n, streams=0):
    """[p50, p99, last] of a bare loop that writes the bytes in this file."""
    p = subprocess.Popen([TOOLS + "/floor", event], stdout=subprocess.PIPE, text=True)
    base.started.append(p)
    p.log = None
    port = p.stdout.readline().split()[1]
    w = Watchers(f"127.0.0.1:{port}", n, streams=streams)
    told = medians(w)
    w.close()
    stop(p)
    return told


def watching(c, name="c.txt"):
    """A configuration of its version 1, where it is watched and published."""
    which = c.config(name, "0")
    return {"address": c.address, "path": f"/api/v1/watch?key={FOLDER}/{name}",
            "token": c.token, "post": f"/api/v1/mgt/configs/{which}/publish"}


def watch(work):
    """A change of one configuration that all watch."""
    event = work + "/event"
    for n in (1000, 5000, 19000):
        c = Conflux(work)
        how = watching(c)
        before = c.memory("RssAnon")
        w = Watchers(n=n, **how)
        each = (c.memory("RssAnon") - before) / n
        first = w.publish()
        w.order("save " + event, "saved")
        p50, p99, last = medians(w)
        after = (c.memory("RssAnon") - before) / n
        w.close()
        c.close()
        floor = floor_of(event, n)
        report(f"watch_{n}_p50", p50, "ms", "floor", floor[0])
        report(f"watch_{n}_p99", p99, "ms", "floor", floor[1])
        report(f"watch_{n}_last", last, "ms", "floor", floor[2], "ratio <= 2",
               last <= 2 * floor[2], note=f"the first: {first[2]:.0f} ms; "
               f"connected in {w.took:.1f} s")
        report(f"watch_{n}_memory", each, "KiB a watcher", goal="<= 16",
               met=max(each, after) <= 16, note=f"{after:.1f} when all were told")


def watch_tls(work):
    """The same over TLS, and what a watcher costs then."""
    cert, key, ca = Certs(work).of(1)
    c = Conflux(work, ["--tls-cert-file", cert, "--tls-key-file", key], ca=ca)
    how, n = watching(c), 5000
    before = c.memory("RssAnon")
    w = Watchers(n=n, ca=ca, **how)
    w.publish()
    p50, p99, last = medians(w)
    each = (c.memory("RssAnon") - before) / n
    w.close()
    c.close()
    report(f"watch_tls_{n}_last", last, "ms", note=f"p50 {p50:.0f}, p99 {p99:.0f}; "
           f"connected in {w.took:.1f} s")
    report(f"watch_tls_{n}_memory", each, "KiB a watcher", goal="<= 40",
           met=each <= 40)


def watch_h2(work):
    """100,000 watches as streams of 100 connections."""
    event = work + "/event"
    c = Conflux(work)
    how, n = watching(c), 100000
    before = c.memory("RssAnon")
    w = Watchers(n=n, streams=1000, **how)
    w.publish()
    w.order("save " + event, "saved")
    p50, p99, last = medians(w)
    each = (c.memory("RssAnon") - before) / n
    w.close()
    c.close()
    floor = floor_of(event, n, streams=1000)
    report("watch_h2_100k_last", last, "ms", "floor", floor[2], "ratio <= 2",
           last <= 2 * floor[2],
           note=f"p50 {p50:.0f}, p99 {p99:.0f}; the floor's {floor[0]:.0f}, "
           f"{floor[1]:.0f}; opened in {w.took:.1f} s")
    report("watch_h2_100k_memory", each, "KiB a watch", goal="<= 1", met=each <= 1)


def storm(work):
    """19,000 watchers of a node that is killed go on at another."""
    c, n, changes = Cluster(work), 19000, 5
    leader = c.leader()
    lost, other = [node for node in c.nodes if node is not leader]
    how = watching(leader)
    until("the configuration", lambda: lost.ask("GET", FETCH) and
          other.ask("GET", FETCH))
    how["address"] = lost.address
    w = Watchers(n=n, other=other.address, **how)
    w.order("rest 1", "rested")
    lost.kill()
    c.nodes.remove(lost)
    for i in range(changes):
        leader.ask("POST", how["post"], {"content": f"after {i}"})
    took, = w.order(f"follow {1 + changes}", "back")
    w.close()
    c.close()
    report("storm_19000", float(took), "s", note=f"{changes} changes meanwhile, "
           "none lost and none twice")


def idle_watch(work):
    """19,000 watchers and 10,000 configurations of which none changes."""
    c, n, seconds = Conflux(work), 19000, 30
    repo = Repo(work, 10000)
    c.source("repo", repo)
    c.reconcile("repo")
    how = watching(c)
    w = Watchers(n=n, **how)
    w.order("rest 5", "rested")
    before = c.cpu_seconds()
    w.order(f"rest {seconds}", "rested")
    share = 100 * (c.cpu_seconds() - before) / seconds
    report("idle_watch", share, "% of a core", goal="<= 1", met=share <= 1)
    report("idle_watch_memory", c.memory("VmRSS") / 1024, "MiB")
    w.close()
    c.close()


def subscribe(c, n):
    """So many watches over one WebSocket; answers the socket when all watch."""
    host, port = c.address.rsplit(":", 1)
    s = socket.create_connection((host, int(port)))
    s.sendall((f"GET /api/v1/ws HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\n"
               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
               f"Authorization: Bearer {c.token}\r\n\r\n").encode())
    heard = b""
    for i in range(n):
        text = json.dumps({"type": "subscribe", "id": str(i),
                           "keys": [KEY]}).encode()
        # A text frame whose mask changes nothing.
        s.sendall(bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)
        while heard.count(b'"subscribed"') <= i - 64:
            heard += s.recv(65536)
    while heard.count(b'"subscribed"') < n:
        heard += s.recv(65536)
    return s


def watch_ws(work):
    """10,000 watches over one WebSocket."""
    c, n = Conflux(work), 10000
    watching(c)
    subscribe(c, 1).close()
    before = c.memory("RssAnon")
    s = subscribe(c, n)
    each = (c.memory("RssAnon") - before) / n
    s.close()
    c.close()
    report("watch_ws_10k_memory", each, "KiB a watch", goal="<= 1", met=each <= 1)
