#!/usr/bin/env python3
"""The n-th call of the system fails in real programs.

    calls.py --confluxd FILE --conflux FILE --preload calls.so WORK

For each error that a call can answer, for n = 1, 2, ... until a run makes fewer (n
gets sparser, unless FULL=1 is set):

    starts   of confluxd: it comes up, or ends with an exit code and says why
    work     over HTTP: what broke is asked for again on a new connection, with the
             same idempotency key, and is then done, once
    client   conflux: the content, or an exit code and the reason

and nowhere a signal or a finding of a sanitizer.  At last more clients connect than
there are descriptors, and a node that holds few of them goes on.
"""

import argparse
import errno
import http.client
import json
import mmap
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

from ports import free_port

CALLS = ("SOCKET BIND LISTEN ACCEPT CONNECT SEND RECV EPOLL EVENTFD PIPE THREAD OPEN "
         "WAIT EPOLL_CTL SYNC RENAME RANDOM FCNTL SETSOCKOPT GETSOCKOPT PEERNAME OPENAT "
         "FLOCK STAT UNLINK DIR READ WRITE MUTEX LOCALE").split()
SHORT, END = -1, -2
STREAMS = ("SEND ECONNRESET, SEND EPIPE, SEND ETIMEDOUT, SEND EAGAIN, SEND EINTR, "
           "SEND ENOBUFS, SEND SHORT, RECV ECONNRESET, RECV ETIMEDOUT, RECV EAGAIN, "
           "RECV EINTR, RECV SHORT, RECV END, WAIT EINTR")
ACCEPTS = "ACCEPT ECONNABORTED, ACCEPT EMFILE, ACCEPT EINTR, ACCEPT EAGAIN, ACCEPT EPERM"
CONNECTS = ("SOCKET EMFILE, CONNECT ECONNREFUSED, CONNECT ENETUNREACH, CONNECT EINTR")
# Without pipes: libuv itself ends the process where it gets none for its signals.
STARTS = ("BIND EADDRINUSE, LISTEN EADDRINUSE, SOCKET EMFILE, EPOLL EMFILE, "
          "EVENTFD EMFILE, THREAD EAGAIN, OPEN EMFILE, OPEN ENFILE")
BAD = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error|Assertion|must ")


class Finding(Exception):
    """What must not be."""


