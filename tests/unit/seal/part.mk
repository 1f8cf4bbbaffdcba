# files.c also runs over the simulated disk; keys.c makes key pairs
needs := io/sim
pkgs := openssl
