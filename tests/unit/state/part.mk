help := bench.c
pkgs := lmdb
