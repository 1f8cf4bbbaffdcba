#!/usr/bin/env python3
"""The house's own rules, formatting and static analysis, for `make lint`.

    lint.py --out build/release [--no-tidy]

Looks at what git tracks.  A finding is one line, "file:line: what"; any of them
fails.  Notes (long files, needs that nothing uses, formatting) do not.
OUT/compile_commands.json says how each source compiles.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import sys

TOP = {"controller", "raftcore", "providers", "schemas", "examples", "tests",
       "charts", "docs"}
TOP_FILES = re.compile(r"GNUmakefile|[A-Z]+(\.md)?|\..*")

BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|strtok|gets|alloca|"
                    r"localtime|gmtime|rand|srand|system)\s*\(")

# A library's header, and where alone it may be included.
OWNERS = {
    "raft.h": "raftcore/node/engine_libraft.c",
    "lmdb.h": "controller/kv/",
    "git2.h": "controller/source/",
    "yaml.h": "controller/doc/",
    "jansson.h": "controller/doc/",
    "toml++/": "controller/doc/",
    "http_parser.h": "controller/http/wire/",
    "nghttp2/": "controller/http/",
    "libpq-fe.h": "controller/sql/",
}

LONG_SOURCE = 900
LONG_HEADER = 400

TIDY = ",".join([
    "-*", "bugprone-*", "-bugprone-easily-swappable-parameters",
    "-bugprone-narrowing-conversions", "-bugprone-reserved-identifier",
    "-bugprone-implicit-widening-of-multiplication-result",
    "-bugprone-macro-parentheses", "-bugprone-branch-clone",
    "-bugprone-assignment-in-if-condition", "-bugprone-sizeof-expression",
    "-bugprone-not-null-terminated-result", "clang-analyzer-core.*",
    # These three cannot see that an enum code of OK means a set *out.
    "-clang-analyzer-core.NullDereference",
    "-clang-analyzer-core.uninitialized.Assign",
    "-clang-analyzer-core.UndefinedBinaryOperatorResult",
    "clang-analyzer-unix.*", "clang-analyzer-deadcode.*",
    "misc-redundant-expression", "misc-misplaced-const",
])


def tracked():
    out = subprocess.run(["git", "ls-files", "-z"], check=True,
                         capture_output=True, text=True).stdout
    return [f for f in out.split("\0") if f and os.path.exists(f)]


def read(path):
    with open(path, errors="replace") as f:
        return f.read()


def without_comments(text):
    """C without comments and strings; lines stay where they are."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text,
                  flags=re.S)


def findings(text, pattern):
    for match in pattern.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match


def check_top(files):
    for name in sorted({f.split("/")[0] for f in files}):
        folder = any(f.startswith(name + "/") for f in files)
        if folder and name not in TOP and not name.startswith("."):
            yield f"{name}: no such folder belongs at the top"
        if not folder and not TOP_FILES.fullmatch(name):
            yield f"{name}: no such file belongs at the top"


def check_text(files):
    for path in files:
        if "/corpus/" in path or not re.search(
                r"\.(c|h|cc|tbl|mk|sh|py|awk|ya?ml)$|GNUmakefile$", path):
            continue
        for n, line in enumerate(read(path).split("\n"), 1):
            if line.endswith(("\r", " ", "\t")):
                yield f"{path}:{n}: white space at the end of the line"


def check_source(path):
    text = read(path)
    code = without_comments(text)
    if not path.endswith("base/banned.h"):
        for n, match in findings(code, BANNED):
            yield f"{path}:{n}: {match.group(1)} is banned (base/banned.h)"
    for n, match in findings(text, re.compile(
            r'^\s*#\s*include\s+([<"])([^>"]+)', re.M)):
        name = match.group(2)
        if name.startswith("../"):
            yield f"{path}:{n}: include through the part's needs, not {name}"
        for header, owner in OWNERS.items():
            if match.group(1) == "<" and name.startswith(header) \
                    and not path.startswith((owner, "tests/")):
                yield f"{path}:{n}: <{name}> belongs to {owner} alone"


def check_scripts(files):
    for path in files:
        if path.endswith(".sh") or path == ".ci/run":
            first = read(path).split("\n")[0]
            shell = "sh" if first.endswith("/sh") else "bash"
            done = subprocess.run([shell, "-n", path], capture_output=True,
                                  text=True)
            if done.returncode:
                yield done.stderr.strip()
        elif path.endswith(".py"):
            try:
                compile(read(path), path, "exec")
            except SyntaxError as e:
                yield f"{path}:{e.lineno}: {e.msg}"


