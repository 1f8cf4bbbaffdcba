"""A configuration that is fetched, beside nginx and etcd's gateway."""
import base64
import json
import os
import tempfile
import urllib.request

from . import base
from .base import (
    alternate, free_port, processor_us, report, start, stop, until)
from .certs import Certs
from .clients import GRPC, calls, gets, requests, wrk
from .conflux import Conflux
from .etcd import Etcd, field, framed

NGINX = """worker_processes 1;
error_log {dir}/error.log;
pid {dir}/pid;
daemon off;
events {{ worker_connections 4096; }}
http {{
	access_log off;
	default_type text/plain;
	keepalive_requests 1000000000;
	http2_max_requests 1000000000;
	sendfile on;
	tcp_nopush on;
	open_file_cache max=100;
	client_body_temp_path {dir}/1; proxy_temp_path {dir}/2;
	fastcgi_temp_path {dir}/3; uwsgi_temp_path {dir}/4;
	scgi_temp_path {dir}/5;
	ssl_certificate {cert}; ssl_certificate_key {key};
	ssl_protocols TLSv1.2 TLSv1.3;
	server {{ listen 127.0.0.1:{http1}; root {dir}/html; }}
	server {{ listen 127.0.0.1:{http2} http2; root {dir}/html; }}
	server {{ listen 127.0.0.1:{tls} ssl; root {dir}/html; }}
}}
"""
SIZES = {"216": 216, "16k": 16 * 1024}
# Where a configuration is fetched; a file of nginx is there too.
PATH = "api/v1/fetch/config/acme/shop/prod/"
# A run of this many is short, because there are many of them.
SECONDS = 2


class Nginx:
    """The same bytes as files from its open file cache, without a log."""

    def __init__(self, work, cert, key):
        self.dir = tempfile.mkdtemp(dir=work)
        os.chmod(self.dir, 0o755)
        os.chmod(work, 0o755)
        os.makedirs(f"{self.dir}/html/{PATH}")
        for name, size in SIZES.items():
            with open(f"{self.dir}/html/{PATH}{name}", "w") as f:
                f.write("x" * (size - 1) + "\n")
        ports = {name: free_port() for name in ("http1", "http2", "tls")}
        with open(self.dir + "/nginx.conf", "w") as f:
            f.write(NGINX.format(dir=self.dir, cert=cert, key=key, **ports))
        self.process = start(["nginx", "-c", self.dir + "/nginx.conf"])
        self.urls = {name: f"http{'s' if name == 'tls' else ''}://127.0.0.1:{port}/{PATH}"
                     for name, port in ports.items()}
        until("nginx", lambda: urllib.request.urlopen(
            self.urls["http1"] + "216").read())

    def pids(self):
        """Its master and its worker."""
        master = self.process.pid
        with open(f"/proc/{master}/task/{master}/children") as f:
            return [master, *map(int, f.read().split())]

    def close(self):
        stop(self.process)


def etag_of(url, token=None, tls=None):
    req = urllib.request.Request(url)
    if token:
        req.add_header("Authorization", "Bearer " + token)
    with urllib.request.urlopen(req, context=tls) as answer:
        return answer.headers["ETag"]


def headers_of(token=None, etag=None):
    out = []
    if token:
        out += ["-H", "Authorization: Bearer " + token]
    if etag:
        out += ["-H", "If-None-Match: " + etag]
    return out


class Fetching:
    """A confluxd that has what nginx has, and the URLs of both."""

    def __init__(self, work, flags=(), ca=None):
        # One loop, as nginx has one worker.
        self.c = Conflux(work, ["--server-loops", "1", *flags], ca=ca)
        for name, size in SIZES.items():
            self.c.config(name, "x" * (size - 1) + "\n")
        self.url = f"{self.c.url}/{PATH}"

    def both(self, load, nginx, protocol, name, connections, status, load_nginx=None):
        """What each answers, as medians, to the same request: nginx is sent the path and
        the token too, and passes over the token.  Tags are each one's own."""
        etags = [None, None]
        urls = self.url + name, nginx.urls[protocol] + name
        if status == 304:
            etags = [etag_of(urls[0], self.c.token, self.c.tls),
                     etag_of(nginx.urls["http1"] + name)]
        ours = headers_of(self.c.token, etags[0])
        theirs = headers_of(self.c.token, etags[1])
        return alternate(lambda: load(urls[0], connections, ours, status),
                         lambda: (load_nginx or load)(urls[1], connections, theirs,
                                                      status))


def http1(url, connections, headers, status):
    answer = requests(url, connections, headers[1::2], status)
    return answer["rate"], answer["p99_us"]


