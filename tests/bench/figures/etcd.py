"""etcd, and gRPC calls to it."""
import json
import shutil
import struct
import tempfile
import urllib.request

from . import base
from .base import free_port, start, stop, until
from .clients import GRPC, calls


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
                           field(1, key) + field(2, b"0" * 240 + b"#" * 16))
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

    def call(self, in_flight, method, body, count=0):
        """(calls a second, p99 in microseconds); 'count' of them, or for the time of
        a run."""
        return calls(self.url, "/etcdserverpb.KV/" + method, in_flight, body,
                     GRPC, count=count)

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
