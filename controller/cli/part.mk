# cli: the conflux command
needs := base doc schema io http/wire client
pkgs  := libuv
progs := conflux
