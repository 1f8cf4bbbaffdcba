"""confluxd, alone and as a cluster."""
import glob
import json
import os
import re
import shutil
import ssl
import tempfile
import urllib.request

from .base import BIN, free_port, kill, memory, start, stop, until


class Conflux:
    """One confluxd in a folder of its own, with tenant acme; or, with an id, a
    node of a cluster.  With the authority of its certificate it is asked over
    TLS."""

    def __init__(self, work, flags=(), node_id=None, ca=None):
        self.dir = tempfile.mkdtemp(dir=work)
        self.data = self.dir + "/data"
        self.args = [BIN + "/confluxd", "--data-dir", self.data,
                     "--listen", "127.0.0.1:0", "--sources-file-roots", work,
                     "--log-level", "error", *flags]
        if node_id:
            self.args += ["--node-id", str(node_id)]
        self.tls = ssl.create_default_context(cafile=ca) if ca else None
        self.start()
        if not node_id:
            self.token = open(self.data + "/root.token").read().strip()
            self.tenant()

    def start(self):
        address = self.data + "/confluxd.listen"
        if os.path.exists(address):
            os.unlink(address)
        self.process = start(self.args)
        until("confluxd", lambda: os.path.exists(address)
              and os.path.getsize(address))
        self.address = open(address).read().strip()
        self.url = ("https://" if self.tls else "http://") + self.address

    def tenant(self):
        self.objects("tenants", {"kind": "Tenant", "metadata": {"name": "acme"}})

    def ready(self):
        return urllib.request.urlopen(self.url + "/readyz", timeout=5).read()

    def kill(self):
        kill(self.process)

    def ask(self, method, path, body=None, timeout=300):
        data = None if body is None else json.dumps(body).encode()
        req = urllib.request.Request(self.url + path, data, method=method,
                                     headers={"Authorization":
                                              "Bearer " + self.token,
                                              "Content-Type":
                                              "application/json"})
        with urllib.request.urlopen(req, timeout=timeout,
                                    context=self.tls) as answer:
            return answer.read()

    def objects(self, plural, body):
        body["apiVersion"] = "gitops.conflux.io/v1alpha1"
        ns = body["metadata"].get("namespace")
        where = f"namespaces/{ns}/" if ns else ""
        self.ask("POST", f"/apis/gitops.conflux.io/v1alpha1/{where}{plural}",
                 body)

    def config(self, name, content):
        answer = self.ask("POST", "/api/v1/mgt/configs", {
            "tenant": "acme", "application": "shop", "environment": "prod",
            "name": name, "format": "text", "content": content})
        return json.loads(answer)["id"]

    def source(self, name, repo, interval="1h"):
        self.objects("confluxsources", {
            "kind": "ConfluxSource",
            "metadata": {"name": name, "namespace": "acme"},
            "spec": {"url": "file://" + repo.bare, "ref": {"branch": "main"},
                     "interval": interval, "timeout": "10m", "layout": {"files": {
                         "pathTemplate": "{application}/{environment}/{name}"}}}})

    def reconcile(self, name, wait=True):
        path = f"/api/v1/sources/acme/{name}/reconcile"
        return json.loads(self.ask(
            "POST", path + f"?wait={'true' if wait else 'false'}"))

    def metric(self, name):
        text = self.ask("GET", "/metrics").decode()
        return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))

    def memory(self, field):
        return memory(self.process, field)

    def threads(self):
        """Seconds of a processor that each thread has had, by name."""
        used = {}
        for task in glob.glob(f"/proc/{self.process.pid}/task/*/stat"):
            head, tail = open(task).read().rsplit(") ", 1)
            user, system = tail.split()[11:13]
            name = head.split("(", 1)[1]
            used[name] = used.get(name, 0) + (
                (int(user) + int(system)) / os.sysconf("SC_CLK_TCK"))
        return used

    def cpu_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")")[1]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def close(self):
        stop(self.process)
        shutil.rmtree(self.dir, ignore_errors=True)


class Cluster:
    """Three nodes on loopback, in clear text."""

    def __init__(self, work, flags=()):
        ports = [free_port() for _ in range(3)]
        self.work, self.flags = work, flags
        self.peers = ",".join(f"{i + 1}=127.0.0.1:{p}"
                              for i, p in enumerate(ports))
        self.nodes = [Conflux(work, ["--raft-listen", f"127.0.0.1:{p}",
                                     "--peers", self.peers, *flags], i + 1)
                      for i, p in enumerate(ports)]
        for node in self.nodes:
            until("a node", node.ready)
        files = [n.data + "/root.token" for n in self.nodes]
        until("the token", lambda: sum(map(os.path.exists, files)) == 1)
        token = open(next(f for f in files if os.path.exists(f))).read().strip()
        for node in self.nodes:
            node.token = token
        self.leader().tenant()

    def leader(self):
        def find():
            status = self.nodes[0].ask("GET", "/api/v1/status", timeout=5)
            return json.loads(status)["leader_id"]
        return self.nodes[int(until("a leader", find)) - 1]

    def add_learner(self):
        """A new node, when it serves what the others do."""
        leader, address = self.leader(), f"127.0.0.1:{free_port()}"
        cluster = json.loads(leader.ask("GET", "/_cluster/status"))["cluster_id"]
        number = len(self.nodes) + 1
        new = Conflux(self.work, ["--raft-listen", address, "--peers", self.peers,
                                  "--cluster-join", cluster, *self.flags], number)
        new.token = leader.token
        leader.ask("POST", "/_cluster/nodes", {"id": number, "address": address})
        until("the new node", new.ready)
        self.nodes.append(new)
        return new

    def close(self):
        for node in self.nodes:
            node.close()
