# restore: backups in files, plain or sealed, and data directories made of them
needs := base io wire backup seal raftcore node doc schema model kv state
pkgs  := libuv
