"""Nodes of raftcore alone (tests/bench/raft_node.c), and load for them
(tests/bench/raft_load.c)."""
import json
import shutil
import socket
import struct
import tempfile
import threading
import time

from . import base


class RaftNode:
    """One of them; certs is (certificate, key, authority) or None."""

    def __init__(self, work, number, members, certs, table_mib, log_mib,
                 join=None):
        self.number, self.table = number, table_mib << 20
        self.dir = tempfile.mkdtemp(dir=work)
        self.address = f"127.0.0.1:{base.free_port()}"
        self.args = [base.TOOLS + "/raft_node", str(number), self.dir + "/data",
                     members[number], self.address, str(table_mib),
                     str(log_mib), *(certs or ["-"])]
        self.args += [f"{i}={at}" for i, at in members.items()
                      if not join or i != number]
        self.args += [f"join={join}"] if join else []
        self.start()

    def start(self):
        self.process = base.start(self.args)

    def ask(self, body):
        host, port = self.address.split(":")
        with socket.create_connection((host, int(port)), 30) as s:
            s.sendall(struct.pack("<IQ", len(body), 0) + body)
            f = s.makefile("rb")
            head = f.read(12)
            if len(head) < 12:
                raise OSError("the node hung up")
            return f.read(struct.unpack("<I", head[:4])[0])

    def status(self):
        return json.loads(self.ask(b""))

    def add_node_2(self, port):
        code = struct.unpack("<I", self.ask(struct.pack("<H", port)))[0]
        if code:
            raise SystemExit(f"bench: node 2 was not added: code {code}")

    def own_bytes(self):
        """What the process holds beside the table, without pages of files."""
        return base.memory(self.process, "RssAnon") * 1024 - self.table

    def is_ready(self):
        return self.status()["ready"]

    def close(self):
        base.stop(self.process)
        shutil.rmtree(self.dir, ignore_errors=True)


class RaftNodes:
    """Three of them, or n; the one that leads takes the load."""

    def __init__(self, work, n=3, certs=None, table_mib=16, log_mib=256):
        self.table_mib = table_mib
        members = {i + 1: f"127.0.0.1:{base.free_port()}" for i in range(n)}
        self.members = members
        self.nodes = [RaftNode(work, i, members, certs and certs.of(i),
                               table_mib, log_mib) for i in members]
        for node in self.nodes:
            base.until("a node of raftcore", node.is_ready)

    def leader(self):
        return base.until("a leader", lambda: next(
            (n for n in self.nodes if n.status()["is_leader"]), None))

    def load_args(self, in_flight, seconds, commands=0, size=256):
        return [base.TOOLS + "/raft_load", self.leader().address,
                str(in_flight), str(min(in_flight, 8)), str(seconds),
                str(self.table_mib * 4096), str(size), str(commands)]

    def load(self, in_flight, seconds=base.SECONDS, commands=0, size=256):
        """What raft_load says, with commands a write of the leader's log.  All
        of the table's slots are written."""
        leader = self.leader()
        before = leader.status()
        answer = json.loads(base.run(self.load_args(in_flight, seconds,
                                                    commands, size)))
        after = leader.status()
        assert after["is_leader"]
        answer["commands_a_write"] = (
            (after["wal_entries"] - before["wal_entries"]) /
            (after["wal_writes"] - before["wal_writes"]))
        return answer

    def close(self):
        for node in self.nodes:
            node.close()


class Watch:
    """The longest turn of a node from now on, in milliseconds, what one of them
    computed at most, and the most memory beside its table, in bytes.  A node
    tells of its last ten seconds: where what was before shall not count, that
    must be over."""

    def __init__(self, node, forget=True):
        self.node = node
        self.turn = self.computed = self.own_bytes = 0
        self.over = threading.Event()
        if forget:
            time.sleep(11)
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while True:
            last = self.over.wait(0.25)
            self.own_bytes = max(self.own_bytes, self.node.own_bytes())
            status = self.node.status()
            self.turn = max(self.turn, status["turn_max_us"] / 1000)
            self.computed = max(self.computed, status["turn_max_cpu_us"] / 1000)
            if last:
                return

    def end(self):
        self.over.set()
        self.thread.join()
        return self


class Load:
    """A little load beside something else, until it is told to end: a program that
    makes it for a second, again and again."""

    def __init__(self, args):
        self.args = args
        self.answers = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.go_on, daemon=True)
        self.thread.start()

    def go_on(self):
        while not self.over.is_set():
            self.answers.append(json.loads(base.run(self.args)))

    def end(self):
        """The rate over all of it, and the worst p99 of a second."""
        self.over.set()
        self.thread.join()
        return {"rate": sum(a["rate"] for a in self.answers) /
                len(self.answers),
                "p99_us": max(a["p99_us"] for a in self.answers)}
