# hook: webhooks: requests out, signatures, events that are delivered
needs := base egress io wire doc schema model kv state raftcore store
pkgs  := libcurl openssl libuv
