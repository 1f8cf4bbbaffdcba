#!/usr/bin/env python3
"""`make lint`: what a compiler does not say and a reader would.

    lint.py --out BUILD/VARIANT    whose inc/ the headers are compiled with

Each finding is one line, file:line: what.  Exit status 1 with findings.
"""
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

LINE_MAX, FUNCTION_MAX, SOURCE_MAX, HEADER_MAX = 100, 100, 900, 320
findings = []


def find(path, line, what):
    findings.append(f"{path}:{line}: {what}")


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", *patterns], check=True,
                         capture_output=True, text=True).stdout
    return [p for p in out.split("\n") if p and os.path.exists(p)]


def width(line):
    return len(line.expandtabs(8))


def check_lines(path, lines):
    for n, line in enumerate(lines, 1):
        if width(line) > LINE_MAX:
            find(path, n, f"{width(line)} columns, at most {LINE_MAX}")
        if line != line.rstrip():
            find(path, n, "white space at the end")
        if re.match(r" {8}", line):
            find(path, n, "eight spaces where a tab goes")


def check_functions(path, lines):
    """Functions begin with '{' in the first column."""
    start = None
    for n, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = n
        elif line.startswith("}") and start:
            if n - start > FUNCTION_MAX:
                find(path, start, f"a function of {n - start} lines, "
                     f"at most {FUNCTION_MAX}")
            start = None


def check_source(path, lines):
    # Those below the first function belong to what is compiled now and then.
    body = next((n for n, line in enumerate(lines) if line.startswith("{")),
                len(lines))
    includes = [line for line in lines[:body] if line.startswith("#include")
                and not line.endswith('.tbl"')]
    # The fuzz driver is linked to what knows nothing of base; examples have
    # what is installed.
    if includes and includes[-1] != '#include "base/banned.h"' \
            and path != "tests/fuzz/driver.c" \
            and not path.startswith("examples/"):
        find(path, 1, 'the last include is not "base/banned.h"')
    if len(lines) > SOURCE_MAX:
        find(path, 1, f"{len(lines)} lines: a second noun hides here")


def check_header(path, lines):
    if not lines or not lines[0].startswith("/*"):
        find(path, 1, "a header begins with what it is for")
    if len(lines) > HEADER_MAX:
        find(path, 1, f"{len(lines)} lines, at most {HEADER_MAX}")


def part_of(path):
    """The part of a header, and how it is included: 'base/buf.h'."""
    folder = os.path.dirname(path)
    while folder and not os.path.exists(folder + "/part.mk"):
        folder = os.path.dirname(folder)
    return folder.split("/", 1)[1] if "/" in folder else None


def compiles_alone(includes, path):
    part = part_of(path)
    folder = f"{includes}/{(part or '').replace('/', '-')}"
    if part is None or not os.path.isdir(folder):
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".c") as f:
        f.write(f'#include "{path.split("/", 1)[1]}"\n')
        f.flush()
        run = subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE",
                              "-fsyntax-only", "-I", folder, f.name],
                             capture_output=True, text=True)
    return run.stderr.split("\n")[0] if run.returncode else None


def main():
    sources = [p for p in tracked("*.c", "*.cc", "*.h")]
    headers = [p for p in sources if p.endswith(".h")]
    for path in sources:
        lines = open(path, encoding="utf-8").read().split("\n")[:-1]
        check_lines(path, lines)
        check_functions(path, lines)
        if path.endswith(".c"):
            check_source(path, lines)
        elif path.endswith(".h"):
            check_header(path, lines)
    if sys.argv[1:2] == ["--out"]:
        includes = sys.argv[2] + "/inc"
        with ThreadPoolExecutor() as pool:
            ours = [h for h in headers if not h.startswith("tests/")]
            for path, error in zip(ours, pool.map(
                    lambda h: compiles_alone(includes, h), ours)):
                if error:
                    find(path, 1, "does not compile alone: " + error)
    for line in findings:
        print(line)
    print(f"{len(sources)} files, {len(findings)} findings")
    sys.exit(1 if findings else 0)


main()
