# ship: files of any size from peer to peer, in verified chunks, resumable; no
# thread, no clock, no transport
needs := base io wire
pkgs  :=
installs := ship.h
