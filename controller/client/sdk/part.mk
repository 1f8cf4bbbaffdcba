# client/sdk: libconflux, the client for programs; of base only what allocates nothing
needs := base
pkgs  := openssl yaml-0.1
libs  := -lhttp_parser