def http2(url, connections, headers, status):
    """Eight or fewer under way a connection."""
    streams = max(1, min(8, 512 // connections))
    return gets(url, connections, connections * streams, headers[1::2], status)


def by_wrk(url, connections, headers, _status):
    return wrk(url, connections, headers=headers)


def rows(f, protocol, load, nginx, connections, goal, more=""):
    for n in connections:
        for name in SIZES:
            for status in (200, 304):
                a, b = f.both(load, nginx, protocol, name, n, status)
                report(f"fetch_{protocol}_{name}_{status}_{n}c{more}", a[0],
                       "requests/s", "nginx", b[0], goal and f"ratio >= {goal}",
                       goal and a[0] >= goal * b[0],
                       note=f"p99 {a[1]:.0f} us, nginx {b[1]:.0f}"
                       if len(a) > 1 else "")


def costs(pids):
    """A load that answers what a request took of a processor at the server, us."""
    def load(url, connections, headers, status):
        before = processor_us(pids)
        answer = requests(url, connections, headers[1::2], status)
        return ((processor_us(pids) - before) / answer["answered"],)
    return load


def processor(nginx, work):
    """Beside what a client lets through: what the servers take for it.
    Ours does not look for input while it has nothing to do, as that would count."""
    f = Fetching(work, ["--server-spin", "0"])
    ours, theirs = costs([f.c.process.pid]), costs(nginx.pids())
    for n in (8, 64, 256, 1024):
        for name in SIZES:
            for status in (200, 304):
                a, b = f.both(ours, nginx, "http1", name, n, status, theirs)
                report(f"fetch_http1_{name}_{status}_{n}c_cpu", a[0],
                       "us of a processor a request", "nginx", b[0], "ratio <= 0.83",
                       a[0] <= 0.83 * b[0])
    f.c.close()


def fresh(f, nginx):
    """No two requests are the same: a trace of its own in each, or something else."""
    more = {"traced": f"traceparent: 00-{'#' * 32}-{'#' * 16}-01",
            "fresh": f"X-Request-Id: {'#' * 32}"}
    for name, field in more.items():
        def load(url, connections, headers, status):
            return http1(url, connections, [*headers, "-H", field], status)
        for status in (200, 304):
            a, b = f.both(load, nginx, "http1", "216", 64, status)
            report(f"fetch_http1_216_{status}_64c_{name}", a[0], "requests/s", "nginx",
                   b[0], "ratio >= 1.2", a[0] >= 1.2 * b[0],
                   note=f"p99 {a[1]:.0f} us, nginx {b[1]:.0f}")


def gateway(f, work):
    """etcd's own HTTP/1.1 and JSON."""
    etcd = Etcd(work)
    key = base64.b64encode(b"shop/prod/c.txt").decode()
    value = base64.b64encode(b"x" * 216).decode()
    etcd.ask(etcd.url, "kv/put", {"key": key, "value": value})
    script = etcd.dir + "/range.lua"
    with open(script, "w") as out:
        out.write('wrk.method = "POST"\nwrk.body = \''
                  + json.dumps({"key": key, "serializable": True}) + "'\n")
    a, b = alternate(
        lambda: wrk(f.url + "216", 64, f.c.token),
        lambda: wrk(etcd.url + "/v3/kv/range", 64, script=script))
    report("fetch_gateway_64c", a[0], "requests/s", "etcd's gateway", b[0],
           "ratio >= 10", a[0] >= 10 * b[0])
    etcd.close()


def grpc(f, work):
    """A call of ConfigService beside one of etcd's KV."""
    etcd = Etcd(work)
    etcd.puts(1)
    address = b"".join(field(i + 1, part) for i, part in
                       enumerate((b"acme", b"shop", b"prod", b"216")))
    body = framed(f.c.dir + "/fetch.grpc", field(1, address))
    a, b = alternate(
        lambda: calls(f.c.url, "/conflux.v1.ConfigService/FetchConfig", 64, body,
                      GRPC, f.c.token),
        lambda: etcd.reads(64, "serializable"))
    report("fetch_grpc_64", a[0], "calls/s", "etcd serializable range", b[0])
    etcd.close()


def fetch(work):
    cert, key, ca = Certs(work).of(1)
    usual, base.SECONDS = base.SECONDS, SECONDS
    nginx, f = Nginx(work, cert, key), Fetching(work)
    wrk(f.url + "216", 64, f.c.token), wrk(nginx.urls["http1"] + "216", 64)  # warm
    rows(f, "http1", http1, nginx, (1, 8, 64, 256, 1024), 1.2)
    rows(f, "http1", by_wrk, nginx, (64,), None, "_wrk")
    fresh(f, nginx)
    processor(nginx, work)
    rows(f, "http2", http2, nginx, (1, 64, 1024), 1.0)
    gateway(f, work)
    grpc(f, work)
    f.c.close()
    f = Fetching(work, ["--tls-cert-file", cert, "--tls-key-file", key], ca)
    rows(f, "tls", by_wrk, nginx, (64,), 1.0)
    f.c.close()
    nginx.close()
    base.SECONDS = usual
