"""The longest turn of the raft loop while a checkpoint is written."""
import json

from .base import report, run, step
from .certs import Certs
from .etcd import Etcd
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
    etcd = etcd_run(work)
    for name, field, what in (
            ("stall", "stall_us", "longest time in which nothing was answered"),
            ("slowest", "max_us", "the answer that took longest")):
        report(f"turn_max_{name}", runs[-1][field] / 1000, "ms", "etcd",
               etcd[field] / 1000, note=f"{what}; in the minute of a checkpoint, beside "
               f"{etcd['rate']:.0f} puts/s in one of etcd")


def etcd_run(work):
    """The same load for etcd with as much state; it has no loop to look at, so what its
    clients wait for is compared.  It takes its snapshots as it is set by default."""
    etcd = Etcd(work, 3, Certs(work), ["--quota-backend-bytes", str(8 << 30)])
    step(f"{TABLE_MIB} MiB of puts")
    etcd.fill(TABLE_MIB)
    step("full load for etcd")
    answer = json.loads(run(etcd.puts_args(IN_FLIGHT, SECONDS)))
    assert etcd.leads(etcd.url)
    etcd.close()
    return answer
