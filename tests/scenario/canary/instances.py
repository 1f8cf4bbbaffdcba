"""Instances of an application, for canary.sh: each follows one configuration at one of
the nodes, goes to the next when its own is gone, fetches what it is told of, and says
what came of it: content with the word `bad` is rejected, content with `crash` ends the
instance without a word.

    instances.py DIR KEY COUNT URL... : DIR/<name> holds what each has in force; a line
    of standard output for each change.  CONFLUX_TOKEN is the token.

The first quarter of them has the label ring=canary.
"""
import http.client
import json
import os
import sys
import threading
import time
import urllib.parse

folder, key, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
servers = [urllib.parse.urlsplit(u) for u in sys.argv[4:]]
token = {"Authorization": "Bearer " + os.environ["CONFLUX_TOKEN"]}
lock = threading.Lock()


def say(text):
    with lock:
        print("%.3f %s" % (time.time(), text), flush=True)


class Instance(threading.Thread):
    def __init__(self, i):
        super().__init__(daemon=True)
        self.name_ = "web-%02d" % i
        self.at = i % len(servers)
        self.labels = "label.ring=" + ("canary" if i < count // 4 else "main")
        self.headers = dict(token, **{"X-Conflux-Instance": self.name_})
        self.since = None
        self.etag = None
        self.have = ""

    def connect(self):
        s = servers[self.at % len(servers)]
        return http.client.HTTPConnection(s.hostname, s.port, timeout=40)

    def run(self):
        while True:
            try:
                if not self.follow():
                    return
            except (OSError, http.client.HTTPException, ValueError):
                pass
            # Its node is gone, or busy with an election.
            self.at += 1
            time.sleep(0.1)

    def fetch(self):
        c = self.connect()
        c.request("GET", "/api/v1/fetch/config/%s?%s" % (key, self.labels),
                  headers=self.headers)
        a = c.getresponse()
        body = a.read()
        if a.status != 200:
            raise ValueError("fetch: %d" % a.status)
        c.close()
        return (body.decode(), int(a.headers["X-Conflux-Version"]),
                a.headers["ETag"].strip('"'), a.headers.get("X-Conflux-Release"),
                int(a.headers["X-Conflux-Revision"]))

    def ack(self, version, sha, release, state, reason=""):
        ack = {"instance": self.name_, "key": key, "version": version,
               "sha256": sha, "state": state, "reason": reason}
        if release:
            ack["release"] = release
        c = self.connect()
        c.request("POST", "/api/v1/acks", body=json.dumps(ack), headers=self.headers)
        a = c.getresponse()
        a.read()
        if a.status != 200:
            raise ValueError("ack: %d" % a.status)
        c.close()

    def take(self):
        """Takes what there is; false: it ends."""
        text, version, sha, release, rev = self.fetch()
        if "crash" in text:
            say("%s crashes with version %d" % (self.name_, version))
            return False
        if "bad" in text:
            say("%s rejects version %d" % (self.name_, version))
            self.ack(version, sha, release, "rejected", "it says bad")
            return True
        if text != self.have:
            self.have = text
            path = os.path.join(folder, self.name_)
            with open(path + ".new", "w") as f:
                f.write(text + "\n")
            os.replace(path + ".new", path)
            say("%s has version %d" % (self.name_, version))
        self.ack(version, sha, release, "applied")
        self.since = rev
        return True

    def follow(self):
        """One watch, until it ends; false: so does the instance."""
        c = self.connect()
        c.request("GET", "/api/v1/watch?key=%s&%s" % (key, self.labels),
                  headers=self.headers)
        a = c.getresponse()
        if a.status != 200:
            a.read()
            raise ValueError("watch: %d" % a.status)
        # What came before it is fetched once it is under way.
        line = a.readline()
        if not self.take():
            c.sock.close()
            return False
        while line:
            line = a.readline()
            if line.startswith(b"event: end") or line.startswith(b"event: error"):
                return True
            if line.startswith(b"data:") and b'"key"' in line and not self.take():
                return False
        return True


instances = [Instance(n) for n in range(count)]
for one in instances:
    one.start()
for one in instances:
    one.join()
