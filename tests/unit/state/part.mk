help := bench.c fan.c gate_help.c
pkgs := lmdb
