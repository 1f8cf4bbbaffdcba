# wal: the durable log: segments, recovery, torn writes
needs := base io wire seal
pkgs  :=
installs := wal.h inspect.h vote.h
