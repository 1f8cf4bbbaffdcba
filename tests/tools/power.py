#!/usr/bin/env python3
"""Power loss for real processes.

    power.py --bin DIR --preload journal.so [--rounds N] [--nodes N] [--seed S]
             [--sector N] [--forget GLOB] [--kind KIND] [--names MODE] [--data MODE]
             [--same-boot] [--find] [--verbose]
             WORK

confluxd runs on recorded folders while clients write, is ended without warning, and is
started from what a power loss may have left, over and over.  That is built of the folder
as it was when the process began and of what the process did since
(tests/preload/journal.c):

    what a sync covered, and writes with O_DSYNC that returned, are there;
    of every other write, and of those that were under way, each sector is there or
    not, by itself (blocks of 4 KiB where it was O_DSYNC, as the log assumes of its
    disk: --sector is for the rest); so is each other change of a file's length;
    of what was written through a shared mapping and not synced, each sector is there or
    not, by itself;
    of the names that were changed since their folder was synced, those that belong
    together (a -> b) have a prefix of their changes, each such group by itself.

Every acknowledged write has to be there, nothing else may be, no start is refused, the
audit chain holds, and nodes are alike.  The term that a node was seen in is in its files;
where both copies of term and vote are whole one of them is damaged now and then.  The power may also go after nodes were ended in
order, or killed and started again, while they start, or for one of three.  That the
journal explains all that the process did is seen by comparing what it says with the
folder.  A folder whose names are synced before its own is a finding as such.

Planted mistakes: --forget GLOB takes syncs of files and folders whose path in the
data directory matches for not made; with --same-boot the machine pretends that it
never went down.  With --find it is a failure if nothing is found; where few of what a
power loss may leave show a mistake, --names and --data say which are tried.
"""

import argparse
import collections
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

from ports import free_port
from power_disk import (DONE, HEAD, MAGIC, Finding, Model, ROOM, SIZE, SYNC, SYNC_DIR,
                        WRITE, copy_tree, differences, inodes, make_left, read_journal,
                        votes)

# ---- nodes ----

