"""WebSocket clients for tests/scenario/watch.sh: two libraries that know nothing of
each other (python3-websocket, python3-websockets), bare frames on a socket, and
streams of HTTP/2 (python3-h2).

	sockets.py STORY    of those below; URL and TOKEN in the environment
"""
import asyncio
import base64
import json
import os
import select
import socket
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import h2.config
import h2.connection
import h2.events
import h2.settings
import websocket
import websockets

URL = os.environ["URL"]
TOKEN = os.environ["TOKEN"]
WS = URL.replace("http://", "ws://") + "/api/v1/ws"
HOST = urllib.parse.urlsplit(URL)
BEARER = {"Authorization": "Bearer " + TOKEN}


def ask(method, path, body=None):
    q = urllib.request.Request(URL + path, method=method, headers=BEARER,
                               data=json.dumps(body).encode() if body else None)
    with urllib.request.urlopen(q, timeout=60) as answer:
        return json.load(answer)


def publish(name, content):
    """Makes it where it is not there; it is live when this returns."""
    try:
        ask("POST", "/api/v1/mgt/configs", {
            "tenant": "acme", "application": "shop", "environment": "prod",
            "name": name, "format": "text", "content": content})
    except urllib.error.HTTPError as e:
        assert e.code == 409, e.read()
        at = ask("GET", "/api/v1/mgt/configs?address=acme/shop/prod/" + name)
        ask("POST", "/api/v1/mgt/configs/" + at["id"] + "/publish",
            {"content": content})


def want(got, **members):
    for name, value in members.items():
        assert got.get(name) == value, (name, value, got)
    return got


# ---- the first library ----

class Sync:
    def __init__(self, **more):
        self.ws = websocket.create_connection(WS, timeout=60, **more)

    def say(self, **message):
        self.ws.send(json.dumps(message))

    def hear(self, bookmarks=False):
        """The next message; a bookmark may come whenever it is quiet."""
        while True:
            text = self.ws.recv()
            m = json.loads(text) if text else None
            if bookmarks or not m or m["type"] != "bookmark":
                return m

    def closed(self):
        """The code that it is closed with."""
        while True:
            op, data = self.ws.recv_data()
            if op == websocket.ABNF.OPCODE_CLOSE:
                return struct.unpack("!H", data[:2])[0] if len(data) >= 2 else 1005


def sync_story():
    c = Sync(header=BEARER)
    c.say(type="subscribe", id="one", keys=["acme/shop/prod/a"])
    rev = want(c.hear(), type="subscribed", id="one")["revision"]
    c.say(type="subscribe", id="all", prefixes=["acme/"], labels={"zone": "eu"})
    want(c.hear(), type="subscribed", id="all")
    publish("a", "sync 1")
    got = sorted((c.hear(), c.hear()), key=lambda m: m["id"])
    for m, name in zip(got, ("all", "one")):
        want(m, type="change", id=name, key="acme/shop/prod/a", end=True,
             deleted=False, format="text", size=6)
        assert m["revision"] > rev
    # One of them goes; the other is told alone.
    c.say(type="unsubscribe", id="all")
    want(c.hear(), type="unsubscribed", id="all")
    publish("a", "sync 2")
    m = want(c.hear(), type="change", id="one", version=got[1]["version"] + 1)
    # What was missed comes by its revision, what is of others does not.
    c.say(type="subscribe", id="again", keys=["acme/shop/prod/a"], since=rev)
    want(c.hear(), type="subscribed", id="again", revision=rev)
    want(c.hear(), type="change", id="again", version=got[1]["version"])
    want(c.hear(), type="change", id="again", version=m["version"])
    # Bookmarks: something else happens, and a heartbeat passes.
    publish("other", "sync 3")
    while (b := c.hear(bookmarks=True))["revision"] <= m["revision"]:
        pass
    want(b, type="bookmark")
    c.ws.close(status=1000)


