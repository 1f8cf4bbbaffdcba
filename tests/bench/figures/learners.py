"""What watchers at learners cost the leader, and all nodes together."""
from .base import processor_us, report, until
from .conflux import Cluster
from .watch import FOLDER, Watchers, watching

FETCH = "/api/v1/fetch/config/" + FOLDER
EACH = 5000                              # watchers at a node
CHANGES = 20
REST = 5


def costs(c, leader, at, name):
    """Microseconds of a processor that a change costs the leader, and that a change told
    to one watcher costs all nodes together, less what they take while nothing changes;
    and milliseconds until the last has heard.  No 'at': one watcher elsewhere, as the
    client waits for somebody to hear.  The configuration is one of its own."""
    n = EACH * len(at) or 1
    at = at or [c.nodes[c.nodes.index(leader) - 1]]
    how = {**watching(leader, name), "address": at[0].address}
    for node in at:
        until("the configuration", lambda: node.ask("GET", f"{FETCH}/{name}"))
    w = Watchers(n=n, more=[node.address for node in at[1:]],
                 poster=leader.address, **how)
    pids = [node.process.pid for node in c.nodes]

    def used():
        return processor_us([leader.process.pid]), processor_us(pids)
    w.publish()
    w.order("rest 2", "rested")
    a = used()
    w.order(f"rest {REST}", "rested")
    b = used()
    told = [w.publish() for _ in range(CHANGES)]
    seconds = sum(last for _, _, last in told) / 1000
    d = used()
    w.close()
    lead, all_nodes = ((d[i] - b[i] - (b[i] - a[i]) / REST * seconds) / CHANGES
                       for i in (0, 1))
    return lead, all_nodes / n, sorted(last for _, _, last in told)[CHANGES // 2]


def learners(work):
    """Nodes do not look for input while they have nothing to do, as that would count."""
    c = Cluster(work, ["--server-spin", "0"])
    leader = c.leader()
    none, _, _ = costs(c, leader, [], "none.txt")
    lead, at_voters, last = costs(c, leader, c.nodes, "voters.txt")
    report("learners_0_leader", lead, "us of the leader a change", "unwatched", none,
           note=f"{3 * EACH} watchers at three voters; the last heard after "
           f"{last:.0f} ms")
    report("learners_0_each", at_voters, "us of all nodes a change and watcher")
    for k in (1, 2, 3):
        c.add_learner()
        lead, each, last = costs(c, leader, c.nodes[3:], f"learners{k}.txt")
        report(f"learners_{k}_leader", lead, "us of the leader a change", "unwatched",
               none, "ratio <= 1.5", lead <= 1.5 * none, note=f"{k * EACH} watchers at "
               f"{k} learners; the last heard after {last:.0f} ms")
        report(f"learners_{k}_each", each, "us of all nodes a change and watcher",
               "at voters", at_voters, "ratio <= 1.2", each <= 1.2 * at_voters)
    c.close()
