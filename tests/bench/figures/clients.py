"""Clients that make load over HTTP/1."""
import re

from . import base


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
