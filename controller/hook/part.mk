# hook: webhooks: requests out, signatures, events that are delivered
needs := base io wire doc schema model kv state raftcore store
pkgs  := libcurl openssl libuv
