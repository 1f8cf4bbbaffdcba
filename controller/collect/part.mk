# collect: versions whose retention is over, found and removed
needs := base io wire doc schema model kv state raftcore store
pkgs  := libuv
