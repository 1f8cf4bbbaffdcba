# source: Git: fetch in a killable child, compare, layout, plan, reconcile
needs := base wire io doc schema model kv state raftcore store
pkgs  := libgit2 libuv
