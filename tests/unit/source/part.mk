help := lab.c live.c
pkgs := lmdb
