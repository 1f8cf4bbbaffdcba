# backups: of a running node: as streams for who asks, and on a schedule
needs := base io wire backup seal doc schema model kv state raftcore store restore
pkgs  := libuv