def refusals():
    c = Sync(header=BEARER)
    for message, status in (
            ({"type": "subscribe", "id": "x"}, 400),
            ({"type": "subscribe", "id": "x", "keys": ["a"]}, 400),
            ({"type": "subscribe", "id": "x", "keys": "acme/shop/prod/a"}, 400),
            ({"type": "subscribe", "id": "x", "prefixes": [1]}, 400),
            ({"type": "subscribe", "id": "x", "prefixes": [""], "labels": {"a": 1}}, 400),
            ({"type": "subscribe", "id": "x", "prefixes": [""], "since": "no"}, 400),
            ({"type": "subscribe", "id": "", "prefixes": [""]}, 400),
            ({"type": "subscribe", "id": "x" * 65, "prefixes": [""]}, 400),
            ({"type": "subscribe", "prefixes": [""]}, 400),
            ({"type": "unsubscribe", "id": "x"}, 404),
            ({"type": "what", "id": "x"}, 400),
            ({"type": "hello", "token": "cfx_another"}, 409),
            ([1], 400)):
        c.ws.send(json.dumps(message))
        want(c.hear(), type="error", status=status)
    c.ws.send("{")
    want(c.hear(), type="error", status=400)
    c.say(type="subscribe", id="x", prefixes=["acme/"])
    want(c.hear(), type="subscribed", id="x")
    c.say(type="subscribe", id="x", prefixes=["acme/"])
    want(c.hear(), type="error", id="x", status=409)
    # A revision that is too old for what is kept, and one that is too new.
    c.say(type="subscribe", id="old", prefixes=[""], since=0)
    want(c.hear(), type="error", id="old", status=410)
    c.say(type="subscribe", id="early", prefixes=[""], since=1 << 40)
    want(c.hear(), type="error", id="early", status=504, reason="early")
    # As many keys as a connection may follow, and one more; room that was given up
    # is there again.
    many = [f"a/b/c/{i}" for i in range(1000)]
    for i in range(19):
        c.say(type="subscribe", id=f"many{i}", keys=many)
        want(c.hear(), type="subscribed")
    c.say(type="subscribe", id="rest", keys=many[1:])
    want(c.hear(), type="subscribed")
    c.say(type="subscribe", id="more", prefixes=["a/"])
    want(c.hear(), type="error", id="more", status=400)
    c.say(type="unsubscribe", id="many7")
    want(c.hear(), type="unsubscribed")
    c.say(type="subscribe", id="more", keys=many)
    want(c.hear(), type="subscribed")
    # It is as good as before.
    publish("a", "refusals")
    want(c.hear(), type="change", id="x")
    c.ws.send_binary(b"{}")
    assert c.closed() == 1003


def still():
    """It has not changed since STILL, which is compacted."""
    c = Sync(header=BEARER)
    c.say(type="subscribe", id="x", keys=["acme/shop/prod/still"],
          since=int(os.environ["STILL"]))
    want(c.hear(), type="subscribed", id="x")
    print("ready", flush=True)
    want(c.hear(), type="change", id="x", version=2)


def tokens():
    # A browser has no header: the first message brings the token.
    c = Sync(origin=URL)
    c.say(type="hello", token=TOKEN)
    assert want(c.hear(), type="hello")["revision"] > 0
    c.say(type="subscribe", id="x", prefixes=[""])
    want(c.hear(), type="subscribed", id="x")
    c.ws.close()
    # A wrong one, or none.
    for first in ({"type": "hello", "token": "cfx_no"}, {"type": "hello"},
                  {"type": "subscribe", "id": "x", "prefixes": [""]}):
        c = Sync()
        c.ws.send(json.dumps(first))
        want(c.hear(), type="error", status=401)
        assert c.closed() == 1008
    for header, more, status in (({"Authorization": "Bearer cfx_no"}, {}, 401),
                                 (BEARER, {"origin": "http://evil.example"}, 403)):
        try:
            Sync(header=header, **more)
            raise AssertionError("it was let in")
        except websocket.WebSocketBadStatusException as e:
            assert e.status_code == status, e.status_code
    Sync(header=BEARER, origin="http://good.example").ws.close()


def revoked():
    """TOKEN2 is revoked once this says that it is ready."""
    c = Sync(header={"Authorization": "Bearer " + os.environ["TOKEN2"]})
    c.say(type="subscribe", id="x", prefixes=["acme/"])
    want(c.hear(), type="subscribed")
    print("ready", flush=True)
    want(c.hear(), type="error", id="x", reason="denied", status=401)
    assert c.closed() == 1008


def full():
    """The subject has as many watches as it may have: the connection stays."""
    c = Sync(header=BEARER)
    for name in ("x", "y"):
        c.say(type="subscribe", id=name, prefixes=["acme/"])
        want(c.hear(), type="error", id=name, status=429, retry_after=1)
    c.say(type="unsubscribe", id="x")
    want(c.hear(), type="error", id="x", status=404)


