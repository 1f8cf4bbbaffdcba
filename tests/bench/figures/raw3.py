"""raftcore alone, three nodes with a machine in memory, beside etcd."""
import statistics

from .base import alternate, report
from .certs import Certs
from .etcd import Etcd
from .raftnode import RaftNodes

# In flight: least ratio of rates, and most of p99s.
GOALS = {1: (1.5, 0.6), 16: None, 64: (5, 1 / 5), 256: (8, 1 / 10),
         1024: (10, 1 / 10)}


def raw3(work):
    """Mutual TLS between the nodes of both, none to the clients; up to eight
    connections with the commands in flight spread over them, which is what etcd
    is quickest with."""
    certs = Certs(work)
    c, etcd = RaftNodes(work, certs=certs), Etcd(work, 3, certs=certs)
    for n, goal in GOALS.items():
        gathered = []

        def ours():
            answer = c.load(n)
            gathered.append(answer["commands_a_write"])
            return answer["rate"], answer["p99_us"]

        a, b = alternate(ours, lambda: etcd.puts(n))
        report(f"raw3_w{n}", a[0], "commands/s", "etcd put", b[0],
               goal and f"ratio >= {goal[0]}",
               goal and a[0] >= goal[0] * b[0])
        report(f"raw3_w{n}_p99", a[1], "us", "etcd", b[1],
               goal and f"ratio <= {goal[1]:g}",
               goal and a[1] <= goal[1] * b[1])
        if n == 64:
            many = statistics.median(gathered)
            report("raw3_w64_gathered", many, "commands a write of the log",
                   goal=">= 8", met=many >= 8)
    etcd.close()
    c.close()
