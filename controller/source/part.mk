# source: Git: fetch in a killable child, compare, layout, plan, reconcile
needs := base egress wire io doc schema model kv state raftcore store
pkgs  := libgit2 libuv
