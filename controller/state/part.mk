# state: the replicated state machine: commands, apply, queries, events, audit
needs := base io wire doc schema model kv raftcore
pkgs  := libxxhash