class Node:
    def __init__(self, world, id_):
        self.world, self.id = world, id_
        self.top = os.path.join(world.work, f"n{id_}")
        self.base, self.journal, self.next, self.boot, self.log = (
            self.top + "." + w for w in ("base", "journal", "next", "boot", "log"))
        self.raft, self.http, self.proc, self.boots = free_port(), free_port(), None, 0
        self.term = 0           # that it was seen in
        os.mkdir(self.top, 0o700)
        self.power_on()

    def power_on(self):
        self.boots += 1
        if self.boots == 1 or not self.world.args.same_boot:
            with open(self.boot, "w") as f:
                f.write(f"{self.id:08x}-0000-4000-8000-{self.boots:012x}\n")

    def start(self, goes_on=False):
        """'goes_on': the power was on since the last process, which may not have
        synced all that is there."""
        if not goes_on:
            shutil.rmtree(self.base, ignore_errors=True)
            if os.path.exists(self.journal):
                os.unlink(self.journal)
            self.since_ns = time.time_ns() - 1000000000
            copy_tree(self.top, self.base)
            self.inos = inodes(self.top)
        env = dict(os.environ, LD_PRELOAD=self.world.args.preload, POWER_DIR=self.top,
                   POWER_JOURNAL=self.journal, POWER_BOOT_ID=self.boot)
        argv = [os.path.join(self.world.args.bin, "confluxd"), "--data-dir", self.top,
                "--listen", f"127.0.0.1:{self.http}", "--storage-checkpoint-log", "1MiB",
                "--log-level", "info"]
        if len(self.world.nodes) > 1:
            peers = ",".join(f"{n.id}=127.0.0.1:{n.raft}" for n in self.world.nodes)
            argv += ["--node-id", str(self.id), "--raft-listen", f"127.0.0.1:{self.raft}",
                     "--peers", peers]
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(argv, env=env, stderr=log, stdin=subprocess.DEVNULL)

    def end(self, how):
        if self.proc.poll() is not None:
            raise Finding(f"node {self.id} ended by itself with {self.proc.returncode}")
        self.proc.send_signal(how)
        code = self.proc.wait(30)
        if code not in (0, -how):
            raise Finding(f"node {self.id} ended with {code}")

    def ended(self):
        """With what, where it is ending by itself; None: it is not."""
        try:
            return self.proc.wait(5)
        except subprocess.TimeoutExpired:
            return None

    def lose_power(self, rng):
        """The process has ended; its folder becomes what is left."""
        args = self.world.args
        if args.verbose:
            self.explain()
        calls, _ = read_journal(self.journal)
        make_left(self.base, self.top, self.inos, self.journal, self.next,
                  random.Random(0), names="all", data="all")
        wrong = differences(self.top, self.next, calls, self.since_ns)
        if wrong:
            raise Finding(f"the journal does not explain {' '.join(wrong)} of node {self.id}")
        shutil.rmtree(self.next)
        said = make_left(self.base, self.top, self.inos, self.journal, self.next, rng,
                         args.sector, args.forget, args.names, args.data)
        shutil.rmtree(self.top)
        os.rename(self.next, self.top)
        self.power_on()
        return f"node {self.id}: {said}{self.look_at_vote(rng)}"

    def look_at_vote(self, rng):
        whole = votes(self.top)
        term = max(whole.values(), default=(0, 0))[1]
        if term < self.term:
            raise Finding(f"node {self.id} was seen in term {self.term}, and its files "
                          f"know of {term}")
        if len(whole) < 2 or rng.random() < 0.5:
            return ""
        path = rng.choice(sorted(whole))
        with open(path, "r+b") as f:
            raw = bytearray(f.read())
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            f.seek(0)
            f.write(raw)
        self.world.total["votes damaged"] += 1
        return f"; {os.path.basename(path)} damaged"

    def changes_names(self):
        """Names were being changed when it ended: were they?"""
        return any(c.done is None and c.kind not in (WRITE, SIZE, ROOM, SYNC, SYNC_DIR)
                   for c in read_journal(self.journal)[0])

    def settle(self):
        """The process has ended, so that what was under way is done or not: the journal
        gets what is to be seen of it, and that is as durable as any other write."""
        paths = {ino: path for path, ino in inodes(self.top).items()}
        with open(self.journal, "ab") as f:
            for i, c in enumerate(read_journal(self.journal)[0]):
                if c.done is not None:
                    continue
                f.write(HEAD.pack(MAGIC, DONE, c.id, 0, 0, -1, 0, 0, 0, 0))
                path = paths.get(c.ino)
                if c.kind not in (WRITE, SIZE, ROOM) or not path:
                    continue
                size, data, kind = os.stat(path).st_size, b"", SIZE
                if c.kind == WRITE:
                    with open(path, "rb") as g:
                        data, kind = os.pread(g.fileno(), c.n, c.at), WRITE
                id_ = os.getpid() << 40 | self.boots << 20 | i
                f.write(HEAD.pack(MAGIC, kind, id_, c.ino, c.at,
                                  len(data) if data else size, 0, 0, 0, len(data)) + data)
                f.write(HEAD.pack(MAGIC, DONE, id_, 0, 0, len(data), 0, 0, 0, 0))

    def explain(self):
        """What of its names is not durable."""
        model = Model(self.base, self.top, self.world.args.forget)
        model.know(self.inos)
        model.play(read_journal(self.journal)[0])
        for c in model.changes:
            if not model.is_certain(c):
                print(f"  node {self.id}: not certain:", *(name for _, name, _ in c.sets))

    def ask(self, method, path, body=None, headers=None, timeout=5):
        c = http.client.HTTPConnection("127.0.0.1", self.http, timeout=timeout)
        try:
            c.request(method, path, json.dumps(body) if body is not None else None,
                      {"Authorization": f"Bearer {self.world.token}", **(headers or {})})
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def get(self, path):
        status, body = self.ask("GET", path)
        if status != 200:
            raise Finding(f"node {self.id}: {path} answers {status}: {body[:300]}")
        return json.loads(body)

    def is_ready(self):
        if self.proc.poll() is not None:
            raise Finding(f"node {self.id} does not come up: {self.proc.returncode}")
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False


# ---- clients ----

class Key:
    """A configuration, and what its one writer knows of it."""

    def __init__(self, name):
        self.name, self.id, self.sent, self.acked, self.version = name, None, -1, -1, 0


