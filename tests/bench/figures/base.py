"""Processes, files and the table, for every figure."""
import glob
import os
import re
import socket
import statistics
import subprocess
import tempfile
import time

BIN = os.environ["CONFLUX_BIN"]
TOOLS = os.environ["BENCH_BIN"]
OUT = os.environ["BENCH_OUT"]
ROUNDS, SECONDS = 3, 4
started, results = [], []


# --- processes ---------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(args):
    log = tempfile.TemporaryFile()
    p = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=log)
    p.log = log
    started.append(p)
    return p


def end_all():
    """Ends what is left, and says what those wrote that had ended themselves."""
    for p in list(started):
        if p.poll() is not None:
            p.log.seek(0)
            print(f"bench: {p.args[0]} had ended with {p.returncode}:\n"
                  + p.log.read()[-2000:].decode(errors="replace"))
        # Asked first, so that nginx takes its workers with it.
        stop(p)


def stop(p):
    p.terminate()
    try:
        p.wait(30)
    except subprocess.TimeoutExpired:
        p.kill()
        p.wait()
    started.remove(p)


def kill(p):
    p.kill()
    p.wait()
    started.remove(p)


def until(what, check, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            value = check()
            if value:
                return value
        except OSError:
            pass
        time.sleep(0.02)
    raise SystemExit(f"bench: in vain: {what}")


def run(args, **kw):
    """What it prints."""
    p = subprocess.run(args, capture_output=True, text=True, check=False, **kw)
    if p.returncode:
        raise SystemExit(f"bench: {args[0]} answered {p.returncode}:\n"
                         + p.stdout + p.stderr)
    return p.stdout


def memory(process, field):
    """KiB, of /proc/PID/status."""
    with open(f"/proc/{process.pid}/status") as f:
        return int(re.search(rf"^{field}:\s+(\d+) kB", f.read(), re.M).group(1))


def processor_us(pids):
    """What all threads of these processes have had of a processor, to the nanosecond."""
    files = [f for pid in pids for f in glob.glob(f"/proc/{pid}/task/*/schedstat")]
    return sum(int(open(f).read().split()[0]) for f in files) / 1e3


def report(name, value, unit, peer=None, peer_value=None, goal=None, met=None,
           note=""):
    ratio = None
    if peer_value:
        ratio = value / peer_value
    results.append({"name": name, "value": value, "unit": unit, "peer": peer,
                    "peer_value": peer_value, "ratio": ratio, "goal": goal,
                    "met": met, "note": note})
    print(f"  {name}: {value:g} {unit}"
          + (f"; {peer} {peer_value:g}; ratio {ratio:.2f}" if ratio else "")
          + ("" if met is None else ("; met" if met else "; missed"))
          + (f" ({note})" if note else ""),
          flush=True)


def step(text):
    """Says where a figure that takes long is."""
    print(f"    {time.strftime('%H:%M:%S')} {text}", flush=True)


def alternate(*runs):
    """Medians of each, run by run in turn."""
    rounds = [[run() for run in runs] for _ in range(ROUNDS)]
    return [[statistics.median(x) for x in zip(*answers)]
            for answers in zip(*rounds)]


def table():
    rows = [("name", "value", "unit", "peer", "ratio", "goal")]
    for r in results:
        rows.append((r["name"], f"{r['value']:.4g}", r["unit"],
                     f"{r['peer']} {r['peer_value']:.4g}" if r["peer"] else "",
                     f"{r['ratio']:.2f}" if r["ratio"] else "",
                     "" if r["goal"] is None else
                     r["goal"] + (": met" if r["met"] else ": missed")))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    for row in rows:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip())
