# node: engine, proposals, commit and apply, checkpoints; engine_libraft.c and
# engine_vote.c alone include the engine's header (engine_own.h)
needs := base io wire seal wal rpc ship net backup raftcore
pkgs  := libuv raft
