"""A Prometheus server and a webhook that judges, for verdicts.sh.

    judges.py DIR: its port is in DIR/port.  GET /api/v1/query is answered by the number
    in DIR/value (nothing there: status 503), and the query is added to DIR/queries.
    POST /judge is answered by what DIR/verdict says, and DIR/asked gets a line: `good`
    or `bad`, by the signature, and the body; while there is DIR/slow nobody is answered.
"""
import hashlib
import hmac
import http.server
import json
import os
import sys
import time
import urllib.parse

folder = sys.argv[1]


def read(name):
    try:
        return open(os.path.join(folder, name)).read().strip()
    except FileNotFoundError:
        return None


def add(name, line):
    with open(os.path.join(folder, name), "a") as f:
        f.write(line + "\n")


class Judge(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def say(self, status, body):
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        value = read("value")
        add("queries", urllib.parse.parse_qs(query).get("query", [""])[0])
        if path != "/prom/api/v1/query" or value is None:
            self.say(503, "{}")
            return
        self.say(200, json.dumps({"status": "success", "data": {
            "resultType": "vector",
            "result": [{"metric": {}, "value": [1.5, value]}]}}))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        signed = "%s.%s.%s" % (self.headers["X-Conflux-Id"],
                               self.headers["X-Conflux-Timestamp"], body)
        want = "sha256=" + hmac.new(bytes.fromhex(read("judge.key")), signed.encode(),
                                    hashlib.sha256).hexdigest()
        given = self.headers.get("X-Conflux-Signature-256", "").split(",")[0]
        if "specversion" not in body:
            add("asked", ("good " if hmac.compare_digest(want, given) else "bad ") + body)
        while read("slow") is not None:
            time.sleep(0.02)
        self.say(200, read("verdict") or "{}")


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Judge)
with open(os.path.join(folder, "port.new"), "w") as f:
    f.write(str(server.server_port))
os.replace(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
server.serve_forever()
