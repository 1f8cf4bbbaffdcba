# store: the seam over state and consensus: open, submit, view, watch
needs := base wire io doc schema model kv state raftcore node
pkgs  := libuv
