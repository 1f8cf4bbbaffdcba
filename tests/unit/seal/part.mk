# files.c also runs over the simulated disk; keys.c and stream.c make key pairs
needs := io/sim
pkgs := openssl