def tenant():
    """The tenant blue is asked for more often than it may be; a prefix is nobody's."""
    c = Sync(header=BEARER)
    for i in range(100):
        c.say(type="subscribe", id=str(i), keys=["blue/shop/prod/main"])
        if (m := c.hear())["type"] == "error":
            break
    want(m, id=str(i), status=429, retry_after=1)
    assert "tenant blue" in m["detail"], m
    c.say(type="subscribe", id="all", prefixes=["blue/"])
    want(c.hear(), type="subscribed", id="all")


def guess():
    """Its network has guessed too often: so says hello, and when to come again.  HTTP says
    the same, and time goes on between the two."""
    c = Sync()
    c.say(type="hello", token="wrong")
    m = want(c.hear(), type="error", status=429)
    assert c.closed() == 1008
    wait = int(os.environ["WAIT"])
    assert 0 < m["retry_after"] <= wait, (wait, m)


def overloaded():
    """Says that it is there, and subscribes until a line comes or it is told to wait."""
    c = Sync(header=BEARER)
    print("open", flush=True)
    i = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        i += 1
        c.say(type="subscribe", id=str(i), prefixes=["acme/"])
        if (m := c.hear())["type"] == "error":
            want(m, id=str(i), status=503, code="busy")
            assert 1 <= m["retry_after"] <= 3, m
            return
        want(m, type="subscribed", id=str(i))
        c.say(type="unsubscribe", id=str(i))
        want(c.hear(), type="unsubscribed", id=str(i))
    raise SystemExit("%d watches were let in" % i)


def foreign():
    """TOKEN is of acme alone; since SINCE acme and the bank have published."""
    c = Sync(header=BEARER)
    c.say(type="subscribe", id="key", keys=["bank/vault/prod/" + os.environ["MARK"]])
    want(c.hear(), type="error", id="key", status=403)
    # A prefix names what there may be: it is let in, and told nothing.
    since = int(os.environ["SINCE"])
    c.say(type="subscribe", id="bank", prefixes=["bank/"], since=since)
    want(c.hear(), type="subscribed", id="bank")
    c.say(type="subscribe", id="all", prefixes=[""], since=since)
    want(c.hear(), type="subscribed", id="all")
    heard = c.hear()
    want(heard, type="change", id="all")
    assert "bank" not in json.dumps(heard), heard
    assert "acme/shop/prod/app.txt" in json.dumps(heard), heard


def bound():
    """TOKEN speaks for the instances web-* and db-1; who is connected is told by it, too."""
    def connected():
        return [i["instance"] for i in ask("GET", "/api/v1/fleet")["instances"]]

    # The connection is there; it is not that of the instance that it names.
    nobody = Sync(header=dict(BEARER, **{"X-Conflux-Instance": "web"}))
    nobody.say(type="subscribe", id="nobody", keys=["acme/shop/prod/app.txt"])
    want(nobody.hear(), type="subscribed", id="nobody")
    c = Sync(header=dict(BEARER, **{"X-Conflux-Instance": "web-7"}))
    c.say(type="subscribe", id="mine", keys=["acme/shop/prod/app.txt"])
    want(c.hear(), type="subscribed", id="mine")
    c.say(type="subscribe", id="other", keys=["acme/shop/prod/app.txt"], instance="web")
    want(c.hear(), type="error", id="other", status=403)
    c.say(type="subscribe", id="db", keys=["acme/shop/prod/app.txt"], instance="db-1")
    want(c.hear(), type="subscribed", id="db")
    until = time.monotonic() + 20
    while len(connected()) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert connected() == ["db-1", "web-7"], connected()


def drained():
    c = Sync(header=BEARER)
    quiet = Sync(header=BEARER)
    for i in range(3):
        c.say(type="subscribe", id=str(i), prefixes=["acme/"])
        want(c.hear(), type="subscribed")
    print("ready", flush=True)
    want(c.hear(), type="bye", reason="draining")
    assert c.closed() == 1001
    want(quiet.hear(), type="bye", reason="draining")
    assert quiet.closed() == 1001


# ---- the second library ----

async def hear(ws):
    while True:
        m = json.loads(await asyncio.wait_for(ws.recv(), 10))
        if m["type"] != "bookmark":
            return m


