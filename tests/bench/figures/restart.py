"""From the start of a killed node to its being ready, with a million entries."""
import time

from .base import kill, report, until
from .etcd import Etcd
from .raftnode import RaftNodes

ENTRIES = 1000000


def restart_1m(work):
    """One node of each.  All of raftcore's are in the log, and none in a
    checkpoint; etcd does as it is set by default."""
    c = RaftNodes(work, 1, log_mib=16384)
    node = c.nodes[0]
    c.load(256, 300, ENTRIES)
    kill(node.process)
    begin = time.monotonic()
    node.start()
    until("the killed node", node.is_ready, 120)
    ours = time.monotonic() - begin
    applied = node.status()["applied"]
    assert applied >= ENTRIES, applied
    c.close()

    etcd = Etcd(work, 1)
    etcd.call(256, "Put", etcd.body, ENTRIES)
    assert etcd.index() >= ENTRIES
    kill(etcd.processes[0])
    begin = time.monotonic()
    etcd.start(0)
    until("etcd", lambda: etcd.is_healthy(etcd.url), 120)
    theirs = time.monotonic() - begin
    etcd.close()
    report("restart_1m", ours, "s", "etcd", theirs,
           note=f"{applied} entries applied again")
