# release: the leader's releases in steps: when they begin, go on, turn back
needs := base io wire doc schema model kv state raftcore store fleet hook http/wire
pkgs  := libuv
