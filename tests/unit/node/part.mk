# trio.c: engines that exchange messages in memory
# lab.c: the core of a node on one thread
needs := io io/sim wal raftcore
help := trio.c lab.c
