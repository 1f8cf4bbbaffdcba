pkgs := lmdb
