# backup: the bytes of a backup: head, pieces, end; written and read as a stream
needs := base wire
pkgs  :=
installs := backup.h
