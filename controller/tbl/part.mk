# tbl: the table of settings and its loader: defaults, file, environment, flags
needs := base doc
pkgs  :=
