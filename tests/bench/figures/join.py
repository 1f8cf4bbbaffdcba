"""A new node of a cluster that holds much."""
import base64
import json
import threading
import time

from .base import free_port, memory, report, step, stop, until
from .certs import Certs
from .conflux import Conflux
from .etcd import KEPT, Etcd
from .raftnode import Load, RaftNode, RaftNodes, Watch

MIB = 2**20
QUOTA = ["--quota-backend-bytes", str(8 << 30)]


def content(i):
    """A mebibyte that is not another's."""
    return f"{i:016d}" + "x" * (MIB - 16)


class Peak:
    """The most memory that a process has for itself from now on, in KiB.  Pages
    of the state's file, which count as its memory too, are not its own."""

    def __init__(self, process):
        self.process = process
        self.rss_anon = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while not self.over.wait(0.05):
            self.rss_anon = max(self.rss_anon, memory(self.process, "RssAnon"))

    def end(self):
        self.over.set()
        self.thread.join()
        return self.rss_anon


class Member:
    """confluxd that leads a cluster of one."""

    def __init__(self, work, flags=()):
        self.work = work
        self.raft = f"127.0.0.1:{free_port()}"
        self.node = Conflux(work, ["--raft-listen", self.raft,
                                   "--peers", "1=" + self.raft, *flags], 1)
        until("the node", self.node.ready)
        self.node.token = open(self.node.data + "/root.token").read().strip()
        self.node.tenant()

    def fill(self, mib, lanes=4):
        def some(lane):
            for i in range(lane, mib, lanes):
                self.node.config(f"c{i}.txt", content(i))
        threads = [threading.Thread(target=some, args=(i,))
                   for i in range(lanes)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def join(self, last):
        """(seconds, the joiner) until it serves what was there."""
        status = json.loads(self.node.ask("GET", "/_cluster/status"))
        address = f"127.0.0.1:{free_port()}"
        begin = time.monotonic()
        new = Conflux(self.work, ["--raft-listen", address,
                                  "--peers", "1=" + self.raft,
                                  "--cluster-join", status["cluster_id"]], 2)
        peak = Peak(new.process)
        new.token = self.node.token
        self.node.ask("POST", "/_cluster/nodes", {"id": 2, "address": address})
        until("the new node", new.ready, 600)
        took = time.monotonic() - begin
        path = f"/api/v1/fetch/config/acme/shop/prod/c{last}.txt"
        assert new.ask("GET", path).decode() == content(last)
        return took, new, peak.end()


def join_etcd(work, mib):
    """Seconds until a new member of etcd serves, as a voter, which it only
    does when it has what was there."""
    etcd = Etcd(work, 1, flags=QUOTA)
    for i in range(mib):
        etcd.ask(etcd.url, "kv/put", {
            "key": base64.b64encode(b"c%d" % i).decode(),
            "value": base64.b64encode(content(i).encode()).decode()})
    begin = time.monotonic()
    new = etcd.add()
    until("the new member", lambda: etcd.is_healthy(etcd.urls[new]), 600)
    took = time.monotonic() - begin
    etcd.close()
    return took


def join_100m(work):
    member = Member(work)
    member.fill(100)
    took, new, peak = member.join(99)
    new.close()
    member.node.close()
    report("join_100m", took, "s", "etcd", join_etcd(work, 100))
    report("join_100m_memory", peak / 1024, "MiB, peak",
           note="of the new node, without pages of files")


def install(c, join_certs, work):
    """(seconds, the new node, its Watch) until it stands where the cluster
    stood when it was added."""
    leader = c.leader()
    status = leader.status()
    port = free_port()
    begin = time.monotonic()
    new = RaftNode(work, 2, {**c.members, 2: f"127.0.0.1:{port}"}, join_certs,
                   c.table_mib, 1, status["cluster"])
    until("the new node", lambda: new.status() is not None)
    watch = Watch(new, forget=False)
    leader.add_node_2(port)
    until("the state at the new node", lambda: new.is_ready() and
          new.status()["applied"] >= status["applied"], 600)
    return time.monotonic() - begin, new, watch.end()


def join_2g_etcd(work):
    """The same of etcd: a learner, because a second voter would have the writes wait
    until it has caught up; its database goes as a snapshot, as its log was cut."""
    certs = Certs(work)
    etcd = Etcd(work, 1, certs, [*QUOTA, "--snapshot-count", str(KEPT)])
    step("2 GiB of puts")
    etcd.fill(2048)
    stop(etcd.processes[0])              # its heap keeps a GiB of the filling
    etcd.start(0)
    until("etcd again", lambda: etcd.is_healthy(etcd.url))
    load, leader = Load(etcd.puts_args(16, 1)), Peak(etcd.processes[0])
    step("the new member")
    stood = etcd.applied(0)
    begin = time.monotonic()
    new = etcd.add(learner=True)
    joiner = Peak(etcd.processes[new])
    until("the state at the new member", lambda: etcd.applied(new) >= stood, 600)
    took = time.monotonic() - begin
    told = {"s": took, "leader": leader.end() / 1024,
            "joiner": joiner.end() / 1024, **load.end()}
    if not etcd.got_snapshot(new):
        raise SystemExit("bench: etcd sent its log")
    etcd.close()
    return told


def join_2g(work):
    """raftcore alone, with a machine in memory whose state travels as a
    checkpoint, as the log does not reach back to the beginning; others go on
    writing meanwhile.  What the machine itself holds, 2 GiB, is not counted."""
    certs = Certs(work)
    c = RaftNodes(work, 1, certs, table_mib=2048, log_mib=1)
    step("2 GiB of log")
    c.load(64, 300, 33000, 65536)
    step("the checkpoint")
    until("a checkpoint", lambda: c.leader().status()["checkpoints"], 300)
    leader, load = Watch(c.leader()), Load(c.load_args(16, 1))
    step("the new node")
    took, new, joiner = install(c, certs.of(2), work)
    leader.end()
    during = load.end()
    if new.status()["installed"] != 1:
        raise SystemExit("bench: the state did not come as a checkpoint")
    new.close()
    c.close()
    etcd = join_2g_etcd(work)
    report("join_2g", took, "s", "etcd", etcd["s"], note="2 GiB of state, as a "
           f"checkpoint, beside {during['rate']:.0f} commands/s, p99 "
           f"{during['p99_us']} us; etcd beside {etcd['rate']:.0f} puts/s, p99 "
           f"{etcd['p99_us']} us")
    report("join_2g_turn", leader.turn, "ms", goal="<= 20 ms",
           met=leader.turn <= 20,
           note="longest turn of the leader's raft loop meanwhile; none "
           f"computed more than {leader.computed:.1f} ms")
    for name, watch in ("leader", leader), ("joiner", joiner):
        mib = watch.own_bytes / MIB
        report(f"join_2g_{name}_memory", mib, "MiB, peak", "etcd", etcd[name],
               "<= 256 MiB", mib <= 256, note="beside the machine's table; etcd's "
               "without pages of its file")
