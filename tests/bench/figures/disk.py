"""What the disk does at all: the floor below every durable write."""
import json

from . import base


def disk(work):
    answer = json.loads(base.run([base.TOOLS + "/disk", work,
                                  str(base.SECONDS)]))
    base.report("disk", answer["rate"], "writes/s",
                note="4 KiB, O_DIRECT and O_DSYNC, one after another")
    base.report("disk_p50", answer["p50_us"], "us")
    base.report("disk_p99", answer["p99_us"], "us")
