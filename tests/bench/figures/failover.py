"""How long nobody takes writes after the leader was killed."""
import time

from .base import report, until
from .conflux import Cluster


def failover(work):
    """From SIGKILL of the leader to the next publish that another node takes."""
    c = Cluster(work)
    uid = c.leader().config("c.txt", "0")
    took = []
    for i in range(20):
        old = c.leader()
        node = c.nodes[c.nodes.index(old) - 1]
        old.kill()
        begin = time.monotonic()

        def publish():
            node.ask("POST", f"/api/v1/mgt/configs/{uid}/publish",
                     {"content": f"after kill {i}"}, timeout=10)
            return True

        until("a write", publish)
        took.append(time.monotonic() - begin)
        old.start()
        until("the killed node", old.ready)
    took.sort()
    report("failover_p50", took[9], "s")
    report("failover_max", took[-1], "s", goal="<= 1.0", met=took[-1] <= 1.0)
    c.close()
