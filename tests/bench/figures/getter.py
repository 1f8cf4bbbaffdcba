"""What a getter of libconflux takes."""
import json

from .base import TOOLS, report, run


def getter(_work):
    rows = [json.loads(line) for line in run([TOOLS + "/getter", "2"]).splitlines()]
    for row in rows:
        name = f"getter_{row['threads']}t" + ("_changes" if row["changes"] else "")
        report(name, row["i64_all_ns"], "ns of all threads together",
               note=f"as one thread sees it {row['i64_ns']:.0f}; boolean "
               f"{row['bool_all_ns']:.0f}, string {row['string_all_ns']:.0f}")
