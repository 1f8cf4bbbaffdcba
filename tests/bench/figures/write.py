"""Publishes and reads, on one node and on three, beside etcd."""
import time

from .base import alternate, report
from .clients import calls, wrk
from .conflux import Cluster, Conflux
from .etcd import Etcd

LUA = """local n = 0
local pad = string.rep("0", 240)
local headers = {{ ["Authorization"] = "Bearer {token}",
	["Content-Type"] = "application/json" }}
request = function()
	n = n + 1
	return wrk.format("POST", "{path}", headers,
		'{{"content":"' .. pad .. string.format("%016d", n) .. '"}}')
end
"""


class Publisher:
    """Publishes of 256 bytes to one configuration, each of a new content, to a node."""

    def __init__(self, node):
        self.node = node
        self.path = "/api/v1/mgt/configs/{}/publish".format(node.config("c.txt", "0"))
        self.script = node.dir + "/publish.lua"
        with open(self.script, "w") as f:
            f.write(LUA.format(token=node.token, path=self.path))
        self.body = node.dir + "/publish.json"
        with open(self.body, "w") as f:
            f.write('{"content":"' + "0" * 240 + "#" * 16 + '"}')
        self.notes = {}

    def http1(self, in_flight):
        """(publishes a second, p99), a connection for each in flight."""
        return wrk(self.node.url, in_flight, script=self.script)

    def http2(self, in_flight):
        """The same in the way that etcd is asked; to notes goes what they cost this
        node."""
        node = self.node

        def counts():
            return [node.metric(f"conflux_{what}_total") for what in (
                "wal_entries", "wal_bytes", "wal_writes", "store_rows_written",
                "store_rows_written_bytes")]
        threads, before, began = node.threads(), counts(), time.monotonic()
        answer = calls(node.url, self.path, in_flight, self.body,
                       ("content-type:application/json",), node.token)
        took = time.monotonic() - began
        entries, wal_bytes, writes, rows, row_bytes = (
            b - a for a, b in zip(before, counts()))
        busy = {name: (used - threads.get(name, 0)) / took
                for name, used in node.threads().items()}
        most = max(busy, key=busy.get)
        self.notes[in_flight] = (
            f"a command: {rows / entries:.1f} rows of {row_bytes / entries:.0f} "
            f"bytes together, {wal_bytes / entries:.0f} bytes of log; "
            f"{entries / writes:.1f} commands a write of the log; busiest thread: "
            f"{most}, {100 * busy[most]:.0f} % of a processor")
        return answer


def put_rows(name, node, etcd, in_flights, goal=None, p99_goals=()):
    ours = Publisher(node)
    for n in in_flights:
        a, http1, b = alternate(lambda: ours.http2(n), lambda: ours.http1(n),
                                lambda: etcd.puts(n))
        report(f"{name}_w{n}", a[0], "publishes/s", "etcd put", b[0],
               goal and f"ratio >= {goal}", goal and a[0] >= goal * b[0],
               note=ours.notes[n])
        p99 = n in p99_goals
        report(f"{name}_w{n}_p99", a[1], "us", "etcd", b[1],
               "ratio <= 1/3" if p99 else None,
               3 * a[1] <= b[1] if p99 else None)
        report(f"{name}_w{n}_http1", http1[0], "publishes/s", "etcd put", b[0])
        report(f"{name}_w{n}_http1_p99", http1[1], "us", "etcd", b[1])


def write(work):
    c, etcd = Conflux(work), Etcd(work)
    put_rows("write1", c, etcd, (1, 64))
    etcd.close()
    c.close()


def write3(work):
    """Three nodes of each; both are asked at their leaders."""
    c, etcd = Cluster(work), Etcd(work, 3)
    leader = c.leader()
    put_rows("write3", leader, etcd, (1, 64, 256, 1024), 1.5, (64, 256, 1024))
    path = "/api/v1/fetch/config/acme/shop/prod/c.txt"
    for name, query, kind, goal in (
            ("read_lin_w64", "?consistency=linearizable", "linearizable", 5),
            ("read_local_w64", "", "serializable", None)):
        a, http1, b = alternate(
            lambda: calls(leader.url, path + query, 64, token=leader.token),
            lambda: wrk(leader.url + path + query, 64, leader.token),
            lambda: etcd.reads(64, kind))
        report(name, a[0], "requests/s", f"etcd {kind}", b[0],
               goal and f"ratio >= {goal}", goal and a[0] >= goal * b[0])
        report(name + "_p99", a[1], "us", "etcd", b[1])
        report(name + "_http1", http1[0], "requests/s", f"etcd {kind}", b[0])
    etcd.close()
    c.close()
