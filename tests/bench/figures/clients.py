"""Clients that make load over HTTP."""
import json
import re

from . import base

GRPC = ("content-type:application/grpc", "te:trailers")
# Of HTTP/2, with the calls in flight spread over them.  With one a call, or with a
# single one, etcd is slower (docs/benchmarks.md).
CONNECTIONS = 8


def calls_args(url, path, in_flight, seconds, body="-", fields=(), count=0):
    """tests/bench/calls.c, for so long, or until 'count' calls were answered."""
    return [base.TOOLS + "/calls", url.split("//")[1], path, str(in_flight),
            str(min(in_flight, CONNECTIONS)),
            f"3600:{count}" if count else str(seconds), body, *fields]


def calls(url, path, in_flight, body="-", fields=(), token=None, count=0):
    """(a second, p99 in microseconds) of calls over HTTP/2: for the time of a run, or
    'count' of them."""
    if token:
        fields = (*fields, "authorization:Bearer " + token)
    answer = json.loads(base.run(calls_args(url, path, in_flight, base.SECONDS, body,
                                            fields, count)))
    return answer["rate"], answer["p99_us"]


def gets(url, connections, in_flight, fields, status):
    """What tests/bench/requests_h2.c says, as above: GETs over as many connections."""
    host, path = url.split("//")[1].split("/", 1)
    answer = json.loads(base.run([
        base.TOOLS + "/requests_h2", host, "/" + path, str(in_flight), str(connections),
        str(base.SECONDS), str(status), *fields]))
    return answer["rate"], answer["p99_us"]


def requests(url, connections, fields, status):
    """What tests/bench/requests.c says: GETs over HTTP/1.1, one under way a connection."""
    host, path = url.split("//")[1].split("/", 1)
    return json.loads(base.run([
        base.TOOLS + "/requests", host, "/" + path, str(connections), str(base.SECONDS),
        str(status), *fields]))


def wrk(url, connections, token=None, script=None, headers=()):
    """(requests a second, p99 in microseconds) of one run."""
    args = ["wrk", "-t1", f"-c{connections}", f"-d{base.SECONDS}", "--latency"]
    if token:
        args += ["-H", "Authorization: Bearer " + token]
    args += headers
    if script:
        args += ["-s", script]
    text = base.run(args + [url])
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit("bench: answers that are no success:\n" + text)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    return rate, float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]
