"""Watchers that do not read; for watch_many.sh.

	slow.py KEY N VERSIONS    URL, TOKEN and SINCE in the environment

Beside the N streams there is a WebSocket with 100 watches, which are told more than
a kernel keeps for a socket.  Says `open` when all have begun; reads when a line
comes: every version up to VERSIONS has to be there, once, in order.
"""
import json
import os
import re
import socket
import sys
import urllib.parse

import websocket

WATCHES = 100
KEY, N, VERSIONS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
AT = urllib.parse.urlsplit(os.environ["URL"])


def begin():
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.settimeout(30)
    s.connect((AT.hostname, AT.port))
    s.sendall(f"GET /api/v1/watch?key={KEY}&since={os.environ['SINCE']} HTTP/1.1\r\n"
              f"Host: x\r\nAuthorization: Bearer {os.environ['TOKEN']}\r\n\r\n"
              .encode())
    assert s.recv(12) == b"HTTP/1.1 200"
    return s


def begin_socket():
    ws = websocket.create_connection(
        f"ws://{AT.netloc}/api/v1/ws", timeout=30,
        header={"Authorization": "Bearer " + os.environ["TOKEN"]})
    for i in range(WATCHES):
        ws.send(json.dumps({"type": "subscribe", "id": str(i), "keys": [KEY],
                            "since": int(os.environ["SINCE"])}))
    return ws


def messages(sock):
    """Of a server that sends texts alone, as the library is too slow for."""
    rest = b""
    while True:
        more = sock.recv(1 << 20)
        assert more, "the connection ended"
        rest += more
        at = 0
        while len(rest) - at >= 4:
            assert rest[at] in (0x81, 0x89), rest[at]
            head, n = 2, rest[at + 1]
            if n == 126:
                head, n = 4, rest[at + 2] << 8 | rest[at + 3]
            if len(rest) - at < head + n:
                break
            if rest[at] == 0x81:
                yield json.loads(rest[at + head:at + head + n])
            at += head + n
        rest = rest[at:]


def read_socket(ws):
    at = {str(i): 1 for i in range(WATCHES)}
    behind = WATCHES
    for m in messages(ws.sock):
        if m["type"] != "change":
            assert m["type"] in ("subscribed", "bookmark"), m
            continue
        assert m["version"] == at[m["id"]] + 1, (m, at[m["id"]])
        at[m["id"]] += 1
        behind -= m["version"] == VERSIONS
        if not behind:
            return


ws = begin_socket()
sockets = [begin() for _ in range(N)]
print("open", flush=True)
sys.stdin.readline()
for s in sockets:
    text = b""
    while b'"version":%d,' % VERSIONS not in text:
        more = s.recv(1 << 20)
        assert more, "the connection ended"
        text += more
    # Chunks may end within a number.
    text = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", text)
    got = [int(v) for v in re.findall(rb'"version":(\d+),', text)]
    # What comes behind the last that was asked for may be cut anywhere.
    assert got == list(range(2, 2 + len(got))), [
        pair for pair in zip(got, got[1:]) if pair[1] != pair[0] + 1][:5]
    assert got[-1] >= VERSIONS, got[-1]
read_socket(ws)
print("read", flush=True)
