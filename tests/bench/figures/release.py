"""Releases in steps: acknowledgements, the way back, and what waiting costs."""
import json
import subprocess
import time

from .base import TOOLS, report, until
from .conflux import Conflux
from .watch import KEY, Watchers

INSTANCES = 10000
CONDITIONS = {"applied": {"atLeast": 100}, "rejected": {"atMost": 0}}


def knows_releases(c):
    """From that cluster version on, which comes right after the start."""
    return json.loads(c.ask("GET", "/_cluster/status"))["cluster_version"] >= 5


def policy(c, spec, name="careful"):
    until("the cluster's version", lambda: knows_releases(c))
    c.objects("releasepolicies", {
        "kind": "ReleasePolicy", "metadata": {"name": name, "namespace": "acme"},
        "spec": dict({"strategy": "canary", "conditions": CONDITIONS,
                      "timeout": "1h"}, **spec)})


def newest(c):
    """The release that began last."""
    items = json.loads(c.ask(
        "GET", "/apis/gitops.conflux.io/v1alpha1/namespaces/acme/releases"))["items"]
    return max((r for r in items if r["spec"].get("strategy") == "canary"),
               key=lambda r: r["metadata"]["name"])


def in_the_fleet(c, release, n):
    return c.metric("conflux_fleet_records") >= n and release


def publish(c, which, content):
    c.ask("POST", f"/api/v1/mgt/configs/{which}/publish", {"content": content})


def watching(c, **more):
    which = c.config("c.txt", "0")
    w = Watchers(c.address, INSTANCES, path=f"/api/v1/watch?key={KEY}", token=c.token,
                 instances="web-", **more)
    return which, w


def release_acks(work):
    """Acknowledgements taken in a second, of instances in a step, and its memory."""
    c = Conflux(work)
    which, w = watching(c)
    policy(c, {"steps": [{"percent": 100, "pause": "manual"}], "bake": "10m"})
    before = c.memory("RssAnon")
    publish(c, which, "1")
    w.order("settle 2", "settled")
    release = newest(c)["metadata"]["name"]
    until("the fleet", lambda: in_the_fleet(c, release, INSTANCES))
    said = subprocess.run(
        [TOOLS + "/acks", "-s", c.address, "-t", c.token, "-k", KEY, "-v", "2",
         "-r", release, "-i", "web-", "-n", str(INSTANCES)],
        check=True, capture_output=True, text=True).stdout.split()
    rate = int(said[1]) / float(said[2])
    bytes_ = c.metric("conflux_fleet_record_bytes")
    each = (c.memory("RssAnon") - before) / INSTANCES
    refused = c.metric("conflux_fleet_refused_total")
    w.close()
    c.close()
    report("release_acks", rate, "acks/s", note=f"{INSTANCES} instances are connected; "
           f"{refused:.0f} records were refused")
    report("release_acks_memory", each, "KiB an instance", note="with its "
           f"acknowledgement; {bytes_ / INSTANCES:.0f} bytes are what the leader "
           "gathered")


def release_back(work):
    """From a rejection until 99 of 100 of the cohort have the old version again."""
    c = Conflux(work)
    which, w = watching(c)
    policy(c, {"steps": [{"percent": 50, "pause": "manual"}], "bake": "10m"})
    publish(c, which, "1")
    cohort = int(w.order("settle 2", "settled")[0])
    release = newest(c)["metadata"]["name"]
    until("the step", lambda: c.metric("conflux_fleet_records") >= cohort)
    # The one that speaks need not be in the cohort: what it says counts.
    w.order("gone 2", "counted")
    began = time.monotonic()
    c.ask("POST", "/api/v1/acks", {
        "instance": "web-00000", "key": KEY, "version": 2, "sha256": "0" * 64,
        "state": "rejected", "reason": "bench", "release": release})
    p50, last = [int(us) / 1000 for us in w.says("gone")]
    asked = (time.monotonic() - began) * 1000
    w.close()
    c.close()
    report("release_back", last, "ms", goal="<= 1000", met=last <= 1000,
           note=f"of {cohort} instances; half of them after {p50:.0f} ms; "
           f"known after {asked:.0f} ms")


def fill(c, n, prefix, content="0"):
    return [c.config(f"{prefix}-{i}.txt", content) for i in range(n)]


def pending_proposals(c):
    count, after = 0, ""
    while True:
        page = json.loads(c.ask("GET", "/api/v1/proposals?tenant=acme&phase=Pending"
                                "&limit=1000" + after))
        count += len(page["proposals"])
        if not page.get("next"):
            return count
        after = "&after=" + page["next"]


def idle_releases(work):
    """1,000 releases that run and 1,000 proposals that are open, and nothing comes."""
    c, n, rest = Conflux(work), 1000, 30
    running, open_ = fill(c, n, "run"), fill(c, n, "ask")
    policy(c, {"select": {"names": ["run-*"]},
               "steps": [{"percent": 50, "pause": "manual"}], "bake": "1s"})
    c.objects("approvalpolicies", {
        "kind": "ApprovalPolicy", "metadata": {"name": "two", "namespace": "acme"},
        "spec": {"select": {"names": ["ask-*"]}, "expiresAfter": "24h",
                 "stages": [{"name": "all", "required": 1,
                             "from": {"subjects": ["token:ann"]}}]}})
    for which in running + open_:
        publish(c, which, "1")
    until("the releases", lambda: c.metric("conflux_fleet_releases_running") == n)
    pending = pending_proposals(c)
    assert pending == n, f"{pending} proposals wait"
    time.sleep(5)
    looks, before = c.metric("conflux_fleet_looks_total"), c.cpu_seconds()
    threads = c.threads()
    time.sleep(rest)
    used = (c.cpu_seconds() - before) / rest * 100
    looks = c.metric("conflux_fleet_looks_total") - looks
    most = max(c.threads().items(), key=lambda t: t[1] - threads.get(t[0], 0))
    c.close()
    report("idle_releases", used, "% of a core", goal="<= 1", met=used <= 1,
           note=f"{n} releases and {n} proposals; {looks:.0f} looks in {rest} s; "
           f"most of it {most[0]}")
