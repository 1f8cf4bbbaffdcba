help := lab.c
pkgs := lmdb
