needs := io wal raftcore
