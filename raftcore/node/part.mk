# node: engine, proposals, commit and apply, checkpoints; engine_libraft.c
# alone includes the engine's header
needs := base io wire seal wal rpc ship net backup raftcore
pkgs  := libuv raft
