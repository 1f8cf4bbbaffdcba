# http/server: connections, limits, protocol interface, router
needs := base io http/wire
pkgs  := libuv openssl libnghttp2
