# gate: the leader's part of the gate: executes proposals, keeps windows computed
needs := base wire io doc schema model kv state raftcore store
pkgs  := libuv
libs  := -ldate-tz
