needs_manifest := base doc schema model source
needs_http1 := base http/wire
needs_json := base doc
needs_yaml := base doc
needs_toml := base doc
needs_wal := base io wire wal
needs_command := base wire doc schema model kv raftcore state
needs_message := base node
