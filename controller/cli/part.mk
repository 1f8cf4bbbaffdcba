# cli: the conflux command
needs := base wire doc schema io backup seal raftcore wal state restore http/wire client
pkgs  := libuv
progs := conflux
