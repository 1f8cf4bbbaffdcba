"""What picking the rule of a client takes, and its share of a fetch."""
import json

from . import base
from .base import TOOLS, report, run


def fetch_ns():
    """Of one processor, for a fetch: known where `fetch` was asked for before."""
    rates = [r["value"] for r in base.results
             if r["name"].startswith("fetch_http1_") and "_200_" in r["name"]]
    return 1e9 / max(rates) if rates else None


def rules(_work):
    rows = [json.loads(line) for line in run([TOOLS + "/rules", "1"]).splitlines()]
    whole = fetch_ns()
    for row in rows:
        share = f"{100 * row['ns'] / whole:.1f}% of the time of a fetch" if whole \
            else "run with `fetch` for its share of one"
        report(f"rules_{row['kind']}_{row['rules']}", row["ns"], "ns", note=share)
