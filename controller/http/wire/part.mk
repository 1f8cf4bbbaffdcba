# http/wire: HTTP/1.1 parsing and framing, shared by server and client
needs := base
libs  := -lhttp_parser -lwslay
pkgs  := openssl