def commands(out):
    """Each folder's first compile command, as words up to the file."""
    found = {}
    for entry in json.load(open(os.path.join(out, "compile_commands.json"))):
        if entry["file"].endswith(".c"):
            found.setdefault(os.path.dirname(entry["file"]),
                             shlex.split(entry["command"])[:-2])
    return found


def check_headers(files, out):
    """Every header of a part compiles alone, with what the part may see."""
    known = commands(out)

    def alone(path):
        done = subprocess.run(
            known[os.path.dirname(path)] + ["-fsyntax-only", "-x", "c", "-"],
            input=f'#include "{os.path.abspath(path)}"\n',
            capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.splitlines()
            error = next((l for l in lines if "error" in l), lines[0])
            return f"{path}: does not compile alone: {error}"
        return None

    headers = [f for f in files if f.endswith(".h")
               and f.startswith(("raftcore/", "controller/", "providers/"))
               and f.count("/") >= 2 and os.path.dirname(f) in known]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        yield from filter(None, pool.map(alone, headers))


def check_tidy(sources, out):
    def tidy(path):
        done = subprocess.run(
            ["clang-tidy", "--quiet", "-p", out, f"--checks={TIDY}",
             # Warnings are gcc's to give; under _FORTIFY_SOURCE clang sees
             # macros where banned.h poisons names.
             "--extra-arg=-U_FORTIFY_SOURCE", "--extra-arg=-w", path],
            capture_output=True, text=True)
        return re.findall(r"^\S+:\d+:\d+: (?:warning|error): .*$", done.stdout,
                          re.M)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for lines in pool.map(tidy, sources):
            yield from (l.replace(os.getcwd() + "/", "") for l in lines)


def note_long(files):
    for path in files:
        lines = read(path).count("\n")
        limit = LONG_HEADER if path.endswith(".h") else LONG_SOURCE
        if lines > limit:
            yield f"{path}: {lines} lines"


def reached(path, seen):
    """The headers of ours that path includes, also through others."""
    for name in re.findall(r'^\s*#\s*include\s+"([^"]+)', read(path), re.M):
        for root in ("raftcore/", "controller/", "providers/", ""):
            if name not in seen and os.path.exists(root + name):
                seen.add(name)
                reached(root + name, seen)
    return seen


def note_needs(files):
    """Needs of a part that none of its files includes, even indirectly."""
    for path in (f for f in files if re.fullmatch(
            r"(raftcore|controller|providers)/.*/part\.mk", f)):
        folder = os.path.dirname(path)
        text = re.sub(r"\\\n", " ", read(path))
        needs = re.search(r"^needs\s*:=([^\n#]*)", text, re.M)
        own = [f for f in files if os.path.dirname(f) == folder
               and f.endswith((".c", ".h", ".cc"))]
        seen = set()
        for f in own:
            reached(f, seen)
        for need in needs.group(1).split() if needs and own else []:
            if not any(h.startswith(need + "/") for h in seen):
                yield f"{path}: needs {need}, and includes nothing of it"


def note_format(sources):
    differing = changed = 0
    for path in sources:
        want = subprocess.run(["clang-format", path], capture_output=True,
                              text=True).stdout
        have = read(path)
        if want != have:
            differing += 1
            lines = set(want.split("\n"))
            changed += sum(l not in lines for l in have.split("\n"))
    if differing:
        yield f"clang-format would change {changed} lines in {differing} " \
            "files; `make fmt` does"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("--no-tidy", action="store_true")
    args = parser.parse_args()
    files = tracked()
    code = [f for f in files if f.endswith((".c", ".h", ".cc"))]
    sources = [f for f in code if f.endswith(".c")
               and not f.startswith("tests/")]
    bad = 0
    checks = [check_top(files), check_text(files), check_scripts(files),
              *(check_source(f) for f in code), check_headers(files, args.out)]
    if not args.no_tidy:
        checks.append(check_tidy(sources, args.out))
    for found in (f for check in checks for f in check):
        print(found, flush=True)
        bad += 1
    for title, notes in (("long files", note_long(code)),
                         ("needs without use", note_needs(files)),
                         ("formatting", note_format(code))):
        notes = list(notes)
        if notes:
            print(f"note, {title}:\n    " + "\n    ".join(notes))
    print(f"lint: {bad} findings in {len(code)} sources")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
