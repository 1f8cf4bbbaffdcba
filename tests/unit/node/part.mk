# trio.c: engines that exchange messages in memory
# lab.c: the core of a node on one thread
# ring.c: nodes with threads that are connected over loopback
# hub.c: a transport in memory, for nodes with threads
needs := io io/sim seal wal rpc ship net backup raftcore
help := trio.c lab.c ring.c hub.c
pkgs := openssl
