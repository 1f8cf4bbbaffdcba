"""Watches by a client's certificate that ends soon, over WebSocket and gRPC; for tls.sh.

    certificate.py URL FOLDER CERTIFICATE
"""
import json
import signal
import ssl
import sys
import urllib.parse

import grpc
import websocket

signal.alarm(60)
url, folder, name = sys.argv[1:]


def read(file):
    with open(f"{folder}/{file}", "rb") as f:
        return f.read()


socket = websocket.create_connection(
    url.replace("https", "wss") + "/api/v1/ws", timeout=60, suppress_origin=True,
    sslopt={"ca_certs": folder + "/ours.pem", "certfile": f"{folder}/{name}.pem",
            "keyfile": f"{folder}/{name}.key", "cert_reqs": ssl.CERT_REQUIRED})
channel = grpc.secure_channel(
    urllib.parse.urlsplit(url).netloc,
    grpc.ssl_channel_credentials(read("ours.pem"), read(name + ".key"),
                                 read(name + ".pem")))
socket.send(json.dumps({"type": "subscribe", "id": "a", "prefixes": ["acme/"]}))
# WatchRequest: prefixes is 2, from_now 5.
call = channel.unary_stream("/conflux.v1.WatcherService/Watch", request_serializer=None,
                            response_deserializer=None)(b"\x12\x05acme/\x28\x01",
                                                        timeout=60)
next(call)
assert json.loads(socket.recv())["type"] == "subscribed"
while (m := json.loads(socket.recv()))["type"] == "bookmark":
    pass
assert (m["type"], m["reason"], m["status"]) == ("error", "denied", 401), m
try:
    while True:
        next(call)
except grpc.RpcError as e:
    assert e.code() == grpc.StatusCode.UNAUTHENTICATED, e
