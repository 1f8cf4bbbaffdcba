# trio.c: engines that exchange messages in memory
needs := io wal raftcore
help := trio.c