class Control:
    """struct calls_control of calls.h."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.write(bytes(8 * (3 + len(CALLS))))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 0)

    def put(self, word, value):
        self.map[8 * word:8 * word + 8] = struct.pack("<q", value)

    def get(self, word):
        return struct.unpack_from("<q", self.map, 8 * word)[0]

    def arm(self, fault, n):
        call, error = fault.split()
        self.put(2, 0)
        for i in range(len(CALLS)):
            self.put(3 + i, 0)
        self.put(0, CALLS.index(call))
        self.put(1, {"SHORT": SHORT, "END": END}.get(error) or getattr(errno, error))
        self.put(2, n)

    def disarm(self):
        """How many such calls there were."""
        self.put(2, 0)
        return self.get(3 + self.get(0))


class World:
    def __init__(self, args):
        self.args = args
        self.top = os.path.join(args.work, "data")
        self.log = os.path.join(args.work, "daemon.log")
        self.control = Control(os.path.join(args.work, "control"))
        self.raft, self.proc, self.port, self.token = free_port(), None, 0, ""
        self.published = self.runs = 0

    def sweep(self, faults, run):
        for fault in faults.split(", "):
            n = 1
            while True:
                try:
                    run(fault, n)
                except Finding as e:
                    raise Finding(f"{fault}, call {n}: {e}") from None
                if self.control.disarm() < n:
                    break
                self.runs += 1
                n += 1 if os.environ.get("FULL") else 1 + n // 2

    # ---- the daemon ----

    def environment(self):
        return dict(os.environ, LD_PRELOAD=self.args.preload,
                    CALLS_CONTROL=self.control.path,
                    ASAN_OPTIONS="verify_asan_link_order=0:" +
                    os.environ.get("ASAN_OPTIONS", ""))

    def start(self, descriptors=0):
        address = os.path.join(self.top, "confluxd.listen")
        if os.path.exists(address):
            os.unlink(address)
        with open(self.log, "wb") as log:
            self.proc = subprocess.Popen(
                [self.args.confluxd, "--data-dir", self.top, "--listen", "127.0.0.1:0",
                 "--node-id", "1", "--raft-listen", f"127.0.0.1:{self.raft}",
                 "--peers", f"1=127.0.0.1:{self.raft}", "--storage-checkpoint-log", "1MiB"],
                stderr=log, env=self.environment(), preexec_fn=(lambda: resource.setrlimit(
                    resource.RLIMIT_NOFILE, (descriptors, descriptors)))
                if descriptors else None)

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def end(self):
        """In order, so that leaks are found."""
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        code = self.proc.wait(60)
        said = self.said()
        if code < 0 or code >= 64 or BAD.search(said):
            raise Finding(f"confluxd ended with {code}:\n{said[-3000:]}")
        return code

    def is_up(self):
        try:
            with open(os.path.join(self.top, "confluxd.listen")) as f:
                self.port = int(f.read().strip().rsplit(":", 1)[1])
            with open(os.path.join(self.top, "root.token")) as f:
                self.token = f.read().strip()
            return self.once("GET", "/readyz")[0] == 200
        except (OSError, ValueError, IndexError, http.client.HTTPException):
            return False

    def comes_up(self, seconds=30):
        """Or it has ended, or says that it will not."""
        until = time.monotonic() + seconds
        while not self.is_up():
            if self.proc.poll() is not None:
                return False
            if "ERROR" in self.said():
                return False
            if time.monotonic() > until:
                raise Finding(f"neither up nor down:\n{self.said()[-3000:]}")
            time.sleep(0.02)
        return True

    # ---- requests ----

    def once(self, method, path, body=None, key=None):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            conn.request(method, path, body, {"Authorization": f"Bearer {self.token}",
                                              **({"Idempotency-Key": key} if key else {})})
            r = conn.getresponse()
            return r.status, r.read()
        finally:
            conn.close()

    def ask(self, method, path, body=None, key=None):
        """On new connections until there is an answer.  Where a process has no
        descriptor left its event library turns everybody away who comes in that
        moment, so a client comes again a little later."""
        until = time.monotonic() + 5
        while True:
            try:
                return self.once(method, path, body, key)
            except (OSError, http.client.HTTPException) as e:
                if time.monotonic() > until:
                    raise Finding(f"{method} {path}: {e!r}, for 5 s") from None
            time.sleep(0.02)

    def publish(self, pad=0):
        self.published += 1
        text = f"{self.published} " + "x" * pad
        status, body = self.ask("POST", f"/api/v1/mgt/configs/{self.id}/publish",
                                json.dumps({"content": text}), f"k{self.published}")
        if status != 200:
            raise Finding(f"publish: {status} {body[:300]}")
        got = json.loads(body)["version_id"]
        if got != self.published + 1:
            raise Finding(f"version {got} of publish {self.published}")

    def fetch(self):
        status, body = self.ask("GET", "/api/v1/fetch/config/acme/shop/prod/c.txt")
        if status != 200 or int(body.split()[0]) != self.published:
            raise Finding(f"fetch: {status} {body[:100]}, published {self.published}")

    def watch(self):
        """The first event of a watch, over whatever connection that takes."""
        until = time.monotonic() + 5
        while time.monotonic() < until:
            conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                conn.request("GET", "/api/v1/watch?prefix=acme&since=1", None,
                             {"Authorization": f"Bearer {self.token}"})
                r = conn.getresponse()
                while r.status == 200:
                    line = r.readline()
                    if not line:
                        break
                    if line.startswith(b"data:"):
                        json.loads(line[5:])
                        return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                conn.close()
            time.sleep(0.02)
        raise Finding("a watch has told nothing, for 5 s")

    def make(self):
        status, body = self.ask(
            "POST", "/apis/gitops.conflux.io/v1alpha1/tenants",
            '{"apiVersion": "gitops.conflux.io/v1alpha1", "kind": "Tenant", '
            '"metadata": {"name": "acme"}}')
        status, body = self.ask("POST", "/api/v1/mgt/configs", json.dumps({
            "tenant": "acme", "application": "shop", "environment": "prod",
            "name": "c.txt", "format": "text", "content": "0"}))
        if status != 201:
            raise Finding(f"create: {status} {body[:300]}")
        self.id = json.loads(body)["id"]

    # ---- what is swept ----

    def again(self):
        """The directory as it was first: each start makes the log longer."""
        first = self.top + ".first"
        if not os.path.exists(first):
            os.rename(self.top, first)
        shutil.rmtree(self.top, ignore_errors=True)
        subprocess.run(["cp", "-a", "--sparse=always", first, self.top], check=True)

    def run_start(self, fault, n):
        self.again()
        self.control.arm(fault, n)
        self.start()
        up = self.comes_up()
        passed = self.control.disarm()
        if up:
            self.fetch()
        code, said = self.end(), self.said()
        if not up and code and "confluxd: " not in said:
            raise Finding(f"exit code {code}, and no word of it:\n{said[-3000:]}")
        if not up and not code and "ERROR" not in said:
            raise Finding(f"not ready, and no word of it:\n{said[-3000:]}")
        self.control.put(3 + self.control.get(0), passed)

    def run_work(self, fault, n):
        self.control.arm(fault, n)
        self.publish()
        self.fetch()
        self.publish(200000)
        self.fetch()
        self.watch()
        passed = self.control.disarm()
        self.fetch()
        if self.proc.poll() is not None:
            self.end()
            raise Finding("confluxd has ended")
        self.control.put(3 + self.control.get(0), passed)

    def run_client(self, fault, n):
        self.control.arm(fault, n)
        p = subprocess.run([self.args.conflux, "fetch", "acme/shop/prod/c.txt"],
                           capture_output=True, text=True, timeout=60,
                           env=dict(self.environment(), CONFLUX_TOKEN=self.token,
                                    CONFLUX_SERVER=f"http://127.0.0.1:{self.port}"))
        passed = self.control.disarm()
        right = p.returncode == 0 and p.stdout.split()[:1] == [str(self.published)]
        told = 0 < p.returncode < 64 and p.stderr.strip()
        if not right and not told or BAD.search(p.stderr):
            raise Finding(f"conflux: {p.returncode} {p.stdout[:100]} {p.stderr[-2000:]}")
        self.control.put(3 + self.control.get(0), passed)

    def run_crowd(self):
        """More connections than descriptors; writes, checkpoints and who was there
        before go on."""
        self.again()
        self.start(400)
        if not self.comes_up():
            raise Finding(f"with 400 descriptors: {self.said()[-2000:]}")
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        header = {"Authorization": f"Bearer {self.token}"}
        conn.request("GET", "/readyz", None, header)
        conn.getresponse().read()
        crowd = []
        for _ in range(600):
            s = socket.socket()
            s.settimeout(5)
            s.connect(("127.0.0.1", self.port))
            crowd.append(s)
        for _ in range(10):
            self.published += 1
            conn.request("POST", f"/api/v1/mgt/configs/{self.id}/publish", json.dumps(
                {"content": f"{self.published} " + "x" * 100000}), header)
            r = conn.getresponse()
            if r.read() and r.status != 200:
                raise Finding(f"publish in a crowd: {r.status}")
        # It takes a checkpoint, so it opens files.
        conn.request("POST", "/_cluster/backup", None, header)
        r = conn.getresponse()
        if len(r.read()) < 10000 or r.status != 200:
            raise Finding(f"no backup in a crowd: {r.status}, {self.said()[-2000:]}")
        for s in crowd:
            s.close()
        conn.close()
        self.fetch()
        if "allows fewer connections" not in self.said():
            raise Finding("nobody was told that there are few descriptors")
        self.end()


def run(world):
    world.start()
    if not world.comes_up():
        raise Finding(world.said()[-2000:])
    world.make()
    world.publish()
    for name, faults, one in (("work", f"{STREAMS}, {ACCEPTS}", world.run_work),
                              ("client", f"{STREAMS}, {CONNECTS}", world.run_client)):
        before = world.runs
        world.sweep(faults, one)
        print(f"- {name}: {world.runs - before} failures", flush=True)
    world.end()
    before = world.runs
    world.sweep(STARTS, world.run_start)
    print(f"- starts: {world.runs - before} failures", flush=True)
    world.run_crowd()
    print("- a crowd of clients")


def main():
    parser = argparse.ArgumentParser()
    for name in ("--confluxd", "--conflux", "--preload"):
        parser.add_argument(name, required=True)
    parser.add_argument("work")
    args = parser.parse_args()
    shutil.rmtree(args.work, ignore_errors=True)
    os.makedirs(args.work)
    world = World(args)
    try:
        run(world)
        return 0
    except (Finding, OSError, http.client.HTTPException) as e:
        print(f"FOUND: {e!r}\n{world.said()[-2000:]}")
        return 1
    finally:
        if world.proc and world.proc.poll() is None:
            world.proc.kill()


if __name__ == "__main__":
    sys.exit(main())
