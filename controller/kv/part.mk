# kv: LMDB behind tables and transactions; alone includes lmdb.h
needs := base
pkgs  := lmdb
