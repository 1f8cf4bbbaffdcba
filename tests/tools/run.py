#!/usr/bin/env python3
"""Runs tests that `make check` has built, and counts them.

    run.py --out build/asan --release build/release wal/segment sim/engine ...

What an id means, how it runs, and how much it counts:

    layers           `make layers`                                     1
    tools/NAME       bash tests/tools/NAME_test.sh                     1
    elf/FILE         hardening of a program in RELEASE/bin or a
                     library in RELEASE/lib (see elf.py)               1 a property
    sim/NAME         OUT/tests/sim/NAME                                "N passed, M failed"
    fuzz/NAME        OUT/tests/fuzz/NAME on tests/fuzz/corpus/NAME     1
    scenario/NAME    bash tests/scenario/NAME.sh WORK                  1
    examples/NAME    OUT/tests/examples/NAME WORK, or bash
                     examples/NAME.sh OUT/tests/examples/NAME WORK     1
    PART/NOUN        OUT/tests/PART/NOUN, a unit test with Check       its test cases

Every program runs from the top of the tree in a session of its own, which is
killed when the program ends or its time is over (seconds below, times
TIMEOUT_FACTOR).  TMPDIR is an empty folder of its own; it is kept when the test
fails.  A scenario gets that folder as $1 and $WORK too, and the release
programs' folder as $CONFLUX_BIN, the build's as $CONFLUX_BUILD and that of the tests'
variant as $CONFLUX_OUT.  Exit code 77 means skipped.  Output goes to
OUT/logs/ID.log and is shown when the test fails.

A unit test or simulation that ends with a failure, or without its count, counts
at least one failed.  A test that did not build counts one failed: the programs
that make names in OUT/logs/build*.log ("not remade") are not run, even where an
older one lies there.

The last line is "N passed, M failed", and ", K skipped" after it where K > 0.
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

import elf

SECONDS = {"unit": 600, "sim": 1200, "fuzz": 300, "scenario": 300, "tools": 120,
           "layers": 30, "examples": 300}
SANITIZERS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1"
                    ":check_initialization_order=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "second_deadlock_stack=1:history_size=4",
}
SHOWN_LINES = 60


class Result:
    """What one id came to."""

    def __init__(self, name):
        self.name = name
        self.passed = self.failed = self.skipped = 0
        self.seconds = 0.0
        self.why = ""
        self.log = ""


def kind_of(name):
    first = name.split("/")[0]
    return first if first in ("layers", "tools", "elf", "sim", "fuzz",
                              "scenario", "examples") else "unit"


class Runner:
    def __init__(self, args):
        self.out = args.out
        self.release = args.release
        self.logs = os.path.join(args.out, "logs")
        self.unbuilt = self.read_unbuilt()
        self.factor = float(os.environ.get("TIMEOUT_FACTOR", "1"))
        os.makedirs(self.logs, exist_ok=True)

    def read_unbuilt(self):
        """Programs that make could not bring up to date."""
        found = set()
        for log in ("build.log", "build-release.log"):
            try:
                with open(os.path.join(self.logs, log), errors="replace") as f:
                    found.update(re.findall(
                        r"Target ['`]([^']+)' not remade", f.read()))
            except FileNotFoundError:
                pass
        return found

    def program(self, name, kind):
        if kind in ("unit", "sim", "fuzz", "examples"):
            return os.path.join(self.out, "tests", name)
        return None

    def command(self, name, kind, work):
        base = name.partition("/")[2]
        if kind == "layers":
            return [os.environ.get("MAKE", "make"), "layers"]
        if kind == "tools":
            return ["bash", f"tests/tools/{base}_test.sh"]
        if kind == "scenario":
            return ["bash", f"tests/scenario/{base}.sh", work]
        cmd = [self.program(name, kind)]
        if kind == "fuzz":
            cmd += [f"tests/fuzz/corpus/{base}"]
        if kind == "examples":
            cmd += [work]
            if os.path.exists(f"examples/{base}.sh"):
                cmd = ["bash", f"examples/{base}.sh"] + cmd
        if os.path.basename(self.out) == "tsan" and shutil.which("setarch"):
            # The thread sanitizer of gcc 12 wants its fixed addresses free.
            cmd = ["setarch", os.uname().machine, "-R"] + cmd
        return cmd

    def environment(self, name, kind, work):
        env = dict(os.environ)
        for drop in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES",
                     "VARIANT", "BUILD", "T", "V"):
            env.pop(drop, None)
        # Check gives a case 4 s, which a busy machine may need for the start.
        env.setdefault("CK_DEFAULT_TIMEOUT", "60")
        for key, value in SANITIZERS.items():
            env.setdefault(key, value)
        env.update(TMPDIR=work, WORK=work, LC_ALL="C.UTF-8",
                   CONFLUX_BUILD=os.path.dirname(self.release),
                   CONFLUX_OUT=self.out,
                   CONFLUX_BIN=os.path.abspath(
                       os.path.join(self.release, "bin")))
        if kind == "fuzz":
            env["FUZZ_CRASH"] = os.path.join(
                self.logs, name.replace("/", "-") + ".crash")
        return env

    def run(self, name):
        kind = kind_of(name)
        result = Result(name)
        result.log = os.path.join(self.logs, name.replace("/", "-") + ".log")
        start = time.monotonic()
        try:
            if kind == "elf":
                self.check_elf(name, result)
            elif self.program(name, kind) in self.unbuilt or (
                    self.program(name, kind)
                    and not os.path.exists(self.program(name, kind))):
                self.fail_unbuilt(result)
            elif kind == "fuzz" and not os.path.isdir(
                    f"tests/fuzz/corpus/{name.partition('/')[2]}"):
                result.failed, result.why = 1, "has no seeds in tests/fuzz/corpus"
            else:
                self.run_program(name, kind, result)
        except Exception as e:              # a fault of the runner is a failure
            result.failed += 1
            result.why = f"runner: {e!r}"
        result.seconds = time.monotonic() - start
        return result

    def fail_unbuilt(self, result):
        result.failed = 1
        result.why = "did not build; see the build's output above"
        if os.path.exists(result.log):
            os.unlink(result.log)

    def check_elf(self, name, result):
        file = name.partition("/")[2]
        path = os.path.join(self.release, "lib" if ".so" in file else "bin",
                            file)
        if "all" in self.unbuilt and not os.path.exists(path):
            self.fail_unbuilt(result)
            return
        with open(result.log, "w") as log:
            for what, good, note in elf.check(path):
                verdict = {True: "ok", False: "FAILED", None: "skipped"}[good]
                log.write(f"{verdict:8} {what}: {note}\n")
                result.passed += good is True
                result.failed += good is False
                result.skipped += good is None

    def run_program(self, name, kind, result):
        work = tempfile.mkdtemp(prefix="conflux-")
        code = None
        with open(result.log, "wb") as log:
            p = subprocess.Popen(self.command(name, kind, work), stdout=log,
                                 stderr=subprocess.STDOUT,
                                 stdin=subprocess.DEVNULL,
                                 env=self.environment(name, kind, work),
                                 start_new_session=True)
            try:
                code = p.wait(SECONDS[kind] * self.factor)
            except subprocess.TimeoutExpired:
                result.why = f"took longer than {SECONDS[kind] * self.factor:g} s"
            finally:
                try:
                    os.killpg(p.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                p.wait()
        with open(result.log, errors="replace") as log:
            self.count(kind, code, log.read(), result)
        if result.failed:
            with open(result.log, "a") as log:
                log.write(f"(its files are in {work})\n")
        else:
            shutil.rmtree(work, ignore_errors=True)

    def count(self, kind, code, text, result):
        if code == 77:
            result.skipped = 1
            return
        if kind == "unit":
            lines = re.findall(r"^\d+%: Checks: (\d+), Failures: (\d+), "
                               r"Errors: (\d+)", text, re.M)
            for checks, failures, errors in lines:
                bad = int(failures) + int(errors)
                result.passed += int(checks) - bad
                result.failed += bad
        elif kind == "sim":
            lines = re.findall(r"^(\d+) passed, (\d+) failed", text, re.M)[-1:]
            for passed, failed in lines:
                result.passed, result.failed = int(passed), int(failed)
        else:
            lines = True
            result.passed, result.failed = int(code == 0), int(code != 0)
        if code != 0 and not result.failed:
            result.failed = 1
        if code == 0 and not (lines and result.passed + result.failed):
            result.failed = 1
            result.why = "ended without counting anything"
        if code and not result.why and (kind != "unit" or not lines):
            result.why = f"exit code {code}" if code > 0 else \
                f"killed by {signal.Signals(-code).name}"


def show(result):
    verdict = "FAILED" if result.failed else \
        "skip" if result.skipped and not result.passed else "ok"
    counts = f"{result.passed}" + \
        (f", {result.failed} failed" if result.failed else "") + \
        (f", {result.skipped} skipped" if result.skipped else "")
    print(f"{verdict:7} {result.name:28} {counts:>6}"
          f"  {result.seconds:6.2f} s"
          + (f"  {result.why}" if result.why else ""), flush=True)
    if not result.failed or not os.path.exists(result.log):
        return
    with open(result.log, errors="replace") as f:
        lines = f.read().splitlines()
    if len(lines) > SHOWN_LINES:
        print(f"    ... {len(lines) - SHOWN_LINES} lines more in {result.log}")
    for line in lines[-SHOWN_LINES:]:
        print(f"    {line}")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--release", required=True)
    parser.add_argument("--jobs", type=int,
                        default=int(os.environ.get("TEST_JOBS", "2")))
    parser.add_argument("names", nargs="+")
    args = parser.parse_args()
    runner = Runner(args)
    results = []
    # Scenarios measure time and use several processes: they run last, alone.
    crowd = [n for n in args.names if kind_of(n) != "scenario"]
    alone = [n for n in args.names if kind_of(n) == "scenario"]
    for names, jobs in ((crowd, args.jobs), (alone, 1)):
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for future in concurrent.futures.as_completed(
                    [pool.submit(runner.run, n) for n in names]):
                results.append(future.result())
                show(results[-1])
    failed = [r for r in results if r.failed]
    if runner.unbuilt & {"all"}:
        failed.append(Result("build"))
        failed[-1].failed = 1
        failed[-1].why = f"the release build failed; see " \
            f"{runner.logs}/build-release.log"
        results.append(failed[-1])
    if failed:
        print("\nfailed:")
        for r in sorted(failed, key=lambda r: r.name):
            print(f"    {r.name}" + (f": {r.why}" if r.why else ""))
    passed, bad, skipped = (sum(getattr(r, k) for r in results)
                            for k in ("passed", "failed", "skipped"))
    print(f"\n{passed} passed, {bad} failed"
          + (f", {skipped} skipped" if skipped else ""))
    return 1 if bad or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
