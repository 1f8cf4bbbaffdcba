# client: a blocking client of the HTTP API
needs := base io doc http/wire
pkgs  := libuv
