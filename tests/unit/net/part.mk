# world.c: nodes on one loop, raw peers, a proxy that cuts, certificates
help := world.c
pkgs := openssl
