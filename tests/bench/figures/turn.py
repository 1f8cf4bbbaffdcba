"""The longest turn of the raft loop while a checkpoint is written."""
from .base import report, step
from .certs import Certs
from .raftnode import RaftNodes, Watch

TABLE_MIB = 1024
IN_FLIGHT = 256
SECONDS = 60
RUNS_MAX = 4


def turn_max(work):
    """Full load for a minute, and for more where no checkpoint was written in
    that; one begins when as much log was written as the state holds, so most of
    that is written before."""
    c = RaftNodes(work, certs=Certs(work), table_mib=TABLE_MIB)
    leader = c.leader()
    step(f"{TABLE_MIB} MiB of log, nearly")
    before = None
    while leader.status()["wal_bytes"] < 0.95 * TABLE_MIB * 2**20:
        before = c.load(IN_FLIGHT, 5)
    assert leader.status()["checkpoints"] == 0
    watch = Watch(leader)
    step("full load")
    runs = []
    while not runs or leader.status()["checkpoints"] == 0:
        if len(runs) == RUNS_MAX:
            raise SystemExit("bench: no checkpoint was written in "
                             f"{RUNS_MAX} minutes of load")
        runs.append(c.load(IN_FLIGHT, SECONDS))
    watch.end()
    status = leader.status()
    assert status["is_leader"]
    note = (f"{runs[-1]['rate']:.0f} commands/s, {status['checkpoints']} "
            f"checkpoints of {TABLE_MIB} MiB, {status['copied'] // 256} MiB "
            "copied before they were changed")
    report("turn_max", watch.turn, "ms", goal="<= 20 ms", met=watch.turn <= 20,
           note=note)
    report("turn_max_computed", watch.computed, "ms",
           note="the most that a turn computed; the rest it waited for one of "
           "the processors")
    report("turn_max_p99", max(run["p99_us"] for run in runs), "us",
           "without a checkpoint", before["p99_us"])
    c.close()
