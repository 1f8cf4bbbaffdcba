"""etcd, and gRPC calls to it by h2load."""
import json
import os
import re
import shutil
import struct
import tempfile
import urllib.request

from . import base
from .base import free_port, run, start, stop, until


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


# That etcd is asked over, with the calls in flight spread over them.  With one a
# call, or with a single one, it is slower (docs/benchmarks.md).
CONNECTIONS = 8


def framed(path, message):
    """A file with what a gRPC request has as its body."""
    with open(path, "wb") as f:
        f.write(b"\0" + struct.pack(">I", len(message)) + message)
    return path


def field(number, value):
    return varint(number << 3 | 2) + varint(len(value)) + value


class Etcd:
    """One server, or a cluster of n of which the leader is asked.  With certs
    its servers talk over mutual TLS to each other; clients never do."""

    def __init__(self, work, n=1, certs=None, flags=()):
        self.dir = tempfile.mkdtemp(dir=work)
        scheme = "https" if certs else "http"
        self.peers = peers = [f"{scheme}://127.0.0.1:{free_port()}" for _ in range(n)]
        self.urls = [f"http://127.0.0.1:{free_port()}" for _ in range(n)]
        self.args = []
        for i in range(n):
            self.args.append([
                "etcd", "--name", f"n{i}", "--data-dir", f"{self.dir}/data{i}",
                "--listen-client-urls", self.urls[i],
                "--advertise-client-urls", self.urls[i],
                "--listen-peer-urls", peers[i],
                "--initial-advertise-peer-urls", peers[i],
                "--initial-cluster",
                ",".join(f"n{k}={peer}" for k, peer in enumerate(peers)),
                *flags])
            if certs:
                cert, key, ca = certs.of(i + 1)
                self.args[i] += [
                    "--peer-cert-file", cert, "--peer-key-file", key,
                    "--peer-trusted-ca-file", ca, "--peer-client-cert-auth"]
        self.processes = [None] * n
        for i in range(n):
            self.start(i)
        for url in self.urls:
            until("etcd", lambda: self.is_healthy(url))
        self.url = next(url for url in self.urls if self.leads(url))
        key = b"shop/prod/c.txt"
        self.body = framed(self.dir + "/put",
                           field(1, key) + field(2, b"0" * 256))
        self.ranges = {
            "linearizable": framed(self.dir + "/linearizable", field(1, key)),
            "serializable": framed(self.dir + "/serializable",
                                   field(1, key) + b"\x38\x01")}

    def start(self, i):
        self.processes[i] = start(self.args[i])

    @staticmethod
    def is_healthy(url):
        return b"true" in urllib.request.urlopen(url + "/health").read()

    @staticmethod
    def ask(url, path, body=None):
        req = urllib.request.Request(url + "/v3/" + path,
                                     json.dumps(body or {}).encode())
        return json.load(urllib.request.urlopen(req))

    def status(self, url):
        return self.ask(url, "maintenance/status")

    def leads(self, url):
        status = self.status(url)
        return status["leader"] == status["header"]["member_id"]

    def index(self):
        return int(self.status(self.url)["raftIndex"])

    def call(self, connections, streams, method, body, count=0):
        """(calls a second, p99 in microseconds), 'streams' a connection; 'count'
        of them, or for the time of a run."""
        log = self.dir + "/log"
        if os.path.exists(log):
            os.unlink(log)
        text = run(["h2load", f"-c{connections}", f"-m{streams}", "-t1",
                    f"-n{count}" if count else f"-D{base.SECONDS}",
                    "-d", body, f"--log-file={log}",
                    "-H", "content-type: application/grpc",
                    "-H", "te: trailers",
                    self.url + "/etcdserverpb.KV/" + method])
        rate = float(re.search(r", ([\d.]+) req/s", text).group(1))
        if rate == 0 or " 0 2xx" in text:
            raise SystemExit("bench: etcd answered nothing:\n" + text)
        with open(log) as f:
            took = sorted(int(line.split("\t")[2]) for line in f)
        return rate, took[(len(took) - 1) * 99 // 100]

    def reads(self, in_flight, kind):
        connections = min(in_flight, CONNECTIONS)
        return self.call(connections, in_flight // connections, "Range",
                         self.ranges[kind])

    def puts(self, in_flight):
        """(puts a second, p99) by gRPC, so many under way."""
        connections = min(in_flight, CONNECTIONS)
        before = self.index()
        rate, p99 = self.call(connections, in_flight // connections, "Put",
                              self.body)
        done = self.index() - before
        if done < 0.9 * rate * base.SECONDS:
            raise SystemExit(f"bench: etcd stored {done} of "
                             f"{rate * base.SECONDS:.0f} puts")
        return rate, p99

    def close(self):
        for p in self.processes:
            stop(p)
        shutil.rmtree(self.dir, ignore_errors=True)
