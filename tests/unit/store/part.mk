# lab.c: stores of one process that are a cluster, and a leader of straw
needs := io state raftcore doc schema model kv wire
help := lab.c
pkgs := lmdb
