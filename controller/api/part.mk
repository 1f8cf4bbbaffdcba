# api: REST and Kubernetes endpoints over the store
needs := base wire io doc schema model kv state raftcore store gate hook fleet backups auth proto http/wire \
	http/server
pkgs  := libuv libprotobuf-c openssl
