# Programs of the benchmarks: a program each, see GNUmakefile
needs_raft_node := base io wire net raftcore node
needs_raft_load := base
help_raft_load := load.c
needs_calls := base
help_calls := load.c
pkgs_calls := libnghttp2
needs_requests := base
help_requests := load.c
needs_disk := base
needs_floor := base
needs_acks := base
needs_watchers := base
help_watchers := sockets.c h2.c
pkgs_watchers := openssl libnghttp2
needs_getter := base client/sdk
needs_rules := base wire doc model
needs_apply := base io wire doc schema model kv raftcore state
