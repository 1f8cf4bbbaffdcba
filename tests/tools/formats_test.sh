#!/usr/bin/env bash
# Each magic and each form of a row that the sources have is in the tables of
# docs/formats/compatibility.md, with a sample that is there and that a test reads.
set -euo pipefail
exec python3 - <<'PY'
import glob, os, re, sys

doc = "docs/formats/compatibility.md"
rows = [[cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in open(doc) if line.startswith("|")]
tests = "".join(open(f).read() for f in glob.glob("tests/unit/*/*.c"))
mistakes = []

def samples(cell):
    """'identity-1, -2', 'raft-*': the names of the samples."""
    last = ""
    for name in re.findall(r"[\w*]*-[\w*-]+", cell):
        name = last.rsplit("-", 1)[0] + name if name.startswith("-") else name
        last = name
        yield name

def check(what, mark, number=None):
    found = [r for r in rows if mark in " ".join(r)]
    if not found:
        mistakes.append("%s is not in %s" % (what, doc))
    for row in found:
        names = list(samples(row[-1]))
        if not names:
            mistakes.append("%s has no sample in %s" % (what, doc))
        for name in names:
            files = glob.glob("tests/golden/%s.hex" % name)
            if not files:
                mistakes.append("%s: there is no tests/golden/%s.hex" % (what, name))
            for f in files:
                if '"%s"' % os.path.basename(f)[:-4] not in tests and "*" not in name:
                    mistakes.append("%s: no test reads %s" % (what, f))
        if number and not any(n.endswith("-%s" % number) for n in names):
            mistakes.append("%s is form %s, its sample is %s" % (what, number, row[-1]))

n = 0
for path in sorted(glob.glob("raftcore/**/*.[ch]", recursive=True) +
                   glob.glob("controller/st*/*.[ch]")):
    for name, value in re.findall(r"^#define (\w+)[ \t]+(.+)$", open(path).read(), re.M):
        what = "%s of %s" % (name, path)
        if "MAGIC" in name:
            text = re.search(r'"([^"]*)"', value.split("/*")[0])
            hexa = re.match(r"0x([0-9a-f]{16})ull", value)
            if not text and not hexa:
                mistakes.append("%s is not understood" % what)
                continue
            text = bytes.fromhex(hexa[1])[::-1].decode() if hexa else text[1]
            check(what, "`%s" % text.split("\\")[0])
            n += 1
        elif re.fullmatch(r"ROW_FORMAT_\w+|FORMAT_BAKED", name):
            check(what, "`%s`" % name, value.split()[0])
            n += 1
if n < 20:
    mistakes.append("only %u magics and forms are understood" % n)
print("\n".join(mistakes), file=sys.stderr) if mistakes else None
sys.exit(bool(mistakes))
PY
