"""Sends bodies of wrong shapes, for bodies.sh:  bodies.py URL SEED

What members a kind has, and of what type, is what the daemon's own OpenAPI document says.
Each is tried with a value of each JSON type in an object that is else right, by POST (as
JSON and as YAML), PUT and PATCH; then random ones are.  An answer is never 500 or more, and
where the type is not one that the member may have it is 4xx.
"""
import copy
import http.client
import json
import os
import random
import sys
import urllib.parse

server = urllib.parse.urlsplit(sys.argv[1])
chance = random.Random(int(sys.argv[2]))
GROUP = "gitops.conflux.io/v1alpha1"
KUBE = "/apis/" + GROUP
MERGE = "application/merge-patch+json"
VALUES = [None, True, 1, -1.5, 10**30, "", "x", [], ["x"], [None], {}, {"x": "y"}, {"x": None}]
RANDOM_BODIES = 200

# What is right, of each kind; one that is not here fails the test.
SPECS = {
    "Tenant": {},
    "Application": {},
    "Environment": {"application": "shop", "environment": "prod"},
    "ConfluxConfig": {"application": "shop", "environment": "prod", "name": "c.json",
                      "content": "{}"},
    "ConfluxSource": {"url": "file:///nowhere", "suspend": True},
    "ApprovalPolicy": {"stages": [{"from": {"groups": ["g"]}}]},
    "FreezeWindow": {"owner": "o", "reason": "r", "interval": {
        "start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}},
    "ReleasePolicy": {"strategy": "canary", "steps": [{"percent": 50}, {"percent": 100}]},
    "Webhook": {"url": "https://localhost/x"},
}
NAMES = {"Environment": "shop.prod"}

line = http.client.HTTPConnection(server.hostname, server.port, timeout=60)
token = os.environ["CONFLUX_TOKEN"]
sent = refused = 0


def send(method, path, body, kind="application/json"):
    """Status and body; a connection that ends fails the test."""
    global sent, refused
    text = body if isinstance(body, str) else json.dumps(body)
    try:
        line.request(method, path, text, {"Authorization": "Bearer " + token,
                                          "Content-Type": kind})
        answer = line.getresponse()
        said = answer.read()
    except (OSError, http.client.HTTPException) as e:
        sys.exit("%s %s %s: no answer (%r)" % (method, path, text, e))
    sent += 1
    refused += answer.status >= 400
    if answer.status >= 500:
        sys.exit("%s %s %s: %d %s" % (method, path, text, answer.status, said))
    return answer.status, said


def right(method, path, body):
    status, said = send(method, path, body)
    if status not in (200, 201):
        sys.exit("%s %s %s: %d %s" % (method, path, json.dumps(body), status, said))
    return json.loads(said)


def document():
    status, said = send("GET", "/openapi/v3" + KUBE, "")
    assert status == 200
    return json.loads(said)["components"]["schemas"]


# ---- members and types ----

def types_of(schema):
    """Names of JSON types that it may be of; None: any."""
    if not isinstance(schema, dict) or "type" not in schema:
        return None
    names = schema["type"]
    return [names] if isinstance(names, str) else names


def is_of(value, names):
    # A null is the absence of a member.
    if names is None or value is None:
        return True
    if isinstance(value, bool):
        return "boolean" in names
    if isinstance(value, int):
        return "integer" in names or "number" in names
    if isinstance(value, float):
        return "number" in names
    return {str: "string", list: "array", dict: "object"}[type(value)] in names


def members(schema, path):
    """(path, types) of what is below; a path has names, and 0 for an item."""
    for name, s in (schema.get("properties") or {}).items():
        yield path + [name], types_of(s)
        yield from members(s, path + [name])
    if isinstance(schema.get("items"), dict):
        yield path + [0], types_of(schema["items"])
        yield from members(schema["items"], path + [0])
    if isinstance(schema.get("additionalProperties"), dict):
        yield path + ["x"], types_of(schema["additionalProperties"])
        yield from members(schema["additionalProperties"], path + ["x"])


# What the server owns is dropped, of whatever type it is.
META = [("name", "string"), ("namespace", "string"), ("uid", "string"),
        ("resourceVersion", "string"), ("labels", "object"), ("annotations", "object"),
        ("generation", None), ("creationTimestamp", None), ("managedFields", None),
        ("finalizers", None), ("ownerReferences", None), ("deletionTimestamp", None)]


def all_members(schema):
    yield ["apiVersion"], ["string"]
    yield ["kind"], ["string"]
    yield ["metadata"], ["object"]
    for name, t in META:
        yield ["metadata", name], [t] if t else None
    yield ["metadata", "labels", "x"], ["string"]
    yield ["metadata", "annotations", "x"], ["string"]
    yield ["spec"], ["object"]
    yield from members(schema["properties"]["spec"], ["spec"])
    yield ["status"], types_of(schema["properties"].get("status"))
    yield ["status", "conditions"], None


def put_at(body, path, value):
    """A copy with 'value' at 'path'; what is missing on the way is made."""
    body = copy.deepcopy(body)
    at = body
    for step, below in zip(path, path[1:] + [None]):
        new = value if below is None else [] if below == 0 else {}
        if step == 0:
            if not at:
                at.append(new)
            elif below is None:
                at[0] = new
            at = at[0]
        else:
            if below is None or not isinstance(at.get(step), type(new)):
                at[step] = new
            at = at[step]
    return body


def at_path(path, value):
    """Of a merge patch: nothing but 'value'."""
    return put_at({}, path, value)


# ---- objects ----

class Kind:
    def __init__(self, name, schema, plural, namespaced):
        tenant = "t-" + name.lower()
        right("POST", KUBE + "/tenants", {"apiVersion": GROUP, "kind": "Tenant",
                                          "metadata": {"name": tenant}})
        self.name = name
        self.schema = schema
        self.list = KUBE + ("/namespaces/%s/" % tenant if namespaced else "/") + plural
        self.good = {"apiVersion": GROUP, "kind": name,
                     "metadata": {"name": NAMES.get(name, "there")}, "spec": SPECS[name]}
        self.path = self.list + "/" + self.good["metadata"]["name"]
        if name == "Environment":
            right("POST", KUBE + "/namespaces/%s/applications" % tenant,
                  {"apiVersion": GROUP, "kind": "Application", "metadata": {"name": "shop"}})
        right("POST", self.list, self.good)

    def check(self, method, status, said, path, value, types):
        if is_of(value, types) or 400 <= status < 500:
            return
        sys.exit("%s of a %s with %s at %s: %d %s" % (method, self.name, json.dumps(value),
                                                      path, status, said))

    def restore(self):
        """As it was, so that each is tried alone."""
        status = 409
        while status == 409:      # its status was written meanwhile
            status, said = send("PUT", self.path, self.good)
        if status == 404:
            right("POST", self.list, self.good)
        elif status != 200:
            sys.exit("%s does not come back: %d %s" % (self.path, status, said))

    def post(self, body, kind="application/json"):
        status, said = send("POST", self.list, body, kind)
        if status == 201:
            send("DELETE", self.list + "/" + json.loads(said)["metadata"]["name"], "")
        return status, said

    def change(self, method, body, kind="application/json"):
        status, said = send(method, self.path, body, kind)
        if status < 300:
            self.restore()
        return status, said

    def try_each(self):
        fresh = copy.deepcopy(self.good)
        fresh["metadata"]["name"] = "shop.new" if self.name == "Environment" else "new"
        if self.name == "Environment":
            fresh["spec"]["environment"] = "new"
        if self.name == "ConfluxConfig":
            fresh["spec"]["name"] = "new.json"
        for path, types in all_members(self.schema):
            for value in VALUES:
                body = put_at(fresh, path, value)
                for kind in ("application/json", "application/yaml")[:2 if len(path) < 3 else 1]:
                    self.check("POST", *self.post(body, kind), path, value, types)
                body = put_at(self.good, path, value)
                self.check("PUT", *self.change("PUT", body), path, value, types)
                body = at_path(path, value)
                self.check("PATCH", *self.change("PATCH", body, MERGE), path, value, types)


# ---- other bodies ----

def bodies():
    """(method, path, what is right, types of its members)."""
    right("POST", KUBE + "/tenants", {"apiVersion": GROUP, "kind": "Tenant",
                                      "metadata": {"name": "acme"}})
    made = right("POST", "/api/v1/mgt/configs", {
        "tenant": "acme", "application": "shop", "environment": "prod", "name": "c.json",
        "format": "json", "content": "{}"})
    here = "/api/v1/mgt/configs/" + made["id"]
    at = "acme/shop/prod/c.json"
    hook = {"tenant": "acme", "name": "h", "url": "https://localhost/x"}
    right("POST", "/api/v1/_config/webhooks", hook)
    manifest = {"apiVersion": GROUP, "kind": "Application",
                "metadata": {"name": "a", "namespace": "acme"}}
    yield "POST", "/api/v1/mgt/configs", {
        "tenant": "acme", "application": "shop", "environment": "prod", "name": "d.json",
        "format": "json", "content": "{}"}
    rules = [{"labels": {"a": "b"}, "percent": 5, "version_id": 1, "priority": 1},
             {"nodes": ["n"], "version_id": 1}]
    yield "PUT", here, {"content": "{}", "message": "x"}
    yield "POST", here + "/versions", {"content": "{}", "message": "x"}
    yield "PUT", here + "/releases", {"releases": rules}
    yield "POST", here + "/publish", {"version_id": 1, "message": "x", "releases": rules}
    yield "POST", here + "/publish", {"content": "{}", "message": "x", "releases": rules}
    yield "POST", here + "/rollback", {"mode": "emergency", "comment": "x"}
    yield "POST", "/api/v1/plans", {"manifests": [manifest], "delete": [
        {"kind": "Webhook", "metadata": {"name": "h", "namespace": "acme"}}]}
    yield "POST", "/api/v1/tokens", {
        "name": "t", "certificate_name": "c", "subject": "s", "groups": ["g"],
        "instances": ["i"], "verbs": ["publish"], "tenant": "acme", "expires": "1h"}
    ack = {"instance": "i", "key": at, "version": 1, "sha256": 64 * "0", "state": "applied",
           "reason": "x", "release": "r"}
    yield "POST", "/api/v1/acks", ack
    yield "POST", "/api/v1/acks", [ack]
    yield "POST", "/api/v1/ofrep/%s/ofrep/v1/evaluate/flags" % at, {"context": {"a": "b"}}
    yield "POST", "/api/v1/ofrep/%s/ofrep/v1/evaluate/flags/f" % at, {"context": {"a": "b"}}
    yield "POST", "/api/v1/_config/webhooks", dict(hook, name="i")
    yield "PUT", "/api/v1/_config/webhooks/acme/h", {"url": "https://localhost/x"}
    for act in "approve", "reject", "cancel", "review":
        yield "POST", "/api/v1/proposals/acme/p/" + act, {"reason": "x", "digest": 64 * "0"}
    for act in "promote", "promote-full", "pause", "resume", "abort":
        yield "POST", "/api/v1/releases/acme/r/" + act, {"reason": "x", "step": 1, "force": True}
    yield "POST", "/api/v1/releases/acme/r/rollback", {"reason": "x", "mode": "emergency"}
    yield "POST", "/_cluster/nodes", {"id": 1, "address": "127.0.0.1:1"}
    yield "POST", "/_cluster/leader/transfer", {"id": 1}
    yield "DELETE", KUBE + "/namespaces/acme/applications/none", {
        "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 1, "dryRun": ["All"],
        "propagationPolicy": "Background", "preconditions": {"uid": "x"}}


def places(value, path=()):
    """All paths of a body, itself first."""
    yield list(path)
    if isinstance(value, dict):
        for k, v in value.items():
            yield from places(v, path + (k,))
    elif isinstance(value, list) and value:
        yield from places(value[0], path + (0,))


# ---- random ones ----

def any_value(depth):
    if depth == 0 or chance.random() < 0.6:
        return copy.deepcopy(chance.choice(VALUES))
    if chance.random() < 0.5:
        return [any_value(depth - 1) for _ in range(chance.randrange(3))]
    words = ["name", "metadata", "spec", "labels", "x", "", "status", "kind", "\u00e9", "a.b"]
    return {chance.choice(words): any_value(depth - 1) for _ in range(chance.randrange(12))}


def mutated(body):
    body = copy.deepcopy(body)
    for _ in range(chance.randrange(1, 4)):
        path = chance.choice(list(places(body)))
        body = put_at(body, path, any_value(3)) if path else any_value(3)
        if not isinstance(body, dict):
            break
    return body


def main():
    kinds = []
    for name, schema in document().items():
        if not name.startswith("io.conflux"):
            continue
        kinds.append((name.rsplit(".", 1)[1], schema))
    status, said = send("GET", KUBE, "")
    known = {k["kind"]: k for k in json.loads(said)["resources"]}
    kinds = [Kind(name, schema, known[name]["name"], known[name]["namespaced"])
             for name, schema in kinds if "create" in known[name]["verbs"]]
    for k in kinds:
        k.try_each()
    routes = list(bodies())
    for method, path, good in routes:
        for where in places(good):
            for value in VALUES:
                send(method, path, put_at(good, where, value) if where else value)
    for _ in range(RANDOM_BODIES):
        k = chance.choice(kinds)
        k.post(mutated(k.good), chance.choice(["application/json", "application/yaml"]))
        k.change("PUT", mutated(k.good))
        k.change("PATCH", mutated(k.good), MERGE)
        method, path, good = chance.choice(routes)
        send(method, path, mutated(good))
    print("%d bodies sent, %d of them refused" % (sent, refused))


main()