class Client(threading.Thread):
    """Writes to its keys until it is told to end, at any of the nodes."""

    def __init__(self, world, keys, seed):
        super().__init__(daemon=True)
        self.world, self.keys, self.rng = world, keys, random.Random(seed)
        self.ends, self.acked = threading.Event(), 0

    def write(self, conn, key):
        n = key.sent + 1
        text = f"{n} " + "x" * self.rng.choice((10, 300, 3000, 9000))
        if key.id:
            path, body = f"/api/v1/mgt/configs/{key.id}/publish", {"content": text}
        else:
            path, body = "/api/v1/mgt/configs", {
                "tenant": "acme", "application": "shop", "environment": "prod",
                "name": key.name, "format": "text", "content": text}
        key.sent = n
        conn.request("POST", path, json.dumps(body), {
            "Authorization": f"Bearer {self.world.token}",
            "Idempotency-Key": f"{key.name}-{n}"})
        r = conn.getresponse()
        got = r.read()
        if r.status not in (200, 201):
            return False
        got = json.loads(got)
        key.id, key.acked, key.version = got["id"], n, got.get("version_id", 1)
        with self.world.lock:
            self.world.revision = max(self.world.revision, got["revision"])
        self.acked += 1
        return True

    def run(self):
        while not self.ends.is_set():
            node = self.rng.choice(self.world.nodes)
            conn = http.client.HTTPConnection("127.0.0.1", node.http, timeout=5)
            try:
                for _ in range(50):
                    key = self.rng.choice(self.keys)
                    # One that is uncertain goes on with the next number; the one
                    # that made it is asked for by its address.
                    if self.ends.is_set() or (key.sent > key.acked) or \
                            not self.write(conn, key):
                        break
            except (OSError, http.client.HTTPException):
                pass
            finally:
                conn.close()
            if all(k.sent > k.acked for k in self.keys):
                break


# ---- the run ----

# When the power goes: under load, while they start, behind an orderly end, behind a kill
# and a start, of one node alone.
KINDS = ("load", "start", "end", "twice", "one")


class World:
    def __init__(self, args):
        self.args, self.work = args, args.work
        self.rng = random.Random(args.seed)
        self.lock, self.token, self.revision = threading.Lock(), "", 0
        self.keys, self.nodes = [], []
        self.total = collections.Counter()

    def wait(self, what, ok, seconds=40):
        until = time.monotonic() + seconds
        while not ok():
            if time.monotonic() > until:
                raise Finding(f"in vain for {seconds} s: {what}")
            time.sleep(0.02)

    def begin(self, n):
        """A new cluster."""
        self.end()
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)
        self.revision, self.keys, self.nodes = 0, [], []
        for i in range(n):
            self.nodes.append(Node(self, i + 1))
        for node in self.nodes:
            node.start()
        self.up()
        tokens = [os.path.join(n.top, "root.token") for n in self.nodes]
        self.wait("one root token", lambda: sum(map(os.path.exists, tokens)) == 1)
        with open(next(filter(os.path.exists, tokens))) as f:
            self.token = f.read().strip()
        status, body = self.nodes[0].ask(
            "POST", "/apis/gitops.conflux.io/v1alpha1/tenants",
            {"apiVersion": "gitops.conflux.io/v1alpha1", "kind": "Tenant",
             "metadata": {"name": "acme"}})
        if status != 201:
            raise Finding(f"no tenant: {body}")

    def end(self):
        for node in self.nodes:
            if node.proc and node.proc.poll() is None:
                node.proc.kill()
                node.proc.wait()

    def up(self):
        self.wait("all nodes ready", lambda: all([n.is_ready() for n in self.nodes]))

    def load(self, seconds):
        """Clients that write; they are ended by what befalls the nodes."""
        while len(self.keys) < 24:
            self.keys.append(Key(f"k{len(self.keys)}.txt"))
        clients = [Client(self, self.keys[i::4], self.rng.random()) for i in range(4)]
        for c in clients:
            c.start()
        time.sleep(seconds)
        return clients

    def join(self, clients):
        for c in clients:
            c.ends.set()
        for c in clients:
            c.join(30)
            self.total["acknowledged"] += c.acked

    def check(self):
        """What must hold of all nodes, with nobody writing."""
        def alike():
            # A node that is ready may not have applied the token yet.
            got = [n.ask("GET", "/api/v1/status") for n in self.nodes]
            seen = {json.loads(body)["revision"] if status == 200 else -1
                    for status, body in got}
            return len(seen) == 1 and min(seen) >= self.revision
        try:
            self.wait("all nodes at one revision, with all that was acknowledged", alike)
        except Finding as e:
            raise Finding(f"{e}: " + " ".join(
                str(n.ask("GET", "/api/v1/status")[0]) for n in self.nodes) +
                f", acknowledged {self.revision}") from None
        audits = [n.get("/api/v1/audit/verify") for n in self.nodes]
        for a in audits:
            if not a["valid"] or a["head"] != audits[0]["head"]:
                raise Finding(f"audit chains: {audits}")
        for n in self.nodes:
            status = n.get("/_cluster/status")
            n.term = max(n.term, status["term"])
            if status["state"] != "alike":
                raise Finding(f"the state of node {n.id}: {status['state']}")
        for key in self.keys:
            self.check_key(key)

    def check_key(self, key):
        seen = set()
        for n in self.nodes:
            status, body = n.ask("GET", f"/api/v1/fetch/config/acme/shop/prod/{key.name}")
            if status != 200 and not (status == 404 and key.acked < 0):
                raise Finding(f"{key.name} at node {n.id}: {status}, acknowledged {key.acked}")
            seen.add(int(body.split()[0]) if status == 200 else -1)
        if len(seen) > 1 or not key.acked <= min(seen) <= max(seen) <= key.sent:
            raise Finding(f"{key.name}: {sorted(seen)} is live, acknowledged "
                          f"{key.acked}, sent {key.sent}")
        live = seen.pop()
        if live >= 0 and not key.id:
            key.id = self.nodes[0].get("/api/v1/mgt/configs?address=acme/shop/prod/" +
                                       key.name)["id"]
        # What was uncertain is known now.
        key.sent = key.acked = live
        self.total["compared"] += len(self.nodes)

    def restart(self, clients):
        """The processes end without warning, and the power does not."""
        for n in self.nodes:
            n.end(signal.SIGKILL)
        self.join(clients)
        for n in self.nodes:
            goes_on = not n.changes_names()
            if goes_on:
                n.settle()
            else:
                n.lose_power(self.rng)
            n.start(goes_on)
        self.up()
        # What was uncertain is known now.
        self.check()

    def round(self):
        kind = self.args.kind or self.rng.choices(
            KINDS, (6, 3, 3, 4, 2 if len(self.nodes) > 1 else 0))[0]
        victims = [self.rng.choice(self.nodes)] if kind == "one" else list(self.nodes)
        if kind == "start":
            # The power goes while they come up from what is left.
            for n in self.nodes:
                n.end(signal.SIGKILL)
            for n in self.nodes:
                n.lose_power(self.rng)
                n.start()
            time.sleep(self.rng.uniform(0, 0.5))
            clients = []
        else:
            clients = self.load(self.rng.uniform(0.1, 1.2))
        if kind == "end":
            self.join(clients)
            clients = []
        if kind == "twice":
            self.restart(clients)
            clients = self.load(self.rng.uniform(0.1, 1.2))
        for n in victims:
            n.end(signal.SIGTERM if kind == "end" else signal.SIGKILL)
        said = [n.lose_power(self.rng) for n in victims]
        if kind != "one":
            self.join(clients)
        for n in victims:
            n.start()
        self.up()
        self.join(clients)
        self.check()
        self.total["rounds"] += 1
        self.total["power losses"] += len(victims)
        return f"{kind}; " + "; ".join(said)


