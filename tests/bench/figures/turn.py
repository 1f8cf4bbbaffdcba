"""The longest turn of the raft loop while a checkpoint is written."""
from .base import report
from .certs import Certs
from .raftnode import RaftNodes, Watch

TABLE_MIB = 1024
IN_FLIGHT = 256
SECONDS = 60


def turn_max(work):
    """Full load for a minute; a checkpoint begins when as much log was written
    as the state holds, so most of that is written before."""
    c = RaftNodes(work, certs=Certs(work), table_mib=TABLE_MIB)
    leader = c.leader()
    before = None
    while leader.status()["wal_bytes"] < 0.8 * TABLE_MIB * 2**20:
        before = c.load(IN_FLIGHT, 5)
        leader = c.leader()
    assert leader.status()["checkpoints"] == 0
    watch = Watch(leader)
    during = c.load(IN_FLIGHT, SECONDS)
    watch.end()
    status = leader.status()
    assert status["is_leader"]
    if status["checkpoints"] == 0:
        raise SystemExit("bench: no checkpoint was written in the minute")
    note = (f"{during['rate']:.0f} commands/s, {status['checkpoints']} "
            f"checkpoints of {TABLE_MIB} MiB, {status['copied'] // 16} MiB "
            "copied before they were changed")
    report("turn_max", watch.turn, "ms", goal="<= 20 ms", met=watch.turn <= 20,
           note=note)
    report("turn_max_computed", watch.computed, "ms",
           note="the most that a turn computed; the rest it waited for one of "
           "the processors")
    report("turn_max_p99", during["p99_us"], "us", "without a checkpoint",
           before["p99_us"])
    c.close()
