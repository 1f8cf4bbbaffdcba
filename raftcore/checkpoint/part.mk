# checkpoint: the file of a checkpoint: framing, checksums, verification
needs := base io wire
pkgs  :=
