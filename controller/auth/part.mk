# auth: tokens: who a credential stands for, and the first root token
needs := base wire io doc schema model kv state raftcore store
pkgs  := libuv
