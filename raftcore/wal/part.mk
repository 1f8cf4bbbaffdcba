# wal: the durable log: segments, recovery, torn writes
needs := base io wire
pkgs  :=
installs := wal.h vote.h