def run(args):
    world = World(args)
    found, n = None, 0
    try:
        for n in range(1, args.rounds + 1):
            if n == 1 or n % 6 == 1:
                world.begin(args.nodes or (1 if n % 12 == 1 else 3))
            said = world.round()
            if not args.find:
                print(f"- {n}: {said}", flush=True)
    except Finding as e:
        found = e
    except (OSError, http.client.HTTPException):
        ended = [(node.id, node.ended()) for node in world.nodes]
        if all(code is None for _, code in ended):
            raise
        found = Finding("; ".join(f"node {id_} ended by itself with {code}"
                                  for id_, code in ended if code is not None))
    finally:
        world.end()
    what = ", ".join(f"{v} {k}" for k, v in sorted(world.total.items()))
    if found and args.find:
        print(f"- found in round {n}: {found}")
    elif found:
        print(f"FOUND in round {n}, seed {args.seed}: {found}\n  {what}; all is in {args.work}")
        for node in world.nodes:
            with open(node.log, errors="replace") as f:
                print(f"  node {node.id}:\n    " + "    ".join(f.readlines()[-12:]))
    else:
        print(f"- {what}, seed {args.seed}")
    if bool(found) == args.find:
        shutil.rmtree(args.work, ignore_errors=True)
        return 0
    return 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("--preload", required=True)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--nodes", type=int, default=0, help="0: one and three in turn")
    parser.add_argument("--seed", type=int,
                        default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--sector", type=int, default=512)
    parser.add_argument("--forget", action="append", default=[])
    parser.add_argument("--kind", choices=KINDS, help="the only one")
    parser.add_argument("--names", choices=("none", "any", "all"))
    parser.add_argument("--data", choices=("none", "some", "all"))
    parser.add_argument("--same-boot", action="store_true")
    parser.add_argument("--find", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("work")
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
