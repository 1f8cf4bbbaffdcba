# client/sdk: libconflux, the client for programs; of base only what allocates nothing
needs := base
pkgs  := openssl
libs  := -lhttp_parser
