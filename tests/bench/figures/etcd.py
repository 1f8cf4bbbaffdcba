"""etcd, and gRPC calls to it."""
import json
import shutil
import struct
import tempfile
import urllib.request

from . import base
from .base import free_port, start, stop, until
from .clients import GRPC, calls, calls_args


# Of a put's value that fits what tests/bench/calls.c sends, and which fills bbolt's pages.
LARGE = 65000
# Entries that stay in its log, and its memory, when a snapshot has cut that; not to be set.
KEPT = 5000


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


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
        self.certs, self.flags = certs, flags
        self.peers, self.urls, self.args, self.processes = [], [], [], []
        for _ in range(n):
            self.address()
        for i in range(n):
            self.args.append(self.args_of(i))
            self.processes.append(None)
            self.start(i)
        for url in self.urls:
            until("etcd", lambda: self.is_healthy(url))
        self.url = next(url for url in self.urls if self.leads(url))
        key = b"shop/prod/c.txt"
        self.body = framed(self.dir + "/put",
                           field(1, key) + field(2, b"0" * 240 + b"#" * 16))
        self.ranges = {
            "linearizable": framed(self.dir + "/linearizable", field(1, key)),
            "serializable": framed(self.dir + "/serializable",
                                   field(1, key) + b"\x38\x01")}

    def address(self):
        scheme = "https" if self.certs else "http"
        self.peers.append(f"{scheme}://127.0.0.1:{free_port()}")
        self.urls.append(f"http://127.0.0.1:{free_port()}")

    def args_of(self, i):
        args = ["etcd", "--name", f"n{i}", "--data-dir", f"{self.dir}/data{i}",
                "--listen-client-urls", self.urls[i],
                "--advertise-client-urls", self.urls[i],
                "--listen-peer-urls", self.peers[i],
                "--initial-advertise-peer-urls", self.peers[i],
                "--initial-cluster",
                ",".join(f"n{k}={peer}" for k, peer in enumerate(self.peers)),
                *self.flags]
        if self.certs:
            cert, key, ca = self.certs.of(i + 1)
            args += ["--peer-cert-file", cert, "--peer-key-file", key,
                     "--peer-trusted-ca-file", ca, "--peer-client-cert-auth"]
        return args

    def start(self, i):
        self.processes[i] = start(self.args[i])

    def add(self, learner=False):
        """The number of a new member, which was started."""
        self.address()
        self.ask(self.url, "cluster/member/add",
                 {"peerURLs": [self.peers[-1]], "isLearner": learner})
        self.args.append(self.args_of(len(self.args))
                         + ["--initial-cluster-state", "existing"])
        self.processes.append(None)
        self.start(len(self.args) - 1)
        return len(self.args) - 1

    @staticmethod
    def is_healthy(url):
        return b"true" in urllib.request.urlopen(url + "/health").read()

    @staticmethod
    def ask(url, path, body=None, timeout=None):
        req = urllib.request.Request(url + "/v3/" + path,
                                     json.dumps(body or {}).encode())
        with urllib.request.urlopen(req, timeout=timeout) as answer:
            return json.load(answer)

    def status(self, url):
        return self.ask(url, "maintenance/status")

    def leads(self, url):
        status = self.status(url)
        return status.get("leader") == status["header"]["member_id"]

    def leader(self):
        """Its number."""
        return until("a leader of etcd", lambda: next(
            ([i] for i, url in enumerate(self.urls) if self.leads(url)), None))[0]

    def applied(self, i):
        return int(self.status(self.urls[i]).get("raftAppliedIndex", 0))

    def index(self):
        return int(self.status(self.url)["raftIndex"])

    def call(self, in_flight, method, body, count=0):
        """(calls a second, p99 in microseconds); 'count' of them, or for the time of
        a run."""
        return calls(self.url, "/etcdserverpb.KV/" + method, in_flight, body,
                     GRPC, count=count)

    def got_snapshot(self, i):
        """Of another member."""
        with urllib.request.urlopen(self.urls[i] + "/metrics") as answer:
            return b"\netcd_network_snapshot_receive_success{" in answer.read()

    def puts_args(self, in_flight, seconds):
        """A program that puts for so long, and says more of it."""
        return calls_args(self.url, "/etcdserverpb.KV/Put", in_flight, seconds,
                          self.body, GRPC)

    def fill(self, mib):
        """So much of state that its log does not hold any more: keys of 65,000 bytes,
        and as many small puts behind them as its log keeps."""
        body = framed(self.dir + "/large", field(1, b"#" * 16) + field(2, b"0" * LARGE))
        self.call(64, "Put", body, (mib << 20) // LARGE + 1)
        self.call(64, "Put", self.body, 3 * KEPT)

    def reads(self, in_flight, kind):
        return self.call(in_flight, "Range", self.ranges[kind])

    def puts(self, in_flight):
        """(puts a second, p99) by gRPC, so many under way."""
        before = self.index()
        rate, p99 = self.call(in_flight, "Put", self.body)
        done = self.index() - before
        if done < 0.9 * rate * base.SECONDS:
            raise SystemExit(f"bench: etcd stored {done} of "
                             f"{rate * base.SECONDS:.0f} puts")
        return rate, p99

    def close(self):
        for p in self.processes:
            stop(p)
        shutil.rmtree(self.dir, ignore_errors=True)
