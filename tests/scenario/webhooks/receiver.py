"""Receivers of webhooks: over TLS and plain, each path with manners of its own.

receiver.py WORK: WORK/ports is written when it listens.  What comes to /x is a line of
WORK/came.x: right or wrong (by the manual's code and WORK/x.key), id, event, name.
"""
import http.server
import json
import os
import ssl
import sys
import threading

from verify import is_from_conflux

WORK = sys.argv[1]


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def note(self, name, body):
        path = os.path.join(WORK, name + ".key")
        key = open(path).read().strip() if os.path.exists(path) else "00"
        if os.path.exists(os.path.join(WORK, "old.key")) and name == "good":
            key = open(os.path.join(WORK, "old.key")).read().strip()
        event = json.loads(body)
        data = event["data"]
        good = is_from_conflux(key, self.headers, body) and \
            event["id"] == self.headers["X-Conflux-Id"] and \
            event["specversion"] == "1.0" and \
            self.headers["Content-Type"].startswith("application/cloudevents+json")
        with open(os.path.join(WORK, "came." + name), "a") as f:
            f.write("%s %s %s %s\n" % ("right" if good else "wrong", event["id"],
                                       data["event"], data.get("name", "-")))

    def reply(self, status, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def is_well(self, name):
        return os.path.exists(os.path.join(WORK, name + ".is-well"))

    def do_POST(self):
        name = self.path.lstrip("/")
        self.note(name, self.rfile.read(int(self.headers["Content-Length"])))
        if name == "slow":
            stopping.wait()
        elif name == "stuck":
            while not self.is_well(name) and not stopping.wait(0.02):
                pass
            self.reply(200)
        elif name == "redirects":
            self.reply(302, ("Location", "/secret"))
        elif name == "fails" and not self.is_well(name):
            self.reply(500)
        elif name == "gone" and not self.is_well(name):
            self.reply(410)
        else:
            self.reply(200)

    def do_GET(self):
        self.note(self.path.lstrip("/"), b'{"data": {"event": "GET"}, "id": "-"}')
        self.reply(200)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def finish_request(self, request, address):
        if self.context:
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, address)


def serve(context):
    server = Server(("127.0.0.1", 0), Receiver)
    server.context = context
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


stopping = threading.Event()
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(os.path.join(WORK, "cert.pem"), os.path.join(WORK, "key.pem"))
ports = "%d %d\n" % (serve(tls), serve(None))
with open(os.path.join(WORK, "ports.part"), "w") as f:
    f.write(ports)
os.rename(os.path.join(WORK, "ports.part"), os.path.join(WORK, "ports"))
stopping.wait()
