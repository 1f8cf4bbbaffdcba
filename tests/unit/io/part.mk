# net.c: a loop with two ends of a connection, raw peers, certificates
help := net.c
pkgs := openssl
