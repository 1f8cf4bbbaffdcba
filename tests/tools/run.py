#!/usr/bin/env python3
"""Runs the tests of `make check` and counts them.

    run.py --out build/asan --release build/release ID...

An ID is what the GNUmakefile calls a test: `layers`, `elf/confluxd`,
`tools/deps`, `wal/segment` (a unit test program), `sim/one_node`, `fuzz/yaml`,
`scenario/push`.  A unit test program counts one for each of its Check cases, a
simulation counts what its last line says, everything else counts one.  A
program that was not built counts as failed.  Output goes to OUT/logs/ID.log
and is shown where something failed.  The last line is `N passed, N failed`.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

CHECK = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.M)
COUNTS = re.compile(r"^(\d+) passed, (\d+) failed", re.M)
TIMEOUT_S = {"unit": 300, "sim": 900, "fuzz": 300, "scenario": 300, "tools": 300}


class Result:
    def __init__(self, name, passed, failed, skipped=0, note=""):
        self.name, self.passed, self.failed = name, passed, failed
        self.skipped, self.note = skipped, note


def run(name, argv, kind, log, env=None, cwd=None):
    """Runs one program; answers (exit status, output)."""
    os.makedirs(os.path.dirname(log), exist_ok=True)
    full = dict(os.environ, **(env or {}))
    full.setdefault("ASAN_OPTIONS", "abort_on_error=0:detect_leaks=1")
    full.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    with open(log, "wb") as out:
        child = subprocess.Popen(argv, stdout=out, stderr=subprocess.STDOUT,
                                 stdin=subprocess.DEVNULL, env=full, cwd=cwd,
                                 start_new_session=True)
        try:
            status = child.wait(timeout=TIMEOUT_S[kind])
        except subprocess.TimeoutExpired:
            status = "no end within %d s" % TIMEOUT_S[kind]
        finally:
            try:                       # whatever it left running
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()
    with open(log, "rb") as done:
        return status, done.read().decode("utf-8", "replace")


def unit(name, options, log):
    status, text = run(name, [program(name, options)], "unit", log)
    found = CHECK.search(text)
    if not found:
        return Result(name, 0, 1, note="ended with %s" % status)
    checks, failures, errors = map(int, found.groups())
    bad = failures + errors
    if status != 0 and bad == 0:       # a sanitizer after the last case
        bad = 1
    return Result(name, max(checks - failures - errors, 0), bad)


def sim(name, options, log):
    env = {k: os.environ[k] for k in ("SEED", "SEEDS") if os.environ.get(k)}
    status, text = run(name, [program(name, options)], "sim", log, env)
    found = COUNTS.findall(text)
    if not found:
        return Result(name, 0, 1, note="ended with %s" % status)
    passed, failed = map(int, found[-1])
    if status != 0 and failed == 0:
        failed = 1
    return Result(name, passed, failed)


def one(name, argv, kind, log, env=None):
    status, _ = run(name, argv, kind, log, env)
    if status == 77:
        return Result(name, 0, 0, 1, "skipped")
    if status == 0:
        return Result(name, 1, 0)
    return Result(name, 0, 1, note="ended with %s" % status)


def fuzz(name, options, log):
    corpus = os.path.join("tests/fuzz/corpus", name.split("/", 1)[1])
    if not os.path.isdir(corpus) or not os.listdir(corpus):
        return Result(name, 0, 1, note="no seeds in %s" % corpus)
    return one(name, [program(name, options), corpus], "fuzz", log)


def scenario(name, options, log):
    work = tempfile.mkdtemp(prefix="conflux-")
    env = {"CONFLUX_BIN": os.path.abspath(os.path.join(options.release, "bin")),
           "WORK": work, "TMPDIR": work}
    try:
        return one(name, ["bash", "tests/%s.sh" % name, work], "scenario", log, env)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def readelf(path, *flags):
    done = subprocess.run(["readelf", "-W", *flags, path], capture_output=True,
                          text=True, env=dict(os.environ, LC_ALL="C"))
    return done.stdout


def elf(name, options, log):
    """Hardening that the release programs must show."""
    path = os.path.join(options.release, "bin", name.split("/", 1)[1])
    if not os.path.exists(path):
        return Result(name, 0, 1, note="was not built")
    head, segments = readelf(path, "-h"), readelf(path, "-l")
    dynamic, symbols = readelf(path, "-d"), readelf(path, "--dyn-syms")
    stack = [l for l in segments.splitlines() if "GNU_STACK" in l]
    checks = {
        "position independent": "DYN" in head and "PIE" in dynamic,
        "relro": "GNU_RELRO" in segments,
        "bind now": "BIND_NOW" in dynamic or "NOW" in dynamic,
        "stack not executable": bool(stack) and "RWE" not in stack[0],
        "stack protector": "__stack_chk_fail" in symbols,
        "fortified": re.search(r"__\w+_chk@", symbols) is not None,
        "no run path": "RUNPATH" not in dynamic and "RPATH" not in dynamic,
    }
    if os.uname().machine == "x86_64":
        checks["CET"] = "IBT, SHSTK" in readelf(path, "-n")
    missing = [what for what, good in checks.items() if not good]
    with open(log, "w") as out:
        out.write("".join("missing: %s\n" % m for m in missing))
    return Result(name, len(checks) - len(missing), len(missing),
                  note=", ".join(missing))


def program(name, options):
    return os.path.join(options.out, "tests", name)


def test(name, options):
    log = os.path.join(options.out, "logs", name + ".log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    if os.path.exists(log):
        os.unlink(log)
    kind = name.split("/", 1)[0]
    if name == "layers":
        return one(name, [os.environ.get("MAKE", "make"), "layers"], "tools", log)
    if kind == "elf":
        return elf(name, options, log)
    if kind == "scenario":
        return scenario(name, options, log)
    if kind == "tools" and os.path.exists("tests/%s_test.sh" % name):
        return one(name, ["bash", "tests/%s_test.sh" % name], "tools", log)
    if not os.path.exists(program(name, options)):
        return Result(name, 0, 1, note="was not built")
    return {"sim": sim, "fuzz": fuzz}.get(kind, unit)(name, options, log)


def tail(path, lines=60):
    try:
        with open(path, "rb") as f:
            text = f.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join("    | " + l for l in text[-lines:])


def report(result, options):
    ok = "ok  " if result.failed == 0 else "FAIL"
    note = " (%s)" % result.note if result.note else ""
    print("%s %-28s %d passed%s%s" % (
        ok, result.name, result.passed,
        ", %d failed" % result.failed if result.failed else "", note), flush=True)
    if result.failed:
        print(tail(os.path.join(options.out, "logs", result.name + ".log")), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--release", required=True)
    parser.add_argument("tests", nargs="+")
    options = parser.parse_args()
    started = time.monotonic()
    # Scenarios start servers and measure nothing; two at once suit two cores.
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        waiting = [pool.submit(test, name, options) for name in options.tests]
        results = []
        for done in concurrent.futures.as_completed(waiting):
            results.append(done.result())
            report(results[-1], options)
    passed = sum(r.passed for r in results)
    failed = sum(r.failed for r in results)
    skipped = sum(r.skipped for r in results)
    print("in %.0f s" % (time.monotonic() - started))
    print("%d passed, %d failed%s" % (
        passed, failed, ", %d skipped" % skipped if skipped else ""))
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
