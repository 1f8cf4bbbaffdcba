# daemon: confluxd: settings, wiring, signals, drain
needs := base wire io net doc schema model kv state raftcore store gate fleet hook release collect backups backup seal restore source auth \
	http/wire \
	http/server api tbl
pkgs  := libuv
progs := confluxd
