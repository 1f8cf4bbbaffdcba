"""Imports from Git, commits of one file, and the idle daemon."""
import shutil
import statistics
import time

from .base import report
from .conflux import Conflux
from .repo import Repo


def sources(work):
    """Imports, one-file commits, and the idle daemon."""
    medians = {}
    for n, label in ((1000, "1k"), (10000, "10k"), (100000, "100k")):
        repo = Repo(work, n)
        c = Conflux(work)
        # Made suspended-like: the first job starts with the object itself.
        begin = time.monotonic()
        c.source("repo", repo, "10s" if label == "10k" else "1h")
        c.reconcile("repo")
        took = time.monotonic() - begin
        if label == "100k":
            report("import_100k", n / took, "configurations/s")
            report("import_100k_memory", c.memory("VmHWM") / 1024,
                   "MiB, peak")
        if label == "10k":
            time.sleep(3)
            before, began = c.cpu_seconds(), time.monotonic()
            time.sleep(15)
            used = (c.cpu_seconds() - before) / (time.monotonic() - began)
            report("idle", 100 * used, "% of a core", goal="<= 1",
                   met=used <= 0.01)
            report("idle_memory", c.memory("VmRSS") / 1024, "MiB")
        took = []
        for i in range(20):
            repo.change(i * 37 % n, 1000000 + i)
            answer = c.reconcile("repo")
            assert answer["operations"] == 1, answer
            took.append(c.metric("conflux_source_last_plan_microseconds")
                        / 1000)
        medians[label] = statistics.median(took)
        met = medians[label] < 5
        goal = "< 5 ms"
        if label == "100k":
            met = met and medians[label] <= 1.5 * medians["1k"]
            goal = "< 5 ms, and <= 1.5 times 1k"
        report(f"commit1_in_{label}", medians[label], "ms", goal=goal, met=met)
        c.close()
        shutil.rmtree(repo.bare)