async def other_library():
    async with websockets.connect(WS, extra_headers=BEARER,
                                  subprotocols=["x", "conflux.v1"]) as ws:
        assert ws.subprotocol == "conflux.v1"
        await asyncio.wait_for(await ws.ping(b"are you there"), 10)
        # In pieces.
        text = json.dumps({"type": "subscribe", "id": "ü", "prefixes": ["acme/"]},
                          ensure_ascii=False)
        await ws.send(iter([text[:3], text[3:33], "", text[33:]]))
        want(await hear(ws), type="subscribed", id="ü")
        await asyncio.to_thread(publish, "b", "other 1")
        want(await hear(ws), type="change", id="ü", key="acme/shop/prod/b")
        # Many on one connection: each is told, none of what is not its own.
        for i in range(1000):
            await ws.send(json.dumps({"type": "subscribe", "id": f"k{i}",
                                      "keys": [f"acme/shop/prod/n{i}",
                                               "acme/shop/prod/many"]}))
        for i in range(1000):
            want(await hear(ws), type="subscribed", id=f"k{i}")
        await asyncio.to_thread(publish, "many", "other 2")
        ids = set()
        while len(ids) < 1001:
            m = want(await hear(ws), type="change", key="acme/shop/prod/many")
            assert m["id"] not in ids, m
            ids.add(m["id"])
    assert ws.close_code == 1000
    # Too big.
    async with websockets.connect(WS, extra_headers=BEARER) as ws:
        await ws.send("x" * 65537)
        try:
            await asyncio.wait_for(ws.recv(), 10)
        except websockets.ConnectionClosed:
            pass
        assert ws.close_code == 1009, ws.close_code


# ---- bare frames ----

