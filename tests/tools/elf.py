#!/usr/bin/env python3
"""Asserts the hardening of an ELF program or shared library, on the file itself.

    elf.py build/release/bin/confluxd build/release/lib/libraftcore.so.0

check(path) yields (what, verdict, note); verdict None means that the machine
has no such thing.
"""

import os
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
    soname = re.search(r"\(SONAME\).*\[(.*)\]", dynamic)
    is_dyn = bool(re.search(r"Type:\s+DYN", headers))

    if soname:
        yield ("position independent", is_dyn and "(TEXTREL)" not in dynamic,
               "ELF type DYN and no TEXTREL")
        yield from interface(path, soname.group(1), symbols)
    else:
        yield ("position independent", is_dyn and "PIE" in dynamic,
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
        yield cet_all(path, symbols) if soname else cet(path)


def exported(symbols):
    """(type, name@@version) of what a library gives to others."""
    return re.findall(r"^\s*\d+:\s+\w+\s+\d+\s+(\w+)\s+(?:GLOBAL|WEAK)\s+"
                      r"DEFAULT\s+(?!UND)\w+\s+(\S+)", symbols, re.M)


def interface(path, soname, symbols):
    yield ("named by its interface", soname == os.path.basename(path)
           and bool(re.search(r"\.so\.\d+$", soname)), "soname " + soname)
    bare = [n for kind, n in exported(symbols)
            if kind != "OBJECT" and "@@" not in n]
    good = bool(exported(symbols)) and not bare
    yield ("symbols have a version", good, " ".join(bare[:8]) or
           f"{len(exported(symbols))} of them")


def cet_all(path, symbols):
    """As cet, for what a library exports."""
    what = "indirect branch tracking"
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", path],
                          check=True, capture_output=True, text=True).stdout
    first = dict(re.findall(r"^\w+ <(\S+)>:\n\s*\w+:\s+(\S+)", code, re.M))
    names = [n.split("@")[0] for kind, n in exported(symbols) if kind == "FUNC"]
    bare = [n for n in names if first.get(n) != "endbr64"]
    return (what, bool(names) and not bare, "not at the start of " +
            " ".join(bare[:8]) if bare else "functions begin with endbr64")


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
