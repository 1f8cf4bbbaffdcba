#!/usr/bin/env python3
"""A page of ORIGIN subscribes over a WebSocket where nothing but the certificate in FOLDER
says who asks.  Prints the type of what it is told: subscribed, or error."""
import json
import sys

import websocket

url, origin, folder = sys.argv[1:]
ws = websocket.create_connection(
    url.replace("https:", "wss:") + "/api/v1/ws", origin=origin, timeout=10,
    sslopt={"ca_certs": folder + "/ca.pem", "certfile": folder + "/ops.pem",
            "keyfile": folder + "/ops.key"})
ws.send('{"type":"subscribe","id":"a","prefixes":[""]}')
said = "hello"
while said == "hello":
    said = json.loads(ws.recv())["type"]
print(said)
