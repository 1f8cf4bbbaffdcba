help := bench.c fan.c
pkgs := lmdb
