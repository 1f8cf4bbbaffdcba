#!/usr/bin/env python3
"""Asserts the hardening of an ELF program, on the file itself.

    elf.py build/release/bin/confluxd

check(path) yields (what, verdict, note); verdict None means that the machine
has no such thing.
"""

import re
import subprocess
import sys


def readelf(*args):
    return subprocess.run(["readelf", "-W", *args], check=True,
                          capture_output=True, text=True).stdout


def check(path):
    headers = readelf("-hl", path)
    dynamic = readelf("-d", path)
    symbols = readelf("--dyn-syms", path)
    machine = re.search(r"Machine:\s+(.*)", headers).group(1)

    yield ("position independent",
           bool(re.search(r"Type:\s+DYN", headers)) and "PIE" in dynamic,
           "ELF type DYN and flag PIE")
    yield ("relocations read-only", "GNU_RELRO" in headers, "segment GNU_RELRO")
    yield ("bound at start",
           bool(re.search(r"\(FLAGS\).*BIND_NOW|\(FLAGS_1\).*\bNOW\b", dynamic)),
           "flag BIND_NOW")
    stack = re.search(r"GNU_STACK\s+(?:0x\w+\s+){5}(\S+)", headers)
    yield ("stack not executable", bool(stack) and "E" not in stack.group(1),
           "segment GNU_STACK " + (stack.group(1) if stack else "missing"))
    both = re.findall(r"LOAD\s+(?:0x\w+\s+){5}([RWE ]+?)\s+0x", headers)
    yield ("nothing writable and executable",
           bool(both) and not any("W" in f and "E" in f for f in both),
           "segments LOAD " + ", ".join(f.replace(" ", "") for f in both))
    yield ("stack protector", "__stack_chk_fail" in symbols,
           "symbol __stack_chk_fail")
    fortified = sorted(set(re.findall(r"\b(__\w+_chk)\b", symbols)))
    yield ("fortified", bool(fortified),
           "symbols " + " ".join(fortified[:8]))
    yield ("no search path", "(RPATH)" not in dynamic
           and "(RUNPATH)" not in dynamic, "neither RPATH nor RUNPATH")
    if "X86-64" in machine:
        yield cet(path)


def cet(path):
    """Every function that can be called by address begins with endbr64.

    The note on a linked program says so only where the C library's start files
    do too (Debian's do not), so the program's own entry, main, is looked at.
    """
    what = "indirect branch tracking"
    symbols = readelf("-s", path)
    found = re.search(r"\d+:\s+(\w+)\s+\d+\s+FUNC\s+\w+\s+\w+\s+\d+\s+main$",
                      symbols, re.M)
    if not found:
        return what, None, "stripped"
    start = int(found.group(1), 16)
    code = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", f"--start-address={start}",
         f"--stop-address={start + 4}", path],
        check=True, capture_output=True, text=True).stdout
    return what, "endbr64" in code, "main begins with endbr64"


def main():
    bad = 0
    for path in sys.argv[1:]:
        for what, good, note in check(path):
            verdict = {True: "ok", False: "FAILED", None: "skipped"}[good]
            print(f"{verdict:8} {what}: {note}")
            bad += good is False
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
