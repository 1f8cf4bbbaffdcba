# fleet: instances: what each has, told to the leader beside the log, and added up there
needs := base io wire doc schema model kv state raftcore store
pkgs  := libuv
