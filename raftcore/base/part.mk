# base: errors, strings, buffers, arenas, logging, state machines; libc only
needs :=
pkgs  :=
