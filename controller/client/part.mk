# client: a blocking client of the HTTP API, over the connections of client/sdk
needs := base doc http/wire client/sdk
pkgs  := openssl
