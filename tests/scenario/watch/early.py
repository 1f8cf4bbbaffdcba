"""A node stops while watches wait for a revision that it has not: each encoding is told,
and the node stops in order.

    early.py PID    of the node; URL and TOKEN in the environment
"""
import http.client
import json
import os
import re
import signal
import sys
import time
import urllib.parse
import urllib.request

import grpc
import websocket

URL, TOKEN = os.environ["URL"], os.environ["TOKEN"]
HOST = urllib.parse.urlsplit(URL).netloc
BEARER = {"Authorization": "Bearer " + TOKEN}
CHANNEL = grpc.insecure_channel(HOST)
# WatchRequest: prefixes is 2, since 4.
EARLY = b"\x12\x00\x20\xff\xff\xff\x7f"
SINCE = 0xfffffff


def watchers():
    with urllib.request.urlopen(urllib.request.Request(URL + "/metrics", headers=BEARER),
                                timeout=10) as answer:
        return int(re.search(r"^conflux_watchers (\d+)$", answer.read().decode(),
                             re.M)[1])


def begin():
    """One of each; they are waited for two seconds, so all at once."""
    stream, poll = (http.client.HTTPConnection(HOST, timeout=20) for _ in range(2))
    socket = websocket.create_connection(URL.replace("http", "ws") + "/api/v1/ws",
                                         timeout=20, header=BEARER)
    grpc.channel_ready_future(CHANNEL).result(20)
    at = f"/api/v1/watch?prefix=&since={SINCE}"
    stream.request("GET", at, headers=BEARER)
    poll.request("GET", at + "&wait=30s", headers=BEARER)
    socket.send(json.dumps({"type": "subscribe", "id": "a", "prefixes": [""],
                            "since": SINCE}))
    call = CHANNEL.unary_stream("/conflux.v1.WatcherService/Watch",
                                request_serializer=None, response_deserializer=None)(
        EARLY, timeout=20, metadata=(("authorization", "Bearer " + TOKEN),))
    return stream, poll, socket, call


def are_there():
    """False: a slow machine let the two seconds pass."""
    since = time.monotonic()
    while watchers() < 4:
        if time.monotonic() - since > 1.5:
            return False
        time.sleep(0.01)
    return True


for _ in range(20):
    # Those of the try before are there until their two seconds are over.
    while watchers():
        time.sleep(0.01)
    stream, poll, socket, call = begin()
    if are_there():
        break
else:
    raise SystemExit("they do not wait")
os.kill(int(sys.argv[1]), signal.SIGTERM)

answer = stream.getresponse()
body = json.load(answer)
assert (answer.status, body["code"]) == (503, "unavailable"), (answer.status, body)
answer = poll.getresponse()
body = json.load(answer)
assert (answer.status, body) == (200, {"revision": SINCE, "events": []}), body
told = json.loads(socket.recv())
assert (told["type"], told["reason"]) == ("bye", "draining"), told
try:
    raise SystemExit(f"gRPC: {next(call)}")
except grpc.RpcError as e:
    assert e.code() == grpc.StatusCode.UNAVAILABLE, e
    assert "stopping" in e.details(), e