def frame(opcode, data=b"", fin=1, rsv=0, mask=True):
    head = bytes([fin << 7 | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if len(data) < 126:
        head += bytes([bit | len(data)])
    elif len(data) < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", len(data))
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", len(data))
    if not mask:
        return head + data
    key = os.urandom(4)
    return head + key + bytes(b ^ key[i % 4] for i, b in enumerate(data))


def bare(headers=None, status=b"101"):
    s = socket.create_connection((HOST.hostname, HOST.port), 10)
    if headers is None:
        headers = ["Upgrade: websocket", "Connection: keep-alive, Upgrade",
                   "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " +
                   base64.b64encode(bytes(16)).decode()]
    s.sendall(("\r\n".join(["GET /api/v1/ws HTTP/1.1", "Host: " + HOST.netloc,
                            "Authorization: Bearer " + TOKEN] + headers) +
               "\r\n\r\n").encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = s.recv(4096)
        assert more, answer
        answer += more
    assert answer.split()[1] == status, answer
    return s, answer


def read_frame(s):
    def exactly(n):
        out = b""
        while len(out) < n:
            more = s.recv(n - len(out))
            assert more, "the connection ended"
            out += more
        return out
    head = exactly(2)
    assert not head[1] & 0x80, "the server masks"
    n = head[1]
    if n == 126:
        n, = struct.unpack("!H", exactly(2))
    elif n == 127:
        n, = struct.unpack("!Q", exactly(8))
    return head[0] & 15, exactly(n)


def frames():
    s, answer = bare()
    assert b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n" in answer
    # A ping between the pieces of a message, and byte by byte.
    text = json.dumps({"type": "subscribe", "id": "x", "prefixes": [""]}).encode()
    for b in (frame(1, text[:5], fin=0) + frame(9, b"ping") +
              frame(0, text[5:], fin=1)):
        s.sendall(bytes([b]))
    assert read_frame(s) == (10, b"ping")
    opcode, data = read_frame(s)
    assert opcode == 1 and json.loads(data)["type"] == "subscribed"
    s.sendall(frame(8, struct.pack("!H", 1000) + b"bye"))
    assert read_frame(s) == (8, struct.pack("!H", 1000))
    assert s.recv(1) == b"", "it does not end"
    for data, code in (
            (frame(1, b"{}", mask=False), 1002),
            (frame(1, b"{}", rsv=4), 1002),
            (frame(3, b"{}"), 1002),
            (frame(11), 1002),
            (frame(0, b"{}"), 1002),
            (frame(1, b"{", fin=0) + frame(1, b"}"), 1002),
            (frame(9, b"", fin=0), 1002),
            (frame(9, b"x" * 126), 1002),
            (frame(8, b"x"), 1002),
            (frame(8, struct.pack("!H", 1005)), 1002),
            (frame(8, struct.pack("!H", 999)), 1002),
            (frame(8, struct.pack("!H", 1000) + b"\xff"), 1007),
            (frame(1, b"\xff"), 1007),
            (frame(1, b"\xc3", fin=0) + frame(0, b"("), 1007),
            (frame(2, b"{}"), 1003),
            (frame(1, b"x" * 40000, fin=0) + frame(0, b"x" * 40000), 1009),
            (b"\x81\xff" + struct.pack("!Q", 1 << 40) + b"keykx", 1009),
            (b"\x81\xff" + b"\xff" * 8 + b"keykx", 1002)):
        s, _ = bare()
        s.sendall(data)
        opcode, got = read_frame(s)
        assert (opcode, got[:2]) == (8, struct.pack("!H", code)), (data[:20], got)
        s.close()
    # A close with nothing in it is answered with nothing in it.
    s, _ = bare()
    s.sendall(frame(8))
    assert read_frame(s) == (8, b"")
    # Not a WebSocket.
    key = "Sec-WebSocket-Key: " + base64.b64encode(bytes(16)).decode()
    bare(["X: y"], b"426")
    bare(["Upgrade: websocket", "Connection: Upgrade", key,
          "Sec-WebSocket-Version: 8"], b"426")
    bare(["Upgrade: websocket", "Connection: Upgrade",
          "Sec-WebSocket-Version: 13"], b"400")
    bare(["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: abc",
          "Sec-WebSocket-Version: 13"], b"400")


# ---- over HTTP/2 (RFC 8441), as streams of one connection ----

def http2():
    s = socket.create_connection((HOST.hostname, HOST.port), 10)
    c = h2.connection.H2Connection(config=h2.config.H2Configuration(
        header_encoding="utf-8", validate_outbound_headers=False))
    c.initiate_connection()
    got = {}

    def take():
        s.sendall(c.data_to_send())
        more = s.recv(65536)
        assert more, "the connection ended"
        for e in c.receive_data(more):
            if isinstance(e, h2.events.ResponseReceived):
                got[e.stream_id] = {"head": dict(e.headers), "data": b"", "end": False}
            elif isinstance(e, h2.events.DataReceived):
                got[e.stream_id]["data"] += e.data
                c.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
            elif isinstance(e, h2.events.StreamEnded):
                got[e.stream_id]["end"] = True

    def message(stream):
        while True:
            data = got[stream]["data"]
            if len(data) >= 2:
                n, at = data[1], 2
                if n == 126 and len(data) >= 4:
                    n, at = struct.unpack("!H", data[2:4])[0], 4
                if n < 126 or at == 4:
                    if len(data) >= at + n:
                        got[stream]["data"] = data[at + n:]
                        if b'"bookmark"' not in data[at:at + n]:
                            return data[0] & 15, data[at:at + n]
                        continue
            take()

    while h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL not in c.remote_settings:
        take()
    streams = [c.get_next_available_stream_id()]
    for i in range(3):
        stream = streams[0] + 2 * i
        c.send_headers(stream, [(":method", "CONNECT"), (":protocol", "websocket"),
                                (":scheme", "http"), (":authority", HOST.netloc),
                                (":path", "/api/v1/ws"),
                                ("sec-websocket-version", "13"),
                                ("authorization", "Bearer " + TOKEN)])
        while stream not in got:
            take()
        assert got[stream]["head"][":status"] == "200", got
        c.send_data(stream, frame(1, json.dumps(
            {"type": "subscribe", "id": str(i), "prefixes": ["acme/"]}).encode()))
        want(json.loads(message(stream)[1]), type="subscribed", id=str(i))
    publish("h2", "http2")
    for i in range(3):
        want(json.loads(message(streams[0] + 2 * i)[1]), type="change", id=str(i),
             key="acme/shop/prod/h2")
    # One of them is closed, the others go on.
    c.send_data(streams[0], frame(8, struct.pack("!H", 1000)))
    assert message(streams[0]) == (8, struct.pack("!H", 1000))
    while not got[streams[0]]["end"]:
        take()
    publish("h2", "http2 again")
    want(json.loads(message(streams[0] + 2)[1]), type="change", id="1")


STORIES = {"sync": sync_story, "refusals": refusals, "still": still, "tokens": tokens,
           "revoked": revoked, "drained": drained, "full": full, "guess": guess, "tenant": tenant,
           "overloaded": overloaded, "foreign": foreign, "bound": bound, "frames": frames,
           "http2": http2,
           "other": lambda: asyncio.run(other_library())}
STORIES[sys.argv[1]]()
